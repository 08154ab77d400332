"""The drop-in for `qwen-tts`: the tokenizer's own calls, and whole generations of a tiny host."""

import base64
import copy
import io
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("qwen_tts", reason="the package qwen-tts is not installed; .ci/run installs it apart")

from qwen_tts import Qwen3TTSModel  # noqa: E402

import mimi_codec  # noqa: E402
import reference  # noqa: E402
import tiny_qwen_tokenizer  # noqa: E402
import tiny_qwen_tts  # noqa: E402
from mimi_codec import errors  # noqa: E402
from mimi_codec.audio import write_wav  # noqa: E402
from mimi_codec.qwen_tts import Qwen3TTSTokenizer, attach, live  # noqa: E402

HOP = tiny_qwen_tokenizer.HOP


def processor(text, **_):
    """Stands for the processor of text, which is not part of a tiny model."""
    row = int(text.split("text ")[1][0])
    return {"input_ids": tiny_qwen_tts.inputs(row + 1)["input_ids"][row]}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tiny_qwen_tokenizer.write(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Operations this small take longer with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def build() -> Qwen3TTSModel:
    """A model with its own tokenizer, always with the same weights."""
    host = tiny_qwen_tts.model()
    host.tts_model_size = "1b7"  # the smaller size takes no instructions, and is asked for
    host.load_speech_tokenizer(tiny_qwen_tokenizer.tokenizer())
    return Qwen3TTSModel(host, processor)


@pytest.fixture(scope="module")
def theirs():
    return build()


@pytest.fixture(scope="module")
def ours():
    model = build()
    attach(model)
    return model


@pytest.fixture
def pair(theirs, ours):
    return theirs.model.speech_tokenizer, ours.model.speech_tokenizer


def noise(samples: int) -> np.ndarray:
    return (0.2 * np.random.default_rng(samples).standard_normal(samples)).astype(np.float32)


def same_codes(ours, theirs) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert (one.dtype, one.device, one.shape) == (other.dtype, other.device, other.shape)
        assert torch.equal(one, other)


def same_audio(ours, theirs) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        reference.assert_near(np.asarray(one), np.asarray(other))


def say(model, texts: int, frames: int = 20, seed: int = 1):
    torch.manual_seed(seed)
    return model.generate_custom_voice(
        [f"text {row}" for row in range(texts)], speaker="anna", language="english", max_new_tokens=frames + 1
    )


@pytest.mark.parametrize("texts", [1, 3])
def test_generate(theirs, ours, texts):
    assert isinstance(ours.model.speech_tokenizer, Qwen3TTSTokenizer)
    (audio, rate), (expected, expected_rate) = say(ours, texts), say(theirs, texts)
    assert rate == expected_rate == 24_000
    assert sum(map(len, audio)) > 10 * HOP
    same_audio(audio, expected)


def clone(model, clip):
    """As `generate_voice_clone` does it, but for the encoder of speakers."""
    host = model.model
    (voice,) = host.speech_tokenizer.encode(clip, sr=12_000).audio_codes
    prompt = {
        "ref_code": [voice],
        "ref_spk_embedding": [torch.ones(32)],
        "x_vector_only_mode": [False],
        "icl_mode": [True],
    }
    begin = [tiny_qwen_tts.IM_START, tiny_qwen_tts.ASSISTANT, tiny_qwen_tts.NEWLINE]
    torch.manual_seed(0)
    (codes,), _ = host.generate(
        **tiny_qwen_tts.inputs(1, 9, non_streaming_mode=False),
        voice_clone_prompt=prompt,
        ref_ids=[torch.tensor([[*begin, 1, 2, 3, tiny_qwen_tts.IM_END, tiny_qwen_tts.NEWLINE]])],
    )
    both = torch.cat([voice.to(codes.device), codes])
    (audio,), _ = host.speech_tokenizer.decode([{"audio_codes": both}])
    return voice, codes, audio[len(voice) * HOP :]


def test_a_voice_to_be_imitated(theirs, ours):
    heard = []
    with live(ours, heard.append):
        pass
    assert not heard
    voice, codes, audio = clone(ours, noise(300))
    expected_voice, expected_codes, expected = clone(theirs, noise(300))
    same_codes([voice, codes], [expected_voice, expected_codes])
    same_audio([audio], [expected])
    with live(ours, heard.append, voice=voice):
        clone(ours, noise(300))
    np.testing.assert_array_equal(np.concatenate(heard), audio)


def test_live(ours):
    """What is heard frame by frame is what comes in the end, for one text and another after it."""
    for seed in (1, 2):
        heard = []
        with live(ours, heard.append):
            (audio,), _ = say(ours, 1, seed=seed)
        assert {len(piece) for piece in heard} == {HOP}
        np.testing.assert_array_equal(np.concatenate(heard), audio)
    say(ours, 1)
    assert len(heard) * HOP == len(audio), "it goes on to listen"


def test_live_batch(ours):
    heard = []
    with live(ours.model, heard.append):
        audio, _ = say(ours, 3)
    together = np.concatenate(heard, axis=2)
    assert len({len(clip) for clip in audio}) > 1, "all clips have one length: nothing is tested here"
    for row, clip in zip(together[:, 0], audio, strict=True):
        np.testing.assert_array_equal(row[: len(clip)], clip)
        assert not row[len(clip) :].any()
    with (
        pytest.raises(errors.ConfigError, match="one text, got 2"),
        live(ours, heard.append, voice=np.zeros((2, 4), int)),
    ):
        say(ours, 2)


@pytest.mark.parametrize("lengths", [[500], [500, 333], [16, 1, 47]])
def test_encode(pair, lengths):
    clips = [noise(length) for length in lengths]
    theirs, ours = (tokenizer.encode(clips, sr=24_000) for tokenizer in pair)
    same_codes(ours.audio_codes, theirs.audio_codes)
    same_codes(ours["audio_codes"], theirs[0])
    (codes,) = pair[1].encode(clips, sr=24_000, return_dict=False)
    same_codes(codes, theirs.audio_codes)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_other_rates(pair, rate):
    """Resampled alike, in length too; 8820 samples at 44.1 kHz are 300 frames exactly."""
    for length in (1001, 8820):
        theirs, ours = (tokenizer.encode(noise(length), sr=rate).audio_codes for tokenizer in pair)
        assert [clip.shape for clip in ours] == [clip.shape for clip in theirs]
        assert (ours[0] == theirs[0]).float().mean() > 0.999


def test_stereo(pair):
    sound = np.stack([noise(333), noise(334)[:333]], axis=1)
    theirs, ours = (tokenizer.encode(sound, sr=24_000).audio_codes for tokenizer in pair)
    same_codes(ours, theirs)


def test_files(pair, tmp_path):
    file = io.BytesIO()
    write_wav(file, noise(500), 24_000)
    (tmp_path / "a.wav").write_bytes(file.getvalue())
    text = base64.b64encode(file.getvalue()).decode()
    path = str(tmp_path / "a.wav")
    for sound in (path, "data:audio/wav;base64," + text, [path, path]):
        theirs, ours = (tokenizer.encode(sound).audio_codes for tokenizer in pair)
        same_codes(ours, theirs)
    np.testing.assert_array_equal(*(tokenizer.load_audio(path, 24_000) for tokenizer in pair))
    np.testing.assert_allclose(*(tokenizer.load_audio(path, 16_000) for tokenizer in pair), atol=1e-6)


def test_decode_forms(pair):
    theirs, ours = pair
    encoded = theirs.encode([noise(500), noise(333)], sr=24_000)
    expected, rate = theirs.decode(encoded)
    clips = encoded.audio_codes
    batch = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True, padding_value=-1)
    forms = [encoded, {"audio_codes": clips}, [{"audio_codes": clip} for clip in clips], {"audio_codes": batch}]
    forms += [{"audio_codes": [clip.numpy() for clip in clips]}, ours.encode([noise(500), noise(333)], sr=24_000)]
    for form in forms:
        audio, ours_rate = ours.decode(form)
        assert ours_rate == rate
        same_audio(audio, expected)
    same_audio(ours.decode({"audio_codes": clips[0]})[0], theirs.decode({"audio_codes": clips[0]})[0])


def test_chunks(pair):
    clips = [{"audio_codes": torch.randint(0, 32, (frames, 4))} for frames in (310, 650)]
    expected, _ = pair[0].decode(clips)
    chunked = Qwen3TTSTokenizer(pair[1].codec, chunked=True)
    same_audio(chunked.decode(clips)[0], expected)
    batch = torch.nn.utils.rnn.pad_sequence([clip["audio_codes"] for clip in clips], True, -1)
    same_audio(chunked.model.decode(batch).audio_values, expected)
    whole, _ = pair[1].decode(clips)
    np.testing.assert_array_equal(whole[1], pair[1].codec.decode(clips[1]["audio_codes"].numpy().T))


def test_one_level_down(pair):
    theirs, ours = (tokenizer.model for tokenizer in pair)
    pcm = torch.from_numpy(np.stack([noise(500), noise(501)[:500]]))
    mask = torch.ones(2, 500, dtype=torch.long)
    mask[1, 333:] = 0
    found = ours.encode(pcm, mask, return_dict=True).audio_codes
    with torch.inference_mode():
        same_codes(found, theirs.encode(pcm, mask, return_dict=True).audio_codes)
        same_codes(ours.encode(pcm).audio_codes, theirs.encode(pcm, torch.ones_like(mask)).audio_codes)
        batch = torch.nn.utils.rnn.pad_sequence(found, batch_first=True, padding_value=-1)
        expected = theirs.decode(batch, return_dict=True).audio_values
        same_audio(ours.decode(batch, return_dict=True).audio_values, expected)
        same_audio(ours.decode(batch, return_dict=False)[0], expected)
    assert ours.dtype == theirs.dtype
    assert copy.deepcopy(ours).half().decode(batch).audio_values[0].dtype == torch.float16
    for wrong in (pcm[0], pcm[:0]):
        with pytest.raises(errors.AudioError, match=r"shape \(B, L\)"):
            ours.encode(wrong)
    with pytest.raises(errors.AudioError, match="padding_mask"):
        ours.encode(pcm, mask[:1])
    with pytest.raises(errors.InputTypeError, match="integer type"):
        ours.decode(batch.float())
    with pytest.raises(errors.CodesError, match=r"shape \(B, T, K\)"):
        ours.decode(batch[0])


def test_what_it_is(pair):
    theirs, ours = pair
    names = ("get_model_type", "get_input_sample_rate", "get_output_sample_rate")
    for name in (*names, "get_encode_downsample_rate", "get_decode_upsample_rate"):
        assert getattr(ours, name)() == getattr(theirs, name)() == getattr(ours.model, name)(), name
    assert torch.device(ours.device) == theirs.device
    assert ours.config is ours.model.config
    assert ours.config.model_type == theirs.config.model_type


def test_streams(pair):
    codes = pair[1].encode(noise(333), sr=24_000).audio_codes[0]
    (whole,), _ = pair[1].decode({"audio_codes": codes})
    pieces = list(pair[1].decode_stream([codes[:3], codes[3], codes[4:4], codes[4:].numpy()]))
    assert [len(piece) // HOP for piece in pieces] == [3, 1, 0, 17]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    stream = pair[1].decoder_stream()
    np.testing.assert_array_equal(stream.push(codes.T), whole)
    encoder = pair[1].encoder_stream()
    heard = np.concatenate([encoder.push(noise(333)), encoder.flush()], axis=1)
    np.testing.assert_array_equal(heard.T, codes)


def test_from_files(theirs, pair, directory, tmp_path):
    """A tokenizer by itself, and a whole model with it in its folder; what PyTorch would be told has no effect."""
    theirs.model.save_pretrained(tmp_path)
    tiny_qwen_tokenizer.write(tmp_path / "speech_tokenizer")
    (expected,) = pair[0].encode(noise(500), sr=24_000).audio_codes
    for path in (directory, tmp_path):
        tokenizer = Qwen3TTSTokenizer.from_pretrained(path, device_map="cpu", dtype=torch.bfloat16, threads=1)
        same_codes(tokenizer.encode(noise(500), sr=24_000).audio_codes, [expected])
        assert tokenizer.get_model_type() == tokenizer.config.model_type
    host = tiny_qwen_tts.model()
    with pytest.raises(errors.InputTypeError, match="no speech tokenizer yet"):
        attach(host)
    assert attach(host, tmp_path) is host.speech_tokenizer
    same_codes(host.speech_tokenizer.encode(noise(500), sr=24_000).audio_codes, [expected])


def test_weights(theirs, ours, tmp_path):
    """The model saves as before, and the tokenizer's weights are there under their names."""
    before, after = theirs.model.speech_tokenizer.model, ours.model.speech_tokenizer.model
    assert ours.model.state_dict().keys() == theirs.model.state_dict().keys()
    for model, name in ((theirs, "theirs"), (ours, "ours")):
        model.model.save_pretrained(tmp_path / name)
    files = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("theirs", "ours")]
    assert files[0] == files[1]
    for name in files[0]:
        assert (tmp_path / "theirs" / name).read_bytes() == (tmp_path / "ours" / name).read_bytes(), name
    state = before.state_dict()
    kept = after.state_dict()
    assert kept.keys() == state.keys()
    assert all(torch.equal(kept[name], state[name]) for name in state)
    changed = {name: 0.5 * value if "decoder.decoder" in name else value for name, value in state.items()}
    other, fresh = copy.deepcopy(before), copy.deepcopy(after)
    other.load_state_dict(changed)
    fresh.load_state_dict(changed)
    codes = torch.randint(0, 32, (1, 9, 4))
    with torch.no_grad():
        same_audio(fresh.decode(codes).audio_values, other.decode(codes).audio_values)
    after.save_pretrained(tmp_path / "tokenizer")
    assert mimi_codec.load(tmp_path / "tokenizer").kind == "qwen3-tts"


def test_copies(pair):
    codes = torch.randint(0, 32, (1, 9, 4))
    for again in (copy.deepcopy(pair[1]), pickle.loads(pickle.dumps(pair[1]))):
        np.testing.assert_array_equal(
            again.decode({"audio_codes": codes})[0], pair[1].decode({"audio_codes": codes})[0]
        )


def test_given_codecs(theirs, directory, demo):
    codec = mimi_codec.load(directory)
    host = build()
    assert attach(host, codec).codec is codec
    assert attach(host).codec is codec
    with pytest.raises(errors.ConfigError, match="12 Hz tokenizer of Qwen3-TTS"):
        attach(host, demo)
    with pytest.raises(errors.InputTypeError, match="Qwen3TTSModel"):
        attach(torch.nn.Linear(1, 1))
    with pytest.raises(errors.InputTypeError, match="attach"), live(theirs, print):
        pass


def test_a_codec_of_other_sizes(tmp_path):
    host = build()
    with pytest.raises(errors.ConfigError, match="of 4 codebooks, got one of 2"):
        attach(host, tiny_qwen_tokenizer.write(tmp_path, num_quantizers=2))
    assert not isinstance(host.model.speech_tokenizer, Qwen3TTSTokenizer)


def test_errors(pair):
    ours = pair[1]
    with pytest.raises(errors.ConfigError, match="sr"):
        ours.encode(noise(5))
    with pytest.raises(errors.InputTypeError, match="some of both"):
        ours.encode([noise(5), "a.wav"], sr=24_000)
    with pytest.raises(errors.AudioError, match="URL"):
        ours.encode("https://example.com/a.wav")
    with pytest.raises(FileNotFoundError):
        ours.encode("nothing.wav")
    with pytest.raises(errors.AudioError):
        ours.encode("A" * 1000)
    with pytest.raises(errors.InputTypeError, match="audio_codes"):
        ours.decode([noise(5)])
    with pytest.raises(errors.InputTypeError, match="list of such dicts"):
        ours.decode(3)
    with pytest.raises(errors.InputTypeError, match="integer type"):
        ours.decode({"audio_codes": [noise(8).reshape(2, 4)]})
    with pytest.raises(errors.CodesError, match="between 0 and 31"):
        ours.decode({"audio_codes": np.full((3, 4), 32)})
    with pytest.raises(errors.CodesError, match="as many codebooks"):
        ours.decode({"audio_codes": [np.zeros((3, 4), int), np.zeros((3, 2), int)]})
    assert ours.encode([], sr=24_000).audio_codes == []
    assert ours.decode([]) == ([], 24_000)
