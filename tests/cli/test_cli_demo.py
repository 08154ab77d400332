"""`mimi demo`: its files, its figures and its picture; `mimi bench`."""

import json

import numpy as np
import pytest
from command import files, mimi, sound

from mimi_codec import Mimi, read_tokens
from mimi_codec.cli import bench, main
from mimi_codec.cli.measured import Measured


class TestDemo:
    def test_files_and_figures(self, demo, speech, tmp_path):
        done = mimi("demo", "-o", tmp_path / "out")
        made = {"codes.safetensors", "original.wav", "decoded.wav"}
        assert made <= files(tmp_path / "out") <= made | {"picture.png"}
        tokens = read_tokens(tmp_path / "out/codes.safetensors")
        codes = demo.encode(speech, num_codebooks=8)
        np.testing.assert_array_equal(tokens.codes, codes)
        np.testing.assert_array_equal(sound(tmp_path / "out/original.wav"), speech)
        decoded = demo.decode(codes)[: len(speech)].clip(-1, 32767 / 32768)
        assert np.abs(sound(tmp_path / "out/decoded.wav") - decoded).max() <= 0.5 / 32768  # rounding
        text = done.stdout.decode()
        assert "8 codebooks x 76 frames" in text
        assert "1000 bits per second" in text
        assert "times real time" in text
        assert "toy; kyutai/mimi sounds far better" in text

    def test_without_matplotlib(self, run_python, tmp_path):
        run_python(
            """
            from mimi_codec.cli import main
            assert main(["demo", "-o", "out"]) == 0
            """,
            without=["matplotlib", "pystoi"],
        )
        assert files(tmp_path / "out") == {"codes.safetensors", "original.wav", "decoded.wav"}

    def test_again_from_another_directory(self, tmp_path):
        """The default output is beside the caller, and a second run replaces the first."""
        for dtype in ("float32", "int8"):
            mimi("demo", "-k", 1, "--dtype", dtype, cwd=tmp_path)
        (made,) = tmp_path.iterdir()
        tokens = read_tokens(made / "codes.safetensors")
        expected = Mimi.demo(dtype="int8").encode(sound(made / "original.wav"), 1)
        np.testing.assert_array_equal(tokens.codes, expected)

    def test_a_place_that_cannot_be_written(self, clip):
        assert "cannot write" in mimi("demo", "-o", clip / "out", code=1).stderr

    def test_intelligibility(self, speech):
        pytest.importorskip("pystoi")
        from mimi_codec.cli.demo import intelligibility

        noise = np.random.default_rng(0).normal(0, 1, len(speech)).astype(np.float32)
        assert intelligibility(speech, speech, 24000) == pytest.approx(1)
        assert intelligibility(speech, noise, 24000) < 0.6  # that of the demo's own codes is 0.8


class TestPicture:
    @pytest.fixture
    def figure(self, demo, speech, monkeypatch, tmp_path):
        """The figure of a demo, as it was saved."""
        figure = pytest.importorskip("matplotlib.figure")
        saved = []
        save = figure.Figure.savefig

        def keep(self, *arguments, **options):
            saved.append(self)
            save(self, *arguments, **options)

        monkeypatch.setattr(figure.Figure, "savefig", keep)
        done = mimi("demo", "-o", tmp_path / "out")
        assert "picture.png" in done.stdout.decode()
        assert (tmp_path / "out/picture.png").read_bytes().startswith(b"\x89PNG")
        return saved[0]

    def test_says_what_it_shows(self, figure):
        title = figure.get_suptitle()
        assert "toy" in title
        assert "kyutai/mimi sounds far better" in title
        assert "1000 bits per second" in title
        assert "384 times less" in title
        assert [axes.get_title(loc="left") for axes in figure.axes][:2] == ["original", "decoded"]

    def test_empty_bands_are_left_out(self, figure):
        top = figure.axes[0].get_ylim()[1]
        assert 7 < top < 11  # kHz: the clip's speech ends there, and its file at 12

    def test_what_codes_do(self):
        from mimi_codec.cli import picture

        codes = np.array([[7, 7, 3, 7, 9, 9], [1, 2, 3, 4, 5, 1]])
        assert picture.kinds_of(codes).tolist() == [[3, 0, 1, 3, 2, 0], [2, 1, 1, 1, 1, 2]]
        assert len(picture.CODE_KINDS) == 4

    def test_the_highest_band(self):
        from mimi_codec.cli import picture

        quiet = np.full((100, 50), -90.0, np.float32)
        loud = quiet.copy()
        loud[:40] = -10
        loud[80, 3] = -10  # a click
        assert picture.highest_band([quiet, loud], -80) == 40


class TestBench:
    def test_figures(self):
        command = ["bench", "--model", "demo", "--seconds", 1, "--frames", 5, "--repeats", 1]
        facts = json.loads(mimi(*command, "--json", "--dtype", "int8").stdout)
        assert (facts["model"], facts["codebooks"], facts["threads"], facts["dtype"]) == ("demo", 8, 1, "int8")
        for name in ("encode_times_real_time", "decode_times_real_time", "load_seconds", "sessions_per_core"):
            assert facts[name] > 0
        assert facts["encode_frame_ms"]["median"] <= facts["encode_frame_ms"]["percentile_99"]
        assert b"times real time" in mimi(*command).stdout

    def test_sessions(self, monkeypatch):
        """As many sessions as keep up with time, found by trying, and no more."""

        def times(codec, pcm, sessions):
            return {"encode": np.full(2, 9.0 + 5 * sessions), "decode": np.full(2, 10.0)}

        monkeypatch.setattr(bench, "_frame_times", times)
        found = bench._sessions(Measured(Mimi.demo(), 8))
        assert max(sessions for sessions, longest in found.items() if longest <= 80) == 12  # 9 + 60 + 10
        assert found[12] == 79
        assert found[13] == 84
        monkeypatch.setattr(bench, "_frame_times", lambda *_: {"encode": np.full(2, 50.0), "decode": np.full(2, 50.0)})
        assert bench._sessions(Measured(Mimi.demo(), 8)) == {1: 100.0}

    def test_prints_sessions(self, monkeypatch, capsys):
        model = Mimi.demo()
        times = bench._frame_times(Measured(model, 8), np.zeros(3 * 1920, np.float32), 2)
        assert {name: taken.shape for name, taken in times.items()} == {"encode": (3,), "decode": (3,)}
        assert min(taken.min() for taken in times.values()) > 0

        def steady(codec, pcm, sessions):
            return {"encode": np.full(2, 30.0 * sessions), "decode": np.ones(2)}

        monkeypatch.setattr(bench, "_frame_times", steady)
        command = ["bench", "--model", "demo", "--seconds", "1", "--frames", "2", "--repeats", "1", "--sessions"]
        assert main(command) == 0
        assert "2 of one stream (at most: 1 in 31 ms, 2 in 61 ms, 3 in 91 ms, 4 in 121 ms)" in capsys.readouterr().out
