"""The command line, through real processes, files and pipes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import signals
from mimi_codec import Mimi, Tokens, read_audio, read_tokens, write_tokens

RATE = 24000
FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130
WATCHDOG = 120


def mimi(*arguments, stdin: bytes = b"", code: int = 0, cwd=None, **environment) -> subprocess.CompletedProcess:
    """Run `python -m mimi_codec`, check the exit code."""
    command = [sys.executable, "-m", "mimi_codec", *map(str, arguments)]
    done = subprocess.run(
        command, input=stdin, capture_output=True, timeout=WATCHDOG, cwd=cwd, env=os.environ | environment
    )
    assert done.returncode == code, f"exit code {done.returncode}, expected {code}\n{done.stderr.decode()}"
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


@pytest.fixture
def clips(tmp_path) -> Path:
    """A tree of three WAV files of different lengths, and a file that is no sound."""
    root = tmp_path / "clips"
    for i, name in enumerate(["a.wav", "deep/b.wav", "deep/down/c.WAV"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        signals.write_wav(root / name, signals.noise(1000 + 700 * i, seed=i))
    (root / "notes.txt").write_text("not a clip")
    return root


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "clip.wav"
    signals.write_wav(path, signals.chirp(5000))
    return path


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def read(path: Path) -> np.ndarray:
    return read_audio(path, RATE)


class TestEncode:
    @pytest.mark.parametrize("suffix", ["safetensors", "npz"])
    def test_a_file(self, tiny, tiny_dir, clip, tmp_path, suffix):
        out = tmp_path / f"codes.{suffix}"
        mimi("encode", clip, "-o", out, "--model", tiny_dir)
        tokens = read_tokens(out)
        np.testing.assert_array_equal(tokens.codes, tiny.encode(read(clip)))
        assert (tokens.num_samples, tokens.sample_rate, tokens.model) == (5000, RATE, str(tiny_dir))

    def test_some_codebooks(self, tiny, tiny_dir, clip, tmp_path):
        mimi("encode", clip, "-o", tmp_path / "codes.npz", "-k", 2, "--model", tiny_dir)
        np.testing.assert_array_equal(read_tokens(tmp_path / "codes.npz").codes, tiny.encode(read(clip), 2))

    def test_padding(self, tiny, tiny_dir, clip, tmp_path):
        mimi("encode", clip, "-o", tmp_path / "codes.npz", "--padding", "moshi", "--model", tiny_dir)
        expected = tiny.encode(read(clip), padding="moshi")
        np.testing.assert_array_equal(read_tokens(tmp_path / "codes.npz").codes, expected)

    def test_directories_are_mirrored(self, tiny, tiny_dir, clips, tmp_path):
        mimi("encode", clips, "-o", tmp_path / "out", "--model", tiny_dir)
        assert files(tmp_path / "out") == {"a.safetensors", "deep/b.safetensors", "deep/down/c.safetensors"}
        tokens = read_tokens(tmp_path / "out/deep/b.safetensors")
        np.testing.assert_array_equal(tokens.codes, tiny.encode(read(clips / "deep/b.wav")))

    def test_several_files_and_a_format(self, tiny_dir, clips, tmp_path):
        mimi(
            "encode",
            clips / "a.wav",
            clips / "deep/b.wav",
            "-o",
            tmp_path / "out",
            "--format",
            "npz",
            "--model",
            tiny_dir,
        )
        assert files(tmp_path / "out") == {"a.npz", "b.npz"}

    @pytest.mark.parametrize("terminal", [True, False])
    def test_a_progress_bar_changes_nothing(self, tiny, tiny_dir, tmp_path, terminal):
        """On a terminal a long clip goes through a stream in blocks; the codes are the same."""
        pty = pytest.importorskip("pty")
        signals.write_wav(tmp_path / "long.wav", signals.noise(13 * RATE + 5))
        command = [sys.executable, "-m", "mimi_codec", "encode", "long.wav", "-o", "long.npz", "--model", tiny_dir]
        ours, theirs = pty.openpty()
        try:
            stderr = theirs if terminal else subprocess.DEVNULL
            subprocess.run(command, check=True, timeout=WATCHDOG, cwd=tmp_path, stderr=stderr)
        finally:
            os.close(ours)
            os.close(theirs)
        codes = read_tokens(tmp_path / "long.npz").codes
        np.testing.assert_array_equal(codes, tiny.encode(read(tmp_path / "long.wav")))

    def test_an_empty_clip(self, tiny_dir, tmp_path):
        signals.write_wav(tmp_path / "empty.wav", np.zeros(0))
        mimi("encode", tmp_path / "empty.wav", "-o", tmp_path / "empty.npz", "--model", tiny_dir)
        assert read_tokens(tmp_path / "empty.npz").codes.shape == (6, 0)
        mimi("decode", tmp_path / "empty.npz", "-o", tmp_path / "again.wav")
        assert read(tmp_path / "again.wav").shape == (0,)

    def test_other_rates_are_resampled(self, tiny_dir, tmp_path):
        pytest.importorskip("soxr")
        signals.write_wav(tmp_path / "slow.wav", signals.noise(8000), rate=16000)
        mimi("encode", tmp_path / "slow.wav", "-o", tmp_path / "slow.npz", "--model", tiny_dir)
        assert read_tokens(tmp_path / "slow.npz").num_samples == 12000


class TestDecode:
    @pytest.fixture
    def tokens(self, tiny, tmp_path) -> Path:
        pcm = signals.chirp(5000)
        write_tokens(tmp_path / "tokens.npz", Tokens.of(tiny, tiny.encode(pcm, num_codebooks=5), len(pcm)))
        return tmp_path / "tokens.npz"

    def test_a_file(self, tiny, tokens, tmp_path):
        """By the model that the file names, as long as the clip was."""
        mimi("decode", tokens, "-o", tmp_path / "out.wav", "--float")
        expected = tiny.decode(read_tokens(tokens).codes)[:5000]
        np.testing.assert_array_equal(read(tmp_path / "out.wav"), expected)

    def test_16_bits(self, tiny, tokens, tmp_path):
        mimi("decode", tokens, "-o", tmp_path / "out.wav")
        samples, rate = signals.read_wav(tmp_path / "out.wav")
        assert (rate, len(samples)) == (RATE, 5000)
        expected = tiny.decode(read_tokens(tokens).codes)[:5000].clip(-1, 32767 / 32768)
        assert np.abs(samples - expected).max() <= 0.5 / 32768  # rounding

    def test_directories_are_mirrored(self, tiny, clips, tmp_path, tiny_dir):
        mimi("encode", clips, "-o", tmp_path / "codes", "--model", tiny_dir)
        mimi("decode", tmp_path / "codes", "-o", tmp_path / "out")
        assert files(tmp_path / "out") == {"a.wav", "deep/b.wav", "deep/down/c.wav"}
        for name, source in (("a.wav", "a.wav"), ("deep/down/c.wav", "deep/down/c.WAV")):
            assert len(read(tmp_path / "out" / name)) == len(read(clips / source))

    def test_another_model_is_refused(self, tokens, tmp_path):
        done = mimi("decode", tokens, "-o", tmp_path / "out.wav", "--model", "demo", code=FAILED)
        assert b"1024" in done.stderr
        assert b"32" in done.stderr
        assert not (tmp_path / "out.wav").exists()

    def test_a_model_that_is_gone(self, tokens, tmp_path, tiny):
        kept = read_tokens(tokens)
        moved = Tokens(kept.codes, str(tmp_path / "gone"), None, RATE, kept.frame_rate, 32, 5000)
        write_tokens(tmp_path / "moved.npz", moved)
        done = mimi("decode", tmp_path / "moved.npz", "-o", tmp_path / "out.wav", code=FAILED)
        assert str(tmp_path / "gone").encode() in done.stderr


class TestPipes:
    def test_sound_in_tokens_out(self, tiny, tiny_dir, clip):
        done = mimi("encode", "-", "--model", tiny_dir, stdin=clip.read_bytes())
        tokens = read_bytes(done.stdout)
        np.testing.assert_array_equal(tokens.codes, tiny.encode(read(clip)))

    @pytest.mark.parametrize(("raw", "dtype", "scale"), [("s16le", "<i2", 32768), ("f32le", "<f4", 1)])
    def test_raw_samples_there_and_back(self, tiny, tiny_dir, raw, dtype, scale):
        pcm = (signals.chirp(3000) * scale).astype(dtype)
        encoded = mimi("encode", "-", "-o", "-", "--raw", raw, "--model", tiny_dir, stdin=pcm.tobytes())
        codes = tiny.encode(pcm.astype(np.float32) / scale)
        np.testing.assert_array_equal(read_bytes(encoded.stdout).codes, codes)
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
        np.testing.assert_array_equal(read(tmp_path / "out.wav"), tiny.decode(tiny.encode(read(clip)))[:5000])

    def test_a_shell_pipeline(self, tiny_dir, clip, tmp_path):
        """Both ends run at once, connected by a real pipe."""
        program = [sys.executable, "-m", "mimi_codec"]
        with subprocess.Popen(
            [*program, "encode", clip, "-o", "-", "-q", "--model", tiny_dir], stdout=subprocess.PIPE
        ) as encoding:
            decode = [*program, "decode", "-", "-o", tmp_path / "out.wav", "-q"]
            subprocess.run(decode, stdin=encoding.stdout, check=True, timeout=WATCHDOG)
            encoding.stdout.close()
        assert encoding.returncode == 0
        assert len(read(tmp_path / "out.wav")) == 5000

    @pytest.mark.parametrize(("raw", "data"), [("s16le", b"abc"), ("f32le", b"abcdef"), (None, b"RIFF"), (None, b"")])
    def test_bad_input(self, tiny_dir, raw, data):
        options = ["--raw", raw] if raw else []
        done = mimi("encode", "-", "-o", "-", *options, "--model", tiny_dir, stdin=data, code=FAILED)
        assert done.stdout == b""
        assert done.stderr.startswith(b"mimi: -: ")

    def test_not_a_number(self, tiny_dir):
        data = np.float32([0, np.nan]).tobytes()
        done = mimi("encode", "-", "--raw", "f32le", "--model", tiny_dir, stdin=data, code=FAILED)
        assert b"finite" in done.stderr

    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_a_reader_that_goes_away(self, tiny_dir, tmp_path, unbuffered):
        """As in `mimi decode ... | head`: no traceback, and not called a success.

        With PYTHONUNBUFFERED, as in many containers, a write to the standard output may be cut short without an error.
        """
        zeros = np.zeros(40 * RATE, np.float32).tobytes()
        encoded = mimi("encode", "-", "--raw", "f32le", "--model", tiny_dir, stdin=zeros)
        (tmp_path / "zeros.safetensors").write_bytes(encoded.stdout)
        command = [sys.executable, "-m", "mimi_codec", "decode", tmp_path / "zeros.safetensors", "-o", "-"]
        environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as run:
            run.stdout.read(10)
            run.stdout.close()
            error = run.stderr.read()
            assert run.wait(WATCHDOG) == FAILED
        assert b"Traceback" not in error
        assert b"Exception" not in error


def read_bytes(data: bytes) -> Tokens:
    import io

    return read_tokens(io.BytesIO(data))


class TestFailures:
    def test_bad_files_are_passed_over(self, tiny_dir, clips, tmp_path):
        """The others are done, the exit code and the report say what was not."""
        (clips / "broken.wav").write_bytes(b"RIFF....WAVE")
        (clips / "text.wav").write_text("not a sound")
        done = mimi("encode", clips, "-o", tmp_path / "out", "--json", "--model", tiny_dir, code=FAILED)
        assert files(tmp_path / "out") == {"a.safetensors", "deep/b.safetensors", "deep/down/c.safetensors"}
        report = json.loads(done.stdout)
        assert len(report["files"]) == 3
        assert {Path(entry["input"]).name for entry in report["failed"]} == {"broken.wav", "text.wav"}
        assert all(entry["error"] for entry in report["failed"])
        assert b"broken.wav" in done.stderr
        assert b"text.wav" in done.stderr

    def test_existing_files_are_kept(self, tiny_dir, clip, tmp_path):
        out = tmp_path / "codes.npz"
        out.write_text("precious")
        done = mimi("encode", clip, "-o", out, "--model", tiny_dir, code=FAILED)
        assert b"exists" in done.stderr
        assert b"-f" in done.stderr
        assert out.read_text() == "precious"
        mimi("encode", clip, "-o", out, "-f", "--model", tiny_dir)
        assert read_tokens(out).num_samples == 5000

    def test_a_failure_leaves_no_partial_file(self, tiny_dir, tmp_path):
        (tmp_path / "bad.wav").write_bytes(b"RIFF")
        out = tmp_path / "codes.npz"
        out.write_text("precious")
        mimi("encode", tmp_path / "bad.wav", "-o", out, "-f", "--model", tiny_dir, code=FAILED)
        assert out.read_text() == "precious"
        assert files(tmp_path) == {"bad.wav", "codes.npz"}

    def test_two_inputs_for_one_output(self, tiny_dir, clips, tmp_path):
        signals.write_wav(clips / "deep/a.wav", signals.noise(100))
        done = mimi(
            "encode", clips / "a.wav", clips / "deep/a.wav", "-o", tmp_path / "out", "--model", tiny_dir, code=FAILED
        )
        assert b"a.safetensors" in done.stderr
        assert read_tokens(tmp_path / "out/a.safetensors").num_samples == 1000

    def test_missing_input(self, tiny_dir, tmp_path):
        done = mimi("encode", tmp_path / "no.wav", "-o", tmp_path / "no.npz", "--model", tiny_dir, code=FAILED)
        assert b"no.wav" in done.stderr

    def test_missing_model(self, clip, tmp_path):
        done = mimi("encode", clip, "-o", tmp_path / "a.npz", "--model", tmp_path / "nowhere", code=FAILED)
        assert b"nowhere" in done.stderr

    def test_default_model_offline(self, clip, tmp_path):
        out = tmp_path / "a.npz"
        done = mimi("encode", clip, "-o", out, "--offline", code=FAILED, HF_HUB_CACHE=str(tmp_path / "empty"))
        assert b"kyutai/mimi" in done.stderr

    def test_too_many_codebooks(self, tiny_dir, clip, tmp_path):
        done = mimi("encode", clip, "-o", tmp_path / "a.npz", "-k", 7, "--model", tiny_dir, code=FAILED)
        assert b"num_codebooks" in done.stderr

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
            ["encode", "clip.wav", "-o", "out.npz", "--raw", "s16le"],
            ["encode", "clip.wav", "-", "-o", "out.npz"],
            ["encode", "clip.wav", "clip.wav", "-o", "-"],
            ["encode", "-", "-o", "-", "--json", "--raw", "f32le"],
            ["encode", "nothing", "-o", "out"],
            ["decode", "tokens.npz", "-o", "out.mp3"],
        ],
        ids=" ".join,
    )
    def test_wrong_usage(self, tiny_dir, tmp_path, arguments):
        signals.write_wav(tmp_path / "clip.wav", signals.noise(100))
        (tmp_path / "nothing").mkdir()
        model = ["--model", tiny_dir] if arguments[:1] == ["encode"] else []
        done = mimi(*arguments, *model, code=WRONG_USAGE, cwd=tmp_path)
        assert done.stderr
        assert done.stdout == b""
        assert files(tmp_path) == {"clip.wav"}

    def test_ctrl_c(self, tmp_path):
        """An interrupted command says so, ends with 130 and leaves nothing half done."""
        hour = np.zeros(3600 * RATE, "<i2")
        (tmp_path / "hour.raw").write_bytes(hour.tobytes())
        command = [
            sys.executable,
            "-m",
            "mimi_codec",
            "encode",
            "-",
            "--raw",
            "s16le",
            "-o",
            "hour.npz",
            "--model",
            "demo",
        ]
        with (
            open(tmp_path / "hour.raw", "rb") as source,
            subprocess.Popen(command, stdin=source, stderr=subprocess.PIPE, cwd=tmp_path) as run,
        ):
            try:
                time.sleep(3)  # past the start of Python and well inside the hour
                run.send_signal(signal.SIGINT)
                error = run.communicate(timeout=30)[1]
            finally:
                run.kill()
        assert run.returncode == INTERRUPTED
        assert error == b"mimi: interrupted\n"
        assert files(tmp_path) == {"hour.raw"}


class TestReports:
    def test_json(self, tiny_dir, clips, tmp_path):
        done = mimi("encode", clips, "-o", tmp_path / "out", "--json", "--model", tiny_dir)
        report = json.loads(done.stdout)
        assert report["command"] == "encode"
        assert report["failed"] == []
        first = report["files"][0]
        assert first["input"] == str(clips / "a.wav")
        assert first["output"] == str(tmp_path / "out/a.safetensors")
        assert (first["frames"], first["codebooks"], first["seconds"]) == (63, 6, pytest.approx(1000 / RATE))
        assert report["seconds_of_audio"] == pytest.approx((1000 + 1700 + 2400) / RATE, abs=1e-6)
        assert report["times_real_time"] > 0

    def test_summary_and_quiet(self, tiny_dir, clip, tmp_path):
        assert b"1 file" in mimi("encode", clip, "-o", tmp_path / "a.npz", "--model", tiny_dir).stderr
        done = mimi("encode", clip, "-o", tmp_path / "b.npz", "--model", tiny_dir, "-q")
        assert (done.stdout, done.stderr) == (b"", b"")

    def test_info_of_a_model(self, tiny_dir, demo):
        facts = json.loads(mimi("info", tiny_dir, "--json").stdout)
        expected = {"kind": "model", "layout": "transformers", "sample_rate": RATE, "frame_size": 16, "codebooks": 6}
        assert expected.items() <= facts.items()
        assert facts["config"]["hidden_size"] == 32
        text = mimi("info", "demo").stdout.decode()
        assert "12.5" in text
        assert str(demo.codebook_size) in text

    def test_info_of_tokens(self, tiny_dir, clip, tmp_path):
        for suffix in ("safetensors", "npz"):
            mimi("encode", clip, "-o", tmp_path / f"a.{suffix}", "--model", tiny_dir)
            facts = json.loads(mimi("info", tmp_path / f"a.{suffix}", "--json").stdout)
            expected = {"kind": "tokens", "samples": 5000, "frames": 313, "codebooks": 6, "bits_per_second": 45000.0}
            assert expected.items() <= facts.items()

    def test_info_of_sound(self, clip):
        facts = json.loads(mimi("info", clip, "--json").stdout)
        assert {"kind": "audio", "samples": 5000, "channels": 1, "sample_rate": RATE}.items() <= facts.items()

    def test_info_of_nothing(self, tmp_path):
        (tmp_path / "text.txt").write_text("nothing")
        for path in (tmp_path / "text.txt", tmp_path / "gone.safetensors", tmp_path):
            done = mimi("info", path, code=FAILED)
            assert done.stdout == b""

    def test_version(self):
        import mimi_codec

        assert mimi("--version").stdout.decode().strip() == f"mimi-codec {mimi_codec.__version__}"

    def test_script_is_the_module(self):
        """The installed `mimi` and `python -m mimi_codec` are one."""
        script = Path(sys.executable).with_name("mimi")
        if not script.exists():
            pytest.skip("installed without scripts")
        done = subprocess.run([script, "--version"], capture_output=True, timeout=WATCHDOG, check=True)
        assert done.stdout == mimi("--version").stdout


class TestDemo:
    def test_files_and_figures(self, demo, speech, tmp_path):
        done = mimi("demo", "-o", tmp_path / "out")
        made = {"codes.safetensors", "original.wav", "decoded.wav"}
        assert made <= files(tmp_path / "out") <= made | {"picture.png"}
        tokens = read_tokens(tmp_path / "out/codes.safetensors")
        codes = demo.encode(speech, num_codebooks=8)
        np.testing.assert_array_equal(tokens.codes, codes)
        np.testing.assert_array_equal(read(tmp_path / "out/original.wav"), speech)
        decoded = demo.decode(codes)[: len(speech)].clip(-1, 32767 / 32768)
        assert np.abs(read(tmp_path / "out/decoded.wav") - decoded).max() <= 0.5 / 32768  # rounding
        text = done.stdout.decode()
        assert "8 codebooks x 76 frames" in text
        assert "1000 bits per second" in text
        assert "times real time" in text

    def test_picture(self, tmp_path):
        pytest.importorskip("matplotlib")
        mimi("demo", "-o", tmp_path / "out")
        assert (tmp_path / "out/picture.png").read_bytes().startswith(b"\x89PNG")

    def test_without_matplotlib(self, run_python, tmp_path):
        run_python(
            """
            from mimi_codec.cli import main
            assert main(["demo", "-o", "out"]) == 0
            """,
            without=["matplotlib"],
        )
        assert files(tmp_path / "out") == {"codes.safetensors", "original.wav", "decoded.wav"}

    def test_again_from_another_directory(self, tmp_path):
        """The default output is beside the caller, and a second run replaces the first."""
        for _ in range(2):
            mimi("demo", "-k", 1, cwd=tmp_path)
        (made,) = tmp_path.iterdir()
        assert read_tokens(made / "codes.safetensors").num_codebooks == 1


def test_bench():
    done = mimi("bench", "--model", "demo", "--seconds", 1, "--frames", 5, "--repeats", 1, "--json")
    facts = json.loads(done.stdout)
    assert (facts["model"], facts["codebooks"], facts["threads"]) == ("demo", 8, 1)
    for name in ("encode_times_real_time", "decode_times_real_time", "load_seconds", "sessions_per_core"):
        assert facts[name] > 0
    assert facts["encode_frame_ms"]["median"] <= facts["encode_frame_ms"]["percentile_99"]
    table = mimi("bench", "--model", "demo", "--seconds", 1, "--frames", 5, "--repeats", 1).stdout.decode()
    assert "times real time" in table


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_weights_in_less(dtype, clip, tiny_dir, tmp_path):
    """--dtype is how every command keeps the weights."""
    facts = json.loads(
        mimi("bench", "--model", "demo", "--dtype", dtype, "--seconds", 1, "--frames", 2, "--json").stdout
    )
    assert facts["dtype"] == dtype
    mimi("encode", clip, "-o", tmp_path / "a.npz", "--model", tiny_dir, "--dtype", dtype)
    expected = Mimi.from_pretrained(tiny_dir, dtype=dtype).encode(read(clip))
    np.testing.assert_array_equal(read_tokens(tmp_path / "a.npz").codes, expected)
    assert b"int9" in mimi("encode", clip, "--model", tiny_dir, "--dtype", "int9", code=2).stderr


def test_bench_of_sessions(monkeypatch):
    """As many sessions as keep up with time, found by trying, and no more."""
    from mimi_codec.cli import bench

    def times(model, pcm, codebooks, sessions):
        return np.full(2, 9.0 + 5 * sessions), np.full(2, 10.0)

    monkeypatch.setattr(bench, "_frame_times", times)
    found = bench._sessions(Mimi.demo(), 8)
    assert max(sessions for sessions, longest in found.items() if longest <= 80) == 12  # 9 + 60 + 10
    assert found[12] == 79
    assert found[13] == 84
    monkeypatch.setattr(bench, "_frame_times", lambda *_: (np.full(2, 50.0), np.full(2, 50.0)))
    assert bench._sessions(Mimi.demo(), 8) == {1: 100.0}


def test_bench_prints_sessions(monkeypatch, capsys):
    from mimi_codec.cli import bench, main

    model = Mimi.demo()
    encoding, decoding = bench._frame_times(model, np.zeros(3 * 1920, np.float32), 8, 2)
    assert encoding.shape == decoding.shape == (3,)
    assert min(encoding.min(), decoding.min()) > 0
    monkeypatch.setattr(bench, "_frame_times", lambda *arguments: (np.full(2, 30.0 * arguments[3]), np.ones(2)))
    command = ["bench", "--model", "demo", "--seconds", "1", "--frames", "2", "--repeats", "1", "--sessions"]
    assert main(command) == 0
    assert "2 of one stream (at most: 1 in 31 ms, 2 in 61 ms, 3 in 91 ms, 4 in 121 ms)" in capsys.readouterr().out


def test_models_named_in_token_files_can_be_directories_of_a_past_run(tiny_dir, clip, tmp_path):
    """A relative path in a token file is that of the encoding process; --model names it anew."""
    mimi("encode", clip, "-o", tmp_path / "a.npz", "--model", tiny_dir.name, cwd=tiny_dir.parent)
    mimi("decode", tmp_path / "a.npz", "-o", tmp_path / "a.wav", "--model", tiny_dir, cwd=tmp_path)
    expected = Mimi.from_pretrained(tiny_dir).encode(read(clip))
    np.testing.assert_array_equal(read_tokens(tmp_path / "a.npz").codes, expected)
    assert len(read(tmp_path / "a.wav")) == 5000
