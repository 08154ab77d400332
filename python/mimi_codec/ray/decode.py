"""Codes or latents of a table to sound."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._options import choice
from .._text import shortened
from ..errors import ConfigError, MimiError
from .encode import ERRORS
from .resources import assigned, loaded

if TYPE_CHECKING:
    import pyarrow

    from ..latent_codec import LatentCodec
    from ..token_codec import TokenCodec

LONGEST = 1000


class MimiDecode:
    """Turns codes or latents in Arrow tables, as `MimiEncode` makes them, into sound, for `Dataset.map_batches`.

    The weights are loaded once for each actor. They are on its GPU, if Ray gave it one.

    Args:
        codec: what `mimi_codec.load` takes, or a model.
        column: where the codes (K, T) or latents (T, D) are; None takes the column `codes`, or `latents`.
        errors: "column" gives a row with `error` and without sound for a clip that fails, "raise" ends the task.
        options: for `mimi_codec.load`: `revision`, `dtype`, `device`, `local_files_only`, `cache_dir`, `token`.

    Raises:
        ConfigError: an option that is not allowed.
        DeviceError: a GPU that cannot be used; the text says what is missing.
        LoadError: the model cannot be loaded.

    Example:
        >>> import numpy as np, pyarrow
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.ray import MimiDecode
        >>> codes = Mimi.demo().encode(np.zeros(48_000, np.float32), num_codebooks=8)
        >>> table = MimiDecode(Mimi.demo())(pyarrow.table({"codes": [codes.tolist()]}))
        >>> len(table["audio"][0]), table["sample_rate"][0].as_py()
        (48000, 24000)
    """

    def __init__(
        self,
        codec: TokenCodec | LatentCodec | str | os.PathLike[str] = "kyutai/mimi",
        *,
        column: str | None = None,
        errors: Literal["column", "raise"] = "column",
        **options: Any,
    ) -> None:
        choice("errors", errors, ERRORS)
        self._column, self._raise = column, errors == "raise"
        _, gpu = assigned()
        self._codec = loaded(codec, "decoder", gpu, None, options)

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        """Decode the clips of a table.

        Args:
            table: with the column of codes or latents. With a column `num_samples` the sound ends where the clip did.

        Returns:
            The table without them and with the columns `audio` (float32), `sample_rate` and `error`. Clips without
            frames have no sound, and keep their error.

        Raises:
            ConfigError: there is no such column.
            MimiError: a clip has failed, with errors="raise".
        """
        import pyarrow

        names = table.column_names
        column = self._column or next((name for name in ("codes", "latents") if name in names), "codes")
        if column not in names:
            raise ConfigError(f"expected a column {column!r}, got the columns {names}")
        lengths = table["num_samples"].to_pylist() if "num_samples" in names else [None] * len(table)
        errors = table["error"].to_pylist() if "error" in names else [None] * len(table)
        sounds: list[Any] = []
        for number, cell in enumerate(table[column]):
            sounds.append(None)
            if cell.is_valid:
                try:
                    sounds[-1] = self._one(cell, column)[: lengths[number]]
                except MimiError as error:
                    if self._raise:
                        raise
                    errors[number] = shortened(f"decoding: {error}", LONGEST)
        given = table.drop_columns([name for name in (column, "audio", "sample_rate", "error") if name in names])
        rates = pyarrow.array([self._codec.sample_rate] * len(table), pyarrow.int32())
        given = given.append_column("audio", pyarrow.array(sounds, pyarrow.list_(pyarrow.float32())))
        return given.append_column("sample_rate", rates).append_column("error", pyarrow.array(errors, pyarrow.string()))

    def _one(self, cell: Any, column: str) -> Any:
        latents = column == "latents" or not hasattr(self._codec, "decode")
        frames = np.array(cell.as_py(), np.float32 if latents else np.int64)
        if frames.ndim != 2:
            frames = frames.reshape(0, 0)
        return self._codec.decode_latents(frames.T) if latents else self._codec.decode(frames)
