"""The 12 Hz tokenizer of Qwen3-TTS: its encoder is a Mimi with the same weights, its decoder as in plain PyTorch."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import MimiConfig, MimiModel
from transformers.models.mimi.modeling_mimi import MimiEuclideanCodebook

import mimi_codec
import qwen_tts_reference
import reference
import signals
import synthetic
from family_models import random_codes
from mimi_codec.synthetic import write_synthetic, write_synthetic_family

CONFIGS = {
    "released rates": {},
    "other rates": {"upsample_rates": [6, 5, 8], "upsampling_ratios": [2, 4], "decoder_dim": 24},
    "grouped heads": {"num_key_value_heads": 2, "head_dim": 6, "attention_bias": True, "num_hidden_layers": 3},
    "narrow": {"hidden_size": 10, "latent_dim": 9, "codebook_dim": 6, "intermediate_size": 7, "sliding_window": 3},
    "wide window": {"sliding_window": 50, "rope_theta": 300.0, "rms_norm_eps": 1e-2},
    "two codebooks": {"num_quantizers": 2},
}


def decoded(directory, codes: np.ndarray) -> np.ndarray:
    config = json.loads((directory / "config.json").read_text())["decoder_config"]
    state = load_file(directory / "model.safetensors")
    return qwen_tts_reference.decode(state, config, torch.from_numpy(codes)).numpy()


@pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS)
def test_decode(changes, tmp_path):
    codec = mimi_codec.load(write_synthetic_family(tmp_path, "qwen3-tts", {"decoder_config": changes}, seed=3))
    assert (codec.frame_size, codec.delay) == (1920, 0)
    for frames in (1, 2, 9, 40):
        codes = random_codes(codec, frames)
        audio = codec.decode(codes)
        assert audio.shape == (1920 * frames,)
        reference.assert_near(audio, decoded(tmp_path, codes))


@pytest.mark.parametrize(("frames", "chunk_size", "context"), [(40, 300, 25), (41, 10, 25), (9, 1, 2), (26, 25, 25)])
def test_chunks(qwen_tts, qwen_tts_dir, frames, chunk_size, context):
    """As the reference goes through them; none of them loses a sample."""
    codes, pieces = random_codes(qwen_tts, frames), []
    for start in range(0, frames, chunk_size):
        before = context if start - context > 0 else start
        piece = decoded(qwen_tts_dir, codes[:, start - before : start + chunk_size])
        pieces.append(piece[before * 1920 :])
    ours = qwen_tts.chunked_decode(codes, chunk_size=chunk_size, left_context_size=context)
    reference.assert_near(ours, np.concatenate(pieces))


class TestEncoder:
    """Its files have a Mimi under `encoder.`, of which the decoder's half is missing."""

    def test_as_our_mimi(self, qwen_tts, qwen_tts_dir, tmp_path):
        config = json.loads((qwen_tts_dir / "config.json").read_text())["encoder_config"]
        write_synthetic(tmp_path, mimi_codec.MimiConfig.from_dict(config))
        mimi = mimi_codec.Mimi.from_pretrained(tmp_path, parts="encoder")
        for length in (1, 1919, 1920, 1921, 20 * 1920 + 77):
            pcm = signals.chirp(length)
            np.testing.assert_array_equal(qwen_tts.encode(pcm), mimi.encode(pcm, num_codebooks=16))
            np.testing.assert_array_equal(qwen_tts.encode_latents(pcm), mimi.encode_latents(pcm))
        pcm = signals.noise(9 * 1920, rows=3)
        sizes = [9 * 1920, 5000, 0]
        np.testing.assert_array_equal(qwen_tts.encode(pcm, lengths=sizes), mimi.encode(pcm, 16, lengths=sizes))

    def test_as_transformers(self, qwen_tts, qwen_tts_dir):
        config = json.loads((qwen_tts_dir / "config.json").read_text())["encoder_config"]
        mimi = MimiModel(MimiConfig(**config)).eval()
        state = load_file(qwen_tts_dir / "model.safetensors")
        own = {
            name: state.get("encoder." + synthetic.flat_name(name), value) for name, value in mimi.state_dict().items()
        }
        mimi.load_state_dict(own)
        for module in mimi.modules():
            if isinstance(module, MimiEuclideanCodebook):
                module._embed = None
        for length in (1, 1921, 30 * 1920 + 5):
            reference.assert_same_codes(qwen_tts.encode(signals.chirp(length)), mimi, signals.chirp(length))

    def test_fewer_codebooks(self, qwen_tts, qwen_tts_dir):
        pcm = signals.chirp(9000)
        fewer = mimi_codec.load(qwen_tts_dir, num_codebooks=5)
        np.testing.assert_array_equal(fewer.encode(pcm), qwen_tts.encode(pcm)[:5])
        np.testing.assert_array_equal(qwen_tts.encode(pcm, 5), qwen_tts.encode(pcm)[:5])
        np.testing.assert_array_equal(fewer.decode(fewer.encode(pcm)), qwen_tts.decode(qwen_tts.encode(pcm)[:5]))
