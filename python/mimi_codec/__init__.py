"""Kyutai's Mimi neural audio codec: encode, decode and stream, exactly and without PyTorch.

from mimi_codec import Mimi

mimi = Mimi.from_pretrained("kyutai/mimi")
codes = mimi.encode(pcm, num_codebooks=8)  # (L,) samples at 24 kHz to (8, T) codes
pcm = mimi.decode(codes)
"""

from . import _interpreter as _interpreter
from ._core import __version__, build_info
from .audio import Sound, read_audio, read_sound, write_wav
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
from .loading import load
from .model import Mimi
from .qwen import QwenCodec
from .streams import DecoderStream, EncoderStream
from .token_codec import TokenCodec
from .token_files import Tokens, read_tokens, write_tokens
from .vibevoice import VibeVoice

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
    "load",
    "read_audio",
    "read_sound",
    "read_tokens",
    "write_tokens",
    "write_wav",
]
