"""A sound file block by block, so that an hour of it takes no more memory than a minute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from .._arrays import Float32Array, to_count
from ..errors import AudioError
from .formats import tracks
from .mixer import Channels, Mixer
from .notes import Notes
from .source import AudioFile, opened

LOWEST_RATE, HIGHEST_RATE = 1000, 10_000_000  # Hz; outside, a header lies, and resampling would fill the memory


class OpenSound:
    """The samples of an open sound file, and what was found and done so far. Made by `open_sound`."""

    def __init__(self, blocks: Iterator[Float32Array], mixer: Mixer, notes: Notes, name: str, sample_rate: int) -> None:
        self.name, self.sample_rate = name, sample_rate
        self._blocks, self._mixer, self._notes = blocks, mixer, notes

    def __iter__(self) -> Iterator[Float32Array]:
        """The next samples: (n,) float32, or (C, n) with channels="separate".

        Raises:
            AudioError: what comes next is not sound, or with `strict` some is missing.
        """
        return self._blocks

    @property
    def source_rate(self) -> int:
        """Samples per second in the file; 0 before the first block."""
        return self._mixer.source_rate

    @property
    def source_channels(self) -> int:
        """Channels in the file; 0 before the first block."""
        return self._mixer.source_channels

    @property
    def source_format(self) -> str:
        """The format in words."""
        return self._notes.format

    @property
    def done(self) -> tuple[str, ...]:
        """What was done to the sound; all of it is known after the last block."""
        return tuple(self._notes.done)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where sound is missing or may be; all of it is known after the last block."""
        return tuple(self._notes.warnings)


@contextmanager
def open_sound(
    file: AudioFile, sample_rate: int, *, channels: Channels = "mix", strict: bool = False
) -> Iterator[OpenSound]:
    """Open a sound file to be read block by block; the blocks together are what `read_sound` gives.

    Args:
        file: as in `read_audio`. A path is read as it goes on; bytes and streams are in memory as a whole.
        sample_rate: as in `read_audio`.
        channels: as in `read_audio`.
        strict: as in `read_audio`.

    Yields:
        The open sound, whose iterator gives blocks of samples, (n,) or with channels="separate" (C, n). At least one
        comes, which is empty if the file holds no samples.

    Raises:
        MimiError: as in `read_audio`, when the block is reached.
        OSError: the file cannot be opened or read.

    Example:
        >>> import io, numpy as np
        >>> from mimi_codec import write_wav
        >>> from mimi_codec.audio import open_sound
        >>> file = io.BytesIO()
        >>> write_wav(file, np.zeros(48000), 48000)
        >>> with open_sound(file.getvalue(), 24000) as sound:
        ...     sum(len(block) for block in sound), sound.done
        (24000, ('resampled from 48000 Hz to 24000 Hz',))
    """
    sample_rate, notes = to_count(sample_rate, "sample_rate"), Notes()
    mixer = Mixer(channels, sample_rate, notes)
    with opened(file) as (window, name), notes.decoders:

        def blocks() -> Iterator[Float32Array]:
            try:
                samples = 0
                for track in tracks(window, notes):
                    check_rate(track.rate)
                    for block in mixer.add(track):
                        samples += len(block)
                        yield np.ascontiguousarray(block.T)
                if not mixer.source_rate:
                    raise AudioError(nothing_found(notes))
                for block in mixer.finish():
                    samples += len(block)
                    yield np.ascontiguousarray(block.T)
                if notes.warnings and (strict or not samples):
                    raise AudioError("; ".join(notes.warnings))
                if not samples:
                    yield mixer.nothing().T
            except AudioError as error:
                raise AudioError(f"{name} cannot be read as audio: {error}") from error

        yield OpenSound(blocks(), mixer, notes, name, sample_rate)


def check_rate(rate: int) -> None:
    """Refuse rates that no sound has."""
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise AudioError(f"its sample rate must be between {LOWEST_RATE} and {HIGHEST_RATE} Hz, got {rate}")


def nothing_found(notes: Notes) -> str:
    """Why there is no sound."""
    return "; ".join(notes.warnings) or "it holds no sound"
