"""`mimi tokenize`: options, messages, JSON, exit codes, signals."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios

import numpy as np
import pytest

import signals
from corpus import check, ids_of, make_clips, shards_of
from mimi_codec.cli import main
from mimi_codec.corpora import read_rows

WATCHDOG = 120
FAILED, WRONG_USAGE, INTERRUPTED, TERMINATED = 1, 2, 130, 143
MODEL = ("--model", "demo")


@pytest.fixture
def mimi(capsys):
    """Run a command, and give its output and its messages."""

    def run(*words, code=0):
        found = main(["tokenize", *map(str, words)])
        output, errors = capsys.readouterr()
        assert found == code, errors
        return output, errors

    return run


@pytest.fixture
def with_a_bad_one(tmp_path):
    root = make_clips(tmp_path / "in", 6)
    (root / "bad.wav").write_text("not a sound")
    return root


def test_all_of_it(mimi, clips, quick, tmp_path):
    out = tmp_path / "out"
    _, errors = mimi(clips, "-o", out, "-k", 8, "--shards", 5, "-j", 2, *MODEL)
    assert "made 5 shards: " in errors
    assert "24 clips" in errors
    assert "times real time" in errors
    check(out, clips, quick)
    _, errors = mimi(clips, "-o", out, "-k", 8, "--shards", 5, *MODEL)
    assert "made 0 shards; 5 were there; 24 clips" in errors


@pytest.mark.parametrize("file_format", ["webdataset", "files"])
def test_formats_channels_and_ranks(mimi, clips, quick, tmp_path, file_format):
    out = tmp_path / "out"
    words = [clips, "-o", out, "-k", 8, "--shards", 4, "--format", file_format, "--channels", "separate", *MODEL]
    for rank in range(3):
        mimi(*words, "--rank", rank, "--world", 3, "--quiet")
    check(out, clips, quick, channels="separate")


def test_latents(mimi, clips, quick, tmp_path):
    mimi(clips, "-o", tmp_path / "out", "--latents", "--shards", 2, *MODEL)
    check(tmp_path / "out", clips, quick, latents=True)


def test_names_from_a_list(mimi, clips, tmp_path, monkeypatch):
    monkeypatch.chdir(clips)
    (tmp_path / "list").write_text("\n".join(sorted(ids_of(clips))))
    mimi("--from", tmp_path / "list", "-o", tmp_path / "out", "-k", 8, *MODEL)
    assert {row.id for row in read_rows(tmp_path / "out")} == ids_of(clips)


def test_failures_status_and_another_try(mimi, with_a_bad_one, tmp_path):
    out = tmp_path / "out"
    words = [with_a_bad_one, "-o", out, "-k", 8, "--shards", 3, *MODEL]
    _, errors = mimi(*words, code=FAILED)
    assert "mimi: bad.wav: unreadable: the file cannot be read as audio: " in errors
    assert "1 failed (1 unreadable)" in errors
    assert "--retry-failed tries the failed clips again" in errors
    output, _ = mimi("--status", "-o", out, code=FAILED)
    assert output.startswith("3 of 3 shards are there; 7 of 7 clips; ")
    assert "1 failed (1 unreadable)" in output
    signals.write_wav(with_a_bad_one / "bad.wav", signals.noise(5000))
    _, errors = mimi(*words, "--retry-failed")
    assert "made 1 shard: " in errors
    assert "failed" not in errors
    output, _ = mimi("--status", "-o", out, "--json")
    found = json.loads(output)
    assert (found["complete"], found["clips"], found["failures"], found["plan"]["codebooks"]) == (True, 7, {}, 8)
    (out / "data/shard-00001-of-00003.parquet").unlink()
    output, _ = mimi("--status", "-o", out, code=FAILED)
    assert output.startswith("2 of 3 shards are there; ")
    assert "not there: 1" in output


def test_json(mimi, with_a_bad_one, tmp_path):
    words = [with_a_bad_one, "-o", tmp_path / "out", "-k", 8, "--shards", 3, *MODEL, "--json"]
    output, errors = mimi(*words, code=FAILED)
    found = json.loads(output)
    assert (found["clips"], found["shards"], found["failures"], found["interrupted"]) == (
        7,
        3,
        {"unreadable": 1},
        False,
    )
    assert list(found["examples"]) == ["bad.wav"]
    assert found["cpu_seconds"] > 0
    assert errors == ""


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere"], FAILED, "there is no nowhere"),
        ([], WRONG_USAGE, "no input"),
        (["--rank", "3", "--world", "3", "."], WRONG_USAGE, "--rank counts from 0 to --world - 1 = 2, got 3"),
        (["-k", "17", "."], WRONG_USAGE, "-k 17"),
        (["--latents", "-k", "8", "."], FAILED, "num_codebooks must be None for latents"),
        (["--status"], FAILED, "there is no plan.json in out"),
        (["."], FAILED, "there are no clips"),
    ],
)
def test_wrong_usage(mimi, tmp_path, monkeypatch, words, code, message):
    monkeypatch.chdir(tmp_path)
    _, errors = mimi(*words, "-o", "out", *MODEL, code=code)
    assert message in errors
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--rank", "-1"], ["--rank", "x"], ["--shards", "0"], ["--format", "csv"]])
def test_options_that_argparse_refuses(mimi, words):
    mimi(".", "-o", "out", *words, code=WRONG_USAGE)


def test_parquet_without_pyarrow(clips, run_python):
    """The message comes before a model is loaded, and says what to do."""
    script = """
        import sys
        from mimi_codec.cli import main
        sys.stderr = sys.stdout
        code = main(["tokenize", sys.argv[1], "-o", "out", "--model", "no/model"])
        print(code, main(["tokenize", sys.argv[1], "-o", "out", "--model", "demo", "--format", "webdataset"]))
    """
    printed = run_python(script, clips, without=["pyarrow"])
    assert "pip install 'mimi-codec[corpora]'" in printed
    assert printed.splitlines()[-1] == "1 0"


class TestSignals:
    # The log speaks at once, so that a test can wait for a sign instead of a time.
    PROGRAM = (
        "import sys, mimi_codec.cli.tokenize_progress as p; p.LOG_SECONDS = 0;"
        "from mimi_codec.cli import main; sys.exit(main())"
    )

    @pytest.mark.parametrize("jobs", [1, 2])
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)])
    def test_a_signal(self, quick, tmp_path, number, code, jobs):
        """A clip that nobody waits for is in the second shard."""
        import shutil

        root = make_clips(tmp_path / "in", 6)
        hour = root / "hour.wav"
        signals.write_wav(hour, np.zeros(3600 * 24000, np.float32))
        words = ["tokenize", "in", "-o", "out", "-k", "8", "--shards", "3", "-j", str(jobs), *MODEL, "--json"]
        command = [sys.executable, "-c", self.PROGRAM, *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as run:
            try:
                said = b""
                while b" h of audio" not in said or not list((tmp_path / "out").glob("data/shard-*")):
                    line = run.stderr.readline()
                    assert line, said
                    said += line
                run.send_signal(number)
                output, error = run.communicate(timeout=WATCHDOG)
            finally:
                run.kill()
        assert run.returncode == code, error
        assert b"interrupted; the same command again does the rest" in error
        assert b"Traceback" not in error
        found = json.loads(output)
        assert found["interrupted"]
        assert found["shards"] + found["shards_left"] == 3
        assert len(shards_of(tmp_path / "out")) == found["shards"] > 0
        shutil.copy(root / "speaker1/clip1.wav", hour)
        assert main([*words[:1], str(root), "-o", str(tmp_path / "out"), *words[4:]]) == 0
        check(tmp_path / "out", root, quick)


def test_a_line_on_a_terminal(tmp_path):
    """One line that is written over, with the hours, the speed, and how much is left."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))
    command = [sys.executable, "-m", "mimi_codec", "tokenize", "long", "-o", "out", "-k", "8", *MODEL]
    (tmp_path / "long").mkdir()
    for number in range(4):
        signals.write_wav(tmp_path / f"long/{number}.wav", signals.noise(24000 * 120))
    with subprocess.Popen(command, stderr=terminal, cwd=tmp_path) as run:
        os.close(terminal)
        said = b""
        while True:
            try:
                piece = os.read(controller, 65536)
            except OSError:  # the other side has gone
                break
            said += piece
    os.close(controller)
    assert run.returncode == 0, said
    text = said.decode()
    assert " of 4 clips, " in text
    assert " h of audio, " in text
    assert " times real time" in text
    assert " left" in text
    assert "made 4 shards" in text
