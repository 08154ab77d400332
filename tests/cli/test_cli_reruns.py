"""Files that are there are kept, or replaced as a whole; links, FIFOs and devices are written to as they are."""

import json
import os
import threading

import pytest
from command import FAILED, files, mimi, tokens_in

import signals
from mimi_codec import read_tokens
from mimi_codec.cli import output


@pytest.fixture
def encode(tiny_dir, tmp_path):
    def run(*arguments, **options):
        return mimi("encode", *arguments, "--model", tiny_dir, cwd=tmp_path, **options)

    return run


def test_a_rerun_keeps(encode, clips, tmp_path):
    (tmp_path / "out/deep").mkdir(parents=True)
    (tmp_path / "out/deep/b.safetensors").write_text("precious")
    done = encode("clips", "-o", "out")
    assert "encoded 2 files" in done.stderr
    assert "1 kept" in done.stderr
    assert "-f overwrites" in done.stderr
    report = json.loads(encode("clips", "-o", "out", "--json").stdout)
    assert (len(report["files"]), len(report["kept"]), report["failed"]) == (0, 3, [])
    assert (tmp_path / "out/deep/b.safetensors").read_text() == "precious"
    encode("clips", "-o", "out", "-f")
    assert read_tokens(tmp_path / "out/deep/b.safetensors").num_samples == 1700


def test_nothing_to_do_needs_no_model(clip, tmp_path):
    (tmp_path / "a.npz").write_text("precious")
    done = mimi("encode", clip, "-o", tmp_path / "a.npz", "--model", tmp_path / "no-such-model")
    assert "1 kept" in done.stderr


def test_bad_files_stay_failures(encode, clips):
    """A rerun tries again what failed."""
    (clips / "bad.wav").write_text("not a sound")
    for _ in range(2):
        assert "1 failed" in encode("clips", "-o", "out", code=FAILED).stderr


@pytest.mark.parametrize("command", ["decode", "tokens"])
def test_other_commands(command, encode, clip, tmp_path):
    encode("clip.wav", "-o", "a.npz")
    target = "b.wav" if command == "decode" else "b.mcs"
    mimi(command, "a.npz", "-o", target, cwd=tmp_path)
    made = (tmp_path / target).read_bytes()
    (tmp_path / target).write_text("precious")
    assert "1 kept" in mimi(command, "a.npz", "-o", target, cwd=tmp_path).stderr
    assert (tmp_path / target).read_text() == "precious"
    mimi(command, "a.npz", "-o", target, "-f", cwd=tmp_path)
    assert (tmp_path / target).read_bytes() == made


def test_the_input_itself(encode, clip, tmp_path):
    encode("clip.wav", "-o", "a.npz")
    (tmp_path / "link.npz").symlink_to("a.npz")
    before = (tmp_path / "a.npz").read_bytes()
    for target in ("a.npz", "./a.npz", "link.npz"):
        for options in ([], ["-f"]):
            done = mimi("tokens", "a.npz", "-o", target, "-k", 1, *options, code=FAILED, cwd=tmp_path)
            assert "is the input itself" in done.stderr
    assert (tmp_path / "a.npz").read_bytes() == before


def test_a_failure_leaves_no_partial_file(encode, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    (tmp_path / "codes.npz").write_text("precious")
    encode("bad.wav", "-o", "codes.npz", "-f", code=FAILED)
    assert (tmp_path / "codes.npz").read_text() == "precious"
    assert files(tmp_path) == {"bad.wav", "codes.npz"}


def test_a_write_that_fails_leaves_no_partial_file(encode, clip, tmp_path, monkeypatch):
    """The disk is full at the last moment."""

    def full(*_):
        raise OSError(28, "No space left on device")

    (tmp_path / "codes.npz").write_text("precious")
    monkeypatch.setattr(output.os, "replace", full)
    done = encode("clip.wav", "-o", "codes.npz", "-f", code=FAILED)
    assert "cannot write codes.npz: No space left on device" in done.stderr
    assert files(tmp_path) == {"clip.wav", "codes.npz"}
    assert (tmp_path / "codes.npz").read_text() == "precious"


def test_permissions_stay(encode, clip, tmp_path):
    (tmp_path / "codes.npz").touch(mode=0o640)
    (tmp_path / "codes.npz").chmod(0o640)
    encode("clip.wav", "-o", "codes.npz", "-f")
    assert (tmp_path / "codes.npz").stat().st_mode & 0o777 == 0o640
    encode("clip.wav", "-o", "new.npz")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "new.npz").stat().st_mode & 0o777 == 0o666 & ~mask


class TestLinks:
    def test_are_written_through(self, encode, clip, tmp_path):
        (tmp_path / "there").mkdir()
        (tmp_path / "there/real.npz").write_text("old")
        (tmp_path / "link.npz").symlink_to("there/real.npz")
        assert "1 kept" in encode("clip.wav", "-o", "link.npz").stderr
        encode("clip.wav", "-o", "link.npz", "-f")
        assert (tmp_path / "link.npz").is_symlink()
        assert read_tokens(tmp_path / "there/real.npz").num_samples == 5000
        assert files(tmp_path) == {"clip.wav", "link.npz", "there/real.npz"}

    def test_to_what_is_not_there_yet(self, encode, clip, tmp_path):
        (tmp_path / "link.npz").symlink_to("there/real.npz")
        encode("clip.wav", "-o", "link.npz")
        assert (tmp_path / "link.npz").is_symlink()
        assert read_tokens(tmp_path / "there/real.npz").num_samples == 5000

    def test_in_a_circle(self, encode, clip, tmp_path):
        (tmp_path / "a.npz").symlink_to("b.npz")
        (tmp_path / "b.npz").symlink_to("a.npz")
        assert "cannot write a.npz" in encode("clip.wav", "-o", "a.npz", code=FAILED).stderr


class TestStreams:
    @pytest.mark.parametrize("options", [[], ["-f"]])
    def test_a_fifo_is_written_into(self, encode, clip, tmp_path, options):
        os.mkfifo(tmp_path / "pipe")
        found = []
        reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_bytes()))
        reader.start()
        encode("clip.wav", "-o", "pipe", "--format", "mcs", *options)
        reader.join(60)
        assert tokens_in(found[0]).num_samples == 5000
        assert (tmp_path / "pipe").is_fifo()

    def test_a_device(self, encode, clip, tmp_path):
        encode("clip.wav", "-o", "/dev/null")
        assert os.path.exists("/dev/null")
        assert not os.path.isfile("/dev/null")

    @pytest.mark.parametrize("name", ["-", "/dev/stdout"])
    def test_the_standard_output(self, encode, clip, name):
        done = encode("clip.wav", "-o", name, "--format", "npz")
        assert done.stdout.startswith(b"PK")
        assert tokens_in(done.stdout).num_samples == 5000

    def test_a_descriptor(self, encode, clip, tmp_path):
        """As `>(command)` in a shell has it."""
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as file:
            encode("clip.wav", "-o", f"/dev/fd/{writing}", "--format", "mcs")
            os.close(writing)
            assert tokens_in(file.read()).num_samples == 5000


class TestPlaces:
    """What cannot be written is the output's fault, and known before the work."""

    def test_below_a_file(self, encode, clip, tmp_path):
        (tmp_path / "file").write_text("a file")
        signals.write_wav(tmp_path / "other.wav", signals.noise(100))
        for inputs, target in ((["clip.wav"], "file/a.npz"), (["clip.wav", "other.wav"], "file/deep/out")):
            done = encode(*inputs, "-o", target, code=FAILED)
            assert done.stderr.count("\n") == 1
            assert done.stderr.startswith("mimi: cannot write file")
            assert "file is not a directory" in done.stderr
            assert "clip.wav" not in done.stderr

    def test_a_read_only_directory(self, encode, clip, tmp_path, monkeypatch):
        monkeypatch.setattr(output.os, "access", lambda *_: False)  # root may write everywhere
        done = encode("clip.wav", "-o", "out/a.npz", code=FAILED)
        assert "cannot write out: " in done.stderr
        assert not (tmp_path / "out").exists()

    def test_a_directory_in_the_place_of_a_file(self, encode, clips, tmp_path):
        (tmp_path / "out/a.safetensors").mkdir(parents=True)
        done = encode("clips", "-o", "out", "-f", code=FAILED)
        assert "out/a.safetensors: it is a directory" in done.stderr
        assert "encoded 2 files" in done.stderr
