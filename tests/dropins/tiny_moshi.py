"""A tiny random Mimi and language model in the files that the `moshi` package reads. Needs `moshi`."""

import json
from dataclasses import dataclass
from pathlib import Path

import sentencepiece
import torch
from moshi.models import loaders
from safetensors.torch import save_file
from torch import nn

# The released frame of 1920 samples, and hardly any width. moshi's streams see one position less than its whole clips
# once the window is full (each step writes two positions into a ring of its size), so clips that are to be equal in
# both are shorter than these 64 positions, 32 frames.
MIMI = {
    "sample_rate": 24000,
    "channels": 1,
    "frame_rate": 12.5,
    "seanet": loaders._seanet_kwargs | {"dimension": 32, "n_filters": 2},
    "quantizer": {"dimension": 16, "n_q": 8, "bins": 32, "input_dimension": 32, "output_dimension": 32},
    "transformer": loaders._transformer_kwargs
    | {
        "d_model": 32,
        "num_heads": 2,
        "num_layers": 2,
        "context": 64,
        "dim_feedforward": 64,
        "input_dimension": 32,
        "output_dimensions": [32],
    },
}

LM = {
    "dim": 32,
    "text_card": 60,
    "existing_text_padding_id": 3,
    "n_q": 8,
    "dep_q": 4,
    "card": 32,
    "num_heads": 2,
    "num_layers": 2,
    "hidden_scale": 2,
    "causal": True,
    "layer_scale": None,
    "context": 50,
    "max_period": 10000,
    "gating": "silu",
    "norm": "rms_norm_f32",
    "positional_embedding": "rope",
    "depformer_dim": 32,
    "depformer_dim_feedforward": 64,
    "depformer_num_heads": 2,
    "depformer_num_layers": 1,
    "depformer_layer_scale": None,
    "depformer_multi_linear": True,
    "depformer_context": 4,
    "depformer_max_period": 10000,
    "depformer_gating": "silu",
    "depformer_pos_emb": "none",
    "depformer_weights_per_step": True,
    "delays": [0, 0, 1, 1, 1, 0, 1, 1, 1],
}


@dataclass(frozen=True)
class Files:
    """Paths of one tiny model."""

    mimi: Path
    lm: Path
    tokenizer: Path
    config: Path

    def arguments(self, *more: str) -> list[str]:
        """The command line of moshi's scripts."""
        paths = {"--mimi-weight": self.mimi, "--moshi-weight": self.lm, "--tokenizer": self.tokenizer}
        return [*(str(part) for pair in paths.items() for part in pair), "--device", "cpu", *more]


def write(directory: Path) -> Files:
    """Write all files of a tiny model."""
    files = Files(*(directory / name for name in ("mimi.safetensors", "lm.safetensors", "text.model", "config.json")))
    save_file({name: tensor.contiguous() for name, tensor in mimi().state_dict().items()}, files.mimi)
    lm = loaders.get_moshi_lm(None, LM, device="cpu", dtype=torch.float32)
    _randomise(lm, 0.3)
    save_file({name: tensor.contiguous() for name, tensor in lm.state_dict().items()}, files.lm)
    _train_tokenizer(files.tokenizer)
    mimi_config = directory / "mimi.json"
    mimi_config.write_text(json.dumps(MIMI))
    files.config.write_text(json.dumps(LM | {"mimi_config_name": f"file://{mimi_config}", "model_type": "moshi"}))
    return files


@torch.no_grad()
def mimi():
    """moshi's own codec with weights that keep the scale of the signal, and codebooks near what reaches them."""
    model = loaders.get_mimi(None, MIMI, num_codebooks=8)
    rng = torch.Generator().manual_seed(3)

    def fill(tensor, scale, mean=0.0):
        tensor.copy_(torch.randn(tensor.shape, generator=rng) * scale + mean)

    for name, parameter in model.named_parameters():
        if name.endswith("in_proj_weight"):
            fill(parameter, parameter.shape[1] ** -0.5)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            taps = module.kernel_size[0] // (module.stride[0] if isinstance(module, nn.ConvTranspose1d) else 1)
            fill(module.weight, 1.4 / (module.in_channels // module.groups * taps) ** 0.5)
            if module.bias is not None:
                fill(module.bias, 0.02)
        elif isinstance(module, nn.Linear):
            fill(module.weight, module.in_features**-0.5)
        elif isinstance(module, nn.LayerNorm):
            fill(module.weight, 0.1, 1.0)
            fill(module.bias, 0.05)
        elif "layer_scale" in name:
            fill(module.scale, 0.02, 0.12)
    model.decoder.model[-1].conv.conv.weight.mul_(0.01)  # audio within [-1, 1]
    latents = model.encode_to_latent(0.3 * torch.randn(1, 1, 60 * 1920, generator=rng), quantize=False)
    for part in (model.quantizer.rvq_first, model.quantizer.rvq_rest):
        seen = part.input_proj(latents)
        for index, layer in enumerate(part.vq.layers):
            book = layer._codebook
            book._initialized.fill_(1)
            book.cluster_usage.copy_(torch.rand(book.cluster_usage.shape, generator=rng) + 0.5)
            fill(book.embedding_sum, seen.std() * 0.8**index)
            if index == 0:
                book.embedding_sum.add_(seen.mean(dim=(0, 2)))
            book.embedding_sum.mul_(book.cluster_usage[:, None])
            book._embedding = None
    return model


def _randomise(model: nn.Module, scale: float) -> None:
    rng = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=rng) * scale)


def _train_tokenizer(path: Path) -> None:
    letters = "abcdefghijklmnopqrst"
    words = [f"{letters[i % 20]}{letters[i * 7 % 20]} {letters[i * 3 % 20]}{letters[i % 13]}" for i in range(400)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words),
        model_prefix=str(path.with_suffix("")),
        vocab_size=60,
        pad_id=3,
        model_type="bpe",
        minloglevel=2,
    )
