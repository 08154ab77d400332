"""What the drop-ins for codecs built from Mimi's parts share: where they come from, and their weights as a host's.

Each stands for one class of Transformers and holds a codec of one kind. The tensors in its `state_dict` are those of
that class, also where the codec was loaded from files that name them in another way.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from safetensors.torch import load_file

from .._devices import Device
from .._torch import CodecModule, ScratchDirectory
from .._torch_state import read_state, write_state
from ..codec import Codec
from ..errors import ConfigError
from ..hub import WEIGHTS
from ..loading import load

# What a size is called, what the host's configuration says of it, and what the codec has.
Size = tuple[str, int, int]


class FamilyModule(CodecModule, ABC):
    """Stands where a host has a codec of `kind`, and has its tensors under the names of that host."""

    kind: ClassVar[str]

    def __init__(self, codec: Codec, config: Any = None) -> None:
        super().__init__()
        if not isinstance(codec, Codec) or codec.kind != self.kind:
            raise ConfigError(f"{type(self).__name__} is for a codec of the kind {self.kind!r}, got {codec!r}")
        self.codec = codec
        self.config = self._config_of(codec) if config is None else config
        check_sizes(*self._sizes())
        self._files: ScratchDirectory | None = None
        self.eval()

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str], **options: Any) -> Self:
        """Load a model.

        Args:
            name_or_path: The name or path of a checkpoint, of the codec or of a model that has it inside.
            **options: Those of `mimi_codec.load`; `module` where a model has several codecs.

        Returns:
            The model.

        Raises:
            LoadError: The files are missing, cannot be fetched or are corrupt.
            ConfigError: It is another codec, or the configuration or an option is not supported.
        """
        return cls(load(name_or_path, **options))

    @classmethod
    def from_state_dict(
        cls,
        state: Mapping[str, torch.Tensor],
        config: Any,
        *,
        threads: int | None = None,
        device: Device = "cpu",
        **options: Any,
    ) -> Self:
        """Make a model from the tensors of Transformers' model.

        Args:
            state: The tensors under their names.
            config: Transformers' configuration.
            threads: Threads one call may use; None takes `MIMI_NUM_THREADS`, or 1.
            device: Where the codec runs, as in `mimi_codec.load`.
            **options: Those of the class beside the codec and the configuration.

        Returns:
            The model.

        Raises:
            WeightsError: A tensor is missing, has another shape than the configuration says, or is one too many.
            ConfigError: The configuration is not supported.
            DeviceError: The device is not there, or something that it needs is missing.
        """
        files = write_state(state, _text(config))
        model = cls(load(files.path, threads=threads, device=device), config, **options)
        model._files = files
        return model

    @abstractmethod
    def _config_of(self, codec: Any) -> Any:
        """Transformers' configuration of a codec."""

    @abstractmethod
    def _sizes(self) -> list[Size]:
        """The sizes in which the configuration and the codec have to agree."""

    def _tensors(self) -> dict[str, torch.Tensor]:
        return read_state(self.codec) if self._files is None else load_file(self._files.path / WEIGHTS)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        destination.update({prefix + name: tensor for name, tensor in self._tensors().items()})

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        *lists: list[str],
    ) -> None:
        state = {name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)}
        if state:
            files = write_state(state, _text(self.config))
            same = "threads", "parts", "dtype", "device"
            options: dict[str, Any] = {name: getattr(self.codec, name) for name in same}
            self.codec = load(files.path, **options)
            self._files = files
        elif strict:
            missing_keys.extend(prefix + name for name in self._tensors())

    def extra_repr(self) -> str:
        """The codec inside, for `print`.

        Returns:
            One line of text.
        """
        return repr(self.codec)


def check_sizes(*sizes: Size) -> None:
    """Refuse a codec of another size than the model needs. Raises `ConfigError`."""
    for name, expected, got in sizes:
        if expected != got:
            raise ConfigError(f"the model was made for a codec of {expected} {name}, got a codec of {got}")


def _text(config: Any) -> str:
    return str(config.to_json_string(use_diff=False))
