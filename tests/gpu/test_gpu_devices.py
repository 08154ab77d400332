"""Which devices there are, how they are named, and what is said where something is missing."""

import json
import os
import pickle

import pytest

import signals
from mimi_codec import Mimi
from mimi_codec.cli import main
from mimi_codec.errors import DeviceError


def test_names(gpu, tiny, tiny_dir):
    torch = pytest.importorskip("torch")
    for asked, device in (("cuda", "cuda:0"), (torch.device("cuda"), "cuda:0"), ("auto", "cuda:0"), ("cpu", "cpu")):
        assert Mimi.from_pretrained(tiny_dir, device=asked, parts="encoder").device == device
    assert tiny.device == "cpu"


def test_another_process_loads_it_on_the_same_device(gpu, tiny_gpu):
    assert pickle.loads(pickle.dumps(tiny_gpu)).device == "cuda:0"


def test_the_second_device(test_driver, tiny_dir):
    second = Mimi.from_pretrained(tiny_dir, device="cuda:1")
    assert second.device == "cuda:1"
    with pytest.raises(DeviceError, match=r"expected a CUDA device below \d+, got 77"):
        Mimi.from_pretrained(tiny_dir, device="cuda:77")


def test_they_are_listed(gpu, capsys):
    assert main(["info", "--device", "--json"]) == 0
    cpu, first, *_ = json.loads(capsys.readouterr().out)
    assert (cpu["device"], first["device"]) == ("cpu", "cuda:0")
    assert first["missing"] is None
    assert main(["info", "--device"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith(f"cuda:0  {first['name']}, ")
    assert "compute capability" in line


def test_commands(gpu, tiny_dir, tmp_path):
    signals.write_wav(tmp_path / "clip.wav", signals.chirp(6000))
    for device in ("cpu", "cuda"):
        options = ["--model", str(tiny_dir), "--device", device, "--quiet"]
        tokens, sound = (str(tmp_path / f"{device}.{suffix}") for suffix in ("safetensors", "wav"))
        assert main(["encode", str(tmp_path / "clip.wav"), "-o", tokens, *options]) == 0
        assert main(["decode", tokens, "-o", sound, *options]) == 0
    assert (tmp_path / "cuda.safetensors").read_bytes() == (tmp_path / "cpu.safetensors").read_bytes()
    assert (tmp_path / "cuda.wav").stat().st_size == (tmp_path / "cpu.wav").stat().st_size


def test_a_name_that_is_none(capsys):
    assert main(["info", "demo", "--device", "tpu"]) == 2
    assert "must be one of 'cpu', 'cuda', 'auto', 'metal'" in capsys.readouterr().err
    assert main(["info", "demo", "--device"]) == 2
    assert "lists the devices" in capsys.readouterr().err


MISSING = """
    import sys
    from mimi_codec import DeviceError, Mimi

    assert Mimi.demo(device="auto").device in ("cpu", "cuda:0")
    for device in sys.argv[1:]:
        try:
            Mimi.demo(device=device)
        except DeviceError as error:
            print(error)
"""


def test_without_a_driver(run_python, tmp_path):
    """The text says what is missing and what to install; "auto" is the CPU then."""
    said = run_python(MISSING, "cuda", LD_LIBRARY_PATH=str(tmp_path))
    if not said:
        pytest.skip("there is a real device")
    assert "no CUDA driver was found" in said
    assert "install the NVIDIA driver" in said


def test_without_metal():
    with pytest.raises(DeviceError, match=r"expected a build with the feature `metal` for device metal:1"):
        Mimi.demo(device="metal:1")


def test_without_a_compiler(test_driver, run_python, tmp_path):
    folder = tmp_path / "driver-alone"
    folder.mkdir()
    for name in ("libcuda.so.1", "libmimi_host.so"):
        (folder / name).symlink_to(test_driver.folder / name)
    alone = {"LD_LIBRARY_PATH": str(folder), "MIMI_CODEC_CACHE": "", "without": ["nvidia"]}  # which may hold a real one
    said = run_python(MISSING, "cuda", **alone)
    assert "no NVRTC was found" in said
    assert "pip install mimi-codec[cuda]" in said
    said = run_python("from mimi_codec.cli import main; main(['info', '--device'])", **alone)
    assert "no NVRTC" in said.splitlines()[1]


def test_a_compiler_that_fails(test_driver, run_python):
    there = {"LD_LIBRARY_PATH": str(test_driver.folder), "MIMI_CODEC_CACHE": "", "MIMI_TEST_COMPILER": "fails"}
    # One that is installed would be tried next, and takes most of a minute for code that this driver does not take.
    said = run_python(MISSING.replace('Mimi.demo(device="auto").device', "'cpu'"), "cuda", **there, without=["nvidia"])
    assert "compiling the kernels" in said


@pytest.mark.parametrize("place", ["nvidia/cuda_nvrtc/lib", "nvidia/cu13/lib"])
def test_the_compiler_of_an_installed_package(test_driver, run_python, tmp_path, place):
    """As the extra brings it, and PyTorch: a directory beside this package, which nothing has told the loader of."""
    alone, packages = tmp_path / "driver-alone", tmp_path / "packages"
    alone.mkdir()
    (packages / place).mkdir(parents=True)
    for name in ("libcuda.so.1", "libmimi_host.so"):
        (alone / name).symlink_to(test_driver.folder / name)
    (packages / place / "libnvrtc.so.12").symlink_to(test_driver.folder / "libnvrtc.so.12")
    path = os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")])
    said = run_python(
        "from mimi_codec import Mimi; print(Mimi.demo(device='cuda').device)",
        LD_LIBRARY_PATH=str(alone),
        PYTHONPATH=path,
        MIMI_CODEC_CACHE="",
    )
    assert said == "cuda:0\n"


def test_compiled_once(test_driver, run_python, tmp_path):
    """The second process finds what the first has compiled; a damaged file and a closed directory are no errors."""
    there = {"LD_LIBRARY_PATH": str(test_driver.folder), "MIMI_CODEC_CACHE": str(tmp_path / "cache")}
    load = "from mimi_codec import Mimi; print(Mimi.demo(device='cuda').device)"
    assert run_python(load, **there) == "cuda:0\n"
    (kept,) = (tmp_path / "cache" / "cubins").iterdir()
    # With a compiler that fails, only what was kept can be loaded.
    assert run_python(load, MIMI_TEST_COMPILER="fails", **there) == "cuda:0\n"
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1])
    assert run_python(load, **there) == "cuda:0\n"
    assert kept.read_bytes() == whole
    assert run_python(load, **there | {"MIMI_CODEC_CACHE": "/dev/null/nothing"}) == "cuda:0\n"
