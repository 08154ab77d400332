"""What a talker's host does while it generates: what it is asked, what it reads and what it says."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mimi_codec.tokens.talker_prompts import Positions


@dataclass
class Record:
    """Of one call of the talker's `generate`."""

    asked: dict[str, Any] = field(default_factory=dict)
    """Its arguments."""
    said: Any = None
    """Its result."""
    read: list[torch.Tensor] = field(default_factory=list)
    """What went into its layers, step by step: (B, n, hidden)."""

    @property
    def steps(self) -> list[torch.Tensor | None]:
        """The frames of each step: (B, K)."""
        return [step[-1] for step in self.said.hidden_states]


def listen(monkeypatch, talker) -> Record:
    """Keep what happens in the next call of `talker.generate`."""
    record = Record()
    generate, forward = talker.generate, talker.model.forward

    def keep_generate(**arguments):
        record.asked = arguments
        record.said = generate(**arguments)
        return record.said

    def keep_forward(**arguments):
        record.read.append(arguments["inputs_embeds"])
        return forward(**arguments)

    monkeypatch.setattr(talker, "generate", keep_generate)
    monkeypatch.setattr(talker.model, "forward", keep_forward)
    return record


@torch.no_grad()
def embed(talker, text_embeddings, read: Positions) -> torch.Tensor:
    """Positions as the talker's layers get them: (L, hidden)."""
    total = talker.text_projection(text_embeddings(torch.tensor(read.text)))
    total = total + talker.get_input_embeddings()(torch.tensor(read.codec)) * torch.tensor(read.has_codec)[:, None]
    for table, codes in zip(talker.code_predictor.get_input_embeddings(), read.codes[1:], strict=True):
        total = total + table(torch.tensor(codes)) * torch.tensor(read.is_frame)[:, None]
    return total


def assert_same(got: torch.Tensor, wanted: torch.Tensor):
    """Equal but for the order in which a few embeddings are summed."""
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
