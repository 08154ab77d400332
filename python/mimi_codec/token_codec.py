"""A codec of tokens: audio becomes frames of codes, and codes become audio.

Shapes: B batch, L samples, K codebooks, T frames, D latent width. T = ceil(L / frame_size).
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any, SupportsFloat

from . import _on_device
from ._arrays import ArrayInput, Float32Array, Int64Array, to_codes, to_frames, to_latents, to_lengths, to_pcm_batch
from ._facts import CodebookFacts
from ._options import PADDINGS, Padding, Stop, choice, to_limits
from .codec import Codec, Loaded
from .errors import AudioError, ConfigError
from .streams import DecoderStream, EncoderStream

__all__ = ["TokenCodec"]


class TokenCodec(CodebookFacts, Codec):
    """A codec whose codes are what is kept and sent: `Mimi`, and others that `mimi_codec.load` knows.

    Immutable: any number of threads may use one model at once, and all its streams share its weights. It pickles as
    where it came from and how it was loaded, so a worker process loads its own copy.

    Example:
        >>> import numpy as np
        >>> import mimi_codec
        >>> mimi_codec.Mimi.demo().save("demo")
        >>> codec = mimi_codec.load("demo")
        >>> isinstance(codec, mimi_codec.TokenCodec), codec.encode(np.zeros(48_000, np.float32)).shape
        (True, (16, 25))

    Raises:
        TypeError: `TokenCodec()` is called. It holds no weights.
    """

    __slots__ = ()

    _maker = "mimi_codec.load(name_or_path)"

    @classmethod
    def _check_kind(cls, loaded: Loaded) -> None:
        if loaded.core.num_codebooks == 0:
            raise ConfigError(f"expected a codec with codes, got a {loaded.core.kind}, which has latents only")

    @property
    def config(self) -> Any:
        """Every field of the configuration, as a `config.json` has them; a new dictionary."""
        return json.loads(self._core.config_json)

    # Whole clips

    def encode(
        self,
        pcm: ArrayInput,
        num_codebooks: int | None = None,
        *,
        lengths: ArrayInput | None = None,
        padding: Padding = "transformers",
        stop: Stop | None = None,
        timeout: SupportsFloat | None = None,
    ) -> Int64Array:
        """Audio to codes: (L,) to (K, T), (B, 1, L) to (B, K, T), int64.

        Audio is mono at `sample_rate`: float32, float64 or float16 in about [-1, 1], or int16. Nothing is resampled.
        An empty clip gives T = 0.

        Args:
            pcm: the samples; a NumPy array, a buffer, or an array of another library, on the CPU or on the GPU that the
                codec runs on. For an array on that GPU the codes are there too.
            num_codebooks: K; None gives all that are loaded. Fewer codebooks are the first rows of more.
            lengths: valid samples of each row of a batch. A row gives the codes it would give alone, then -1.
            padding: end of a clip that is not a whole number of frames. "transformers" pads at every convolution as
                Transformers does, "moshi" pads the clip with zeros; only the last frame can differ.
            stop: a `threading.Event`, or a function without arguments, that is asked between blocks of work (32 frames
                each) whether to give up.
            timeout: seconds after which to give up, between blocks of work.

        Returns:
            The codes, T = ceil(L / frame_size) frames of them.

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
            >>> Mimi.demo().encode(np.zeros(48_000, np.float32), num_codebooks=8).shape
            (8, 25)
        """
        self._need(self.has_encoder, "encode")
        count, padding_name = self._codebooks(num_codebooks), choice("padding", padding, PADDINGS)
        if _on_device.lies_on(pcm, self._core):
            options: dict[str, Any] = {"lengths": lengths, "padding": padding, "stop": stop, "timeout": timeout}
            host, pads = partial(self.encode, num_codebooks=count, **options), padding == PADDINGS[0]
            limits = to_limits(stop, timeout)
            given: Int64Array = _on_device.clips(
                self._core, "to_codes", pcm, count, limits, host, lengths=lengths, pads=pads
            )
            return given
        samples, batched = to_pcm_batch(pcm)
        sizes = to_lengths(lengths, batched, samples.shape[0], samples.shape[1], AudioError)
        codes = self._core.encode(samples, sizes, count, padding_name, to_limits(stop, timeout))
        return codes if batched else codes[0]

    def decode(
        self,
        codes: ArrayInput,
        *,
        lengths: ArrayInput | None = None,
        stop: Stop | None = None,
        timeout: SupportsFloat | None = None,
    ) -> Float32Array:
        """Codes to audio: (K, T) to (L,), (B, K, T) to (B, 1, L), float32.

        Args:
            codes: any integer type, with K from 1 to `num_codebooks`; for Code2Wav all of them. Frames of only -1 at
                the end of a batch's row are not there, as in what `encode` gives for rows of different lengths.
            lengths: frames of each row of a batch; what lies beyond is not read. None takes all frames that are there.
            stop, timeout: as in `encode`.

        Returns:
            The samples. L = T * frame_size - delay, with T the frames of the longest row; what lies beyond a row's own
            frames is 0.

        Raises:
            CodesError: wrong shape or lengths, too many codebooks, or a code outside `0 <= code < codebook_size`.
            ConfigError: a model without decoder, or a negative timeout.
            InputTypeError: not an array, not of an integer type, or a `stop` that cannot be asked.
            NumericError: values overflow, because weights are too large.
            OutOfMemoryError: there is not enough memory.
            StoppedError: `stop` said so.
            TimedOutError: the timeout has passed.

        Example:
            >>> import numpy as np
            >>> from mimi_codec import Mimi
            >>> Mimi.demo().decode(np.zeros((8, 25), np.int64)).shape
            (48000,)
        """
        self._need(self.has_decoder, "decode")
        if _on_device.lies_on(codes, self._core):
            host, limits = partial(self.decode, lengths=lengths, stop=stop, timeout=timeout), to_limits(stop, timeout)
            given: Float32Array = _on_device.clips(self._core, "from_codes", codes, 0, limits, host, lengths=lengths)
            return given
        rows, batched = to_codes(codes)
        pcm = self._core.decode(rows, to_frames(rows, lengths, batched), to_limits(stop, timeout))
        return pcm[:, None] if batched else pcm[0]

    # Around the quantizer; `encode_latents` and `decode_latents` are those of every codec

    def latents_to_codes(
        self,
        latents: ArrayInput,
        num_codebooks: int | None = None,
        *,
        stop: Stop | None = None,
        timeout: SupportsFloat | None = None,
    ) -> Int64Array:
        """Nearest codes: (D, T) to (K, T), (B, D, T) to (B, K, T), int64.

        Args:
            latents: float32, float64 or float16, with D = `latent_dim`.
            num_codebooks: K; None gives all that are loaded.
            stop, timeout: as in `encode`.

        Returns:
            The codes.

        Raises:
            ConfigError: K out of range, a model without encoder, or a negative timeout.
            InputTypeError: not an array, an element type that is not accepted, or a `stop` that cannot be asked.
            LatentsError: wrong shape, or values that are NaN, infinite or so large that sums overflow.
            NumericError: values overflow, because weights are too large.
            OutOfMemoryError: there is not enough memory.
            StoppedError: `stop` said so.
            TimedOutError: the timeout has passed.

        Example:
            >>> import numpy as np
            >>> from mimi_codec import Mimi
            >>> Mimi.demo().latents_to_codes(np.zeros((128, 25), np.float32), num_codebooks=8).shape
            (8, 25)
        """
        self._need(self.has_encoder, "encode")
        rows, batched = to_latents(latents)
        codes = self._core.latents_to_codes(rows, self._codebooks(num_codebooks), to_limits(stop, timeout))
        return codes if batched else codes[0]

    def codes_to_latents(
        self, codes: ArrayInput, *, stop: Stop | None = None, timeout: SupportsFloat | None = None
    ) -> Float32Array:
        """The latents that codes stand for: (K, T) to (D, T), (B, K, T) to (B, D, T), float32.

        Args:
            codes: as in `decode`.
            stop, timeout: as in `encode`.

        Returns:
            The latents; beyond a row's own frames they are 0.

        Raises:
            CodesError: wrong shape, too many codebooks, or a code out of range.
            ConfigError: a model without decoder, or a negative timeout.
            InputTypeError: not an array, not of an integer type, or a `stop` that cannot be asked.
            NumericError: values overflow, because weights are too large.
            OutOfMemoryError: there is not enough memory.
            StoppedError: `stop` said so.
            TimedOutError: the timeout has passed.

        Example:
            >>> import numpy as np
            >>> from mimi_codec import Mimi
            >>> Mimi.demo().codes_to_latents(np.zeros((8, 25), np.int64)).shape
            (128, 25)
        """
        self._need(self.has_decoder, "decode")
        rows, batched = to_codes(codes)
        frames = to_frames(rows, None, batched)
        latents = self._core.codes_to_latents(rows, frames, to_limits(stop, timeout))
        return latents if batched else latents[0]

    def quantize(self, latents: ArrayInput, num_codebooks: int | None = None) -> Float32Array:
        """Latents to the nearest ones that K codebooks can say, in the same shape.

        Args:
            latents: as in `latents_to_codes`.
            num_codebooks: K; None takes all that are loaded.

        Returns:
            The latents, float32.

        Raises:
            ConfigError: K out of range, or a model without encoder or decoder.
            InputTypeError: not an array, or an element type that is not accepted.
            LatentsError: wrong shape, or values that are NaN, infinite or so large that sums overflow.
            NumericError: values overflow, because weights are too large.
            OutOfMemoryError: there is not enough memory.

        Example:
            >>> import numpy as np
            >>> from mimi_codec import Mimi
            >>> Mimi.demo().quantize(np.zeros((128, 25), np.float32), num_codebooks=8).shape
            (128, 25)
        """
        return self.codes_to_latents(self.latents_to_codes(latents, num_codebooks))

    # Streams

    def encoder_stream(
        self, batch_size: int = 1, num_codebooks: int | None = None, *, latents: bool = False
    ) -> EncoderStream:
        """A new stream that turns audio into codes as it comes.

        Args:
            batch_size: clips at once, in the rows of a batch.
            num_codebooks: codebooks K of the codes; None gives all that are loaded.
            latents: give the latents before the quantizer, as `encode_latents`, and no codes.

        Returns:
            The stream, at the start of its clips.

        Raises:
            ConfigError: an option outside its range, `num_codebooks` for latents, or a model without encoder.
            InputTypeError: an option that is not an integer.
            OutOfMemoryError: there is not enough memory for so many rows.

        Example:
            >>> from mimi_codec import Mimi
            >>> Mimi.demo().encoder_stream(num_codebooks=8)
            EncoderStream(batch_size=1, num_codebooks=8, frames=[0], pending=[0])
        """
        if not latents:
            return self._encoder_stream(batch_size, self._codebooks(num_codebooks))
        if num_codebooks is not None:
            raise ConfigError(f"num_codebooks must be None for a stream of latents, got {num_codebooks!r}")
        return self._encoder_stream(batch_size, None)

    def decoder_stream(self, batch_size: int = 1, *, latents: bool = False) -> DecoderStream:
        """A new stream that turns codes into audio as they come.

        Args:
            batch_size: clips at once, in the rows of a batch.
            latents: take latents, as `decode_latents`, and no codes.

        Returns:
            The stream, at the start of its clips.

        Raises:
            ConfigError: an option outside its range, or a model without decoder.
            InputTypeError: an option that is not an integer.
            OutOfMemoryError: there is not enough memory for so many rows.

        Example:
            >>> from mimi_codec import Mimi
            >>> Mimi.demo().decoder_stream(batch_size=2)
            DecoderStream(batch_size=2, frames=[0, 0])
        """
        return self._decoder_stream(batch_size, latents=latents)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.name!r}, {self.kind}, {self.sample_rate} Hz, {self.frame_rate:g} frames/s, "
            f"{self.num_codebooks} codebooks of {self.codebook_size}, parts={self.parts!r}, dtype={self.dtype!r}, "
            f"threads={self.threads})"
        )
