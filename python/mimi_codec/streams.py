"""Streams: audio in and codes or latents out, or the reverse, as they come.

Any way of cutting the input gives the result of the whole clip: concatenated pushes and the flush of an `EncoderStream`
equal `encode` or `encode_latents`, the concatenated pushes of a `DecoderStream` equal `decode` or `decode_latents`.
Memory does not grow with time. A stream may be called from several threads, one after the other; a call that fails
leaves it as it was.

Shapes: B rows, n samples, K codebooks, D latent width, m frames.
"""

from __future__ import annotations

from functools import partial
from typing import NoReturn, Self, SupportsFloat

from . import _on_device
from ._arrays import (
    AnyArray,
    ArrayInput,
    Float32Array,
    to_codes,
    to_frames,
    to_latents,
    to_lengths,
    to_mask,
    to_pcm_batch,
    to_rows,
)
from ._core import Stream as CoreStream
from ._options import PADDINGS, Padding, Stop, choice, to_limits
from .errors import AudioError, CodesError, InputTypeError, LatentsError, MimiError

__all__ = ["DecoderStream", "EncoderStream"]


class Stream:
    """What both streams share; subclasses give the rows their results."""

    __slots__ = ("_core",)

    _core: CoreStream
    _maker: str

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__}() has no model; use {self._maker}")

    @classmethod
    def _of(cls, core: CoreStream) -> Self:
        stream = object.__new__(cls)
        stream._core = core
        return stream

    @property
    def batch_size(self) -> int:
        """Rows B."""
        return self._core.batch_size

    @property
    def of_latents(self) -> bool:
        """Whether it gives or takes latents, and no codes."""
        return self._core.of_latents

    def reset(self, mask: ArrayInput | None = None) -> None:
        """Make rows exactly as they are in a new stream.

        Args:
            mask: bool (B,): the rows to reset; None resets all of them.

        Raises:
            InputTypeError: the mask is not an array of bool.
            StreamError: a mask of another length.

        Example:
            >>> import numpy as np
            >>> from mimi_codec import Mimi
            >>> stream = Mimi.demo().encoder_stream(batch_size=2)
            >>> stream.push(np.zeros((2, 1, 2000), np.float32)).shape
            (2, 16, 1)
            >>> stream.reset(np.array([True, False]))
            >>> stream.frames, stream.pending
            ([0, 1], [0, 80])
        """
        self._core.reset(to_mask(mask, "mask"))

    def copy(self) -> Self:
        """An independent stream in the same state; the weights are shared.

        Returns:
            The new stream.

        Example:
            >>> import numpy as np
            >>> from mimi_codec import Mimi
            >>> stream = Mimi.demo().decoder_stream()
            >>> stream.copy().push(np.zeros((8, 3), np.int64)).shape
            (5760,)
            >>> stream.frames
            [0]
        """
        return self._of(self._core.copy())

    def save(self, rows: ArrayInput | None = None) -> bytes:
        """The state as bytes, for `load` in another stream, also in another process.

        Args:
            rows: numbers of the rows to save, from 0; None saves all of them.

        Returns:
            A safetensors file, with a checksum and a fingerprint of the weights.

        Raises:
            InputTypeError: not a list of integers.
            StreamError: a row that is not there, or is named twice.

        Example:
            >>> from mimi_codec import Mimi
            >>> stream = Mimi.demo().encoder_stream()
            >>> state = stream.save()
            >>> stream.load(state)
        """
        return self._core.save(to_rows(rows, self.batch_size))

    def load(self, state: bytes, rows: ArrayInput | None = None) -> None:
        """Continue from a saved state. So clips move between streams of any batch size.

        Args:
            state: what `save` gave in a stream of the same kind, with as many rows as are named here and, for an
                encoder, codebooks. Its model must have the same weights, in the same `dtype`.
            rows: numbers of the rows that go on from it, from 0; the others stay as they are. None stands for all.

        Raises:
            InputTypeError: not bytes, or `rows` that are not a list of integers.
            StreamError: a row that is not there, or is named twice; a damaged state, or one of another kind of stream,
                of another model or of another release of this package. The stream is then as it was.

        Example:
            >>> from mimi_codec import Mimi
            >>> one, many = Mimi.demo().encoder_stream(), Mimi.demo().encoder_stream(batch_size=8)
            >>> many.load(one.save(), rows=[5])
        """
        if not isinstance(state, (bytes, bytearray, memoryview)):
            raise InputTypeError(f"state must be the bytes of save(), got {type(state).__name__}")
        self._core.load(bytes(state), to_rows(rows, self.batch_size))

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self.copy()

    def __reduce__(self) -> NoReturn:
        raise InputTypeError(f"{type(self).__name__} does not pickle; send save() and load() it into a new stream")


class EncoderStream(Stream):
    """Audio to codes or latents, for B clips in step. Made by `TokenCodec.encoder_stream`
    and `LatentCodec.encoder_stream`.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> mimi = Mimi.demo()
        >>> stream, pcm = mimi.encoder_stream(), np.zeros(5000, np.float32)
        >>> codes = np.concatenate([stream.push(pcm[:1000]), stream.push(pcm[1000:]), stream.flush()], axis=1)
        >>> np.array_equal(codes, mimi.encode(pcm))
        True
    """

    __slots__ = ()

    _maker = "Mimi.encoder_stream(batch_size)"

    @property
    def num_codebooks(self) -> int:
        """Codebooks K of the codes; 0 for a stream of latents."""
        return self._core.num_codebooks or 0

    @property
    def pending(self) -> list[int]:
        """Samples of each row that wait for their frame to be whole."""
        return self._core.pending

    @property
    def frames(self) -> list[int]:
        """Frames that each row has given since it began."""
        return self._core.frames

    def push(
        self,
        pcm: ArrayInput,
        *,
        active: ArrayInput | None = None,
        stop: Stop | None = None,
        timeout: SupportsFloat | None = None,
    ) -> AnyArray:
        """Take any number of samples, also 0, and give the frames that they complete, also 0.

        Args:
            pcm: mono samples at the model's rate, (B, 1, n), of the types that `Mimi.encode` takes. A stream of one row
                also takes (n,).
            active: bool (B,): rows to which the samples belong. The others stay untouched.
            stop: a `threading.Event`, or a function without arguments, that is asked between blocks of work whether to
                give up.
            timeout: seconds after which to give up, between blocks of work.

        Returns:
            Codes (B, K, m) int64, or (K, m) for (n,); of a stream of latents (B, D, m) or (D, m) float32. Where rows
            complete different numbers of frames, or are not `active`, the missing frames are -1 at the end, or 0 in
            latents.

        Raises:
            AudioError: wrong shape, or samples that are NaN, infinite or so large that sums overflow.
            ConfigError: a negative timeout.
            InputTypeError: not an array, an element type that is not accepted, or a `stop` that cannot be asked.
            NumericError: values overflow, because weights are too large; nothing was taken.
            OutOfMemoryError: there is not enough memory; nothing was taken.
            StoppedError: `stop` said so; nothing was taken.
            StreamError: a row that was flushed and not reset, or a mask of another length.
            TimedOutError: the timeout has passed; nothing was taken.

        Example:
            >>> import numpy as np
            >>> from mimi_codec import Mimi
            >>> stream = Mimi.demo().encoder_stream(num_codebooks=8)
            >>> stream.push(np.zeros(5000, np.float32)).shape
            (8, 2)
            >>> stream.pending
            [1160]
        """
        if _on_device.lies_on(pcm, self._core):
            direction = "to_latents" if self.of_latents else "to_codes"
            host, rows = partial(self.push, active=active, stop=stop, timeout=timeout), to_mask(active, "active")
            given: AnyArray = _on_device.frames(self._core, direction, pcm, rows, to_limits(stop, timeout), host)
            return given
        samples, batched = to_pcm_batch(pcm, copy=True)
        _check_rows(samples.shape[0], batched, self.batch_size, "pcm", "(n,)", "1, n", AudioError)
        frames = self._core.push_pcm(samples, to_mask(active, "active"), to_limits(stop, timeout))
        return frames if batched else frames[0]

    def flush(
        self, *, active: ArrayInput | None = None, batched: bool = False, padding: Padding = "transformers"
    ) -> AnyArray:
        """End the clips, and give the frames of the samples that are still pending.

        A flushed row takes nothing more until it is reset.

        Args:
            active: bool (B,): rows whose clips end; None ends all of them.
            batched: give (1, K, m) also for a stream of one row.
            padding: how the rest is filled up to a frame: "transformers" or "moshi", as in `encode`. A VibeVoice leaves
                the rest out unless it is "moshi".

        Returns:
            Codes (B, K, m) int64, or (K, m) for a stream of one row, with m 0 or 1. Rows without a frame have -1 where
            others have one. A stream of latents gives (B, D, m) or (D, m) float32, with 0 for -1.

        Raises:
            ConfigError: another padding.
            InputTypeError: the mask is not an array of bool.
            NumericError: values overflow, because weights are too large; the stream is as before.
            OutOfMemoryError: there is not enough memory; the stream is as before.
            StreamError: a mask of another length, or a row that was flushed before.

        Example:
            >>> import numpy as np
            >>> from mimi_codec import Mimi
            >>> stream = Mimi.demo().encoder_stream(num_codebooks=8)
            >>> stream.push(np.zeros(2000, np.float32)).shape, stream.flush().shape
            ((8, 1), (8, 1))
        """
        frames = self._core.flush(to_mask(active, "active"), choice("padding", padding, PADDINGS))
        return frames if batched or self.batch_size > 1 else frames[0]

    def __repr__(self) -> str:
        gives = "latents" if self.of_latents else f"num_codebooks={self.num_codebooks}"
        return f"EncoderStream(batch_size={self.batch_size}, {gives}, frames={self.frames}, pending={self.pending})"


class DecoderStream(Stream):
    """Codes or latents to audio, for B clips in step. Samples come as soon as they are settled: nothing is held back.

    Made by `TokenCodec.decoder_stream` and `LatentCodec.decoder_stream`. A codec with a `delay` gives so many samples
    fewer in the first frames of a clip.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> mimi = Mimi.demo()
        >>> stream, codes = mimi.decoder_stream(), np.zeros((8, 5), np.int64)
        >>> pcm = np.concatenate([stream.push(codes[:, :2]), stream.push(codes[:, 2:])])
        >>> np.array_equal(pcm, mimi.decode(codes))
        True
    """

    __slots__ = ()

    _maker = "Mimi.decoder_stream(batch_size)"

    @property
    def frames(self) -> list[int]:
        """Frames that each row has decoded since it began."""
        return self._core.frames

    def push(
        self,
        codes: ArrayInput,
        *,
        lengths: ArrayInput | None = None,
        active: ArrayInput | None = None,
        stop: Stop | None = None,
        timeout: SupportsFloat | None = None,
    ) -> Float32Array:
        """Take any number of frames, also 0, and give their audio.

        Args:
            codes: (B, K, m) of any integer type, with K from 1 to the model's `num_codebooks`. A stream of one row also
                takes (K, m). Frames of only -1 at the end of a batch's row are not there, as in what an encoder gives.
                A stream of latents takes those, (B, D, m) or (D, m), in float32, float64 or float16.
            lengths: frames of each row; what lies beyond is not read. None takes all frames that are there.
            active: bool (B,): rows to which the frames belong. The others stay untouched and theirs unread.
            stop: a `threading.Event`, or a function without arguments, that is asked between blocks of work whether to
                give up.
            timeout: seconds after which to give up, between blocks of work.

        Returns:
            Samples (B, 1, m * frame_size) float32, or (m * frame_size,) without a batch dimension. Rows that are not
            `active` are 0, and so is what lies beyond a row's frames. In a codec with a `delay` a row's first frames
            are so many samples shorter, and the array is as long as the longest row.

        Raises:
            CodesError: wrong shape or lengths, too many codebooks, or a code out of range.
            ConfigError: a negative timeout.
            InputTypeError: not an array, an element type that is not accepted, or a `stop` that cannot be asked.
            LatentsError: wrong shape or lengths of latents, or values that are NaN, infinite or too large.
            NumericError: values overflow, because weights are too large; nothing was taken.
            OutOfMemoryError: there is not enough memory; nothing was taken.
            StoppedError: `stop` said so; nothing was taken.
            StreamError: a mask of another length.
            TimedOutError: the timeout has passed; nothing was taken.

        Example:
            >>> import numpy as np
            >>> from mimi_codec import Mimi
            >>> stream = Mimi.demo().decoder_stream(batch_size=2)
            >>> codes = np.zeros((2, 8, 3), np.int64)
            >>> codes[1, :, 1:] = -1
            >>> stream.push(codes).shape, stream.frames
            ((2, 1, 5760), [3, 1])
        """
        mask, limits = to_mask(active, "active"), to_limits(stop, timeout)
        if _on_device.lies_on(codes, self._core):
            direction = "from_latents" if self.of_latents else "from_codes"
            host = partial(self.push, lengths=lengths, active=active, stop=stop, timeout=timeout)
            given: Float32Array = _on_device.frames(self._core, direction, codes, mask, limits, host, lengths=lengths)
            return given
        if self.of_latents:
            latents, batched = to_latents(codes, copy=True)
            _check_rows(latents.shape[0], batched, self.batch_size, "latents", "(D, m)", "D, m", LatentsError)
            sizes = to_lengths(lengths, batched, latents.shape[0], latents.shape[2], LatentsError)
            pcm = self._core.push_latents(latents, sizes, mask, limits)
        else:
            rows, batched = to_codes(codes, copy=True)
            _check_rows(rows.shape[0], batched, self.batch_size, "codes", "(K, m)", "K, m", CodesError)
            pcm = self._core.push_codes(rows, to_frames(rows, lengths, batched), mask, limits)
        return pcm[:, None] if batched else pcm[0]

    def flush(self, *, active: ArrayInput | None = None, batched: bool = False) -> Float32Array:
        """End the clips. There is no sample that was not given, so this gives none; it is there as encoders have it.

        A flushed row takes nothing more until it is reset.

        Args:
            active: bool (B,): rows whose clips end; None ends all of them.
            batched: give (1, 1, 0) also for a stream of one row.

        Returns:
            Samples (B, 1, 0) float32, or (0,) for a stream of one row.

        Raises:
            InputTypeError: the mask is not an array of bool.
            StreamError: a mask of another length, or a row that was flushed before.

        Example:
            >>> import numpy as np
            >>> from mimi_codec import Mimi
            >>> stream = Mimi.demo().decoder_stream()
            >>> stream.push(np.zeros((8, 3), np.int64)).shape, stream.flush().shape
            ((5760,), (0,))
        """
        pcm = self._core.flush(to_mask(active, "active"), PADDINGS[0])
        return pcm[:, None] if batched or self.batch_size > 1 else pcm[0]

    def __repr__(self) -> str:
        takes = ", latents" if self.of_latents else ""
        return f"DecoderStream(batch_size={self.batch_size}{takes}, frames={self.frames})"


def _check_rows(
    rows: int, batched: bool, batch_size: int, what: str, single: str, item: str, error: type[MimiError]
) -> None:
    if rows != batch_size or (batch_size > 1 and not batched):
        form = f"{single} or (1, {item})" if batch_size == 1 else f"({batch_size}, {item})"
        got = f"a batch of {rows}" if batched else single
        raise error(f"{what} must have shape {form} for a stream of batch_size {batch_size}, got {got}")
