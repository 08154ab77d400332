"""Parquet: a row for each clip, codes as K lists of T numbers or latents as T lists of D, the plan in the metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...errors import ConfigError, LoadError
from ..rows import FIELDS, Content, Row, ShardRows
from .base import Format, Head, text

KEY = b"mimi_codec"
GROUP_BYTES, GROUP_ROWS = 1 << 25, 1 << 13  # of a row group, which is made in memory
CODECS = {"compression": "zstd", "compression_level": 3}


class Parquet(Format):
    """Needs pyarrow, the extra [corpora]."""

    suffix = ".parquet"

    def __init__(self) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise ConfigError(
                "format 'parquet' needs pyarrow: pip install 'mimi-codec[corpora]', or choose 'webdataset' or 'files'"
            ) from None
        self._arrow: Any = pyarrow
        self._parquet: Any = pyarrow.parquet

    def schema(self, content: Content, head: Head | None = None) -> Any:
        """The columns."""
        arrow = self._arrow
        if content.name == "codes":
            frames = arrow.list_(arrow.list_(arrow.uint16()))
        else:
            frames = arrow.list_(arrow.list_(arrow.float32(), content.width))
        kinds = {"channel": arrow.int32(), "num_frames": arrow.int64(), "num_samples": arrow.int64()}
        fields = [arrow.field(name, kinds.get(name, arrow.string()), nullable=name != "id") for name in FIELDS]
        fields.insert(FIELDS.index("num_frames"), arrow.field(content.name, frames))
        return arrow.schema(fields, None if head is None else {KEY: text(head.as_dict())})

    def write(self, file: BinaryIO, rows: ShardRows, head: Head, root: Path) -> None:
        """Write a shard."""
        content = head.plan.what
        schema = self.schema(content, head)
        # A dictionary packs codes into the bits they need. Latents have no value twice.
        dictionary = True if content.name == "codes" else list(FIELDS)
        with self._parquet.ParquetWriter(file, schema, use_dictionary=dictionary, **CODECS) as writer:
            for group in _groups(rows):
                writer.write_table(self.table(group, content, schema), row_group_size=len(group))

    def table(self, rows: list[Row], content: Content, schema: Any) -> Any:
        """Rows as an Arrow table."""
        columns = {
            name: self._arrow.array([getattr(row, name) for row in rows], schema.field(name).type) for name in FIELDS
        }
        columns[content.name] = self._frames(rows, content)
        return self._arrow.table([columns[name] for name in schema.names], schema=schema)

    def _frames(self, rows: list[Row], content: Content) -> Any:
        """The column of frames, without a Python object for each number."""
        arrow, codes = self._arrow, content.name == "codes"
        there = [row.frames if row.frames is not None else np.empty((0, 0), content.dtype) for row in rows]
        missing = np.array([row.frames is None for row in rows])
        values = np.concatenate([np.ravel(frames) for frames in there]) if there else np.empty(0, content.dtype)
        outer = _offsets([len(frames) for frames in there])
        if codes:
            lengths = [frames.shape[1] for frames in there for _ in range(len(frames))]
            inner = arrow.ListArray.from_arrays(_offsets(lengths), values)
        else:
            inner = arrow.FixedSizeListArray.from_arrays(values, content.width)
        return arrow.ListArray.from_arrays(outer, inner, mask=arrow.array(missing, arrow.bool_()))

    def read(self, path: Path) -> Iterator[Row]:
        """The rows of a shard."""
        content = self.head(path).plan.what
        with self._opened(path) as file:
            for number in range(file.num_row_groups):
                yield from rows_of(file.read_row_group(number), content)

    def read_loose(self, directory: Path, content: Content) -> Iterator[Row]:
        """The rows of all files of a directory, which say nothing of themselves."""
        for path in sorted(directory.glob("*.parquet")):
            with self._opened(path) as file:
                for number in range(file.num_row_groups):
                    yield from rows_of(file.read_row_group(number), content)

    def head(self, path: Path) -> Head:
        """What a shard says of itself."""
        with self._opened(path) as file:
            found = (file.schema_arrow.metadata or {}).get(KEY)
        return Head.of_dict(json.loads(found) if found is not None else None, path)

    def _opened(self, path: Path) -> Any:
        try:
            return self._parquet.ParquetFile(path)
        except self._arrow.ArrowInvalid as error:
            raise LoadError(f"{path} is not a Parquet file: {error}") from error


def rows_of(table: Any, content: Content) -> Iterator[Row]:
    """The rows of an Arrow table."""
    columns = {name: table.column(name).to_pylist() for name in FIELDS}
    frames = table.column(content.name)
    for number in range(table.num_rows):
        cell = frames[number]
        found = None
        if cell.is_valid:
            values = cell.values.flatten().to_numpy()
            found = values.reshape(len(cell.values), -1) if len(cell.values) else np.empty(content.shape(0))
            found = found.astype(content.dtype, copy=False)
        yield Row(**{name: columns[name][number] for name in FIELDS}, frames=found)


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in groups that fit the memory; one at least, for the columns."""
    group: list[Row] = []
    size = 0
    for row in rows:
        group.append(row)
        size += 0 if row.frames is None else row.frames.nbytes
        if size >= GROUP_BYTES or len(group) >= GROUP_ROWS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _offsets(lengths: list[int]) -> Any:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32)
