"""What the drop-ins for PyTorch code share: tensors in and out, and a module that only stands for the codec.

This module imports torch; nothing imports it before a drop-in is used.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt
import torch
from torch import nn

from ._on_device import lies_on
from .errors import AudioError, CodesError, InputTypeError

Method = TypeVar("Method", bound=Callable[..., Any])


class CodecModule(nn.Module):
    """A module without weights of its own that has the device and the float type which `.to()` gave it.

    The codec runs in float32 where it was loaded, whatever they say; audio is returned in that float type.
    """

    def __init__(self) -> None:
        super().__init__()
        # code that asks a model where it is looks at its first parameter
        self._placement = nn.Parameter(torch.empty(0), requires_grad=False)

    @property
    def device(self) -> torch.device:
        """Where `.to()` put the module."""
        return self._placement.device

    @property
    def dtype(self) -> torch.dtype:
        """The float type of the audio that is returned."""
        return self._placement.dtype

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """The placement is not a weight."""

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *arguments: Any) -> None:
        """Nothing to load."""


def outside_graphs(method: Method) -> Method:
    """Keep `torch.compile` from looking into a method: the graph breaks there, and the codec runs as it always does."""
    disable: Callable[[Method], Method] = torch.compiler.disable
    return disable(method)


class ScratchDirectory:
    """A directory of its own for a checkpoint, removed with the last object that holds on to it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="mimi-codec-"))
        self.remove: Callable[[], object] = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def __deepcopy__(self, memo: dict[int, Any]) -> ScratchDirectory:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()  # another process has no part in it


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor with its memory as its values say.

    PyTorch negates and conjugates by a bit that readers of the memory do not see: `z.conj().imag` lies there with the
    sign of `z.imag`.
    """
    return tensor.resolve_conj().resolve_neg()


def as_files_hold(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors for a file of weights: the memory of each says its values and is shared with no other.

    Float types become float32, which holds every value of the smaller ones.
    """
    held, seen = {}, set()
    for name, tensor in tensors.items():
        tensor = plain(tensor.detach().cpu())
        tensor = (tensor.float() if tensor.is_floating_point() else tensor).contiguous()
        memory = tensor.untyped_storage().data_ptr()
        held[name] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    return held


def audio_in(value: Any, what: str, codec: Any = None) -> torch.Tensor:
    """Audio (B, 1, L) of any float type on any device, as float32 on the CPU or on the GPU of its `codec`."""
    if not isinstance(value, torch.Tensor):
        raise InputTypeError(f"{what} must be a torch.Tensor, got {type(value).__name__}")
    if not value.is_floating_point():
        raise InputTypeError(f"{what} must be of a float type, got {value.dtype}")
    if value.dim() != 3 or value.shape[1] != 1 or value.shape[0] < 1:
        raise AudioError(f"{what} must have shape (B, 1, L) with B >= 1, got {tuple(value.shape)}")
    return plain(value.detach().to(_place(value, codec), torch.float32))


def codes_in(value: Any, what: str, codec: Any = None) -> torch.Tensor:
    """Codes (B, K, T) of any integer type on any device, on the CPU, or on the GPU of a codec that they are for."""
    if not isinstance(value, torch.Tensor):
        raise InputTypeError(f"{what} must be a torch.Tensor, got {type(value).__name__}")
    if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
        raise InputTypeError(f"{what} must be of an integer type, got {value.dtype}")
    if value.dim() != 3 or value.shape[0] < 1:
        raise CodesError(f"{what} must have shape (B, K, T) with B >= 1, got {tuple(value.shape)}")
    return plain(value.detach().to(_place(value, codec)))


def _place(value: torch.Tensor, codec: Any) -> torch.device:
    """Where a codec takes a tensor: where it lies if that is the codec's own GPU, else the CPU."""
    stays = codec is not None and lies_on(value.detach(), codec._core)
    return value.device if stays else torch.device("cpu")


def tensor_out(
    array: npt.NDArray[Any] | torch.Tensor, device: torch.device, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """A result of the codec as a tensor on `device`, in its own type or in `dtype`."""
    tensor = array if isinstance(array, torch.Tensor) else torch.from_numpy(array)
    return tensor.to(device, dtype)
