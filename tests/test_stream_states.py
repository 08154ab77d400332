"""Copies and saved states of streams."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import signals
from mimi_codec import Mimi
from mimi_codec.errors import StreamError
from stream_cases import CODEBOOKS, encode_all, random_codes, used


class TestCopies:
    def test_copy_of_an_encoder(self, tiny):
        stream = used(tiny.encoder_stream(num_codebooks=3))
        other = stream.copy()
        assert (other.batch_size, other.num_codebooks, other.pending) == (1, 3, stream.pending)
        pcm = signals.noise(70)
        expected = encode_all(stream, [pcm])
        np.testing.assert_array_equal(encode_all(other, [pcm]), expected)

    def test_a_copy_is_independent(self, tiny):
        stream = used(tiny.encoder_stream())
        before = stream.save()
        used(stream.copy())
        assert stream.save() == before

    def test_copy_of_a_decoder(self, tiny):
        stream = tiny.decoder_stream()
        stream.push(random_codes(7))
        other = stream.copy()
        np.testing.assert_array_equal(other.push(random_codes(4)), stream.push(random_codes(4)))
        stream.reset()
        assert other.frames == [11]

    @given(before=st.integers(0, 100), after=st.integers(0, 100))
    def test_saved_encoder(self, tiny, before, after):
        stream = tiny.encoder_stream(batch_size=2)
        stream.push(signals.noise(before, rows=2))
        state = stream.save()
        assert isinstance(state, bytes)
        other = used(tiny.encoder_stream(batch_size=2))
        other.load(state)
        pcm = signals.noise(after, rows=2, seed=1)
        np.testing.assert_array_equal(encode_all(other, [pcm]), encode_all(stream, [pcm]))

    def test_saved_decoder(self, tiny):
        stream = tiny.decoder_stream(batch_size=2)
        stream.push(random_codes(9, rows=2))
        other = tiny.decoder_stream(batch_size=2)
        other.load(stream.save())
        codes = random_codes(5, rows=2, seed=1)
        np.testing.assert_array_equal(other.push(codes), stream.push(codes))

    def test_a_state_outlives_the_process(self, tiny, tiny_dir, run_python, tmp_path):
        stream = used(tiny.encoder_stream())
        (tmp_path / "state").write_bytes(stream.save())
        printed = run_python(
            """
            import json, pathlib, sys
            import numpy as np
            import mimi_codec
            stream = mimi_codec.Mimi.from_pretrained(sys.argv[1]).encoder_stream()
            stream.load(pathlib.Path("state").read_bytes())
            print(json.dumps(stream.push(np.linspace(-1, 1, 64, dtype=np.float32)).tolist()))
            """,
            tiny_dir,
        )
        assert json.loads(printed) == stream.push(np.linspace(-1, 1, 64, dtype=np.float32)).tolist()

    @pytest.mark.parametrize(
        "wrong",
        [b"", b"\0" * 64, b"no state", "truncated", "decoder", "batch", "codebooks"],
        ids=lambda wrong: wrong if isinstance(wrong, str) else repr(wrong[:8]),
    )
    def test_states_that_do_not_fit(self, tiny, wrong):
        """Refused with a StreamError, and the stream goes on."""
        stream = used(tiny.encoder_stream())
        before = stream.save()
        states = {
            "truncated": before[:-9],
            "decoder": tiny.decoder_stream().save(),
            "batch": tiny.encoder_stream(batch_size=2).save(),
            "codebooks": tiny.encoder_stream(num_codebooks=1).save(),
        }
        with pytest.raises(StreamError):
            stream.load(states.get(wrong, wrong))
        assert stream.save() == before

    def test_the_state_of_another_model(self, tiny, demo):
        with pytest.raises(StreamError):
            tiny.encoder_stream().load(used(demo.encoder_stream(num_codebooks=CODEBOOKS)).save())


class TestWhatAStateBelongsTo:
    """A stream goes on with the weights that it began with, and with no others."""

    @pytest.fixture(scope="class")
    def others(self, tmp_path_factory, tiny_pair):
        """The same weights in Kyutai's layout, and other weights of the same shapes."""
        import synthetic

        directory = tmp_path_factory.mktemp("others")
        other = synthetic.build(synthetic.tiny_config(), seed=2)
        return {
            "half": Mimi.from_pretrained(tiny_pair.directory, parts="encoder", num_codebooks=CODEBOOKS),
            "half types": Mimi.from_pretrained(tiny_pair.directory, dtype="bfloat16"),
            "weights": Mimi.from_pretrained(synthetic.write(other, directory / "weights")),
        }

    @pytest.mark.parametrize(
        ("name", "words"), [("weights", "other weights"), ("half types", 'dtype "float32" where "bfloat16" belongs')]
    )
    def test_other_weights(self, tiny, others, name, words):
        for stream, ours in (
            (others[name].encoder_stream(), tiny.encoder_stream()),
            (others[name].decoder_stream(), tiny.decoder_stream()),
        ):
            before = stream.save()
            with pytest.raises(StreamError, match=words):
                stream.load(ours.save())
            assert stream.save() == before

    def test_the_same_weights(self, tiny, others):
        stream = used(tiny.encoder_stream())
        other = others["half"].encoder_stream()
        other.load(stream.save())
        pcm = signals.noise(70)
        np.testing.assert_array_equal(encode_all(other, [pcm]), encode_all(stream, [pcm]))

    @given(data=st.data())
    def test_damaged_bytes(self, tiny, data):
        """Any byte of the content: the checksum tells."""
        stream = used(tiny.encoder_stream())
        state = bytearray(stream.save())
        header = 8 + int.from_bytes(state[:8], "little")
        at = data.draw(st.integers(header, len(state) - 1))
        state[at] ^= data.draw(st.integers(1, 255))
        with pytest.raises(StreamError, match="damaged"):
            tiny.encoder_stream().load(bytes(state))
