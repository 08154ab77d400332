"""A tiny random talker of Qwen3-TTS, without its speech tokenizer. Needs the package `qwen-tts`.

    host = tiny_qwen_tts.model()
    codes, _ = host.generate(**tiny_qwen_tts.inputs(rows=2))  # a list of (T, K), one for each row

Samples come from PyTorch's generator: seed it before each call of `generate` that is to be the same.
"""

import torch
from qwen_tts.core.models.configuration_qwen3_tts import Qwen3TTSConfig
from qwen_tts.core.models.modeling_qwen3_tts import Qwen3TTSForConditionalGeneration

CODEBOOKS = 4
CODEBOOK_SIZE = 32
# The talker's vocabulary: the codes of the first codebook, then 1024 ids of which these are the first.
SPECIALS = ("codec_pad_id", "codec_bos_id", "codec_eos_token_id", "codec_think_id")
SPECIALS += ("codec_nothink_id", "codec_think_bos_id", "codec_think_eos_id")
LANGUAGE, SPEAKER = CODEBOOK_SIZE + 10, CODEBOOK_SIZE + 11

# The text's vocabulary: 40 words, then these.
IM_START, IM_END, ASSISTANT, NEWLINE, TTS_PAD, TTS_BOS, TTS_EOS = range(40, 47)

LAYERS = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 512,
}


def config() -> Qwen3TTSConfig:
    """Its configuration."""
    talker = LAYERS | {name: CODEBOOK_SIZE + number for number, name in enumerate(SPECIALS)}
    return Qwen3TTSConfig(
        talker_config=talker
        | {
            "vocab_size": CODEBOOK_SIZE + 1024,
            "text_vocab_size": 48,
            "text_hidden_size": 24,
            "num_code_groups": CODEBOOKS,
            "rope_scaling": {"rope_type": "default", "mrope_section": [4, 2, 2], "interleaved": True},
            "code_predictor_config": LAYERS | {"vocab_size": CODEBOOK_SIZE, "num_code_groups": CODEBOOKS},
            "spk_id": {"anna": SPEAKER},
            "spk_is_dialect": {"anna": False},
            "codec_language_id": {"english": LANGUAGE},
            "pad_token_id": None,
        },
        tts_model_type="custom_voice",
        tokenizer_type="qwen3_tts_tokenizer_12hz",
        im_start_token_id=IM_START,
        im_end_token_id=IM_END,
        tts_pad_token_id=TTS_PAD,
        tts_bos_token_id=TTS_BOS,
        tts_eos_token_id=TTS_EOS,
    )


@torch.no_grad()
def model() -> Qwen3TTSForConditionalGeneration:
    """The host, always with the same weights."""
    host = Qwen3TTSForConditionalGeneration(config())
    rng = torch.Generator().manual_seed(7)
    for name, parameter in host.named_parameters():
        if parameter.dim() > 1:
            scale = 0.7 if "embed" in name else 1.5 * parameter[0].numel() ** -0.5
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * scale)
    return host.eval()


def text(row: int) -> torch.Tensor:
    """What is said in a row: (n,)."""
    return torch.randint(0, 40, (5 + row,), generator=torch.Generator().manual_seed(row))


def inputs(rows: int = 1, frames: int = 12, **options) -> dict:
    """Arguments of `generate`, which ends after `frames` frames at the latest; `options` are more of them."""
    begin, end = [IM_START, ASSISTANT, NEWLINE], [IM_END, NEWLINE, IM_START, ASSISTANT, NEWLINE]
    return {
        "input_ids": [torch.tensor([[*begin, *text(row).tolist(), *end]]) for row in range(rows)],
        "languages": ["english"] * rows,
        "speakers": ["anna"] * rows,
        "max_new_tokens": frames + 1,  # the step after the last frame is its end
        **options,
    }
