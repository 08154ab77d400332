"""Token files of every kind: codes in range with metadata that agree, or a `LoadError` or `CodesError`."""

import io
import json
import random
import struct
import zipfile
import zlib

import numpy as np
from mutations import ODD_VALUES, json_bytes, some_bytes, some_json
from safetensors.numpy import save
from safetensors_parts import damaged

from mimi_codec.token_files import KYUTAI, StreamingReader, Tokens, read_tokens, write_tokens
from mimi_codec.token_files.formats import metadata

MAGIC, BLOCK_FRAMES, CHECK_BYTES = b"\x89MCS\r\n\x1a\n", 64, 4  # of packed streams
MOST_CODES = 1 << 20  # that a file of some kilobytes may hold


def seeds() -> dict[str, list[bytes]]:
    """Files as they should be, by format; in three of them also bare codes."""
    rng = np.random.default_rng(0)
    files: dict[str, list[bytes]] = {kind: [] for kind in CHANGES}
    for codebooks, frames, size in ((8, 5, 2048), (1, 0, 2048), (3, 70, 2048), (2, 130, 9), (2, 3, 70_000)):
        codes = rng.integers(0, size, (codebooks, frames))
        samples = max(0, frames * 1920 - 7)
        for kind in ("safetensors", "npz", "mcs", "mimi"):
            if kind != "mimi" or size == 2048:
                buffer = io.BytesIO()
                write_tokens(buffer, Tokens(codes, "kyutai/mimi", None, 24_000, 12.5, size, samples), kind)
                files[kind].append(buffer.getvalue())
        files["safetensors"].append(save({"audio_codes": codes[np.newaxis]}))
        for kind, write in (("npz", lambda file, array: np.savez(file, codes=array)), ("npy", np.save)):
            buffer = io.BytesIO()
            write(buffer, codes.astype("<u4"))
            files[kind].append(buffer.getvalue())
    return files


class TokenFiles:
    """`read_tokens`, and `StreamingReader` in pieces."""

    def __init__(self, kind: str) -> None:
        self.name = f"tokens-{kind}"
        self.files = seeds()[kind]
        self.others = [data for files in seeds().values() for data in files]
        self.change = CHANGES[kind]

    def make(self, rng: random.Random) -> tuple[bytes, int]:
        return self.change(rng, rng.choice(self.files), self.others), rng.randrange(1, 400)

    def check(self, case: tuple[bytes, int]) -> None:
        data, piece = case
        tokens = read_tokens(io.BytesIO(data), codec=KYUTAI)
        codes = tokens.codes
        assert codes.dtype == np.int64
        assert codes.ndim == 2
        assert codes.size <= MOST_CODES
        assert not codes.size or (codes.min() >= 0 and codes.max() < tokens.codebook_size)
        assert tokens.num_samples >= 0
        again = io.BytesIO()
        write_tokens(again, tokens, "safetensors")
        same = read_tokens(io.BytesIO(again.getvalue()))
        assert np.array_equal(same.codes, codes)
        assert metadata(same) == metadata(tokens)
        if data.startswith(MAGIC):
            reader = StreamingReader()
            parts = [reader.push(data[at : at + piece]) for at in range(0, len(data), piece)]
            parts = [part for part in (*parts, reader.finish()) if part.shape[0]]
            assert np.array_equal(np.concatenate(parts, axis=1) if parts else codes, codes)


def _packed(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Any bytes; or the description or a block changed, with checks that are right again."""
    choice = rng.random()
    if choice < 0.3:
        return some_bytes(rng, data, others)
    (size,) = struct.unpack_from("<H", data, len(MAGIC))
    start = len(MAGIC) + 2 + size
    text, blocks = data[len(MAGIC) + 2 : start], data[start + CHECK_BYTES :]
    if choice < 0.75:
        text = json_bytes(some_json(rng, json.loads(text)))[:65_535]
    if choice > 0.65:
        fields = json.loads(data[len(MAGIC) + 2 : start])
        width = max(8, fields["num_codebooks"] * (fields["codebook_size"] - 1).bit_length())
        blocks = _blocks(rng, blocks, BLOCK_FRAMES * width // 8)
    head = data[: len(MAGIC)] + struct.pack("<H", len(text)) + text
    return head + struct.pack("<I", zlib.crc32(head)) + blocks


def _blocks(rng: random.Random, blocks: bytes, size: int) -> bytes:
    pieces = [blocks[at : at + size + CHECK_BYTES] for at in range(0, len(blocks), size + CHECK_BYTES)]
    at = rng.randrange(len(pieces))
    held = some_bytes(rng, pieces[at][:-CHECK_BYTES], pieces) if len(pieces[at]) > CHECK_BYTES else rng.randbytes(3)
    check = zlib.crc32(held, zlib.crc32(struct.pack("<Q", at * BLOCK_FRAMES)))
    pieces[at] = held + struct.pack("<I", check)
    return b"".join(pieces)


def _npz(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Any bytes; or a member's array or bytes changed, in an archive whose checks are right again."""
    if rng.random() < 0.3:
        return some_bytes(rng, data, others)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = "codes.npy" if rng.random() < 0.4 else rng.choice(list(members))
    choice = rng.random()
    if choice < 0.1:
        del members[name]
    elif choice < 0.6:
        members[name] = some_bytes(rng, members[name], list(members.values()))
    else:
        members[name] = _array(rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return buffer.getvalue()


def _array(rng: random.Random) -> bytes:
    buffer = io.BytesIO()
    choice = rng.random()
    if choice < 0.5:
        value = rng.choice([value for value in ODD_VALUES if not isinstance(value, (list, dict, type(None)))])
        value = "9" * 5000 if value == "@long@" else value
        array = np.array(value if not isinstance(value, int) or abs(value) < 2**63 else str(value))
    else:
        shape = rng.choice([(), (0,), (3,), (0, 0), (0, 5), (5, 0), (2, 3), (1, 2, 3)])
        kind = rng.choice(["<u2", ">u2", "<i8", "u1", "<f4", "<c8", "?", "<U3", "S2", "<M8[s]", "<u8"])
        array = np.zeros(shape, kind) if rng.random() < 0.5 else np.ones(shape, "u1").astype(kind)
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


CHANGES = {"safetensors": damaged, "npz": _npz, "npy": some_bytes, "mcs": _packed, "mimi": some_bytes}
