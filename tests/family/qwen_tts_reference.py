"""The decoder of Qwen3-TTS's 12 Hz tokenizer in plain PyTorch, for the tensors that `write_synthetic_family` writes."""

import torch
from torch.nn import functional as F  # noqa: N812

Tensors = dict[str, torch.Tensor]


def decode(state: Tensors, config: dict, codes: torch.Tensor) -> torch.Tensor:
    """Codes (K, T) to samples (L,); `state` has the names of the file, `config` is its `decoder_config`."""
    state = {name.removeprefix("decoder."): value for name, value in state.items() if name.startswith("decoder.")}
    x = _entries(state, "rvq_first", codes[:1]) + _entries(state, "rvq_rest", codes[1:])
    x = _conv(state, "pre_conv.conv", x).T
    x = _linear(state, "pre_transformer.input_proj", x)
    x = _linear(state, "pre_transformer.output_proj", _transformer(state, config, x)).T
    for index, ratio in enumerate(config["upsampling_ratios"]):
        x = _transposed(state, f"upsample.{index}.0.conv", x, ratio)
        x = x + _convnext(state, f"upsample.{index}.1", x)
    x = _conv(state, "decoder.0.conv", x)
    rates = config["upsample_rates"]
    for index, rate in enumerate(rates, start=1):
        block = f"decoder.{index}.block"
        x = _transposed(state, f"{block}.1.conv", _snake(state, f"{block}.0", x), rate)
        for unit, dilation in ((2, 1), (3, 3), (4, 9)):
            name = f"{block}.{unit}"
            y = _conv(state, f"{name}.conv1.conv", _snake(state, f"{name}.act1", x), dilation)
            x = x + _conv(state, f"{name}.conv2.conv", _snake(state, f"{name}.act2", y))
    x = _snake(state, f"decoder.{len(rates) + 1}", x)
    return _conv(state, f"decoder.{len(rates) + 2}.conv", x)[0].clamp(-1, 1)


def _entries(state: Tensors, name: str, codes: torch.Tensor) -> torch.Tensor:
    total = 0
    for index, row in enumerate(codes):
        book = f"quantizer.{name}.vq.layers.{index}._codebook"
        table = state[f"{book}.embedding_sum"] / state[f"{book}.cluster_usage"].clamp(min=1e-5)[:, None]
        total = total + table[row]
    return state[f"quantizer.{name}.output_proj.weight"][..., 0] @ total.T


def _transformer(state: Tensors, config: dict, x: torch.Tensor) -> torch.Tensor:
    heads, width, eps = config["num_attention_heads"], config["head_dim"], config["rms_norm_eps"]
    kv_heads = config["num_key_value_heads"]
    steps = torch.arange(len(x))
    angles = steps[:, None] * config["rope_theta"] ** (-torch.arange(0, width, 2) / width)
    cos, sin = (torch.cat([values, values], dim=1) for values in (angles.cos(), angles.sin()))
    back = steps[:, None] - steps
    seen = (back >= 0) & (back < config["sliding_window"])

    def turned(values: torch.Tensor) -> torch.Tensor:
        first, second = values.chunk(2, dim=-1)
        return values * cos + torch.cat([-second, first], dim=-1) * sin

    def norm(name: str, values: torch.Tensor) -> torch.Tensor:
        return values / (values.square().mean(-1, keepdim=True) + eps).sqrt() * state[f"pre_transformer.{name}.weight"]

    for index in range(config["num_hidden_layers"]):
        layer = f"layers.{index}"
        own = f"pre_transformer.{layer}"
        h = norm(f"{layer}.input_layernorm", x)
        q, k, v = (_linear(state, f"{own}.self_attn.{part}_proj", h) for part in "qkv")
        q = turned(q.view(-1, heads, width).transpose(0, 1))
        k, v = (values.view(-1, kv_heads, width).transpose(0, 1) for values in (k, v))
        k, v = (values.repeat_interleave(heads // kv_heads, dim=0) for values in (turned(k), v))
        scores = (q @ k.mT / width**0.5).masked_fill(~seen, float("-inf"))
        mixed = (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)
        x = x + state[f"{own}.self_attn_layer_scale.scale"] * _linear(state, f"{own}.self_attn.o_proj", mixed)
        h = norm(f"{layer}.post_attention_layernorm", x)
        gated = F.silu(_linear(state, f"{own}.mlp.gate_proj", h)) * _linear(state, f"{own}.mlp.up_proj", h)
        x = x + state[f"{own}.mlp_layer_scale.scale"] * _linear(state, f"{own}.mlp.down_proj", gated)
    return norm("norm", x)


def _convnext(state: Tensors, name: str, x: torch.Tensor) -> torch.Tensor:
    y = _conv(state, f"{name}.dwconv.conv", x, groups=len(x)).T
    y = F.layer_norm(y, y.shape[1:], state[f"{name}.norm.weight"], state[f"{name}.norm.bias"], 1e-6)
    y = _linear(state, f"{name}.pwconv2", F.gelu(_linear(state, f"{name}.pwconv1", y)))
    return (state[f"{name}.gamma"] * y).T


def _linear(state: Tensors, name: str, x: torch.Tensor) -> torch.Tensor:
    return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))


def _conv(state: Tensors, name: str, x: torch.Tensor, dilation: int = 1, groups: int = 1) -> torch.Tensor:
    weight = state[f"{name}.weight"]
    x = F.pad(x, ((weight.shape[2] - 1) * dilation, 0))
    return F.conv1d(x[None], weight, state.get(f"{name}.bias"), dilation=dilation, groups=groups)[0]


def _transposed(state: Tensors, name: str, x: torch.Tensor, stride: int) -> torch.Tensor:
    """All that is beyond `stride` samples for each input is cut off at the end."""
    y = F.conv_transpose1d(x[None], state[f"{name}.weight"], state[f"{name}.bias"], stride=stride)[0]
    return y[:, : stride * x.shape[1]]


def _snake(state: Tensors, name: str, x: torch.Tensor) -> torch.Tensor:
    alpha, beta = (state[f"{name}.{part}"].exp()[:, None] for part in ("alpha", "beta"))
    return x + (x * alpha).sin().square() / (beta + 1e-9)
