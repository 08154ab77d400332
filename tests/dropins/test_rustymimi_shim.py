"""`mimi_codec.rustymimi`: shapes and types of rustymimi 0.4.1, its results where it is installed, not its faults."""

import gc
import threading
import time
import wave

import numpy as np
import pytest

import signals
from mimi_codec import Mimi, rustymimi
from mimi_codec.errors import AudioError, CodesError, ConfigError, InputTypeError, LoadError

HOP = 16
CODEBOOKS = 4


@pytest.fixture
def tokenizer(tiny_dir) -> rustymimi.Tokenizer:
    return rustymimi.Tokenizer(str(tiny_dir), num_codebooks=CODEBOOKS)


@pytest.fixture
def stream(tiny_dir) -> rustymimi.StreamTokenizer:
    return rustymimi.StreamTokenizer(str(tiny_dir), num_codebooks=CODEBOOKS)


def pcm(length: int, rows: int = 1) -> np.ndarray:
    return signals.noise(length, rows=rows, level=0.3)


def poll(get, seconds: float = 60) -> np.ndarray:
    """What `get` gives once it gives something; the limit is a watchdog."""
    end = time.monotonic() + seconds
    while (result := get()) is None:
        assert time.monotonic() < end
        time.sleep(0.001)
    return result


class TestTokenizer:
    @pytest.mark.parametrize(("length", "frames"), [(0, 0), (1, 1), (5 * HOP, 5), (5 * HOP + 1, 6)])
    def test_whole_clips(self, tokenizer, tiny, length, frames):
        codes = tokenizer.encode(pcm(length, rows=2))
        assert codes.dtype == np.uint32
        assert codes.shape == (2, CODEBOOKS, frames)
        np.testing.assert_array_equal(codes, tiny.encode(pcm(length, rows=2), CODEBOOKS))
        audio = tokenizer.decode(codes)
        assert audio.dtype == np.float32
        assert audio.shape == (2, 1, frames * HOP)

    def test_steps(self, tokenizer):
        x = pcm(10 * HOP, rows=2)
        assert tokenizer.encode_step(x[..., :5]) is None
        assert tokenizer.encode_step(x[..., :0]) is None
        first = tokenizer.encode_step(x[..., 5 : 3 * HOP + 2])
        rest = tokenizer.encode_step(x[..., 3 * HOP + 2 :])
        assert first.dtype == rest.dtype == np.uint32
        assert (first.shape, rest.shape) == ((2, CODEBOOKS, 3), (2, CODEBOOKS, 7))
        codes = np.concatenate([first, rest], axis=-1)
        np.testing.assert_array_equal(codes, tokenizer.encode(x))
        pieces = [tokenizer.decode_step(codes[..., i : i + 1]) for i in range(10)]
        np.testing.assert_array_equal(np.concatenate(pieces, axis=-1), tokenizer.decode(codes))
        assert tokenizer.decode_step(codes[..., :0]) is None

    def test_reset_is_a_new_tokenizer(self, tokenizer):
        x = pcm(4 * HOP)
        codes = tokenizer.encode_step(x)
        audio = tokenizer.decode_step(codes)
        assert not np.array_equal(tokenizer.encode_step(x), codes)
        tokenizer.reset()
        np.testing.assert_array_equal(tokenizer.encode_step(x), codes)
        np.testing.assert_array_equal(tokenizer.decode_step(codes), audio)

    def test_whole_clips_leave_the_stream_alone(self, tokenizer):
        x = pcm(6 * HOP)
        codes = tokenizer.encode(x)
        first = tokenizer.encode_step(x[..., : 3 * HOP])
        tokenizer.encode(pcm(50, rows=2))
        tokenizer.decode(codes)
        second = tokenizer.encode_step(x[..., 3 * HOP :])
        np.testing.assert_array_equal(np.concatenate([first, second], axis=-1), codes)

    def test_no_limit(self, tiny_dir):
        """rustymimi counts positions for as long as the object lives and stops at its limit."""
        tokenizer = rustymimi.Tokenizer(str(tiny_dir), num_codebooks=1, max_seq_len=10)
        for _ in range(3):
            assert tokenizer.encode_step(pcm(500 * HOP)).shape == (1, 1, 500)
            assert tokenizer.encode(pcm(500 * HOP)).shape == (1, 1, 500)

    def test_other_types_and_strides(self, tokenizer):
        x = pcm(4 * HOP)
        codes = tokenizer.encode(x)
        np.testing.assert_array_equal(tokenizer.encode(x.astype(np.float64)), codes)
        np.testing.assert_array_equal(tokenizer.encode(np.repeat(x, 2, axis=-1)[..., ::2]), codes)
        audio = tokenizer.decode(codes)
        for dtype in (np.int32, np.int64, np.uint16):
            np.testing.assert_array_equal(tokenizer.decode(codes.astype(dtype)), audio)
        assert tokenizer.decode(codes[:, :2]).shape == audio.shape

    def test_what_is_wrong_is_said(self, tokenizer, tiny_dir):
        path = str(tiny_dir)
        with pytest.raises(AudioError, match=r"pcm_data must have shape \(B, 1, L\), got \(32,\)"):
            tokenizer.encode(np.zeros(32, np.float32))
        with pytest.raises(AudioError, match=r"\(1, 2, 32\)"):
            tokenizer.encode_step(np.zeros((1, 2, 32), np.float32))
        with pytest.raises(AudioError, match=r"NaN|finite"):
            tokenizer.encode(np.full((1, 1, 32), np.nan, np.float32))
        with pytest.raises(CodesError, match=r"codes must have shape \(B, K, T\), got \(4, 3\)"):
            tokenizer.decode(np.zeros((4, 3), np.uint32))
        with pytest.raises(CodesError, match="32"):
            tokenizer.decode(np.full((1, 4, 3), 32, np.uint32))
        for call in (tokenizer.decode, tokenizer.decode_step):
            with pytest.raises(CodesError, match="got -1"):
                call(np.full((1, 4, 3), -1))
        with pytest.raises(InputTypeError, match="integer"):
            tokenizer.decode_step(np.zeros((1, 4, 3)))
        tokenizer.encode_step(pcm(HOP))
        with pytest.raises(AudioError, match="batch"):
            tokenizer.encode_step(pcm(HOP, rows=2))
        for options in ({"num_codebooks": 0}, {"num_codebooks": 7}, {"dtype": "bf16"}, {"max_seq_len": 0}):
            with pytest.raises(ConfigError):
                rustymimi.Tokenizer(path, **options)
        with pytest.raises(LoadError, match="no such file"):
            rustymimi.Tokenizer("/nowhere/mimi.safetensors")

    def test_an_error_leaves_the_stream_as_it_was(self, tokenizer):
        x = pcm(4 * HOP)
        codes = tokenizer.encode(x)
        tokenizer.encode_step(x[..., : 2 * HOP])
        with pytest.raises(AudioError):
            tokenizer.encode_step(np.full((1, 1, HOP), np.inf, np.float32))
        np.testing.assert_array_equal(tokenizer.encode_step(x[..., 2 * HOP :]), codes[..., 2:])

    def test_threads(self, tokenizer):
        """rustymimi raises "Already borrowed"."""
        x = pcm(100 * HOP)
        expected = tokenizer.encode(x)
        results = []
        threads = [threading.Thread(target=lambda: results.append(tokenizer.encode(x))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 4
        assert all(np.array_equal(result, expected) for result in results)


class TestStreamTokenizer:
    def test_codes_and_audio(self, stream, tiny):
        x = pcm(9 * HOP)[0, 0]
        assert stream.get_encoded() is None
        assert stream.get_decoded() is None
        for size in np.split(x, [5, HOP, 4 * HOP]):
            stream.encode(size)
        pieces = [poll(stream.get_encoded) for _ in range(3)]
        assert [piece.shape for piece in pieces] == [(CODEBOOKS, 1), (CODEBOOKS, 3), (CODEBOOKS, 5)]
        assert all(piece.dtype == np.uint32 for piece in pieces)
        codes = np.concatenate(pieces, axis=-1)
        np.testing.assert_array_equal(codes, tiny.encode(x, CODEBOOKS))
        for frames in np.split(codes.T, [1, 2, 5]):
            stream.decode(frames)
        audio = [poll(stream.get_decoded) for _ in range(4)]
        assert [len(piece) for piece in audio] == [HOP, HOP, 3 * HOP, 4 * HOP]
        np.testing.assert_array_equal(np.concatenate(audio), tiny.decode(codes))
        assert stream.get_encoded() is stream.get_decoded() is None

    def test_inputs_may_be_changed_afterwards(self, stream, tiny):
        buffer = pcm(40 * HOP)[0, 0]
        expected = tiny.encode(buffer, CODEBOOKS)
        stream.encode(buffer)
        buffer[:] = 0
        np.testing.assert_array_equal(poll(stream.get_encoded), expected)

    def test_many_inputs(self, stream):
        """More than wait in line at once."""
        for _ in range(600):
            stream.encode(np.zeros(HOP, np.float32))
        assert sum(poll(stream.get_encoded).shape[1] for _ in range(600)) == 600

    def test_errors_are_raised_in_the_caller(self, stream):
        with pytest.raises(AudioError, match=r"pcm_data must have shape \(n,\), got \(1, 1, 16\)"):
            stream.encode(pcm(HOP))
        with pytest.raises(AudioError, match="finite"):
            stream.encode(np.full(HOP, np.nan, np.float32))
        with pytest.raises(CodesError, match=r"\(T, 4\), got \(4, 1\); transpose what get_encoded gave"):
            stream.decode(np.zeros((4, 1), np.uint32))
        with pytest.raises(CodesError, match=r"\(T, 4\), got \(1, 4, 1\)"):
            stream.decode(np.zeros((1, 4, 1), np.uint32))
        with pytest.raises(CodesError, match=r"between 0 and 31, got 4294967295"):
            stream.decode(np.full((1, 4), 2**32 - 1, np.uint32))
        with pytest.raises(InputTypeError):
            stream.decode([[0.5] * 4])
        stream.decode(np.zeros((1, 4), np.uint32))
        assert poll(stream.get_decoded).shape == (HOP,)

    def test_threads_end_with_the_object(self, tiny_dir):
        before = set(threading.enumerate())
        stream = rustymimi.StreamTokenizer(str(tiny_dir), num_codebooks=CODEBOOKS)
        own = set(threading.enumerate()) - before
        assert len(own) == 2
        del stream
        gc.collect()
        for thread in own:
            thread.join(60)
        assert not any(thread.is_alive() for thread in own)


def test_write_wav(tmp_path):
    path = tmp_path / "out.wav"
    rustymimi.write_wav(str(path), np.array([0.0, 0.5, -0.5, 2.0, -2.0], np.float32), 24000)
    with wave.open(str(path)) as clip:
        assert (clip.getframerate(), clip.getnchannels(), clip.getsampwidth()) == (24000, 1, 2)
        samples = np.frombuffer(clip.readframes(9), "<i2")
    np.testing.assert_allclose(samples, [0, 16384, -16384, 32767, -32768], atol=1)


class TestAgainstRustymimi:
    """The same calls to both, on the released size in Kyutai's layout."""

    @pytest.fixture(scope="class")
    def both(self, full_kyutai):
        theirs = pytest.importorskip("rustymimi")
        return theirs, rustymimi, str(full_kyutai)

    @staticmethod
    def assert_alike(ours, theirs):
        assert type(ours) is type(theirs)
        if theirs is not None:
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
            if theirs.dtype == np.uint32:
                assert (ours == theirs).mean() > 0.99  # all but near-ties, which parity tests look at
            else:
                np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())

    @pytest.mark.parametrize("length", [1, 1920, 5001, 20 * 1920])
    def test_whole_clips(self, both, length):
        theirs, ours, path = both
        x = signals.chirp(length)[None, None]
        theirs, ours = (module.Tokenizer(path) for module in (theirs, ours))
        codes = theirs.encode(x)
        self.assert_alike(ours.encode(x), codes)
        self.assert_alike(ours.decode(codes), theirs.decode(codes))

    def test_steps(self, both):
        theirs, ours, path = both
        theirs, ours = (module.Tokenizer(path, num_codebooks=16) for module in (theirs, ours))
        x = signals.chirp(12 * 1920)[None, None]
        for piece in np.split(x, [1000, 2000, 1920 * 2, 1920 * 2 + 3000, 1920 * 9], axis=-1):
            piece = np.ascontiguousarray(piece)
            codes = theirs.encode_step(piece)
            self.assert_alike(ours.encode_step(piece), codes)
            if codes is not None:
                self.assert_alike(ours.decode_step(codes), theirs.decode_step(codes))

    def test_stream_tokenizer(self, both):
        """A script as those of moshi_mlx: only the module differs."""

        def script(module, path):
            tokenizer = module.StreamTokenizer(path, num_codebooks=8)
            codes, audio = [], []
            for chunk in np.split(signals.chirp(10 * 1920), 10):
                tokenizer.encode(chunk)
                codes.append(poll(tokenizer.get_encoded))
                tokenizer.decode(np.ascontiguousarray(codes[-1].T))
                audio.append(poll(tokenizer.get_decoded))
            return np.concatenate(codes, axis=-1), np.concatenate(audio)

        theirs, ours, path = both
        for found, expected in zip(script(ours, path), script(theirs, path), strict=True):
            self.assert_alike(found, expected)

    def test_sizes(self, both):
        theirs, ours, path = both
        pcm = np.linspace(-1, 1, 100, dtype=np.float32)
        written = []
        for name, module in (("a", theirs), ("b", ours)):
            module.write_wav(f"{path}.{name}.wav", pcm, 24000)
            written.append(signals.read_wav(f"{path}.{name}.wav")[0])
        np.testing.assert_allclose(written[1], written[0], atol=1.01 / 32768)


def test_loads_what_the_package_loads(tiny_dir, tiny: Mimi):
    """A directory, a file, a path object."""
    x = pcm(4 * HOP)
    for path in (tiny_dir, str(tiny_dir / "model.safetensors")):
        codes = rustymimi.Tokenizer(path, num_codebooks=6).encode(x)
        np.testing.assert_array_equal(codes, tiny.encode(x))
