"""`PooledMimiModel`: what the drop-in gives, from sessions of a pool; and several of moshi's servers on one pool."""

import asyncio
import importlib.util
import os
import sys
import threading
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

import signals
from mimi_codec import AudioError, CodesError, ConfigError, InputTypeError, PoolClosed, PoolFull, StreamError
from mimi_codec.aio import SessionPool
from mimi_codec.moshi import MimiModel, PooledMimiModel

FRAME = 1920
ROWS = 3

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def pool(demo):
    pool = SessionPool(demo, slots=ROWS + 1, num_codebooks=8)
    yield pool
    asyncio.run(pool.close())


def pcm(frames: int, rows: int = ROWS, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(signals.noise(frames * FRAME, seed=seed, rows=rows, level=0.3))


def conversation(model: MimiModel) -> list[torch.Tensor]:
    """All that a streaming model gives while rows rest, begin again, and end."""
    given = []
    with model.streaming(ROWS):
        for step, chunk in enumerate(pcm(24).split(2 * FRAME, dim=-1)):
            model.set_exec_mask(torch.tensor([step != 3, step % 2 == 0, step not in (3, 5)]))
            if step == 7:
                model.reset_streaming(torch.tensor([True, False, False]))
            if step == 10:
                model.reset_streaming()
            codes = model.encode(chunk)
            given += [codes, model.decode(codes)]
        model.set_exec_mask(torch.zeros(ROWS, dtype=torch.bool))
        given += [model.encode(chunk), model.decode(codes)]
    return given


def test_it_gives_what_the_model_gives_alone(demo, pool):
    model = PooledMimiModel(pool, 6)
    for ours, alone in zip(conversation(model), conversation(MimiModel(demo, 6)), strict=True):
        assert torch.equal(ours, alone)
    assert pool.stats().encoder_slots_used == pool.stats().decoder_slots_used == 0


def test_it_computes_beside_sessions_of_asyncio(demo, pool):
    """Models in threads, and a session, in one pool at the same time."""
    clips, heard = pcm(12, rows=2, seed=1), {}

    def talk(row: int) -> None:
        model = PooledMimiModel(pool)
        with model.streaming(1):
            frames = clips[row][None].split(FRAME, dim=-1)
            heard[row] = torch.cat([model.decode(model.encode(frame)) for frame in frames], dim=-1)

    async def main() -> np.ndarray:
        async with pool.encoder() as session:
            talks = asyncio.gather(*(asyncio.to_thread(talk, row) for row in (0, 1)))
            codes = [await session.push(frame) for frame in np.split(clips[0, 0].numpy(), 12)]
            await talks
            return np.concatenate(codes, axis=1)

    np.testing.assert_array_equal(asyncio.run(main()), demo.encode(clips[0, 0].numpy(), 8))
    for row, audio in heard.items():
        np.testing.assert_array_equal(audio[0, 0], demo.decode(demo.encode(clips[row, 0].numpy(), 8)))


def test_calls_that_fail_change_nothing(pool):
    model, chunks = PooledMimiModel(pool), pcm(2).split(FRAME, dim=-1)
    wrong = chunks[1].clone()
    wrong[2, 0, 5] = torch.nan
    with model.streaming(ROWS):
        codes = model.encode(chunks[0])
        heard = [model.decode(codes)]
        with pytest.raises(AudioError, match="finite"):
            model.encode(wrong)
        with pytest.raises(CodesError, match="between 0"):
            model.decode(torch.where(torch.arange(ROWS)[:, None, None] == 2, 1024, codes))
        with pytest.raises(StreamError, match="a batch of 3"):
            model.encode(chunks[1][:1])
        heard.append(model.decode(model.encode(chunks[1])))
    whole = model(pcm(2))
    assert torch.equal(torch.cat(heard, dim=-1), whole.x)


def test_places(demo, pool):
    taken = [PooledMimiModel(pool) for _ in range(2)]
    taken[0].streaming_forever(ROWS)
    taken[0].encode(pcm(1))
    with taken[1].streaming(2):
        with pytest.raises(PoolFull, match="all 4 slots"):
            taken[1].encode(pcm(1, rows=2))
        assert pool.stats().encoder_slots_used == ROWS  # what it had taken of them is free again
    with taken[1].streaming(1):
        assert taken[1].encode(pcm(1, rows=1)).shape == (1, 8, 1)
    del taken
    assert pool.stats().encoder_slots_used == 0


def test_a_pool_that_was_closed(demo):
    pool = SessionPool(demo, slots=1)
    model = PooledMimiModel(pool)
    model.streaming_forever(1)
    model.encode(pcm(1, rows=1))
    asyncio.run(pool.close())
    for call in (lambda: model.encode(pcm(1, rows=1)), model.reset_streaming):
        with pytest.raises(PoolClosed):
            call()


def test_refusals(demo, pool):
    with pytest.raises(ConfigError, match="give 8 codebooks, got 9"):
        PooledMimiModel(pool, 9)
    with pytest.raises(ConfigError, match="give 8 codebooks, got 9"):
        PooledMimiModel(pool).set_num_codebooks(9)
    with pytest.raises(InputTypeError, match="SessionPool of a Mimi"):
        PooledMimiModel(demo)
    assert (pool.model, pool.num_codebooks) == (demo, 8)


class Repeats:
    """A language model that says what it hears, with the steps that moshi's server asks of `LMGen`."""

    lm_model = SimpleNamespace(dep_q=8)

    def __init__(self, *_, **__) -> None:
        pass

    def streaming_forever(self, batch_size: int) -> None:
        assert batch_size == 1

    def reset_streaming(self) -> None:
        pass

    def step(self, codes: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros_like(codes[:, :1]), codes], dim=1)


class Samples:
    """Opus without loss: bytes that are samples."""

    def __init__(self, rate: int) -> None:
        assert rate == 24000

    def append_bytes(self, data: bytes) -> np.ndarray:
        return np.frombuffer(data, np.float32)

    def append_pcm(self, samples: np.ndarray) -> bytes:
        return samples.tobytes()


def moshis_server(monkeypatch) -> ModuleType:
    """The module `moshi.server`, which is a script: importing it serves, so it is asked for its help alone."""
    os.environ.setdefault("NO_TORCH_COMPILE", "1")
    pytest.importorskip("moshi")
    found = importlib.util.find_spec("moshi.server")
    module = importlib.util.module_from_spec(found)
    monkeypatch.setitem(sys.modules, "moshi.server", module)
    monkeypatch.setattr(sys, "argv", ["server", "--help"])
    with pytest.raises(SystemExit):
        found.loader.exec_module(module)
    return module


def test_moshis_servers_share_a_pool(demo, pool, monkeypatch):
    """Each in a thread with its own event loop, as they block it; each client hears its own clip, exactly."""
    server = moshis_server(monkeypatch)
    aiohttp, test_utils = pytest.importorskip("aiohttp"), pytest.importorskip("aiohttp.test_utils")
    monkeypatch.setattr(server, "LMGen", Repeats)
    monkeypatch.setattr(server, "get_condition_tensors", lambda *_, **__: {})
    monkeypatch.setattr(server.sphn, "OpusStreamReader", Samples)
    monkeypatch.setattr(server.sphn, "OpusStreamWriter", Samples)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)  # the server assumes a GPU
    clips, heard = pcm(13, rows=3, seed=2).numpy(), {}

    async def talk(number: int) -> None:
        with torch.inference_mode():
            state = server.ServerState("moshi", PooledMimiModel(pool), None, None, 1.0, "cpu")
            state.warmup()
        app = server.web.Application()
        app.router.add_get("/api/chat", state.handle_chat)
        async with test_utils.TestServer(app) as running, aiohttp.ClientSession() as session:
            for _ in range(2):  # clients one after the other
                async with session.ws_connect(running.make_url("/api/chat")) as socket:
                    assert await socket.receive_bytes() == b"\x00"
                    for frame in np.split(clips[number, 0], 13):
                        await socket.send_bytes(b"\x01" + frame.tobytes())
                    sound = [await socket.receive_bytes() for _ in range(13)]
                heard.setdefault(number, []).append(np.frombuffer(b"".join(part[1:] for part in sound), np.float32))

    failed = []

    def serve(number: int) -> None:
        try:
            asyncio.run(asyncio.wait_for(talk(number), 60))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=serve, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    for number in range(3):
        # moshi begins the stream again between the coding and the decoding of the first frame
        parts = np.split(clips[number, 0], [FRAME])
        codes = np.concatenate([demo.encode(part, 8) for part in parts], axis=1)
        for sound in heard[number]:
            np.testing.assert_array_equal(sound, demo.decode(codes))
