"""A token file for each clip, as `mimi encode` writes them, in the folders of the ids; and a list for each shard.

The list is what says that a shard is done: it appears when all of its files are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..._arrays import AnyArray
from ...errors import LoadError
from ...token_files import Codec, Latents, Tokens, read_latents, read_tokens, write_latents, write_tokens
from .. import commit
from ..plan import Plan
from ..rows import FIELDS, Row, ShardRows
from .base import Format, Head, text
from .names import key

CLIPS = "clips"
SUFFIX = ".safetensors"


class Files(Format):
    """Needs no other package."""

    suffix = ".json"

    def write(self, file: BinaryIO, rows: ShardRows, head: Head, root: Path) -> None:
        """Write the files of a shard, then its list."""
        listed = []
        for row in rows:
            name = None if row.frames is None else f"{CLIPS}/{key(row)}{SUFFIX}"
            if name is not None:
                target = root / name
                target.parent.mkdir(parents=True, exist_ok=True)
                clip = partial(_write_clip, row=row, plan=head.plan)
                commit.replace(target, clip, part_of=Path(file.name))
            listed.append({**row.facts(), "file": name})
        lines = ",\n".join(text(row) for row in listed)
        described = text(head.as_dict())
        file.write(f'{{"head": {described},\n"rows": [\n{lines}\n]}}\n'.encode())

    def read(self, path: Path) -> Iterator[Row]:
        """The rows of a shard."""
        found = _loaded(path)
        plan = Head.of_dict(found["head"], path).plan
        for row in found["rows"]:
            facts = {name: row[name] for name in FIELDS}
            yield Row(**facts, frames=None if row["file"] is None else _read_clip(path.parents[1] / row["file"], plan))

    def head(self, path: Path) -> Head:
        """What a shard says of itself."""
        return Head.of_dict(_loaded(path)["head"], path)


def _loaded(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise LoadError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict) or not {"head", "rows"} <= set(found):
        raise LoadError(f"{path} is not the list of a shard")
    return found


def _write_clip(file: BinaryIO, *, row: Row, plan: Plan) -> None:
    frames = row.frames
    assert frames is not None
    # A codec may leave out the end of a clip, and a file holds no more sound than its frames do.
    samples = min(row.num_samples, row.num_frames * plan.frame_size)
    if plan.content == "latents":
        found = Latents(
            np.ascontiguousarray(frames.T, np.float32),
            plan.model,
            plan.revision,
            plan.sample_rate,
            plan.frame_rate,
            samples,
        )
        write_latents(file, found, "safetensors")
        return
    codec = Codec(plan.model, plan.revision, plan.sample_rate, plan.frame_rate, plan.codebook_size or 1, plan.codec)
    write_tokens(file, Tokens.of_codec(codec, frames.astype(np.int64), samples), "safetensors")


def _read_clip(path: Path, plan: Plan) -> AnyArray:
    if plan.content == "latents":
        return np.ascontiguousarray(read_latents(path).latents.T)
    return read_tokens(path).codes.astype(np.uint16)
