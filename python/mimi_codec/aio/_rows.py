"""Sessions of a pool as the rows of one stream, for threads that wait: what a drop-in of another package needs.

Inputs are of the types that sessions take. As in a stream, what is wrong with one row is found before any row takes
anything; only values that overflow in the model end the push of that row alone, and the others have gone on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import numpy as np

from .._arrays import AnyArray, BoolArray, Float32Array, Int64Array
from ._work import Kind
from .pool import SessionPool
from .sessions import DecoderSession, EncoderSession

SessionKind = TypeVar("SessionKind", EncoderSession, DecoderSession)


class Rows(Generic[SessionKind]):
    """Sessions that are used side by side. Their slots are free when this is dropped."""

    def __init__(self, sessions: list[SessionKind]) -> None:
        self._sessions: list[SessionKind] = sessions

    def reset(self, mask: BoolArray) -> None:
        """Begin new clips in some rows."""
        futures = [self._sessions[row]._begin(Kind.RESET) for row in np.flatnonzero(mask)]
        for future in futures:
            future.result()

    def _push(self, batch: Any, active: BoolArray) -> Mapping[int, AnyArray]:
        """What each active row gets for its part (..., n) of a batch."""
        rows = [int(row) for row in np.flatnonzero(active)]
        requests = [self._sessions[row]._checked(batch[row]) for row in rows]
        futures = [
            self._sessions[row]._begin(Kind.PUSH, **request) for row, request in zip(rows, requests, strict=True)
        ]
        return {row: future.result() for row, future in zip(rows, futures, strict=True)}


class EncoderRows(Rows[EncoderSession]):
    """Audio to codes. Raises `PoolFull` if there are not so many free slots."""

    def __init__(self, pool: SessionPool, rows: int) -> None:
        super().__init__([pool.encoder() for _ in range(rows)])
        self.num_codebooks, self._frame_size = pool.num_codebooks, pool.model.frame_size

    def push(self, pcm: Any, *, active: BoolArray) -> Int64Array:
        """Whole frames of audio (B, 1, m * frame_size) to codes (B, K, m), with -1 in rows that are not active."""
        codes = np.full((len(pcm), self.num_codebooks, pcm.shape[2] // self._frame_size), -1)
        for row, given in self._push(pcm[:, 0], active).items():
            codes[row] = given
        return codes


class DecoderRows(Rows[DecoderSession]):
    """Codes to audio. Raises `PoolFull` if there are not so many free slots."""

    def __init__(self, pool: SessionPool, rows: int) -> None:
        super().__init__([pool.decoder() for _ in range(rows)])
        self._frame_size = pool.model.frame_size

    def push(self, codes: Any, *, active: BoolArray) -> Float32Array:
        """Codes (B, K, m) to audio (B, 1, m * frame_size), with 0 in rows that are not active."""
        audio = np.zeros((len(codes), 1, codes.shape[2] * self._frame_size), np.float32)
        for row, given in self._push(codes, active).items():
            audio[row, 0] = given
        return audio
