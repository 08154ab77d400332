"""What `moshi` does to tokens, by running it on tiny random language models.

Its `LMGen` and `run_inference` are given a codec that only records: what it is asked to decode is what counts here.
"""

import contextlib
import io
import os
from types import SimpleNamespace

import numpy as np
import pytest
from token_layouts import CARD, TEXT_CARD, codes, random_rows

from mimi_codec.tokens import DuplexStream, delay, end_of_input, from_config, merge_rows, stt, undelay

os.environ.setdefault("NO_TORCH_COMPILE", "1")  # compiling takes longer than all tests
torch = pytest.importorskip("torch")
pytest.importorskip("moshi")

from moshi.models import LMGen, LMModel  # noqa: E402
from moshi.models.lm_utils import _delay_sequence, _undelay_sequence  # noqa: E402

BATCH = 3


def config(delays, generated, **fields) -> dict:
    """A `config.json`: what the layout is read from, and the model is made with."""
    counts = {"n_q": len(delays) - 1, "dep_q": generated, "card": CARD, "text_card": TEXT_CARD}
    return counts | {"delays": list(delays)} | fields


CONFIGS = {
    "moshi": config([0, 0, 1, 1, 0, 1, 1], 3, model_type="moshi"),
    "hibiki": config([0, 0, 2, 2, 0, 2, 2], 3, model_type="hibiki"),
    "stt": config([0, 0, 0, 0], 0, model_type="stt", stt_config={"audio_delay_seconds": 0.5}),
    "tts": config([0, 0, 2, 2], 3, model_type="tts", tts_config={"audio_delay": 0.4}),
    "uneven": config([1, 2, 0, 3, 1, 4, 0], 3),
}


@pytest.fixture(params=CONFIGS)
def case(request):
    """A layout and a tiny random model of it, that record what the model reads."""
    fields = CONFIGS[request.param]
    torch.manual_seed(1)
    kept = {key: fields[key] for key in ("n_q", "dep_q", "card", "text_card", "delays")}
    lm = LMModel(
        **kept,
        dim=16,
        num_heads=2,
        num_layers=1,
        hidden_scale=2,
        causal=True,
        context=100,
        positional_embedding="rope",
        gating="silu",
        depformer_gating="silu",
        depformer_dim=16,
        depformer_num_heads=2,
        depformer_num_layers=1,
        depformer_multi_linear=True,
        depformer_weights_per_step=True,
        depformer_pos_emb="none",
    ).eval()
    # embeddings of this scale make what is sampled depend on what is read
    with torch.no_grad():
        for parameter in lm.parameters():
            parameter.normal_(0, 0.5)
    read, forward = [], lm.forward_text

    def record(sequence, *rest):
        read.append(sequence.numpy().copy())
        return forward(sequence, *rest)

    lm.forward_text = record
    return SimpleNamespace(layout=from_config(fields), lm=lm, read=read, name=request.param)


def generator(case, **options):
    """An `LMGen`, and the lists of what it samples at each step."""
    texts, audios = [], []

    def keep(sampled):
        return lambda tokens: sampled.append(tokens.numpy().copy())

    gen = LMGen(case.lm, check=True, on_text_hook=keep(texts), on_audio_hook=keep(audios), **options)
    return gen, texts, audios


def sampled_step(layout, texts, audios):
    """What `DuplexStream.push` takes of the last step."""
    return texts[-1], audios[-1][:, :, np.newaxis] if layout.num_generated else None


def test_the_training_layout(case):
    """`LMModel.forward`, and the functions it undoes its delays with."""
    layout = case.layout
    rows = random_rows(layout, 9, 2)
    ours = delay(layout, rows)
    initial = case.lm._get_initial_token()
    np.testing.assert_array_equal(initial[0, :, 0], layout.initial_ids())
    delayed = _delay_sequence(list(layout.delays), torch.tensor(rows), initial.expand(2, -1, -1))
    np.testing.assert_array_equal(ours, torch.cat([initial.expand(2, -1, -1), delayed], 2))
    again, valid = undelay(layout, ours)
    theirs, mask = _undelay_sequence(list(layout.delays), delayed, layout.ungenerated_id)
    np.testing.assert_array_equal(again, theirs)
    np.testing.assert_array_equal(valid, mask[0])
    if layout.num_generated:
        case.lm.forward(torch.tensor(rows))
        np.testing.assert_array_equal(case.read[-1], ours[:, :, :-1])


@torch.no_grad()
def test_lmgen(case):
    """Every step: what the model reads and what the decoder would get."""
    layout = case.layout
    gen, texts, audios = generator(case)
    stream = DuplexStream(layout, BATCH)
    frames = 0
    with gen.streaming(BATCH):
        for step in range(20):
            user = codes((BATCH, layout.num_user, 1), step)
            out = gen.step(torch.tensor(user))
            np.testing.assert_array_equal(stream.inputs(user), case.read[-1])
            stream.push(user, *sampled_step(layout, texts, audios))
            frame = stream.pull()
            if step < layout.max_delay:
                assert out is None
            if frame is None:
                assert step < stream.warm_up_steps
                continue
            frames += 1
            np.testing.assert_array_equal(frame.text, out[:, 0, 0])
            np.testing.assert_array_equal(frame.codes, out[:, 1:])
    assert frames == 20 - stream.warm_up_steps


@torch.no_grad()
def test_lmgen_with_rows_out_of_step(case):
    """Rows that do not execute, and rows that begin anew, with `support_out_of_sync`."""
    layout, rng = case.layout, np.random.default_rng(3)
    gen, texts, audios = generator(case, support_out_of_sync=True)
    stream = DuplexStream(layout, BATCH)
    with gen.streaming(BATCH):
        for step in range(40):
            if step % 11 == 10:
                mask = rng.random(BATCH) < 0.5
                gen.reset_streaming(torch.tensor(mask))
                stream.reset(mask)
            active = rng.random(BATCH) < 0.8
            gen.set_exec_mask(torch.tensor(active))
            user = codes((BATCH, layout.num_user, 1), step)
            out = gen.step(torch.tensor(user)).numpy()
            np.testing.assert_array_equal(stream.inputs(user, active=active), case.read[-1])
            stream.push(user, *sampled_step(layout, texts, audios), active=active)
            frame = stream.pull()
            # a row without a frame is -2 throughout; a TTS has none during the delay of its audio either
            theirs = (out != layout.ungenerated_id).all(axis=(1, 2))
            theirs &= np.array(stream.steps) > stream.warm_up_steps
            np.testing.assert_array_equal(frame.active if frame else np.zeros(BATCH, bool), theirs)
            if frame is not None:
                np.testing.assert_array_equal(frame.text[theirs], out[theirs, 0, 0])
                np.testing.assert_array_equal(frame.codes[theirs], out[theirs, 1:])


@pytest.mark.parametrize("case", ["moshi", "hibiki", "uneven"], indirect=True)
@torch.no_grad()
def test_a_generation_is_what_training_sees(case):
    """All that was heard and said, laid out for training, is what the model read step by step."""
    layout = case.layout
    gen, _, _ = generator(case)
    heard, said = codes((1, layout.num_user, 15), 5), []
    with gen.streaming(1):
        for step in range(-1, 15):  # the first codes twice: the model never hears those of its first step
            out = gen.step(torch.tensor(heard[:, :, max(0, step)][..., np.newaxis]))
            if out is not None:
                said.append(out.numpy())
    whole = np.concatenate(said, 2)
    frames = whole.shape[2]
    rows = merge_rows(layout, whole[:, 1:], heard[:, :, :frames], whole[:, 0])
    np.testing.assert_array_equal(delay(layout, rows), np.concatenate(case.read, 2)[:, :, : frames + 1])


@pytest.mark.parametrize("case", ["tts"], indirect=True)
@torch.no_grad()
def test_text_to_speech(case):
    """The hooks and the dropped frames of `TTSModel.generate` and `simple_generate`."""
    layout, offset = case.layout, 0
    delay_steps = layout.audio_delay_frames
    assert delay_steps == 5
    audios, texts, frames = [], [], []

    def on_audio(tokens):
        for row in range(tokens.shape[1]):
            if offset < layout.delays[1 + row] + delay_steps:
                tokens[:, row] = case.lm.zero_token_id
        audios.append(tokens.numpy().copy())

    gen = LMGen(case.lm, on_audio_hook=on_audio, on_text_hook=lambda tokens: texts.append(tokens.numpy().copy()))
    replaced = torch.full((BATCH, layout.num_generated, 1), case.lm.zero_token_id)
    stream, ours = DuplexStream(layout, BATCH), []
    with gen.streaming(BATCH):
        for offset in range(25):  # the hook reads it
            user = torch.zeros((BATCH, 0, 1), dtype=torch.long)
            out = gen.step(user, depformer_replace_tokens=replaced if offset < delay_steps else None)
            if out is not None:
                frames.append(out.numpy().copy())
            stream.push(None, *sampled_step(layout, texts, audios))
            frame = stream.pull()
            if frame is not None:
                ours.append(frame.codes)
    decoded = [frame[:, 1:] for frame in frames[delay_steps:]]
    np.testing.assert_array_equal(ours, decoded)
    assert len(ours) == 25 - stream.warm_up_steps


class Recorder:
    """A codec whose codes of a chunk are drawn by the chunk's first sample, and that keeps what it should decode."""

    sample_rate, frame_rate, channels, cardinality = 24000, 12.5, 1, CARD

    def __init__(self, layout, batch):
        self.num_codebooks, self.batch = layout.num_codebooks, batch
        self.encoded, self.decoded = [], []

    def streaming_forever(self, batch):
        assert batch == self.batch

    def encode(self, pcm):
        assert pcm.shape == (self.batch, 1, 1920)
        self.encoded.append(codes((self.batch, self.num_codebooks, 1), len(self.encoded)))
        return torch.tensor(self.encoded[-1])

    def decode(self, tokens):
        self.decoded.append(tokens.numpy().copy())
        return torch.zeros(self.batch, 1, 1920)


@pytest.mark.parametrize("case", ["moshi", "hibiki", "stt"], indirect=True)
@torch.no_grad()
def test_run_inference(case, monkeypatch):
    """`InferenceState.run`: the first codes twice, Hibiki's end of input, the silence of speech-to-text."""
    run_inference = pytest.importorskip("moshi.run_inference")
    layout, batch = case.layout, 1
    mimi = Recorder(layout, batch)
    texts, audios, inputs = [], [], []
    step = LMGen.step

    def recorded_step(self, tokens, *rest):
        inputs.append(tokens.numpy().copy())
        return step(self, tokens, *rest)

    def keep_text(tokens):
        if case.name == "hibiki":  # a random model would not end its text by itself
            tokens[:] = torch.where(tokens == layout.text_eos_id, 5, tokens) if len(inputs) < 17 else layout.text_eos_id
        texts.append(tokens.numpy().copy())

    monkeypatch.setattr(LMGen, "step", recorded_step)
    tokenizer = SimpleNamespace(eos_id=lambda: layout.text_eos_id, id_to_piece=lambda token: f"<{token}>")
    checkpoint = SimpleNamespace(model_type=case.name, stt_config=CONFIGS[case.name].get("stt_config", {}))
    state = run_inference.InferenceState(
        checkpoint,
        mimi,
        tokenizer,
        case.lm,
        batch,
        1.0,
        "cpu",
        on_text_hook=keep_text,
        on_audio_hook=lambda tokens: audios.append(tokens.numpy().copy()),
    )
    state.printer = run_inference.RawPrinter(io.StringIO(), io.StringIO())
    samples = 10 * 1920 + 500
    with contextlib.suppress(ZeroDivisionError):
        state.run(torch.zeros(batch, 1, samples))

    steps = stt.num_steps(layout, samples) if case.name == "stt" else 10
    stream, ours = DuplexStream(layout, batch), []
    heard = mimi.encoded[:steps]
    if case.name == "hibiki":
        heard = [*heard, end_of_input(layout, batch), *mimi.encoded[steps:]]
    assert len(mimi.encoded) >= steps
    for index, user in enumerate([heard[0], *heard]):
        np.testing.assert_array_equal(inputs[index], user)
        np.testing.assert_array_equal(stream.inputs(user), case.read[index])
        audio = audios[index][:, :, np.newaxis] if layout.num_generated else None
        stream.push(user, texts[index], audio)
        frame = stream.pull()
        if frame is not None and layout.num_generated:
            ours.append(frame.codes[np.newaxis])
    assert len(inputs) == len(heard) + 1
    np.testing.assert_array_equal(ours, mimi.decoded)
