"""`mimi encode`: the codes of the model, in the file that was asked for."""

import os
import subprocess
import sys

import numpy as np
import pytest
from command import RATE, WRONG_USAGE, files, mimi, sound

import signals
from mimi_codec import Mimi, read_tokens
from mimi_codec.cli import encode

WATCHDOG = 120


@pytest.mark.parametrize("suffix", ["safetensors", "npz", "mcs"])
def test_a_file(tiny, tiny_dir, clip, tmp_path, suffix):
    out = tmp_path / f"codes.{suffix}"
    mimi("encode", clip, "-o", out, "--model", tiny_dir)
    tokens = read_tokens(out)
    np.testing.assert_array_equal(tokens.codes, tiny.encode(sound(clip)))
    assert (tokens.num_samples, tokens.sample_rate, tokens.model) == (5000, RATE, str(tiny_dir))


def test_what_the_format_cannot_hold(tiny_dir, clip, tmp_path):
    """`.mimi` files are for kyutai/mimi: known before anything is encoded."""
    done = mimi("encode", clip, "-o", tmp_path / "a.mimi", "--model", tiny_dir, code=WRONG_USAGE)
    assert "2048" in done.stderr
    assert files(tmp_path) == {"clip.wav"}


def test_some_codebooks(tiny, tiny_dir, clip, tmp_path):
    mimi("encode", clip, "-o", tmp_path / "codes.npz", "-k", 2, "--model", tiny_dir)
    np.testing.assert_array_equal(read_tokens(tmp_path / "codes.npz").codes, tiny.encode(sound(clip), 2))


@pytest.mark.parametrize("padding", ["moshi", "transformers"])
@pytest.mark.parametrize("samples", [5000, 64 * 16 * 3, 64 * 16 * 3 + 1])  # within a frame, and at a block's end
def test_padding(tiny, tiny_dir, tmp_path, padding, samples):
    signals.write_wav(tmp_path / "clip.wav", signals.chirp(samples))
    mimi("encode", "clip.wav", "-o", "codes.npz", "--padding", padding, "--model", tiny_dir, cwd=tmp_path)
    expected = tiny.encode(sound(tmp_path / "clip.wav"), padding=padding)
    np.testing.assert_array_equal(read_tokens(tmp_path / "codes.npz").codes, expected)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_progress_bar_changes_nothing(tmp_path, terminal):
    pty = pytest.importorskip("pty")
    signals.write_wav(tmp_path / "long.wav", signals.noise(13 * RATE + 5))
    command = [sys.executable, "-m", "mimi_codec", "encode", "long.wav", "-o", "long.npz", "--model", "demo"]
    ours, theirs = pty.openpty()
    try:
        stderr = theirs if terminal else subprocess.DEVNULL
        subprocess.run(command, check=True, timeout=WATCHDOG, cwd=tmp_path, stderr=stderr)
    finally:
        os.close(ours)
        os.close(theirs)
    codes = read_tokens(tmp_path / "long.npz").codes
    np.testing.assert_array_equal(codes, Mimi.demo().encode(sound(tmp_path / "long.wav")))


def test_an_empty_clip(tiny_dir, tmp_path):
    signals.write_wav(tmp_path / "empty.wav", np.zeros(0))
    mimi("encode", tmp_path / "empty.wav", "-o", tmp_path / "empty.npz", "--model", tiny_dir)
    assert read_tokens(tmp_path / "empty.npz").codes.shape == (6, 0)
    mimi("decode", tmp_path / "empty.npz", "-o", tmp_path / "again.wav")
    assert sound(tmp_path / "again.wav").shape == (0,)


def test_other_rates_are_resampled(tiny_dir, tmp_path):
    pytest.importorskip("soxr")
    signals.write_wav(tmp_path / "slow.wav", signals.noise(8000), rate=16000)
    done = mimi("encode", tmp_path / "slow.wav", "-o", tmp_path / "slow.npz", "--model", tiny_dir)
    assert read_tokens(tmp_path / "slow.npz").num_samples == 12000
    assert "resampled from 16000 Hz" in done.stderr


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_weights_in_less(dtype, clip, tiny_dir, tmp_path):
    mimi("encode", clip, "-o", tmp_path / "a.npz", "--model", tiny_dir, "--dtype", dtype)
    expected = Mimi.from_pretrained(tiny_dir, dtype=dtype).encode(sound(clip))
    np.testing.assert_array_equal(read_tokens(tmp_path / "a.npz").codes, expected)
    assert "int9" in mimi("encode", clip, "--model", tiny_dir, "--dtype", "int9", code=2).stderr


class TestChannels:
    @pytest.fixture
    def dialogue(self, tmp_path):
        """Two speakers, a channel each."""
        pair = np.stack([signals.chirp(3000), signals.noise(3000)], 1)
        signals.write_wav(tmp_path / "talk.wav", pair, channels=2)
        return tmp_path / "talk.wav"

    def test_mixed_is_said(self, tiny, tiny_dir, dialogue, tmp_path):
        done = mimi("encode", dialogue, "-o", tmp_path / "mix.npz", "--model", tiny_dir)
        assert "2 channels averaged" in done.stderr
        np.testing.assert_array_equal(read_tokens(tmp_path / "mix.npz").codes, tiny.encode(sound(dialogue)))

    @pytest.mark.parametrize(("choice", "index"), [("first", 0), ("1", 0), ("2", 1)])
    def test_one_of_them(self, tiny, tiny_dir, dialogue, tmp_path, choice, index):
        mimi("encode", dialogue, "-o", tmp_path / "one.npz", "--channels", choice, "--model", tiny_dir)
        from mimi_codec.audio import read_sound

        pcm = read_sound(dialogue, RATE, channels="separate").samples[index]
        np.testing.assert_array_equal(read_tokens(tmp_path / "one.npz").codes, tiny.encode(pcm))

    def test_separate(self, tiny, tiny_dir, dialogue, tmp_path):
        command = ["encode", dialogue, "-o", tmp_path / "talk.npz", "--channels", "separate", "--model", tiny_dir]
        mimi(*command)
        assert files(tmp_path) == {"talk.wav", "talk.1.npz", "talk.2.npz"}
        assert "1 kept" in mimi(*command).stderr
        second = read_tokens(tmp_path / "talk.2.npz").codes
        (tmp_path / "talk.1.npz").unlink()  # as if stopped before the last file of the clip
        mimi(*command, "-f")
        np.testing.assert_array_equal(read_tokens(tmp_path / "talk.2.npz").codes, second)
        from mimi_codec.audio import read_sound

        rows = read_sound(dialogue, RATE, channels="separate").samples
        for number, pcm in enumerate(rows, 1):
            np.testing.assert_array_equal(read_tokens(tmp_path / f"talk.{number}.npz").codes, tiny.encode(pcm))

    def test_wrong(self, tiny_dir, dialogue, tmp_path):
        out = ["-o", tmp_path / "x.npz", "--model", tiny_dir]
        assert "first, separate" in mimi("encode", dialogue, *out, "--channels", "0", code=WRONG_USAGE).stderr
        assert "3" in mimi("encode", dialogue, *out, "--channels", "3", code=1).stderr
        piped = ["encode", dialogue, "-o", "-", "--channels", "separate", "--model", tiny_dir]
        assert "need names" in mimi(*piped, code=WRONG_USAGE).stderr


def test_damage_is_told(tiny_dir, clip, tmp_path):
    """What is there of a file that was cut short, with a warning; nothing of it where that is asked for."""
    (tmp_path / "cut.wav").write_bytes(clip.read_bytes()[:5000])
    done = mimi("encode", tmp_path / "cut.wav", "-o", tmp_path / "cut.npz", "--model", tiny_dir)
    assert "cut.wav" in done.stderr
    assert "1 file with warnings" in done.stderr
    assert read_tokens(tmp_path / "cut.npz").num_samples == (5000 - 44) // 2
    mimi("encode", tmp_path / "cut.wav", "-o", tmp_path / "no.npz", "--strict", "--model", tiny_dir, code=1)
    assert not (tmp_path / "no.npz").exists()


def test_several_at_once(tiny, tiny_dir, tmp_path):
    """--jobs: the same files with any number of threads, and the summary of all."""
    (tmp_path / "in").mkdir()
    for index in range(1, 7):
        signals.write_wav(tmp_path / f"in/{index}.wav", signals.noise(2000 + index, seed=index))
    done = mimi("encode", tmp_path / "in", "-o", tmp_path / "out", "-j", 3, "--model", tiny_dir)
    assert "encoded 6 files" in done.stderr
    for index in range(1, 7):
        codes = read_tokens(tmp_path / f"out/{index}.safetensors").codes
        np.testing.assert_array_equal(codes, tiny.encode(sound(tmp_path / f"in/{index}.wav")))


def test_blocks_are_whole_frames():
    assert encode.BLOCK_FRAMES % 32 == 0  # the codec's own blocks: no more calls, and no smaller products
