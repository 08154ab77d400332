"""What every codec does, whatever lies between its two halves: loading, latents, saving, copies and processes.

Shapes: B batch, L samples, T frames, D latent width. T = ceil(L / frame_size).
"""

from __future__ import annotations

import dataclasses
import os
from functools import partial
from typing import Any, NamedTuple, Self, SupportsFloat, SupportsIndex

from . import _core, _on_device
from ._arrays import ArrayInput, Float32Array, to_count, to_latents, to_lengths, to_pcm_batch
from ._facts import Facts
from ._options import DTYPES, OPTIONS, PADDINGS, Padding, Stop, check_options, choice, thread_count, to_limits
from .demo_files import demo_directory
from .errors import AudioError, ConfigError, LatentsError
from .hub import Source, resolve
from .streams import DecoderStream, EncoderStream


class Loaded(NamedTuple):
    """Weights in memory, not yet of a class."""

    core: _core.Model
    source: Source
    options: dict[str, Any]


def load_named(
    name_or_path: str | os.PathLike[str],
    options: dict[str, Any],
    *,
    revision: str | None,
    local_files_only: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
) -> Loaded:
    """Load what a path or the hub has, with what `check_options` gave."""
    source = resolve(
        name_or_path,
        revision=revision,
        module=options["module"],
        local_files_only=local_files_only,
        cache_dir=cache_dir,
        token=token,
    )
    fetching = {"local_files_only": local_files_only, "cache_dir": cache_dir} if source.kind == "hub" else {}
    return load_source(source, {**options, **fetching})


def load_source(source: Source, options: dict[str, Any]) -> Loaded:
    """Load files that are there."""
    core = _core.Model.load(
        str(source.path),
        options["parts"],
        options["num_codebooks"],
        thread_count(options["threads"]),
        options["dtype"],
        options["device"],
        options["module"],
    )
    return Loaded(core, source, options)


class Codec(Facts):
    """What the classes of codecs share."""

    __slots__ = ("_core", "_options", "_source")

    _maker: str
    """How a user makes one."""

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__}() holds no weights; use {self._maker}")

    @classmethod
    def _of(cls, loaded: Loaded) -> Self:
        cls._check_kind(loaded)
        codec = object.__new__(cls)
        codec._core, codec._source, codec._options = loaded
        return codec

    @classmethod
    def _check_kind(cls, loaded: Loaded) -> None:
        """Refuse weights of a codec that this class is not for."""

    def encode_latents(
        self,
        pcm: ArrayInput,
        *,
        lengths: ArrayInput | None = None,
        padding: Padding = "transformers",
        stop: Stop | None = None,
        timeout: SupportsFloat | None = None,
    ) -> Float32Array:
        """Audio to latents: (L,) to (D, T), (B, 1, L) to (B, D, T), float32. D = `latent_dim`.

        Those of `Mimi` are what its quantizer takes. T = ceil(L / frame_size); a VibeVoice leaves out the samples after
        the last whole frame, of which `left_over` tells the number, unless `padding` is "moshi".

        Args:
            pcm: mono samples at `sample_rate`: float32, float64 or float16 in about [-1, 1], or int16.
            lengths: valid samples of each row of a batch. A row gives the latents it would give alone, then 0.
            padding: end of a clip that is not a whole number of frames. "transformers" pads at every convolution as
                Transformers does, "moshi" pads the clip with zeros, as Kyutai's packages do; only the last frame can
                differ.
            stop: a `threading.Event`, or a function without arguments, that is asked between blocks of work (32 frames
                each) whether to give up.
            timeout: seconds after which to give up, between blocks of work.

        Returns:
            The latents; beyond a row's own frames they are 0.

        Raises:
            AudioError: wrong shape or length, or samples that are NaN, infinite or so large that sums overflow.
            ConfigError: an option outside its range, or a model without encoder.
            InputTypeError: not an array, an element type that is not accepted, or a `stop` that cannot be asked.
            NumericError: values overflow, because weights are too large.
            OutOfMemoryError: there is not enough memory.
            StoppedError: `stop` said so.
            TimedOutError: the timeout has passed.

        Example:
            >>> import numpy as np
            >>> from mimi_codec import Mimi
            >>> Mimi.demo().encode_latents(np.zeros(48_000, np.float32)).shape
            (128, 25)
        """
        self._need(self.has_encoder, "encode")
        padding_name = choice("padding", padding, PADDINGS)
        if _on_device.lies_on(pcm, self._core):
            options: dict[str, Any] = {"lengths": lengths, "padding": padding, "stop": stop, "timeout": timeout}
            host, pads = partial(self.encode_latents, **options), padding == PADDINGS[0]
            limits = to_limits(stop, timeout)
            given: Float32Array = _on_device.clips(
                self._core, "to_latents", pcm, 0, limits, host, lengths=lengths, pads=pads
            )
            return given
        samples, batched = to_pcm_batch(pcm)
        sizes = to_lengths(lengths, batched, samples.shape[0], samples.shape[1], AudioError)
        latents = self._core.encode_latents(samples, sizes, padding_name, to_limits(stop, timeout))
        return latents if batched else latents[0]

    def decode_latents(
        self,
        latents: ArrayInput,
        *,
        lengths: ArrayInput | None = None,
        stop: Stop | None = None,
        timeout: SupportsFloat | None = None,
    ) -> Float32Array:
        """Latents to audio: (D, T) to (L,), (B, D, T) to (B, 1, L), float32.

        Args:
            latents: float32, float64 or float16, with D = `decoder_latent_dim`.
            lengths: frames of each row of a batch; None takes all of them.
            stop, timeout: as in `encode_latents`.

        Returns:
            The samples. L = T * frame_size - delay, with T the frames of the longest row; what lies beyond a row's own
            frames is 0.

        Raises:
            ConfigError: a model without decoder, or a negative timeout.
            InputTypeError: not an array, an element type that is not accepted, or a `stop` that cannot be asked.
            LatentsError: wrong shape or lengths, or values that are NaN, infinite or so large that sums overflow.
            NumericError: values overflow, because weights are too large.
            OutOfMemoryError: there is not enough memory.
            StoppedError: `stop` said so.
            TimedOutError: the timeout has passed.

        Example:
            >>> import numpy as np
            >>> from mimi_codec import Mimi
            >>> Mimi.demo().decode_latents(np.zeros((128, 25), np.float32)).shape
            (48000,)
        """
        self._need(self.has_decoder, "decode")
        if _on_device.lies_on(latents, self._core):
            host, limits = (
                partial(self.decode_latents, lengths=lengths, stop=stop, timeout=timeout),
                to_limits(stop, timeout),
            )
            given: Float32Array = _on_device.clips(
                self._core, "from_latents", latents, 0, limits, host, lengths=lengths
            )
            return given
        rows, batched = to_latents(latents)
        sizes = to_lengths(lengths, batched, rows.shape[0], rows.shape[2], LatentsError)
        pcm = self._core.decode_latents(rows, sizes, to_limits(stop, timeout))
        return pcm[:, None] if batched else pcm[0]

    def left_over(self, num_samples: SupportsIndex, *, padding: Padding = "transformers") -> int:
        """Samples at the end of a clip that the codec leaves out, as its reference does.

        Args:
            num_samples: length of the clip.
            padding: with which it is encoded; "moshi" leaves nothing out.

        Returns:
            0 for codecs that fill up the last frame, which most do. A VibeVoice leaves out what is not a whole frame,
            but for `padding="moshi"`, which fills it up with zeros.

        Raises:
            ConfigError: a negative length, or another padding.
            InputTypeError: not an integer.

        Example:
            >>> from mimi_codec import Mimi
            >>> Mimi.demo().left_over(2000)
            0
        """
        length = to_count(num_samples, "num_samples", least=0)
        fills_up = choice("padding", padding, PADDINGS) == "moshi" or not self._core.leaves_rest_out
        return 0 if fills_up else length % self.frame_size

    # Streams

    def _encoder_stream(self, batch_size: int, num_codebooks: int | None) -> EncoderStream:
        """Of codes of so many codebooks, or without them of latents."""
        self._need(self.has_encoder, "encode")
        rows = to_count(batch_size, "batch_size")
        direction = "to_latents" if num_codebooks is None else "to_codes"
        return EncoderStream._of(_core.Stream(self._core, direction, rows, num_codebooks or 0))

    def _decoder_stream(self, batch_size: int, *, latents: bool) -> DecoderStream:
        self._need(self.has_decoder, "decode")
        rows = to_count(batch_size, "batch_size")
        return DecoderStream._of(_core.Stream(self._core, "from_latents" if latents else "from_codes", rows, 0))

    # Files, copies, processes

    def save(self, path: str | os.PathLike[str], *, packed: bool = False, dtype: str | None = None) -> None:
        """Write the model into a directory as `config.json` and `model.safetensors`, as Transformers reads them.

        With `packed` or a `dtype` it is one file instead, of what was loaded, which this package alone reads. It is
        loaded with the `parts` that this model has.

        With `packed` it has the weights as the kernels of this processor read them. Loading maps it instead of reading
        it: within milliseconds, and all processes of a machine share the weights.

        With a `dtype` it is as small as it can be, and the same on every processor. A model that is loaded from it
        gives the codes and samples, bit for bit, of one that is loaded from the codec's own files with this `dtype`.

        Args:
            path: the directory, which is made if it is not there; or the file, which is replaced at once if it is
                there. A packed file is then read-only.
            packed: whether to write a packed file.
            dtype: "float32", "bfloat16" or "int8", or "auto" for that of this model, to write a compact file.

        Raises:
            ConfigError: both `packed` and a `dtype`, another `dtype` than these, or one that the packed or compact file
                does not have from which this model was loaded.
            DeviceError: a model on a GPU is to be packed.
            LoadError: the source files are gone, or packed and not to be written as tensors, or the directory or file
                cannot be written.

        Example:
            >>> from mimi_codec import Mimi
            >>> Mimi.demo().save("demo.packed", packed=True)
            >>> Mimi.from_pretrained("demo.packed").num_codebooks
            16
            >>> Mimi.demo(parts="encoder", num_codebooks=8).save("small", dtype="int8")
            >>> Mimi.from_pretrained("small", parts="encoder").dtype
            'int8'
        """
        if packed and dtype is not None:
            raise ConfigError(
                f"save takes packed or a dtype, got both: load the model with dtype={dtype!r} to pack it so"
            )
        if packed:
            self._core.save_packed(os.fspath(path))
        elif dtype is not None:
            self._core.save_compact(os.fspath(path), choice("dtype", dtype, DTYPES))
        else:
            self._core.save(os.fspath(path))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _reload, (type(self), self._source, self._options)

    def _need(self, there: bool, verb: str) -> None:
        if there:
            return
        if self._options["parts"] == "both":
            raise ConfigError(f"this model cannot {verb}: a codec of the kind {self.kind!r} has no {verb}r")
        raise ConfigError(f"this model cannot {verb}: it was loaded with parts={self._options['parts']!r}")


def _reload(codec: type[Codec], source: Source, options: dict[str, Any]) -> Codec:
    """Load a pickled model again, in what may be another process or on another machine."""
    if source.kind == "demo":
        return codec._of(load_source(Source("demo", "demo", demo_directory()), options))
    if source.kind == "hub":
        checked = check_options(**{name: options[name] for name in OPTIONS})
        fetching = {name: options[name] for name in ("local_files_only", "cache_dir")}
        return codec._of(load_named(source.name, checked, revision=source.revision, **fetching))
    return codec._of(load_source(dataclasses.replace(source, path=resolve(source.path).path), options))
