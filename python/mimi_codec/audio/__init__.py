"""Sound files: any format as float32 at the rate a model wants, and WAV files back.

Without an extra: WAV files of PCM or float samples at the right rate. `[audio]` adds FLAC, OGG, MP3 and more through
soundfile, and resampling through soxr; `[av]` adds M4A, WebM, AAC and the sound of videos through PyAV. Writing WAV
needs nothing.
"""

from .formats import AUDIO_SUFFIXES, readable_suffixes
from .mixer import Channels
from .opened import open_sound
from .read import Sound, audio_info, read_audio, read_sound
from .source import AudioFile
from .write import checked, to_int16, write_wav

__all__ = [
    "AUDIO_SUFFIXES",
    "AudioFile",
    "Channels",
    "Sound",
    "audio_info",
    "checked",
    "open_sound",
    "read_audio",
    "read_sound",
    "readable_suffixes",
    "to_int16",
    "write_wav",
]
