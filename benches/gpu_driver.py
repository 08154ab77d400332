"""What the driver and the device take by themselves: a node of a graph that does nothing, and copies."""

from __future__ import annotations

import ctypes
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

EMPTY = b".version 6.0\n.target sm_60\n.address_size 64\n.visible .entry empty() { ret; }\n"
NODES = (1, 61)
COPIED = 1 << 30
SMALL = 8192


def measured() -> dict[str, Any]:
    """Latency of nodes in microseconds, of small copies, and the bandwidth of a large copy."""
    cuda = Driver()
    function = cuda.function(EMPTY, b"empty")
    found: dict[str, Any] = {}
    taken = {}
    for nodes in NODES:
        graph = cuda.graph(lambda nodes=nodes: [cuda.launch(function) for _ in range(nodes)])
        taken[nodes] = microseconds(lambda graph=graph: (cuda("cuGraphLaunch", graph, cuda.stream), cuda.wait()))
        found[f"graph_of_{nodes}_us"] = taken[nodes]
    few, many = NODES
    found["node_us"] = (taken[many] - taken[few]) / (many - few)
    found["launch_and_wait_us"] = microseconds(lambda: (cuda.launch(function), cuda.wait()))
    there, other = cuda.memory(COPIED), cuda.memory(COPIED)
    copied = microseconds(lambda: (cuda("cuMemcpyDtoDAsync_v2", there, other, COPIED, cuda.stream), cuda.wait()), 20)
    found["copy_on_device_gb_s"] = 2 * COPIED / copied / 1e3
    pinned = ctypes.c_void_p()
    cuda("cuMemHostAlloc", ctypes.byref(pinned), COPIED // 4, 0)
    for name, size in (("small", SMALL), ("large", COPIED // 4)):

        def up(size: int = size) -> None:
            cuda("cuMemcpyHtoDAsync_v2", there, pinned, size, cuda.stream)
            cuda.wait()

        def down(size: int = size) -> None:
            cuda("cuMemcpyDtoHAsync_v2", pinned, there, size, cuda.stream)
            cuda.wait()

        found[f"{name}_copies"] = {"bytes": size, "to_device_us": microseconds(up), "to_host_us": microseconds(down)}
    return found


def microseconds(call: Callable[[], object], times: int = 200) -> float:
    """The median."""
    call()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(1e6 * (time.perf_counter() - began))
    return statistics.median(taken)


class Driver:
    """The functions of libcuda that are used here, on the first device."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        device, context, self.stream = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        self("cuInit", 0)
        self("cuDeviceGet", ctypes.byref(device), 0)
        self("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self("cuCtxSetCurrent", context)
        self("cuStreamCreate", ctypes.byref(self.stream), 1)

    def __call__(self, name: str, *arguments: Any) -> None:
        # Sizes are 64 bits wide; what is narrower may be passed as if it were.
        wide = [ctypes.c_size_t(value) if isinstance(value, int) else value for value in arguments]
        status = getattr(self._library, name)(*wide)
        if status:
            raise RuntimeError(f"{name} failed with error {status} of CUDA")

    def wait(self) -> None:
        self("cuStreamSynchronize", self.stream)

    def function(self, text: bytes, name: bytes) -> ctypes.c_void_p:
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self("cuModuleLoadData", ctypes.byref(module), text)
        self("cuModuleGetFunction", ctypes.byref(function), module, name)
        return function

    def launch(self, function: ctypes.c_void_p) -> None:
        self("cuLaunchKernel", function, 1, 1, 1, 32, 1, 1, 0, self.stream, None, None)

    def graph(self, work: Callable[[], object]) -> ctypes.c_void_p:
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        self("cuStreamBeginCapture_v2", self.stream, 2)
        work()
        self("cuStreamEndCapture", self.stream, ctypes.byref(graph))
        self("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, 0)
        return executable

    def memory(self, size: int) -> ctypes.c_uint64:
        address = ctypes.c_uint64()
        self("cuMemAlloc_v2", ctypes.byref(address), size)
        return address
