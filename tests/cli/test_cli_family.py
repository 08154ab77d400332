"""The command line and the codecs of Qwen and VibeVoice: one direction alone, delays, and what is left over."""

import json

import numpy as np
import pytest
from command import FAILED, RATE, WRONG_USAGE, mimi, sound, tokens_in

import mimi_codec
import signals
from mimi_codec import MimiConfig, Tokens, read_audio, read_tokens, write_tokens
from mimi_codec.synthetic import write_synthetic, write_synthetic_family
from mimi_codec.token_files import Codec, read_latents

CODEBOOKS, ENTRIES = 16, 64
DELAY = 555
ENCODERS = ["qwen3-tts", "vibevoice", "vibevoice-encoder"]
DECODERS = ["code2wav", "qwen3-tts", "vibevoice"]


@pytest.fixture(scope="module")
def codecs(tmp_path_factory):
    """Directories of tiny codecs by kind, and a Mimi with codebooks as large as theirs."""
    root = tmp_path_factory.mktemp("family")
    kinds = ("code2wav", "qwen3-tts", "vibevoice", "vibevoice-encoder")
    found = {kind: write_synthetic_family(root / kind, kind) for kind in kinds}
    config = MimiConfig(
        num_filters=4,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        upsample_groups=32,
        codebook_size=ENTRIES,
        codebook_dim=16,
        vector_quantization_hidden_dimension=16,
        num_quantizers=20,
    )
    return {**found, "mimi": write_synthetic(root / "mimi", config)}


@pytest.fixture
def wav(tmp_path):
    """Five samples longer than a whole number of VibeVoice's tiny frames."""
    signals.write_wav(tmp_path / "clip.wav", signals.chirp(20_005))
    return tmp_path / "clip.wav"


def frames_of(codec, pcm, **options):
    return codec.encode(pcm, **options) if hasattr(codec, "encode") else codec.encode_latents(pcm, **options)


def audio_of(codec, frames):
    return codec.decode(frames) if hasattr(codec, "decode") else codec.decode_latents(frames)


@pytest.mark.parametrize("kind", [*DECODERS, "vibevoice-encoder"])
def test_info_of_models(codecs, kind):
    codec = mimi_codec.load(codecs[kind])
    found = json.loads(mimi("info", codecs[kind], "--json").stdout)
    assert (found["kind"], found["codec"], found["delay"]) == ("model", kind, codec.delay)
    assert (found["parts"], found["module"], found["frame_size"]) == (codec.parts, None, codec.frame_size)
    assert found.get("codebooks") == getattr(codec, "num_codebooks", None)
    assert found["latent_dim"] == codec.latent_dim
    assert f"delay {codec.delay}" in " ".join(mimi("info", codecs[kind]).stdout.decode().split())


def test_info_of_several_models_says_which_codec_each_is(codecs):
    lines = mimi("info", codecs["code2wav"], codecs["vibevoice"]).stdout.decode()
    assert f"{codecs['code2wav']}: model, code2wav, 16 codebooks of 64" in lines
    assert f"{codecs['vibevoice']}: model, vibevoice, latents of 8" in lines


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("padding", ["transformers", "moshi"])
def test_encode(codecs, wav, tmp_path, kind, padding):
    codec, file = mimi_codec.load(codecs[kind]), tmp_path / "clip.npz"
    done = mimi("encode", wav, "-o", file, "--model", codecs[kind], "--padding", padding)
    pcm = read_audio(wav, RATE)
    expected = frames_of(codec, pcm, padding=padding)
    left_over = codec.left_over(len(pcm), padding=padding)
    assert left_over == (5 if kind.startswith("vibevoice") and padding == "transformers" else 0)
    if kind == "qwen3-tts":
        content = read_tokens(file)
        np.testing.assert_array_equal(content.codes, expected)
        assert content.kind == kind
    else:
        content = read_latents(file)
        np.testing.assert_array_equal(content.latents, expected)
    assert content.num_samples == len(pcm) - left_over
    assert ("5 samples left over at the end of 1 file, less than a frame" in done.stderr) == bool(left_over)


def test_what_is_left_over_is_in_the_summary(codecs, tmp_path):
    (tmp_path / "in").mkdir()
    for name, length in (("a", 165), ("b", 160), ("c", 15)):
        signals.write_wav(tmp_path / "in" / f"{name}.wav", signals.noise(length))
    command = ["encode", tmp_path / "in", "-o", tmp_path / "out", "--model", codecs["vibevoice"]]
    found = json.loads(mimi(*command, "--json").stdout)
    assert [entry.get("left_over") for entry in found["files"]] == [5, None, 15]
    assert "20 samples left over at the end of 2 files" in mimi(*command, "-f").stderr
    short = read_latents(tmp_path / "out" / "c.safetensors")
    assert (short.latents.shape, short.num_samples) == ((8, 0), 0)
    mimi("decode", tmp_path / "out" / "c.safetensors", "-o", tmp_path / "c.wav")
    assert len(sound(tmp_path / "c.wav")) == 0


@pytest.mark.parametrize("kind", ["qwen3-tts", "vibevoice"])
def test_decode(codecs, wav, tmp_path, kind):
    file, out = tmp_path / "clip.npz", tmp_path / "out.wav"
    mimi("encode", wav, "-o", file, "--model", codecs[kind])
    mimi("decode", file, "-o", out, "--float")
    codec = mimi_codec.load(codecs[kind])
    expected = audio_of(codec, frames_of(codec, read_audio(wav, RATE)))
    length = 20_005 if kind == "qwen3-tts" else 20_000
    np.testing.assert_array_equal(sound(out), expected[:length])


@pytest.mark.parametrize("length", [1920 * 3, 1920 * 3 - 100, 1920 * 3 - 554, 1920 * 3 - 555, 1920 * 3 - 1900, 1, 0])
def test_codes_of_mimi_decoded_by_code2wav(codecs, tmp_path, length):
    """The sound begins where the clip begins. It ends with it where the padding of the last frame is as long as the
    decoder looks ahead, and otherwise with the last sample that there is."""
    pcm, out = signals.chirp(length), tmp_path / "out.wav"
    mimi_coder, decoder = mimi_codec.load(codecs["mimi"]), mimi_codec.load(codecs["code2wav"])
    codes = mimi_coder.encode(pcm, CODEBOOKS)
    write_tokens(tmp_path / "clip.mcs", Tokens.of(mimi_coder, codes, length))
    done = mimi("decode", tmp_path / "clip.mcs", "-o", out, "--float", "--model", codecs["code2wav"])
    whole = decoder.decode(codes)
    assert len(whole) == max(0, codes.shape[1] * 1920 - DELAY)
    np.testing.assert_array_equal(sound(out), whole[:length])
    missing = length > len(whole)
    assert len(sound(out)) == (len(whole) if missing else length)
    assert ("the last samples are missing, at most 555" in done.stderr) == missing


def test_more_codebooks_than_the_decoder_has(codecs, wav, tmp_path):
    file, out = tmp_path / "clip.safetensors", tmp_path / "out.wav"
    mimi("encode", wav, "-o", file, "--model", codecs["mimi"])
    command = ["decode", file, "-o", out, "--model", codecs["code2wav"]]
    assert "has 16 codebooks, the file 20; -k 16 takes the first" in mimi(*command, code=FAILED).stderr
    assert not out.exists()
    mimi(*command, "-k", 16, "--float")
    codes = read_tokens(file).codes[:16]
    np.testing.assert_array_equal(sound(out), mimi_codec.load(codecs["code2wav"]).decode(codes)[:20_005])
    assert "expected codes of all 16 codebooks, got 8" in mimi(*command, "-f", "-k", 8, code=FAILED).stderr
    assert "the file has 20 codebooks, asked for 21" in mimi(*command, "-f", "-k", 21, code=FAILED).stderr


def test_fewer_codebooks_of_a_file(codecs, wav, tmp_path):
    file, out = tmp_path / "clip.npz", tmp_path / "out.wav"
    mimi("encode", wav, "-o", file, "--model", codecs["mimi"])
    mimi("decode", file, "-o", out, "-k", 4, "--float")
    expected = mimi_codec.load(codecs["mimi"]).decode(read_tokens(file).codes[:4])
    np.testing.assert_array_equal(sound(out), expected[:20_005])


@pytest.mark.parametrize(
    ("made_by", "given_to", "message"),
    [
        ("qwen3-tts", "code2wav", "expected codes of the kind 'mimi', got 'qwen3-tts'"),
        ("qwen3-tts", "mimi", "expected codes of the kind 'mimi', got 'qwen3-tts'"),
        ("mimi", "qwen3-tts", "expected codes of the kind 'qwen3-tts', got 'mimi'"),
        ("mimi", "vibevoice", "has latents and no codes, got a file of codes"),
        ("vibevoice", "code2wav", "cannot decode the latents: expected (sample rate, frame rate, width)"),
        ("vibevoice", "vibevoice-encoder", "cannot decode: the codec has no decoder"),
        ("mimi", "code2wav", None),
        ("vibevoice-encoder", "vibevoice", "expected (sample rate, frame rate, width) (24000, 1500.0, 8), got"),
    ],
)
def test_files_of_another_codec(codecs, wav, tmp_path, made_by, given_to, message):
    file = tmp_path / "clip.npz"
    few = ["-k", CODEBOOKS] if made_by in ("mimi", "qwen3-tts") else []
    mimi("encode", wav, "-o", file, "--model", codecs[made_by], *few)
    command = ["decode", file, "-o", tmp_path / "out.wav", "--model", codecs[given_to]]
    done = mimi(*command, code=FAILED if message else 0)
    assert message is None or message in done.stderr
    assert (tmp_path / "out.wav").exists() == (message is None)


def test_files_that_do_not_say_the_kind_are_taken(codecs, tmp_path):
    codes = np.zeros((CODEBOOKS, 3), np.int64)
    write_tokens(tmp_path / "old.npz", Tokens.of_codec(Codec("unknown", None, 24000, 12.5, ENTRIES), codes))
    np.save(tmp_path / "bare.npy", codes)
    for name in ("old.npz", "bare.npy"):
        mimi("decode", tmp_path / name, "-o", tmp_path / "out.wav", "-f", "--model", codecs["code2wav"])
        assert len(sound(tmp_path / "out.wav")) == 3 * 1920 - DELAY


def test_bare_codes_and_a_codec_of_latents(codecs, tmp_path):
    np.save(tmp_path / "bare.npy", np.zeros((CODEBOOKS, 3), np.int64))
    command = ["decode", tmp_path / "bare.npy", "-o", tmp_path / "out.wav", "--model", codecs["vibevoice"]]
    assert "has latents and no codes, got a file of codes" in mimi(*command, code=FAILED).stderr


def test_a_file_that_names_an_encoder_does_not_stop_the_others(codecs, wav, tmp_path):
    for kind in ("vibevoice-encoder", "qwen3-tts"):
        mimi("encode", wav, "-o", tmp_path / "in" / f"{kind}.npz", "--model", codecs[kind])
    done = mimi("decode", tmp_path / "in", "-o", tmp_path / "out", code=FAILED)
    assert "vibevoice-encoder.npz: " in done.stderr
    assert "cannot decode: the codec has no decoder" in done.stderr
    assert len(sound(tmp_path / "out" / "qwen3-tts.wav")) == 20_005


def test_encode_with_a_decoder_alone(codecs, wav, tmp_path):
    done = mimi("encode", wav, "-o", tmp_path / "clip.npz", "--model", codecs["code2wav"], code=FAILED)
    assert f"{codecs['code2wav']} cannot encode: the codec has no encoder" in done.stderr
    assert not (tmp_path / "clip.npz").exists()


@pytest.mark.parametrize("kind", DECODERS)
def test_pipes(codecs, wav, kind):
    """Bytes in, bytes out: bare samples to a token file to bare samples."""
    codec, pcm = mimi_codec.load(codecs[kind]), read_audio(wav, RATE)
    maker = "mimi" if kind == "code2wav" else kind
    few = ["-k", CODEBOOKS] if maker == "mimi" else []
    command = ["encode", "-", "--raw", "f32le", "-q", "--model", codecs[maker], *few]
    made = mimi(*command, stdin=pcm.astype("<f4").tobytes()).stdout
    shown = ["decode", "-", "--raw", "f32le", "-q", "--model", codecs[kind]]
    samples = np.frombuffer(mimi(*shown, stdin=made).stdout, "<f4")
    frames = frames_of(mimi_codec.load(codecs[maker]), pcm, **({"num_codebooks": CODEBOOKS} if few else {}))
    expected = audio_of(codec, frames)[: len(pcm)]
    np.testing.assert_array_equal(samples, expected)
    if maker != kind:
        assert tokens_in(made).kind == "mimi"


@pytest.mark.parametrize("suffix", ["safetensors", "npz", "mcs"])
def test_formats_keep_the_kind(codecs, wav, tmp_path, suffix):
    file = tmp_path / f"clip.{suffix}"
    mimi("encode", wav, "-o", file, "--model", codecs["qwen3-tts"])
    mimi("tokens", file, "-o", tmp_path / "again.npz", "-f")
    assert read_tokens(tmp_path / "again.npz").kind == "qwen3-tts"
    assert json.loads(mimi("info", file, "--json").stdout)["codec"] == "qwen3-tts"


def test_the_format_of_moshi_cpp_is_for_codes_of_mimi(tmp_path):
    """It names no model, so that the codes of another would be taken for those of Mimi."""
    file = tmp_path / "clip.npz"
    write_tokens(file, Tokens.of_codec(Codec("tts", kind="qwen3-tts"), np.zeros((16, 3), np.int64)))
    done = mimi("tokens", file, "-o", tmp_path / "clip.mimi", code=FAILED)
    assert ".mimi files are for codes of Mimi, got codes of a codec of the kind 'qwen3-tts'" in done.stderr
    write_tokens(file, Tokens.of_codec(Codec("talker", kind="code2wav"), np.zeros((16, 3), np.int64)))
    mimi("tokens", file, "-o", tmp_path / "clip.mimi")
    assert read_tokens(tmp_path / "clip.mimi").kind == "mimi"


def test_bare_codes_of_a_model(codecs, tmp_path):
    np.save(tmp_path / "bare.npy", np.zeros((CODEBOOKS, 3), np.int64))
    command = ["tokens", tmp_path / "bare.npy", "-o", tmp_path / "clip.npz", "--model"]
    mimi(*command, codecs["code2wav"])
    content = read_tokens(tmp_path / "clip.npz")
    assert (content.model, content.kind, content.codebook_size) == (str(codecs["code2wav"]), "code2wav", ENTRIES)
    done = mimi(*command, codecs["vibevoice"], "-f", code=WRONG_USAGE)
    assert "the codec has latents and no codes" in done.stderr


@pytest.mark.parametrize("kind", [*DECODERS, "vibevoice-encoder"])
def test_bench(codecs, kind):
    command = ["bench", "--model", codecs[kind], "--seconds", 1, "--frames", 2, "--repeats", 1]
    found = json.loads(mimi(*command, "--json").stdout)
    there = {"encode": kind in ENCODERS, "decode": kind in DECODERS}
    for direction, is_there in there.items():
        assert (f"{direction}_times_real_time" in found) == is_there
        assert (f"{direction}_frame_ms" in found) == is_there
    assert found["codec"] == kind
    assert found["sessions_per_core"] > 0
    text = mimi(*command).stdout.decode()
    for direction, is_there in there.items():
        assert (f"stream {direction}" in text) == is_there
        assert (f"{direction[:-1]}ing" in text.splitlines()[-2]) == is_there
    assert found.get("codebooks") == {"code2wav": 16, "qwen3-tts": 8}.get(kind)


def test_bench_of_too_few_codebooks(codecs):
    done = mimi("bench", "--model", codecs["code2wav"], "-k", 3, "--seconds", 1, code=FAILED)
    assert "expected codes of all 16 codebooks, got 3" in done.stderr


class TestModule:
    @pytest.fixture(scope="class")
    def host(self, tmp_path_factory):
        """A model of two codecs: two decoders of Qwen's, under names of their own."""
        from safetensors.numpy import load_file, save_file

        root = tmp_path_factory.mktemp("host")
        tensors = {}
        for seed, name in enumerate(["voice", "other"]):
            part = write_synthetic_family(root / name, "code2wav", prefix=f"{name}.", seed=seed)
            tensors |= load_file(part / "model.safetensors")
        both = root / "both"
        both.mkdir()
        save_file(tensors, both / "model.safetensors")
        (both / "config.json").write_bytes((root / "voice" / "config.json").read_bytes())
        return both

    def test_is_asked_for(self, host, tmp_path):
        done = mimi("info", host, code=FAILED)
        assert "name one of them as `module`" in done.stderr
        found = json.loads(mimi("info", host, "--module", "other", "--json").stdout)
        assert (found["codec"], found["module"]) == ("code2wav", "other")
        assert "expected one of" in mimi("info", host, "--module", "third", code=FAILED).stderr

    def test_decodes_with_the_module(self, host, tmp_path):
        codes = np.arange(48).reshape(16, 3) % ENTRIES
        np.save(tmp_path / "codes.npy", codes)
        for name in ("voice", "other"):
            command = ["decode", tmp_path / "codes.npy", "-o", tmp_path / "out.wav", "-f", "--float"]
            mimi(*command, "--model", host, "--module", name)
            expected = mimi_codec.load(host, module=name).decode(codes)
            np.testing.assert_array_equal(sound(tmp_path / "out.wav"), expected)

    def test_of_the_embedded_model(self, wav, tmp_path):
        command = ["encode", wav, "-o", tmp_path / "clip.npz", "--model", "demo", "--module", "codec"]
        assert "the embedded model is not part of a larger one" in mimi(*command, code=WRONG_USAGE).stderr


def test_tokenize_leaves_out_what_is_left_over(codecs, tmp_path):
    """Files of clips say how many samples their frames hold, and can be read."""
    (tmp_path / "in").mkdir()
    signals.write_wav(tmp_path / "in" / "a.wav", signals.noise(165))
    command = ["tokenize", tmp_path / "in", "--model", codecs["vibevoice"], "--shards", 1, "--format", "files"]
    for padding, samples in (("transformers", 160), ("moshi", 165)):
        out = tmp_path / padding
        mimi(*command, "-o", out, "--padding", padding)
        (file,) = out.rglob("*.safetensors")
        assert read_latents(file).num_samples == samples


def test_tokenize_says_the_kind(codecs, tmp_path):
    (tmp_path / "in").mkdir()
    signals.write_wav(tmp_path / "in" / "a.wav", signals.noise(4000))
    command = ["tokenize", tmp_path / "in", "--model", codecs["qwen3-tts"], "--shards", 1, "--format", "files"]
    mimi(*command, "-o", tmp_path / "out")
    (file,) = (tmp_path / "out").rglob("*.safetensors")
    content = read_tokens(file)
    assert (content.kind, content.num_samples, content.codes.shape) == ("qwen3-tts", 4000, (16, 3))
