"""`benches/gpu.py` goes through its parts and says of each what it found, or why it was not done."""

import json
import os
import subprocess
import sys

from gpu_cases import ROOT


def test_the_script(test_driver, tmp_path):
    parts = ["machine", "memcheck", "driver", "clips"]
    there = {"LD_LIBRARY_PATH": str(test_driver.folder), "MIMI_CODEC_CACHE": "", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, ROOT / "benches" / "gpu.py", "--tiny", "-o", tmp_path, "--parts", *parts]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | there, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert list(found) == parts
    assert found["machine"]["devices"][0]["compute_capability"] == [9, 0]
    assert found["memcheck"]["skipped"] == "the toolkit's compute-sanitizer is not here"
    assert "cuModuleLoadData failed" in found["driver"]["failed"]  # the driver for tests knows our kernels alone
    assert found["clips"]["encode"]["times_real_time"] > 0
    assert f"| seconds | {found['clips']['seconds']} |" in (tmp_path / "gpu.md").read_text()
