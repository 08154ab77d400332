"""Clips for the tests of corpora, and what is to come of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

import signals
from mimi_codec import read_sound
from mimi_codec.corpora import Row, read_rows

K = 8
SHARDS = 5


def make_clips(root: Path, count: int = 24) -> Path:
    for number in range(count):
        path = root / f"speaker{number % 3}" / f"clip{number // 3}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        pcm = signals.noise(1000 + 1777 * number, seed=number)
        rate = 24000 if number % 4 else 16000
        if number % 5 == 0:
            signals.write_wav(path, np.stack([pcm, 0.5 * pcm[::-1]], axis=1), rate, channels=2)
        else:
            signals.write_wav(path, pcm, rate)
    return root


def ids_of(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def shards_of(out: Path) -> dict[str, bytes]:
    """The bytes of all shards by name. Nothing else may lie beside them."""
    return {path.name: path.read_bytes() for path in sorted((out / "data").iterdir())}


def expected(model, path: Path, channels="mix", latents: bool = False) -> list[np.ndarray]:
    """What `encode` alone makes of a file: one array, or one for each channel."""
    pcm = np.atleast_2d(read_sound(path, model.sample_rate, channels=channels).samples)
    if latents:
        return [model.encode_latents(row).T for row in pcm]
    return [model.encode(row, num_codebooks=K) for row in pcm]


def check(out: Path, root: Path, model, failed: set[str] = frozenset(), **options) -> list[Row]:
    """Every clip is there once, and is what `encode` alone gives. The rows."""
    rows = list(read_rows(out))
    names = [(row.id, row.channel) for row in rows]
    assert len(set(names)) == len(names), "a clip is there twice"
    assert {row.id for row in rows} == ids_of(root)
    assert {row.id for row in rows if row.error is not None} == set(failed)
    for row in rows:
        path = root / row.id
        assert Path(row.path) == path.absolute()
        if row.error is not None:
            assert row.frames is None
            continue
        whole = expected(model, path, **options)
        wanted = whole[0 if row.channel is None else row.channel - 1]
        np.testing.assert_array_equal(row.frames, wanted)
        assert row.frames.dtype == (np.float32 if options.get("latents") else np.uint16)
        assert row.num_frames == wanted.shape[0 if options.get("latents") else 1]
        assert row.num_samples == read_sound(path, model.sample_rate).samples.shape[-1]
        assert row.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    return rows
