"""What `mimi_codec.load` makes of Pocket TTS's files: facts, options, saving, pickling, and damage."""

import copy
import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import GradiumPhononTTSConfig, PocketTTSAudioTokenizerModel

import mimi_codec
import pocket_models
import reference
import signals
from mimi_codec import ConfigError, LatentCodec, LatentsError, LoadError, Mimi, StreamError, WeightsError
from mimi_codec.synthetic import write_synthetic_latents
from pocket_models import HOP


@pytest.fixture
def spoiled(pocket, tmp_path):
    """A copy of the tiny model to spoil."""
    return shutil.copytree(pocket.directory, tmp_path / "model")


def test_facts(pocket):
    ours = pocket.ours
    assert (ours.kind, ours.parts, ours.layout, ours.delay) == ("pocket-tts", "both", "transformers", 0)
    assert (ours.sample_rate, ours.frame_size, ours.frame_rate) == (24000, HOP, 187.5)
    assert (ours.latent_dim, ours.decoder_latent_dim) == (6, 6)
    assert (ours.config["latent_stride"], ours.config["upsampling_ratios"]) == (16, [4, 2])
    assert repr(ours).startswith(
        f"LatentCodec('{pocket.directory}', pocket-tts, 24000 Hz, 187.5 frames/s, latents of 6"
    )


def test_a_codec_of_latents_has_no_codes(pocket):
    for name in ("encode", "decode", "num_codebooks", "quantize", "bits_per_second"):
        assert not hasattr(pocket.ours, name)
    with pytest.raises(TypeError, match=r"LatentCodec\(\) holds no weights; use mimi_codec\.load"):
        LatentCodec()


def test_load_knows_the_kind(pocket, tiny_dir):
    assert type(mimi_codec.load(tiny_dir, num_codebooks=3)) is Mimi
    assert type(mimi_codec.load(pocket.directory)) is LatentCodec
    assert mimi_codec.load(tiny_dir).kind == "mimi"
    with pytest.raises(ConfigError, match=r"got a codec of the kind 'pocket-tts'.*use mimi_codec\.load"):
        Mimi.from_pretrained(pocket.directory)
    with pytest.raises(ConfigError, match="num_codebooks"):
        mimi_codec.load(pocket.directory, num_codebooks=3)


def test_in_a_checkpoint_of_phonon(full_pocket, tmp_path):
    """Gradium's file holds the processor's codec too, under `mimi.`; its configuration says nothing of it."""
    state = pocket_models.kyutai_state(full_pocket.theirs)
    state |= {"flow_lm.emb_mean": torch.zeros(32), "flow_lm.flow.w_s_t.weight": torch.zeros(2, 2)}
    save_file(state, tmp_path / "model.safetensors")
    GradiumPhononTTSConfig().save_pretrained(tmp_path)
    codec = mimi_codec.load(tmp_path, parts="encoder")
    assert (codec.kind, codec.layout) == ("pocket-tts", "kyutai")
    pcm = signals.noise(1920 * 3)
    np.testing.assert_array_equal(codec.encode_latents(pcm), full_pocket.ours.encode_latents(pcm))


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_one_half(pocket, part):
    half, pcm = mimi_codec.load(pocket.directory, parts=part), signals.noise(3 * HOP)
    latents = pocket.ours.encode_latents(pcm)
    assert half.parts == part
    if part == "encoder":
        np.testing.assert_array_equal(half.encode_latents(pcm), latents)
        for call in (lambda: half.decode_latents(latents), half.decoder_stream):
            with pytest.raises(ConfigError, match="cannot decode: it was loaded with parts='encoder'"):
                call()
    else:
        np.testing.assert_array_equal(half.decode_latents(latents), pocket.ours.decode_latents(latents))
        for call in (lambda: half.encode_latents(pcm), half.encoder_stream):
            with pytest.raises(ConfigError, match="cannot encode: it was loaded with parts='decoder'"):
                call()


def test_batches(pocket):
    """A row of a batch gives what it would give alone."""
    pcm = signals.noise(5 * HOP + 3, rows=3)
    sizes = [5 * HOP + 3, 0, 2 * HOP - 1]
    latents = pocket.ours.encode_latents(pcm, lengths=sizes)
    audio = pocket.ours.decode_latents(latents, lengths=[6, 0, 2])
    for row, (size, frames) in enumerate(zip(sizes, [6, 0, 2], strict=True)):
        alone = pocket.ours.encode_latents(pcm[row, 0, :size])
        np.testing.assert_array_equal(latents[row, :, :frames], alone)
        np.testing.assert_array_equal(audio[row, 0, : frames * HOP], pocket.ours.decode_latents(alone))
        assert not latents[row, :, frames:].any()
        assert not audio[row, 0, frames * HOP :].any()


def test_threads_change_no_bit(pocket):
    many, pcm = mimi_codec.load(pocket.directory, threads=2), signals.noise(40 * HOP)
    latents = pocket.ours.encode_latents(pcm)
    np.testing.assert_array_equal(many.encode_latents(pcm), latents)
    np.testing.assert_array_equal(many.decode_latents(latents), pocket.ours.decode_latents(latents))


# Of the largest value: bfloat16 keeps 8 bits of a weight, int8 about 7 of the largest of its row.
@pytest.mark.parametrize(("dtype", "limit"), [("bfloat16", 0.03), ("int8", 0.06)])
def test_dtypes(pocket, dtype, limit):
    small, pcm = mimi_codec.load(pocket.directory, dtype=dtype), signals.chirp(10 * HOP)
    assert small.dtype == dtype
    assert small.weight_bytes < pocket.ours.weight_bytes
    latents = pocket.ours.encode_latents(pcm)
    reference.assert_near(small.encode_latents(pcm), latents, limit)
    reference.assert_near(small.decode_latents(latents), pocket.ours.decode_latents(latents), limit)
    stream = small.decoder_stream()
    audio = np.concatenate([stream.push(latents[:, :3]), stream.push(latents[:, 3:])])
    np.testing.assert_array_equal(audio, small.decode_latents(latents))


class TestSaving:
    @pytest.mark.parametrize("layout", ["transformers", "kyutai"])
    def test_transformers_reads_it(self, pocket, pocket_kyutai, layout, tmp_path):
        mimi_codec.load(pocket.directory if layout == "transformers" else pocket_kyutai).save(tmp_path)
        theirs, found = PocketTTSAudioTokenizerModel.from_pretrained(tmp_path, output_loading_info=True)
        assert not found["missing_keys"]
        assert not found["unexpected_keys"]
        pcm = signals.chirp(6 * HOP)
        expected = pocket_models.encode(pocket.theirs, pcm)
        np.testing.assert_array_equal(pocket_models.encode(theirs, pcm), expected)
        np.testing.assert_array_equal(
            pocket_models.decode(theirs, expected), pocket_models.decode(pocket.theirs, expected)
        )
        again = mimi_codec.load(tmp_path)
        np.testing.assert_array_equal(again.encode_latents(pcm), pocket.ours.encode_latents(pcm))

    def test_halves_of_different_sizes(self, halves, tmp_path):
        """No class of Transformers holds them; what is written is read here."""
        halves.ours.save(tmp_path)
        again, pcm = mimi_codec.load(tmp_path), signals.chirp(6 * HOP)
        latents = np.random.default_rng(0).standard_normal((6, 5), np.float32)
        np.testing.assert_array_equal(again.encode_latents(pcm), halves.ours.encode_latents(pcm))
        np.testing.assert_array_equal(again.decode_latents(latents), halves.ours.decode_latents(latents))

    def test_synthetic(self, tmp_path):
        """`write_synthetic_latents` writes what Transformers reads, with signals that keep their scale."""
        small = mimi_codec.MimiConfig(
            num_filters=4,
            upsampling_ratios=(4, 2),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            upsample_groups=32,
            frame_rate=24000 / 8 / 4,
        )
        theirs, found = PocketTTSAudioTokenizerModel.from_pretrained(
            write_synthetic_latents(tmp_path, small, latent_dim=5), output_loading_info=True
        )
        assert not found["missing_keys"]
        assert not found["unexpected_keys"]
        latents = mimi_codec.load(tmp_path).encode_latents(signals.chirp(3000))
        reference.assert_near(latents, pocket_models.encode(theirs.eval(), signals.chirp(3000)), 1e-5)
        assert 0.1 < latents.std() < 10


class TestPickling:
    def test_model(self, pocket):
        model = mimi_codec.load(pocket.directory, parts="encoder", threads=2, dtype="bfloat16")
        data, pcm = pickle.dumps(model), signals.noise(99)
        again = pickle.loads(data)
        assert len(data) < 2000
        assert (type(again), repr(again)) == (LatentCodec, repr(model))
        np.testing.assert_array_equal(again.encode_latents(pcm), model.encode_latents(pcm))
        assert copy.deepcopy(model) is model

    def test_another_kind_of_model_in_its_place(self, spoiled, tiny_dir):
        data = pickle.dumps(mimi_codec.load(spoiled))
        shutil.rmtree(spoiled)
        shutil.copytree(tiny_dir, spoiled)
        with pytest.raises(ConfigError, match="expected a codec of latents, got a mimi"):
            pickle.loads(data)


class TestRefused:
    @pytest.mark.parametrize(
        ("latents", "words"),
        [
            (np.zeros((5, 2), np.float32), "6 channels, got 5"),
            (np.zeros(6, np.float32), r"shape \(D, T\) or \(B, D, T\)"),
            (np.full((6, 2), np.nan, np.float32), "finite"),
        ],
    )
    def test_latents(self, pocket, latents, words):
        with pytest.raises(LatentsError, match=words):
            pocket.ours.decode_latents(latents)

    def test_the_width_of_the_other_half(self, halves):
        with pytest.raises(LatentsError, match="6 channels, got 10"):
            halves.ours.decode_latents(halves.ours.encode_latents(signals.noise(HOP)))

    def test_states_of_another_kind(self, pocket, tiny):
        stream = pocket.ours.encoder_stream()
        for other in (pocket.ours.decoder_stream(), tiny.encoder_stream(latents=True)):
            with pytest.raises(StreamError):
                stream.load(other.save())

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda data: b"",
            lambda data: data[: len(data) // 2],
            lambda data: data.replace(b"latent_proj.weight", b"latent_proj.height"),
            lambda data: data.replace(b'"encoder.downsample.conv.weight"', b'"encoder.upsample.conv.weight_"'),
        ],
        ids=["empty", "cut", "one name", "another name"],
    )
    def test_weights(self, spoiled, spoil):
        file = spoiled / "model.safetensors"
        file.write_bytes(spoil(file.read_bytes()))
        with pytest.raises((LoadError, WeightsError)):
            mimi_codec.load(spoiled)

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"latent_dim": 7}, WeightsError),
            ({"latent_dim": 0}, ConfigError),
            ({"latent_stride": -1}, ConfigError),
            ({"latent_stride": 10**9}, ConfigError),
            ({"sliding_window": 0}, ConfigError),
            ({"hidden_act": "relu"}, ConfigError),
            ({"pad_mode": "reflect"}, ConfigError),
            ({"audio_channels": 2}, ConfigError),
            ({"use_causal_conv": False}, ConfigError),
            ({"upsampling_ratios": [4, "2"]}, ConfigError),
            ({"num_hidden_layers": 10**9}, ConfigError),
        ],
        ids=str,
    )
    def test_configurations(self, spoiled, changes, error):
        file = spoiled / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
        with pytest.raises(error):
            mimi_codec.load(spoiled)
