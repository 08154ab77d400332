"""Tokens of the models that speak Mimi: their streams, delays and frames.

A language model sees Mimi's codes as rows of tokens beside its text. Some rows are late by a few steps, and where there
is no code yet they hold special ids. This package converts codes to those rows and back, with NumPy alone:

* `layouts`: what the rows of a model are; `config`: the same from its `config.json`
* `matrix`: whole sequences, delayed and undelayed; `hf_moshi`: the form that Transformers gives them
* `duplex`: one step at a time, while a language model runs
* `csm`: CSM's frames of 33 columns; `stt`: the silence that speech-to-text models want around a clip
* `talker`: what the talkers of Qwen3-Omni and Qwen3-TTS say; `talker_prompts`: what they read
* `sentinels`: ids that are not codes, which must not reach the decoder

Files of codes are in `mimi_codec.token_files`.
"""

from .config import from_config
from .csm import CSM_1B, CsmLayout
from .duplex import Aligned, DuplexStream
from .layouts import (
    HIBIKI_1B,
    HIBIKI_2B,
    MOSHI_7B,
    PERSONAPLEX,
    STT_1B,
    STT_2_6B,
    TTS_1_6B,
    StreamLayout,
)
from .matrix import Rows, delay, end_of_input, merge_rows, split_rows, undelay
from .sentinels import mask_sentinels, refuse_sentinels, sentinel_names
from .talker import QWEN3_OMNI, QWEN3_TTS, TalkerLayout

__all__ = [
    "CSM_1B",
    "HIBIKI_1B",
    "HIBIKI_2B",
    "MOSHI_7B",
    "PERSONAPLEX",
    "QWEN3_OMNI",
    "QWEN3_TTS",
    "STT_1B",
    "STT_2_6B",
    "TTS_1_6B",
    "Aligned",
    "CsmLayout",
    "DuplexStream",
    "Rows",
    "StreamLayout",
    "TalkerLayout",
    "delay",
    "end_of_input",
    "from_config",
    "mask_sentinels",
    "merge_rows",
    "refuse_sentinels",
    "sentinel_names",
    "split_rows",
    "undelay",
]
