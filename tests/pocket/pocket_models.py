"""Pocket TTS's audio tokenizer as Transformers makes it, with random weights of the right scale, in both layouts."""

import json
import math
import re
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import PocketTTSAudioTokenizerConfig, PocketTTSAudioTokenizerModel

# Of `eustlb/pocket-tts-audio-tokenizer`
FULL: dict = {}

# 16 steps of 8 samples a frame as there, but narrow; a window of 40 steps, 2.5 frames
TINY = {
    "num_filters": 4,
    "upsampling_ratios": [4, 2],
    "latent_stride": 16,
    "latent_dim": 6,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "sliding_window": 40,
}
HOP = 128  # samples of a frame of the tiny one


@torch.no_grad()
def build(fields: dict, seed: int = 1) -> PocketTTSAudioTokenizerModel:
    """Transformers' model, in float32, whose layers keep the scale of their input."""
    given = {"upsample_groups": fields["hidden_size"]} if "hidden_size" in fields else {}
    model = PocketTTSAudioTokenizerModel(PocketTTSAudioTokenizerConfig(**(given | fields))).eval()
    rng = torch.Generator().manual_seed(seed)

    def fill(parameter, scale, mean=0.0):
        if parameter is not None:
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * scale + mean)

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            taps = module.kernel_size[0]
            if isinstance(module, nn.ConvTranspose1d):
                taps //= module.stride[0]  # taps that meet in one output
            gain = 1.4 if "seanet" in name else 1.0  # what an ELU takes away
            fill(module.weight, gain / math.sqrt(module.in_channels // module.groups * taps))
            fill(module.bias, 0.02)
        elif isinstance(module, nn.Linear):
            fill(module.weight, 1 / math.sqrt(module.in_features))
        elif isinstance(module, nn.LayerNorm):
            fill(module.weight, 0.1, mean=1.0)
            fill(module.bias, 0.05)
        elif type(module).__name__.endswith("LayerScale"):
            fill(module.scale, 0.02, mean=0.12)
    return model


def write(model: PocketTTSAudioTokenizerModel, directory: Path) -> Path:
    """As Transformers stores it; returns the directory."""
    model.save_pretrained(directory)
    return directory


# Names that Transformers has and that Kyutai has; q, k and v are joined apart from this.
TO_KYUTAI = (
    (r"^encoder\.encoder_seanet\.layers\.", "encoder.model."),
    (r"^decoder\.decoder_seanet\.layers\.", "decoder.model."),
    (r"^encoder\.encoder_transformer\.", "encoder_transformer.transformer."),
    (r"^decoder\.decoder_transformer\.", "decoder_transformer.transformer."),
    (r"^encoder\.downsample\.conv\.", "downsample.conv.conv."),
    (r"^decoder\.upsample\.conv\.", "upsample.convtr.convtr."),
    (r"^latent_proj\.weight", "quantizer.output_proj.weight"),
    (r"\.self_attn\.o_proj\.", ".self_attn.out_proj."),
    (r"\.mlp\.fc", ".linear"),
    (r"\.input_layernorm\.", ".norm1."),
    (r"\.post_attention_layernorm\.", ".norm2."),
    (r"\.self_attn_layer_scale\.", ".layer_scale_1."),
    (r"\.mlp_layer_scale\.", ".layer_scale_2."),
)


def kyutai_state(model: PocketTTSAudioTokenizerModel) -> dict[str, torch.Tensor]:
    """Tensors under the names of the `pocket-tts` package, with q and k in interleaved rotary order."""
    state, heads = model.state_dict(), model.config.num_attention_heads

    def interleaved(weight):
        halves = weight.view(heads, 2, -1, weight.shape[-1])
        return halves.transpose(1, 2).reshape(weight.shape)

    transposed = {
        name for name, module in model.named_modules() if isinstance(module, nn.ConvTranspose1d) and "seanet" in name
    }
    result = {}
    for name, value in state.items():
        if name.endswith(("k_proj.weight", "v_proj.weight")):
            continue
        renamed = name
        if name.endswith("q_proj.weight"):
            k, v = (state[name.replace("q_proj", part)] for part in ("k_proj", "v_proj"))
            value = torch.cat([interleaved(value), interleaved(k), v])
            renamed = name.replace("q_proj", "in_proj")
        for pattern, replacement in TO_KYUTAI:
            renamed = re.sub(pattern, replacement, renamed)
        if name.rpartition(".")[0] in transposed:
            renamed = renamed.replace(".conv.", ".convtr.")
        result["mimi." + renamed] = value.contiguous().clone()
    return result


def kyutai_section(config: PocketTTSAudioTokenizerConfig) -> dict:
    """The section `mimi` of a configuration of the `pocket-tts` package."""
    hop = math.prod(config.upsampling_ratios)
    width = config.hidden_size
    return {
        "dtype": "float32",
        "sample_rate": config.sampling_rate,
        "channels": 1,
        "inner_dim": config.latent_dim,
        "outer_dim": width,
        "frame_rate": config.sampling_rate / hop / config.latent_stride,
        "seanet": {
            "dimension": width,
            "channels": 1,
            "n_filters": config.num_filters,
            "n_residual_layers": config.num_residual_layers,
            "ratios": list(config.upsampling_ratios),
            "kernel_size": config.kernel_size,
            "residual_kernel_size": config.residual_kernel_size,
            "last_kernel_size": config.last_kernel_size,
            "dilation_base": config.dilation_growth_rate,
            "pad_mode": "constant",
            "compress": config.compress,
        },
        "transformer": {
            "d_model": width,
            "input_dimension": width,
            "output_dimensions": [width],
            "num_heads": config.num_attention_heads,
            "num_layers": config.num_hidden_layers,
            "layer_scale": 0.01,
            "context": config.sliding_window,
            "dim_feedforward": config.intermediate_size,
            "max_period": 10000.0,
        },
        "quantizer": {"dimension": config.latent_dim, "output_dimension": width},
    }


def write_kyutai(model: PocketTTSAudioTokenizerModel, directory: Path) -> Path:
    """As the `pocket-tts` package stores it, with its configuration as JSON; returns the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps({"mimi": kyutai_section(model.config)}))
    save_file(kyutai_state(model), directory / "model.safetensors")
    return directory


def write_halves(encoder: PocketTTSAudioTokenizerModel, decoder: PocketTTSAudioTokenizerModel, directory: Path) -> Path:
    """The encoder of one model and the decoder of another, as small variants of Pocket TTS have them."""
    directory.mkdir(parents=True, exist_ok=True)
    section, other = kyutai_section(encoder.config), kyutai_section(decoder.config)
    section |= {
        "decoder_seanet": other["seanet"],
        "decoder_transformer": other["transformer"],
        "quantizer": other["quantizer"],
        "outer_dim": other["outer_dim"],
    }
    (directory / "config.json").write_text(json.dumps({"mimi": section}))
    of_encoder = ("mimi.encoder", "mimi.downsample")
    state = {name: value for name, value in kyutai_state(encoder).items() if name.startswith(of_encoder)}
    state |= {name: value for name, value in kyutai_state(decoder).items() if not name.startswith(of_encoder)}
    save_file(state, directory / "model.safetensors")
    return directory


@torch.no_grad()
def encode(model: PocketTTSAudioTokenizerModel, pcm: np.ndarray) -> np.ndarray:
    """Samples (L,) to the latents (D, T) that Transformers gives."""
    return model.encode(torch.from_numpy(pcm)[None, None]).latents[0].T.contiguous().numpy()


@torch.no_grad()
def decode(model: PocketTTSAudioTokenizerModel, latents: np.ndarray) -> np.ndarray:
    """Latents (D, T) to the samples (L,) that Transformers gives."""
    return model.decode(torch.from_numpy(latents.T.copy())[None]).audio_values[0, 0].numpy()
