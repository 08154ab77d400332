"""Streams: audio in and codes out, or the reverse, as they come.

Any way of cutting the input gives the result of the whole clip: concatenated pushes and the flush of an `EncoderStream`
equal `Mimi.encode`, the concatenated pushes of a `DecoderStream` equal `Mimi.decode`. Memory does not grow with time. A
stream may be called from several threads, one after the other; a call that fails leaves it as it was.

Shapes: B rows, n samples, K codebooks, m frames.
"""

from __future__ import annotations

from typing import NoReturn

from . import _core
from ._arrays import ArrayInput, Float32Array, Int64Array, to_codes, to_mask, to_pcm_batch
from .errors import AudioError, CodesError, InputTypeError

__all__ = ["DecoderStream", "EncoderStream"]


class _Stream:
    """What both streams share; subclasses give the rows their results."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise InputTypeError(f"{type(self).__name__} does not pickle; send save() and load() it into a new stream")


class EncoderStream(_Stream):
    """Audio to codes, for B clips in step. Made by `Mimi.encoder_stream`."""

    __slots__ = ("_batched", "_core")

    def __init__(self, core: _core.EncoderStream) -> None:
        self._core = core
        # flush() has no input to take its form from, so it answers in that of the last push
        self._batched = core.batch_size > 1

    @property
    def batch_size(self) -> int:
        """Rows B."""
        return self._core.batch_size

    @property
    def num_codebooks(self) -> int:
        """Codebooks K of the codes."""
        return self._core.num_codebooks

    @property
    def pending(self) -> list[int]:
        """Samples of each row that wait for their frame to be whole."""
        return self._core.pending

    @property
    def frames(self) -> list[int]:
        """Frames each row has given since it began."""
        return self._core.frames

    def push(self, pcm: ArrayInput, *, active: ArrayInput | None = None) -> Int64Array:
        """Take any number of samples, also 0, and give the codes of the frames they complete, also 0.

        (B, 1, n) gives (B, K, m) int64; a stream of one row also takes (n,) and gives (K, m). Where rows complete
        different numbers of frames, or are not `active`, the missing frames are -1 at the end.

        Args:
            pcm: mono samples at the model's rate, of the types `Mimi.encode` takes.
            active: bool (B,): rows to which the samples belong. The others stay untouched.

        Raises:
            AudioError: wrong shape, NaN or infinite samples.
            InputTypeError: no array, or an element type that is not accepted.
            StreamError: a row that was flushed and not reset, or a mask of another length.
        """
        samples, batched = to_pcm_batch(pcm, copy=True)
        _check_rows(samples.shape[0], batched, self.batch_size, "pcm", "(n,)", "1, n", AudioError)
        codes = self._core.push(samples, to_mask(active, "active"))
        self._batched = batched
        return codes if batched else codes[0]

    def flush(self, *, active: ArrayInput | None = None) -> Int64Array:
        """End the clips: the codes of the samples still pending, as (K, m) or (B, K, m) like the last push, m 0 or 1.

        The rest is padded as Transformers pads the end of a clip. A flushed row takes nothing more until it is reset.

        Raises `StreamError` for a mask of another length.
        """
        codes = self._core.flush(to_mask(active, "active"))
        return codes if self._batched else codes[0]

    def reset(self, mask: ArrayInput | None = None) -> None:
        """Make the rows of `mask` (bool (B,); all without one) exactly as in a new stream."""
        self._core.reset(to_mask(mask, "mask"))

    def copy(self) -> EncoderStream:
        """An independent stream in the same state; the weights are shared."""
        other = EncoderStream(self._core.copy())
        other._batched = self._batched
        return other

    def save(self) -> bytes:
        """The state as bytes, for `load` in a stream of the same model, rows and codebooks."""
        return self._core.save()

    def load(self, state: bytes) -> None:
        """Continue from a saved state. Raises `StreamError` if it is not of such a stream."""
        self._core.load(_state(state))

    def __copy__(self) -> EncoderStream:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, object]) -> EncoderStream:
        return self.copy()

    def __repr__(self) -> str:
        return (
            f"EncoderStream(batch_size={self.batch_size}, num_codebooks={self.num_codebooks}, "
            f"frames={self.frames}, pending={self.pending})"
        )


class DecoderStream(_Stream):
    """Codes to audio, for B clips in step. Made by `Mimi.decoder_stream`. Nothing is held back, so it has no flush."""

    __slots__ = ("_core",)

    def __init__(self, core: _core.DecoderStream) -> None:
        self._core = core

    @property
    def batch_size(self) -> int:
        """Rows B."""
        return self._core.batch_size

    @property
    def frames(self) -> list[int]:
        """Frames each row has decoded since it began."""
        return self._core.frames

    def push(self, codes: ArrayInput, *, active: ArrayInput | None = None) -> Float32Array:
        """Take any number of frames, also 0, and give their audio.

        (B, K, m) gives (B, 1, m * frame_size) float32; a stream of one row also takes (K, m) and gives
        (m * frame_size,). Rows that are not `active` give 0.

        Args:
            codes: of any integer type; K from 1 to the model's `num_codebooks`.
            active: bool (B,): rows to which the codes belong. The others stay untouched and their codes unread.

        Raises:
            CodesError: wrong shape, too many codebooks, or a code out of range.
            InputTypeError: no array, or not of an integer type.
            StreamError: a mask of another length.
        """
        rows, batched = to_codes(codes, copy=True)
        _check_rows(rows.shape[0], batched, self.batch_size, "codes", "(K, m)", "K, m", CodesError)
        pcm = self._core.push(rows, to_mask(active, "active"))
        return pcm[:, None] if batched else pcm[0]

    def reset(self, mask: ArrayInput | None = None) -> None:
        """Make the rows of `mask` (bool (B,); all without one) exactly as in a new stream."""
        self._core.reset(to_mask(mask, "mask"))

    def copy(self) -> DecoderStream:
        """An independent stream in the same state; the weights are shared."""
        return DecoderStream(self._core.copy())

    def save(self) -> bytes:
        """The state as bytes, for `load` in a stream of the same model and rows."""
        return self._core.save()

    def load(self, state: bytes) -> None:
        """Continue from a saved state. Raises `StreamError` if it is not of such a stream."""
        self._core.load(_state(state))

    def __copy__(self) -> DecoderStream:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, object]) -> DecoderStream:
        return self.copy()

    def __repr__(self) -> str:
        return f"DecoderStream(batch_size={self.batch_size}, frames={self.frames})"


def _check_rows(
    rows: int, batched: bool, batch_size: int, what: str, single: str, item: str, error: type[AudioError | CodesError]
) -> None:
    if rows != batch_size or (batch_size > 1 and not batched):
        form = f"{single} or (1, {item})" if batch_size == 1 else f"({batch_size}, {item})"
        got = f"a batch of {rows}" if batched else single
        raise error(f"{what} must have shape {form} for a stream of batch_size {batch_size}, got {got}")


def _state(state: bytes) -> bytes:
    if not isinstance(state, (bytes, bytearray, memoryview)):
        raise InputTypeError(f"state must be the bytes of save(), got {type(state).__name__}")
    return bytes(state)
