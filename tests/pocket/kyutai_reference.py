"""Kyutai's own classes of the `pocket-tts` package, as its `TTSModel` uses them. Import it where that is installed."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

THREADS = torch.get_num_threads()
from pocket_tts.models.mimi import MimiModel, build_mimi  # noqa: E402
from pocket_tts.modules.stateful_module import StatefulModule, increment_steps, init_states  # noqa: E402
from pocket_tts.utils.config import MimiConfig  # noqa: E402

torch.set_num_threads(THREADS)  # the package leaves PyTorch with one


def load(directory: Path) -> MimiModel:
    """The model of a directory in Kyutai's layout."""
    section = json.loads((directory / "config.json").read_text())["mimi"]
    model = build_mimi(MimiConfig(**section)).eval()
    state = load_file(directory / "model.safetensors")
    model.load_state_dict({name.removeprefix("mimi."): value for name, value in state.items()}, strict=True)
    for name, module in model.named_modules():
        if isinstance(module, StatefulModule):
            module._module_absolute_name = name
    return model


@torch.no_grad()
def encode(model: MimiModel, pcm: np.ndarray) -> np.ndarray:
    """Samples (L,) to latents (D, T)."""
    return model.encode_to_latent(torch.from_numpy(pcm)[None, None])[0].T.contiguous().numpy()


@torch.no_grad()
def decode(model: MimiModel, pieces: list[np.ndarray]) -> np.ndarray:
    """Latents (D, m), one piece after another, to samples (L,)."""
    steps = int(model.encoder_frame_rate / model.frame_rate)
    state = init_states(model, batch_size=1, sequence_length=steps * sum(piece.shape[1] for piece in pieces))
    audio = []
    for piece in pieces:
        audio.append(model.decode_from_latent(torch.from_numpy(piece.T.copy())[None], state)[0, 0].numpy())
        increment_steps(model, state, steps * piece.shape[1])
    return np.concatenate(audio)
