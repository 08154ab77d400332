"""Equality with rustymimi 0.4.1 on the released size, in Kyutai's layout; skipped where it is not installed.

Clips stay under 10 s: beyond its window rustymimi sees 251 positions offline, Transformers and this package 250. Whole
frames only: it pads the waveform like moshi, and its position counter runs on from call to call, so each clip gets a
new tokenizer.
"""

import numpy as np
import pytest

import reference
import signals
from mimi_codec import Mimi

rustymimi = pytest.importorskip("rustymimi")


@pytest.fixture(scope="module")
def ours(full_kyutai) -> Mimi:
    return Mimi.from_pretrained(full_kyutai, threads=2)


@pytest.mark.parametrize("num_codebooks", [8, 32])
def test_codes_and_audio(ours, full_pair, full_kyutai, speech, num_codebooks):
    pcm = np.concatenate([speech[: 20 * 1920], signals.chirp(20 * 1920)])
    theirs = rustymimi.Tokenizer(str(full_kyutai), num_codebooks=num_codebooks)
    codes = theirs.encode(pcm[None, None])[0].astype(np.int64)
    found = ours.encode(pcm, num_codebooks=num_codebooks)
    reference.assert_codes_fit(found, codes, full_pair.theirs, reference.latents(full_pair.theirs, pcm))
    audio = theirs.decode(codes[None].astype(np.uint32))[0, 0]
    reference.assert_near(ours.decode(codes), audio)


def test_a_part_of_a_frame_is_padded_like_moshi(ours, full_pair, full_kyutai):
    pcm = signals.noise(5001)
    whole = np.pad(pcm, (0, 3 * 1920 - len(pcm)))
    codes = rustymimi.Tokenizer(str(full_kyutai), num_codebooks=8).encode(whole[None, None])[0].astype(np.int64)
    found = ours.encode(pcm, num_codebooks=8, padding="moshi")
    reference.assert_codes_fit(found, codes, full_pair.theirs, reference.latents(full_pair.theirs, whole))
