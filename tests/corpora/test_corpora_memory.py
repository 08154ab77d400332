"""Memory does not grow with the length of a clip, nor with their number."""

import sys

import numpy as np
import pytest

import signals
from corpus import K
from mimi_codec.corpora import read_rows
from mimi_codec.corpora.channel import Channel, Closed
from mimi_codec.corpora.coding import even
from mimi_codec.corpora.rows import Content
from mimi_codec.corpora.spool import Spool, Written

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in kilobytes on Linux alone")

SCRIPT = """
    import resource, sys
    from mimi_codec import Mimi
    from mimi_codec.corpora import tokenize

    name, shards, jobs, channels = sys.argv[1:]
    seen = [(0, 0)]

    def tell(progress):
        pages = int(open("/proc/self/statm").read().split()[1])
        seen.append((progress.seconds_of_audio, pages * resource.getpagesize() // 1024))

    model = Mimi.demo(parts="encoder")
    options = {"channels": channels, "shards": int(shards), "jobs": int(jobs)}
    options["file_format"] = "webdataset"  # Arrow has a memory of its own
    summary = tokenize(name, f"{name}-{channels}", model, num_codebooks=8, progress=tell, **options)
    assert summary.complete and not summary.failures, summary
    first = [kilobytes for seconds, kilobytes in seen if seconds < 0.4 * seen[-1][0]]
    rest = [kilobytes for seconds, kilobytes in seen if seconds >= 0.4 * seen[-1][0]]
    print(max(rest) - max(first))
"""


@linux
def test_a_long_clip(run_python, tmp_path):
    """Ten minutes in two channels at 48 kHz are 230 MB of float32, and half of it at the codec's rate."""
    import soundfile

    minute = np.tile(0.2 * signals.noise(48_000, rows=2)[:, 0].T, (60, 1))
    (tmp_path / "long").mkdir()
    with soundfile.SoundFile(tmp_path / "long/clip.flac", "w", 48_000, 2) as file:
        for _ in range(10):
            file.write(minute)
    for channels in ("mix", "separate"):
        grown = int(run_python(SCRIPT, tmp_path / "long", 1, 1, channels))
        assert grown < 16_000  # kilobytes, of a few blocks; six minutes of samples are 35 MB for a channel


@linux
def test_many_clips(run_python, tmp_path):
    """The last three fifths of 2,500 clips of half a second are 72 MB of samples."""
    (tmp_path / "many").mkdir()
    signals.write_wav(tmp_path / "many/0.wav", signals.noise(12_000))
    for number in range(1, 2500):
        (tmp_path / f"many/{number}.wav").hardlink_to(tmp_path / "many/0.wav")
    grown = int(run_python(SCRIPT, tmp_path / "many", 16, 2, "mix"))
    assert grown < 24_000  # kilobytes: what the allocator keeps differs by some MB from run to run
    assert len({row.id for row in read_rows(f"{tmp_path}/many-mix")}) == 2500


@pytest.mark.parametrize("content", [Content.codes(K, 2048), Content.latents(5)], ids=["codes", "latents"])
def test_frames_in_pieces(tmp_path, monkeypatch, content):
    """Clips whose pieces lie between one another's, of all lengths."""
    monkeypatch.setattr("mimi_codec.corpora.spool.PIECE", 500)
    rng = np.random.default_rng(2)
    spool = Spool(tmp_path, content)
    clips = [[] for _ in range(5)]
    written = [Written(spool) for _ in clips]
    for step in range(40):
        for pieces, place in zip(clips[: 5 - step // 10], written, strict=False):
            shape = (content.width, int(rng.integers(0, 60)))
            frames = rng.integers(0, 2048, shape) if content.name == "codes" else rng.normal(size=shape)
            pieces.append(frames.astype(content.dtype))
            place.add(frames)
    for place in written:
        place.end()
    found = spool.map()
    for pieces, place in zip(clips, written, strict=True):
        whole = np.concatenate([np.empty((content.width, 0), content.dtype), *pieces], axis=1)
        expected = whole if content.name == "codes" else whole.T
        np.testing.assert_array_equal(found.frames(place.places), expected)
        assert place.frames == whole.shape[1]
    assert max(len(place.places) for place in written) > 5
    assert list(tmp_path.iterdir()) == []
    spool.close()


@pytest.mark.parametrize("shape", [(), (2,)])
def test_even_blocks(shape):
    rng = np.random.default_rng(4)
    for size in (1, 7, 100):
        blocks = [rng.normal(size=(*shape, int(length))) for length in rng.integers(0, 50, 30)]
        found = list(even(iter(blocks), size))
        np.testing.assert_array_equal(np.concatenate(found, axis=-1), np.concatenate(blocks, axis=-1))
        assert {block.shape[-1] for block in found[:-1]} <= {size}
        assert 0 < found[-1].shape[-1] <= size
    assert list(even(iter([np.zeros((*shape, 0))]), 5)) == []


def test_a_channel_holds_no_more_than_it_may():
    channel = Channel[int](2)
    channel.put(1)
    channel.put(2)
    assert [channel.get(), channel.get()] == [1, 2]
    channel.put(3)
    channel.close()
    with pytest.raises(Closed):
        channel.get()
    with pytest.raises(Closed):
        channel.put(4)
