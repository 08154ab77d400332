"""`mimi_codec.moshi` against the `moshi` package: its codec, its inference script, its server. Skipped without it."""

import asyncio
import os
import runpy
import sys
import warnings
from typing import ClassVar

import numpy as np
import pytest
import torch

import signals
from mimi_codec.aio import SessionPool
from mimi_codec.moshi import PooledMimiModel, get_mimi

os.environ.setdefault("NO_TORCH_COMPILE", "1")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    loaders = pytest.importorskip("moshi.models.loaders", exc_type=ImportError)

aiohttp = pytest.importorskip("aiohttp")
web = pytest.importorskip("aiohttp.web")
test_utils = pytest.importorskip("aiohttp.test_utils")
sphn = pytest.importorskip("sphn")
tiny_moshi = pytest.importorskip("tiny_moshi")

FRAME = 1920
# Both compute in float32, in another order.
RELATIVE = 1e-5

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return tiny_moshi.write(tmp_path_factory.mktemp("moshi"))


@pytest.fixture
def pair(files):
    """moshi's codec and ours, on the same file."""
    load = (loaders.get_mimi, get_mimi)
    return tuple(get(files.mimi, tiny_moshi.MIMI, num_codebooks=6) for get in load)


def pcm(frames: float, rows: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(signals.noise(int(frames * FRAME), seed=seed, rows=rows, level=0.3))


def assert_near(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < RELATIVE * theirs.abs().max()


class TestCodec:
    def test_properties(self, pair):
        theirs, ours = pair
        names = "channels frame_rate sample_rate frame_size num_codebooks total_codebooks cardinality dimension"
        for name in [*names.split(), "encoder_frame_rate", "is_streaming", "training"]:
            assert getattr(ours, name) == getattr(theirs, name), name

    @pytest.mark.parametrize("frames", [1, 1.5, 2.001, 9, 80])
    def test_whole_clips(self, pair, frames):
        """80 frames are more than twice the attention window."""
        theirs, ours = pair
        x = pcm(frames)
        codes = theirs.encode(x)
        torch.testing.assert_close(ours.encode(x), codes, rtol=0, atol=0)
        assert_near(ours.decode(codes), theirs.decode(codes))
        assert_near(ours.encode_to_latent(x, quantize=False), theirs.encode_to_latent(x, quantize=False))
        assert_near(ours.encode_to_latent(x), theirs.encode_to_latent(x))
        assert_near(ours.decode_latent(codes), theirs.decode_latent(codes))

    def test_call(self, pair):
        theirs, ours = pair
        x = pcm(5)
        expected, found = theirs(x), ours(x)
        torch.testing.assert_close(found.codes, expected.codes, rtol=0, atol=0)
        assert_near(found.x, expected.x)

    @pytest.mark.parametrize("count", [1, 3, 8])
    def test_number_of_codebooks(self, pair, count):
        theirs, ours = pair
        for codec in pair:
            codec.set_num_codebooks(count)
        x = pcm(4)
        torch.testing.assert_close(ours.encode(x), theirs.encode(x), rtol=0, atol=0)
        assert ours.num_codebooks == theirs.num_codebooks == count

    def test_too_many_codebooks(self, pair):
        for codec in pair:
            with pytest.raises((AssertionError, ValueError)):
                codec.set_num_codebooks(9)


class TestStreaming:
    @pytest.mark.parametrize("step", [1, 3])
    def test_equals_moshi_within_the_window(self, pair, step):
        theirs, ours = pair
        x = pcm(30)
        with theirs.streaming(2), ours.streaming(2):
            for chunk in x.split(step * FRAME, dim=-1):
                codes = theirs.encode(chunk)
                torch.testing.assert_close(ours.encode(chunk), codes, rtol=0, atol=0)
                assert_near(ours.decode(codes), theirs.decode(codes))
        assert not ours.is_streaming

    def test_equals_moshis_whole_clip_beyond_the_window(self, pair):
        theirs, ours = pair
        x = pcm(80)
        codes = theirs.encode(x)
        with ours.streaming(2):
            pieces = [ours.encode(chunk) for chunk in x.split(FRAME, dim=-1)]
            audio = [ours.decode(piece) for piece in pieces]
        torch.testing.assert_close(torch.cat(pieces, -1), codes, rtol=0, atol=0)
        assert_near(torch.cat(audio, -1), theirs.decode(codes))

    def test_masks_and_resets(self, pair):
        """Rows stop, go on and begin anew while the others continue."""
        theirs, ours = pair
        x = pcm(12, rows=3)
        masks = {3: [True, False, True], 6: [True, True, False], 9: [True, True, True]}
        resets = {5: [False, True, False], 8: [False, False, True]}
        active = torch.ones(3, dtype=torch.bool)
        with theirs.streaming(3), ours.streaming(3):
            for step, chunk in enumerate(x.split(FRAME, dim=-1)):
                if step in resets:
                    mask = torch.tensor(resets[step])
                    active = active | mask
                    for codec in pair:
                        codec.reset_streaming(mask)
                if step in masks:
                    active = torch.tensor(masks[step])
                    for codec in pair:
                        codec.set_exec_mask(active)
                codes = theirs.encode(chunk)
                found = ours.encode(chunk)
                torch.testing.assert_close(found[active], codes[active], rtol=0, atol=0)
                assert (found[~active] == -1).all()
                audio = ours.decode(codes)
                assert_near(audio[active], theirs.decode(codes)[active])
                assert (audio[~active] == 0).all()

    def test_state_can_be_put_aside(self, pair):
        _, ours = pair
        x = pcm(6)
        whole = ours.encode(x)
        ours.streaming_forever(2)
        first = ours.encode(x[..., : 3 * FRAME])
        state = ours.get_streaming_state()
        ours.set_streaming_state({"": None})
        ours.encode(pcm(2, seed=4))
        ours.set_streaming_state(state)
        torch.testing.assert_close(torch.cat([first, ours.encode(x[..., 3 * FRAME :])], -1), whole, rtol=0, atol=0)

    @pytest.mark.parametrize("length", [0, 100, FRAME + 1])
    def test_same_lengths_are_refused(self, pair, length):
        for codec in pair:
            with codec.streaming(2), pytest.raises(RuntimeError, match="multiple of"):
                codec.encode(torch.zeros(2, 1, length))


class TestLoaders:
    def test_pytorch_checkpoint(self, pair, files, tmp_path):
        theirs, ours = pair
        torch.save({"model": theirs.state_dict()}, tmp_path / "mimi.pt")
        x = pcm(4)
        loaded = get_mimi(tmp_path / "mimi.pt", tiny_moshi.MIMI, "cpu", 6)
        torch.testing.assert_close(loaded.encode(x), ours.encode(x), rtol=0, atol=0)

    def test_checkpoint_info(self, files, monkeypatch):
        """moshi's own way to a codec, with the one line changed."""
        monkeypatch.setattr(loaders, "get_mimi", get_mimi)
        info = loaders.CheckpointInfo.from_hf_repo("none", files.lm, files.mimi, files.tokenizer, files.config)
        codec = info.get_mimi(device="cpu")
        assert isinstance(codec, type(get_mimi(files.mimi, tiny_moshi.MIMI, num_codebooks=4)))
        assert (codec.num_codebooks, codec.total_codebooks) == (4, 8)


def on_a_pool(*arguments, **options) -> PooledMimiModel:
    codec = get_mimi(*arguments, **options)
    return PooledMimiModel(SessionPool(codec.codec, slots=2), codec.num_codebooks)


def use(monkeypatch, which: str) -> None:
    """Load this codec. moshi's draws random weights before it reads those of the file, so the seed is set after it."""
    load = {"moshi": loaders.get_mimi, "ours": get_mimi, "pool": on_a_pool}[which]

    def get(*arguments, **options):
        codec = load(*arguments, **options)
        torch.manual_seed(42)
        return codec

    monkeypatch.setattr(loaders, "get_mimi", get)


@pytest.mark.parametrize("batch", [1, 3])
def test_run_inference(files, tmp_path, monkeypatch, batch):
    """`python -m moshi.run_inference`: the same audio from both codecs."""
    import moshi.run_inference as script

    speech = tmp_path / "in.wav"
    signals.write_wav(speech, signals.noise(25 * FRAME, level=0.3))
    written = {}
    for which in ("moshi", "ours"):
        out = tmp_path / f"{which}.wav"
        more = ["--config", files.config, "--batch-size", batch, speech, out]
        with monkeypatch.context() as patch:
            use(patch, which)
            patch.setattr(sys, "argv", ["run_inference", *files.arguments(*map(str, more))])
            script.main()
        names = [out] if batch == 1 else [out.with_stem(f"{out.stem}-{row}") for row in range(batch)]
        written[which] = np.stack([signals.read_wav(name)[0] for name in names])
    assert written["ours"].shape == (batch, 25 * FRAME)
    assert np.abs(written["ours"]).max() > 0.1
    np.testing.assert_allclose(written["ours"], written["moshi"], atol=1.01 / 32768)


class Recorder:
    """An Opus writer that keeps what it is given: Opus itself turns the smallest difference into a large one."""

    writer = sphn.OpusStreamWriter
    heard: ClassVar[list[list[np.ndarray]]] = []

    def __init__(self, rate: int) -> None:
        self.opus = self.writer(rate)
        self.heard.append([])

    def append_pcm(self, pcm: np.ndarray) -> bytes:
        self.heard[-1].append(pcm.copy())
        return self.opus.append_pcm(pcm)


def test_server(files, monkeypatch):
    """`python -m moshi.server`: the same text and audio from all codecs, for two clients in turn."""
    texts, audio, servers = {}, {}, []
    for which in ("moshi", "ours", "pool"):
        with monkeypatch.context() as patch:
            use(patch, which)
            arguments = files.arguments("--config-path", str(files.config), "--static", "none")
            patch.setattr(sys, "argv", ["server", *arguments])
            patch.setattr(torch.cuda, "synchronize", lambda: None)  # the script assumes a GPU
            patch.setattr(web, "run_app", lambda app, **options: servers.append(app))
            patch.setattr(sphn, "OpusStreamWriter", Recorder)
            patch.setattr(Recorder, "heard", [])
            runpy.run_module("moshi.server")
            texts[which] = asyncio.run(talk(servers.pop()))
            audio[which] = [np.concatenate(pieces) for pieces in Recorder.heard]
    assert texts["ours"] == texts["pool"] == texts["moshi"]
    for theirs, ours, pooled in zip(audio["moshi"], audio["ours"], audio["pool"], strict=True):
        assert ours.size > 10 * FRAME
        np.testing.assert_array_equal(pooled, ours)
        assert_near(torch.from_numpy(ours), torch.from_numpy(theirs))


async def talk(app) -> list[list[str]]:
    """Two clients, one after the other, that send 16 frames of noise each: the text they get."""
    conversations = []
    async with test_utils.TestServer(app) as server, aiohttp.ClientSession() as session:
        for seed in (1, 2):
            writer = Recorder.writer(24000)
            text, pages = [], 0
            async with session.ws_connect(server.make_url("/api/chat")) as socket:
                assert await socket.receive_bytes() == b"\x00"
                for chunk in np.split(signals.noise(16 * FRAME, seed=seed, level=0.3), 16):
                    page = writer.append_pcm(chunk)
                    if page:
                        await socket.send_bytes(b"\x01" + page)
                while True:
                    try:
                        message = await asyncio.wait_for(socket.receive(), 3)
                    except TimeoutError:
                        break
                    assert message.type == aiohttp.WSMsgType.BINARY
                    if message.data[0] == 2:
                        text.append(message.data[1:].decode())
                    else:
                        pages += 1
            assert pages > 10
            assert len(text) > 5
            conversations.append(text)
    return conversations
