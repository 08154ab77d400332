"""The codec: load a model, encode and decode whole clips, open streams.

Shapes: B batch, L samples, K codebooks, T frames, D latent width. T = ceil(L / frame_size).
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any, SupportsIndex

from . import _core
from ._arrays import (
    ArrayInput,
    Float32Array,
    Int64Array,
    to_codes,
    to_count,
    to_latents,
    to_lengths,
    to_pcm_batch,
)
from ._options import PADDINGS, Padding, Parts, check_options, choice, thread_count
from .config import MimiConfig
from .demo_files import demo_directory
from .errors import AudioError, CodesError, ConfigError, LatentsError
from .hub import Source, resolve
from .streams import DecoderStream, EncoderStream

__all__ = ["Mimi"]


class Mimi:
    """A Mimi model. Made by `from_pretrained` or `demo`.

    Immutable: any number of threads may use one model at once, and all its streams share its weights. It pickles as
    where it came from and how it was loaded, so a worker process loads its own copy.
    """

    __slots__ = ("_config", "_core", "_options", "_source")

    _core: _core.Mimi
    _source: Source
    _options: dict[str, Any]
    _config: MimiConfig

    def __init__(self) -> None:
        raise TypeError("Mimi() holds no weights; use Mimi.from_pretrained(name_or_path) or Mimi.demo()")

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        parts: Parts = "both",
        num_codebooks: int | None = None,
        threads: int | None = None,
        dtype: str = "float32",
        device: str = "cpu",
        local_files_only: bool = False,
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
    ) -> Mimi:
        """Load a model from a directory, a safetensors file, or the Hugging Face hub.

        Args:
            name_or_path: an existing path, or a repository such as "kyutai/mimi".
            revision: branch, tag or commit of the repository.
            parts: "encoder" or "decoder" loads that half alone (the quantizer belongs to both).
            num_codebooks: load only the first ones; None loads all.
            threads: threads one call may use; None takes `MIMI_NUM_THREADS`, or 1. No more are used than the process
                has processors (its affinity, its quota).
            dtype: how the large weights are kept in memory: "float32", "bfloat16" or "int8". Arithmetic is in float32.
            device: "cpu".
            local_files_only: never use the network.
            cache_dir: cache of the hub, if not the usual one.
            token: access token of the hub, if not the stored one. It is not pickled.

        Raises:
            LoadError: nothing of that name, no network, or a corrupt file.
            WeightsError: a tensor is missing, has a wrong shape, or is one too many.
            ConfigError: the configuration is not supported, or an option is outside its range.
            DeviceError: the device is not supported.
        """
        options = check_options(parts, num_codebooks, threads, dtype, device)
        source = resolve(
            name_or_path, revision=revision, local_files_only=local_files_only, cache_dir=cache_dir, token=token
        )
        fetching = {"local_files_only": local_files_only, "cache_dir": cache_dir} if source.kind == "hub" else {}
        return cls._load(source, {**options, **fetching})

    @classmethod
    def demo(
        cls,
        *,
        parts: Parts = "both",
        num_codebooks: int | None = None,
        threads: int | None = None,
        dtype: str = "float32",
    ) -> Mimi:
        """The small model inside the package: real speech at low quality, no network.

        24 kHz, 12.5 frames per second, 16 codebooks of 1024. Its weights are CC BY-SA 3.0.

        Args:
            parts, num_codebooks, threads, dtype: as in `from_pretrained`.

        Returns:
            The model.

        Raises:
            ConfigError: an option outside its range.
            InputTypeError: an option of another type.
        """
        options = check_options(parts, num_codebooks, threads, dtype, "cpu")
        return cls._load(Source("demo", "demo", demo_directory()), options)

    @classmethod
    def _load(cls, source: Source, options: dict[str, Any]) -> Mimi:
        model = object.__new__(cls)
        model._core = _core.Mimi.load(
            str(source.path),
            options["parts"],
            options["num_codebooks"],
            thread_count(options["threads"]),
            options["dtype"],
            options["device"],
        )
        model._source = source
        model._options = options
        model._config = MimiConfig.from_json(model._core.config_json)
        return model

    # What it is

    @property
    def config(self) -> MimiConfig:
        """Every field of the configuration."""
        return self._config

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
        """Spelling of the tensor names in the files: "transformers", "transformers-5" or "kyutai"."""
        return self._core.layout

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

    @property
    def latent_dim(self) -> int:
        """Width D of the latents."""
        return self._core.latent_dim

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
        """Where the model runs."""
        return self._core.device

    @property
    def simd(self) -> str:
        """Instruction set chosen on this machine: "avx512", "avx2" or "portable"."""
        return self._core.simd

    @property
    def weight_bytes(self) -> int:
        """Bytes of memory the weights take."""
        return self._core.weight_bytes

    def bits_per_second(self, num_codebooks: int | None = None) -> float:
        """Bit rate of `num_codebooks` codebooks (all that are loaded without it)."""
        return self._codebooks(num_codebooks) * self._config.bits_per_code * self.frame_rate

    # Whole clips

    def encode(
        self,
        pcm: ArrayInput,
        num_codebooks: int | None = None,
        *,
        lengths: ArrayInput | None = None,
        padding: Padding = "transformers",
    ) -> Int64Array:
        """Audio to codes: (L,) to (K, T), (B, 1, L) to (B, K, T), int64.

        Audio is mono at `sample_rate`: float32, float64 or float16 in about [-1, 1], or int16. Nothing is resampled.
        An empty clip gives T = 0.

        Args:
            pcm: the samples; a NumPy array, a buffer, or a CPU array of another library.
            num_codebooks: K; None gives all that are loaded. Fewer codebooks are the first rows of more.
            lengths: valid samples of each row of a batch. A row gives the codes it would give alone, then -1.
            padding: end of a clip that is not a whole number of frames. "transformers" pads at every convolution as
                Transformers does, "moshi" pads the clip with zeros; only the last frame can differ.

        Raises:
            AudioError: wrong shape or length, NaN or infinite samples.
            InputTypeError: no array, or an element type that is not accepted.
            ConfigError: an option outside its range, or a model without encoder.
        """
        self._need(self.has_encoder, "encode")
        samples, batched = to_pcm_batch(pcm)
        sizes = to_lengths(lengths, batched, samples.shape[0], samples.shape[1], AudioError)
        codes = self._core.encode(samples, sizes, self._codebooks(num_codebooks), choice("padding", padding, PADDINGS))
        return codes if batched else codes[0]

    def decode(self, codes: ArrayInput, *, lengths: ArrayInput | None = None) -> Float32Array:
        """Codes to audio: (K, T) to (L,), (B, K, T) to (B, 1, L), float32, L = T * frame_size.

        K may be anything from 1 to `num_codebooks`.

        Args:
            codes: any integer type.
            lengths: valid frames of each row of a batch; what lies beyond is not read, and its audio is 0.

        Raises:
            CodesError: wrong shape, too many codebooks, or a code outside `0 <= code < codebook_size`.
            InputTypeError: no array, or not of an integer type.
            ConfigError: a model without decoder.
        """
        self._need(self.has_decoder, "decode")
        rows, batched = to_codes(codes)
        pcm = self._core.decode(rows, to_lengths(lengths, batched, rows.shape[0], rows.shape[2], CodesError))
        return pcm[:, None] if batched else pcm[0]

    # Before and after the quantizer

    def encode_latents(
        self, pcm: ArrayInput, *, lengths: ArrayInput | None = None, padding: Padding = "transformers"
    ) -> Float32Array:
        """Audio to latents before the quantizer: (L,) to (D, T), (B, 1, L) to (B, D, T), float32.

        Arguments and errors are those of `encode`; beyond a row's own frames the latents are 0.
        """
        self._need(self.has_encoder, "encode")
        samples, batched = to_pcm_batch(pcm)
        sizes = to_lengths(lengths, batched, samples.shape[0], samples.shape[1], AudioError)
        latents = self._core.encode_latents(samples, sizes, choice("padding", padding, PADDINGS))
        return latents if batched else latents[0]

    def latents_to_codes(self, latents: ArrayInput, num_codebooks: int | None = None) -> Int64Array:
        """Nearest codes: (D, T) to (K, T), (B, D, T) to (B, K, T), int64.

        Raises `LatentsError` for a wrong shape, NaN or infinite values, and `ConfigError` for K out of range.
        """
        rows, batched = to_latents(latents)
        codes = self._core.latents_to_codes(rows, self._codebooks(num_codebooks))
        return codes if batched else codes[0]

    def codes_to_latents(self, codes: ArrayInput) -> Float32Array:
        """The latents that codes stand for: (K, T) to (D, T), (B, K, T) to (B, D, T), float32.

        Raises `CodesError` for a wrong shape or a code out of range.
        """
        rows, batched = to_codes(codes)
        latents = self._core.codes_to_latents(rows)
        return latents if batched else latents[0]

    def quantize(self, latents: ArrayInput, num_codebooks: int | None = None) -> Float32Array:
        """Latents to the nearest ones that K codebooks can say, in the same shape.

        Raises what `latents_to_codes` does.
        """
        return self.codes_to_latents(self.latents_to_codes(latents, num_codebooks))

    def decode_latents(self, latents: ArrayInput, *, lengths: ArrayInput | None = None) -> Float32Array:
        """Latents to audio: (D, T) to (L,), (B, D, T) to (B, 1, L), float32.

        `lengths` gives the valid frames of each row of a batch. Raises `LatentsError` for a wrong shape, NaN or
        infinite values.
        """
        self._need(self.has_decoder, "decode")
        rows, batched = to_latents(latents)
        sizes = to_lengths(lengths, batched, rows.shape[0], rows.shape[2], LatentsError)
        pcm = self._core.decode_latents(rows, sizes)
        return pcm[:, None] if batched else pcm[0]

    # Streams

    def encoder_stream(self, batch_size: int = 1, num_codebooks: int | None = None) -> EncoderStream:
        """A new stream that turns audio into codes as it comes, for `batch_size` clips at once."""
        self._need(self.has_encoder, "encode")
        rows = to_count(batch_size, "batch_size")
        return EncoderStream(_core.EncoderStream(self._core, rows, self._codebooks(num_codebooks)))

    def decoder_stream(self, batch_size: int = 1) -> DecoderStream:
        """A new stream that turns codes into audio as they come, for `batch_size` clips at once."""
        self._need(self.has_decoder, "decode")
        return DecoderStream(_core.DecoderStream(self._core, to_count(batch_size, "batch_size")))

    # Files, copies, processes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model into a directory as `config.json` and `model.safetensors`, as Transformers reads them.

        Raises `LoadError` where the source files are gone or the directory cannot be written.
        """
        self._core.save(os.fspath(path))

    def __repr__(self) -> str:
        parts = "both" if self.has_encoder and self.has_decoder else "encoder" if self.has_encoder else "decoder"
        return (
            f"Mimi({self.name!r}, {self.sample_rate} Hz, {self.frame_rate:g} frames/s, {self.num_codebooks} codebooks "
            f"of {self.codebook_size}, parts={parts!r}, dtype={self.dtype!r}, threads={self.threads})"
        )

    def __copy__(self) -> Mimi:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Mimi:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _reload, (self._source, self._options)

    def _codebooks(self, num_codebooks: SupportsIndex | None) -> int:
        if num_codebooks is None:
            return self.num_codebooks
        return to_count(num_codebooks, "num_codebooks", self.num_codebooks)

    def _need(self, there: bool, verb: str) -> None:
        if not there:
            raise ConfigError(f"this model cannot {verb}: it was loaded with parts={self._options['parts']!r}")


def _reload(source: Source, options: dict[str, Any]) -> Mimi:
    """Load a pickled model again, in what may be another process or on another machine."""
    if source.kind == "demo":
        return Mimi._load(Source("demo", "demo", demo_directory()), options)
    if source.kind == "hub":
        return Mimi.from_pretrained(source.name, revision=source.revision, **options)
    return Mimi._load(dataclasses.replace(source, path=resolve(source.path).path), options)
