"""The codec of Pocket TTS in Kyutai's class, made of the files of Transformers. Needs `pocket_tts`."""

import json
import re
from pathlib import Path

import torch
from pocket_tts.models.mimi import MimiModel, build_mimi
from pocket_tts.modules.stateful_module import StatefulModule
from pocket_tts.utils.config import MimiConfig
from safetensors.torch import load_file

NAMES = (
    (r"^encoder\.encoder_seanet\.layers\.", "encoder.model."),
    (r"^decoder\.decoder_seanet\.layers\.(2|5|8)\.conv\.", r"decoder.model.\1.convtr."),
    (r"^decoder\.decoder_seanet\.layers\.", "decoder.model."),
    (r"^(encoder|decoder)\.\1_transformer\.layers\.", r"\1_transformer.transformer.layers."),
    (r"^encoder\.downsample\.conv\.", "downsample.conv.conv."),
    (r"^decoder\.upsample\.conv\.", "upsample.convtr.convtr."),
    (r"^latent_proj\.", "quantizer.output_proj."),
    (r"\.self_attn\.o_proj\.", ".self_attn.out_proj."),
    (r"\.mlp\.fc", ".linear"),
    (r"\.input_layernorm\.", ".norm1."),
    (r"\.post_attention_layernorm\.", ".norm2."),
    (r"\.self_attn_layer_scale\.", ".layer_scale_1."),
    (r"\.mlp_layer_scale\.", ".layer_scale_2."),
)


def rename(tensors: dict[str, torch.Tensor], heads: int) -> dict[str, torch.Tensor]:
    """Transformers' names and rotary order as Kyutai's: q and k with their halves interleaved, joined with v."""
    result = {}
    for name, tensor in tensors.items():
        if match := re.fullmatch(r"(.*\.self_attn\.)([qkv])_proj\.weight", name):
            if match[2] == "q":
                q, k, v = (tensors[f"{match[1]}{which}_proj.weight"] for which in "qkv")
                tensor = torch.cat([_interleaved(q, heads), _interleaved(k, heads), v])
            else:
                continue
            name = f"{match[1]}in_proj.weight"
        for pattern, replacement in NAMES:
            name = re.sub(pattern, replacement, name)
        result[name] = tensor
    return result


def build(directory: Path) -> MimiModel:
    """The model of a directory in which Transformers' configuration and weights are."""
    fields = json.loads((directory / "config.json").read_text())
    width, dim = fields["hidden_size"], fields["latent_dim"]
    seanet = {
        "dimension": width,
        "channels": 1,
        "n_filters": fields["num_filters"],
        "n_residual_layers": 1,
        "ratios": fields["upsampling_ratios"],
        "kernel_size": 7,
        "residual_kernel_size": 3,
        "last_kernel_size": 3,
        "dilation_base": 2,
        "pad_mode": "constant",
        "compress": 2,
    }
    transformer = {
        "d_model": width,
        "num_heads": fields["num_attention_heads"],
        "num_layers": fields["num_hidden_layers"],
        "layer_scale": 0.01,
        "context": fields["sliding_window"],
        "dim_feedforward": fields["intermediate_size"],
        "input_dimension": width,
        "output_dimensions": [width],
    }
    config = MimiConfig(
        dtype="float32",
        sample_rate=24000,
        channels=1,
        frame_rate=12.5,
        seanet=seanet,
        transformer=transformer,
        inner_dim=dim,
        outer_dim=width,
        quantizer={"dimension": dim, "output_dimension": width},
    )
    model = build_mimi(config)
    tensors = rename(load_file(directory / "model.safetensors"), fields["num_attention_heads"])
    model.load_state_dict(tensors, strict=True)
    for name, module in model.named_modules():
        if isinstance(module, StatefulModule):
            module._module_absolute_name = name
    return model.eval()


def _interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    rows, columns = weight.shape
    return weight.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)
