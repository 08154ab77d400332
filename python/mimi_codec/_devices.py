"""Where a codec runs: what may be asked for, which devices there are, and where the libraries of CUDA are."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from . import _core
from .errors import DeviceError

if TYPE_CHECKING:
    from ._core import CudaDevice


class DeviceObject(Protocol):
    """A device of another package, such as `torch.device`: its text is that of a device here."""

    @property
    def type(self) -> str:
        """Which kind it is, such as "cuda"."""
        ...


Device: TypeAlias = str | DeviceObject

DEVICES = ("cpu", "cuda", "auto", "metal")
NUMBERED = re.compile(r"(cuda|metal):\d{1,4}", re.ASCII)


def to_device(device: Device) -> str:
    """The text of a device, which need not be there.

    For one that may be of CUDA, the extension is told where Python's packages have the libraries of CUDA.

    Raises:
        DeviceError: no device is called so.
    """
    text = str(device)
    if text not in DEVICES and not NUMBERED.fullmatch(text):
        raise DeviceError(
            f"device must be one of {', '.join(map(repr, DEVICES))}, or one of several as 'cuda:1', got {device!r}"
        )
    if text == "auto" or text.startswith("cuda"):
        look_for_libraries()
    return text


def cuda_devices() -> list[CudaDevice]:
    """The CUDA devices that the process sees. None is opened.

    Raises:
        DeviceError: there is no driver, or no device. It says what to install.
    """
    look_for_libraries()
    return _core.cuda_devices()


def look_for_libraries() -> None:
    """Name the directories in which packages of NVIDIA (`nvidia/*`) and of Conda have their libraries."""
    spec = importlib.util.find_spec("nvidia")
    packages = () if spec is None else spec.submodule_search_locations or ()
    _core.look_in([*dict.fromkeys(str(Path(place).parent) for place in packages), sys.prefix])
