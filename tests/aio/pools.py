"""What the tests of pools have in common: clients, and a tick that waits until it may go on."""

import asyncio
import threading
from collections.abc import Callable

import numpy as np


def pieces(array: np.ndarray, rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """An array cut at random places of its last axis, some of them equal."""
    return np.split(array, np.sort(rng.integers(0, array.shape[-1] + 1, count)), axis=-1)


async def encode(session, chunks) -> np.ndarray:
    return np.concatenate([*[await session.push(chunk) for chunk in chunks], await session.flush()], axis=-1)


async def decode(session, chunks) -> np.ndarray:
    return np.concatenate([*[await session.push(chunk) for chunk in chunks], await session.flush()], axis=-1)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


class Gate:
    """Holds calls of a model's lane until it is opened; `reached` is set when one waits."""

    def __init__(self, pool, direction: str) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        lane = pool._engine.lanes[direction]
        self._call = lane._call
        lane._call = self.call

    def call(self, parts):
        self.reached.set()
        assert self.opened.wait(60)
        return self._call(parts)
