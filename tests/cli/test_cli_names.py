"""Which input becomes which output: nothing is lost to another of the same name, or passed over in silence."""

import json
import os

import numpy as np
import pytest
from command import FAILED, WRONG_USAGE, files, mimi

import signals
from mimi_codec import read_tokens
from mimi_codec.audio import AUDIO_SUFFIXES


@pytest.fixture
def encode(tiny_dir, tmp_path):
    def run(*inputs, **options):
        output = [] if "-o" in inputs else ["-o", "out"]
        return mimi("encode", *inputs, *output, "--model", tiny_dir, cwd=tmp_path, **options)

    return run


@pytest.fixture
def make(tmp_path):
    """Make WAV files of different lengths, 100 samples and up."""

    def write(*names: str) -> None:
        for index, name in enumerate(names):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            signals.write_wav(tmp_path / name, signals.noise(100 + index))

    return write


def lengths(tmp_path) -> dict[str, int]:
    return {name: read_tokens(tmp_path / "out" / name).num_samples for name in files(tmp_path / "out")}


def test_one_directory_is_mirrored(encode, clips, tmp_path):
    encode("clips", "--format", "npz")
    assert files(tmp_path / "out") == {"a.npz", "deep/b.npz", "deep/down/c.npz"}


def test_several_directories_keep_their_names(encode, make, tmp_path):
    make("spk1/x.wav", "spk2/x.wav", "spk2/deep/y.wav")
    done = encode("spk1", "spk2/")
    expected = {"spk1/x.safetensors": 100, "spk2/x.safetensors": 101, "spk2/deep/y.safetensors": 102}
    assert lengths(tmp_path) == expected
    assert "spk2/ -> out/spk2" in done.stderr


def test_directories_of_one_name(encode, make, tmp_path):
    make("one/spk/x.wav", "two/spk/x.wav", "other/x.wav")
    encode("one/spk", "two/spk", "other")
    assert lengths(tmp_path) == {
        "one/spk/x.safetensors": 100,
        "two/spk/x.safetensors": 101,
        "other/x.safetensors": 102,
    }


def test_files_of_one_name(encode, make, tmp_path):
    make("one/x.wav", "two/x.wav", "y.wav")
    encode("one/x.wav", "two/x.wav", "y.wav")
    assert lengths(tmp_path) == {"one/x.safetensors": 100, "two/x.safetensors": 101, "y.safetensors": 102}


def test_formats_of_one_name(encode, make, tmp_path):
    """a.wav beside a.flac."""
    make("in/a.wav", "in/b.wav")
    pytest.importorskip("soundfile").write(tmp_path / "in/a.flac", signals.noise(500), 24000)
    done = encode("in")
    assert lengths(tmp_path) == {"a.wav.safetensors": 100, "b.safetensors": 101, "a.flac.safetensors": 500}
    assert "in/a.flac -> out/a.flac.safetensors, as 2 inputs have the same name" in done.stderr
    assert "3 kept" in encode("in").stderr


def test_the_same_input_twice(encode, make, tmp_path):
    make("in/a.wav")
    done = encode("in", "in", "in/a.wav")
    assert lengths(tmp_path) == {"in/a.safetensors": 100}
    assert "encoded 1 file" in done.stderr


def test_names_that_have_become_alike(encode, make, tmp_path):
    """a.wav becomes a.wav.safetensors beside a.flac, and so does a.wav.mp3."""
    make("in/a.wav", "in/a.aiff", "in/a.wav.oga")
    encode("in")
    expected = {"a.wav.safetensors", "a.aiff.safetensors", "a.wav.oga.safetensors"}
    assert files(tmp_path / "out") == expected


def test_names_that_cannot_be_told_apart(encode, make):
    make("in/a.wav", "a.wav")
    done = encode("--from", "-", stdin=b"a.wav\n../a.wav", code=WRONG_USAGE)
    assert "a.wav and ../a.wav would both become out/a.wav.safetensors" in done.stderr


class TestLists:
    def test_names_keep_their_folders(self, encode, make, tmp_path):
        make("one/x.wav", "two/deep/x.wav", "dir/y.wav")
        (tmp_path / "list").write_bytes(b"one/x.wav\r\n\n./two/deep/x.wav\ndir\n")
        encode("--from", "list")
        expected = {"one/x.safetensors": 100, "two/deep/x.safetensors": 101, "dir/y.safetensors": 102}
        assert lengths(tmp_path) == expected

    def test_a_part_of_the_list_goes_to_the_same_files(self, encode, make, tmp_path):
        make("one/x.wav", "two/x.wav")
        encode("--from", "-", stdin=b"one/x.wav\n")
        assert lengths(tmp_path) == {"one/x.safetensors": 100}
        assert "1 kept" in encode("--from", "-", stdin=b"one/x.wav\ntwo/x.wav").stderr

    def test_zeros_between_names(self, encode, make, tmp_path):
        make("a\nb.wav", "ü.wav")
        encode("--from", "-", stdin="a\nb.wav\0ü.wav\0".encode())
        assert lengths(tmp_path) == {"a\nb.safetensors": 100, "ü.safetensors": 101}

    def test_paths_in_full(self, encode, make, tmp_path):
        make("x.wav")
        encode("--from", "-", stdin=f"{tmp_path}/x.wav\n../{tmp_path.name}/x.wav".encode())
        expected = {f"{str(tmp_path)[1:]}/x.safetensors", f"{tmp_path.name}/x.safetensors"}
        assert files(tmp_path / "out") == expected

    def test_wrong(self, encode, tmp_path, clip):
        assert "empty" in encode("--from", "-", stdin=b"\n\n", code=WRONG_USAGE).stderr
        assert "both" in encode("-", "--from", "-", stdin=b"clip.wav", code=WRONG_USAGE).stderr
        assert "nowhere" in encode("--from", "nowhere", code=FAILED).stderr
        assert "gone.wav" in encode("--from", "-", stdin=b"gone.wav\nclip.wav", code=FAILED).stderr
        assert files(tmp_path / "out") == {"clip.safetensors"}

    @pytest.mark.parametrize("command", ["decode", "info", "tokens"])
    def test_other_commands(self, command, encode, clip, tmp_path):
        encode("clip.wav", "-o", "c.npz")
        output = ["-o", "sound"] if command == "decode" else []
        done = mimi(command, "--from", "-", *output, stdin=b"c.npz\n", cwd=tmp_path)
        assert done.stdout or files(tmp_path / "sound") == {"c.wav"}


class TestPassedOver:
    def test_is_counted_and_named(self, encode, clips, tmp_path):
        for name in ("b.txt", "c.pdf", "._a.wav", ".hidden/d.wav", ".DS_Store"):
            (clips / name).parent.mkdir(exist_ok=True)
            (clips / name).write_text("not a sound")
        done = encode("clips")
        assert "passed over 5 files in directories (2 .txt, 1 .pdf, 2 hidden)" in done.stderr
        report = json.loads(encode("clips", "--json").stdout)
        assert {os.path.basename(name) for name in report["passed_over"]} == {"notes.txt", "b.txt", "c.pdf"}
        assert report["hidden"] == 2

    def test_every_kind_of_sound_is_tried(self, encode, tmp_path):
        """A file with the suffix of a sound is read, or it is named: here all fail, as they are empty."""
        (tmp_path / "in").mkdir()
        for suffix in AUDIO_SUFFIXES:
            (tmp_path / f"in/x{suffix}").touch()
        report = json.loads(encode("in", "--json", code=FAILED).stdout)
        told = {entry["input"] for entry in report["failed"]} | set(report["passed_over"])
        assert told == {f"in/x{suffix}" for suffix in AUDIO_SUFFIXES}

    def test_what_an_extra_would_read(self, run_python, clips, tiny_dir):
        (clips / "x.flac").touch()
        run_python(
            f"""
            import contextlib, io
            from mimi_codec.cli import main
            error = io.StringIO()
            with contextlib.redirect_stderr(error):
                assert main(["encode", {str(clips)!r}, "-o", "out", "--model", {str(tiny_dir)!r}]) == 0
            assert "1 sound file passed over: pip install 'mimi-codec[audio,av]'" in error.getvalue()
            assert "1 .flac" in error.getvalue()
            """,
            without=["soundfile", "soxr", "av"],
        )

    def test_linked_directories(self, encode, make, tmp_path):
        make("in/a.wav", "elsewhere/b.wav")
        (tmp_path / "in/linked").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere/back").symlink_to(tmp_path / "in")
        (tmp_path / "in/self").symlink_to(tmp_path / "in")
        encode("in")
        assert set(lengths(tmp_path)) == {"a.safetensors", "linked/b.safetensors"}

    def test_the_output_is_not_an_input(self, encode, clip, tmp_path, tiny_dir):
        encode("clip.wav", "-o", "in/a.npz")
        for _ in range(2):
            mimi("tokens", "in", "-o", "in/packed", "--format", "mcs", cwd=tmp_path)
        assert files(tmp_path / "in") == {"a.npz", "packed/a.mcs"}

    def test_nothing(self, encode, tmp_path):
        (tmp_path / "empty").mkdir()
        (tmp_path / "text").mkdir()
        (tmp_path / "text/a.txt").touch()
        assert "in empty" in encode("empty", code=WRONG_USAGE).stderr
        assert "1 .txt" in encode("text", code=WRONG_USAGE).stderr
        for command in ("info", "tokens"):
            assert "in empty" in mimi(command, "empty", code=WRONG_USAGE, cwd=tmp_path).stderr
        assert not (tmp_path / "out").exists()

    def test_nothing_in_one_of_two(self, encode, clips, tmp_path):
        (tmp_path / "empty").mkdir()
        assert "no files ending in" in encode("clips", "empty").stderr
        assert len(files(tmp_path / "out")) == 3

    def test_an_unreadable_directory(self, encode, clips, tmp_path, monkeypatch):
        """Root may read all, so the system is made to refuse."""
        scan = os.scandir

        def refuse(path):
            if os.path.basename(path) == "down":
                raise PermissionError(13, "Permission denied", str(path))
            return scan(path)

        monkeypatch.setattr(os, "scandir", refuse)
        done = encode("clips", code=FAILED)
        assert "down: Permission denied" in done.stderr
        assert "1 failed" in done.stderr
        monkeypatch.undo()
        assert files(tmp_path / "out") == {"a.safetensors", "deep/b.safetensors"}


def test_spellings_of_a_path(encode, clips, tmp_path):
    np.testing.assert_equal(clips.name, "clips")
    mimi("encode", ".", "-o", "../out", "--model", "demo", cwd=clips)
    assert "deep/b.safetensors" in files(tmp_path / "out")
