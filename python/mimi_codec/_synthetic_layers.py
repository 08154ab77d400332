"""Layers with random weights that keep the scale of a signal: what the codecs built from Mimi's parts are made of."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import numpy.typing as npt

from ._synthetic_files import Tensor, rng_of

# What makes up for the scale that an activation takes from a signal of unit scale
AFTER_GELU = 1.5
AFTER_GATE = 1.7
BIAS = 0.02


class Layers:
    """Tensors by name, of layers that are added one after another."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.tensors: dict[str, Tensor] = {}

    def normal(
        self, name: str, *shape: int, scale: float, mean: float = 0.0, centred: tuple[int, ...] | None = None
    ) -> None:
        """Normal numbers. Along the axes `centred` their mean is 0, so that a constant input gives nothing."""
        self.tensors[name] = Tensor(shape, partial(_normal, name, shape, self.seed, scale, mean, centred))

    def linear(self, name: str, c_in: int, c_out: int, *, bias: bool = False, gain: float = 1.0) -> None:
        self.normal(f"{name}.weight", c_out, c_in, scale=gain / math.sqrt(c_in))
        if bias:
            self.normal(f"{name}.bias", c_out, scale=BIAS)

    def conv(
        self,
        name: str,
        c_in: int,
        c_out: int,
        kernel: int,
        *,
        bias: bool = True,
        gain: float = 1.0,
        after_snake: bool = False,
    ) -> None:
        """A convolution of `c_in` channels a group. Snake adds about the same constant to all of its channels."""
        scale, centred = gain / math.sqrt(c_in * kernel), (1, 2) if after_snake else None
        self.normal(f"{name}.weight", c_out, c_in, kernel, scale=scale, centred=centred)
        if bias:
            self.normal(f"{name}.bias", c_out, scale=BIAS)

    def conv_transpose(
        self,
        name: str,
        c_in: int,
        c_out: int,
        kernel: int,
        stride: int,
        *,
        gain: float = 1.0,
        after_snake: bool = False,
    ) -> None:
        scale, centred = gain / math.sqrt(c_in * kernel / stride), (0,) if after_snake else None
        self.normal(f"{name}.weight", c_in, c_out, kernel, scale=scale, centred=centred)
        self.normal(f"{name}.bias", c_out, scale=BIAS)

    def norm(self, name: str, channels: int, *, bias: bool = False) -> None:
        self.normal(f"{name}.weight", channels, scale=0.1, mean=1.0)
        if bias:
            self.normal(f"{name}.bias", channels, scale=BIAS)

    def branch_scale(self, name: str, channels: int) -> None:
        """What each channel of a residual branch is multiplied by."""
        self.normal(name, channels, scale=0.02, mean=0.12)

    def snake(self, name: str, channels: int) -> None:
        self.normal(f"{name}.alpha", channels, scale=0.1)
        self.normal(f"{name}.beta", channels, scale=0.1)

    def codebook(self, prefix: str, entries: int, width: int, scale: float) -> None:
        """A codebook of Qwen3-TTS's decoder: sums, and by how many each is to be divided."""
        usage = f"{prefix}.cluster_usage"
        self.tensors[usage] = Tensor((entries,), partial(_usage, usage, entries, self.seed))
        sums, shape = f"{prefix}.embedding_sum", (entries, width)
        self.tensors[sums] = Tensor(shape, partial(_sums, sums, usage, shape, self.seed, scale))

    # What several of the codecs have

    def qwen_transformer(
        self, name: str, width: int, heads: int, kv_heads: int, head_dim: int, inner: int, layers: int, bias: bool
    ) -> None:
        """Layers of attention and gated feed-forward, and the norm after them."""
        query, key = heads * head_dim, kv_heads * head_dim
        for index in range(layers):
            layer = f"{name}.layers.{index}"
            for part, c_out in (("q", query), ("k", key), ("v", key)):
                self.linear(f"{layer}.self_attn.{part}_proj", width, c_out, bias=bias)
            self.linear(f"{layer}.self_attn.o_proj", query, width, bias=bias)
            self.linear(f"{layer}.mlp.gate_proj", width, inner)
            self.linear(f"{layer}.mlp.up_proj", width, inner)
            self.linear(f"{layer}.mlp.down_proj", inner, width, gain=AFTER_GATE)
            self.norm(f"{layer}.input_layernorm", width)
            self.norm(f"{layer}.post_attention_layernorm", width)
            self.branch_scale(f"{layer}.self_attn_layer_scale.scale", width)
            self.branch_scale(f"{layer}.mlp_layer_scale.scale", width)
        self.norm(f"{name}.norm", width)

    def feed_forward(self, first: str, second: str, width: int, inner: int) -> None:
        self.linear(first, width, inner, bias=True)
        self.linear(second, inner, width, bias=True, gain=AFTER_GELU)


def _normal(
    name: str, shape: tuple[int, ...], seed: int, scale: float, mean: float, centred: tuple[int, ...] | None
) -> npt.NDArray[np.float32]:
    values = rng_of(name, seed).standard_normal(shape, np.float32)
    if centred is not None:
        values -= values.mean(centred, keepdims=True)
    values *= np.float32(scale)
    values += np.float32(mean)
    return values


def _usage(name: str, entries: int, seed: int) -> npt.NDArray[np.float32]:
    return rng_of(name, seed).uniform(0.5, 2.0, entries).astype(np.float32)


def _sums(name: str, usage: str, shape: tuple[int, ...], seed: int, scale: float) -> npt.NDArray[np.float32]:
    entries = rng_of(name, seed).standard_normal(shape, np.float32) * np.float32(scale)
    return entries * _usage(usage, shape[0], seed)[:, None]
