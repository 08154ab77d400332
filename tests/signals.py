"""Test signals: mono float32 at 24 kHz unless said otherwise, in [-1, 1]."""

import wave
from importlib.resources import files

import numpy as np

RATE = 24000


def speech() -> np.ndarray:
    """The clip that comes with the package."""
    with files("mimi_codec").joinpath("demo/speech.wav").open("rb") as file, wave.open(file) as clip:
        assert (clip.getframerate(), clip.getnchannels(), clip.getsampwidth()) == (RATE, 1, 2)
        return np.frombuffer(clip.readframes(clip.getnframes()), "<i2").astype(np.float32) / 32768


def noise(length: int, seed: int = 0, rows: int | None = None, level: float = 0.1) -> np.ndarray:
    """White noise: (length,), or (rows, 1, length)."""
    rng = np.random.default_rng([seed, length])
    shape = length if rows is None else (rows, 1, length)
    return (level * rng.standard_normal(shape)).clip(-1, 1).astype(np.float32)


def chirp(length: int, low: float = 60.0, high: float = 8000.0) -> np.ndarray:
    """A sweep from `low` to `high` Hz, swelling and fading four times a second, with a little noise under it."""
    time = np.arange(length) / RATE
    span = max(length / RATE, 1 / RATE)
    phase = 2 * np.pi * (low * time + (high - low) * time**2 / (2 * span))
    swell = 0.55 - 0.45 * np.cos(2 * np.pi * 4 * time)
    return (0.5 * swell * np.sin(phase)).astype(np.float32) + noise(length, seed=7, level=0.01)


def write_wav(path, pcm: np.ndarray, rate: int = RATE, channels: int = 1) -> None:
    """A 16-bit WAV file of (L,) or (L, channels) samples."""
    with wave.open(str(path), "wb") as clip:
        clip.setnchannels(channels)
        clip.setsampwidth(2)
        clip.setframerate(rate)
        clip.writeframes((pcm * 32767).round().astype("<i2").tobytes())


def read_wav(path) -> tuple[np.ndarray, int]:
    """Samples as float32 and the rate of a mono 16-bit WAV file."""
    with wave.open(str(path)) as clip:
        assert (clip.getnchannels(), clip.getsampwidth()) == (1, 2)
        samples = np.frombuffer(clip.readframes(clip.getnframes()), "<i2")
        return samples.astype(np.float32) / 32768, clip.getframerate()
