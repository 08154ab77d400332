"""What a token file holds, whatever its format."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import SupportsIndex

from .._arrays import ArrayInput, Int64Array, span, to_codes
from .._text import shown
from ..config import bits_per_code
from ..errors import CodesError, ConfigError
from ..token_codec import TokenCodec

__all__ = ["KYUTAI", "Codec", "Tokens"]

LARGEST = 1 << 32  # of sample rates and codebooks, as in packed streams
SLOWEST = 1e-3  # frames per second
LONGEST_NAME = 4096  # the longest path of most systems


@dataclass(frozen=True)
class Codec:
    """The codec that codes belong to: all that a file of bare codes does not say.

    Raises:
        ConfigError: a rate or a size is outside its range.

    Example:
        >>> from mimi_codec.token_files import Codec
        >>> Codec("kyutai/mimi").frame_rate
        12.5
    """

    model: str
    """What the model was loaded by."""
    revision: str | None = None
    """Commit of the model's repository, if it has one."""
    sample_rate: int = 24000
    """Samples per second."""
    frame_rate: float = 12.5
    """Frames per second."""
    codebook_size: int = 2048
    """Entries of each codebook; codes are below it."""
    kind: str | None = None
    """Which kind of codec it is, as `mimi_codec.load` names them; None where it is not known."""

    @classmethod
    def of(cls, model: TokenCodec) -> Codec:
        """The codec that a model is.

        Args:
            model: the model.

        Returns:
            Its name, rates, codebook size and kind.
        """
        return cls(model.name, model.revision, model.sample_rate, model.frame_rate, model.codebook_size, model.kind)

    def __post_init__(self) -> None:
        for name in ("sample_rate", "codebook_size"):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= LARGEST:
                raise ConfigError(f"{name} must be an integer between 1 and {LARGEST}, got {shown(value)}")
        rate = self.frame_rate
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not SLOWEST <= rate <= self.sample_rate:
            raise ConfigError(
                f"frame_rate must be a number between {SLOWEST} and the sample rate {self.sample_rate}, "
                f"got {shown(rate)}"
            )
        optional = (("revision", self.revision is None), ("kind", self.kind is None))
        for name, known in (("model", isinstance(self.model, str)), *optional):
            value = getattr(self, name)
            if not known and not isinstance(value, str):
                raise ConfigError(f"{name} must be a string, got {shown(value)}")
            if value is not None and len(value) > LONGEST_NAME:
                raise ConfigError(f"{name} must have at most {LONGEST_NAME} characters, got {len(value)}")

    def samples(self, frames: int) -> int:
        """The samples of whole frames.

        Args:
            frames: their number.

        Returns:
            The number of samples.
        """
        return math.ceil(frames * self.sample_rate / self.frame_rate)

    @property
    def codebooks_of(self) -> str | None:
        """The kind of codec whose codebooks it has: its own kind, but "mimi" for "code2wav", which has none of its own.

        Codes may go from one model to another if this is the same, and the models have learnt the same codebooks.
        """
        return "mimi" if self.kind == "code2wav" else self.kind


KYUTAI = Codec("kyutai/mimi", kind="mimi")


@dataclass(frozen=True, eq=False)
class Tokens:
    """The codes of one clip and where they come from.

    Raises:
        CodesError: the codes are not (K, T), are not below `codebook_size`, or cannot hold `num_samples`.
        ConfigError: a rate or a size is outside its range.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi, Tokens
        >>> mimi = Mimi.demo()
        >>> tokens = Tokens.of(mimi, mimi.encode(np.zeros(3000, np.float32)), 3000)
        >>> tokens.num_codebooks, tokens.num_frames, tokens.seconds
        (16, 2, 0.125)
    """

    codes: Int64Array
    """(K, T) int64."""
    model: str
    """What the model was loaded by."""
    revision: str | None
    """Commit of the model's repository, if it has one."""
    sample_rate: int
    """Samples per second."""
    frame_rate: float
    """Frames per second."""
    codebook_size: int
    """Entries of each codebook; codes are below it."""
    num_samples: int
    """Samples of the clip: the length of the decoded audio after its padding is cut off. A decoder with a `delay` gives
    fewer where the padding of the last frame is shorter than that."""
    kind: str | None = None
    """Which kind of codec made them, as `mimi_codec.load` names them; None where the file does not say."""

    @classmethod
    def of(cls, model: TokenCodec, codes: ArrayInput, num_samples: SupportsIndex | None = None) -> Tokens:
        """The codes that a model made of a clip.

        Args:
            model: the model, which the file will name.
            codes: (K, T), of any integer type.
            num_samples: the length of the clip in samples; None means that all frames are whole.

        Returns:
            The codes with what the model says of itself.

        Raises:
            CodesError: another shape, a code outside of the codebook, or more samples than the frames hold.
            InputTypeError: the input is not an array of integers.
        """
        rows, batched = to_codes(codes)
        if batched:
            raise CodesError(f"a token file holds one clip: expected codes (K, T), got {rows.shape}")
        return cls.of_codec(Codec.of(model), rows[0], None if num_samples is None else int(num_samples))

    @classmethod
    def of_codec(cls, codec: Codec, codes: Int64Array, num_samples: int | None = None) -> Tokens:
        """The codes of a codec that is not loaded.

        Args:
            codec: what made the codes.
            codes: (K, T), int64.
            num_samples: the length of the clip in samples; None means that all frames are whole.

        Returns:
            The codes with what is known of the codec.

        Raises:
            CodesError: another shape, a code outside of the codebook, or more samples than the frames hold.
        """
        length = codec.samples(codes.shape[-1]) if num_samples is None else num_samples
        known = (codec.model, codec.revision, codec.sample_rate, float(codec.frame_rate), codec.codebook_size)
        return cls(codes, *known, length, codec.kind)

    def __post_init__(self) -> None:
        if self.codes.ndim != 2:
            raise CodesError(f"a token file holds one clip: expected codes (K, T), got {self.codes.shape}")
        longest = self.codec.samples(self.num_frames)
        if self.codes.size and not (self.codes.min() >= 0 and self.codes.max() < self.codebook_size):
            raise CodesError(f"codes must be between 0 and {self.codebook_size - 1}, got {span(self.codes)}")
        if not 0 <= self.num_samples <= longest:
            raise CodesError(
                f"{self.num_frames} frames hold at most {longest} samples, got num_samples {shown(self.num_samples)}"
            )

    @property
    def codec(self) -> Codec:
        """The codec that the codes belong to."""
        return Codec(self.model, self.revision, self.sample_rate, self.frame_rate, self.codebook_size, self.kind)

    @property
    def num_codebooks(self) -> int:
        """Codebooks K."""
        return len(self.codes)

    @property
    def num_frames(self) -> int:
        """Frames T."""
        return int(self.codes.shape[1])

    @property
    def seconds(self) -> float:
        """Length of the clip in seconds."""
        return self.num_samples / self.sample_rate

    @property
    def bits_per_second(self) -> float:
        """Bit rate of the codes."""
        return self.num_codebooks * bits_per_code(self.codebook_size) * self.frame_rate
