"""What the tests of a CUDA device have in common: the driver for tests, and what is the same as on the CPU."""

import ctypes
from pathlib import Path

import numpy as np

import mimi_codec

ROOT = Path(__file__).parents[2]


class TestDriver:
    """The driver for tests in this process: what it counts, and failures at will."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cuda = ctypes.CDLL(str(folder / "libcuda.so.1"), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / "libnvrtc.so.12"), mode=ctypes.RTLD_GLOBAL)
        self._cuda.mimi_test_calls.restype = ctypes.c_uint64
        self._cuda.mimi_test_fail.argtypes = [ctypes.c_char_p, ctypes.c_uint64]

    def fail(self, kind: str, nth: int) -> None:
        """Let the n-th call of a kind from now on, of this thread, fail."""
        self._cuda.mimi_test_fail(kind.encode(), nth)

    def calls(self, function: str) -> int:
        """How often the process has called a function of the driver."""
        return self._cuda.mimi_test_calls(function.encode())


def assert_same(got: np.ndarray, expected: np.ndarray) -> None:
    """Equal to what the CPU gives: bit for bit where it has 16 lanes, whose order of sums the device has too."""
    if expected.dtype.kind == "i" or mimi_codec.build_info()["simd"] in {"avx512", "neon"}:
        np.testing.assert_array_equal(got, expected)
    else:
        # a few roundings in each of some dozens of layers, one after the other
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * max(np.abs(expected).max(initial=0), 1e-3))
