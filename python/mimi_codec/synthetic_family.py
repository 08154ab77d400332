"""The codecs built from Mimi's parts, with random weights of the right scale: those of Qwen and of VibeVoice."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ._arrays import to_count
from ._options import choice
from ._synthetic_files import Tensor, write_files
from ._synthetic_layers import Layers
from ._synthetic_mimi import FIRST_CONV, tensor_shapes, values_of
from .config import MimiConfig

__all__ = ["write_synthetic_family"]

Config = dict[str, Any]

AUDIO = 0.12  # of the last convolution: about the scale of speech
RESIDUAL_BRANCH = 0.4
FADING = 0.8  # of one codebook's entries to the next one's
DILATED = 3  # residual units of a block

# The released sizes, and small ones with the same frames for Qwen and shorter ones for VibeVoice.
QWEN: Config = {
    "codebook_size": 2048,
    "num_quantizers": 16,
    "num_hidden_layers": 8,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "attention_bias": False,
    "sliding_window": 72,
    "hidden_act": "silu",
    "layer_scale_initial_scale": 0.01,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000,
    "max_position_embeddings": 8000,
    "upsample_rates": [8, 5, 4, 3],
    "upsampling_ratios": [2, 2],
    "decoder_dim": 1536,
}
QWEN_TINY: Config = QWEN | {
    "codebook_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "sliding_window": 8,
    "decoder_dim": 32,
}
MIMI_TINY: Config = {
    "num_filters": 4,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "sliding_window": 16,
    "codebook_size": 64,
    "codebook_dim": 16,
    "vector_quantization_hidden_dimension": 16,
    "upsample_groups": 32,
}
VIBEVOICE: Config = {
    "channels": 1,
    "hidden_size": 64,
    "kernel_size": 7,
    "rms_norm_eps": 1e-5,
    "layer_scale_init_value": 1e-6,
    "num_filters": 32,
    "downsampling_ratios": [2, 2, 4, 5, 5, 8],
    "depths": [3, 3, 3, 3, 3, 3, 8],
    "hidden_act": "gelu",
    "ffn_expansion": 4,
    "initializer_range": 0.01,
    "vae_std": 0.625,
}
VIBEVOICE_TINY: Config = VIBEVOICE | {
    "hidden_size": 8,
    "num_filters": 4,
    "downsampling_ratios": [2, 2, 4],
    "depths": [1, 2, 1, 2],
}
WIDTHS: Config = {
    "codebook_dim": 512,
    "latent_dim": 1024,
    "head_dim": 64,
    "hidden_size": 512,
    "intermediate_size": 1024,
}
WIDTHS_TINY: Config = {"codebook_dim": 32, "latent_dim": 32, "head_dim": 8, "hidden_size": 24, "intermediate_size": 40}

DEFAULTS: dict[str, dict[str, Config]] = {
    "code2wav": {
        "full": {"model_type": "qwen3_omni_moe_code2wav", "hidden_size": 1024, "intermediate_size": 3072} | QWEN,
        "tiny": {"model_type": "qwen3_omni_moe_code2wav", "hidden_size": 32, "intermediate_size": 48} | QWEN_TINY,
    },
    "qwen3-tts": {
        "full": {"encoder_config": {}, "decoder_config": QWEN | WIDTHS},
        "tiny": {"encoder_config": MIMI_TINY, "decoder_config": QWEN_TINY | WIDTHS_TINY},
    },
    "vibevoice": {
        "full": {"model_type": "vibevoice_acoustic_tokenizer"} | VIBEVOICE,
        "tiny": {"model_type": "vibevoice_acoustic_tokenizer"} | VIBEVOICE_TINY,
    },
    "vibevoice-encoder": {
        "full": {"model_type": "vibevoice_acoustic_tokenizer_encoder"} | VIBEVOICE | {"hidden_size": 128},
        "tiny": {"model_type": "vibevoice_acoustic_tokenizer_encoder"} | VIBEVOICE_TINY | {"hidden_size": 12},
    },
}


def write_synthetic_family(
    path: str | os.PathLike[str],
    kind: Literal["code2wav", "qwen3-tts", "vibevoice", "vibevoice-encoder"],
    config: Mapping[str, Any] | None = None,
    *,
    size: Literal["tiny", "full"] = "tiny",
    prefix: str = "",
    shards: int = 1,
    seed: int = 1,
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> Path:
    """Write a codec of Qwen or VibeVoice, as its model is stored.

    Tensors are made and written one at a time, so memory stays small at any size.

    Args:
        path: the directory; it is made if it is not there.
        kind: which codec, as `mimi_codec.load` names them.
        config: fields of its `config.json` that are other than those of `size`; for "qwen3-tts" those of
            `encoder_config` and `decoder_config` one by one.
        size: "full" has the sizes of the released model. "tiny" takes milliseconds a clip.
        prefix: what stands before the names of the tensors, as inside a larger model: "code2wav.".
        shards: files that the tensors are divided among.
        seed: of the random numbers.
        dtype: the type of the floats in the files.

    Returns:
        The directory.

    Raises:
        ConfigError: a kind, a size or a type that is not known, or a number of shards that is not possible.
        InputTypeError: a number of shards that is not an integer.
        OSError: the directory cannot be written.

    Example:
        >>> import mimi_codec
        >>> from mimi_codec.synthetic import write_synthetic_family
        >>> changes = {"decoder_config": {"sliding_window": 4}}
        >>> codec = mimi_codec.load(write_synthetic_family("tts", "qwen3-tts", changes))
        >>> codec.kind, codec.num_codebooks, codec.frame_size
        ('qwen3-tts', 16, 1920)
    """
    sizes = DEFAULTS[choice("kind", kind, tuple(DEFAULTS))][choice("size", size, ("tiny", "full"))]
    choice("dtype", dtype, ("float32", "bfloat16"))
    count = to_count(shards, "shards")
    config = _merged(sizes, config or {})
    layers = Layers(seed)
    if kind == "code2wav":
        _code2wav(layers, config)
    elif kind == "qwen3-tts":
        config = _qwen3_tts(layers, config)
    elif kind == "vibevoice":
        _vibevoice_encoder(layers, "encoder.", config)
        _vibevoice_decoder(layers, "decoder.", config)
    else:
        _vibevoice_encoder(layers, "", config)
    tensors = {prefix + name: tensor for name, tensor in layers.tensors.items()}
    return write_files(path, config, tensors, dtype, count)


def _merged(fields: Mapping[str, Any], changes: Mapping[str, Any]) -> Config:
    merged = {**fields, **changes}
    for name, value in fields.items():
        if isinstance(value, Mapping) and isinstance(changes.get(name), Mapping):
            merged[name] = {**value, **changes[name]}
    return merged


def _code2wav(layers: Layers, config: Config) -> None:
    width, count = config["hidden_size"], config["num_quantizers"]
    # The mean of so many entries has unit scale.
    layers.normal("code_embedding.weight", config["codebook_size"] * count, width, scale=count**0.5)
    _transformer(layers, "pre_transformer", config)
    _wave(layers, "", width, config)


def _qwen3_tts(layers: Layers, config: Config) -> Config:
    """Both halves, and the whole configuration."""
    mimi, decoder = MimiConfig.from_dict(config["encoder_config"]), config["decoder_config"]
    for name, shape in tensor_shapes(mimi).items():
        if not name.startswith(("decoder", "upsample")):
            layers.tensors[f"encoder.{name}"] = Tensor(shape, partial(values_of, name, shape, layers.seed))
    width, dim = decoder["latent_dim"], decoder["codebook_dim"]
    for name, count in (("rvq_first", 1), ("rvq_rest", decoder["num_quantizers"] - 1)):
        name = f"decoder.quantizer.{name}"
        layers.conv(f"{name}.input_proj", dim, dim // 2, 1, bias=False)
        layers.conv(f"{name}.output_proj", dim // 2, dim, 1, bias=False)
        for index in range(count):
            book = f"{name}.vq.layers.{index}._codebook"
            layers.codebook(book, decoder["codebook_size"], dim // 2, 0.7 * FADING**index)
    layers.conv("decoder.pre_conv.conv", dim, width, 3)
    layers.linear("decoder.pre_transformer.input_proj", width, decoder["hidden_size"], bias=True)
    _transformer(layers, "decoder.pre_transformer", decoder)
    layers.linear("decoder.pre_transformer.output_proj", decoder["hidden_size"], width, bias=True)
    _wave(layers, "decoder.", width, decoder)
    whole = {
        "model_type": "qwen3_tts_tokenizer_12hz",
        "architectures": ["Qwen3TTSTokenizerV2Model"],
        "encoder_valid_num_quantizers": decoder["num_quantizers"],
        "input_sample_rate": mimi.sampling_rate,
        "output_sample_rate": mimi.sampling_rate,
        "encode_downsample_rate": mimi.frame_size,
        "decode_upsample_rate": mimi.frame_size,
    }
    return {**whole, **config, "encoder_config": mimi.to_dict()}


def _transformer(layers: Layers, name: str, config: Config) -> None:
    width, heads = config["hidden_size"], config["num_attention_heads"]
    layers.qwen_transformer(
        name,
        width=width,
        heads=heads,
        kv_heads=config["num_key_value_heads"],
        head_dim=config.get("head_dim", width // heads),
        inner=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        bias=config["attention_bias"],
    )


def _wave(layers: Layers, prefix: str, width: int, config: Config) -> None:
    """From latents to samples, in both of Qwen's decoders."""
    for index, ratio in enumerate(config["upsampling_ratios"]):
        name = f"{prefix}upsample.{index}"
        layers.conv_transpose(f"{name}.0.conv", width, width, ratio, ratio)
        layers.branch_scale(f"{name}.1.gamma", width)
        layers.conv(f"{name}.1.dwconv.conv", 1, width, 7)
        layers.norm(f"{name}.1.norm", width, bias=True)
        layers.feed_forward(f"{name}.1.pwconv1", f"{name}.1.pwconv2", width, 4 * width)
    channels, rates = config["decoder_dim"], config["upsample_rates"]
    layers.conv(f"{prefix}decoder.0.conv", width, channels, 7)
    for index, rate in enumerate(rates, start=1):
        block = f"{prefix}decoder.{index}.block"
        layers.snake(f"{block}.0", channels)
        layers.conv_transpose(f"{block}.1.conv", channels, channels // 2, 2 * rate, rate, gain=FADING, after_snake=True)
        channels //= 2
        for unit in range(2, 2 + DILATED):
            name = f"{block}.{unit}"
            layers.snake(f"{name}.act1", channels)
            layers.conv(f"{name}.conv1.conv", channels, channels, 7, after_snake=True)
            layers.snake(f"{name}.act2", channels)
            layers.conv(f"{name}.conv2.conv", channels, channels, 1, gain=RESIDUAL_BRANCH, after_snake=True)
    layers.snake(f"{prefix}decoder.{len(rates) + 1}", channels)
    layers.conv(f"{prefix}decoder.{len(rates) + 2}.conv", channels, 1, 7, gain=AUDIO, after_snake=True)


def _vibevoice_encoder(layers: Layers, prefix: str, config: Config) -> None:
    kernel, channels, depths = config["kernel_size"], config["num_filters"], config["depths"]
    layers.conv(f"{prefix}stem.conv.conv", 1, channels, kernel, gain=FIRST_CONV)
    _stage(layers, f"{prefix}stem", channels, depths[0], config)
    for index, ratio in enumerate(config["downsampling_ratios"]):
        name = f"{prefix}conv_layers.{index}"
        layers.conv(f"{name}.conv.conv", channels, 2 * channels, 2 * ratio)
        channels *= 2
        _stage(layers, name, channels, depths[index + 1], config)
    layers.conv(f"{prefix}head.conv", channels, config["hidden_size"], kernel)


def _vibevoice_decoder(layers: Layers, prefix: str, config: Config) -> None:
    kernel, ratios, depths = config["kernel_size"], config["downsampling_ratios"][::-1], config["depths"][::-1]
    channels = config["num_filters"] * 2 ** len(ratios)
    layers.conv(f"{prefix}stem.conv.conv", config["hidden_size"], channels, kernel)
    _stage(layers, f"{prefix}stem", channels, depths[0], config)
    for index, ratio in enumerate(ratios):
        name = f"{prefix}conv_layers.{index}"
        layers.conv_transpose(f"{name}.convtr.convtr", channels, channels // 2, 2 * ratio, ratio)
        channels //= 2
        _stage(layers, name, channels, depths[index + 1], config)
    layers.conv(f"{prefix}head.conv", channels, 1, kernel, gain=AUDIO)


def _stage(layers: Layers, name: str, channels: int, depth: int, config: Config) -> None:
    """Blocks of a convolution channel by channel and a feed-forward."""
    for index in range(depth):
        block = f"{name}.stage.{index}"
        layers.branch_scale(f"{block}.gamma", channels)
        layers.branch_scale(f"{block}.ffn_gamma", channels)
        layers.norm(f"{block}.norm", channels)
        layers.norm(f"{block}.ffn_norm", channels)
        layers.conv(f"{block}.mixer.conv", 1, channels, config["kernel_size"])
        inner = config["ffn_expansion"] * channels
        layers.feed_forward(f"{block}.ffn.linear1", f"{block}.ffn.linear2", channels, inner)
