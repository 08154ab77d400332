"""Decoded blocks of any rate and number of channels, as the samples that are wanted, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np

from .._arrays import Float32Array, to_count
from ..errors import AudioError, ConfigError
from .notes import Notes
from .track import AUDIO_HINT, Track

Channels: TypeAlias = Literal["mix", "first", "separate"] | int

CHANNEL_CHOICES = ("mix", "first", "separate")
CANCELLED = 1e-3  # of the channels' power: what is left when they are each other's opposite


def check_channels(channels: Channels) -> Channels:
    """`channels` if it is allowed, else `ConfigError`."""
    if isinstance(channels, str):
        if channels in CHANNEL_CHOICES:
            return channels
    elif not isinstance(channels, bool):
        return to_count(channels, "channels, counted from 1,")
    raise ConfigError(f"channels must be {', '.join(CHANNEL_CHOICES)} or a number, got {channels!r}")


class Mixer:
    """The channels that are wanted, at the rate that is wanted.

    Only a block is held, and what the resampler keeps of those before it: the samples are those of the whole sound.
    """

    def __init__(self, channels: Channels, sample_rate: int, notes: Notes) -> None:
        self.source_rate = self.source_channels = 0
        self._channels, self._sample_rate, self._notes = check_channels(channels), sample_rate, notes
        self._rate = 0
        self._resampler: Any = None
        self._power = self._left = 0.0

    def add(self, track: Track) -> Iterator[Float32Array]:
        """The samples of a track: (n,), or (n, C) with channels kept separate."""
        rate, count = track.rate, track.channels
        if isinstance(self._channels, int) and self._channels > count:
            have = "1 channel" if count == 1 else f"{count} channels"
            raise AudioError(f"channel {self._channels} was asked for, it has {have}")
        if self._channels == "separate" and self.source_channels not in (0, count):
            raise AudioError(
                f"its parts have {self.source_channels} and {count} channels, which cannot be kept separate"
            )
        self.source_rate = self.source_rate or rate
        self.source_channels = max(self.source_channels, count)
        if rate != self._rate:
            yield from self._ended()
            self._rate = rate
        if count > 1:
            self._tell(count)
        for block in track.blocks:
            yield self._resampled(self._chosen(block, count))

    def finish(self) -> Iterator[Float32Array]:
        """What the resampler still holds; then, whether anything was lost on the way."""
        yield from self._ended()
        if self._power > 0 and self._left < CANCELLED * self._power:
            self._notes.warn("the channels cancel each other out when averaged: take one of them by channels=")

    def nothing(self) -> Float32Array:
        """No samples, in the shape that some would have."""
        return np.zeros((0, self.source_channels) if self._channels == "separate" else 0, np.float32)

    def _chosen(self, block: Float32Array, count: int) -> Float32Array:
        """(n,) or, kept separate, (n, C)."""
        if self._channels == "separate":
            return block
        if count == 1:
            return block[:, 0]
        if self._channels == "mix":
            mixed: Float32Array = block.mean(axis=1, dtype=np.float32)
            self._power += float(np.vdot(block, block)) / count
            self._left += float(np.vdot(mixed, mixed))
            return mixed
        return block[:, 0 if self._channels == "first" else self._channels - 1].copy()

    def _tell(self, count: int) -> None:
        self._notes.did(
            {
                "mix": f"{count} channels averaged",
                "first": f"the first of {count} channels taken",
                "separate": f"{count} channels kept separate",
            }.get(str(self._channels), f"channel {self._channels} of {count} taken")
        )

    def _resampled(self, samples: Float32Array) -> Float32Array:
        if self._rate == self._sample_rate:
            return samples
        if self._resampler is None:
            self._resampler = self._new_resampler(1 if samples.ndim == 1 else samples.shape[1])
        resampled: Float32Array = self._resampler.resample_chunk(np.ascontiguousarray(samples, np.float32))
        return resampled

    def _new_resampler(self, count: int) -> Any:
        try:
            import soxr
        except ImportError:
            raise AudioError(
                f"it has {self._rate} Hz, expected {self._sample_rate}; to resample it: {AUDIO_HINT}"
            ) from None
        self._notes.did(f"resampled from {self._rate} Hz to {self._sample_rate} Hz")
        return soxr.ResampleStream(self._rate, self._sample_rate, count, dtype="float32", quality="HQ")

    def _ended(self) -> Iterator[Float32Array]:
        """The end of a run of one rate."""
        if self._resampler is not None:
            yield self._resampler.resample_chunk(self.nothing(), last=True)
            self._resampler = None
