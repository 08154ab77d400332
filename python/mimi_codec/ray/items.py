"""The clips of a corpus as a source of Ray Data: a block for every few of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any


def datasource(clips: Sequence[tuple[str, str]], block: int) -> Any:
    """A `Datasource` of the ids and paths of clips, in blocks of so many."""
    import pyarrow
    from ray.data import Datasource
    from ray.data.block import BlockMetadata
    from ray.data.datasource import ReadTask

    class Clips(Datasource):  # type: ignore[misc]
        """Ids and paths."""

        def estimate_inmemory_data_size(self) -> int:
            return sum(len(name) + len(path) for name, path in clips)

        def get_read_tasks(self, parallelism: int, *given: Any, **options: Any) -> list[Any]:
            return [_task(clips[start : start + block]) for start in range(0, len(clips), block)]

    def _task(part: Sequence[tuple[str, str]]) -> Any:
        ids, paths = zip(*part, strict=True)
        table = pyarrow.table({"id": pyarrow.array(ids), "path": pyarrow.array(paths)})
        known = BlockMetadata(num_rows=len(table), size_bytes=table.nbytes, exec_stats=None, input_files=None)
        return ReadTask(partial(_blocks, table), known, table.schema)

    return Clips()


def _blocks(table: Any) -> list[Any]:
    return [table]
