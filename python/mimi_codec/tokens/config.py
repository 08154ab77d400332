"""Layouts from a model's `config.json`: that of Kyutai, of Transformers, of Sesame and of Qwen.

Kyutai's configurations say everything. Moshi in Transformers has its delays in its code (the first codebook of each
speaker is on time, the others are one step late), and its speech-to-text has its silences in
`preprocessor_config.json`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config import MimiConfig
from ..errors import ConfigError, LoadError
from .csm import CsmLayout
from .layouts import StreamLayout, acoustic_delays
from .talker import TalkerLayout

__all__ = ["from_config"]

TRANSFORMERS_MOSHI_DELAY = 1

Config = Mapping[str, Any]


def from_config(
    source: str | os.PathLike[str] | Config, preprocessor: Config | None = None, *, name: str | None = None
) -> StreamLayout | CsmLayout | TalkerLayout:
    """The layout that a configuration describes.

    Args:
        source: a `config.json`, the directory it is in, or its parsed content.
        preprocessor: the parsed `preprocessor_config.json`; beside a file it is found without this.
        name: a name for messages; by default the model's type.

    Returns:
        The layout of a model with rows (Moshi and its kin), of a CSM, or of a talker (Qwen3-Omni and Qwen3-TTS).

    Raises:
        LoadError: the file is missing, or does not hold a JSON object.
        ConfigError: a value is missing or wrong, or the model is not one of these.

    Example:
        >>> from mimi_codec.tokens import from_config
        >>> config = {"n_q": 4, "dep_q": 2, "card": 2048, "text_card": 4000, "delays": [0, 0, 2, 0, 2]}
        >>> layout = from_config(config, name="mine")
        >>> layout.num_generated, layout.num_user, layout.max_delay
        (2, 2, 2)
    """
    if isinstance(source, Mapping):
        config = source
    else:
        path = Path(source)
        path = path / "config.json" if path.is_dir() else path
        config = _read(path)
        beside = path.with_name("preprocessor_config.json")
        if preprocessor is None and beside.is_file():
            preprocessor = _read(beside)
    kind = config.get("model_type")
    if "n_q" in config or "dep_q" in config:
        return _kyutai(config, name or (kind if isinstance(kind, str) else "moshi"))
    if kind == "moshi":
        return _transformers_moshi(config, name or "moshi")
    if kind == "kyutai_speech_to_text":
        return _transformers_stt(config, preprocessor or {}, name or "kyutai_speech_to_text")
    if kind == "csm" or "audio_num_codebooks" in config:
        return _csm(config, name or "csm")
    if kind in ("qwen3_omni_moe", "qwen3_tts"):
        return _talker(config, name or kind)
    keys = ", ".join(map(str, list(config)[:8])) or "none"
    raise ConfigError(
        "not the configuration of a model over Mimi's codes: expected Kyutai's (n_q, dep_q, delays) or model_type "
        f"moshi, kyutai_speech_to_text, csm, qwen3_omni_moe or qwen3_tts, got model_type {kind!r} with the keys {keys}"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise LoadError(f"there is no configuration at {path}") from error
    except (ValueError, RecursionError) as error:
        raise LoadError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise LoadError(f"{path} must hold a JSON object, got {type(config).__name__}")
    return config


def _kyutai(config: Config, name: str) -> StreamLayout:
    rows, generated = _integer(config, "n_q"), _integer(config, "dep_q")
    if generated > rows:
        raise ConfigError(f"dep_q must be at most n_q, got dep_q {generated} and n_q {rows}")
    text, speech = _section(config, "stt_config"), _section(config, "tts_config")
    return StreamLayout(
        name,
        num_generated=generated,
        num_user=rows - generated,
        delays=_delays(config),
        text_card=_integer(config, "text_card"),
        card=_integer(config, "card"),
        text_padding_id=_integer(config, "existing_text_padding_id", 3),
        text_end_padding_id=_integer(config, "existing_text_end_padding_id", 0),
        multiplexed_text=bool(config.get("demux_second_stream", config.get("demux_second_text_stream", False))),
        audio_delay_seconds=_number(speech, "audio_delay", 0.0),
        text_delay_seconds=_number(text, "audio_delay_seconds", 0.0),
        silence_prefix_seconds=_number(text, "audio_silence_prefix_seconds", 0.0),
    )


def _transformers_moshi(config: Config, name: str) -> StreamLayout:
    codec = _codec(config, "audio_encoder_config")
    codebooks = _integer(config, "num_codebooks", 8)
    return StreamLayout(
        name,
        num_generated=codebooks,
        num_user=codebooks,
        delays=acoustic_delays(TRANSFORMERS_MOSHI_DELAY, codebooks, codebooks),
        text_card=_integer(config, "vocab_size", 32000),
        card=_integer(config, "audio_vocab_size", codec.codebook_size),
        sample_rate=codec.sampling_rate,
        frame_rate=codec.frame_rate,
    )


def _transformers_stt(config: Config, preprocessor: Config, name: str) -> StreamLayout:
    codec = _codec(config, "codec_config")
    codebooks = _integer(config, "num_codebooks", 32)
    return StreamLayout(
        name,
        num_generated=0,
        num_user=codebooks,
        delays=acoustic_delays(0, codebooks),
        text_card=_integer(config, "vocab_size", 4001) - 1,
        card=_integer(config, "codebook_vocab_size", 2049) - 1,
        initial_id=_integer(config, "audio_bos_token_id", 2048),
        text_initial_id=_integer(config, "bos_token_id", 48000),
        text_padding_id=_integer(config, "pad_token_id", 3),
        text_delay_seconds=_number(preprocessor, "audio_delay_seconds", 0.0),
        silence_prefix_seconds=_number(preprocessor, "audio_silence_prefix_seconds", 0.0),
        sample_rate=codec.sampling_rate,
        frame_rate=codec.frame_rate,
    )


def _csm(config: Config, name: str) -> CsmLayout:
    """Transformers' names, or those of Sesame's own configuration."""
    sesame = "audio_num_codebooks" in config
    codec = _codec(config, "codec_config")
    return CsmLayout(
        name,
        num_codebooks=_integer(config, "audio_num_codebooks" if sesame else "num_codebooks", 32),
        codebook_size=codec.codebook_size,
        vocab_size=_integer(config, "audio_vocab_size" if sesame else "vocab_size", 2051),
        padding_id=_integer(config, "codebook_pad_token_id", 2050),
        end_id=_integer(config, "codebook_eos_token_id", 0),
        text_vocab_size=_integer(config, "text_vocab_size", 128256),
        audio_token_id=_integer(config, "audio_token_id", 128002),
        audio_end_token_id=_integer(config, "audio_eos_token_id", 128003),
        sample_rate=codec.sampling_rate,
        frame_rate=codec.frame_rate,
    )


def _talker(config: Config, name: str) -> TalkerLayout:
    """All ids are asked for: what the hosts' classes take for one that is missing is not what released models have.

    The codec's own rates are not in these configurations.
    """
    talker = _section(config, "talker_config")
    omni = config.get("model_type") == "qwen3_omni_moe"
    own = _section(talker, "text_config") if omni else talker
    return TalkerLayout(
        name,
        num_codebooks=_integer(talker, "num_code_groups"),
        codebook_size=_integer(_section(talker, "code_predictor_config"), "vocab_size"),
        vocab_size=_integer(own, "vocab_size"),
        codec_pad_id=_integer(talker, "codec_pad_id"),
        codec_bos_id=_integer(talker, "codec_bos_id"),
        codec_eos_id=_integer(talker, "codec_eos_token_id"),
        codec_think_id=None if omni else _integer(talker, "codec_think_id"),
        codec_nothink_id=_integer(talker, "codec_nothink_id"),
        codec_think_bos_id=_integer(talker, "codec_think_bos_id"),
        codec_think_eos_id=_integer(talker, "codec_think_eos_id"),
        tts_pad_id=_integer(config, "tts_pad_token_id"),
        tts_bos_id=_integer(config, "tts_bos_token_id"),
        tts_eos_id=_integer(config, "tts_eos_token_id"),
    )


def _delays(config: Config) -> tuple[int, ...]:
    delays = config.get("delays")
    if not isinstance(delays, (list, tuple)) or not all(type(delay) is int for delay in delays):
        raise ConfigError(f"delays must be a list of integers, one per row, got {delays!r}")
    return tuple(delays)


def _codec(config: Config, key: str) -> MimiConfig:
    section = _section(config, key)
    try:
        return MimiConfig.from_dict(section)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"{key} is not the configuration of a codec: {error}") from error


def _section(config: Config, key: str) -> Config:
    section = config.get(key)
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        raise ConfigError(f"{key} must be an object, got {section!r}")
    return section


def _integer(config: Config, key: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None:
        value = default
    if value is None:
        raise ConfigError(f"the configuration has no {key}")
    if type(value) is not int or value < 0:
        raise ConfigError(f"{key} must be an integer of at least 0, got {value!r}")
    return value


def _number(config: Config, key: str, default: float) -> float:
    value = config.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{key} must be a number of seconds, got {value!r}")
    return float(value)
