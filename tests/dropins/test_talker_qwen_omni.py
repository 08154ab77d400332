"""The tokens of Qwen3-Omni's talker, against `generate` of a tiny random host."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
# older ones generate one row only
pytest.importorskip("transformers", minversion="5.23", reason="Qwen3-Omni in batches needs Transformers 5.23")

import talker_host  # noqa: E402
import tiny_qwen_omni as tiny  # noqa: E402
from mimi_codec.tokens import from_config, talker, talker_prompts  # noqa: E402

# of each chunk: a transposed convolution loses one step of its output, which later ones make longer
SAMPLES_LOST = 5 * 4 * 3 * 2 + 4 * 3 * 2 + 3 * 2 + 2


@pytest.fixture(scope="module")
def host():
    return tiny.model()


@pytest.fixture(scope="module")
def layout(host):
    return from_config(host.config.to_dict())


class Run:
    """`generate` with what went through its talker and its vocoder."""

    def __init__(self, host, monkeypatch, rows, frames=12, *, sampled=False, seed=0):
        self.talker = talker_host.listen(monkeypatch, host.talker)
        self.decoded = None
        decode = host.code2wav.chunked_decode

        def keep_decoded(codes, **options):
            self.decoded = codes.clone()
            return decode(codes, **options)

        monkeypatch.setattr(host.code2wav, "chunked_decode", keep_decoded)
        torch.manual_seed(seed)
        self.inputs = tiny.inputs(rows, frames, sampled=sampled)
        self.text, self.audio = host.generate(**self.inputs)


def test_layout(host, layout):
    assert layout.num_codebooks == tiny.CODEBOOKS
    assert layout.codebook_size == tiny.CODEBOOK_SIZE
    assert layout.codec_think_id is None


def test_one_row(host, layout, monkeypatch):
    run = Run(host, monkeypatch, 1)
    ids = talker.stack_steps(run.talker.steps, layout)
    assert ids.shape == (1, 4, 12)
    np.testing.assert_array_equal(ids, run.decoded)
    np.testing.assert_array_equal(ids[:, 0], run.talker.said.sequences[:, :-1])
    codes, counts = talker.vocoder_codes(ids, layout)
    np.testing.assert_array_equal(codes, run.decoded)
    assert counts.tolist() == [12]
    np.testing.assert_array_equal(talker.generated_clips(ids, layout)[0].codes, run.decoded[0])
    assert run.talker.asked["suppress_tokens"] == layout.suppressed_ids.tolist()
    assert run.talker.asked["eos_token_id"] == layout.codec_eos_id


@pytest.mark.parametrize("seed", range(4))
def test_rows_that_end_by_themselves(host, layout, monkeypatch, seed):
    run = Run(host, monkeypatch, 3, 20, sampled=True, seed=seed)
    ids = talker.stack_steps(run.talker.steps, layout)
    codes, counts = talker.vocoder_codes(ids, layout)
    assert len(set(counts.tolist())) > 1, "all rows have one length: nothing is tested here"
    np.testing.assert_array_equal(codes, run.decoded)
    hop = host.code2wav.total_upsample
    assert [len(audio) for audio in run.audio] == [count * hop - SAMPLES_LOST for count in counts]
    for clip, row, count in zip(talker.generated_clips(ids, layout), run.decoded.numpy(), counts, strict=True):
        np.testing.assert_array_equal(clip.codes, row[:, :count])


@pytest.mark.parametrize("frames", [2, 12])
def test_what_it_reads(host, layout, monkeypatch, frames):
    """The prompt, and then each frame with the text beside it."""
    run = Run(host, monkeypatch, 1, frames)
    begin = run.inputs["input_ids"].shape[1] - 3
    role, text = run.text[0, begin : begin + 3], run.text[0, begin + 3 : -1]  # the last word is not read
    speaker = host.config.talker_config.speaker_id["ethan"]
    clip = run.decoded[0].numpy()
    made = {
        count: talker_prompts.positions(clip[:, :count], text, layout, role=role, speaker=speaker, end=False)
        for count in (0, frames)
    }
    table = host.thinker.get_input_embeddings()
    prompt = talker_host.embed(host.talker, table, made[0])
    talker_host.assert_same(run.talker.asked["inputs_embeds"][0, -len(prompt) :], prompt)
    rest = host.talker.text_projection(table(torch.tensor(made[0].rest)))
    talker_host.assert_same(run.talker.asked["trailing_text_hidden"][0], rest.detach())
    whole = torch.cat([run.talker.read[0][0, -len(prompt) :], *[step[0] for step in run.talker.read[1:]]])
    talker_host.assert_same(whole, talker_host.embed(host.talker, table, made[frames]))


class MimiVocoder:
    """A Mimi decoder with what `generate` asks of `code2wav`; docs/tokens.md shows it."""

    def __init__(self, mimi):
        self.mimi, self.total_upsample = mimi, mimi.frame_size

    def chunked_decode(self, codes, chunk_size, left_context_size):
        return torch.from_numpy(self.mimi.decode(codes.numpy()))


@pytest.mark.parametrize("rows", [1, 3])
def test_a_mimi_in_place_of_the_vocoder(demo, monkeypatch, rows):
    """A talker whose codes are Mimi's, as those of the released one are said to be."""
    host = tiny.model(codebook_size=demo.codebook_size, num_quantizers=demo.num_codebooks)
    layout = from_config(host.config.to_dict())
    record = talker_host.listen(monkeypatch, host.talker)
    del host.code2wav
    host.code2wav = MimiVocoder(demo)
    torch.manual_seed(0)
    _, audio = host.generate(**tiny.inputs(rows, 6, sampled=rows > 1))
    clips = talker.generated_clips(talker.stack_steps(record.steps, layout), layout)
    assert len(clips) == len(audio) == rows
    for clip, played in zip(clips, audio, strict=True):
        assert clip.codes.shape[1] > 0
        np.testing.assert_array_equal(played.flatten(), demo.decode(clip.codes))
