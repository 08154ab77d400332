"""Loading a codec of any kind: which one it is, its files say."""

from __future__ import annotations

import os

from ._options import Parts, check_options
from .codec import load_named
from .latent_codec import LatentCodec
from .model import Mimi

__all__ = ["load"]


def load(
    name_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    parts: Parts = "both",
    num_codebooks: int | None = None,
    threads: int | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    local_files_only: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
) -> Mimi | LatentCodec:
    """Load a codec from a directory, a safetensors file, or the Hugging Face hub, whichever codec it is.

    Args:
        name_or_path: an existing path, or a repository such as "kyutai/mimi".
        revision: branch, tag or commit of the repository.
        parts: "encoder" or "decoder" loads that half alone.
        num_codebooks: load only the first ones; None loads all. A codec of latents has none.
        threads, dtype, device, local_files_only, cache_dir, token: as in `Mimi.from_pretrained`.

    Returns:
        A `Mimi`, or for a codec without codebooks a `LatentCodec`.

    Raises:
        LoadError: nothing of that name, no network, or a corrupt file.
        WeightsError: a tensor is missing, has a wrong shape, or is one too many.
        ConfigError: the configuration is not supported, or an option is outside its range.
        DeviceError: the device is not supported.

    Example:
        >>> import mimi_codec
        >>> mimi_codec.Mimi.demo().save("demo")
        >>> mimi_codec.load("demo").kind
        'mimi'
    """
    loaded = load_named(
        name_or_path,
        check_options(parts, num_codebooks, threads, dtype, device),
        revision=revision,
        local_files_only=local_files_only,
        cache_dir=cache_dir,
        token=token,
    )
    return Mimi._of(loaded) if loaded.core.kind == "mimi" else LatentCodec._of(loaded)
