"""Clips of a table to codes or latents."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._options import PADDINGS, Padding, choice
from ..audio import Channels
from ..audio.mixer import check_channels
from ..corpora.coding import Coder
from ..corpora.formats.parquet import Parquet
from ..corpora.rows import FIELDS, Row
from ..corpora.single import Settings, encoded
from ..corpora.sources import to_source
from ..errors import ConfigError, MimiError
from .resources import assigned, loaded

if TYPE_CHECKING:
    import pyarrow

    from ..latent_codec import LatentCodec
    from ..token_codec import TokenCodec

ERRORS = ("column", "raise")
RATES = ("sample_rate", "sampling_rate")


class MimiEncode:
    """Turns the sound in a column of Arrow tables into codes or latents, for `Dataset.map_batches`.

    The weights are loaded once for each actor. It works on as many clips at once as Ray gave it processors
    (`num_cpus`), and on its GPU, if Ray gave it one (`num_gpus`).

    Args:
        codec: what `mimi_codec.load` takes, or a model.
        column: where the sound is: paths, the bytes of files, samples (L,) or (C, L), or structures as the package
            `datasets` has them. Samples are at the rate in the column `sample_rate` or `sampling_rate`, if there is
            one, else at the codec's.
        num_codebooks: codebooks K; None takes all.
        latents: give latents (T, D) in place of codes (K, T).
        channels: as in `mimi_codec.corpora.tokenize`; "separate" gives a row for each channel.
        padding: as in `Mimi.encode`.
        strict: sounds that are damaged or cut short fail.
        errors: "column" gives a row with `error` for a clip that fails, "raise" ends the task.
        options: for `mimi_codec.load`: `revision`, `dtype`, `device`, `local_files_only`, `cache_dir`, `token`.

    Raises:
        ConfigError: an option that is not allowed.
        DeviceError: a GPU that cannot be used; the text says what is missing.
        LoadError: the model cannot be loaded.

    Example:
        >>> import numpy as np, pyarrow
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.ray import MimiEncode
        >>> encode = MimiEncode(Mimi.demo(), column="audio", num_codebooks=8)
        >>> table = encode(pyarrow.table({"id": ["hum"], "audio": [np.zeros(48_000, np.float32)]}))
        >>> table.column_names[:3], table["num_frames"].to_pylist()
        (['id', 'sha256', 'channel'], [25])
    """

    def __init__(
        self,
        codec: TokenCodec | LatentCodec | str | os.PathLike[str] = "kyutai/mimi",
        *,
        column: str = "path",
        num_codebooks: int | None = None,
        latents: bool = False,
        channels: Channels = "mix",
        padding: Padding = "transformers",
        strict: bool = False,
        errors: Literal["column", "raise"] = "column",
        **options: Any,
    ) -> None:
        choice("errors", errors, ERRORS)
        choice("padding", padding, PADDINGS)
        self._column, self._raise = column, errors == "raise"
        self._threads, gpu = assigned()
        codec = loaded(codec, "encoder", gpu, None if latents else num_codebooks, options)
        self._settings = Settings.of(codec, num_codebooks, latents, check_channels(channels), padding, strict)
        self._own = threading.local()
        self._parquet = Parquet()
        self._pool = ThreadPoolExecutor(self._threads) if self._threads > 1 else None

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        """Encode the clips of a table.

        Args:
            table: with the column of sounds. A column `id` names clips in messages.

        Returns:
            The table without the sounds, but with paths if it had them, and with the columns of
            `mimi_codec.corpora.tokenize`.

        Raises:
            ConfigError: there is no such column.
            MimiError: a clip has failed, with errors="raise".
        """
        names = table.column_names
        if self._column not in names:
            raise ConfigError(f"expected a column {self._column!r}, got the columns {names}")
        sounds = [_plain(cell.as_py()) for cell in table[self._column]]
        rates = next((table[name].to_pylist() for name in RATES if name in names), [None] * len(sounds))
        ids = list(map(str, table["id"].to_pylist() if "id" in names else range(len(sounds))))
        clips = list(zip(ids, sounds, rates, strict=True))
        made = list((self._pool.map if self._pool is not None else map)(self._one, clips))
        return self._table(table, made)

    def _one(self, clip: tuple[str, Any, Any]) -> list[Row]:
        name, sound, rate = clip
        coder: Coder | None = getattr(self._own, "coder", None)
        if coder is None:
            coder = self._own.coder = self._settings.coder()

        def source() -> Any:  # what is not a sound is the clip's failure, as what cannot be read is
            given = sound
            if rate is not None and not isinstance(sound, (str, bytes, dict)):
                given = {"array": sound, "sampling_rate": rate}
            return to_source(given, name)

        return encoded(coder, name, sound if isinstance(sound, str) else source, self._settings)

    def _table(self, table: pyarrow.Table, made: Sequence[list[Row]]) -> pyarrow.Table:
        rows = [row for clip in made for row in clip]
        for row in rows if self._raise else ():
            if row.error is not None:
                raise MimiError(f"clip {row.id!r}: {row.error}")
        content = self._settings.content
        columns = self._parquet.table(rows, content, self._parquet.schema(content))
        kept = table.take(np.repeat(np.arange(len(made)), [len(clip) for clip in made]))
        if not _is_text(table.schema.field(self._column).type):
            kept = kept.drop_columns([self._column])
        for name in (*FIELDS[2:4], content.name, *FIELDS[4:]):
            if name in kept.column_names:
                kept = kept.drop_columns([name])
            kept = kept.append_column(columns.schema.field(name), columns[name])
        return kept


def _plain(value: Any) -> Any:
    """A cell as a sound; nested lists are samples (C, L)."""
    return np.asarray(value, np.float32) if isinstance(value, list) else value


def _is_text(kind: Any) -> bool:
    return str(kind) in ("string", "large_string", "string_view")
