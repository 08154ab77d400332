"""Streams on a CUDA device: rows, copies, states that move between devices, and what a step asks of the driver."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import signals
from gpu_cases import assert_same
from mimi_codec import Mimi
from stream_cases import HOP, encode_all, random_codes, split

ROWS = 3


def steps(pcm: np.ndarray) -> list[np.ndarray]:
    """A frame at a time."""
    return split(pcm, [HOP] * (pcm.shape[-1] // HOP))


def test_frame_by_frame_is_the_whole_clip(tiny, tiny_gpu):
    """Also beyond the window of the attention, and for pieces that are no whole frames."""
    pcm = signals.chirp(20 * HOP)
    codes = tiny.encode(pcm, padding="moshi")
    assert_same(encode_all(tiny_gpu.encoder_stream(), steps(pcm)), codes)
    assert_same(encode_all(tiny_gpu.encoder_stream(), split(pcm, [5, 3 * HOP, 1, 0, 7 * HOP + 2, 9 * HOP - 8])), codes)
    decoder = tiny_gpu.decoder_stream()
    assert_same(np.concatenate([decoder.push(frame) for frame in split(codes, [1] * 20)], axis=-1), tiny.decode(codes))


@pytest.mark.parametrize("latents", [False, True])
def test_active_rows(tiny, tiny_gpu, latents):
    """Rows that rest stay as they are, and each goes on as it would alone."""
    here, there = (codec.encoder_stream(ROWS, latents=latents) for codec in (tiny, tiny_gpu))
    rng = np.random.default_rng(5)
    for number, pcm in enumerate(steps(signals.noise(12 * HOP, rows=ROWS))):
        active = rng.random(ROWS) < 0.6
        assert_same(there.push(pcm, active=active), here.push(pcm, active=active))
        if number == 6:
            mask = np.array([True, False, False])
            here.reset(mask)
            there.reset(mask)
    assert_same(there.flush(), here.flush())


def test_decoding_rows(tiny, tiny_gpu):
    here, there = tiny.decoder_stream(ROWS), tiny_gpu.decoder_stream(ROWS)
    codes = random_codes(10, rows=ROWS)
    for frame, rests in zip(split(codes, [1] * 10), [0, 1, 2] * 4, strict=False):
        active = np.arange(ROWS) != rests
        assert_same(there.push(frame, active=active), here.push(frame, active=active))
    lengths = [4, 0, 2]
    codes = random_codes(4, seed=2, rows=ROWS)
    assert_same(there.push(codes, lengths=lengths), here.push(codes, lengths=lengths))


def test_a_copy_goes_its_own_way(tiny, tiny_gpu):
    pcm, other = signals.chirp(8 * HOP), signals.noise(8 * HOP)
    stream = tiny_gpu.encoder_stream()
    for piece in steps(pcm)[:4]:
        stream.push(piece)
    copied = stream.copy()
    for piece in steps(other):
        stream.push(piece)
    got = np.concatenate([copied.push(piece) for piece in steps(pcm)[4:]], axis=-1)
    assert_same(got, tiny.encode(pcm, padding="moshi")[:, 4:])


@pytest.mark.parametrize("frames", [0, 2, 9])
@pytest.mark.parametrize(("first", "then"), [("tiny", "tiny_gpu"), ("tiny_gpu", "tiny")])
def test_a_state_moves_to_another_device(request, first, then, frames):
    """Before and after the window of the attention is full, and in the middle of a frame."""
    first, then = request.getfixturevalue(first), request.getfixturevalue(then)
    pcm = signals.chirp((frames + 6) * HOP)
    cut = frames * HOP + 5
    stream = first.encoder_stream()
    stream.push(pcm[:cut])
    moved = then.encoder_stream()
    moved.load(stream.save())
    assert_same(moved.push(pcm[cut:]), stream.push(pcm[cut:]))
    codes = random_codes(frames + 6)
    stream = first.decoder_stream()
    stream.push(codes[:, :frames])
    moved = then.decoder_stream()
    moved.load(stream.save())
    assert_same(moved.push(codes[:, frames:]), stream.push(codes[:, frames:]))


def test_rows_in_other_streams(tiny, tiny_gpu):
    """Rows move between streams of other numbers of rows."""
    pcm = signals.noise(6 * HOP, rows=ROWS)
    stream, larger = tiny_gpu.encoder_stream(ROWS), tiny_gpu.encoder_stream(5)
    stream.push(pcm[..., : 4 * HOP])
    larger.load(stream.save([2, 0]), [1, 4])
    rest = np.zeros((5, 1, 2 * HOP), np.float32)
    rest[[1, 4]] = pcm[[2, 0], :, 4 * HOP :]
    got = larger.push(rest, active=np.isin(np.arange(5), [1, 4]))
    assert_same(got[[1, 4]], tiny.encode(pcm[[2, 0]], padding="moshi")[..., 4:])


def test_a_step_is_one_graph(tiny_gpu):
    """One copy to the device, one launch, one copy back and one wait for it; nothing is allocated."""
    counted = tiny_gpu._core
    expected = {"uploads": 1, "graph_launches": 1, "downloads": 1, "waits": 1}
    encoder, decoder = tiny_gpu.encoder_stream(4), tiny_gpu.decoder_stream(4)
    for stream, given in ((encoder, signals.noise(HOP, rows=4)), (decoder, random_codes(1, rows=4))):
        for _ in range(3):  # the first shows what is needed, the second is recorded
            stream.push(given)
        for active in (None, np.array([True, False, True, False])):
            before = counted.device_counts
            stream.push(given, active=active)
            asked = {name: count - before[name] for name, count in counted.device_counts.items()}
            assert {name: count for name, count in asked.items() if count} == expected


def test_without_graphs(monkeypatch, tiny, tiny_dir, gpu):
    monkeypatch.setenv("MIMI_CODEC_CUDA_GRAPHS", "0")
    plain = Mimi.from_pretrained(tiny_dir, device="cuda")
    pcm = signals.chirp(6 * HOP)
    assert_same(encode_all(plain.encoder_stream(), steps(pcm)), tiny.encode(pcm, padding="moshi"))
    counts = plain._core.device_counts
    assert counts["graph_launches"] == 0
    assert counts["launches"] > 0


def test_streams_in_threads(tiny, tiny_gpu):
    """Streams of one model take turns on the device, and do not disturb each other."""
    clips = [signals.noise(8 * HOP, seed=seed) for seed in range(6)]

    def work(pcm: np.ndarray) -> np.ndarray:
        return encode_all(tiny_gpu.encoder_stream(), steps(pcm))

    with ThreadPoolExecutor(3) as pool:
        for got, pcm in zip(pool.map(work, clips), clips, strict=True):
            assert_same(got, tiny.encode(pcm, padding="moshi"))
