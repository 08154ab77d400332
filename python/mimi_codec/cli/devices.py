"""Which devices a codec can run on, and what is missing to use the others."""

from __future__ import annotations

import os
from typing import Any

from .. import build_info
from .._devices import cuda_devices
from ..errors import DeviceError

Found = dict[str, Any]


def found() -> list[Found]:
    """The CPU, and the CUDA devices; or one entry that says why there are none."""
    cpu = {"device": "cpu", "simd": build_info()["simd"], "processors": os.cpu_count()}
    try:
        return [cpu, *({"device": f"cuda:{number}", **one} for number, one in enumerate(cuda_devices()))]
    except DeviceError as error:
        return [cpu, {"device": "cuda", "missing": str(error)}]


def line(one: Found) -> str:
    """A device in a line."""
    if one["device"] == "cpu":
        said = f"{one['simd']}, {one['processors']} processors"
    elif "name" in one:
        capability, driver = (".".join(map(str, one[name])) for name in ("compute_capability", "driver_cuda"))
        compiler = "no NVRTC" if one["nvrtc"] is None else f"NVRTC {'.'.join(map(str, one['nvrtc']))}"
        memory = f"{one['memory_bytes'] / 1e9:.1f} GB"
        said = f"{one['name']}, {memory}, compute capability {capability}, driver of CUDA {driver}, {compiler}"
        said += "" if one["missing"] is None else f": {one['missing']}"
    else:
        said = f"not usable: {one['missing']}"
    return f"{one['device']:8}{said}"
