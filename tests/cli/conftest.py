"""Sound files for the commands."""

from pathlib import Path

import pytest

import signals


@pytest.fixture
def clips(tmp_path) -> Path:
    """A tree of three WAV files of different lengths, and a file that is not a sound."""
    root = tmp_path / "clips"
    for i, name in enumerate(["a.wav", "deep/b.wav", "deep/down/c.WAV"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        signals.write_wav(root / name, signals.noise(1000 + 700 * i, seed=i))
    (root / "notes.txt").write_text("not a clip")
    return root


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "clip.wav"
    signals.write_wav(path, signals.chirp(5000))
    return path
