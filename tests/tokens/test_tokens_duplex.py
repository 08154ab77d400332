"""One step at a time equals the whole sequence, for both conventions, any delays, resets and inactive rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_layouts import CARD, codes, layout, layouts, random_rows

from mimi_codec import CodesError, ConfigError, InputTypeError, Mimi, StreamError
from mimi_codec.tokens import MOSHI_7B, STT_1B, TTS_1_6B, DuplexStream, delay, split_rows

SMALL = layout((0, 0, 1, 2, 0, 1), 3)
CONVENTIONS = ("pytorch", "rust")


def drive(stream: DuplexStream, rows: np.ndarray):
    """Frames (B, K, T) through the steps that make them: the rows' delays are the model's business.

    Gives what the model reads and what the decoder gets at each step.
    """
    small = stream.layout
    lag = 1 if stream.convention == "pytorch" else 0
    batch, _, frames = rows.shape
    # what is sampled at step s for a row with delay d is frame s - d; user codes of step s are frame s - lag
    first_user = codes((batch, small.num_user, 1), 99)  # never heard
    users = np.concatenate([first_user, rows[:, small.user_rows]], 2) if lag else rows[:, small.user_rows]
    for step in range(frames):
        sampled = np.stack(
            [
                rows[:, row, step - late] if step >= late else codes((batch,), 7)
                for row, late in enumerate(small.delays[: 1 + small.num_generated])
            ],
            1,
        )
        user = users[:, :, step : step + 1]
        read = stream.inputs(user)
        stream.push(user, sampled[:, 0], sampled[:, 1:, np.newaxis])
        yield read, stream.pull()


@given(layouts(), st.integers(1, 9), st.integers(1, 3), st.sampled_from(CONVENTIONS))
def test_equals_the_whole(small, frames, batch, convention):
    rows = random_rows(small, frames, batch)
    stream = DuplexStream(small, batch, convention=convention)
    matrix = delay(small, rows)
    got = []
    for step, (read, frame) in enumerate(drive(stream, rows)):
        np.testing.assert_array_equal(read[:, :, 0], matrix[:, :, step])
        assert (frame is None) == (step < stream.warm_up_steps)
        if frame is not None:
            assert frame.active.all()
            got.append((frame.text, frame.codes.reshape(batch, small.num_generated)))
    text, generated, _ = split_rows(small, rows)
    for index, (token, codes_of_frame) in enumerate(got):
        np.testing.assert_array_equal(token, text[:, index])
        np.testing.assert_array_equal(codes_of_frame, generated[:, :, index])
    assert len(got) == max(0, frames - small.max_delay)
    assert stream.steps == [frames] * batch


@given(layouts(), st.data(), st.sampled_from(CONVENTIONS))
def test_rows_are_independent(small, data, convention):
    """Whatever rows do, each is what it would be alone: inactive steps and resets included."""
    together = DuplexStream(small, 3, convention=convention)
    alone = [DuplexStream(small, 1, convention=convention) for _ in range(3)]
    for step in range(data.draw(st.integers(1, 8))):
        running = np.array(data.draw(st.lists(st.booleans(), min_size=3, max_size=3)))
        begun = np.array(data.draw(st.lists(st.booleans(), min_size=3, max_size=3)))
        if data.draw(st.booleans()):
            together.reset(begun)
            for row in np.flatnonzero(begun):
                alone[row].reset()
        rows = random_rows(small, 1, 3, seed=step)
        user, text, audio = rows[:, small.user_rows], rows[:, 0, 0], rows[:, small.generated_rows]
        read = together.inputs(user, active=running)
        together.push(user, text, audio, active=running)
        frame = together.pull()
        for row, stream in enumerate(alone):
            if not running[row]:
                np.testing.assert_array_equal(read[row, :, 0], small.initial_ids())
                assert frame is None or not frame.active[row]
                continue
            np.testing.assert_array_equal(stream.inputs(user[row])[0], read[row])
            stream.push(user[row], int(text[row]), audio[row])
            single = stream.pull()
            assert (single is None) == (frame is None or not frame.active[row])
            if single is not None:
                np.testing.assert_array_equal(single.codes, frame.codes[row])
                assert single.text[0] == frame.text[row]
    assert together.steps == [stream.steps[0] for stream in alone]


def test_looking_and_pulling_change_nothing():
    rows = random_rows(SMALL, 6, 1)
    plain, curious = DuplexStream(SMALL), DuplexStream(SMALL)
    for (read, frame), (again, same) in zip(drive(plain, rows), drive(curious, rows), strict=True):
        curious.inputs(codes((2, 1), 5))
        np.testing.assert_array_equal(read, again)
        for _ in range(2):
            assert (curious.pull() is None) == (frame is None)
        if frame is not None:
            np.testing.assert_array_equal(frame.codes, same.codes)


def test_after_a_reset_there_is_no_frame():
    stream = DuplexStream(layout((0, 0), 1), 2)
    stream.push(None, [1, 2], codes((2, 1, 1)))
    stream.reset(np.array([True, False]))
    assert stream.pull().active.tolist() == [False, True]
    stream.reset()
    assert (stream.pull(), stream.steps) == (None, [0, 0])


def test_the_conventions():
    """PyTorch hears the user in the same step and never the first codes; Rust and MLX hear all, one step later."""
    flat = layout((0, 0), 0)
    heard = {}
    for convention in CONVENTIONS:
        stream = DuplexStream(flat, convention=convention)
        heard[convention] = []
        for step in range(4):
            heard[convention].append(int(stream.inputs([[step]])[0, 1, 0]))
            stream.push([[step]], 0)
    assert heard == {"pytorch": [CARD, 1, 2, 3], "rust": [CARD, 0, 1, 2]}


@given(layouts(), st.integers(1, 9))
def test_the_second_convention_as_moshi_core_keeps_it(small, steps):
    """Undelayed storage: user codes at the step, generated ones `delay` before it, all read `1 + delay` later."""
    stream = DuplexStream(small, convention="rust")
    stored = np.full((small.num_rows, steps), -2)
    for step in range(steps):
        rows = random_rows(small, 1, 1, step)[0]
        stored[small.user_rows, step] = rows[small.user_rows, 0]
        read = [
            small.initial_ids()[row] if step <= late else stored[row, step - 1 - late]
            for row, late in enumerate(small.delays)
        ]
        user = rows[small.user_rows]
        assert stream.inputs(user)[0, :, 0].tolist() == read
        for row in range(1 + small.num_generated):
            stored[row, max(0, step - small.delays[row])] = rows[row, 0]
        stream.push(user, int(rows[0, 0]), rows[small.generated_rows])
        last, frame = step - small.max_delay, stream.pull()
        assert (frame is None) == (last < 0)
        if frame is not None:
            assert frame.codes[:, 0].tolist() == stored[small.generated_rows, last].tolist()


def test_more_codebooks_than_rows_are_cut():
    """As `LMGen` does with 8 of 32."""
    stream = DuplexStream(MOSHI_7B)
    stream.push(codes((32, 1), card=2048), 3, codes((8, 1), card=2048))
    assert stream.inputs(codes((1, 32, 1), card=2048)).shape == (1, 17, 1)


class TestSentinels:
    def stream(self, audio) -> DuplexStream:
        stream = DuplexStream(layout((0, 0, 0), 2), 2)
        stream.push(None, [1, 2], audio)
        return stream

    def test_refused_or_masked(self):
        stream = self.stream([[[3], [4]], [[-1], [5]]])
        with pytest.raises(CodesError, match=r"-1 \(zero.*codebook 0 .*row 1"):
            stream.pull()
        frame = stream.pull(sentinels="mask")
        assert frame.active.tolist() == [True, False]
        assert frame.codes[:, :, 0].tolist() == [[3, 4], [0, 5]]
        assert frame.text.tolist() == [1, 2]
        with pytest.raises(ConfigError, match="'drop'"):
            stream.pull(sentinels="drop")

    def test_warm_up_of_some_rows(self):
        """Rows that have no frame yet give codes a decoder takes, and say that they are not to be heard."""
        small = layout((0, 0, 1), 2)
        stream = DuplexStream(small, 2)
        for step in range(3):
            stream.push(None, [9, 9], codes((2, 2, 1), step), active=np.array([True, step == 2]))
        frame = stream.pull()
        assert frame.active.tolist() == [True, False]
        assert frame.text.tolist() == [9, -2]
        assert (frame.codes[1] == 0).all()

    def test_the_delay_of_speech(self):
        """A TTS gives nothing for its first 16 frames, whose codes moshi sets to -1."""
        stream = DuplexStream(TTS_1_6B)
        for step in range(30):
            late = np.array(TTS_1_6B.delays[1:]) + TTS_1_6B.audio_delay_frames
            sampled = np.where(step < late, -1, step - late)[:, np.newaxis]
            stream.push(text=3, audio=sampled)
            frame = stream.pull()
            assert (frame is None) == (step < stream.warm_up_steps)
            if frame is not None:
                assert (frame.codes == step - stream.warm_up_steps).all()

    def test_zeros_of_a_model_with_fewer_codebooks(self):
        small = TTS_1_6B.with_generated(8)
        stream = DuplexStream(small)
        stream.push(np.full((24, 1), -1), 0, codes((8, 1)))
        assert (stream.inputs(np.full((24, 1), -1))[0, [9, 32], 0] == [2048, 2048]).all()


class TestWrongInput:
    USER, AUDIO = codes((2, 1)), codes((3, 1))

    @pytest.mark.parametrize(
        ("user", "text", "audio", "message"),
        [
            (None, 1, AUDIO, "2 user audio rows, got no codes"),
            (USER, None, AUDIO, "text token"),
            (USER, 1, None, "3 generated audio rows, got no codes"),
            (codes((1, 1)), 1, AUDIO, r"\(2, 1\), got \(1, 1\)"),
            (codes((2, 2)), 1, AUDIO, r"\(2, 1\), got \(2, 2\)"),
            (codes((2, 2, 1)), 1, AUDIO, r"\(1, 2, 1\), got \(2, 2, 1\)"),
            (USER, [1, 2], AUDIO, r"\(1,\), one token"),
            (USER, 51, AUDIO, r"between -1 and 50, got 51"),
            (USER, 1, codes((4, 1)), r"\(3, 1\), got \(4, 1\)"),
            (USER, 1, np.full((3, 1), -2), r"-2 \(ungenerated\)"),
            (np.full((2, 1), 2**32 - 1, np.uint32), 1, AUDIO, "ungenerated in Rust"),
            (np.full((2, 1), 77), 1, AUDIO, "got 77"),
        ],
    )
    def test_refused_and_nothing_changes(self, user, text, audio, message):
        stream = DuplexStream(SMALL)
        stream.push(self.USER, 1, self.AUDIO)
        before = stream.inputs(self.USER)
        with pytest.raises(CodesError, match=message):
            stream.push(user, text, audio)
        assert stream.steps == [1]
        np.testing.assert_array_equal(stream.inputs(self.USER), before)

    def test_other_kinds(self):
        stream = DuplexStream(SMALL, 2)
        with pytest.raises(InputTypeError, match=r"text.*float64"):
            stream.push(codes((2, 2, 1)), [0.5, 0.5], codes((2, 3, 1)))
        with pytest.raises(InputTypeError, match="bool"):
            stream.reset(np.array([0, 1]))
        with pytest.raises(StreamError, match=r"\(2,\), got \(3,\)"):
            stream.reset(np.array([True, True, False]))
        with pytest.raises(ConfigError, match="'mlx'"):
            DuplexStream(SMALL, convention="mlx")
        with pytest.raises(ConfigError, match="batch_size"):
            DuplexStream(SMALL, 0)

    def test_hibikis_end_of_input_is_welcome(self):
        """It is no code, yet a step counts and the model reads it in the rows of the user, each with its delay."""
        stream, end = DuplexStream(SMALL), np.full((2, 1), CARD)
        read = []
        for user in (self.USER,) * 4 + (end,) * 2 + (self.USER,) * 3:
            read.append(stream.inputs(user)[0, -2:, 0].tolist())
            stream.push(user, 1, self.AUDIO)
        assert stream.steps == [9]
        first, second = ([int(code)] for code in self.USER[:, 0])
        initial = ended = [CARD]
        assert [row[0] for row in read] == initial + first * 3 + ended * 2 + first * 3
        assert [row[1] for row in read] == initial * 2 + second * 3 + ended * 2 + second * 2
        with pytest.raises(CodesError):
            stream.push(end + 1, 1, self.AUDIO)


def test_text_alone():
    """Speech-to-text models generate no audio: frames have no codes."""
    stream = DuplexStream(STT_1B)
    stream.push(codes((32, 1), card=2048), 17)
    frame = stream.pull()
    assert (frame.text.tolist(), frame.codes.shape) == ([17], (0, 1))


def test_beside_a_decoder():
    """Frames go straight to a decoder's stream; the audio is that of the aligned codes."""
    mimi = Mimi.demo()
    small = layout((0, 0, *[1] * 7), 8)
    clip = codes((1, 8, 6), card=CARD)
    rows = np.concatenate([np.full((1, 1, 6), 3), clip], 1)
    decoder, pcm = mimi.decoder_stream(), []
    for _, frame in drive(DuplexStream(small), rows):
        if frame is not None:
            pcm.append(decoder.push(frame.codes, active=frame.active))
    np.testing.assert_allclose(np.concatenate(pcm), mimi.decode(clip[0, :, :5]), atol=1e-5)
