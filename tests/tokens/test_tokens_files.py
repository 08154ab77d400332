"""Token files of every kind, and `mimi tokens`."""

import io
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from token_layouts import codes

from mimi_codec import CodesError, LoadError, Tokens
from mimi_codec.token_files import moshi_cpp, read_tokens, write_tokens
from mimi_codec.token_files.formats import metadata

SUFFIXES = ["safetensors", "npz", "mcs", "mimi"]
SAMPLES = 10 * 1920


def tokens_of(clip: np.ndarray, samples: int | None = None, **fields) -> Tokens:
    samples = clip.shape[1] * 1920 if samples is None else samples
    known = {"model": "kyutai/mimi", "revision": None, "sample_rate": 24000, "frame_rate": 12.5, "codebook_size": 2048}
    return Tokens(codes=clip, num_samples=samples, **known | fields)


@pytest.fixture
def tokens() -> Tokens:
    return tokens_of(codes((8, 10), 1, 2048))


def same(a: Tokens, b: Tokens) -> bool:
    return metadata(a) == metadata(b) and np.array_equal(a.codes, b.codes)


class TestFiles:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_roundtrip(self, tokens, tmp_path, suffix):
        write_tokens(tmp_path / f"clip.{suffix}", tokens)
        assert same(read_tokens(tmp_path / f"clip.{suffix}"), tokens)
        buffer = io.BytesIO((tmp_path / f"clip.{suffix}").read_bytes())
        assert same(read_tokens(buffer), tokens)

    def test_a_clip_that_ends_within_a_frame(self, tmp_path):
        short = tokens_of(codes((8, 10), 1, 2048), SAMPLES - 700, revision="abc", model="elsewhere")
        for suffix in SUFFIXES[:3]:
            write_tokens(tmp_path / f"clip.{suffix}", short)
            assert same(read_tokens(tmp_path / f"clip.{suffix}"), short)

    def test_no_frames(self, tmp_path):
        for suffix in SUFFIXES:
            write_tokens(tmp_path / f"clip.{suffix}", tokens_of(np.zeros((8, 0), np.int64)))
            assert read_tokens(tmp_path / f"clip.{suffix}").codes.shape == (8, 0)

    def test_the_command_lines_own_files(self, tokens, tmp_path):
        write_tokens(tmp_path / "clip.npz", tokens)
        assert same(read_tokens(tmp_path / "clip.npz"), tokens)

    def test_wrong(self, tokens, tmp_path):
        with pytest.raises(LoadError, match=r"\.mcs, \.mimi.*clip\.txt"):
            write_tokens(tmp_path / "clip.txt", tokens)
        small = tokens_of(codes((8, 2), 1), codebook_size=32)
        with pytest.raises(CodesError, match=r"2048.*32"):
            write_tokens(tmp_path / "clip.mimi", small)
        assert not list(tmp_path.iterdir())
        for data in (b"", b"nothing of the kind", b"PK\x03\x04"):
            with pytest.raises(LoadError):
                read_tokens(io.BytesIO(data))


class TestMoshiCpp:
    def test_the_layout(self):
        """As `mimi-encode` of moshi.cpp writes it."""
        data = b"MIMI" + struct.pack("<i", 2) + struct.pack("<6h", 1, 2, 3, 4, 5, 2047)
        clip = moshi_cpp.from_bytes(data)
        assert clip.tolist() == [[1, 3, 5], [2, 4, 2047]]
        assert moshi_cpp.to_bytes(clip) == data

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "begin with"),
            (b"MIM", "begin with"),
            (b"MIMI\x01", "header takes 8 bytes, found 5"),
            (b"MIMI" + struct.pack("<i", 0), "found 0"),
            (b"MIMI" + struct.pack("<i", -5), "found -5"),
            (b"MIMI" + struct.pack("<i", 33), "found 33"),
            (b"MIMI" + struct.pack("<i", 2) + bytes(7), "found 3 more after 1 frames"),
            (b"MIMI" + struct.pack("<ih", 1, 2048), "2048.*codebook 0 of frame 0"),
            (b"MIMI" + struct.pack("<ih", 1, -7), "-7"),
        ],
    )
    def test_damage(self, data, message):
        with pytest.raises(LoadError, match=message):
            moshi_cpp.from_bytes(data)

    def test_what_it_cannot_hold(self):
        with pytest.raises(CodesError, match=r"\(33, 1\)"):
            moshi_cpp.to_bytes(codes((33, 1)))
        with pytest.raises(CodesError, match="zero"):
            moshi_cpp.to_bytes([[-1]])


def mimi(*arguments, stdin: bytes = b"", code: int = 0) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mimi_codec", "tokens", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=120, env=os.environ)
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


class TestCommand:
    @pytest.fixture
    def clip(self, tokens, tmp_path):
        write_tokens(tmp_path / "clip.safetensors", tokens)
        return tmp_path / "clip.safetensors"

    def test_shows(self, clip, tokens):
        text = mimi(clip).stdout.decode()
        assert "8 codebooks of 2048, 10 frames at 12.5 Hz, 0.80 s" in text
        assert "1100 bits per second" in text
        assert " ".join(f"{code:4d}" for code in tokens.codes[7, :8]) in text

    def test_statistics(self, tmp_path):
        write_tokens(tmp_path / "even.mcs", tokens_of(np.array([[5, 5, 6, 6], [7, 7, 7, 7]])))
        facts = json.loads(mimi(tmp_path / "even.mcs", "--json").stdout)
        assert [row["codes_used"] for row in facts["rows"]] == [2, 1]
        assert [row["entropy_bits"] for row in facts["rows"]] == [1, 0]
        assert facts["entropy_bits_per_second"] == 12.5
        assert (facts["rows"][1]["most_frequent"], facts["rows"][1]["most_frequent_share"]) == (7, 1)

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_converts(self, clip, tokens, tmp_path, suffix):
        mimi(clip, "-o", tmp_path / f"other.{suffix}")
        assert same(read_tokens(tmp_path / f"other.{suffix}"), tokens)
        mimi(tmp_path / f"other.{suffix}", "-o", tmp_path / "back.npz")
        assert same(read_tokens(tmp_path / "back.npz"), tokens)

    def test_directories_and_pipes(self, clip, tokens, tmp_path):
        mimi(tmp_path, "-o", tmp_path / "out", "--format", "mcs")
        data = (tmp_path / "out/clip.mcs").read_bytes()
        piped = mimi("-", "-o", "-", "--format", "mimi", stdin=data).stdout
        np.testing.assert_array_equal(moshi_cpp.from_bytes(piped), tokens.codes)
        assert b"10 frames" in mimi("-", stdin=data).stdout
        assert len(json.loads(mimi(tmp_path, "--json").stdout)) == 2

    def test_a_part(self, clip, tokens, tmp_path):
        mimi(clip, "-o", tmp_path / "part.mcs", "-k", 3, "--frames", "2:6")
        part = read_tokens(tmp_path / "part.mcs")
        np.testing.assert_array_equal(part.codes, tokens.codes[:3, 2:6])
        assert part.num_samples == 4 * 1920
        assert json.loads(mimi(clip, "--frames", "8:", "--json").stdout)["frames"] == 2

    def test_no_frames(self, tmp_path):
        write_tokens(tmp_path / "empty.npz", tokens_of(np.zeros((2, 0), np.int64)))
        assert b"0 frames" in mimi(tmp_path / "empty.npz").stdout

    def test_wrong(self, clip, tmp_path):
        assert b"8 codebooks, asked for 9" in mimi(clip, "-k", 9, code=1).stderr
        assert b"10 frames, asked for 2:11" in mimi(clip, "--frames", "2:11", code=1).stderr
        assert b"A:B" in mimi(clip, "--frames", "2", code=2).stderr
        assert b"--format" in mimi(clip, "--format", "npz", code=2).stderr
        assert b"exists" in mimi(clip, "-o", clip, code=1).stderr
        assert b".mimi" in mimi(clip, "-o", tmp_path / "clip.txt", code=1).stderr
        (tmp_path / "bad.mcs").write_bytes(clip.read_bytes()[:40])
        done = mimi(tmp_path / "bad.mcs", tmp_path / "nowhere.npz", clip, code=1)
        assert b"bad.mcs: " in done.stderr
        assert b"nowhere.npz: No such file" in done.stderr
        assert b"10 frames" in done.stdout
