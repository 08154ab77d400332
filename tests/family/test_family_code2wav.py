"""Code2Wav equals Transformers' `Qwen3OmniMoeCode2Wav`, on the CPU in float32."""

import math

import numpy as np
import pytest

import family_models
import mimi_codec
import reference
from family_models import DELAY, code2wav_delay, decode, random_codes

# Of the full size, against the reference in float64. On processors with AVX-512 and with AVX2 alone this codec was off
# by 5.2e-6 at most, the reference in float32 by 5.4e-6 and 8.5e-6: so the two may differ by more. The tiny sizes have
# less to add up.
FULL_SIZE = 1e-5

# Each differs from the tiny one where an assumption could hide: rates, depths, widths, heads, windows, codebooks.
CONFIGS = {
    "other rates": {"upsample_rates": [3, 7], "upsampling_ratios": [5], "decoder_dim": 12},
    "one rate, odd widths": {"upsample_rates": [6], "upsampling_ratios": [3, 1], "decoder_dim": 10},
    "a rate of one": {"upsample_rates": [4, 1, 2], "upsampling_ratios": [2, 2, 2], "decoder_dim": 24},
    "many small rates": {"upsample_rates": [2, 2, 2, 2, 3], "upsampling_ratios": [2], "decoder_dim": 32},
    "rates alone": {"upsample_rates": [5, 4], "upsampling_ratios": []},
    "ratios alone": {"upsample_rates": [], "upsampling_ratios": [4, 3], "decoder_dim": 7},
    "grouped heads": {"num_attention_heads": 6, "num_key_value_heads": 3, "hidden_size": 36},
    "one head of keys, biases": {"num_key_value_heads": 1, "attention_bias": True},
    "one head": {"num_attention_heads": 1, "num_key_value_heads": 1, "hidden_size": 18, "intermediate_size": 7},
    "no layers": {"num_hidden_layers": 0},
    "deep": {"num_hidden_layers": 5, "rms_norm_eps": 1e-2, "rope_theta": 77.0},
    "window of one": {"sliding_window": 1},
    "window of a block": {"sliding_window": 33},
    "one codebook of two": {"num_quantizers": 1, "codebook_size": 2},
    "three codebooks": {"num_quantizers": 3, "codebook_size": 1000},
}


def lengths(window: int) -> list[int]:
    """Frames: one, a few, and several windows, which is more than a block of 32 too."""
    return [1, 2, 5, max(40, 3 * window + 7)]


@pytest.mark.parametrize("frames", [1, 2, 3, 8, 9, 31, 32, 33, 75])
def test_tiny(code2wav, frames):
    codes = random_codes(code2wav.ours, frames)
    audio = code2wav.ours.decode(codes)
    assert audio.shape == (1920 * frames - DELAY,)
    reference.assert_near(audio, decode(code2wav.theirs, codes))


@pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS)
def test_configurations(changes, tmp_path):
    pair = family_models.code2wav(tmp_path, changes, seed=3)
    ours, config = pair.ours, pair.theirs.config
    rates = list(config.upsample_rates)
    assert ours.frame_size == math.prod(rates + list(config.upsampling_ratios)) == pair.theirs.total_upsample
    assert ours.delay == code2wav_delay(rates)
    assert (ours.num_codebooks, ours.codebook_size) == (config.num_quantizers, config.codebook_size)
    for frames in lengths(config.sliding_window):
        if frames * ours.frame_size > ours.delay:
            codes = random_codes(ours, frames, rows=2)
            reference.assert_near(ours.decode(codes), decode(pair.theirs, codes))


def test_full_size(tmp_path):
    """All that has a size is the released model's; the attention's window is full after 72 frames."""
    pair = family_models.code2wav(tmp_path, size="full", seed=2)
    assert sum(parameter.numel() for parameter in pair.theirs.parameters()) == 216_016_577
    codes = random_codes(pair.ours, 3)
    exact = decode(pair.theirs.double(), codes).astype(np.float32)
    reference.assert_near(pair.ours.decode(codes), exact, FULL_SIZE)


def test_full_windows(tmp_path):
    """The released depth, heads and window, behind a narrow decoder: a clip of more than three windows."""
    widths = {"hidden_size": 1024, "intermediate_size": 64, "num_hidden_layers": 8, "codebook_size": 8}
    heads = {"num_attention_heads": 16, "num_key_value_heads": 16, "sliding_window": 72}
    rates = {"upsample_rates": [2, 2], "upsampling_ratios": [1], "decoder_dim": 8}
    pair = family_models.code2wav(tmp_path, widths | heads | rates)
    codes = random_codes(pair.ours, 250)
    reference.assert_near(pair.ours.decode(codes), decode(pair.theirs, codes))


def test_ragged_batch(code2wav):
    """A row is what it would be alone, with nothing of the frames behind its end; 0 stands where it has no samples."""
    codes, sizes = random_codes(code2wav.ours, 21, rows=4), [21, 0, 1, 9]
    audio = code2wav.ours.decode(codes, lengths=sizes)
    assert audio.shape == (4, 1, 21 * 1920 - DELAY)
    for row, size in enumerate(sizes):
        samples = max(0, size * 1920 - DELAY)
        if size:
            reference.assert_near(audio[row, 0, :samples], decode(code2wav.theirs, codes[row, :, :size]))
        assert not audio[row, 0, samples:].any()


def test_prefixes(code2wav):
    """What fewer frames give is the beginning of what more give, to the bit; in the reference but for 2e-6."""
    codes = random_codes(code2wav.ours, 40)
    whole = code2wav.ours.decode(codes)
    for frames in (1, 2, 13, 32, 39):
        settled = frames * 1920 - DELAY
        np.testing.assert_array_equal(code2wav.ours.decode(codes[:, :frames]), whole[:settled])
        reference.assert_near(decode(code2wav.theirs, codes[:, :frames]), whole[:settled])


@pytest.mark.parametrize(
    ("frames", "chunk_size", "context"),
    [(20, 300, 25), (60, 10, 25), (60, 1, 3), (61, 7, 0), (26, 25, 25), (53, 13, 26), (2, 1, 1)],
)
def test_chunks(code2wav, frames, chunk_size, context):
    """As many samples, and in the same places, as the reference's chunks give.

    A context of 25 frames is more than enough here, as two layers see 14 frames back, and so both sides of a seam are
    parts of the whole; a shorter one is repeated seam by seam.
    """
    codes = random_codes(code2wav.ours, frames)
    theirs = decode(code2wav.theirs, codes, chunk_size=chunk_size, left_context_size=context)
    ours = code2wav.ours.chunked_decode(codes, chunk_size=chunk_size, left_context_size=context)
    assert len(ours) == frames * 1920 - DELAY * math.ceil(frames / chunk_size)
    reference.assert_near(ours, theirs)
    batch = np.stack([codes, codes[:, ::-1]])
    rows = code2wav.ours.chunked_decode(batch, chunk_size=chunk_size, left_context_size=context)
    assert rows.shape == (2, 1, len(ours))
    np.testing.assert_array_equal(rows[0, 0], ours)


def test_chunks_of_enough_context_are_parts_of_the_whole(code2wav):
    codes = random_codes(code2wav.ours, 50)
    whole = code2wav.ours.decode(codes)
    chunks = code2wav.ours.chunked_decode(codes, chunk_size=20, left_context_size=25)
    first, second = 20 * 1920 - DELAY, 40 * 1920 - 2 * DELAY
    np.testing.assert_array_equal(chunks[:first], whole[:first])
    reference.assert_near(chunks[first:second], whole[20 * 1920 : 40 * 1920 - DELAY])
    reference.assert_near(chunks[second:], whole[40 * 1920 :])


def test_clamped(code2wav, tmp_path):
    """Loud samples end at -1 and 1, as there."""
    from model_files import change_tensors

    family_models.code2wav(tmp_path)
    change_tensors(tmp_path, lambda state: state.update({"decoder.6.conv.weight": 30 * state["decoder.6.conv.weight"]}))
    loud = mimi_codec.load(tmp_path)
    audio = loud.decode(random_codes(loud, 9))
    assert np.mean(np.abs(audio) == 1) > 0.1
    assert np.abs(audio).max() == 1
    pushed = np.concatenate([loud.decoder_stream().push(random_codes(loud, 9))])
    np.testing.assert_array_equal(pushed, audio)


def test_empty(code2wav):
    assert code2wav.ours.decode(np.zeros((16, 0), np.int64)).shape == (0,)
    assert code2wav.ours.chunked_decode(np.zeros((2, 16, 0), np.int64)).shape == (2, 1, 0)


class TestRefused:
    @pytest.mark.parametrize(
        ("codes", "words"),
        [
            (np.zeros((8, 3), np.int64), "16.*got 8"),
            (np.zeros((17, 3), np.int64), "got 17"),
            (np.full((16, 3), 64), "64"),
            (np.full((16, 3), -2), "-2"),
        ],
    )
    def test_codes(self, code2wav, codes, words):
        for call in (code2wav.ours.decode, code2wav.ours.chunked_decode, code2wav.ours.decoder_stream().push):
            with pytest.raises(mimi_codec.CodesError, match=words):
                call(codes)

    def test_sizes_of_chunks(self, code2wav):
        codes = random_codes(code2wav.ours, 3)
        for options in ({"chunk_size": 0}, {"left_context_size": -1}):
            with pytest.raises(mimi_codec.ConfigError, match=next(iter(options))):
                code2wav.ours.chunked_decode(codes, **options)
        with pytest.raises(mimi_codec.InputTypeError, match="chunk_size"):
            code2wav.ours.chunked_decode(codes, chunk_size=2.5)
        with pytest.raises(mimi_codec.CodesError, match="all frames of all rows"):
            code2wav.ours.chunked_decode(np.full((1, 16, 2), -1))

    def test_what_it_has_not(self, code2wav):
        for call in (lambda: code2wav.ours.encode(np.zeros(1920, np.float32)), code2wav.ours.encoder_stream):
            with pytest.raises(mimi_codec.ConfigError, match="'code2wav' has no encoder"):
                call()
