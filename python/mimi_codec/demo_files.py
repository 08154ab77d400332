"""Where the embedded model and its speech clip are."""

from __future__ import annotations

from pathlib import Path

CLIP = "speech.wav"


def demo_directory() -> Path:
    """The directory of the embedded model."""
    return Path(__file__).resolve().parent / "demo"


def demo_clip() -> Path:
    """A sentence of speech, 24 kHz, 16-bit mono WAV."""
    return demo_directory() / CLIP
