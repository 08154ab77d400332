"""What Qwen3-TTS takes as audio: arrays, paths and text in base64, as float32 samples at the rate of the codec."""

from __future__ import annotations

import base64
import binascii
import math
import os
from typing import Any

import numpy as np

from .._arrays import Float32Array, as_array, to_count, to_pcm
from ..audio import AudioFile, audio_info, read_audio
from ..audio.track import AUDIO_HINT
from ..errors import AudioError, ConfigError, InputTypeError
from ..hub import URL

# Longer text without a separator of paths is the sound itself and not the name of a file, as in `qwen-tts`.
LONGEST_NAME = 256


def clips_of(audios: Any, sr: Any, rate: int) -> list[Float32Array]:
    """Each clip (L,) at `rate` Hz. Arrays have `sr` Hz; all are arrays, or all are files."""
    clips = audios if isinstance(audios, (list, tuple)) else [audios]
    files = [isinstance(clip, (str, os.PathLike)) for clip in clips]
    if all(files):
        return [load_file(clip, rate) for clip in clips]
    if any(files):
        raise InputTypeError("audios must all be paths or base64, or all arrays; got some of both")
    if sr is None:
        raise ConfigError("sr, the samples per second of the arrays, must be given")
    source = to_count(sr, "sr")
    return [resampled(_mono(clip), source, rate) for clip in clips]


def load_file(audio: Any, rate: int) -> Float32Array:
    """The samples (L,) of a path, or of text that is a sound file in base64, at `rate` Hz."""
    if not isinstance(audio, (str, os.PathLike)):
        raise InputTypeError(f"expected a path or base64, got {type(audio).__name__}")
    file: AudioFile = audio
    if isinstance(audio, str):
        if audio.startswith("data:audio") or (len(audio) > LONGEST_NAME and not {"/", "\\"} & set(audio)):
            file = _from_base64(audio)
        elif URL.match(audio):
            raise AudioError(
                f"a sound is not fetched from a URL, got {audio}; download it and pass the path of the file"
            )
    source = int(audio_info(file)["sample_rate"])
    return resampled(read_audio(file, source), source, rate)


def resampled(pcm: Float32Array, source: int, rate: int) -> Float32Array:
    """Samples (L,) of `source` Hz at `rate` Hz, with the method that `qwen-tts` has them from."""
    if source == rate:
        return pcm
    try:
        import soxr
    except ImportError:
        raise AudioError(f"audio has {source} Hz, expected {rate}; to resample it: {AUDIO_HINT}") from None
    # librosa fills up or cuts what soxr gives to this length, rounding included: one sample more may be a frame more
    length = math.ceil(len(pcm) * (rate / source))
    found = soxr.resample(pcm, source, rate, quality="HQ")[:length]
    return np.pad(found, (0, length - len(found)))


def _mono(clip: Any) -> Float32Array:
    pcm = to_pcm(as_array(clip, "audios"))
    if pcm.ndim == 0:
        raise AudioError("audios must be arrays (L,) or (L, channels), got one number")
    return pcm if pcm.ndim == 1 else pcm.mean(axis=-1, dtype=np.float32)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text)
    except binascii.Error as error:
        raise AudioError(f"text of {len(text)} characters is not base64: {error}") from error
