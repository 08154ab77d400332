"""Kyutai's Mimi neural audio codec: encode, decode and stream, exactly and without PyTorch.

from mimi_codec import Mimi

mimi = Mimi.from_pretrained("kyutai/mimi")
codes = mimi.encode(pcm, num_codebooks=8)  # (L,) samples at 24 kHz to (8, T) codes
pcm = mimi.decode(codes)
"""

import importlib
from typing import TYPE_CHECKING

from . import _interpreter as _interpreter
from ._core import __version__, build_info
from .config import MimiConfig
from .errors import (
    AudioError,
    AudioWarning,
    CodesError,
    ConfigError,
    DeviceError,
    InputTypeError,
    LatentsError,
    LoadError,
    MimiError,
    NumericError,
    OutOfMemoryError,
    PoolClosed,
    PoolFull,
    SessionFull,
    StoppedError,
    StreamError,
    TimedOutError,
    WeightsError,
)
from .latent_codec import LatentCodec
from .loading import check_packed, load
from .model import Mimi
from .qwen import QwenCodec
from .streams import DecoderStream, EncoderStream
from .token_codec import TokenCodec
from .vibevoice import VibeVoice

if TYPE_CHECKING:
    from .audio import Sound, read_audio, read_sound, write_wav
    from .token_files import Tokens, read_tokens, write_tokens

# What a process that encodes arrays does without: files of sounds and of tokens take half of the time of the import.
_ON_FIRST_USE = {
    "audio": ("Sound", "read_audio", "read_sound", "write_wav"),
    "token_files": ("Tokens", "read_tokens", "write_tokens"),
    "tokens": (),
}


def __getattr__(name: str) -> object:
    for module, names in _ON_FIRST_USE.items():
        if name == module or name in names:
            found = importlib.import_module(f".{module}", __name__)
            value = found if name == module else getattr(found, name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ON_FIRST_USE})


__all__ = [
    "AudioError",
    "AudioWarning",
    "CodesError",
    "ConfigError",
    "DecoderStream",
    "DeviceError",
    "EncoderStream",
    "InputTypeError",
    "LatentCodec",
    "LatentsError",
    "LoadError",
    "Mimi",
    "MimiConfig",
    "MimiError",
    "NumericError",
    "OutOfMemoryError",
    "PoolClosed",
    "PoolFull",
    "QwenCodec",
    "SessionFull",
    "Sound",
    "StoppedError",
    "StreamError",
    "TimedOutError",
    "TokenCodec",
    "Tokens",
    "VibeVoice",
    "WeightsError",
    "__version__",
    "build_info",
    "check_packed",
    "load",
    "read_audio",
    "read_sound",
    "read_tokens",
    "write_tokens",
    "write_wav",
]
