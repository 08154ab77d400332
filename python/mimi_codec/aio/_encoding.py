"""The direction from audio to codes or latents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from .._arrays import AnyArray
from .._options import Padding
from ..streams import EncoderStream
from ._lane import MOST_FRAMES, Lane, Part
from ._work import EMPTY, Request, Row


class EncoderLane(Lane):
    """Rows that turn samples into frames.

    The stream gets whole frames only, so that the rows of one call are equally long.
    """

    _stream: EncoderStream

    def _room(self, row: Row) -> int:
        return MOST_FRAMES * self._frame_size - len(row.held)

    def _width(self, request: Request) -> int:
        return 1

    def _groups(self, parts: list[Part]) -> Iterable[list[Part]]:
        groups: dict[int, list[Part]] = defaultdict(list)
        for part in parts:
            samples = len(part.row.held) + sum(end - start for _, start, end in part.pieces)
            groups[samples // self._frame_size].append(part)
        return groups.values()

    def _call(self, parts: list[Part]) -> list[list[AnyArray]]:
        size = self._frame_size
        signals = [part.joined([part.row.held]) for part in parts]
        # a part that was divided may be shorter than the others of its group were
        frames = len(signals[0]) // size
        batch = np.zeros((self.slots, 1, frames * size), np.float32)
        for part, signal in zip(parts, signals, strict=True):
            batch[part.row.index, 0] = signal[: frames * size]
        given = self._stream.push(batch, active=self._mask(part.row for part in parts))
        self.calls += [len(parts)] if frames else []
        results = []
        for part, signal in zip(parts, signals, strict=True):
            position, cuts = len(part.row.held), []
            for _, start, end in part.pieces:
                position += end - start
                cuts.append(position // size)
            results.append([piece.copy() for piece in np.split(given[part.row.index], cuts, axis=-1)[:-1]])
            part.row.held = signal[frames * size :].copy()
            part.row.frames += frames
        return results

    def _end(self, rows: list[Row], padding: Padding) -> list[AnyArray]:
        for row in rows:  # less than a frame each, so that nothing is computed yet
            rest = np.zeros((self.slots, 1, len(row.held)), np.float32)
            rest[row.index, 0] = row.held
            self._stream.push(rest, active=self._mask([row]))
            row.held = EMPTY
        before = self._stream.frames
        frames = self._stream.flush(active=self._mask(rows), batched=True, padding=padding)
        after = self._stream.frames
        given = [after[row.index] - before[row.index] for row in rows]
        self.calls += [sum(given)] if any(given) else []
        return [frames[row.index][:, :count].copy() for row, count in zip(rows, given, strict=True)]
