"""What a loaded model is: the properties of every codec, and those of a codec with codebooks."""

from __future__ import annotations

from typing import Any, SupportsIndex

from . import _core
from ._arrays import to_count
from .config import bits_per_code
from .hub import Source


class Facts:
    """Where a model comes from, its rates and sizes, and how it runs."""

    __slots__ = ()

    _core: _core.Model
    _source: Source
    _options: dict[str, Any]

    @property
    def kind(self) -> str:
        """Which codec it is: see the table of `mimi_codec.load`."""
        return self._core.kind

    @property
    def name(self) -> str:
        """What the model was loaded by: a repository, a path, or "demo"."""
        return self._source.name

    @property
    def revision(self) -> str | None:
        """The commit of the repository; None for local files."""
        return self._source.revision

    @property
    def layout(self) -> str:
        """Whose spelling the names have: "transformers", "transformers-5", "kyutai", "qwen-tts" or "microsoft"."""
        return self._core.layout

    @property
    def module(self) -> str | None:
        """The module of a larger model in whose files it was found, as "code2wav"; None for a codec's own files."""
        return self._core.module or None

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return self._core.sample_rate

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self._core.frame_rate

    @property
    def frame_size(self) -> int:
        """Samples per frame."""
        return self._core.frame_size

    @property
    def delay(self) -> int:
        """Samples by which a stream's audio is late, and a decoded clip shorter than its frames.

        0 but for a decoder that looks ahead, as Code2Wav does: its T frames give T * frame_size - delay samples.
        """
        return self._core.delay

    @property
    def latent_dim(self) -> int:
        """Width D of the latents that the encoder gives."""
        return self._core.latent_dim

    @property
    def decoder_latent_dim(self) -> int:
        """Width D of the latents that the decoder takes. In nearly all models it is `latent_dim`."""
        return self._core.decoder_latent_dim

    @property
    def parts(self) -> str:
        """The halves that were loaded: "both", "encoder" or "decoder"."""
        return "both" if self.has_encoder and self.has_decoder else "encoder" if self.has_encoder else "decoder"

    @property
    def has_encoder(self) -> bool:
        """Whether the encoder was loaded."""
        return self._core.has_encoder

    @property
    def has_decoder(self) -> bool:
        """Whether the decoder was loaded."""
        return self._core.has_decoder

    @property
    def threads(self) -> int:
        """Threads one call may use: as many as asked for, or as the process has processors."""
        return self._core.threads

    @property
    def dtype(self) -> str:
        """Storage type of the weights in memory; arithmetic is float32."""
        return self._core.dtype

    @property
    def device(self) -> str:
        """Where the model runs: "cpu", "cuda:0". What `device="auto"` has found."""
        return self._core.device

    @property
    def simd(self) -> str:
        """Instruction set chosen on this machine: "avx512", "avx2", "neon" or "portable"."""
        return self._core.simd

    @property
    def weight_bytes(self) -> int:
        """Bytes of memory the weights take."""
        return self._core.weight_bytes


class CodebookFacts:
    """How a codec writes its latents as codes."""

    __slots__ = ()

    _core: _core.Model

    @property
    def num_codebooks(self) -> int:
        """Codebooks loaded, the most that `encode` gives and `decode` takes."""
        return self._core.num_codebooks

    @property
    def num_semantic_codebooks(self) -> int:
        """How many of the first codebooks are semantic; the rest are acoustic."""
        return self._core.num_semantic_codebooks

    @property
    def codebook_size(self) -> int:
        """Entries of each codebook: codes are in `0 <= code < codebook_size`."""
        return self._core.codebook_size

    def bits_per_second(self, num_codebooks: int | None = None) -> float:
        """Bits per second of the codes.

        Args:
            num_codebooks: codebooks in use; None stands for all that are loaded.

        Returns:
            The bit rate.

        Raises:
            ConfigError: a number of codebooks that is not loaded.
            InputTypeError: not an integer.

        Example:
            >>> from mimi_codec import Mimi
            >>> Mimi.demo().bits_per_second(8)
            1000.0
        """
        return self._codebooks(num_codebooks) * bits_per_code(self.codebook_size) * self._core.frame_rate

    def _codebooks(self, num_codebooks: SupportsIndex | None) -> int:
        if num_codebooks is None:
            return self.num_codebooks
        return to_count(num_codebooks, "num_codebooks", self.num_codebooks)
