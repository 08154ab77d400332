"""Sound files: finite samples at the rate that was asked for, or an `AudioError`; nothing is missing without a word."""

import io
import random

import numpy as np
import soundfile
from mutations import some_bytes

from mimi_codec import read_sound
from mimi_codec.audio import audio_info

RATE = 24_000
FORMATS = {
    "wav": [
        ("WAV", "PCM_16"),
        ("WAV", "PCM_U8"),
        ("WAV", "FLOAT"),
        ("WAVEX", "PCM_24"),
        ("RF64", "PCM_16"),
        ("W64", "PCM_16"),
    ],
    "aiff": [("AIFF", "PCM_16"), ("AU", "PCM_16"), ("CAF", "PCM_16"), ("NIST", "PCM_16")],
    "flac": [("FLAC", "PCM_16")],
    "ogg": [("OGG", "VORBIS"), ("OGG", "OPUS")],
    "mp3": [("MP3", "MPEG_LAYER_III")],
}
# Compressed formats may hold long silence in few bytes; other files hold at most a sample for each byte.
MOST_SAMPLES = 60 * RATE


class Sounds:
    """`read_sound` and `audio_info` of bytes."""

    def __init__(self, kind: str) -> None:
        self.name = f"sound-{kind}"
        rng = np.random.default_rng(0)
        self.files = []
        for container, subtype in FORMATS[kind]:
            for channels, samples in ((1, 60), (2, 2500), (1, 0)):
                if samples or kind in ("wav", "aiff"):
                    pcm = rng.standard_normal((samples, channels)) / 5
                    file = io.BytesIO()
                    soundfile.write(file, pcm, RATE, format=container, subtype=subtype)
                    self.files.append(file.getvalue())

    def make(self, rng: random.Random) -> tuple[bytes, bool]:
        data = rng.choice(self.files)
        if rng.random() < 0.6:  # most of a file is samples: the head is where the meaning is
            head = rng.choice((64, 128, 512))
            data = some_bytes(rng, data[:head], self.files) + data[head:]
        else:
            data = some_bytes(rng, data, self.files)
        return data, rng.random() < 0.2

    def check(self, case: tuple[bytes, bool]) -> None:
        data, strict = case
        if strict:
            info = audio_info(data)
            assert info["samples"] >= 0
            assert info["channels"] >= 1
        sound = read_sound(data, RATE, channels="separate", strict=strict)
        assert sound.samples.dtype == np.float32
        assert sound.samples.shape[0] == sound.source_channels
        assert sound.samples.shape[1] <= MOST_SAMPLES * max(1, RATE // sound.source_rate)
        if "float" not in sound.source_format.lower():  # floats of a file may be anything, and `encode` checks them
            assert np.isfinite(sound.samples).all()
        assert all(len(text) < 500 for text in (*sound.done, *sound.warnings, sound.source_format))
