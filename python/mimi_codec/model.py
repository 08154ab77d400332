"""Mimi: load a model, and what it says of itself. What it does is what every `TokenCodec` does."""

from __future__ import annotations

import os
from typing import Self

from ._devices import Device
from ._options import Parts, check_options
from .codec import Loaded, load_named, load_source
from .config import MimiConfig
from .demo_files import demo_directory
from .errors import ConfigError
from .hub import Source
from .token_codec import TokenCodec

__all__ = ["Mimi"]


class Mimi(TokenCodec):
    """A Mimi model. Made by `from_pretrained` or `demo`.

    Immutable: any number of threads may use one model at once, and all its streams share its weights. It pickles as
    where it came from and how it was loaded, so a worker process loads its own copy.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> mimi = Mimi.demo()
        >>> mimi.decode(mimi.encode(np.zeros(48_000, np.float32))).shape
        (48000,)

    Raises:
        TypeError: `Mimi()` is called. It holds no weights.
    """

    __slots__ = ("_config",)

    _config: MimiConfig

    _maker = "Mimi.from_pretrained(name_or_path) or Mimi.demo()"

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        parts: Parts = "both",
        num_codebooks: int | None = None,
        threads: int | None = None,
        dtype: str = "auto",
        device: Device = "cpu",
        local_files_only: bool = False,
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
    ) -> Mimi:
        """Load a model from a directory, a safetensors file, or the Hugging Face hub.

        Args:
            name_or_path: an existing path, or a repository such as "kyutai/mimi".
            revision: branch, tag or commit of the repository.
            parts: "encoder" or "decoder" loads that half alone (the quantizer belongs to both).
            num_codebooks: load only the first ones; None loads all.
            threads: threads one call may use; None takes `MIMI_NUM_THREADS`, or 1. No more are used than the process
                has processors (its affinity, its quota).
            dtype: how the large weights are kept in memory: "float32", "bfloat16" or "int8"; "auto" takes that of a
                packed or compact file, and float32 for other files. Arithmetic is in float32.
            device: where it runs: "cpu", "cuda" or "cuda:1" for a GPU of NVIDIA, "auto" for one of these if it works
                here and else the CPU, "metal" for the GPU of a Mac, or a `torch.device` of these names. Arrays of
                that GPU are taken and given there; others give NumPy arrays.
            local_files_only: never use the network.
            cache_dir: cache of the hub, if not the usual one.
            token: access token of the hub, if not the stored one. It is not pickled.

        Returns:
            The model.

        Raises:
            LoadError: nothing of that name, no network, or a corrupt file.
            WeightsError: a tensor is missing, has a wrong shape, or is one too many.
            ConfigError: the configuration is not supported, or an option is outside its range.
            DeviceError: there is no such device, or something that it needs is missing: the text says what to install.

        Example:
            >>> import tempfile
            >>> from mimi_codec import Mimi
            >>> with tempfile.TemporaryDirectory() as directory:
            ...     Mimi.demo().save(directory)
            ...     Mimi.from_pretrained(directory, num_codebooks=8).num_codebooks
            8
        """
        options = check_options(parts, num_codebooks, threads, dtype, device)
        loaded = load_named(
            name_or_path,
            options,
            revision=revision,
            local_files_only=local_files_only,
            cache_dir=cache_dir,
            token=token,
        )
        return cls._of(loaded)

    @classmethod
    def demo(
        cls,
        *,
        parts: Parts = "both",
        num_codebooks: int | None = None,
        threads: int | None = None,
        dtype: str = "auto",
        device: Device = "cpu",
    ) -> Mimi:
        """The small model inside the package: real speech at low quality, no network.

        24 kHz, 12.5 frames per second, 16 codebooks of 1024. Its weights are CC BY-SA 3.0.

        Args:
            parts, num_codebooks, threads, dtype, device: as in `from_pretrained`.

        Returns:
            The model.

        Raises:
            ConfigError: an option outside its range.
            DeviceError: as in `from_pretrained`.
            InputTypeError: an option of another type.
        """
        options = check_options(parts, num_codebooks, threads, dtype, device)
        return cls._of(load_source(Source("demo", "demo", demo_directory()), options))

    @classmethod
    def _of(cls, loaded: Loaded) -> Self:
        mimi = super()._of(loaded)
        mimi._config = MimiConfig.from_json(loaded.core.config_json)
        return mimi

    @classmethod
    def _check_kind(cls, loaded: Loaded) -> None:
        if loaded.core.kind != "mimi":
            raise ConfigError(f"expected a Mimi, got a codec of the kind {loaded.core.kind!r}: use mimi_codec.load")

    @property
    def config(self) -> MimiConfig:
        """Every field of the configuration."""
        return self._config

    def __repr__(self) -> str:
        return (
            f"Mimi({self.name!r}, {self.sample_rate} Hz, {self.frame_rate:g} frames/s, {self.num_codebooks} codebooks "
            f"of {self.codebook_size}, parts={self.parts!r}, dtype={self.dtype!r}, threads={self.threads})"
        )
