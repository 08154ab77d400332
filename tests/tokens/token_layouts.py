"""What the token tests share: small layouts, random rows, and codes of the shapes they want."""

import numpy as np
from hypothesis import strategies as st

from mimi_codec.tokens import StreamLayout

TEXT_CARD = 50
CARD = 32


def layout(delays, generated, *, name="small", **fields) -> StreamLayout:
    user = len(delays) - 1 - generated
    return StreamLayout(name, generated, user, tuple(delays), text_card=TEXT_CARD, card=CARD, **fields)


@st.composite
def layouts(draw, min_generated=0, max_delay=4) -> StreamLayout:
    generated, user = draw(st.integers(min_generated, 4)), draw(st.integers(0, 4))
    delays = draw(st.lists(st.integers(0, max_delay), min_size=1 + generated + user, max_size=1 + generated + user))
    return layout(delays, generated)


def codes(shape, seed=0, card=CARD) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, card, shape)


def random_rows(small: StreamLayout, frames: int, batch: int, seed: int = 0) -> np.ndarray:
    """(B, K, T) of text and codes."""
    rows = codes((batch, small.num_rows, frames), seed)
    rows[:, 0] = codes((batch, frames), seed + 1, TEXT_CARD)
    return rows
