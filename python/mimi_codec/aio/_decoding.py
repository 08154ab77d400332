"""The direction from codes or latents to audio."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from .._arrays import AnyArray
from .._options import Padding
from ..streams import DecoderStream
from ._lane import MOST_FRAMES, Answer, Lane, Part
from ._work import EMPTY, Request, Row


class DecoderLane(Lane):
    """Rows that turn frames into samples, `delay` of them late."""

    _stream: DecoderStream

    def __init__(self, stream: DecoderStream, frame_size: int, answer: Answer, delay: int) -> None:
        super().__init__(stream, frame_size, answer)
        self._delay = delay

    def _room(self, row: Row) -> int:
        return MOST_FRAMES

    def _width(self, request: Request) -> int:
        return len(request.data)

    def _groups(self, parts: list[Part]) -> Iterable[list[Part]]:
        groups: dict[int, list[Part]] = defaultdict(list)
        for part in parts:
            groups[self._width(part.pieces[0][0])].append(part)
        return groups.values()

    def _call(self, parts: list[Part]) -> list[list[AnyArray]]:
        joined = [part.joined() for part in parts]
        lengths = np.zeros(self.slots, np.int64)
        dtype: Any = np.float32 if self._stream.of_latents else np.int64
        batch = np.zeros((self.slots, len(joined[0]), max(frames.shape[1] for frames in joined)), dtype)
        for part, frames in zip(parts, joined, strict=True):
            lengths[part.row.index] = frames.shape[1]
            batch[part.row.index, :, : frames.shape[1]] = frames
        given = self._stream.push(batch, lengths=lengths, active=self._mask(part.row for part in parts))
        self.calls += [len(parts)] if batch.shape[2] else []
        results = []
        for part in parts:
            first = position = self._samples(part.row.frames)
            pieces = []
            for _, start, end in part.pieces:
                part.row.frames += end - start
                position, before = self._samples(part.row.frames), position
                pieces.append(given[part.row.index, 0, before - first : position - first].copy())
            results.append(pieces)
        return results

    def _samples(self, frames: int) -> int:
        """Samples of a clip that are settled after so many frames."""
        return max(0, frames * self._frame_size - self._delay)

    def _end(self, rows: list[Row], padding: Padding) -> list[AnyArray]:
        self._stream.flush(active=self._mask(rows), batched=True)
        return [EMPTY.copy() for _ in rows]
