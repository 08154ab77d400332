"""Mimi with random weights of the right scale: the shapes of its tensors, and their values by their names."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ._synthetic_files import rng_of
from .config import MimiConfig

AFTER_ELU = 1.25  # makes up for what ELU takes from a signal of unit scale
FIRST_CONV = 8.0  # speech has a root mean square of about 0.1
RESIDUAL_BRANCH = 0.5
# In 256 dimensions the nearest of 2048 random directions has a cosine of about 0.24 with the residual: entries of this
# length, relative to it, shorten it most, and each codebook leaves the following share.
ENTRY_SCALE = 0.24
SHARE_LEFT = 0.97

Shapes = dict[str, tuple[int, ...]]


def tensor_shapes(config: MimiConfig) -> Shapes:
    """Name and shape of every tensor of a model, in the on-disk layout of Transformers.

    Args:
        config: the configuration of the model.

    Returns:
        The shapes by name, in the order in which `write_synthetic` writes them.

    Example:
        >>> from mimi_codec import MimiConfig
        >>> from mimi_codec.synthetic import tensor_shapes
        >>> tensor_shapes(MimiConfig())["downsample.conv.weight"]
        (512, 512, 4)
    """
    width, kernel = config.hidden_size, 2 * config.latent_stride
    shapes = dict(_seanet_encoder(config))
    shapes |= _transformer("encoder_transformer", config)
    shapes["downsample.conv.weight"] = (width, width, kernel)
    shapes |= _quantizer("semantic", config, config.num_semantic_quantizers)
    shapes |= _quantizer("acoustic", config, config.num_quantizers - config.num_semantic_quantizers)
    shapes["upsample.conv.weight"] = (width, width // config.upsample_groups, kernel)
    shapes |= _transformer("decoder_transformer", config)
    shapes |= _seanet_decoder(config)
    return shapes


def _conv(name: str, outputs: int, inputs: int, kernel: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.conv.weight", (outputs, inputs, kernel)
    yield f"{name}.conv.bias", (outputs,)


def _residual_block(name: str, channels: int, config: MimiConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden = channels // config.compress
    yield from _conv(f"{name}.block.1", hidden, channels, config.residual_kernel_size)
    yield from _conv(f"{name}.block.3", channels, hidden, 1)
    if config.use_conv_shortcut:
        yield from _conv(f"{name}.shortcut", channels, channels, 1)


def _seanet_encoder(config: MimiConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    channels, layer = config.num_filters, 0
    yield from _conv("encoder.layers.0", channels, config.audio_channels, config.kernel_size)
    for ratio in reversed(config.upsampling_ratios):
        for _ in range(config.num_residual_layers):
            layer += 1
            yield from _residual_block(f"encoder.layers.{layer}", channels, config)
        layer += 2  # an ELU without weights comes first
        yield from _conv(f"encoder.layers.{layer}", 2 * channels, channels, 2 * ratio)
        channels *= 2
    yield from _conv(f"encoder.layers.{layer + 2}", config.hidden_size, channels, config.last_kernel_size)


def _seanet_decoder(config: MimiConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    channels, layer = config.num_filters * 2 ** len(config.upsampling_ratios), 0
    yield from _conv("decoder.layers.0", channels, config.hidden_size, config.kernel_size)
    for ratio in config.upsampling_ratios:
        layer += 2
        channels //= 2
        yield (
            f"decoder.layers.{layer}.conv.weight",
            (2 * channels, channels, 2 * ratio),
        )  # transposed: (in, out, kernel)
        yield f"decoder.layers.{layer}.conv.bias", (channels,)
        for _ in range(config.num_residual_layers):
            layer += 1
            yield from _residual_block(f"decoder.layers.{layer}", channels, config)
    yield from _conv(f"decoder.layers.{layer + 2}", config.audio_channels, channels, config.last_kernel_size)


def _transformer(prefix: str, config: MimiConfig) -> Shapes:
    width, inner = config.hidden_size, config.intermediate_size
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    projections = {
        "q_proj": (queries, width),
        "k_proj": (keys, width),
        "v_proj": (keys, width),
        "o_proj": (width, queries),
    }
    shapes: Shapes = {}
    for index in range(config.num_hidden_layers):
        layer = f"{prefix}.layers.{index}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{layer}.{norm}.weight"] = shapes[f"{layer}.{norm}.bias"] = (width,)
        for name, shape in projections.items():
            shapes[f"{layer}.self_attn.{name}.weight"] = shape
            if config.attention_bias:
                shapes[f"{layer}.self_attn.{name}.bias"] = shape[:1]
        shapes[f"{layer}.mlp.fc1.weight"] = (inner, width)
        shapes[f"{layer}.mlp.fc2.weight"] = (width, inner)
        for branch in ("self_attn", "mlp"):
            shapes[f"{layer}.{branch}_layer_scale.scale"] = (width,)
    return shapes


def _quantizer(which: str, config: MimiConfig, codebooks: int) -> Shapes:
    prefix = f"quantizer.{which}_residual_vector_quantizer"
    width, inner = config.hidden_size, config.vector_quantization_hidden_dimension
    shapes: Shapes = {}
    if inner != width:
        shapes[f"{prefix}.input_proj.weight"] = (inner, width, 1)
        shapes[f"{prefix}.output_proj.weight"] = (width, inner, 1)
    for index in range(codebooks):
        codebook = f"{prefix}.layers.{index}.codebook"
        shapes[f"{codebook}.initialized"] = (1,)
        shapes[f"{codebook}.cluster_usage"] = (config.codebook_size,)
        shapes[f"{codebook}.embed_sum"] = (config.codebook_size, config.codebook_dim)
    return shapes


def values_of(name: str, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float32]:
    """Random values for one tensor, chosen by its name."""
    if name.endswith("initialized"):
        return np.ones(shape, np.float32)
    rng = rng_of(name, seed)
    if name.endswith("cluster_usage"):
        return rng.uniform(0.5, 2.0, shape).astype(np.float32)
    normal = rng.standard_normal(shape, np.float32)
    if name.endswith("embed_sum"):
        scale = ENTRY_SCALE * SHARE_LEFT ** int(name.split(".")[3])
        usage = values_of(name.replace("embed_sum", "cluster_usage"), shape[:1], seed)
        return normal * np.float32(scale) * usage[:, None]  # a codebook's entries are embed_sum / cluster_usage
    if "layernorm.weight" in name:
        return 1 + np.float32(0.1) * normal
    if "layer_scale" in name:
        return np.float32(0.1) + np.float32(0.02) * normal
    if name.endswith("bias"):
        return np.float32(0.02) * normal
    return normal * np.float32(_gain(name, shape))


def _gain(name: str, shape: tuple[int, ...]) -> float:
    """Scale of a weight whose output is to have the scale of its input."""
    part = name.split(".")
    fan_in, gain = float(math.prod(shape[1:])), 1.0
    if part[0] == "upsample":
        fan_in *= 2 / shape[2]  # of a transposed convolution with kernel 2s and stride s, two taps reach an output
    elif part[0] in ("encoder", "decoder"):
        if part[0] == "decoder" and part[2] != "0" and shape[0] == 2 * shape[1]:
            fan_in = 2 * shape[0]  # transposed too, and stored as (in, out, kernel)
        if part[:3] == ["encoder", "layers", "0"]:
            gain = FIRST_CONV
        elif part[2] != "0" and part[3] != "shortcut":
            gain = AFTER_ELU * (RESIDUAL_BRANCH if part[3:5] == ["block", "3"] else 1.0)
    return gain / math.sqrt(fan_in)
