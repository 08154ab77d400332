"""Mimi models of any configuration with well-scaled random weights, written in every layout the package reads.

A freshly initialised Transformers model is useless for parity: its codebooks are all zero. The weights are those that
`mimi_codec.synthetic` makes.
"""

import json
import re
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import MimiConfig, MimiModel, masking_utils
from transformers.models.mimi import modeling_mimi
from transformers.models.mimi.modeling_mimi import MimiEuclideanCodebook

from mimi_codec import MimiConfig as OurConfig
from mimi_codec.synthetic import write_synthetic

# Transformers 4 forgets the window of the attention. Its models get the mask that later versions make, so that they are
# the reference beyond the window too; test_transformers_versions.py looks at what they do by themselves.
if hasattr(modeling_mimi, "create_causal_mask"):
    modeling_mimi.create_causal_mask = masking_utils.create_sliding_window_causal_mask

# Names in memory (Transformers 5) and in the files of `kyutai/mimi`.
MEMORY_TO_FLAT = (
    ("encoder.encoder_seanet.", "encoder."),
    ("encoder.encoder_transformer.", "encoder_transformer."),
    ("encoder.downsample.", "downsample."),
    ("decoder.upsample.", "upsample."),
    ("decoder.decoder_transformer.", "decoder_transformer."),
    ("decoder.decoder_seanet.", "decoder."),
)

# Where the convolution stacks are in memory; Transformers 4 has the names of the files.
SEANET = re.compile(r"(encoder\.(encoder_seanet\.)?|decoder\.(decoder_seanet\.)?)layers\.")

# Names in the files of `kyutai/mimi` and in Kyutai's own; q, k and v are joined apart from this.
FLAT_TO_KYUTAI = (
    (r"^(encoder|decoder)\.layers\.(\d+)\.(block\.\d+|shortcut)\.conv\.", r"\1.model.\2.\3.conv.conv."),
    (r"^(encoder|decoder)\.layers\.(\d+)\.conv\.", r"\1.model.\2.conv.conv."),
    (r"^downsample\.conv\.", "downsample.conv.conv.conv."),
    (r"^upsample\.conv\.", "upsample.convtr.convtr.convtr."),
    (r"^(encoder|decoder)_transformer\.layers\.", r"\1_transformer.transformer.layers."),
    (r"\.self_attn\.o_proj\.", ".self_attn.out_proj."),
    (r"\.mlp\.fc", ".linear"),
    (r"\.input_layernorm\.", ".norm1."),
    (r"\.post_attention_layernorm\.", ".norm2."),
    (r"\.self_attn_layer_scale\.", ".layer_scale_1."),
    (r"\.mlp_layer_scale\.", ".layer_scale_2."),
    (r"^quantizer\.semantic_residual_vector_quantizer\.", "quantizer.rvq_first."),
    (r"^quantizer\.acoustic_residual_vector_quantizer\.", "quantizer.rvq_rest."),
    (r"\.layers\.(\d+)\.codebook\.", r".vq.layers.\1._codebook."),
    (r"\._codebook\.initialized$", "._codebook._initialized"),
    (r"\._codebook\.embed_sum$", "._codebook.embedding_sum"),
)


def tiny_config(**changes) -> MimiConfig:
    """16 samples a frame, 2 layers, a window of 6 positions (3 frames), 6 codebooks of 32: milliseconds a clip."""
    fields = {
        "num_filters": 4,
        "upsampling_ratios": [4, 2],
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "sliding_window": 6,
        "codebook_size": 32,
        "codebook_dim": 16,
        "vector_quantization_hidden_dimension": 16,
        "num_quantizers": 6,
    } | changes
    return MimiConfig(**{"upsample_groups": fields["hidden_size"]} | fields)


def build(config: MimiConfig, seed: int = 1) -> MimiModel:
    """The Transformers model of `config`, in float32, with the random weights of `seed` that the package writes."""
    model = MimiModel(config).eval()
    with tempfile.TemporaryDirectory() as directory:
        write_synthetic(directory, OurConfig.from_dict(config.to_dict()), seed=seed)
        weights = load_file(Path(directory) / "model.safetensors")
    model.load_state_dict({name: weights.pop(flat_name(name)) for name in model.state_dict()})
    assert not weights, f"tensors that Transformers does not have: {sorted(weights)}"
    for module in model.modules():
        if isinstance(module, MimiEuclideanCodebook):
            module._embed = None
    return model


def encoder(model: MimiModel, pcm: torch.Tensor) -> torch.Tensor:
    """Audio (B, 1, L) to the latents (B, D, T) before the quantizer."""
    if hasattr(model.encoder, "encoder_seanet"):
        return model.encoder(pcm).latents
    hidden = model.encoder_transformer(model.encoder(pcm).transpose(1, 2))[0]
    return model.downsample(hidden.transpose(1, 2))


def decoder(model: MimiModel, latents: torch.Tensor) -> torch.Tensor:
    """Latents (B, D, T) after the quantizer to audio (B, 1, L)."""
    if hasattr(model.decoder, "decoder_seanet"):
        return model.decoder(latents).audio_values
    hidden = model.decoder_transformer(model.upsample(latents).transpose(1, 2))[0]
    return model.decoder(hidden.transpose(1, 2))


def memory_state(model: MimiModel) -> dict[str, torch.Tensor]:
    """Tensors under the names that Transformers uses in memory."""
    return {name: value.clone().contiguous() for name, value in model.state_dict().items()}


def flat_name(name: str) -> str:
    """The name in the files of `kyutai/mimi` of a tensor in memory."""
    for old, new in MEMORY_TO_FLAT:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def flat_state(model: MimiModel) -> dict[str, torch.Tensor]:
    """Tensors under the names of the files of `kyutai/mimi`."""
    return {flat_name(name): value for name, value in memory_state(model).items()}


def kyutai_state(model: MimiModel) -> dict[str, torch.Tensor]:
    """Tensors under Kyutai's names: fused `in_proj_weight`, with q and k in interleaved rotary order."""
    heads = model.config.num_attention_heads
    transposed = {
        name.removeprefix("decoder.").removeprefix("decoder_seanet.").removesuffix(".conv")
        for name, module in model.named_modules()
        if isinstance(module, nn.ConvTranspose1d) and SEANET.match(name)
    }

    def interleaved(weight):
        """Half-split rotary order (x0..xn, y0..yn in each head) to interleaved (x0, y0, x1, y1, ...)."""
        halves = weight.view(heads, 2, -1, weight.shape[-1])
        return halves.transpose(1, 2).reshape(weight.shape)

    flat = flat_state(model)
    state = {}
    for name, value in flat.items():
        if name.endswith(("k_proj.weight", "v_proj.weight")):
            continue
        if name.endswith("q_proj.weight"):
            k, v = (flat[name.replace("q_proj", part)] for part in ("k_proj", "v_proj"))
            value = torch.cat([interleaved(value), interleaved(k), v])
            name = name.replace("q_proj.weight", "in_proj_weight")
        layer = re.match(r"decoder\.(layers\.\d+)\.conv\.", name)
        for pattern, replacement in FLAT_TO_KYUTAI:
            name = re.sub(pattern, replacement, name)
        if layer and layer[1] in transposed:
            name = name.replace(".conv.conv.", ".convtr.convtr.")
        state[name] = value.contiguous()
    return state


SPELLINGS = {"transformers": flat_state, "transformers-5": memory_state, "kyutai": kyutai_state}


def write(
    model: MimiModel,
    directory: Path,
    *,
    spelling: str = "transformers",
    prefix: str = "",
    dtype: torch.dtype | None = None,
    shards: int = 1,
    others: dict[str, torch.Tensor] | None = None,
) -> Path:
    """Write `config.json` and the weights, in one file or in `shards` with an index; returns `directory`.

    prefix: put before every name, as inside a larger checkpoint; others: tensors of its other parts.
    """
    state = {prefix + name: value for name, value in SPELLINGS[spelling](model).items()}
    if dtype is not None:
        state = {name: value.to(dtype) for name, value in state.items()}
    return write_state(state | (others or {}), model.config, directory, shards)


def write_state(state: dict[str, torch.Tensor], config: MimiConfig, directory: Path, shards: int = 1) -> Path:
    """Write tensors and configuration as they are; returns `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(config.to_json_string(use_diff=False))
    if shards == 1:
        save_file(state, directory / "model.safetensors", metadata={"format": "pt"})
        return directory
    files = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
    placed = {name: files[i % shards] for i, name in enumerate(state)}
    for file in files:
        part = {name: value for name, value in state.items() if placed[name] == file}
        save_file(part, directory / file, metadata={"format": "pt"})
    total = sum(value.nbytes for value in state.values())
    index = {"metadata": {"total_size": total}, "weight_map": placed}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return directory
