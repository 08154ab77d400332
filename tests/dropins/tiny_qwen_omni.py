"""A tiny random Qwen3-Omni that hears nothing and speaks: thinker, talker, code predictor and Code2Wav.

    host = tiny_qwen_omni.model()
    text, audio = host.generate(**tiny_qwen_omni.inputs())  # one row: audio (1, 1, N)

Its tokens are greedy unless `inputs(rows=..., sampled=True)` asks for samples. Sampled rows meet the end of speech at
different frames, so that a batch has rows of unequal lengths. Samples come from PyTorch's generator: seed it before
each call of `generate` that is to be the same.
"""

import torch
from transformers import Qwen3OmniMoeConfig, Qwen3OmniMoeForConditionalGeneration

CODEBOOKS = 4
CODEBOOK_SIZE = 32
# The talker's vocabulary: the codes of the first codebook, then 1024 ids, these first. `generate` lets it say only the
# end of speech of them.
SPECIALS = ("codec_pad_id", "codec_bos_id", "codec_eos_token_id")
SPECIALS += ("codec_nothink_id", "codec_think_bos_id", "codec_think_eos_id", "speaker")

# The thinker's vocabulary: 40 words, then these.
IM_START, IM_END, SYSTEM, USER, ASSISTANT, TTS_PAD, TTS_BOS, TTS_EOS = range(40, 48)
AUDIO, IMAGE, VIDEO, VISION_START, AUDIO_START, NEWLINE = range(48, 54)
THINKER_VOCABULARY = 56

LAYERS = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
}
EXPERTS = {
    "head_dim": 16,
    "moe_intermediate_size": 16,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2], "interleaved": True},
}
CODE2WAV = {
    "codebook_size": CODEBOOK_SIZE,
    "num_quantizers": CODEBOOKS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "sliding_window": 7,
    "max_position_embeddings": 512,
    "upsample_rates": (5, 4, 3, 2),
    "upsampling_ratios": (2, 2),
    "decoder_dim": 64,
}


def config(**code2wav) -> Qwen3OmniMoeConfig:
    """Its configuration, with changes of the codec's."""
    ids = {
        "audio_token_id": AUDIO,
        "image_token_id": IMAGE,
        "video_token_id": VIDEO,
        "vision_start_token_id": VISION_START,
        "audio_start_token_id": AUDIO_START,
    }
    codec = CODE2WAV | code2wav
    codebooks, size = codec["num_quantizers"], codec["codebook_size"]
    audio = {"d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16, "output_dim": 32}
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 32}
    vision |= {"deepstack_visual_indexes": (0,), "num_position_embeddings": 16, "patch_size": 4}
    specials = {name: size + number for number, name in enumerate(SPECIALS)}
    speaker = {"ethan": specials.pop("speaker")}
    predictor = {"vocab_size": size, "num_code_groups": codebooks, "head_dim": 16}
    return Qwen3OmniMoeConfig(
        thinker_config={
            "text_config": LAYERS | EXPERTS | {"vocab_size": THINKER_VOCABULARY},
            "audio_config": audio | {"downsample_hidden_size": 8, "num_mel_bins": 16},
            "vision_config": vision,
            "user_token_id": USER,
            **ids,
        },
        talker_config={
            "text_config": LAYERS | EXPERTS | {"vocab_size": size + 1024, "shared_expert_intermediate_size": 16},
            "code_predictor_config": LAYERS | predictor,
            "num_code_groups": codebooks,
            "thinker_hidden_size": 32,
            "accept_hidden_layer": 1,
            "speaker_id": speaker,
            "spatial_merge_size": 2,
            **specials,
            **ids,
        },
        code2wav_config=codec,
        im_start_token_id=IM_START,
        im_end_token_id=IM_END,
        tts_pad_token_id=TTS_PAD,
        tts_bos_token_id=TTS_BOS,
        tts_eos_token_id=TTS_EOS,
        system_token_id=SYSTEM,
        user_token_id=USER,
        assistant_token_id=ASSISTANT,
    )


def model(**code2wav) -> Qwen3OmniMoeForConditionalGeneration:
    """The host, always with the same weights; options are changes of the codec's configuration."""
    host = Qwen3OmniMoeForConditionalGeneration(config(**code2wav))
    _fill(host)
    return host.eval()


def inputs(rows: int = 1, frames: int = 12, *, sampled: bool = False) -> dict:
    """Arguments of `generate` for some rows, which ends after `frames` frames at the latest."""
    words = torch.randint(0, 40, (rows, 6), generator=torch.Generator().manual_seed(rows))
    start = torch.tensor([[IM_START, USER]]).expand(rows, -1)
    answer = torch.tensor([[IM_END, IM_START, ASSISTANT, NEWLINE]]).expand(rows, -1)
    ids = torch.cat([start, words, answer], dim=1)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "thinker_max_new_tokens": 5,
        "thinker_do_sample": False,
        "thinker_eos_token_id": None,
        "talker_max_new_tokens": frames + 1,  # the step after the last frame is its end
        "talker_do_sample": sampled,
        "talker_repetition_penalty": 1.0,
        "return_audio": True,
    }


@torch.no_grad()
def _fill(host):
    """Weights wide enough that tokens depend on what came before, and audio on the codes."""
    rng = torch.Generator().manual_seed(11)
    for name, parameter in host.named_parameters():
        if parameter.dim() > 1:
            gain = 0.4 if name.startswith("code2wav.decoder.") else 1.5  # residual blocks add up
            scale = 0.7 if "embed" in name else gain * parameter[0].numel() ** -0.5
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * scale)
        elif "layer_scale" in name:
            parameter.copy_(0.5 + 0.1 * torch.randn(parameter.shape, generator=rng))
        elif name.startswith("code2wav.") and not name.endswith("norm.weight"):
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=rng))
    host.code2wav.decoder[-1].conv.weight *= 5
    host.talker.codec_head.weight[host.config.talker_config.codec_eos_token_id] *= -0.6  # or most rows never end
