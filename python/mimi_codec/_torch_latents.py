"""What the drop-ins for Pocket TTS share: the codec from tensors in memory, and latents with time before width.

Hosts have latents as (B, T, D), this package as (B, D, T). Imported with torch, by drop-ins alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch
from safetensors.torch import load_file

from ._torch import CodecModule, ScratchDirectory, plain, tensor_out
from ._torch_state import write_state
from .codec import Codec
from .errors import ConfigError, InputTypeError, LatentsError
from .hub import WEIGHTS
from .latent_codec import LatentCodec
from .loading import load


def latent_codec(codec: Any, **options: Any) -> LatentCodec:
    """A codec of continuous latents: the one given, or that of a name or path. Raises `ConfigError` for another one."""
    found = codec if isinstance(codec, Codec) else load(codec, **options)
    if not isinstance(found, LatentCodec):
        raise ConfigError(f"expected a codec with continuous latents, such as that of Pocket TTS, got {found!r}")
    return found


class LatentModule(CodecModule, ABC):
    """Stands where a host has its codec, with the tensors that it was made of under the host's names."""

    codec: LatentCodec

    def __init__(self, codec: LatentCodec) -> None:
        super().__init__()
        self.codec = codec
        self._files: ScratchDirectory | None = None
        self.eval()

    def _take(self, state: Mapping[str, torch.Tensor], config: str, **options: Any) -> None:
        """Be the codec of these tensors from now on."""
        self.codec, self._files = codec_of(state, config, **options)

    @abstractmethod
    def _config_text(self) -> str:
        """The `config.json` of tensors with the host's names."""

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """The tensors of the host; none of a codec that was given, whose files may have other names."""
        if self._files is not None:
            tensors = load_file(self._files.path / WEIGHTS)
            destination.update({prefix + name: tensor for name, tensor in tensors.items()})

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
            same = {name: getattr(self.codec, name) for name in ("threads", "parts", "device")}
            self._take(state, self._config_text(), **same)
        elif strict and self._files is not None:
            missing_keys.extend(prefix + name for name in load_file(self._files.path / WEIGHTS))

    def extra_repr(self) -> str:
        """The codec inside, for `print`.

        Returns:
            One line of text.
        """
        return repr(self.codec)


def codec_of(state: Mapping[str, torch.Tensor], config: str, **options: Any) -> tuple[LatentCodec, ScratchDirectory]:
    """A codec of tensors in memory, and its files, which saving and pickling read again."""
    files = write_state(state, config)
    return latent_codec(load(files.path, **options)), files


def latents_in(value: Any, what: str) -> torch.Tensor:
    """Latents (B, T, D) of any float type on any device, as float32 (B, D, T) on the CPU."""
    if not isinstance(value, torch.Tensor):
        raise InputTypeError(f"{what} must be a torch.Tensor, got {type(value).__name__}")
    if not value.is_floating_point():
        raise InputTypeError(f"{what} must be of a float type, got {value.dtype}")
    if value.dim() != 3 or value.shape[0] < 1:
        raise LatentsError(f"{what} must have shape (B, T, D) with B >= 1, got {tuple(value.shape)}")
    return plain(value.detach().to("cpu", torch.float32)).transpose(1, 2).contiguous()


def latents_out(array: npt.NDArray[Any], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Latents (B, D, T) of the codec as a tensor (B, T, D) of its own."""
    return tensor_out(array, device, dtype).transpose(1, 2).contiguous()
