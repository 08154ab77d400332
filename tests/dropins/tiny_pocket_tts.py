"""A tiny random `TTSModel` of Kyutai's package. Needs `pocket_tts`."""

from pathlib import Path

import torch
from pocket_tts import TTSModel
from pocket_tts.models.mimi import build_mimi
from pocket_tts.models.tts_model import stamp_state_names
from pocket_tts.utils.config import Config
from tokenizers import Tokenizer, models, pre_tokenizers

DIM = 8  # values in a latent
VOICE_DIM = 12  # values in a latent of a voice

SEANET = {
    "dimension": 32,
    "channels": 1,
    "n_filters": 4,
    "n_residual_layers": 1,
    "ratios": [6, 5, 4],
    "kernel_size": 7,
    "residual_kernel_size": 3,
    "last_kernel_size": 3,
    "dilation_base": 2,
    "pad_mode": "constant",
    "compress": 2,
}
TRANSFORMER = {
    "d_model": 32,
    "num_heads": 2,
    "num_layers": 2,
    "layer_scale": 0.3,
    "context": 40,
    "dim_feedforward": 64,
    "input_dimension": 32,
    "output_dimensions": [32],
}
MIMI = {
    "dtype": "float32",
    "sample_rate": 24000,
    "inner_dim": DIM,
    "outer_dim": 32,
    "channels": 1,
    "frame_rate": 12.5,
    "seanet": SEANET,
    "transformer": TRANSFORMER,
    "quantizer": {"dimension": DIM, "output_dimension": 32},
}
# As in the small models of 2026-10: a narrower decoder with another first kernel and more layers. The latents of
# a voice have a width of their own, as in 2026-01.
APART = MIMI | {
    "inner_dim": VOICE_DIM,
    "outer_dim": 16,
    "decoder_seanet": SEANET | {"dimension": 16, "n_filters": 2, "kernel_size": 3},
    "decoder_transformer": TRANSFORMER
    | {"d_model": 16, "num_layers": 3, "context": 20, "input_dimension": 16, "output_dimensions": [16]},
    "quantizer": {"dimension": DIM, "output_dimension": 16},
}
FLOW_LM = {
    "dtype": "float32",
    "flow": {"dim": 32, "depth": 1},
    "transformer": {"d_model": 32, "hidden_scale": 2, "max_period": 10000, "num_heads": 2, "num_layers": 1},
    "insert_bos_before_voice": True,
}


@torch.no_grad()
def build(directory: Path, mimi: dict, seed: int = 1) -> TTSModel:
    """A model whose texts are words of a vocabulary of three."""
    words = Tokenizer(models.WordLevel({"<unk>": 0, "hello": 1, "there": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    path = directory / "tokenizer.json"
    words.save(str(path))
    table = {"dim": 32, "n_bins": 3, "tokenizer": "tokenizers", "tokenizer_path": str(path)}
    config = Config(flow_lm=FLOW_LM | {"lookup_table": table}, mimi=mimi)
    tts = TTSModel._from_pydantic_config(config, 0.5, 1, None, 1e9, None)
    tts.flow_lm.speaker_proj_weight = torch.nn.Parameter(
        torch.zeros(32, config.mimi.inner_dim or config.mimi.seanet.dimension)
    )
    tts.mimi = build_mimi(config.mimi)
    rng = torch.Generator().manual_seed(seed)
    for name, parameter in tts.named_parameters():
        noise = torch.randn(parameter.shape, generator=rng)
        if "norm" in name and name.endswith("weight"):
            parameter.copy_(1 + 0.1 * noise)
        elif parameter.dim() < 2:
            parameter.copy_((0.3 if "scale" in name else 0) + 0.05 * noise)
        else:
            # a language model that damps what it hears of its own frames: rounding does not grow from one to the next
            gain = 1.3 if name.startswith("mimi.") else 0.7
            parameter.copy_(noise * (gain / parameter[0].numel() ** 0.5))
    stamp_state_names(tts)
    return tts.eval()
