"""What goes wrong is said by name, does not stop the rest, and gives the right exit code."""

import json

import numpy as np
import pytest
from command import FAILED, WRONG_USAGE, files, mimi

import signals
from mimi_codec.cli import encode, sounds


def test_bad_files_are_passed_over(tiny_dir, clips, tmp_path):
    """The others are done, the exit code and the report say what was not."""
    (clips / "broken.wav").write_bytes(b"RIFF....WAVE")
    (clips / "text.wav").write_text("not a sound")
    done = mimi("encode", clips, "-o", tmp_path / "out", "--json", "--model", tiny_dir, code=FAILED)
    assert files(tmp_path / "out") == {"a.safetensors", "deep/b.safetensors", "deep/down/c.safetensors"}
    report = json.loads(done.stdout)
    assert len(report["files"]) == 3
    assert {entry["input"].rpartition("/")[2] for entry in report["failed"]} == {"broken.wav", "text.wav"}
    assert all(entry["error"] for entry in report["failed"])
    assert "broken.wav" in done.stderr
    assert "text.wav" in done.stderr


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("of a library"), OSError(5, "Input/output error")])
def test_any_error_is_that_of_a_file(tiny_dir, clips, tmp_path, monkeypatch, error, jobs):
    read = sounds.read

    def fail(source, *arguments, **options):
        if source.name == "b.wav":
            raise error
        return read(source, *arguments, **options)

    monkeypatch.setattr(encode.sounds, "read", fail)
    done = mimi("encode", clips, "-o", tmp_path / "out", "-j", jobs, "--model", tiny_dir, code=FAILED)
    assert "b.wav: " in done.stderr
    assert "encoded 2 files" in done.stderr
    assert "1 failed" in done.stderr


def test_long_errors_are_cut(tiny_dir, tmp_path):
    np.savez(tmp_path / "x.npz", **{f"name{index}": np.zeros(1) for index in range(3000)})
    done = mimi("tokens", "x.npz", "x.npz", cwd=tmp_path, code=FAILED)
    assert "name0" in done.stderr
    assert len(done.stderr) < 1000


def test_damaged_token_files_do_not_stop_a_directory(tiny_dir, clip, tmp_path):
    """A header with numbers of any kind, which readers in Python stumble over."""
    (tmp_path / "in").mkdir()
    mimi("encode", clip, "-o", tmp_path / "in/good.safetensors", "--model", tiny_dir)
    for index, entry in enumerate(
        ['"x"', "1e999", "9" * 5000, "[1e999, 2]", "[null]", '{"dtype": "U16", "shape": "ab"}']
    ):
        header = f'{{"codes": {{"dtype": "U16", "shape": {entry}, "data_offsets": [0, {entry}]}}}}'.encode()
        (tmp_path / f"in/bad{index}.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    for command in (["tokens"], ["tokens", "-o", "out"], ["decode", "-o", "sound"], ["info"]):
        done = mimi(command[0], "in", *command[1:], cwd=tmp_path, code=FAILED)
        told = [line for line in done.stderr.splitlines() if "bad" in line and "loading" not in line]
        assert len(told) == 6
        assert "6 failed" in done.stderr + done.stdout.decode()
    assert files(tmp_path / "sound") == {"good.wav"}


def test_missing_input(tiny_dir, tmp_path):
    done = mimi("encode", tmp_path / "no.wav", "-o", tmp_path / "no.npz", "--model", tiny_dir, code=FAILED)
    assert "no.wav: No such file or directory" in done.stderr


@pytest.mark.parametrize("name", ["./nowhere", "nowhere/", "/no/where", "../nowhere", "nowhere.npz", "a/b.wav"])
def test_paths_are_not_names_of_the_hub(name, tmp_path):
    done = mimi("info", name, cwd=tmp_path, code=FAILED)
    assert "hub" not in done.stderr
    assert done.stderr.lower().count("no such file or directory") == 1


def test_missing_model(clip, tmp_path):
    done = mimi("encode", clip, "-o", tmp_path / "a.npz", "--model", tmp_path / "nowhere", code=FAILED)
    assert "nowhere" in done.stderr


def test_default_model_offline(clip, run_python, tmp_path):
    run_python(
        f"""
        import contextlib, io
        from mimi_codec.cli import main
        error = io.StringIO()
        with contextlib.redirect_stderr(error):
            assert main(["encode", {str(clip)!r}, "-o", "a.npz", "--offline"]) == 1
        assert "kyutai/mimi" in error.getvalue()
        """,
        HF_HUB_CACHE=str(tmp_path / "empty"),
    )


class TestWrongUsage:
    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["compress"],
            ["encode"],
            ["encode", "clip.wav"],
            ["encode", "clip.wav", "-o", "out.txt"],
            ["encode", "clip.wav", "-o", "out.npz", "--format", "safetensors"],
            ["encode", "clip.wav", "-o", "out.npz", "-k", "0"],
            ["encode", "clip.wav", "-o", "out.npz", "-k", "99"],
            ["encode", "clip.wav", "-o", "out.npz", "-k", "9" * 5000],
            ["encode", "clip.wav", "-o", "out.npz", "-j", "0"],
            ["encode", "clip.wav", "-o", "out.npz", "--raw", "s16le"],
            ["encode", "clip.wav", "-", "-o", "out.npz"],
            ["encode", "clip.wav", "clip.wav", "-o", "-"],
            ["encode", "-", "-o", "-", "--json", "--raw", "f32le"],
            ["encode", "nothing", "-o", "out"],
            ["encode", "clip.wav", "-o", "nothing/../clip.wav"],
            ["decode", "tokens.npz", "-o", "out.txt"],
            ["demo", "-k", "99"],
            ["bench", "--model", "demo", "-k", "99"],
            ["tokens", "clip.wav", "--format", "npz"],
            ["tokens", "clip.wav", "--frames", "x:y"],
        ],
        ids=lambda arguments: " ".join(arguments)[:50],
    )
    def test_options(self, tiny_dir, tmp_path, arguments):
        signals.write_wav(tmp_path / "clip.wav", signals.noise(100))
        (tmp_path / "nothing").mkdir()
        model = ["--model", tiny_dir] if arguments[:1] == ["encode"] else []
        done = mimi(*arguments, *model, code=WRONG_USAGE, cwd=tmp_path)
        assert done.stderr
        assert len(done.stderr) < 2000
        assert done.stdout == b""
        assert files(tmp_path) == {"clip.wav"}

    @pytest.mark.parametrize("command", ["encode", "decode", "tokens", "info"])
    @pytest.mark.parametrize("url", ["https://example.org/a.wav", "s3://bucket/a.npz", "hf://kyutai/mimi", "file:///a"])
    def test_urls(self, command, url, tmp_path):
        output = [] if command == "info" else ["-o", "out.npz"]
        done = mimi(command, url, *output, code=WRONG_USAGE, cwd=tmp_path)
        assert f"{url} is a URL" in done.stderr

    def test_codebooks_of_a_token_file(self, tiny_dir, clip, tmp_path):
        mimi("encode", clip, "-o", tmp_path / "a.npz", "--model", tiny_dir)
        assert "6 codebooks" in mimi("tokens", tmp_path / "a.npz", "-k", 99, code=WRONG_USAGE).stderr
        done = mimi("tokens", tmp_path / "a.npz", "-k", 99, "-o", tmp_path / "b.npz", code=WRONG_USAGE)
        assert "6 codebooks" in done.stderr
