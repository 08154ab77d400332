"""Token files of every kind."""

import io
import struct

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
    known["kind"] = "mimi"
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
