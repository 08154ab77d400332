"""Weights and configurations of the codecs of Qwen and VibeVoice: right numbers, or an error."""

import numpy as np
from target_model import Weights

import mimi_codec
from mimi_codec.synthetic import write_synthetic_family

_DECODER = {
    "codebook_size": 4,
    "num_quantizers": 2,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "intermediate_size": 6,
    "sliding_window": 3,
    "upsample_rates": [2],
    "upsampling_ratios": [2],
    "decoder_dim": 4,
}
_ENCODER = {
    "num_filters": 2,
    "upsampling_ratios": [2],
    "hidden_size": 4,
    "intermediate_size": 4,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "codebook_size": 4,
    "codebook_dim": 2,
    "vector_quantization_hidden_dimension": 2,
    "num_quantizers": 3,
    "upsample_groups": 4,
}
_VOICE = {"hidden_size": 3, "num_filters": 2, "downsampling_ratios": [2, 2], "depths": [1, 0, 1], "kernel_size": 3}

KINDS = {
    "code2wav": _DECODER,
    "qwen3-tts": {
        "encoder_config": _ENCODER,
        "decoder_config": _DECODER | {"codebook_dim": 4, "latent_dim": 6, "head_dim": 4},
    },
    "vibevoice": _VOICE,
    "vibevoice-encoder": _VOICE,
}


class FamilyWeights(Weights):
    """`mimi_codec.load` of a directory whose weights, index or configuration are damaged."""

    def __init__(self, kind: str) -> None:
        self.name = f"weights-{kind}"
        super().__init__(lambda directory: write_synthetic_family(directory, kind, KINDS[kind]))

    def use(self) -> None:
        codec = mimi_codec.load(self.directory)
        rng = np.random.default_rng(0)
        if codec.has_encoder:
            frames = min(codec.frame_size, 1000) * 3
            assert np.isfinite(codec.encode_latents(rng.standard_normal(frames, np.float32) / 9)).all()
        if codec.has_decoder and isinstance(codec, mimi_codec.LatentCodec):
            latents = rng.standard_normal((codec.decoder_latent_dim, 3), np.float32)
            assert np.isfinite(codec.decode_latents(latents)).all()
        elif codec.has_decoder:
            codes = rng.integers(0, codec.codebook_size, (codec.num_codebooks, 3))
            assert np.isfinite(codec.decode(codes)).all()
