"""Damaged files of every kind: sound with a word about it, or a typed error, and nothing else."""

import numpy as np
import pytest
import sounds

from mimi_codec import read_sound
from mimi_codec.audio import audio_info
from mimi_codec.errors import AudioError

RATE = sounds.RATE
PCM = sounds.speechlike(0.5)
DAMAGES = 40
KINDS = {
    **{kind: (kind, None) for kind in ("WAV", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "MP3", "VOC", "NIST")},
    "float": ("WAV", "FLOAT"),
    "adpcm": ("WAV", "IMA_ADPCM"),
    "alac": ("CAF", "ALAC_16"),
    "vorbis": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
}
BY_AV = {"m4a": "ipod aac", "aac": "adts aac", "mkv": "matroska flac", "ts": "mpegts aac", "wv": "wv wavpack"}


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes changed, taken out or put in, most of them near the beginning, or the end cut off."""
    result = bytearray(data)
    way = rng.integers(5)
    for _ in range(rng.integers(1, 6)):
        place = int(rng.integers(min(len(result), rng.choice([60, 300, len(result)]))))
        if way < 2:
            result[place] = int(rng.integers(256)) if way else int(rng.choice([0, 1, 127, 128, 255]))
        elif way == 2:
            del result[place : place + int(rng.integers(1, 50))]
        elif way == 3:
            result[place:place] = rng.bytes(int(rng.integers(1, 50)))
        else:
            del result[max(1, int(rng.integers(len(result)))) :]
    return bytes(result)


@pytest.mark.parametrize("kind", [*KINDS, *BY_AV])
def test_damaged_files(kind):
    good = sounds.by_av(PCM, *BY_AV[kind].split()) if kind in BY_AV else sounds.encoded(PCM, *KINDS[kind])
    whole = read_sound(good, RATE).samples.size
    rng = np.random.default_rng(len(kind))
    for _ in range(DAMAGES):
        bad = damaged(good, rng)
        try:
            sound = read_sound(bad, RATE, channels="first")
            info = audio_info(bad)
        except AudioError:
            continue
        # A rate that was changed makes it longer, and soxr with it; what is decoded is not.
        assert sound.samples.size * min(1, sound.source_rate / RATE) < 20 * whole
        assert info["sample_rate"] == sound.source_rate
