"""What the token rows of a language model over Mimi's codes are: one value for each model.

Row 0 is text. Then come the audio rows that the model generates, then those that it listens to. Each row has a delay
in steps of the codec's frame rate. The values here are those of the published models; `config.from_config` reads those
of any other model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._arrays import Int64Array
from ..errors import ConfigError

__all__ = [
    "HIBIKI_1B",
    "HIBIKI_2B",
    "MOSHI_7B",
    "PERSONAPLEX",
    "STT_1B",
    "STT_2_6B",
    "TTS_1_6B",
    "StreamLayout",
]

DERIVED = -1


@dataclass(frozen=True)
class StreamLayout:
    """The rows of a model, with their delays and special ids.

    Raises:
        ConfigError: a value is outside its range, or the number of delays is not that of the rows.

    Example:
        >>> from mimi_codec.tokens import StreamLayout
        >>> layout = StreamLayout("small", num_generated=1, num_user=1, delays=(0, 0, 1), text_card=100, card=1024)
        >>> layout.num_rows, layout.initial_ids().tolist()
        (3, [100, 1024, 1024])
    """

    name: str
    """A name for messages."""
    num_generated: int
    """Audio rows that the model generates (`dep_q`)."""
    num_user: int
    """Audio rows that the model is given (`n_q - dep_q`)."""
    delays: tuple[int, ...]
    """Steps by which each row is late: text, generated audio, user audio."""
    text_card: int
    """Text tokens are at least 0 and below `text_card`."""
    card: int = 2048
    """Codes are at least 0 and below `card`, the codebook size of the codec."""
    initial_id: int = DERIVED
    """What audio rows hold before their first frame; `card` unless given. Also called padding (Rust, MLX)."""
    text_initial_id: int = DERIVED
    """What the text row holds before its first token; `text_card` unless given."""
    text_padding_id: int = 3
    """Padding between the words of the text row."""
    text_end_padding_id: int = 0
    """The last padding before a word."""
    text_eos_id: int = 2
    """End of the text."""
    zero_id: int = -1
    """Its embedding is zero, and it is never sampled."""
    ungenerated_id: int = -2
    """Stands where nothing was sampled yet."""
    multiplexed_text: bool = False
    """Whether a text id holds two tokens, as `(second + 1) * (text_card + 1) + first`."""
    audio_delay_seconds: float = 0.0
    """How far the generated audio is behind the text (text-to-speech), in addition to `delays`."""
    text_delay_seconds: float = 0.0
    """How far the text is behind the user's audio (speech-to-text; `audio_delay_seconds` in its configurations)."""
    silence_prefix_seconds: float = 0.0
    """Silence that goes before a clip (speech-to-text)."""
    sample_rate: int = 24000
    """Samples per second."""
    frame_rate: float = 12.5
    """Frames per second."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "delays", tuple(self.delays))
        for name in ("num_generated", "num_user"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name in ("text_card", "card", "sample_rate", "frame_rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}")
        if len(self.delays) != self.num_rows:
            raise ConfigError(
                f"expected {self.num_rows} delays (1 text, {self.num_generated} generated, {self.num_user} user), "
                f"got {len(self.delays)}"
            )
        if min(self.delays) < 0:
            raise ConfigError(f"delays must be at least 0, got {self.delays}")
        for name in ("audio_delay_seconds", "text_delay_seconds", "silence_prefix_seconds"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} must be at least 0 and finite, got {getattr(self, name)}")
        # A frozen dataclass has no other way to fill in what depends on other fields.
        if self.initial_id == DERIVED:
            object.__setattr__(self, "initial_id", self.card)
        if self.text_initial_id == DERIVED:
            object.__setattr__(self, "text_initial_id", self.text_card)

    @property
    def num_rows(self) -> int:
        """K: the text and all audio rows."""
        return 1 + self.num_generated + self.num_user

    @property
    def generated_rows(self) -> slice:
        """Where the generated audio is among the rows."""
        return slice(1, 1 + self.num_generated)

    @property
    def user_rows(self) -> slice:
        """Where the user's audio is among the rows."""
        return slice(1 + self.num_generated, self.num_rows)

    @property
    def num_codebooks(self) -> int:
        """Codebooks to encode and decode with, as in moshi's `get_mimi`."""
        return max(self.num_generated, self.num_user)

    @property
    def max_delay(self) -> int:
        """The largest delay of a row: steps before the first whole frame."""
        return max(self.delays)

    @property
    def audio_delay_frames(self) -> int:
        """`audio_delay_seconds` in whole frames, rounded down as moshi does."""
        return int(self.audio_delay_seconds * self.frame_rate)

    @property
    def text_delay_frames(self) -> int:
        """`text_delay_seconds` in whole frames, rounded down."""
        return int(self.text_delay_seconds * self.frame_rate)

    @property
    def warm_up_steps(self) -> int:
        """Steps that do not give a frame to decode."""
        return self.max_delay + self.audio_delay_frames

    @property
    def frame_size(self) -> int:
        """Samples per frame."""
        return round(self.sample_rate / self.frame_rate)

    @property
    def largest_text_id(self) -> int:
        """The largest id that the text row can hold."""
        ids = self.text_card + 1
        largest = ids * ids + ids - 1 if self.multiplexed_text else self.text_card
        return max(largest, self.text_initial_id)

    def initial_ids(self) -> Int64Array:
        """What each row holds before its first frame.

        Returns:
            Ids (K,), int64.
        """
        ids = np.full(self.num_rows, self.initial_id, np.int64)
        ids[0] = self.text_initial_id
        return ids

    def with_generated(self, count: int) -> StreamLayout:
        """The same model when it generates only its first audio rows. It is given the others (`zero_id`, in a TTS).

        Args:
            count: how many audio rows it generates.

        Returns:
            The layout of that.

        Raises:
            ConfigError: `count` is negative or more than the model generates.
        """
        total = self.num_generated + self.num_user
        if not 0 <= count <= self.num_generated:
            raise ConfigError(f"{self.name} generates up to {self.num_generated} audio rows, got {count}")
        return replace(self, num_generated=count, num_user=total - count)


def acoustic_delays(delay: int, *codebooks: int) -> tuple[int, ...]:
    """No delay for the text and each group's first codebook, `delay` for its others."""
    return (0, *(0 if index == 0 else delay for count in codebooks for index in range(count)))


MOSHI_7B = StreamLayout("moshi-7b", 8, 8, acoustic_delays(1, 8, 8), text_card=32000)
PERSONAPLEX = replace(MOSHI_7B, name="personaplex-7b")
HIBIKI_2B = StreamLayout("hibiki-2b", 16, 16, acoustic_delays(2, 16, 16), text_card=48000)
HIBIKI_1B = StreamLayout("hibiki-1b", 8, 8, acoustic_delays(2, 8, 8), text_card=48000)
STT_1B = StreamLayout("stt-1b-en_fr", 0, 32, acoustic_delays(0, 32), text_card=8000, text_delay_seconds=0.5)
STT_2_6B = StreamLayout(
    "stt-2.6b-en",
    0,
    32,
    acoustic_delays(0, 32),
    text_card=4000,
    text_delay_seconds=2.5,
    silence_prefix_seconds=1.0,
)
TTS_1_6B = StreamLayout(
    "tts-1.6b-en_fr",
    32,
    0,
    acoustic_delays(2, 32),
    text_card=8000,
    multiplexed_text=True,
    audio_delay_seconds=1.28,
)
