"""Ctrl-C and SIGTERM: what is done stays and is reported, nothing is left half done, and the next run goes on."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from command import INTERRUPTED, TERMINATED, files, mimi

import signals
from mimi_codec import read_tokens
from mimi_codec.cli import encode, progress, sounds

WATCHDOG = 120
# The log speaks after every block, so that a test can wait for a sign instead of a time.
PROGRAM = (
    "import sys, mimi_codec.cli.progress as p; p.LOG_SECONDS = 0; from mimi_codec.cli import main; sys.exit(main())"
)


@pytest.fixture
def hour(tmp_path):
    """A first clip that is short, and one that nobody waits for."""
    (tmp_path / "in").mkdir()
    signals.write_wav(tmp_path / "in/a.wav", signals.noise(1000))
    signals.write_wav(tmp_path / "in/b.wav", np.zeros(3600 * 24000, np.float32))
    return tmp_path


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal(hour, number, code, jobs):
    command = [sys.executable, "-c", PROGRAM, "encode", "in", "-o", "out", "-j", str(jobs), "--model", "demo", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=hour) as run:
        try:
            said = b""
            while b"1 of 2 files done" not in said:
                line = run.stderr.readline()
                assert line, said
                said += line
            run.send_signal(number)
            output, error = run.communicate(timeout=WATCHDOG)
        finally:
            run.kill()
    assert run.returncode == code, error
    assert b"encoded 1 file: " in error
    assert b"interrupted with 1 file left; the same command again does the rest" in error
    assert b"Traceback" not in error
    report = json.loads(output)
    assert (len(report["files"]), report["interrupted"], report["left"]) == (1, True, 1)
    assert files(hour / "out") == {"a.safetensors"}
    signals.write_wav(hour / "in/b.wav", signals.noise(2000))
    done = mimi("encode", "in", "-o", "out", "--model", "demo", cwd=hour)
    assert "encoded 1 file" in done.stderr
    assert "1 kept" in done.stderr


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_interrupted_while_writing(clips, tmp_path, tiny_dir, monkeypatch, jobs):
    """The interruption comes within a write: its file does not appear."""
    write = encode.write_tokens

    def interrupted(file, tokens, file_format):
        if tokens.num_samples == 1700:
            file.write(b"half")
            raise KeyboardInterrupt
        write(file, tokens, file_format)

    monkeypatch.setattr(encode, "write_tokens", interrupted)
    command = ["encode", clips, "-o", tmp_path / "out", "-j", jobs, "--model", tiny_dir]
    done = mimi(*command, "-f", code=INTERRUPTED)
    assert "left; the same command without -f does the rest" in done.stderr
    made = files(tmp_path / "out")
    assert made <= {"a.safetensors", "deep/down/c.safetensors"}
    monkeypatch.undo()
    assert f"{len(made)} kept" in mimi(*command).stderr or not made
    assert len(files(tmp_path / "out")) == 3
    assert read_tokens(tmp_path / "out/deep/b.safetensors").num_samples == 1700


def test_interrupted_before_the_work(clips, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(encode, "load_codec", interrupted)
    done = mimi("encode", clips, "-o", tmp_path / "out", "--model", "demo", code=INTERRUPTED)
    assert done.stderr == "mimi: interrupted\n"


def test_handlers_are_put_back(clip, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    mimi("encode", clip, "-o", tmp_path / "a.npz", "--model", "demo")
    assert signal.getsignal(signal.SIGTERM) is before


class TestProgress:
    def test_lines_in_a_log(self, tmp_path, clips, monkeypatch):
        """Without a terminal: how many files, how much sound, how fast, and which file."""
        monkeypatch.setattr(progress, "LOG_SECONDS", 0)
        done = mimi("encode", clips, "-o", tmp_path / "out", "--model", "demo")
        lines = [line for line in done.stderr.splitlines() if "x real time" in line]
        assert len(lines) == 3
        assert lines[1].startswith("mimi: 1 of 3 files done, ")
        assert lines[1].endswith("deep/b.wav")

    def test_a_log_is_short(self, tmp_path, clips):
        done = mimi("encode", clips, "-o", tmp_path / "out", "--model", "demo")
        assert len(done.stderr.splitlines()) == 1

    def test_quiet(self, tmp_path, clips, monkeypatch):
        monkeypatch.setattr(progress, "LOG_SECONDS", 0)
        done = mimi("encode", clips, "-o", tmp_path / "out", "--model", "demo", "-q")
        assert (done.stdout, done.stderr) == (b"", "")

    def test_loading_is_said(self, tmp_path, clip, tiny_dir):
        done = mimi("encode", clip, "-o", tmp_path / "a.npz", "--model", tiny_dir)
        assert done.stderr.startswith(f"mimi: loading {tiny_dir}\n")

    def test_the_bar(self, tmp_path, clips, monkeypatch):
        """On a terminal: files that are left, seconds of sound, speed, the file at hand; messages beside it."""
        tqdm = pytest.importorskip("tqdm")

        class Bar:
            told = ()

            def __init__(self, **options):
                self.options, self.n = options, 0
                Bar.last, Bar.told = self, []

            def update(self, count):
                self.n += count

            def set_postfix_str(self, text, refresh=True):
                Bar.told.append(text)

            def clear(self):
                Bar.told.append("clear")

            def refresh(self):
                Bar.told.append("refresh")

            def close(self):
                pass

        monkeypatch.setattr(tqdm, "tqdm", Bar)
        monkeypatch.setattr(progress, "is_terminal", lambda *, errors: errors)
        mimi("encode", clips / "a.wav", "-o", tmp_path / "out/a.safetensors", "--model", "demo")
        assert Bar.last.options["bar_format"] == progress.ONE_CLIP
        assert Bar.last.n == Bar.last.total == 0.0  # seconds, to a tenth
        (clips / "bad.wav").write_text("not a sound")
        mimi("encode", clips, "-o", tmp_path / "out", "--model", "demo", code=1)
        assert (Bar.last.options["total"], Bar.last.n) == (3, 3)  # one of four was there
        assert any("x real time" in text and text.endswith("deep/b.wav") for text in Bar.told)
        assert "clear" in Bar.told


@pytest.mark.parametrize("command", [["encode", "clip.wav", "-o", "a.npz", "--json"]])
def test_json_of_an_interrupted_read(command, clip, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal has not arrived")

    monkeypatch.setattr(sounds, "read_sound", interrupted)
    done = mimi(*command, "--model", "demo", cwd=tmp_path, code=TERMINATED)
    assert json.loads(done.stdout)["interrupted"] is True
    assert files(tmp_path) == {"clip.wav"}
