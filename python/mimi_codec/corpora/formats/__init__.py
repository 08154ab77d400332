"""The formats of shards: Parquet, tar files for WebDataset, and a token file for each clip.

Each writes the rows of a shard with the plan of the run and what the shard is as a whole, and reads them back.
"""

from __future__ import annotations

from typing import get_args

from ...errors import ConfigError
from .base import Format, FormatName
from .files import Files
from .parquet import Parquet
from .webdataset import WebDataset

__all__ = ["Format", "FormatName", "format_of"]

FORMATS: dict[str, type[Format]] = {"parquet": Parquet, "webdataset": WebDataset, "files": Files}


def format_of(name: str) -> Format:
    """The format of a name. Raises `ConfigError` if there is none, or if a package is missing that it needs."""
    if name not in FORMATS:
        raise ConfigError(f"format must be {', '.join(get_args(FormatName))}, got {name!r}")
    return FORMATS[name]()
