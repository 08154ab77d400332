"""`mimi decode`: sound of the right model and length, in the format of the suffix."""

from pathlib import Path

import numpy as np
import pytest
from command import FAILED, RATE, WRONG_USAGE, files, mimi, sound

import signals
from mimi_codec import Tokens, read_tokens, write_tokens


@pytest.fixture
def tokens(tiny, tmp_path) -> Path:
    pcm = signals.chirp(5000)
    write_tokens(tmp_path / "tokens.npz", Tokens.of(tiny, tiny.encode(pcm, num_codebooks=5), len(pcm)))
    return tmp_path / "tokens.npz"


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "mcs"])
def test_a_file(tiny, tokens, tmp_path, suffix):
    """By the model that the file names, as long as the clip was."""
    write_tokens(tmp_path / f"other.{suffix}", read_tokens(tokens))
    mimi("decode", tmp_path / f"other.{suffix}", "-o", tmp_path / "out.wav", "--float")
    expected = tiny.decode(read_tokens(tokens).codes)[:5000]
    np.testing.assert_array_equal(sound(tmp_path / "out.wav"), expected)


def test_16_bits(tiny, tokens, tmp_path):
    mimi("decode", tokens, "-o", tmp_path / "out.wav")
    samples, rate = signals.read_wav(tmp_path / "out.wav")
    assert (rate, len(samples)) == (RATE, 5000)
    expected = tiny.decode(read_tokens(tokens).codes)[:5000].clip(-1, 32767 / 32768)
    assert np.abs(samples - expected).max() <= 0.5 / 32768  # rounding


# How far samples may be off: rounding to 16 bits, and what lossy formats do to noise and clicks of this size.
@pytest.mark.parametrize(
    ("suffix", "limit"), [("flac", 0.5 / 32768), ("aiff", 0.5 / 32768), ("ogg", 0.5), ("mp3", 0.5)]
)
def test_formats(tiny, tmp_path, suffix, limit):
    soundfile = pytest.importorskip("soundfile")
    pcm = 0.3 * np.sin(np.arange(70_000) / 20).astype(np.float32)  # more than is written at once
    write_tokens(tmp_path / "tokens.npz", Tokens.of(tiny, tiny.encode(pcm), len(pcm)))
    mimi("decode", tmp_path / "tokens.npz", "-o", tmp_path / f"out.{suffix}")
    expected = tiny.decode(tiny.encode(pcm))[: len(pcm)].clip(-1, 32767 / 32768)
    found = sound(tmp_path / f"out.{suffix}")
    assert soundfile.info(tmp_path / f"out.{suffix}").format.lower() in (suffix, "aiff")
    assert abs(len(found) - len(pcm)) <= (0 if limit < 0.1 else 1152)  # a frame of MP3
    if limit < 0.1:
        assert np.abs(found - expected).max() <= limit
    else:
        assert np.corrcoef(found[:60_000], expected[:60_000])[0, 1] > limit


def test_a_directory_of_a_format(tiny_dir, clips, tmp_path):
    mimi("encode", clips, "-o", tmp_path / "codes", "--format", "mcs", "--model", tiny_dir)
    mimi("decode", tmp_path / "codes", "-o", tmp_path / "out", "--format", "flac", "-j", 2)
    assert files(tmp_path / "out") == {"a.flac", "deep/b.flac", "deep/down/c.flac"}
    for name, source in (("a.flac", "a.wav"), ("deep/down/c.flac", "deep/down/c.WAV")):
        assert len(sound(tmp_path / "out" / name)) == len(sound(clips / source))


def test_bare_codes(tiny, tiny_dir, tmp_path):
    """An array of codes decodes by the model that --model names, and is refused without."""
    codes = tiny.encode(signals.chirp(1600))
    np.save(tmp_path / "codes.npy", codes[np.newaxis].astype(np.int16))
    mimi("decode", tmp_path / "codes.npy", "-o", tmp_path / "out.wav", "--float", "--model", tiny_dir)
    np.testing.assert_array_equal(sound(tmp_path / "out.wav"), tiny.decode(codes))
    done = mimi("decode", tmp_path / "codes.npy", "-o", tmp_path / "no.wav", code=FAILED)
    assert "--model" in done.stderr


def test_another_model_is_refused(tokens, tmp_path):
    done = mimi("decode", tokens, "-o", tmp_path / "out.wav", "--model", "demo", code=FAILED)
    assert "1024" in done.stderr
    assert "32" in done.stderr
    assert not (tmp_path / "out.wav").exists()


def test_a_model_that_is_gone(tokens, tmp_path):
    kept = read_tokens(tokens)
    moved = Tokens(kept.codes, str(tmp_path / "gone"), None, RATE, kept.frame_rate, 32, 5000)
    write_tokens(tmp_path / "moved.npz", moved)
    done = mimi("decode", tmp_path / "moved.npz", "-o", tmp_path / "out.wav", code=FAILED)
    assert str(tmp_path / "gone") in done.stderr


def test_wrong(tokens, tmp_path, run_python):
    for options in (
        ["-o", "out.txt"],
        ["-o", "out"],
        ["-o", "out.flac", "--float"],
        ["-o", "out.wav", "--format", "flac"],
        ["-o", "out.wav", "--raw", "s16le"],
    ):
        assert mimi("decode", tokens, *options, code=WRONG_USAGE, cwd=tmp_path).stderr
    out = run_python(
        f"""
        from mimi_codec.cli import main
        print(main(["decode", {str(tokens)!r}, "-o", "out.flac"]), main(["decode", {str(tokens)!r}, "-o", "out.wav"]))
        """,
        without=["soundfile"],
    )
    assert out == "2 0\n"
    assert files(tmp_path) == {"tokens.npz", "out.wav"}


def test_a_model_of_a_past_run(tiny_dir, clip, tmp_path):
    """A relative path in a token file is that of the encoding process; --model names it anew."""
    mimi("encode", clip, "-o", tmp_path / "a.npz", "--model", tiny_dir.name, cwd=tiny_dir.parent)
    mimi("decode", tmp_path / "a.npz", "-o", tmp_path / "a.wav", "--model", tiny_dir, cwd=tmp_path)
    assert len(sound(tmp_path / "a.wav")) == 5000
