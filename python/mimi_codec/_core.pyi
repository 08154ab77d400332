"""The compiled extension: Mimi in Rust.

Private: the package converts inputs and gives results their public shapes. Every array must be C-contiguous, aligned
and of exactly the element type given. All methods release the GIL, answer Ctrl-C between blocks of work, and raise the
exceptions of `mimi_codec.errors`. Shapes: B batch, K codebooks, T frames, L samples, D latent width.
"""

from typing import final

import numpy as np
import numpy.typing as npt

__all__ = ["DecoderStream", "EncoderStream", "Mimi", "__version__", "build_info", "safetensors_entries"]
__version__: str

def build_info() -> dict[str, str]:
    """Version, build profile and the SIMD instruction set in use, for bug reports."""

def safetensors_entries(data: bytes) -> tuple[dict[str, str], list[tuple[str, str, list[int], int, int]]]:
    """The metadata of a whole safetensors file, and (name, element type, shape, first byte, last byte + 1) of tensors.

    All bytes named are inside of `data` and fit the shape. Raises `LoadError`.
    """

@final
class Mimi:
    """The weights of a model. Immutable; one is shared by any number of threads and streams."""

    @staticmethod
    def load(path: str, parts: str, num_codebooks: int | None, threads: int, dtype: str, device: str) -> Mimi:
        """Load a directory or a safetensors file.

        `parts` is "both", "encoder" or "decoder"; `num_codebooks` None loads all of them.
        """

    @property
    def config_json(self) -> str:
        """Every field of the configuration, as a JSON object in Transformers' spelling."""
    @property
    def layout(self) -> str:
        """Spelling of the tensor names found: "transformers", "transformers-5" or "kyutai"."""
    @property
    def sample_rate(self) -> int:
        """Samples per second."""
    @property
    def frame_rate(self) -> float:
        """Frames per second."""
    @property
    def frame_size(self) -> int:
        """Samples per frame."""
    @property
    def num_codebooks(self) -> int:
        """Codebooks loaded."""
    @property
    def codebook_size(self) -> int:
        """Entries of each codebook."""
    @property
    def latent_dim(self) -> int:
        """Width D of the latents."""
    @property
    def num_semantic_codebooks(self) -> int:
        """How many of the first codebooks are semantic."""
    @property
    def has_encoder(self) -> bool:
        """Whether the encoder was loaded."""
    @property
    def has_decoder(self) -> bool:
        """Whether the decoder was loaded."""
    @property
    def threads(self) -> int:
        """Threads one call may use: as many as asked for, or as the process has processors."""
    @property
    def dtype(self) -> str:
        """Storage type of the weights in memory."""
    @property
    def device(self) -> str:
        """Where the model runs."""
    @property
    def simd(self) -> str:
        """Instruction set of the kernels: "avx512", "avx2" or "portable"."""
    @property
    def weight_bytes(self) -> int:
        """Bytes of memory held by the weights."""
    def encode(
        self, pcm: npt.NDArray[np.float32], lengths: list[int], num_codebooks: int, padding: str
    ) -> npt.NDArray[np.int64]:
        """(B, L) samples to (B, K, T) codes; -1 beyond a row's own frames. `padding`: "transformers" or "moshi"."""

    def decode(self, codes: npt.NDArray[np.int64], lengths: list[int]) -> npt.NDArray[np.float32]:
        """(B, K, T) codes to (B, T * frame_size) samples; 0 beyond a row's own `lengths` frames."""

    def encode_latents(self, pcm: npt.NDArray[np.float32], lengths: list[int], padding: str) -> npt.NDArray[np.float32]:
        """(B, L) samples to (B, D, T) latents before the quantizer; 0 beyond a row's own frames."""

    def decode_latents(self, latents: npt.NDArray[np.float32], lengths: list[int]) -> npt.NDArray[np.float32]:
        """(B, D, T) latents to (B, T * frame_size) samples; 0 beyond a row's own `lengths` frames."""

    def latents_to_codes(self, latents: npt.NDArray[np.float32], num_codebooks: int) -> npt.NDArray[np.int64]:
        """(B, D, T) latents to (B, K, T) codes."""

    def codes_to_latents(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(B, K, T) codes to (B, D, T) quantized latents."""

    def save(self, path: str) -> None:
        """Write `config.json` and `model.safetensors` in the on-disk Transformers layout into a directory."""

@final
class EncoderStream:
    """The state of B encoders side by side. Calls from several threads follow one another."""

    def __new__(cls, model: Mimi, batch_size: int, num_codebooks: int) -> EncoderStream: ...
    @property
    def batch_size(self) -> int:
        """Rows B."""
    @property
    def num_codebooks(self) -> int:
        """Codebooks K of the result."""
    @property
    def pending(self) -> list[int]:
        """Samples of each row held back until a frame is whole."""
    @property
    def frames(self) -> list[int]:
        """Frames of each row produced so far."""
    def push(self, pcm: npt.NDArray[np.float32], active: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.int64]:
        """(B, n) samples to (B, K, m) codes; -1 in inactive rows and in rows with fewer frames."""

    def flush(self, active: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.int64]:
        """End the clip of the active rows: their last, partial frame as (B, K, m), m 0 or 1."""

    def reset(self, mask: npt.NDArray[np.bool_] | None = None) -> None:
        """Make the rows of `mask` (all without one) as new."""

    def copy(self) -> EncoderStream:
        """An independent stream in the same state."""

    def save(self) -> bytes:
        """The state as bytes."""

    def load(self, state: bytes) -> None:
        """Go back to a saved state of the same model, batch size and number of codebooks."""

@final
class DecoderStream:
    """The state of B decoders side by side. Calls from several threads follow one another."""

    def __new__(cls, model: Mimi, batch_size: int) -> DecoderStream: ...
    @property
    def batch_size(self) -> int:
        """Rows B."""
    @property
    def frames(self) -> list[int]:
        """Frames of each row decoded so far."""
    def push(
        self, codes: npt.NDArray[np.int64], active: npt.NDArray[np.bool_] | None = None
    ) -> npt.NDArray[np.float32]:
        """(B, K, m) codes to (B, m * frame_size) samples; 0 in inactive rows."""

    def reset(self, mask: npt.NDArray[np.bool_] | None = None) -> None:
        """Make the rows of `mask` (all without one) as new."""

    def copy(self) -> DecoderStream:
        """An independent stream in the same state."""

    def save(self) -> bytes:
        """The state as bytes."""

    def load(self, state: bytes) -> None:
        """Go back to a saved state of the same model and batch size."""
