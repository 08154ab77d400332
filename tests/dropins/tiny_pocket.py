"""A tiny random codec of Pocket TTS in Transformers, and a processor that holds it."""

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    PocketTTSAudioTokenizerConfig,
    PocketTTSAudioTokenizerModel,
    PocketTTSFeatureExtractor,
    PocketTTSProcessor,
    PreTrainedTokenizerFast,
)

HOP = 16  # samples a frame
DIM = 8  # values in a latent

SPECIAL = {
    "audio_prompt_bos_token": "<voice>",
    "audio_prompt_token": "<prompt>",
    "audio_latent_token": "<latent>",
    "audio_bos_token": "<audio>",
}


@torch.no_grad()
def codec(seed: int = 1, **changes) -> PocketTTSAudioTokenizerModel:
    """2 + 2 layers, a window of 6 positions (3 frames), and weights wide enough that every layer is heard."""
    fields = {
        "num_filters": 4,
        "upsampling_ratios": [4, 2],
        "latent_stride": 2,
        "latent_dim": DIM,
        "hidden_size": 32,
        "upsample_groups": 32,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "sliding_window": 6,
    } | changes
    model = PocketTTSAudioTokenizerModel(PocketTTSAudioTokenizerConfig(**fields))
    rng = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=rng)
        if "norm" in name and name.endswith("weight"):
            parameter.copy_(1 + 0.1 * noise)
        elif name.endswith("bias"):
            parameter.copy_(0.02 * noise)
        elif "scale" in name:
            parameter.copy_(0.3 + 0.05 * noise)
        else:
            fan_in = parameter[0].numel()
            parameter.copy_(noise * (1.3 / fan_in**0.5))
    return model.eval()


def processor(tokenizer: PocketTTSAudioTokenizerModel | None = None) -> PocketTTSProcessor:
    """A processor whose texts are words of a vocabulary of two."""
    words = Tokenizer(models.WordLevel({"<unk>": 0, "hello": 1, "there": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    text = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", pad_token="<unk>", extra_special_tokens=SPECIAL
    )
    extractor = PocketTTSFeatureExtractor(frame_size=HOP, pad_to_multiple_of=HOP)
    return PocketTTSProcessor(extractor, text, audio_tokenizer=tokenizer)
