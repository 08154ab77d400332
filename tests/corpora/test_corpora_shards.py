"""Shards: each clip once and exactly, whatever the ranks, the jobs, the formats and the order of the inputs."""

import random

import numpy as np
import pytest

import mimi_codec
from corpus import SHARDS, K, check, expected, ids_of, shards_of
from mimi_codec import read_audio
from mimi_codec.corpora import read_rows, status, tokenize
from mimi_codec.corpora.plan import Plan
from mimi_codec.corpora.plan import read as read_plan
from mimi_codec.errors import ConfigError, InputTypeError, LoadError
from mimi_codec.synthetic_family import write_synthetic_family

FORMATS = ("parquet", "webdataset", "files")


def run(items, out, model, **options):
    return tokenize(items, out, model, **{"num_codebooks": K, "shards": SHARDS, **options})


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("file_format", FORMATS)
def test_every_clip_once(clips, quick, tmp_path, file_format, jobs):
    summary = run(clips, tmp_path / "out", quick, file_format=file_format, jobs=jobs)
    check(tmp_path / "out", clips, quick)
    assert (summary.clips, summary.shards, summary.shards_kept, summary.failures) == (24, SHARDS, 0, {})
    assert summary.complete
    assert not summary.interrupted


@pytest.mark.parametrize("file_format", FORMATS)
def test_latents(clips, quick, tmp_path, file_format):
    tokenize(clips, tmp_path / "out", quick, latents=True, shards=2, file_format=file_format)
    check(tmp_path / "out", clips, quick, latents=True)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_codec_without_codes(clips, latent_codec, tmp_path, file_format):
    tokenize(clips, tmp_path / "out", latent_codec, shards=2, file_format=file_format)
    check(tmp_path / "out", clips, latent_codec, latents=True)
    assert read_plan(tmp_path / "out").codec == "pocket-tts"


@pytest.mark.parametrize("kind", ["qwen3-tts", "vibevoice", "vibevoice-encoder"])
@pytest.mark.parametrize("file_format", FORMATS)
def test_every_codec(clips, tmp_path, file_format, kind):
    """Codes and latents of other rates, and clips of which the codec leaves out the end, or all."""
    codec = mimi_codec.load(write_synthetic_family(tmp_path / "model", kind), parts="encoder")
    latents = not hasattr(codec, "encode")
    items = [(name, clips / name) for name in sorted(ids_of(clips))[:5]] + [("short", np.zeros(3, np.float32))]
    tokenize(items, tmp_path / "out", codec, shards=2, file_format=file_format)
    rows = list(read_rows(tmp_path / "out"))
    assert {row.id for row in rows} == {name for name, _ in items}
    for row in rows:
        pcm = np.zeros(3, np.float32) if row.id == "short" else read_audio(clips / row.id, codec.sample_rate)
        wanted = codec.encode_latents(pcm).T if latents else codec.encode(pcm)
        np.testing.assert_array_equal(row.frames, wanted)
        assert (row.num_samples, row.error) == (len(pcm), None)
        assert row.num_frames == wanted.shape[0 if latents else 1]


@pytest.mark.parametrize("channels", ["mix", "first", "separate"])
@pytest.mark.parametrize("file_format", FORMATS)
def test_channels(clips, quick, tmp_path, file_format, channels):
    run(clips, tmp_path / "out", quick, channels=channels, file_format=file_format)
    rows = check(tmp_path / "out", clips, quick, channels=channels)
    found = {row.channel for row in rows}
    assert found == ({1, 2} if channels == "separate" else {None})
    assert len(rows) == 24 + 5 * (channels == "separate")


@pytest.mark.parametrize("padding", ["transformers", "moshi"])
def test_padding(quick, tmp_path, padding):
    pcm = np.random.default_rng(3).normal(0, 0.1, 5000).astype(np.float32)
    run([("clip", pcm)], tmp_path / "out", quick, padding=padding)
    (row,) = read_rows(tmp_path / "out")
    np.testing.assert_array_equal(row.frames, quick.encode(pcm, num_codebooks=K, padding=padding))


@pytest.mark.parametrize("file_format", FORMATS)
def test_ranks_and_order_change_no_byte(clips, quick, tmp_path, file_format):
    """Ranks 1, 3 and 7, with one and two jobs, and the clips named one by one in any order."""
    shards = 7
    run(clips, tmp_path / "one", quick, shards=shards, file_format=file_format)
    wanted = shards_of(tmp_path / "one")
    assert len(wanted) == shards
    shuffler = random.Random(1)
    for world in (1, 3, 7):
        out = tmp_path / str(world)
        items = [(name, clips / name) for name in ids_of(clips)]
        for rank in shuffler.sample(range(world), world):
            shuffler.shuffle(items)
            options = {"rank": rank, "world": world, "jobs": 1 + rank % 2, "file_format": file_format}
            summary = run(items, out, quick, shards=shards, **options)
            assert summary.complete
            assert summary.shards == len([shard for shard in range(shards) if shard % world == rank])
        assert shards_of(out) == wanted
    files = {
        path.relative_to(tmp_path / "one"): path.read_bytes() for path in (tmp_path / "one").rglob("*.safetensors")
    }
    for path, data in files.items():
        assert (tmp_path / "7" / path).read_bytes() == data
    assert bool(files) == (file_format == "files")


def test_the_same_call_again_does_what_is_left(clips, quick, tmp_path):
    out = tmp_path / "out"
    run(clips, out, quick)
    before = shards_of(out)
    gone = sorted(before)[2]
    (out / "data" / gone).unlink()
    kept = {path: path.stat().st_mtime_ns for path in (out / "data").iterdir()}
    assert not status(out).complete
    assert status(out).shards_left == [2]
    summary = run(clips, out, quick)
    assert (summary.shards, summary.shards_kept) == (1, SHARDS - 1)
    assert shards_of(out) == before
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"num_codebooks": 4}, "codebooks is 8 there and 4 here"),
        ({"shards": 6}, "shards is 5 there and 6 here"),
        ({"channels": "first"}, "channels is 'mix' there and 'first' here"),
        ({"padding": "moshi"}, "padding is 'transformers' there and 'moshi' here"),
        ({"strict": True}, "strict is False there and True here"),
        ({"file_format": "files"}, "format is 'parquet' there and 'files' here"),
        ({"num_codebooks": None, "latents": True}, "content is 'codes' there and 'latents' here"),
    ],
)
def test_another_run_is_refused(clips, quick, tmp_path, change, key):
    out = tmp_path / "out"
    run(clips, out, quick)
    before = shards_of(out)
    with pytest.raises(ConfigError, match="the plan of another run") as raised:
        run(clips, out, quick, **change)
    assert key in str(raised.value)
    assert shards_of(out) == before


def test_other_clips_weights_and_resampler_are_refused(clips, quick, tiny_dir, tmp_path, monkeypatch):
    out = tmp_path / "out"
    items = [(name, clips / name) for name in sorted(ids_of(clips))]
    run(items, out, quick)
    with pytest.raises(ConfigError, match=r"clips is 24 there and 23 here; ids is"):
        run(items[1:], out, quick)
    with pytest.raises(ConfigError, match=r"ids is .* there and .* here"):
        run([("another", items[0][1]), *items[1:]], out, quick)
    with pytest.raises(ConfigError, match=r"weights is .* there and .* here; config is"):
        run(items, out, mimi_codec.Mimi.from_pretrained(tiny_dir), num_codebooks=2)
    with pytest.raises(ConfigError, match="dtype is 'float32' there and 'bfloat16' here"):
        run(items, out, mimi_codec.Mimi.demo(dtype="bfloat16"))
    monkeypatch.setattr("soxr.__version__", "0.5.0")
    with pytest.raises(ConfigError, match=r"resampler is 'soxr .* HQ' there and 'soxr 0.5.0 HQ' here"):
        run(items, out, quick)
    monkeypatch.undo()
    monkeypatch.setattr("mimi_codec._core.__version__", "9.9")
    with pytest.raises(ConfigError, match=r"package is '.*' there and '9.9' here"):
        run(items, out, quick)


def test_the_model_may_lie_elsewhere(clips, demo, tmp_path):
    """The weights count, not the path, nor how many codebooks were loaded beside those that are used."""
    demo.save(tmp_path / "model")
    run(clips, tmp_path / "out", demo)
    summary = run(clips, tmp_path / "out", mimi_codec.load(tmp_path / "model", num_codebooks=K))
    assert summary.shards_kept == SHARDS


def test_the_plan_is_in_every_shard_and_says_what_was_done(clips, quick, tmp_path):
    import pyarrow.parquet

    run(clips, tmp_path / "out", quick)
    plan = read_plan(tmp_path / "out")
    assert isinstance(plan, Plan)
    assert (plan.codebooks, plan.codebook_size, plan.sample_rate, plan.frame_rate) == (K, 1024, 24000, 12.5)
    assert sum(plan.clips_in_shards) == plan.clips == 24
    for path in (tmp_path / "out/data").iterdir():
        metadata = pyarrow.parquet.read_schema(path).metadata
        assert plan.ids.encode() in metadata[b"mimi_codec"]
        assert plan.weights.encode() in metadata[b"mimi_codec"]


def test_a_plan_of_another_release(clips, quick, tmp_path):
    run(clips, tmp_path / "out", quick)
    path = tmp_path / "out/plan.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(LoadError, match="not a plan of version 1, got version 2"):
        run(clips, tmp_path / "out", quick)
    path.write_text("{")
    with pytest.raises(LoadError, match="not JSON"):
        status(tmp_path / "out")
    with pytest.raises(LoadError, match="nothing was tokenized there"):
        list(read_rows(tmp_path / "elsewhere"))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"rank": 3, "world": 3}, ConfigError, "rank must be between 0 and world - 1 = 2, got 3"),
        ({"rank": -1, "world": 3}, ConfigError, "rank must be between"),
        ({"rank": "0"}, InputTypeError, "rank must be an integer"),
        ({"world": 6}, ConfigError, "world must be at most the 5 shards"),
        ({"shards": 0}, ConfigError, "shards must be at least 1"),
        ({"jobs": 0}, ConfigError, "jobs must be at least 1"),
        ({"channels": "left"}, ConfigError, "channels must be mix"),
        ({"padding": "none"}, ConfigError, "padding must be one of"),
        ({"file_format": "csv"}, ConfigError, "format must be parquet, webdataset, files"),
        ({"num_codebooks": 99}, ConfigError, "num_codebooks must be between"),
        ({"latents": True}, ConfigError, "num_codebooks must be None for latents"),
        ({"stop": 3}, InputTypeError, "stop must be"),
    ],
)
def test_options_are_checked_before_anything_is_written(clips, quick, tmp_path, options, error, words):
    with pytest.raises(error, match=words):
        run(clips, tmp_path / "out", quick, **options)
    assert not (tmp_path / "out/data").exists()


def test_a_run_that_is_stopped_leaves_whole_shards(clips, quick, tmp_path):
    """Asked to stop when the first shard is there."""
    out = tmp_path / "out"
    seen = []
    summary = run(clips, out, quick, stop=lambda: bool(list((out / "data").glob("shard*"))), progress=seen.append)
    assert summary.interrupted == bool(summary.shards_left)
    assert summary.shards + summary.shards_left == SHARDS
    assert seen[-1].total == 24
    assert all(name.startswith("shard-") for name in shards_of(out))
    assert run(clips, out, quick).shards_kept == summary.shards
    check(out, clips, quick)


def test_a_run_stops_inside_a_clip(quick, tmp_path):
    """An hour of sound would take minutes."""
    hour = np.zeros(3600 * 24000, np.int16)
    seen = []
    summary = run([("hour", hour)], tmp_path / "out", quick, progress=seen.append, stop=lambda: len(seen) > 5)
    assert summary.interrupted
    assert shards_of(tmp_path / "out") == {}


def test_rows_are_those_of_the_ids(clips, quick, tmp_path):
    run(clips, tmp_path / "out", quick, shards=1)
    names = [row.id for row in read_rows(tmp_path / "out")]
    assert names == sorted(ids_of(clips))


def test_an_exception_of_the_caller_ends_the_run(clips, quick, tmp_path):
    def progress(_):
        raise RuntimeError("from the caller")

    with pytest.raises(RuntimeError, match="from the caller"):
        run(clips, tmp_path / "out", quick, progress=progress)
    run(clips, tmp_path / "out", quick)
    check(tmp_path / "out", clips, quick)


def test_what_is_expected_differs_between_clips(clips, quick):
    """The comparisons of this file could fail."""
    first, second = (expected(quick, clips / "speaker1" / f"clip{number}.wav")[0] for number in (6, 7))
    assert not np.array_equal(first[:, : second.shape[1]], second[:, : first.shape[1]])
