"""The compiled extension: Mimi in Rust.

Private: the package converts inputs and gives results their public shapes. Every array must be C-contiguous, aligned
and of exactly the element type given. All methods release the GIL, answer Ctrl-C between blocks of work, and raise the
exceptions of `mimi_codec.errors`. `limits` are a function that is asked between blocks whether to give up, with
`StoppedError`, and the seconds after which to do so, with `TimedOutError`. Shapes: B batch, K codebooks, T frames,
L samples, D latent width.
"""

from collections.abc import Callable
from typing import Any, TypeAlias, TypedDict, final, type_check_only

import numpy as np
import numpy.typing as npt

__all__ = [
    "DeviceArray",
    "Model",
    "Stream",
    "__version__",
    "build_info",
    "check_packed",
    "codec_folders",
    "codec_prefixes",
    "cuda_devices",
    "look_in",
    "safetensors_entries",
]
__version__: str

_Limits: TypeAlias = tuple[Callable[[], object] | None, float | None]

@type_check_only
class CudaDevice(TypedDict):
    """What a CUDA device is."""

    name: str
    memory_bytes: int
    compute_capability: tuple[int, int]
    multiprocessors: int
    driver_cuda: tuple[int, int]
    """The version of CUDA that the driver is of."""
    nvrtc: tuple[int, int] | None
    """The version of the compiler that is tried first; None where there is none for this device."""
    missing: str | None
    """What is missing to run on it, and what to install."""

def build_info() -> dict[str, str]:
    """Version, build profile and the SIMD instruction set in use, for bug reports."""

def codec_folders() -> list[str]:
    """Folders of larger models that hold a codec, whole and with a configuration of its own."""

def check_packed(path: str) -> None:
    """Read a packed file and compare its arrays with their checksums."""

def codec_prefixes(names: list[str], module: str | None) -> list[str]:
    """What stands before the names of the codec's tensors, of every codec that `names` may be of: usually one."""

def cuda_devices() -> list[CudaDevice]:
    """The CUDA devices that the process sees. None is opened. Raises `DeviceError` without a driver or a device."""

def look_in(directories: list[str]) -> None:
    """Look for libraries of CUDA in these directories too: where libraries lie, toolkits, or `site-packages`."""

def safetensors_entries(data: bytes) -> tuple[dict[str, str], list[tuple[str, str, list[int], int, int]]]:
    """The metadata of a whole safetensors file, and (name, element type, shape, first byte, last byte + 1) of tensors.

    All bytes named are inside of `data` and fit the shape. Raises `LoadError`.
    """

@final
class DeviceArray:
    """An array on the GPU that a model runs on, float32 or int64, that other libraries share by DLPack."""

    @staticmethod
    def of_capsule(model: Model, capsule: object) -> DeviceArray:
        """The array of a capsule that was asked for with `model.cuda_stream`. Raises `InputTypeError`."""

    @staticmethod
    def of_floats(model: Model, array: npt.NDArray[np.float32]) -> DeviceArray:
        """A copy on the GPU."""

    @staticmethod
    def of_codes(model: Model, array: npt.NDArray[np.int64]) -> DeviceArray:
        """A copy on the GPU."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each axis."""
    @property
    def dtype(self) -> str:
        """ "float32" or "int64"."""

    def expanded(self, axis: int) -> DeviceArray:
        """The same memory with an axis of length 1 more, before `axis`."""

    def squeezed(self, axis: int) -> DeviceArray:
        """The same memory with an axis of length 1 less."""

    def to_host(self) -> npt.NDArray[Any]:
        """A copy in the memory of the process."""

    def __dlpack__(
        self,
        *,
        stream: object = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule that shares the memory, whose values are complete."""

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's number of CUDA, and the device's."""

@final
class Model:
    """The weights of a model. Immutable; one is shared by any number of threads and streams."""

    @staticmethod
    def load(
        path: str,
        parts: str,
        num_codebooks: int | None,
        threads: int,
        dtype: str,
        device: str,
        module: str | None,
    ) -> Model:
        """Load a directory or a safetensors file.

        `parts` is "both", "encoder" or "decoder"; `num_codebooks` None loads all of them; `module` names one of several
        codecs in a larger model's files.
        """

    @property
    def cuda_ordinal(self) -> int | None:
        """The number of the CUDA device whose arrays it takes; None where it takes those of the host alone."""
    @property
    def cuda_stream(self) -> int:
        """The handle of the CUDA stream in which it works."""

    def clips_on_device(self, direction: str, num_codebooks: int, array: DeviceArray, limits: _Limits) -> DeviceArray:
        """Whole clips of one length: (B, L) float32 to (B, K, T) int64 or (B, D, T) float32, or the reverse.

        `direction` is one of a `Stream`'s.
        """

    @property
    def config_json(self) -> str:
        """Every field of the configuration, as a JSON object in Transformers' spelling."""
    @property
    def layout(self) -> str:
        """Spelling of the tensor names found: "transformers", "transformers-5", "kyutai" or "qwen-tts"."""
    @property
    def module(self) -> str:
        """The module of a larger model in whose files it was found; "" for a codec's own files."""
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
    def delay(self) -> int:
        """Samples by which a decoded clip is shorter than its frames."""
    @property
    def leaves_rest_out(self) -> bool:
        """Whether samples after a clip's last whole frame are left out, unless zeros fill them up."""
    @property
    def gives_codes(self) -> bool:
        """Whether it has an encoder with a quantizer."""
    @property
    def num_codebooks(self) -> int:
        """Codebooks loaded."""
    @property
    def codebook_size(self) -> int:
        """Entries of each codebook."""
    @property
    def latent_dim(self) -> int:
        """Width D of the latents that the encoder gives."""
    @property
    def decoder_latent_dim(self) -> int:
        """Width D of the latents that the decoder takes."""
    @property
    def kind(self) -> str:
        """Which codec it is: see `mimi_codec.load`."""
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
        """Instruction set of the kernels: "avx512", "avx2", "neon" or "portable"."""
    @property
    def device_counts(self) -> dict[str, int]:
        """How often the model has asked its device for what so far: launches, copies, waits. Empty on the CPU."""
    @property
    def weight_bytes(self) -> int:
        """Bytes of memory held by the weights."""
    def encode(
        self,
        pcm: npt.NDArray[np.float32],
        lengths: list[int],
        num_codebooks: int,
        padding: str,
        limits: _Limits,
    ) -> npt.NDArray[np.int64]:
        """(B, L) samples to (B, K, T) codes; -1 beyond a row's own frames. `padding`: "transformers" or "moshi"."""

    def decode(
        self,
        codes: npt.NDArray[np.int64],
        lengths: list[int],
        limits: _Limits,
    ) -> npt.NDArray[np.float32]:
        """(B, K, T) codes to (B, T * frame_size) samples; 0 beyond a row's own `lengths` frames."""

    def encode_latents(
        self,
        pcm: npt.NDArray[np.float32],
        lengths: list[int],
        padding: str,
        limits: _Limits,
    ) -> npt.NDArray[np.float32]:
        """(B, L) samples to (B, D, T) latents before the quantizer; 0 beyond a row's own frames."""

    def decode_latents(
        self,
        latents: npt.NDArray[np.float32],
        lengths: list[int],
        limits: _Limits,
    ) -> npt.NDArray[np.float32]:
        """(B, D, T) latents to (B, T * frame_size) samples; 0 beyond a row's own `lengths` frames."""

    def latents_to_codes(
        self,
        latents: npt.NDArray[np.float32],
        num_codebooks: int,
        limits: _Limits,
    ) -> npt.NDArray[np.int64]:
        """(B, D, T) latents to (B, K, T) codes."""

    def codes_to_latents(
        self,
        codes: npt.NDArray[np.int64],
        lengths: list[int],
        limits: _Limits,
    ) -> npt.NDArray[np.float32]:
        """(B, K, T) codes to (B, D, T) quantized latents; 0 beyond a row's own `lengths` frames."""

    def save_compact(self, path: str, dtype: str) -> None:
        """Write what was loaded to a file as small as it can be, in a `dtype` or "auto" for that of the model."""

    def save_packed(self, path: str) -> None:
        """Write the weights as the kernels read them, with the configuration, to a file."""

    def save(self, path: str) -> None:
        """Write `config.json` and `model.safetensors` in the on-disk Transformers layout into a directory."""

@final
class Stream:
    """The state of B rows that go through a codec side by side. Calls from several threads follow one another.

    `direction` is "to_codes", "to_latents", "from_codes" or "from_latents"; `num_codebooks` counts for the first alone.
    What is given and taken: samples (B, n) float32, codes (B, K, m) int64, latents (B, D, m) float32. Rows that rest,
    or have fewer frames than others, have -1 in codes and 0 in latents and samples.
    """

    def __new__(cls, model: Model, direction: str, batch_size: int, num_codebooks: int) -> Stream: ...
    @property
    def model(self) -> Model:
        """The model that it runs."""
    @property
    def cuda_ordinal(self) -> int | None:
        """As the model's."""
    @property
    def batch_size(self) -> int:
        """Rows B."""
    @property
    def num_codebooks(self) -> int | None:
        """Codebooks K of the result; None where it is not codes."""
    @property
    def of_latents(self) -> bool:
        """Whether latents stand where codes would."""
    @property
    def pending(self) -> list[int]:
        """Samples of each row held back until a frame is whole."""
    @property
    def frames(self) -> list[int]:
        """Frames of each row so far."""
    def push_pcm(
        self, pcm: npt.NDArray[np.float32], active: npt.NDArray[np.bool_] | None, limits: _Limits
    ) -> npt.NDArray[Any]:
        """(B, n) samples to codes or latents."""

    def push_codes(
        self,
        codes: npt.NDArray[np.int64],
        lengths: list[int],
        active: npt.NDArray[np.bool_] | None,
        limits: _Limits,
    ) -> npt.NDArray[Any]:
        """(B, K, m) codes, of each row the first `lengths` frames, to (B, m * frame_size) samples."""

    def push_latents(
        self,
        latents: npt.NDArray[np.float32],
        lengths: list[int],
        active: npt.NDArray[np.bool_] | None,
        limits: _Limits,
    ) -> npt.NDArray[Any]:
        """(B, D, m) latents, of each row the first `lengths` frames, to (B, m * frame_size) samples."""

    def push_on_device(self, array: DeviceArray, active: npt.NDArray[np.bool_] | None, limits: _Limits) -> DeviceArray:
        """Whole frames of each row, shaped as in `Model.clips_on_device`; rows that rest are -1 in codes, else 0."""

    def flush(self, active: npt.NDArray[np.bool_] | None, padding: str) -> npt.NDArray[Any]:
        """End the clip of the active rows: their last, partial frame, m 0 or 1."""

    def reset(self, mask: npt.NDArray[np.bool_] | None = None) -> None:
        """Make the rows of `mask` (all without one) as new."""

    def copy(self) -> Stream:
        """An independent stream in the same state."""

    def save(self, rows: list[int] | None = None) -> bytes:
        """The state of some rows, or of all, as bytes."""

    def load(self, state: bytes, rows: list[int] | None = None) -> None:
        """Go on with some rows, or all, from a saved state of as many rows."""
