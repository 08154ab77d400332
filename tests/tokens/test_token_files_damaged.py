"""Token files that lie about themselves: a short `LoadError` or `CodesError`, whatever they hold."""

import contextlib
import io
import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from token_layouts import codes

from mimi_codec import CodesError, ConfigError, LoadError, Tokens, read_tokens, write_tokens
from mimi_codec.token_files import KYUTAI, Codec, PackedHeader

LONGEST_MESSAGE = 600
HUGE = int("9" * 4000)
CODES = codes((2, 5), 1)


def message_of(data: bytes) -> str:
    """The text of the error that reading `data` ends in."""
    with pytest.raises((LoadError, CodesError)) as raised:
        read_tokens(io.BytesIO(data))
    text = str(raised.value)
    assert 0 < len(text) < LONGEST_MESSAGE
    return text


def whole(file_format: str = "safetensors") -> bytes:
    file = io.BytesIO()
    write_tokens(file, Tokens.of_codec(KYUTAI, CODES), file_format)
    return file.getvalue()


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def changed(**entry) -> bytes:
    """A whole file whose entry of the codes is another."""
    data = whole()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size])
    header["codes"] |= entry
    return safetensors(header, data[8 + size :])


def described(**fields) -> bytes:
    """A whole file with other metadata."""
    data = whole()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] |= fields
    return safetensors(header, data[8 + size :])


class TestSafetensors:
    @pytest.mark.parametrize(
        "entry",
        [
            {"shape": ["2", "5"]},
            {"shape": "25"},
            {"shape": [2.0, 5.0]},
            {"shape": [-2, -5]},
            {"shape": [float("inf"), 5]},
            {"shape": [float("nan"), 5]},
            {"shape": [HUGE, 5]},
            {"shape": [2**40, 2**40]},
            {"shape": None},
            {"shape": [[2], 5]},
            {"shape": [1] * 69 + [10]},
            {"data_offsets": ["0", "20"]},
            {"data_offsets": [0.0, 20.0]},
            {"data_offsets": [0, float("inf")]},
            {"data_offsets": [0, HUGE]},
            {"data_offsets": [-20, 0]},
            {"data_offsets": [20, 0]},
            {"data_offsets": [0]},
            {"data_offsets": {}},
            {"dtype": "F99"},
            {"dtype": ["U16"]},
            {"dtype": 16},
            {"dtype": "F32"},
            {"dtype": "x" * 100_000},
        ],
        ids=lambda entry: str(entry)[:40],
    )
    def test_entries(self, entry):
        message_of(changed(**entry))

    @pytest.mark.parametrize(
        "header",
        [
            b"",
            b"{",
            b"[" * 100_000,
            b'"text"',
            b"\xff\xfe",
            {"codes": "text"},
            {"codes": None},
            {"codes": 1e999},
            {"__metadata__": {"format": 1}},
            {"__metadata__": []},
            {"x" * 100_000: {"dtype": "U16", "shape": [1], "data_offsets": [0, 2]}},
        ],
        ids=lambda header: str(header)[:30],
    )
    def test_headers(self, header):
        message_of(safetensors(header))

    @pytest.mark.parametrize("size", [0, 2**31, 2**63, 2**64 - 1])
    def test_lengths(self, size):
        message_of(struct.pack("<Q", size) + b"{}")

    @pytest.mark.parametrize("name", ["sample_rate", "frame_rate", "codebook_size", "num_samples"])
    @pytest.mark.parametrize(
        "value", ["", "x" * 100_000, "nan", "-inf", "inf", "0.0", "-3", "9" * 4000, "9" * 5000, "1e-320"]
    )
    def test_metadata(self, name, value):
        message_of(described(**{name: value}))

    def test_a_name_that_is_a_book(self):
        message_of(described(model="x" * 100_000))
        message_of(described(axes="x" * 100_000))

    def test_cut_short(self):
        data = whole()
        for size in (0, 1, 7, 8, 9, len(data) // 2, len(data) - 1):
            message_of(data[:size])
        message_of(data + b"more")


def npz(**arrays: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in arrays.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def headed(header: str, data: bytes = b"") -> bytes:
    """An `.npy` file with any text as its header."""
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


class TestNpz:
    def test_a_bomb(self):
        """Zeros that pack to a thousandth are more than codes can be; what nobody reads is not unpacked."""
        big = npy(np.zeros(100 << 20, np.uint8))
        fields = {name: npy(np.array(value)) for name, value in (("format", "mimi-codec-tokens"), ("axes", "x"))}
        files = [npz(codes=big), npz(codes=npy(CODES), unread=big)]
        tracemalloc.start()
        assert "unpacks to more than" in message_of(files[0])
        assert read_tokens(io.BytesIO(files[1]), codec=KYUTAI).num_frames == 5
        assert tracemalloc.get_traced_memory()[1] < 2 << 20  # what the files themselves take, not 100 MiB
        tracemalloc.stop()
        message_of(npz(codes=big, **fields))

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"text",
            headed("{}"),
            headed("{'descr': '<i8', 'fortran_order': False, 'shape': (999999999999, 8)}"),
            headed("{'descr': '<i8', 'fortran_order': False, 'shape': (-1, 8)}", bytes(8)),
            headed("{'descr': '|O', 'fortran_order': False, 'shape': (1, 1)}", bytes(8)),
            headed("{'descr': '<U0', 'fortran_order': False, 'shape': (999999999999,)}"),
            headed("{'descr': '<i8', 'fortran_order': False, 'shape': (%s, 0)}" % ("9" * 30)),
            headed("{'descr': '<i8', 'fortran_order': False, 'shape': (%s)}" % ("1, " * 70), bytes(8)),
            headed("[" * 5000),
            headed("9" * 9000),
        ],
        ids=lambda data: str(data)[20:60],
    )
    def test_arrays(self, data):
        message_of(npz(codes=data))
        message_of(npz(format=data, codes=npy(CODES)))

    @pytest.mark.parametrize("field", ["format", "axes", "model", "sample_rate"])
    @pytest.mark.parametrize("length", [1, 2])
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("point", [0xD800, 0x110000, 0x40010000, 0xFFFFFFFF])
    def test_text_that_is_not_unicode(self, field, length, order, point):
        header = f"{{'descr': '{order}U{length}', 'fortran_order': False, 'shape': ()}}"
        text = headed(header, struct.pack(f"{order}I", point) * length)
        with zipfile.ZipFile(io.BytesIO(whole("npz"))) as archive:
            members = {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}
        assert f"{field} is not text" in message_of(npz(**members | {field: text}))

    def test_cut_short_and_flipped(self):
        data = whole("npz")
        for size in (2, 10, len(data) // 2, len(data) - 1):
            message_of(data[:size])
        rng = np.random.default_rng(0)
        for _ in range(200):
            damaged = bytearray(data)
            damaged[rng.integers(2, len(data))] ^= 1 << rng.integers(8)
            with contextlib.suppress(LoadError, CodesError):
                read_tokens(io.BytesIO(bytes(damaged)))


class TestPacked:
    @pytest.mark.parametrize(
        "fields",
        [
            {"frame_rate": float("inf")},
            {"frame_rate": 5e-324},
            {"frame_rate": 10**400},
            {"frame_rate": "12.5"},
            {"sample_rate": HUGE},
            {"sample_rate": 24000.0},
            {"num_codebooks": 0},
            {"codebook_size": -1},
            {"num_samples": HUGE, "model": 3},
            {"model": "x" * 60_000},
            {"x" * 60_000: 1},
            {"version": "x" * 60_000},
        ],
        ids=lambda fields: str(fields)[:30],
    )
    def test_descriptions(self, fields):
        import zlib

        text = json.dumps({"version": 1, "num_codebooks": 2, "codebook_size": 32} | fields).encode()
        head = PackedHeader(2).to_bytes()[:8] + struct.pack("<H", len(text)) + text
        message_of(head + struct.pack("<I", zlib.crc32(head)) + struct.pack("<I", zlib.crc32(bytes(8))))


class TestBare:
    """Arrays of codes alone."""

    @pytest.mark.parametrize(
        "kind", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, ">i4"]
    )
    @pytest.mark.parametrize("suffix", ["npy", "npz", "safetensors"])
    @pytest.mark.parametrize("batched", [False, True])
    def test_roundtrip(self, kind, suffix, batched):
        from safetensors.numpy import save

        array = (CODES[np.newaxis] if batched else CODES).astype(kind)
        native = array.astype(array.dtype.newbyteorder("="))
        data = {"npy": npy(array), "npz": npz(anything=npy(array)), "safetensors": save({"audio_codes": native})}[
            suffix
        ]
        tokens = read_tokens(io.BytesIO(data), codec=Codec("mine", "abc", codebook_size=64))
        np.testing.assert_array_equal(tokens.codes, CODES)
        assert (tokens.model, tokens.revision, tokens.codebook_size, tokens.num_samples) == (
            "mine",
            "abc",
            64,
            5 * 1920,
        )
        with pytest.raises(LoadError, match="name the model"):
            read_tokens(io.BytesIO(data))

    def test_columns_first(self):
        tokens = read_tokens(io.BytesIO(npy(np.asfortranarray(CODES))), codec=KYUTAI)
        np.testing.assert_array_equal(tokens.codes, CODES)

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (np.zeros((2, 5)), "float64"),
            (np.zeros((2, 2, 5), int), r"\(2, 2, 5\)"),
            (np.zeros(5, int), r"\(5,\)"),
            (np.zeros((500, 8), int), r"transpose it to \(8, 500\)"),
            (np.full((8, 5), 2048), "between 0 and 2047"),
            (np.full((8, 5), -1), "between 0 and 2047"),
            (np.full((8, 5), 2**64 - 1, np.uint64), "below"),
        ],
    )
    def test_refused(self, array, message):
        with pytest.raises((LoadError, CodesError), match=message):
            read_tokens(io.BytesIO(npy(array)), codec=KYUTAI)

    def test_which_array(self):
        one, other = npy(CODES), npy(CODES + 1)
        assert read_tokens(io.BytesIO(npz(a=one, codes=other)), codec=KYUTAI).codes[0, 0] == CODES[0, 0] + 1
        with pytest.raises(LoadError, match="found 'a', 'b'"):
            read_tokens(io.BytesIO(npz(a=one, b=other)), codec=KYUTAI)
        with pytest.raises(LoadError, match="found nothing"):
            read_tokens(io.BytesIO(npz()), codec=KYUTAI)


@pytest.mark.parametrize(
    "fields",
    [
        {"sample_rate": 0},
        {"sample_rate": 24000.0},
        {"sample_rate": HUGE},
        {"frame_rate": float("nan")},
        {"frame_rate": 0},
        {"frame_rate": True},
        {"codebook_size": 0},
        {"model": 5},
        {"revision": 5},
    ],
    ids=lambda fields: str(fields)[:30],
)
def test_codecs_that_cannot_be(fields):
    with pytest.raises(ConfigError) as raised:
        Codec(**{"model": "mine"} | fields)
    assert len(str(raised.value)) < LONGEST_MESSAGE
