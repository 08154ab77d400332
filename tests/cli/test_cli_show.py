"""`mimi info` and `mimi tokens`: what files hold, one or many."""

import json

import numpy as np
import pytest
from command import FAILED, WRONG_USAGE, files, mimi

from mimi_codec import Tokens, read_tokens, write_tokens
from mimi_codec.token_files import KYUTAI, moshi_cpp

RATE = 24000
CODES = np.random.default_rng(1).integers(0, 2048, (8, 10))
FRAME = 1920


@pytest.fixture
def tokens(tmp_path):
    """Codes of kyutai/mimi that end within a frame."""
    write_tokens(tmp_path / "clip.safetensors", Tokens.of_codec(KYUTAI, CODES, 10 * FRAME - 700))
    return tmp_path / "clip.safetensors"


class TestInfo:
    def test_a_model(self, tiny_dir, demo):
        facts = json.loads(mimi("info", tiny_dir, "--json").stdout)
        expected = {"kind": "model", "layout": "transformers", "sample_rate": RATE, "frame_size": 16, "codebooks": 6}
        assert expected.items() <= facts.items()
        assert facts["config"]["hidden_size"] == 32
        text = mimi("info", "demo").stdout.decode()
        assert "12.5" in text
        assert str(demo.codebook_size) in text
        assert json.loads(mimi("info", "--model", tiny_dir, "--json").stdout) == facts
        assert json.loads(mimi("info", tiny_dir / "model.safetensors", "--json").stdout)["codebooks"] == 6

    @pytest.mark.parametrize("suffix", ["safetensors", "npz", "mcs"])
    def test_tokens(self, tiny_dir, clip, tmp_path, suffix):
        mimi("encode", clip, "-o", tmp_path / f"a.{suffix}", "--model", tiny_dir)
        facts = json.loads(mimi("info", tmp_path / f"a.{suffix}", "--json").stdout)
        expected = {"kind": "tokens", "samples": 5000, "frames": 313, "codebooks": 6, "bits_per_second": 45000.0}
        assert expected.items() <= facts.items()

    def test_files_of_moshi_cpp(self, tmp_path):
        (tmp_path / "a.mimi").write_bytes(moshi_cpp.to_bytes(CODES))
        facts = json.loads(mimi("info", tmp_path / "a.mimi", "--json").stdout)
        assert {"kind": "tokens", "frames": 10, "model": "kyutai/mimi"}.items() <= facts.items()

    @pytest.mark.parametrize("suffix", ["npy", "npz", "safetensors"])
    def test_bare_codes(self, tmp_path, suffix):
        from safetensors.numpy import save_file

        write = {"npy": np.save, "npz": np.savez, "safetensors": lambda path, array: save_file({"codes": array}, path)}
        write[suffix](tmp_path / f"a.{suffix}", CODES)
        facts = json.loads(mimi("info", tmp_path / f"a.{suffix}", "--json").stdout)
        assert facts == {"kind": "bare codes", "path": str(tmp_path / f"a.{suffix}"), "frames": 10, "codebooks": 8}

    def test_sound(self, clip):
        facts = json.loads(mimi("info", clip, "--json").stdout)
        assert {"kind": "audio", "samples": 5000, "channels": 1, "sample_rate": RATE}.items() <= facts.items()

    def test_a_directory(self, clips, tokens, tmp_path):
        done = mimi("info", tmp_path)
        text = done.stdout.decode()
        assert "clips/deep/b.wav: audio, 0.07 s, 24000 Hz, 1 channel" in text
        assert "clip.safetensors: tokens" in text
        seconds = (1000 + 1700 + 2400 + 10 * FRAME - 700) / RATE
        assert f"total: 4 files (1 tokens, 3 audio); {seconds:.2f} s, 10 frames" in text
        assert "1 .txt" in text
        report = json.loads(mimi("info", tmp_path, "--json").stdout)
        assert report["totals"]["kinds"] == {"tokens": 1, "audio": 3}
        assert report["totals"]["seconds"] == pytest.approx(seconds)
        assert report["totals"]["bytes"] == sum(path.stat().st_size for path in [*clips.rglob("*.[wW]*"), tokens])

    def test_several(self, clip, tokens, tiny_dir, tmp_path):
        (tmp_path / "bad.wav").write_text("not a sound")
        done = mimi("info", clip, tokens, tiny_dir, tmp_path / "bad.wav", tmp_path / "gone.wav", "--json", code=FAILED)
        report = json.loads(done.stdout)
        assert [facts["kind"] for facts in report["files"]] == ["model", "audio", "tokens"]
        assert len(report["failed"]) == 2
        assert "bad.wav" in done.stderr
        assert "gone.wav: No such file" in done.stderr

    def test_nothing(self, tmp_path):
        (tmp_path / "text.txt").write_text("nothing")
        for path in (tmp_path / "text.txt", tmp_path / "gone.safetensors"):
            assert mimi("info", path, code=FAILED).stdout == b""
        assert "1 .txt" in mimi("info", tmp_path, code=WRONG_USAGE).stderr


class TestTokens:
    def test_shows(self, tokens):
        text = mimi("tokens", tokens).stdout.decode()
        assert "8 codebooks of 2048, 10 frames at 12.5 Hz, 0.77 s" in text
        assert "1100 bits per second" in text
        assert " ".join(f"{code:4d}" for code in CODES[7, :8]) in text
        assert "total" not in text

    def test_statistics(self, tmp_path):
        write_tokens(tmp_path / "even.mcs", Tokens.of_codec(KYUTAI, np.array([[5, 5, 6, 6], [7, 7, 7, 7]])))
        facts = json.loads(mimi("tokens", tmp_path / "even.mcs", "--json").stdout)
        assert [row["codes_used"] for row in facts["rows"]] == [2, 1]
        assert [row["entropy_bits"] for row in facts["rows"]] == [1, 0]
        assert facts["entropy_bits_per_second"] == 12.5
        assert (facts["rows"][1]["most_frequent"], facts["rows"][1]["most_frequent_share"]) == (7, 1)

    @pytest.mark.parametrize("suffix", ["safetensors", "npz", "mcs", "mimi"])
    def test_converts(self, tokens, tmp_path, suffix):
        mimi("tokens", tokens, "-o", tmp_path / f"other.{suffix}")
        mimi("tokens", tmp_path / f"other.{suffix}", "-o", tmp_path / "back.npz")
        back = read_tokens(tmp_path / "back.npz")
        np.testing.assert_array_equal(back.codes, CODES)
        assert back.num_samples == 10 * FRAME - (0 if suffix == "mimi" else 700)  # which knows whole frames alone

    def test_directories_and_pipes(self, tokens, tmp_path):
        mimi("tokens", tmp_path, "-o", tmp_path / "out", "--format", "mcs")
        data = (tmp_path / "out/clip.mcs").read_bytes()
        piped = mimi("tokens", "-", "-o", "-", "--format", "mimi", stdin=data).stdout
        np.testing.assert_array_equal(moshi_cpp.from_bytes(piped), CODES)
        assert b"10 frames" in mimi("tokens", "-", stdin=data).stdout
        report = json.loads(mimi("tokens", tmp_path, "--json").stdout)
        assert len(report["files"]) == 2
        assert report["totals"] == {
            "files": 2,
            "kinds": {"tokens": 2},
            "seconds": pytest.approx(2 * (10 * FRAME - 700) / RATE),
            "frames": 20,
            "bytes": tokens.stat().st_size + len(data),
        }
        assert b"total: 2 files; 1.54 s, 20 frames" in mimi("tokens", tmp_path).stdout

    def test_the_report_has_the_name_of_the_command(self, tokens, tmp_path):
        done = mimi("tokens", tokens, "-o", tmp_path / "a.npz", "--json")
        assert json.loads(done.stdout)["command"] == "tokens"
        assert "converted 1 file" in mimi("tokens", tokens, "-o", tmp_path / "b.npz").stderr

    def test_a_part(self, tokens, tmp_path):
        mimi("tokens", tokens, "-o", tmp_path / "part.mcs", "-k", 3, "--frames", "2:6")
        part = read_tokens(tmp_path / "part.mcs")
        np.testing.assert_array_equal(part.codes, CODES[:3, 2:6])
        assert part.num_samples == 4 * FRAME
        assert json.loads(mimi("tokens", tokens, "--frames", "8:", "--json").stdout)["frames"] == 2

    @pytest.mark.parametrize(
        ("cut", "frames", "samples"),
        [
            (":", 10, 10 * FRAME - 700),
            ("8:", 2, 2 * FRAME - 700),
            ("9:10", 1, FRAME - 700),
            ("9:9", 0, 0),
            ("10:", 0, 0),
            (":9", 9, 9 * FRAME),
        ],
    )
    def test_a_part_that_ends_in_the_partial_frame(self, tokens, tmp_path, cut, frames, samples):
        """The clip's last frame holds fewer samples than others, and so does the part that it ends."""
        mimi("tokens", tokens, "-o", tmp_path / "part.npz", "--frames", cut)
        part = read_tokens(tmp_path / "part.npz")
        assert (part.num_frames, part.num_samples) == (frames, samples)

    def test_bare_codes(self, tmp_path, demo):
        """Taken for those of kyutai/mimi, or of the model that is named."""
        np.save(tmp_path / "a.npy", CODES[np.newaxis])
        mimi("tokens", tmp_path / "a.npy", "-o", tmp_path / "a.mcs")
        again = read_tokens(tmp_path / "a.mcs")
        np.testing.assert_array_equal(again.codes, CODES)
        assert (again.model, again.codebook_size) == ("kyutai/mimi", 2048)
        np.save(tmp_path / "b.npy", CODES % 1024)
        mimi("tokens", tmp_path / "b.npy", "-o", tmp_path / "b.mcs", "--model", "demo")
        assert read_tokens(tmp_path / "b.mcs").codec.codebook_size == demo.codebook_size

    def test_no_frames(self, tmp_path):
        write_tokens(tmp_path / "empty.npz", Tokens.of_codec(KYUTAI, np.zeros((2, 0), np.int64)))
        assert b"0 frames" in mimi("tokens", tmp_path / "empty.npz").stdout

    def test_wrong(self, tokens, tmp_path):
        assert "10 frames, asked for frames 2 to 11" in mimi("tokens", tokens, "--frames", "2:11", code=2).stderr
        assert "A:B" in mimi("tokens", tokens, "--frames", "2", code=WRONG_USAGE).stderr
        assert "--format" in mimi("tokens", tokens, "--format", "npz", code=WRONG_USAGE).stderr
        assert ".mimi" in mimi("tokens", tokens, "-o", tmp_path / "clip.txt", code=WRONG_USAGE).stderr
        (tmp_path / "bad.mcs").write_bytes(tokens.read_bytes()[:40])
        done = mimi("tokens", tmp_path / "bad.mcs", tmp_path / "nowhere.npz", tokens, code=FAILED)
        assert "bad.mcs: " in done.stderr
        assert "nowhere.npz: No such file" in done.stderr
        assert b"10 frames" in done.stdout
        assert b"2 failed" in done.stdout
        assert files(tmp_path) == {"clip.safetensors", "bad.mcs"}
