"""Pipes and raw samples, there and back; standard streams that are closed, absent, or cannot show a letter."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from command import FAILED, WRONG_USAGE, files, mimi, sound, tokens_in

import signals
from mimi_codec.cli import main

WATCHDOG = 120
PROGRAM = [sys.executable, "-m", "mimi_codec"]


class TestPipes:
    def test_sound_in_tokens_out(self, tiny, tiny_dir, clip):
        done = mimi("encode", "-", "--model", tiny_dir, stdin=clip.read_bytes())
        np.testing.assert_array_equal(tokens_in(done.stdout).codes, tiny.encode(sound(clip)))

    @pytest.mark.parametrize(("raw", "dtype", "scale"), [("s16le", "<i2", 32768), ("f32le", "<f4", 1)])
    def test_raw_samples_there_and_back(self, tiny, tiny_dir, raw, dtype, scale):
        pcm = (signals.chirp(3000) * scale).astype(dtype)
        encoded = mimi("encode", "-", "-o", "-", "--raw", raw, "--model", tiny_dir, stdin=pcm.tobytes())
        codes = tiny.encode(pcm.astype(np.float32) / scale)
        np.testing.assert_array_equal(tokens_in(encoded.stdout).codes, codes)
        decoded = mimi("decode", "-", "-o", "-", "--raw", raw, stdin=encoded.stdout)
        found = np.frombuffer(decoded.stdout, dtype) / scale
        expected = tiny.decode(codes)[:3000]
        if raw == "f32le":
            np.testing.assert_array_equal(found, expected)
        else:
            assert np.abs(found - expected.clip(-1, 32767 / 32768)).max() <= 0.5 / 32768  # rounding

    def test_wav_out(self, tiny, tiny_dir, clip, tmp_path):
        encoded = mimi("encode", clip, "-o", "-", "--format", "npz", "--model", tiny_dir)
        decoded = mimi("decode", "-", "--float", stdin=encoded.stdout)
        (tmp_path / "out.wav").write_bytes(decoded.stdout)
        np.testing.assert_array_equal(sound(tmp_path / "out.wav"), tiny.decode(tiny.encode(sound(clip)))[:5000])

    def test_a_shell_pipeline(self, tiny_dir, clip, tmp_path):
        """Both ends run at once, connected by a real pipe."""
        with subprocess.Popen(
            [*PROGRAM, "encode", clip, "-o", "-", "-q", "--model", tiny_dir], stdout=subprocess.PIPE
        ) as encoding:
            decode = [*PROGRAM, "decode", "-", "-o", tmp_path / "out.wav", "-q"]
            subprocess.run(decode, stdin=encoding.stdout, check=True, timeout=WATCHDOG)
            encoding.stdout.close()
        assert encoding.returncode == 0
        assert len(sound(tmp_path / "out.wav")) == 5000

    @pytest.mark.parametrize(("raw", "data"), [("s16le", b"abc"), ("f32le", b"abcdef"), (None, b"RIFF"), (None, b"")])
    def test_bad_input(self, tiny_dir, raw, data):
        options = ["--raw", raw] if raw else []
        done = mimi("encode", "-", "-o", "-", *options, "--model", tiny_dir, stdin=data, code=FAILED)
        assert done.stdout == b""
        assert "mimi: -: " in done.stderr

    def test_not_a_number(self, tiny_dir):
        data = np.float32([0, np.nan]).tobytes()
        done = mimi("encode", "-", "--raw", "f32le", "--model", tiny_dir, stdin=data, code=FAILED)
        assert "finite" in done.stderr

    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_a_reader_that_goes_away(self, tiny_dir, tmp_path, unbuffered):
        """As in `mimi decode ... | head`: no traceback, and not called a success.

        With PYTHONUNBUFFERED, as in many containers, a write to the standard output may be cut short without an error.
        """
        zeros = np.zeros(40 * 24000, np.float32).tobytes()
        encoded = mimi("encode", "-", "--raw", "f32le", "--model", tiny_dir, stdin=zeros)
        (tmp_path / "zeros.safetensors").write_bytes(encoded.stdout)
        command = [*PROGRAM, "decode", tmp_path / "zeros.safetensors", "-o", "-"]
        environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as run:
            run.stdout.read(10)
            run.stdout.close()
            error = run.stderr.read()
            assert run.wait(WATCHDOG) == FAILED
        assert b"Traceback" not in error
        assert b"Exception" not in error


class TestStandardStreams:
    """Who listens does not matter to the files."""

    @pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
    def test_closed_by_the_shell(self, clip, tmp_path, closed):
        """The place of a closed stream must not be taken by a file that then gets the messages."""
        words = " ".join([sys.executable, "-m", "mimi_codec", "encode", "clip.wav", "-o", "a.npz", "--model", "demo"])
        subprocess.run(["sh", "-c", f"{words} --json {closed}"], check=True, timeout=WATCHDOG, cwd=tmp_path)
        assert files(tmp_path) == {"clip.wav", "a.npz"}
        assert tokens_in((tmp_path / "a.npz").read_bytes()).num_samples == 5000

    @pytest.mark.parametrize("command", [["encode", "clip.wav", "-o", "a.npz"], ["info", "clip.wav"], ["demo"]])
    def test_none(self, clip, tmp_path, monkeypatch, command):
        """As in a program of Windows without a console."""
        monkeypatch.chdir(tmp_path)
        for name in ("stdin", "stdout", "stderr"):
            monkeypatch.setattr(sys, name, None)
        code = main([*command, *(["--model", "demo"] if command[0] == "encode" else [])])
        monkeypatch.undo()
        assert code == 0

    def test_closed_by_python(self, clip, tmp_path, monkeypatch):
        for name in ("stdout", "stderr"):
            with open(tmp_path / name, "w") as stream:
                pass
            monkeypatch.setattr(sys, name, stream)
        code = main(["encode", str(clip), "-o", str(tmp_path / "a.npz"), "--model", "demo", "--json"])
        monkeypatch.undo()
        assert code == 0
        assert (tmp_path / "a.npz").exists()

    def test_data_needs_one(self, clip, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(sys, "stdout", None)
        code = main(["encode", str(clip), "-o", "-", "--model", "demo"])
        monkeypatch.undo()
        assert code == WRONG_USAGE
        assert "standard output is closed" in capsys.readouterr().err

    def test_a_full_disk(self, clip):
        with open("/dev/full", "w") as full:
            done = subprocess.run([*PROGRAM, "info", clip], stdout=full, stderr=subprocess.PIPE, timeout=WATCHDOG)
        assert done.returncode == FAILED
        assert done.stderr == b"mimi: cannot write to the standard output: No space left on device\n"

    @pytest.mark.parametrize("name", ["h\u00e4\u00df \u65e5\u672c.wav", os.fsdecode(b"\xff.wav")])
    def test_letters_that_cannot_be_shown(self, clip, tmp_path, name):
        clip.rename(tmp_path / name)
        environment = os.environ | {"PYTHONIOENCODING": "ascii"}
        for arguments in (["info", name], ["info", "."], ["encode", ".", "-o", "out", "--model", "demo"]):
            command = [*PROGRAM, *arguments]
            done = subprocess.run(command, capture_output=True, timeout=WATCHDOG, env=environment, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert done.stdout.isascii()
        assert (
            b"\\"
            in subprocess.run(
                [*PROGRAM, "info", name],
                capture_output=True,
                timeout=WATCHDOG,
                env=environment,
                cwd=tmp_path,
                check=True,
            ).stdout
        )

    def test_json_of_any_name(self, clip, tmp_path):
        clip.rename(tmp_path / os.fsdecode(b"\xff.wav"))
        done = mimi("info", ".", "--json", cwd=tmp_path)
        assert json.loads(done.stdout)["files"][0]["path"] == os.fsdecode(b"\xff.wav")
