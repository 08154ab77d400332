"""Tiny random VibeVoice models: the one that speaks and the one that transcribes.

    host = tiny_vibevoice.speaker()
    audio = host.generate(**tiny_vibevoice.speaker_inputs(rows=2))  # a list of (1, N), one for each row
    host = tiny_vibevoice.transcriber()
    tokens = host.generate(**tiny_vibevoice.transcriber_inputs())  # (B, T)

Noise comes from PyTorch's generator: seed it before each call of `generate` that is to be the same. The first one needs
a noise scheduler. Transformers takes those of `diffusers`; here is one that is as small as it can be.
"""

from types import SimpleNamespace

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    Qwen2Config,
    VibeVoiceAcousticTokenizerConfig,
    VibeVoiceAcousticTokenizerEncoderConfig,
    VibeVoiceAsrConfig,
    VibeVoiceAsrForConditionalGeneration,
    VibeVoiceConfig,
    VibeVoiceDiffusionHeadConfig,
    VibeVoiceForConditionalGeneration,
)

ACOUSTIC, SEMANTIC = 6, 10  # latent channels
HOP = 2 * 2 * 3
# 40 words, then these.
AUDIO_BOS, AUDIO_EOS, AUDIO, END = range(40, 44)
VOCABULARY = 48

TOKENIZER = {"num_filters": 4, "downsampling_ratios": (2, 2, 3), "depths": (1, 2, 1, 2), "layer_scale_init_value": 0.5}
TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
}


class Scheduler:
    """Takes what the diffusion head says for the difference to the latents."""

    timesteps = torch.empty(0)

    def set_timesteps(self, num_inference_steps: int):
        self.timesteps = torch.arange(num_inference_steps, 0, -1)

    def step(self, said, timestep, latents):
        return SimpleNamespace(prev_sample=latents - said / len(self.timesteps))


class Script(LogitsProcessor):
    """Says which token follows in each row, as a language model of random weights would hardly speak at all.

    The rows pause, go on with a new sentence, and end at different steps. What the audio is, is not said here.
    """

    def __init__(self, rows: int, start: int):
        self.start = start
        pause = [AUDIO_EOS, AUDIO_BOS]
        self.rows = [
            [AUDIO] * (3 + row) + pause + [AUDIO] * max(1, 4 - 2 * row) + [AUDIO_EOS, END] for row in range(rows)
        ]

    def __call__(self, input_ids, scores):
        step = input_ids.shape[1] - self.start
        forced = torch.full_like(scores, float("-inf"))
        for row, script in enumerate(self.rows):
            forced[row, script[min(step, len(script) - 1)]] = 0
        return forced


def speaker(**tokenizer) -> VibeVoiceForConditionalGeneration:
    """VibeVoice, always with the same weights; options are changes of both tokenizers' configurations."""
    shapes = TOKENIZER | tokenizer
    config = VibeVoiceConfig(
        audio_config=VibeVoiceAcousticTokenizerConfig(hidden_size=ACOUSTIC, **shapes),
        semantic_model_config=VibeVoiceAcousticTokenizerEncoderConfig(hidden_size=SEMANTIC, **shapes),
        text_config=Qwen2Config(**TEXT),
        diffusion_head_config=VibeVoiceDiffusionHeadConfig(
            num_hidden_layers=1, intermediate_size=32, frequency_embedding_size=16
        ),
        pad_token_id=END,
        eos_token_id=END,
        audio_bos_token_id=AUDIO_BOS,
        audio_eos_token_id=AUDIO_EOS,
        audio_token_id=AUDIO,
    )
    return _fill(VibeVoiceForConditionalGeneration(config))


def speaker_inputs(rows: int = 1, steps: int = 12, *, voice_frames: int = 5, hop: int = HOP) -> dict:
    """Arguments of `generate`: a prompt that begins with a voice, of unequal length in each row."""
    rng = torch.Generator().manual_seed(rows)
    lengths = [max(1, voice_frames - row) for row in range(rows)]
    voice = torch.zeros(rows, 1, max(lengths) * hop)
    ids = torch.full((rows, max(lengths) + 5), END)
    for row, length in enumerate(lengths):
        voice[row, 0, : length * hop] = 0.2 * torch.randn(length * hop, generator=rng)
        words = torch.randint(0, 40, (3,), generator=rng)
        ids[row, -length - 5 :] = torch.tensor([AUDIO_BOS, *[AUDIO] * length, AUDIO_EOS, *words])
        ids[row, -1] = AUDIO_BOS  # and now it speaks
    return {
        "input_ids": ids,
        "attention_mask": (ids != END).long(),
        "input_values": voice,
        "padding_mask": torch.arange(voice.shape[-1]) < torch.tensor(lengths)[:, None] * hop,
        "noise_scheduler": Scheduler(),
        "num_diffusion_steps": 2,
        "guidance_scale": 1.3,
        "logits_processor": LogitsProcessorList([Script(rows, ids.shape[1])]),
        "max_new_tokens": steps,
        "do_sample": False,
    }


def transcriber(*, chunk_frames: int = 4, **tokenizer) -> VibeVoiceAsrForConditionalGeneration:
    """VibeVoice-ASR, always with the same weights; it encodes `chunk_frames` frames in one call."""
    shapes = TOKENIZER | tokenizer
    acoustic = VibeVoiceAcousticTokenizerEncoderConfig(hidden_size=ACOUSTIC, **shapes)
    config = VibeVoiceAsrConfig(
        acoustic_tokenizer_encoder_config=acoustic,
        semantic_tokenizer_encoder_config=VibeVoiceAcousticTokenizerEncoderConfig(hidden_size=SEMANTIC, **shapes),
        text_config=Qwen2Config(**TEXT),
        audio_bos_token_id=AUDIO_BOS,
        audio_eos_token_id=AUDIO_EOS,
        audio_token_id=AUDIO,
        acoustic_tokenizer_chunk_size=chunk_frames * acoustic.hop_length,
    )
    return _fill(VibeVoiceAsrForConditionalGeneration(config))


def transcriber_inputs(rows: int = 1, frames: int = 10, steps: int = 8, *, hop: int = HOP) -> dict:
    """Arguments of `generate`: a clip in each row, each a frame shorter than the one before."""
    rng = torch.Generator().manual_seed(rows)
    lengths = [max(1, frames - row) for row in range(rows)]
    sound = torch.zeros(rows, 1, frames * hop)
    ids = torch.full((rows, frames + 4), END)
    for row, length in enumerate(lengths):
        sound[row, 0, : length * hop] = 0.2 * torch.randn(length * hop, generator=rng)
        words = torch.randint(0, 40, (2,), generator=rng)
        ids[row, -length - 4 :] = torch.tensor([AUDIO_BOS, *[AUDIO] * length, AUDIO_EOS, *words])
    return {
        "input_ids": ids,
        "attention_mask": (ids != END).long(),
        "input_values": sound,
        "padding_mask": torch.arange(sound.shape[-1]) < torch.tensor(lengths)[:, None] * hop,
        "max_new_tokens": steps,
        "do_sample": False,
        "pad_token_id": END,
        "eos_token_id": END,
    }


@torch.no_grad()
def _fill(host):
    """Weights wide enough that what is said depends on what was heard."""
    rng = torch.Generator().manual_seed(13)
    for name, parameter in host.named_parameters():
        if parameter.dim() > 1:
            scale = 0.7 if "embed_tokens" in name else 1.2 * parameter[0].numel() ** -0.5
            scale *= 0.2 if name.endswith("decoder.head.conv.weight") else 1
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * scale)
        elif parameter.dim() == 1 and not name.endswith("norm.weight"):
            parameter.copy_(0.5 * parameter + 0.1 * torch.randn(parameter.shape, generator=rng))
    return host.eval()
