"""Packed files of a model of 16 KB: right numbers, or an error, also where a damaged description is sealed again."""

import json
import random
import shutil
import zlib

import numpy as np
from mutations import json_bytes, some_json
from safetensors_parts import damaged, join, split
from target_model import PCM, load_model, memory_directory

from mimi_codec import Mimi, check_packed
from mimi_codec.errors import LoadError, NumericError


def sealed(data: bytes, rng: random.Random) -> bytes:
    """A file whose description is changed, with a checksum that is right again."""
    header, body = split(data)
    fields = json.loads(header)
    description = json.loads(fields["__metadata__"]["mimi_packed"][9:])
    part = rng.choice(["config", "config", None])
    if part:
        description[part] = some_json(rng, description[part])
    else:
        description = some_json(rng, description)
    text = json_bytes(description).decode(errors="replace")
    fields["__metadata__"]["mimi_packed"] = f"{zlib.crc32(text.encode()):08x} {text}"
    changed = json_bytes(fields)
    return join(changed + b" " * (-(8 + len(changed)) % 64), body)


class PackedFiles:
    """`Mimi.from_pretrained` and `check_packed` of a packed file that is damaged."""

    name = "packed"

    def __init__(self) -> None:
        self.directory = memory_directory()
        self.path = self.directory / "packed"
        load_model().save(self.path, packed=True)
        self.whole = self.path.read_bytes()
        self.path.chmod(0o644)

    def close(self) -> None:
        shutil.rmtree(self.directory)

    def make(self, rng: random.Random) -> bytes:
        if rng.random() < 0.4:
            return sealed(self.whole, rng)
        return damaged(rng, self.whole, [self.whole])

    def check(self, case: bytes) -> None:
        self.path.write_bytes(case)
        try:
            check_packed(self.path)
        except LoadError:
            right = False
        else:
            right = True
        mimi = Mimi.from_pretrained(self.path)
        try:
            codes = mimi.encode(PCM)
            assert ((codes >= 0) & (codes < mimi.codebook_size)).all()
            assert np.isfinite(mimi.decode(codes)).all()
        except NumericError:
            assert not right, "weights that are right overflow"
            raise
