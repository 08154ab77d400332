"""The tokens of Qwen3-TTS's talker, against `generate` of a tiny random host."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("qwen_tts", reason="the package qwen-tts is not installed; .ci/run installs it apart")

import synthetic  # noqa: E402
import talker_host  # noqa: E402
import tiny_qwen_tokenizer  # noqa: E402
import tiny_qwen_tts as tiny  # noqa: E402
from mimi_codec import Mimi  # noqa: E402
from mimi_codec.tokens import from_config, talker, talker_prompts  # noqa: E402

ROLE = [tiny.IM_START, tiny.ASSISTANT, tiny.NEWLINE]


@pytest.fixture(scope="module")
def host():
    return tiny.model()


@pytest.fixture(scope="module")
def layout(host):
    return from_config(host.config.to_dict())


def test_layout(layout):
    assert layout.num_codebooks == tiny.CODEBOOKS
    assert layout.codebook_size == tiny.CODEBOOK_SIZE
    assert layout.codec_think_id == tiny.CODEBOOK_SIZE + 3


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_it_says(host, layout, monkeypatch, seed):
    """`generate` gives clips (T, K) that are cut already; here they are made from the steps."""
    record = talker_host.listen(monkeypatch, host.talker)
    torch.manual_seed(seed)
    theirs, _ = host.generate(**tiny.inputs(3, 20))
    ids = talker.stack_steps(record.steps, layout)
    assert talker.frame_counts(ids, layout).tolist() == [len(clip) for clip in theirs]
    assert len({len(clip) for clip in theirs}) > 1, "all rows have one length: nothing is tested here"
    for ours, clip in zip(talker.generated_clips(ids, layout), theirs, strict=True):
        np.testing.assert_array_equal(ours.codes, clip.T)
        np.testing.assert_array_equal(talker.generated_clips(clip.T, layout).codes, clip.T)
    assert record.asked["suppress_tokens"] == layout.suppressed_ids.tolist()


VOICES = {
    "speaker and language": ({}, {"speaker": tiny.SPEAKER, "language": tiny.LANGUAGE}),
    "speaker": ({"languages": ["auto"]}, {"speaker": tiny.SPEAKER}),
    "neither": ({"languages": ["auto"], "speakers": [None]}, {}),
}


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("voice", VOICES)
def test_what_it_reads(host, layout, monkeypatch, voice, streaming):
    record = talker_host.listen(monkeypatch, host.talker)
    options, ours = VOICES[voice]
    torch.manual_seed(0)
    (clip,), _ = host.generate(**tiny.inputs(1, 9, non_streaming_mode=not streaming, **options))
    ours = {"role": ROLE, "streaming": streaming, "end": False, **ours}
    table = host.talker.get_text_embeddings()
    prompt = talker_prompts.positions(clip.T[:, :0], tiny.text(0), layout, **ours)
    talker_host.assert_same(record.asked["inputs_embeds"][0], talker_host.embed(host.talker, table, prompt))
    read = talker_prompts.positions(clip.T, tiny.text(0), layout, **ours)
    whole = torch.cat([step[0] for step in record.read])
    wanted = talker_host.embed(host.talker, table, read)
    talker_host.assert_same(whole[: len(wanted)], wanted)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("frames", [3, 30])
def test_a_voice_to_be_imitated(host, layout, monkeypatch, streaming, frames):
    """A clip of another voice, and what it says, are the first frames and words of one prompt."""
    record = talker_host.listen(monkeypatch, host.talker)
    rng = torch.Generator().manual_seed(4)
    heard = torch.randint(0, tiny.CODEBOOK_SIZE, (frames, tiny.CODEBOOKS), generator=rng)
    words = torch.randint(0, 40, (6,), generator=rng)
    vector = torch.randn(32, generator=rng)
    voice = {
        "ref_code": [heard],
        "ref_spk_embedding": [vector],
        "x_vector_only_mode": [False],
        "icl_mode": [True],
    }
    torch.manual_seed(0)
    host.generate(
        **tiny.inputs(1, 5, non_streaming_mode=not streaming),
        voice_clone_prompt=voice,
        ref_ids=[torch.tensor([[*ROLE, *words, tiny.IM_END, tiny.NEWLINE]])],
    )
    prompt = talker_prompts.positions(
        heard.T,
        torch.cat([words, tiny.text(0)]),
        layout,
        role=ROLE,
        language=tiny.LANGUAGE,
        voice=True,
        streaming=streaming,
        end=False,
    )
    table = host.talker.get_text_embeddings()
    wanted = talker_host.embed(host.talker, table, prompt)
    wanted[prompt.speaker] += vector
    talker_host.assert_same(record.asked["inputs_embeds"][0], wanted)
    rest = host.talker.text_projection(table(torch.tensor([*prompt.rest, layout.tts_pad_id])))[: len(prompt.rest) or 1]
    talker_host.assert_same(record.asked["trailing_text_hidden"][0], rest.detach())


def test_a_mimi_makes_its_training_data(host, layout, tmp_path):
    """The encoder of its tokenizer is a Mimi: the same weights in ours give the codes that it learns to say."""
    theirs = tiny_qwen_tokenizer.tokenizer()
    weights = synthetic.build(synthetic.tiny_config(codebook_size=tiny_qwen_tokenizer.CODEBOOK_SIZE))
    mimi = Mimi.from_pretrained(synthetic.write(weights, tmp_path))
    clips = [0.2 * torch.randn(length, generator=torch.Generator().manual_seed(length)) for length in (500, 333)]
    encoded = theirs.encode([clip.numpy() for clip in clips], sr=24000).audio_codes
    for clip, codes in zip(clips, encoded, strict=True):
        padded = torch.nn.functional.pad(clip, (0, len(clips[0]) - len(clip)))  # as the tokenizer pads its batch
        ours = mimi.encode(padded, num_codebooks=layout.num_codebooks)[:, : len(codes)]
        np.testing.assert_array_equal(ours, codes.T)
        read = talker_prompts.positions(ours, tiny.text(0), layout, role=ROLE, voice=True)
        np.testing.assert_array_equal(read.labels[read.is_frame], codes[:, 0])
