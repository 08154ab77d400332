"""Weights and saved states of a model of 16 KB: right numbers, or an error that leaves all as it was."""

import json
import random
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mutations import json_bytes, some_bytes, some_json
from safetensors_parts import damaged, join, split

from mimi_codec import Mimi
from mimi_codec.config import MimiConfig
from mimi_codec.errors import MimiError, StreamError
from mimi_codec.synthetic import write_synthetic

CODEBOOKS, SIZE, HOP = 3, 8, 8
PCM = (np.sin(np.arange(21, dtype=np.float32)) / 3).astype(np.float32)


def write_model(directory: Path) -> Path:
    """The smallest model with every kind of layer."""
    config = MimiConfig(
        num_filters=2,
        upsampling_ratios=[2, 2],
        kernel_size=3,
        last_kernel_size=3,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=8,
        sliding_window=4,
        codebook_size=SIZE,
        codebook_dim=4,
        vector_quantization_hidden_dimension=4,
        num_quantizers=CODEBOOKS,
        upsample_groups=8,
    )
    return write_synthetic(directory, config)


def load_model() -> Mimi:
    """The model of `write_model`; nothing is left on the disk."""
    directory = memory_directory()
    try:
        return Mimi.from_pretrained(write_model(directory))
    finally:
        shutil.rmtree(directory)


def memory_directory() -> Path:
    """A directory in memory where there is one: a campaign writes a million files."""
    shared = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="mimi-fuzz-", dir=shared if shared.is_dir() else None))


class Weights:
    """`Mimi.from_pretrained` of a directory whose weights, index or configuration are damaged."""

    name = "weights"

    def __init__(self, write: Callable[[Path], Path] = write_model) -> None:
        self.directory = memory_directory()
        write(self.directory)
        self.config = (self.directory / "config.json").read_bytes()
        self.weights = (self.directory / "model.safetensors").read_bytes()
        (size,) = struct.unpack_from("<Q", self.weights)
        names = [name for name in json.loads(self.weights[8 : 8 + size]) if name != "__metadata__"]
        self.index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, "shard.safetensors")}

    def close(self) -> None:
        shutil.rmtree(self.directory)

    def make(self, rng: random.Random) -> tuple[bytes, bytes, bytes | None]:
        """The configuration, the weights, and the index if there is one."""
        choice = rng.random()
        config, weights, index = self.config, self.weights, None
        if choice < 0.15:
            config = json_bytes(some_json(rng, json.loads(config)))
        elif choice < 0.2:
            config = some_bytes(rng, config, [config])
        elif choice < 0.3:
            index = json_bytes(some_json(rng, self.index))
        else:
            weights = damaged(rng, weights, [weights, config])
        return config, weights, index

    def check(self, case: tuple[bytes, bytes, bytes | None]) -> None:
        config, weights, index = case
        (self.directory / "config.json").write_bytes(config)
        name, other = "model.safetensors", self.directory / "model.safetensors.index.json"
        if index is None:
            other.unlink(missing_ok=True)
        else:
            (self.directory / name).unlink(missing_ok=True)
            other.write_bytes(index)
            name = "shard.safetensors"
        (self.directory / name).write_bytes(weights)
        self.use()

    def use(self) -> None:
        mimi = Mimi.from_pretrained(self.directory)
        codes = mimi.encode(PCM)
        assert ((codes >= 0) & (codes < mimi.codebook_size)).all()
        assert np.isfinite(mimi.decode(codes)).all()


def _sealed(state: bytes, change: Callable[[str], str] = str) -> bytes:
    """A state whose checksum is right again, after a change to its description; as it is if it has neither."""
    try:
        header, body = split(state)
        fields = json.loads(header)
        entry = fields["__metadata__"]["mimi_stream"]
        text = change(entry[entry.index("{") :])
        fields["__metadata__"]["mimi_stream"] = f"{zlib.crc32(body, zlib.crc32(text.encode())):08x} {text}"
        return join(json_bytes(fields), body)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError, struct.error):
        return state


class States:
    """`load` of a damaged state, by an encoder or a decoder of two rows."""

    name = "states"

    def __init__(self) -> None:
        self.mimi = load_model()
        self.pcm = np.stack([PCM, -PCM])[:, None]
        self.codes = np.stack([self.mimi.encode(PCM)] * 2)
        encoder, decoder = self.streams()
        self.states: list[tuple[str, bytes]] = []
        for step in range(4):
            self.states += [("encoder", encoder.save()), ("decoder", decoder.save())]
            encoder.push(self.pcm[..., : 7 * step + 3], active=np.array([True, step != 1]))
            decoder.push(self.codes[..., :step], active=np.array([True, step != 1]))
        encoder.flush(active=np.array([False, True]))
        self.states.append(("encoder", encoder.save()))
        self.others = [state for _, state in self.states]

    def streams(self):
        return self.mimi.encoder_stream(batch_size=2), self.mimi.decoder_stream(batch_size=2)

    def make(self, rng: random.Random) -> tuple[str, bytes]:
        kind, state = rng.choice(self.states)
        choice = rng.random()
        if choice < 0.1:
            return kind, _sealed(state, lambda text: json_bytes(some_json(rng, json.loads(text))).decode())
        state = damaged(rng, state, self.others)
        return kind, _sealed(state) if choice < 0.7 else state

    def check(self, case: tuple[str, bytes]) -> None:
        kind, state = case
        stream = self.mimi.encoder_stream(batch_size=2) if kind == "encoder" else self.mimi.decoder_stream(batch_size=2)
        before = stream.save()
        try:
            stream.load(state)
        except StreamError:
            assert stream.save() == before, "a state that was refused has changed the stream"
            raise
        taken = stream.save()
        stream.load(taken)
        try:
            if kind == "encoder":
                codes = stream.push(self.pcm)
                assert ((codes >= -1) & (codes < SIZE)).all()
            else:
                assert np.isfinite(stream.push(self.codes)).all()
        except MimiError:
            assert stream.save() == taken, "a push that was refused has changed the stream"
        stream.load(stream.save())
        stream.reset()
        assert stream.save() == before, "a reset is not a fresh stream"
