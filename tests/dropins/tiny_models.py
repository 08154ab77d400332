"""Tiny random language models around a tiny Mimi with well-scaled weights: Moshi, CSM and KyutaiSpeechToText.

Random language models like to repeat one token; these are drawn wide enough that their tokens depend on the codes they
are given, so a codec that gave other codes would show.
"""

import copy

import torch
from transformers import (
    CsmConfig,
    CsmForConditionalGeneration,
    KyutaiSpeechToTextConfig,
    KyutaiSpeechToTextForConditionalGeneration,
    MimiModel,
    MoshiConfig,
    MoshiForConditionalGeneration,
)

import synthetic

HOP = 16  # samples a frame
CODEBOOKS = 6
CODEBOOK_SIZE = 32

LAYERS = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
}


def codec(**changes) -> MimiModel:
    """The tiny Mimi of all these models."""
    return synthetic.build(synthetic.tiny_config(**changes))


def moshi() -> MoshiForConditionalGeneration:
    """4 of the 6 codebooks on each side."""
    theirs = codec()
    depth = LAYERS | {"intermediate_size": 64, "ffn_dim": 64, "num_codebooks": 4, "vocab_size": 40}
    config = MoshiConfig(
        vocab_size=40,
        max_position_embeddings=128,
        sliding_window=64,
        ffn_dim=64,
        num_codebooks=4,
        audio_encoder_config=theirs.config.to_dict(),
        depth_decoder_config=depth
        | {"input_size": 32, "audio_vocab_size": CODEBOOK_SIZE, "max_position_embeddings": 5},
        pad_token_id=0,
        bos_token_id=1,
        **LAYERS,
    )
    return _fill(MoshiForConditionalGeneration(config), "audio_encoder", theirs)


@torch.no_grad()
def csm(stray_ids: bool = False) -> CsmForConditionalGeneration:
    """All 6 codebooks; ids 32 to 34 are outside of them, as 2048 to 2050 are in CSM-1B.

    A trained model hardly ever says those; this one does so only with `stray_ids`.
    """
    theirs = codec()
    depth = LAYERS | {
        "num_codebooks": CODEBOOKS,
        "vocab_size": CODEBOOK_SIZE + 3,
        "backbone_hidden_size": 32,
        "intermediate_size": 64,
        "max_position_embeddings": CODEBOOKS + 1,
    }
    config = CsmConfig(
        num_codebooks=CODEBOOKS,
        vocab_size=CODEBOOK_SIZE + 3,
        text_vocab_size=50,
        intermediate_size=64,
        max_position_embeddings=256,
        audio_token_id=40,
        audio_eos_token_id=41,
        codebook_pad_token_id=CODEBOOK_SIZE + 2,
        codebook_eos_token_id=0,
        bos_token_id=1,
        pad_token_id=42,
        eos_token_id=None,
        codec_config=theirs.config.to_dict(),
        depth_decoder_config=depth,
        **LAYERS,
    )
    model = _fill(CsmForConditionalGeneration(config), "codec_model", theirs)
    model.generation_config.eos_token_id = None
    if not stray_ids:
        # greedy choices never fall on an id whose score is always 0, nor is 0, the end, among them
        for head in (model.lm_head.weight.T, *model.depth_decoder.codebooks_head.weight):
            head[:, [0, *range(CODEBOOK_SIZE, CODEBOOK_SIZE + 3)]] = 0
    return model


def speech_to_text(use_cache: bool = True) -> KyutaiSpeechToTextForConditionalGeneration:
    """All 6 codebooks; `use_cache` as the released checkpoints have it for the codec."""
    theirs = codec(use_cache=use_cache)
    config = KyutaiSpeechToTextConfig(
        codebook_vocab_size=CODEBOOK_SIZE + 1,
        vocab_size=50,
        num_codebooks=CODEBOOKS,
        frame_size=HOP,
        ffn_dim=64,
        max_position_embeddings=256,
        sliding_window=64,
        audio_bos_token_id=CODEBOOK_SIZE,
        audio_pad_token_id=50 + CODEBOOKS * (CODEBOOK_SIZE + 1),
        pad_token_id=3,
        bos_token_id=48,
        codec_config=theirs.config.to_dict(),
        **LAYERS,
    )
    model = _fill(KyutaiSpeechToTextForConditionalGeneration(config), "codec_model", theirs)
    model.generation_config.pad_token_id = 3
    model.generation_config.bos_token_id = 48
    model.codec_model.generation_config.use_cache = use_cache
    return model


def twin(model):
    """An independent copy."""
    return copy.deepcopy(model)


@torch.no_grad()
def _fill(model, attribute: str, theirs: MimiModel):
    rng = torch.Generator().manual_seed(5)
    for name, parameter in model.named_parameters():
        if not name.startswith(attribute) and parameter.dim() > 1:
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * (0.7 if "embed" in name else 0.25))
    getattr(model, attribute).load_state_dict(theirs.state_dict())
    return model.eval()
