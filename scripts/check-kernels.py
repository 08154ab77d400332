"""Compiles the CUDA kernels by NVRTC, without a GPU, and reports what each of them needs of a device.

    pip install nvidia-cuda-nvrtc
    python scripts/check-kernels.py                  # looks in site-packages, or in the folder that MIMI_NVRTC names
    python scripts/check-kernels.py --nvrtc FOLDER --architectures 75 80 90 100

It ends with an error where a kernel spills registers, has no launch bounds, or needs more registers or shared memory
than a multiprocessor has.
"""

import argparse
import ctypes
import os
import re
import struct
import sys
import sysconfig
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

CRATE = Path(__file__).parent.parent / "rust" / "cuda"

REGISTERS = 65536  # of a multiprocessor, of all architectures
STATIC_SHARED = 48 * 1024
REGISTER_UNIT = 8  # registers of a thread are given out in such units

# Of the ELF format, and of its sections `.nv.info.*`: an entry with a value of some bytes, and that of launch bounds.
ELF_HEADER, ELF_SECTION = struct.Struct("<40xQ10xHHH"), struct.Struct("<II16xQQ24x")
WITH_BYTES, MAX_THREADS = 4, 5


class Kernel(NamedTuple):
    """What a kernel needs: registers of a thread, threads of a block at most, bytes."""

    name: str
    registers: int
    threads: int
    shared: int
    stack: int
    spilled: int

    @property
    def mistakes(self) -> list[str]:
        """What does not fit."""
        mistakes = []
        if self.spilled:
            mistakes.append(f"spills {self.spilled} bytes of registers")
        if not self.threads:
            mistakes.append("has no launch bounds")
        registers = -(-self.registers // REGISTER_UNIT) * REGISTER_UNIT * self.threads
        if registers > REGISTERS:
            mistakes.append(f"needs {registers} registers for a block")
        if self.shared > STATIC_SHARED:
            mistakes.append(f"needs {self.shared} bytes of shared memory")
        return mistakes


def text() -> str:
    """The kernels as the crate puts them together."""
    files = re.findall(r'include_str!\("\.\./(kernels/[^"]+)"\)', (CRATE / "src" / "source.rs").read_text())
    return "".join(f'#line 1 "{Path(file).name}"\n{(CRATE / file).read_text()}\n' for file in files)


def options() -> list[str]:
    """What the crate asks the compiler for."""
    found = re.search(
        r"const OPTIONS: &\[&str\] = &\[(.*?)\];", (CRATE / "src" / "compile" / "mod.rs").read_text(), re.S
    )
    assert found is not None, "expected OPTIONS in compile/mod.rs"
    return re.findall(r'"([^"]+)"', found[1])


def folder_of_nvrtc() -> Path:
    """Where NVRTC is installed."""
    if named := os.environ.get("MIMI_NVRTC"):
        return Path(named)
    packages = Path(sysconfig.get_path("purelib")) / "nvidia"
    found = sorted(packages.glob("*/lib/libnvrtc.so.*"))
    if not found:
        sys.exit(f"no NVRTC in {packages}: pip install nvidia-cuda-nvrtc, or name its folder")
    return found[-1].parent


def compile_for(folder: Path, architecture: int) -> tuple[str, list[Kernel]]:
    """The version of NVRTC, and what the kernels need of an architecture."""
    for builtins in folder.glob("libnvrtc-builtins.so.*"):
        ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)
    nvrtc = ctypes.CDLL(str(min(folder.glob("libnvrtc.so.*"))))
    major, minor = ctypes.c_int(), ctypes.c_int()
    nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    version = f"{major.value}.{minor.value}"
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text().encode(), b"mimi.cu", 0, None, None)
    words = [f"--gpu-architecture=sm_{architecture}", *options(), "--ptxas-options=-v"]
    pointers = (ctypes.c_char_p * len(words))(*(word.encode() for word in words))
    status = nvrtc.nvrtcCompileProgram(program, len(words), pointers)

    def read(kind: str) -> bytes:
        size = ctypes.c_size_t()
        getattr(nvrtc, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
        data = ctypes.create_string_buffer(size.value)
        getattr(nvrtc, f"nvrtcGet{kind}")(program, data)
        return data.raw

    log = read("ProgramLog").rstrip(b"\0").decode()
    if status:
        raise SystemExit(f"NVRTC {version} does not compile the kernels for sm_{architecture}:\n{log}")
    return version, kernels(log, launch_bounds(read("CUBIN")))


def kernels(log: str, bounds: dict[str, int]) -> list[Kernel]:
    """The kernels in what the assembler says."""
    found = []
    for part in log.split("Compiling entry function '")[1:]:

        def number(pattern: str, part: str = part) -> int:
            match = re.search(pattern, part)
            return int(match[1]) if match else 0

        name = part.split("'")[0]
        shared, stack = number(r"(\d+) bytes smem"), number(r"(\d+) bytes stack frame")
        spilled = number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads")
        found.append(Kernel(name, number(r"Used (\d+) registers"), bounds.get(name, 0), shared, stack, spilled))
    return sorted(found)


def launch_bounds(cubin: bytes) -> dict[str, int]:
    """The most threads of a block of each kernel that has launch bounds."""
    start, size, count, names_at = ELF_HEADER.unpack_from(cubin)
    sections = [ELF_SECTION.unpack_from(cubin, start + i * size) for i in range(count)]
    names = sections[names_at][2]
    bounds = {}
    for name_at, _, offset, length in sections:
        name = cubin[names + name_at : cubin.index(b"\0", names + name_at)].decode()
        if not name.startswith(".nv.info."):
            continue
        at, end = offset, offset + length
        while at + 4 <= end:
            form, attribute, value = struct.unpack_from("<BBH", cubin, at)
            at += 4
            if form == WITH_BYTES:
                if attribute == MAX_THREADS:
                    x, y, z = struct.unpack_from("<III", cubin, at)
                    bounds[name.removeprefix(".nv.info.")] = x * y * z
                at += value
    return bounds


def main() -> None:
    """Compiles for each architecture, and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nvrtc", type=Path, help="folder with libnvrtc.so.*")
    parser.add_argument("--architectures", type=int, nargs="+", default=[75, 80, 90, 100])
    args = parser.parse_args()
    folder = args.nvrtc or folder_of_nvrtc()
    mistakes = []
    # A process for each, as many at a time as there are cores.
    with ProcessPoolExecutor(os.cpu_count(), max_tasks_per_child=1) as pool:
        results = pool.map(compile_for, [folder] * len(args.architectures), args.architectures)
        for architecture, (version, found) in zip(args.architectures, results, strict=True):
            print(f"sm_{architecture}, NVRTC {version}: {len(found)} kernels")
            for kernel in found:
                print(
                    f"  {kernel.name:24} {kernel.registers:4} registers {kernel.threads:5} threads "
                    f"{kernel.shared:6} bytes shared {kernel.stack:4} stack {kernel.spilled:4} spilled"
                )
                mistakes += [f"sm_{architecture}: {kernel.name} {mistake}" for mistake in kernel.mistakes]
            names = set(re.findall(r'extern "C" __global__ void(?: __launch_bounds__\([^)]*\))? (\w+)\(', text()))
            if names != {kernel.name for kernel in found}:
                mistakes.append(f"sm_{architecture}: expected the kernels of the text, {sorted(names)}")
    if mistakes:
        sys.exit("\n".join(mistakes))


if __name__ == "__main__":
    main()
