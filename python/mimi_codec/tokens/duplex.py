"""One step at a time: the tokens that a running language model reads and the frames that the decoder gets.

    stream = DuplexStream(MOSHI_7B)
    decoder = mimi.decoder_stream()
    for user in codes_of_the_microphone:  # (8, 1)
        text, audio = sample(model(stream.inputs(user)))
        stream.push(user, text, audio)
        frame = stream.pull()
        if frame is not None:
            play(decoder.push(frame.codes, active=frame.active))

Frames are kept undelayed. At step s a row with delay d reads frame s - 1 - d, and what is sampled for it is frame
s - d. So after step s frame s - max_delay is complete. There are two conventions for the user's codes of step s:

* "pytorch" (moshi's `LMGen`): they are frame s - 1, heard in the same step. The codes of the first step are before the
  beginning and are never heard. So moshi's `run_inference` pushes the first codes twice, and its server resets its
  encoder after them.
* "rust" (moshi-core and moshi_mlx): they are frame s, heard one step later.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from .._arrays import ArrayInput, BoolArray, Int64Array, span, to_codes, to_count, to_mask
from ..errors import CodesError, ConfigError, StreamError
from ._inputs import to_integers
from .layouts import StreamLayout
from .sentinels import Policy, apply_policy, check_policy, sentinel_names

__all__ = ["Aligned", "Convention", "DuplexStream"]

Convention = Literal["pytorch", "rust"]
USER_LAG: dict[str, int] = {"pytorch": 1, "rust": 0}


class Aligned(NamedTuple):
    """A complete frame, of every row of the stream.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import DuplexStream, StreamLayout
        >>> stream = DuplexStream(StreamLayout("small", 1, 0, (0, 0), text_card=100, card=1024))
        >>> stream.push(text=5, audio=np.array([[7]]))
        >>> frame = stream.pull()
        >>> frame.codes.tolist(), frame.active.tolist()
        ([[7]], [True])
    """

    text: Int64Array
    """(B,): the text token of the frame; `ungenerated_id` for rows that have none."""
    codes: Int64Array
    """(num_generated, 1), or (B, num_generated, 1) of a batch: codes for the decoder, 0 for rows that have none."""
    active: BoolArray
    """(B,): which rows have codes; goes to the decoder's `push(codes, active=...)`."""


class DuplexStream:
    """The tokens of B conversations side by side.

    A failed call changes nothing. Rows are independent: each has its own step, and `active=` leaves some out. One
    stream is not for use from several threads at once.

    Args:
        layout: the rows of the model.
        batch_size: B, the number of conversations.
        convention: "pytorch" or "rust": when the user is heard (see the text of the module).

    Raises:
        ConfigError: `batch_size` is below 1, or the convention is not one of the two.
        InputTypeError: `batch_size` is not an integer.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import MOSHI_7B, DuplexStream
        >>> stream = DuplexStream(MOSHI_7B)
        >>> user = voice = np.zeros((8, 1), np.int64)
        >>> for step in range(2):  # the model reads the inputs, and samples a text token and its voice
        ...     tokens = stream.inputs(user)
        ...     stream.push(user, 3, voice)
        >>> tokens.shape, stream.pull().codes.shape
        ((1, 17, 1), (8, 1))
    """

    def __init__(self, layout: StreamLayout, batch_size: int = 1, *, convention: Convention = "pytorch") -> None:
        if convention not in USER_LAG:
            raise ConfigError(f"convention must be {' or '.join(map(repr, USER_LAG))}, got {convention!r}")
        self._layout = layout
        self._convention: Convention = convention
        self._lag = USER_LAG[convention]
        self._batch_size = to_count(batch_size, "batch_size")
        self._initial = layout.initial_ids()
        self._delays = np.array(layout.delays, np.int64)
        # frames from s - 1 - max_delay, which is read, to s, which is written
        self._size = layout.max_delay + 2
        self._ring = np.full((self._batch_size, layout.num_rows, self._size), layout.ungenerated_id, np.int64)
        self._steps = np.zeros(self._batch_size, np.int64)
        self._stepped = np.zeros(self._batch_size, np.bool_)

    @property
    def layout(self) -> StreamLayout:
        """The rows of the model."""
        return self._layout

    @property
    def convention(self) -> Convention:
        """When the user is heard."""
        return self._convention

    @property
    def batch_size(self) -> int:
        """B."""
        return self._batch_size

    @property
    def steps(self) -> list[int]:
        """Steps each row has made."""
        return [int(step) for step in self._steps]

    @property
    def warm_up_steps(self) -> int:
        """Steps before the first frame can be decoded: `max_delay`, and the delay of the audio of a TTS."""
        return self._layout.warm_up_steps

    def inputs(self, user: ArrayInput | None = None, *, active: ArrayInput | None = None) -> Int64Array:
        """What the model reads in this step. The stream does not change.

        Args:
            user: the user's codes of this step, (B, U, 1), or (U, 1) for one conversation; None if the layout has no
                user rows. If there are more codebooks than rows, the first ones are taken.
            active: bools (B,). Rows that are not active read initial ids, as in moshi. None means all.

        Returns:
            Tokens (B, K, 1), int64.

        Raises:
            CodesError: a shape is wrong, or an id is not one that the rows can hold.
            StreamError: `active` has another length than the batch.
            InputTypeError: an input is not an array of a type that is accepted.
        """
        running = self._running(active)
        ring = self._with_user(self._user(user), running)
        frames = self._steps[:, np.newaxis] - 1 - self._delays
        tokens = np.take_along_axis(ring, (frames % self._size)[..., np.newaxis], axis=2)
        begun = (frames >= 0) & running[:, np.newaxis]
        return np.where(begun[..., np.newaxis], tokens, self._initial[:, np.newaxis])

    def push(
        self,
        user: ArrayInput | None = None,
        text: ArrayInput | int | None = None,
        audio: ArrayInput | None = None,
        *,
        active: ArrayInput | None = None,
    ) -> None:
        """Make one step: take the user's codes, and what the model sampled.

        Args:
            user: the user's codes of this step, as in `inputs`.
            text: the text token of each row (B,), or a number for one conversation.
            audio: the codes of the model's voice, (B, G, 1), or (G, 1) for one conversation; None if the layout has
                none.
            active: bools (B,). Rows that are not active stay as they are. None means all.

        Raises:
            CodesError: a shape is wrong, or an id is not one that the rows can hold.
            StreamError: `active` has another length than the batch.
            InputTypeError: an input is not an array of a type that is accepted.
        """
        running = self._running(active)
        user_codes, sampled = self._user(user), self._sampled(text, audio)
        self._ring = self._with_user(user_codes, running)
        count = sampled.shape[1]
        frames = self._steps[:, np.newaxis] - self._delays[:count]
        rows, columns = np.nonzero((frames >= 0) & running[:, np.newaxis])
        self._ring[rows, columns, frames[rows, columns] % self._size] = sampled[rows, columns, 0]
        self._steps = self._steps + running
        self._stepped = running

    def pull(self, *, sentinels: Policy = "refuse") -> Aligned | None:
        """The frame that the last step completed. Pulling again gives the same frame.

        Args:
            sentinels: what happens with ids that are not codes, in a row that should have a frame by now. "refuse"
                raises an error that names them. "mask" makes the row inactive, with code 0 in their place.

        Returns:
            The frame, or None if no row has one, as in the first `warm_up_steps` steps.

        Raises:
            CodesError: an id is not a code, and `sentinels` is "refuse".
            ConfigError: `sentinels` is neither of the two.
        """
        check_policy(sentinels)
        layout = self._layout
        frames = self._steps - 1 - layout.max_delay
        whole = (frames >= layout.audio_delay_frames) & self._stepped
        if not whole.any():
            return None
        index = np.broadcast_to((frames % self._size)[:, np.newaxis, np.newaxis], (*self._ring.shape[:2], 1))
        rows = np.take_along_axis(self._ring, index, axis=2)
        codes = np.where(whole[:, np.newaxis, np.newaxis], rows[:, layout.generated_rows], 0)
        codes, valid = apply_policy(codes, layout.card, sentinels)
        text: Int64Array = np.where(whole, rows[:, 0, 0], layout.ungenerated_id)
        return Aligned(text, codes if self._batch_size > 1 else codes[0], whole & valid[:, 0])

    def reset(self, mask: ArrayInput | None = None) -> None:
        """Start conversations again from their first step.

        Args:
            mask: bools (B,), True for those to start again. None means all.

        Raises:
            StreamError: `mask` has another length than the batch.
            InputTypeError: `mask` does not hold bools.
        """
        rows = self._running(mask, "mask")
        self._ring = self._ring.copy()
        self._ring[rows] = self._layout.ungenerated_id
        self._steps = np.where(rows, 0, self._steps)

    def _with_user(self, codes: Int64Array, running: BoolArray) -> Int64Array:
        """A copy of the frames with the user's codes of this step in place."""
        ring, frames = self._ring.copy(), self._steps - self._lag
        rows = np.flatnonzero(running & (frames >= 0))
        ring[rows, self._layout.user_rows, frames[rows] % self._size] = codes[rows, :, 0]
        return ring

    def _user(self, codes: ArrayInput | None) -> Int64Array:
        return self._audio(codes, self._layout.num_user, "user", cut=True)

    def _sampled(self, text: ArrayInput | int | None, audio: ArrayInput | None) -> Int64Array:
        """(B, 1 + G, 1)"""
        if text is None:
            raise CodesError("a step needs the text token of each row, got none")
        tokens = np.atleast_1d(to_integers(text, "text"))
        if tokens.shape != (self._batch_size,):
            raise CodesError(f"text must have shape ({self._batch_size},), one token per row, got {tokens.shape}")
        low, high = self._layout.zero_id, self._layout.largest_text_id
        if not (tokens.min() >= low and tokens.max() <= high):
            raise CodesError(f"text ids must be between {low} and {high}, got {span(tokens)}")
        codes = self._audio(audio, self._layout.num_generated, "generated", cut=False)
        return np.concatenate([tokens[:, np.newaxis, np.newaxis], codes], axis=1)

    def _audio(self, value: ArrayInput | None, wanted: int, what: str, *, cut: bool) -> Int64Array:
        """(B, wanted, 1) of ids that an audio row can hold: codes, the initial id and zero."""
        if value is None:
            if wanted:
                raise CodesError(f"{self._layout.name} has {wanted} {what} audio rows, got no codes for them")
            return np.zeros((self._batch_size, 0, 1), np.int64)
        codes, batched = to_codes(value)
        shape = codes.shape if batched else codes.shape[1:]
        enough = codes.shape[1] >= wanted if cut else codes.shape[1] == wanted
        if codes.shape[0] != self._batch_size or codes.shape[2] != 1 or not enough:
            expected = (self._batch_size, wanted, 1) if self._batch_size > 1 or batched else (wanted, 1)
            raise CodesError(f"{what} codes of a step must have shape {expected}, got {shape}")
        codes = codes[:, :wanted]
        allowed = (codes >= 0) & (codes < self._layout.card)
        allowed |= (codes == self._layout.initial_id) | (codes == self._layout.zero_id)
        if not allowed.all():
            code = int(codes[~allowed][0])
            name = sentinel_names(self._layout.card).get(code)
            found = f"{code} ({name})" if name else str(code)
            layout = self._layout
            held = f"codes below {layout.card}, {layout.initial_id} or {layout.zero_id}"
            raise CodesError(f"{what} audio rows hold {held}, got {found}")
        return codes

    def _running(self, mask: ArrayInput | None, what: str = "active") -> BoolArray:
        rows = to_mask(mask, what)
        if rows is None:
            return np.ones(self._batch_size, np.bool_)
        if rows.shape != (self._batch_size,):
            raise StreamError(f"{what} must have shape ({self._batch_size},), got {rows.shape}")
        return rows
