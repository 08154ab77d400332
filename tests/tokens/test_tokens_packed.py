"""The packed bit stream: what goes in comes out, from anywhere, as it comes in, and never damaged without a word."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_layouts import codes

from mimi_codec import CodesError, ConfigError, LoadError, StreamError
from mimi_codec.token_files import PackedHeader, PackedReader, PackedWriter, StreamingReader
from mimi_codec.token_files.packed import BLOCK_FRAMES

SIZES = st.sampled_from([1, 2, 3, 32, 1000, 1024, 2048, 2049, 70000, 2**32])
FRAMES = st.one_of(st.integers(0, 12), st.integers(BLOCK_FRAMES - 2, BLOCK_FRAMES + 2), st.just(3 * BLOCK_FRAMES))


def pack(clip: np.ndarray, codebook_size: int = 2048, **fields) -> bytes:
    file = io.BytesIO()
    with PackedWriter(file, PackedHeader(len(clip), codebook_size, **fields)) as writer:
        writer.write(clip)
    return file.getvalue()


def read(data: bytes) -> np.ndarray:
    return PackedReader(io.BytesIO(data)).read()


def stream(data: bytes, cuts=()) -> np.ndarray:
    reader, parts, start = StreamingReader(), [], 0
    for stop in [*sorted(cuts), len(data)]:
        parts.append(reader.push(data[start:stop]))
        start = stop
    parts.append(reader.finish())
    return np.concatenate([part for part in parts if len(part)], 1)


class TestRoundtrip:
    @given(st.integers(1, 9), FRAMES, SIZES, st.data())
    def test_everything(self, count, frames, size, data):
        clip = codes((count, frames), 1, size)
        packed = pack(clip, size)
        np.testing.assert_array_equal(read(packed), clip)
        cuts = data.draw(st.lists(st.integers(0, len(packed)), max_size=6))
        np.testing.assert_array_equal(stream(packed, cuts), clip)

    @given(st.integers(1, 4), FRAMES, st.data())
    def test_chunks_of_any_length_make_the_same_bytes(self, count, frames, data):
        clip, file = codes((count, frames), 2, 2048), io.BytesIO()
        cuts = sorted(data.draw(st.lists(st.integers(0, frames), max_size=5)))
        with PackedWriter(file, PackedHeader(count)) as writer:
            for start, stop in zip([0, *cuts], [*cuts, frames], strict=True):
                writer.write(clip[:, start:stop])
        assert file.getvalue() == pack(clip)
        assert writer.num_frames == frames

    @given(FRAMES, st.data())
    def test_from_any_frame(self, frames, data):
        clip = codes((3, frames), 3, 2048)
        reader = PackedReader(io.BytesIO(pack(clip)))
        start = data.draw(st.integers(0, frames))
        stop = data.draw(st.integers(start, frames))
        np.testing.assert_array_equal(reader.read(start, stop), clip[:, start:stop])
        np.testing.assert_array_equal(reader.read(start), clip[:, start:])
        assert reader.num_frames == frames

    def test_a_prefix_of_the_codebooks_is_its_own_stream(self):
        clip = codes((8, 100), 4, 2048)
        np.testing.assert_array_equal(read(pack(clip[:3])), read(pack(clip))[:3])

    def test_the_header(self):
        header = PackedHeader(16, 1024, 25.0, 16000, "somewhere/mimi", "abc", 99)
        assert PackedHeader.from_bytes(header.to_bytes()) == header
        assert (header.bits_per_code, header.frame_bits, header.bits_per_second) == (10, 160, 4000)


class TestRate:
    def test_eleven_bits_a_code(self):
        header = PackedHeader(8)
        assert (header.bits_per_code, header.frame_bits, header.bits_per_second) == (11, 88, 1100)
        frames = 750  # a minute
        size = len(pack(codes((8, frames), 5, 2048))) - len(header.to_bytes())
        assert size == frames * 11 + 4 * (frames // BLOCK_FRAMES + 1)
        assert size * 8 / 60 < 1100 * 1.01

    @pytest.mark.parametrize(("size", "bits"), [(1, 1), (2, 1), (3, 2), (1024, 10), (1025, 11), (2048, 11), (2049, 12)])
    def test_bits(self, size, bits):
        assert PackedHeader(1, size).bits_per_code == bits

    @pytest.mark.parametrize("count", [4, 8, 32])
    def test_frames_come_out_at_once(self, count):
        """On a wire, the frame whose last byte has come is there, and the writer holds back less than a byte."""
        clip, wire, reader = codes((count, 130), 6, 2048), io.BytesIO(), StreamingReader()
        writer = PackedWriter(wire, PackedHeader(count))
        for frame in range(130):
            writer.write(clip[:, frame : frame + 1])
            got = reader.push(wire.getvalue())
            wire.seek(0)
            wire.truncate()
            if count % 8 == 0:
                np.testing.assert_array_equal(got, clip[:, frame : frame + 1])
            else:
                assert 0 <= frame + 1 - reader.num_frames <= 1
        writer.close()
        reader.push(wire.getvalue())
        reader.finish()
        assert reader.num_frames == 130

    def test_a_wire_of_single_bytes(self):
        clip = codes((1, 70), 7, 2048)
        np.testing.assert_array_equal(stream(data := pack(clip), range(len(data))), clip)


class TestDamage:
    CLIP = codes((2, 150), 8, 2048)

    def test_every_cut_is_noticed(self):
        data = pack(self.CLIP)
        for size in range(len(data)):
            with pytest.raises(LoadError, match=r"truncated|not a packed|check"):
                read(data[:size])
            with pytest.raises(LoadError):
                stream(data[:size])

    def test_every_flipped_bit_is_noticed(self):
        data = pack(self.CLIP[:, :70])
        for position in range(len(data)):
            broken = bytearray(data)
            broken[position] ^= 1 << position % 8
            with pytest.raises(LoadError):
                read(bytes(broken))
            with pytest.raises(LoadError):
                stream(bytes(broken))

    def test_damage_elsewhere_does_not_matter(self):
        """Only the blocks that are read are checked."""
        data = bytearray(pack(self.CLIP))
        data[len(PackedHeader(2).to_bytes())] ^= 1
        reader = PackedReader(io.BytesIO(bytes(data)))
        np.testing.assert_array_equal(reader.read(BLOCK_FRAMES), self.CLIP[:, BLOCK_FRAMES:])
        with pytest.raises(LoadError, match=r"frames 0 to 63"):
            reader.read(0, 1)

    def test_blocks_in_another_order(self):
        data, head = pack(self.CLIP), len(PackedHeader(2).to_bytes())
        size = BLOCK_FRAMES * 22 // 8 + 4
        swapped = data[:head] + data[head + size : head + 2 * size] + data[head : head + size] + data[head + 2 * size :]
        with pytest.raises(LoadError, match="check"):
            read(swapped)

    @pytest.mark.parametrize("data", [b"", b"MIMI" + bytes(20), b"RIFF" + bytes(99), b"\x89MCS", bytes(3)])
    def test_something_else(self, data):
        with pytest.raises(LoadError):
            read(data)
        with pytest.raises(LoadError):
            stream(data)

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"[]",
            b"{}",
            b'{"version":2}',
            b'{"version":1}',
            b'{"version":1,"num_codebooks":0}',
            b'{"version":1,"num_codebooks":"8"}',
            b'{"version":1,"num_codebooks":8,"frame_rate":NaN}',
            b'{"version":1,"num_codebooks":8,"more":1}',
            b"[" * 60000,
            b"\xff",
        ],
    )
    def test_headers_that_lie(self, text):
        head = b"\x89MCS\r\n\x1a\n" + struct.pack("<H", len(text)) + text
        with pytest.raises(LoadError, match=r"version|header"):
            read(head + struct.pack("<I", zlib.crc32(head)) + bytes(30))

    def test_codes_beyond_the_codebook(self):
        """Eleven bits can hold 2047 of a codebook of 2000; a reader finds it."""
        head = PackedHeader(1, 2000).to_bytes()
        block = b"\xff\x07"
        check = struct.pack("<I", zlib.crc32(block, zlib.crc32(bytes(8))))
        with pytest.raises(LoadError, match=r"2000, found 2047"):
            read(head + block + check)

    def test_more_samples_than_frames_hold(self):
        with pytest.raises(LoadError, match="2 frames cannot hold 9999 samples"):
            read(pack(self.CLIP[:, :2], num_samples=9999))

    def test_a_failed_writer_leaves_an_open_end(self):
        file = io.BytesIO()

        def fail():
            with PackedWriter(file, PackedHeader(2)) as writer:
                writer.write(self.CLIP)
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        with pytest.raises(LoadError, match="truncated"):
            read(file.getvalue())


class TestWrongInput:
    def test_codes(self):
        writer = PackedWriter(file := io.BytesIO(), PackedHeader(2))
        writer.write(codes((2, 3)))
        before = file.getvalue()
        for clip, message in [
            (codes((3, 1)), r"\(2, m\), got \(3, 1\)"),
            (codes((1, 2, 1)), r"got \(1, 2, 1\)"),
            (np.full((2, 1), 2048), "initial"),
            (np.full((2, 1), -1), "zero"),
            (np.full((2, 1), 9999), "9999"),
        ]:
            with pytest.raises(CodesError, match=message):
                writer.write(clip)
        assert (file.getvalue(), writer.num_frames) == (before, 3)
        writer.close()
        writer.close()
        np.testing.assert_array_equal(read(file.getvalue()), codes((2, 3)))
        with pytest.raises(StreamError, match="closed"):
            writer.write(codes((2, 1)))

    def test_frames_that_are_not_there(self):
        reader = PackedReader(io.BytesIO(pack(codes((2, 5)))))
        for start, stop in [(-1, 2), (3, 2), (0, 6), (6, None)]:
            with pytest.raises(CodesError, match="the stream has 5 frames"):
                reader.read(start, stop)

    def test_after_the_end(self):
        reader = StreamingReader()
        reader.push(pack(codes((2, 5))))
        reader.finish()
        for call in (lambda: reader.push(b"x"), reader.finish):
            with pytest.raises(StreamError, match="ended"):
                call()

    @pytest.mark.parametrize(
        "fields",
        [
            {"num_codebooks": 0},
            {"num_codebooks": 1.0},
            {"codebook_size": 2**33},
            {"sample_rate": -1},
            {"frame_rate": float("inf")},
            {"model": None},
            {"revision": 3},
            {"num_samples": -1},
        ],
    )
    def test_headers(self, fields):
        with pytest.raises(ConfigError, match=next(iter(fields))):
            PackedHeader(**{"num_codebooks": 8} | fields)

    def test_a_name_without_end(self):
        with pytest.raises(ConfigError, match="at most 4096 characters, got 70000"):
            PackedHeader(8, model="x" * 70000).to_bytes()
