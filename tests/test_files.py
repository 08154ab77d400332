"""Sound files, token files and synthetic models, through the Python API."""

import io
import json
import wave

import numpy as np
import pytest
from safetensors import safe_open

import signals
from mimi_codec import Mimi, MimiConfig, Tokens, read_audio, read_tokens, write_tokens, write_wav
from mimi_codec.errors import AudioError, CodesError, LoadError, MimiError
from mimi_codec.token_files.formats import metadata

RATE = 24000
HALF_STEP = 0.5 / 32768  # rounding to 16 bits
EXTRAS = ("soundfile", "soxr")


def write_raw_wav(path, raw: bytes, width: int, channels: int = 1, rate: int = RATE):
    with wave.open(str(path), "wb") as clip:
        clip.setparams((channels, width, rate, 0, "NONE", ""))
        clip.writeframes(raw)
    return path


class TestAudio:
    def test_wav_roundtrip(self, tmp_path):
        pcm = signals.chirp(2001)
        write_wav(tmp_path / "a.wav", pcm, RATE)
        again = read_audio(tmp_path / "a.wav", RATE)
        assert again.dtype == np.float32
        assert np.abs(again - pcm).max() <= HALF_STEP
        write_wav(tmp_path / "b.wav", pcm, RATE, subtype="float32")
        np.testing.assert_array_equal(read_audio(tmp_path / "b.wav", RATE), pcm)

    def test_int16_clips(self, tmp_path):
        write_wav(tmp_path / "loud.wav", np.array([2.0, -2.0, 0.5], np.float32), RATE)
        np.testing.assert_array_equal(read_audio(tmp_path / "loud.wav", RATE), np.float32([32767 / 32768, -1, 0.5]))

    def test_standard_readers_agree(self, tmp_path):
        pcm = signals.noise(501)
        write_wav(tmp_path / "a.wav", pcm, RATE)
        samples, rate = signals.read_wav(tmp_path / "a.wav")
        assert rate == RATE
        np.testing.assert_array_equal(samples, read_audio(tmp_path / "a.wav", RATE))

    def test_channels_are_averaged(self, tmp_path):
        left, right = signals.noise(300, seed=1), signals.noise(300, seed=2)
        signals.write_wav(tmp_path / "stereo.wav", np.stack([left, right], 1), channels=2)
        mono = read_audio(tmp_path / "stereo.wav", RATE)
        assert np.abs(mono - (left + right) / 2).max() < 2 * HALF_STEP + 1e-4  # written with a scale of 32767

    @pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
    def test_resampling(self, tmp_path, rate):
        pytest.importorskip("soxr")
        tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32) / 2
        signals.write_wav(tmp_path / "tone.wav", tone, rate)
        pcm = read_audio(tmp_path / "tone.wav", RATE)
        assert abs(len(pcm) - RATE) <= 1
        expected = np.sin(2 * np.pi * 440 * np.arange(len(pcm)) / RATE) / 2
        # A shift of one sample would be 0.06; the ends ring.
        assert np.abs(pcm - expected)[2000:-2000].max() < 1e-3

    @pytest.mark.parametrize(("suffix", "limit"), [("flac", 1e-4), ("ogg", 0.1)])  # ogg is lossy
    def test_other_formats(self, tmp_path, suffix, limit):
        soundfile = pytest.importorskip("soundfile")
        tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32) / 2
        soundfile.write(tmp_path / f"tone.{suffix}", tone, RATE)
        pcm = read_audio(tmp_path / f"tone.{suffix}", RATE)
        assert pcm.shape == tone.shape
        assert np.abs(pcm - tone).max() < limit

    def test_open_files(self, tmp_path):
        write_wav(tmp_path / "a.wav", signals.noise(99), RATE)
        expected = read_audio(tmp_path / "a.wav", RATE)
        buffer = io.BytesIO()
        write_wav(buffer, signals.noise(99), RATE)
        assert buffer.getvalue() == (tmp_path / "a.wav").read_bytes()
        buffer.seek(0)
        np.testing.assert_array_equal(read_audio(buffer, RATE), expected)

    @pytest.mark.parametrize("data", [b"", b"RIFF", b"not audio at all" * 9])
    def test_no_audio(self, tmp_path, data):
        (tmp_path / "bad.wav").write_bytes(data)
        with pytest.raises(AudioError, match=r"bad\.wav"):
            read_audio(tmp_path / "bad.wav", RATE)

    def test_a_missing_file_is_an_os_error(self, tmp_path):
        with pytest.raises(OSError, match="nowhere"):
            read_audio(tmp_path / "nowhere.wav", RATE)

    @pytest.mark.parametrize("pcm", [np.zeros((2, 3)), np.array([np.nan]), np.zeros(3, int), "a.wav"])
    def test_what_cannot_be_written(self, tmp_path, pcm):
        with pytest.raises(MimiError):
            write_wav(tmp_path / "a.wav", pcm, RATE)

    def test_without_the_extra(self, run_python, tmp_path):
        """The standard library's reader: 8, 16, 24 and 32 bits, equal to soundfile's."""
        values = np.linspace(-1, 1, 100)
        wide = (values * (2**31 - 1)).astype("<i4")
        write_raw_wav(
            tmp_path / "8.wav", (wide >> 24).astype("<i2").view("<i2").astype("i1").view("u1").__add__(128).tobytes(), 1
        )
        write_raw_wav(tmp_path / "16.wav", (wide >> 16).astype("<i2").tobytes(), 2)
        write_raw_wav(tmp_path / "24.wav", wide.view("u1").reshape(-1, 4)[:, 1:].tobytes(), 3)
        write_raw_wav(tmp_path / "32.wav", wide.tobytes(), 4)
        script = """
            import json
            import mimi_codec
            print(json.dumps([mimi_codec.read_audio(str(bits) + ".wav", 24000).tolist() for bits in (8, 16, 24, 32)]))
        """
        for bits, pcm in zip((8, 16, 24, 32), json.loads(run_python(script, without=EXTRAS)), strict=True):
            step = 2.0 ** (1 - bits)
            assert np.abs(pcm - values).max() <= step + 1e-7, bits  # truncated above, and float32
            np.testing.assert_array_equal(np.float32(pcm), read_audio(tmp_path / f"{bits}.wav", RATE))

    def test_what_the_extra_is_for(self, run_python, tmp_path):
        signals.write_wav(tmp_path / "rate.wav", signals.noise(99), rate=16000)
        (tmp_path / "sound.flac").write_bytes(b"fLaC" + bytes(60))
        script = """
            import mimi_codec
            for name in ("rate.wav", "sound.flac"):
                try:
                    mimi_codec.read_audio(name, 24000)
                except mimi_codec.AudioError as error:
                    print(error)
        """
        rate, flac = run_python(script, without=EXTRAS).splitlines()
        assert "16000" in rate
        assert "24000" in rate
        assert "mimi-codec[audio]" in rate
        assert "mimi-codec[audio]" in flac


class TestTokens:
    @pytest.fixture
    def tokens(self, tiny) -> Tokens:
        pcm = signals.noise(203)
        return Tokens.of(tiny, tiny.encode(pcm, num_codebooks=4), len(pcm))

    @pytest.mark.parametrize("suffix", ["safetensors", "npz"])
    def test_roundtrip(self, tiny, tokens, tmp_path, suffix):
        path = tmp_path / f"clip.{suffix}"
        write_tokens(path, tokens)
        again = read_tokens(path)
        np.testing.assert_array_equal(again.codes, tokens.codes)
        assert again.codes.dtype == np.int64
        assert metadata(again) == metadata(tokens)
        assert (again.num_samples, again.num_codebooks, again.num_frames) == (203, 4, 13)
        assert tiny.decode(again.codes).shape == (13 * 16,)

    def test_other_readers(self, tokens, tmp_path, tiny_dir):
        """The formats are what they say: other tools find the codes and the metadata."""
        expected = {
            "model": str(tiny_dir),
            "revision": "",
            "sample_rate": "24000",
            "frame_rate": "1500.0",
            "num_codebooks": "4",
            "codebook_size": "32",
            "axes": "codebook,frame",
            "num_samples": "203",
        }
        write_tokens(tmp_path / "clip.safetensors", tokens)
        with safe_open(tmp_path / "clip.safetensors", framework="numpy") as file:
            codes, fields = file.get_tensor("codes"), file.metadata()
        assert codes.dtype == np.uint16
        np.testing.assert_array_equal(codes, tokens.codes)
        assert expected.items() <= fields.items()
        write_tokens(tmp_path / "clip.npz", tokens)
        with np.load(tmp_path / "clip.npz") as archive:
            np.testing.assert_array_equal(archive["codes"], tokens.codes)
            assert {name: str(archive[name]) for name in expected} == expected

    def test_pipes(self, tokens):
        for file_format in ("safetensors", "npz"):
            buffer = io.BytesIO()
            write_tokens(buffer, tokens, file_format)
            buffer.seek(0)
            np.testing.assert_array_equal(read_tokens(buffer).codes, tokens.codes)

    def test_no_frames(self, tiny, tmp_path):
        write_tokens(tmp_path / "empty.npz", Tokens.of(tiny, np.zeros((4, 0), int)))
        assert read_tokens(tmp_path / "empty.npz").codes.shape == (4, 0)

    @pytest.mark.parametrize("suffix", ["safetensors", "npz"])
    def test_truncated(self, tokens, tmp_path, suffix):
        write_tokens(tmp_path / f"clip.{suffix}", tokens)
        data = (tmp_path / f"clip.{suffix}").read_bytes()
        for size in [*range(20), len(data) // 2, len(data) - 1]:
            with pytest.raises(LoadError):
                read_tokens(io.BytesIO(data[:size]))

    def test_files_of_something_else(self, tmp_path, tiny_dir):
        np.savez(tmp_path / "other.npz", codes=np.zeros((3, 3), int))
        (tmp_path / "text.npz").write_text("codes")
        for path in (tmp_path / "other.npz", tmp_path / "text.npz", tiny_dir / "model.safetensors"):
            with pytest.raises(LoadError, match=r"token file|safetensors"):
                read_tokens(path)

    def test_codes_that_contradict_the_metadata(self, tiny, tokens, tmp_path):
        with pytest.raises(CodesError, match=r"\b31\b.*\b40\b"):
            Tokens.of(tiny, np.full((4, 3), 40))
        with pytest.raises(CodesError, match=r"\b3\b.*\b999\b"):
            Tokens.of(tiny, np.zeros((4, 3), int), 999)
        with pytest.raises(CodesError, match=r"\(2, 4, 3\)"):
            Tokens.of(tiny, np.zeros((2, 4, 3), int))

    def test_an_unknown_suffix(self, tokens, tmp_path):
        with pytest.raises(LoadError, match=r"\.safetensors, \.npz.*clip\.txt"):
            write_tokens(tmp_path / "clip.txt", tokens)
        assert not (tmp_path / "clip.txt").exists()


class TestSynthetic:
    """The package's own random models, which `mimi bench` times."""

    @pytest.fixture(scope="class")
    def config(self, tiny) -> MimiConfig:
        return tiny.config

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_loads_and_spreads_its_codes(self, config, tmp_path, dtype):
        from mimi_codec.synthetic import write_synthetic

        mimi = Mimi.from_pretrained(write_synthetic(tmp_path, config, dtype=dtype))
        codes = mimi.encode(signals.noise(16 * 500))
        # Real codebooks are used all over; a freshly initialised model would give one code for everything.
        assert all(len(np.unique(row)) > config.codebook_size // 2 for row in codes)
        assert np.isfinite(mimi.decode(codes)).all()

    def test_same_seed_same_file(self, config, tmp_path):
        from mimi_codec.synthetic import write_synthetic

        files = [write_synthetic(tmp_path / str(i), config, seed=seed) for i, seed in enumerate((1, 1, 2))]
        first, same, other = ((path / "model.safetensors").read_bytes() for path in files)
        assert first == same
        assert first != other

    def test_transformers_agrees(self, config, tmp_path):
        from transformers import MimiModel

        import reference
        from mimi_codec.synthetic import write_synthetic

        write_synthetic(tmp_path, config)
        theirs = MimiModel.from_pretrained(tmp_path).eval()
        pcm = signals.noise(999)
        reference.assert_same_codes(Mimi.from_pretrained(tmp_path).encode(pcm), theirs, pcm)
