"""Whole sequences: rows, the delayed matrix, and ids that are no codes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_layouts import CARD, TEXT_CARD, codes, layout, layouts, random_rows

from mimi_codec import CodesError, ConfigError, InputTypeError
from mimi_codec.tokens import (
    HIBIKI_2B,
    MOSHI_7B,
    STT_1B,
    delay,
    end_of_input,
    mask_sentinels,
    merge_rows,
    refuse_sentinels,
    split_rows,
    undelay,
)

SMALL = layout((0, 0, 1, 2, 0, 1), 3)


class TestDelay:
    @given(layouts(), st.integers(0, 9), st.integers(1, 3))
    def test_there_and_back(self, small, frames, batch):
        rows = random_rows(small, frames, batch)
        again, valid = undelay(small, delay(small, rows, extend=True), extended=True)
        np.testing.assert_array_equal(again, rows)
        assert valid.all()

    @given(layouts(), st.integers(0, 9))
    def test_without_the_extension_the_last_codes_are_lost(self, small, frames):
        rows = random_rows(small, frames, 2)
        again, valid = undelay(small, delay(small, rows))
        assert valid.sum(axis=1).tolist() == [max(0, frames - late) for late in small.delays]
        np.testing.assert_array_equal(again[:, valid], rows[:, valid])
        assert (again[:, ~valid] == small.ungenerated_id).all()

    @given(layouts(), st.integers(0, 9))
    def test_column_p_holds_frame_p_minus_1_minus_d(self, small, frames):
        rows = random_rows(small, frames, 1)[0]
        matrix = delay(small, rows)
        assert matrix.shape == (small.num_rows, frames + 1)
        for row, late in enumerate(small.delays):
            for column in range(frames + 1):
                frame = column - 1 - late
                assert matrix[row, column] == (rows[row, frame] if frame >= 0 else small.initial_ids()[row])

    @given(layouts(), st.integers(1, 9))
    def test_extended_tails_are_zero(self, small, frames):
        rows = random_rows(small, frames, 1)[0]
        matrix = delay(small, rows, extend=True)
        np.testing.assert_array_equal(matrix[:, : frames + 1], delay(small, rows))
        for row, late in enumerate(small.delays):
            assert (matrix[row, 1 + late + frames :] == -1).all()

    def test_a_prefix_of_the_codebooks(self):
        """The first rows of the matrix of a model with fewer codebooks are the same."""
        user, moshi = codes((32, 20), 1, 2048), codes((32, 20), 2, 2048)
        few = delay(MOSHI_7B, merge_rows(MOSHI_7B, moshi[:8], user[:8]))
        np.testing.assert_array_equal(few, delay(MOSHI_7B, merge_rows(MOSHI_7B, moshi, user)))
        np.testing.assert_array_equal(delay(MOSHI_7B, merge_rows(MOSHI_7B, moshi[:, :5], user[:, :5])), few[:, :6])

    def test_wrong_input(self):
        with pytest.raises(CodesError, match=r"6 rows.*\(5, 3\)"):
            delay(SMALL, codes((5, 3)))
        with pytest.raises(CodesError, match="initial column, got 0"):
            undelay(SMALL, codes((6, 0)))
        with pytest.raises(CodesError, match="2 at the end, got 2"):
            undelay(SMALL, codes((6, 2)), extended=True)
        with pytest.raises(InputTypeError, match="float64"):
            delay(SMALL, np.zeros((6, 3)))


class TestRows:
    @given(layouts(min_generated=1), st.integers(1, 5), st.integers(1, 3))
    def test_there_and_back(self, small, frames, batch):
        rows = random_rows(small, frames, batch)
        text, generated, user = split_rows(small, rows)
        np.testing.assert_array_equal(merge_rows(small, generated, user if small.num_user else None, text), rows)
        one = split_rows(small, rows[0])
        assert [part.shape for part in one] == [part.shape[1:] for part in (text, generated, user)]

    def test_without_text(self):
        rows = merge_rows(SMALL, codes((3, 4)), codes((2, 4)))
        assert (rows[0] == SMALL.text_padding_id).all()

    def test_rows_a_model_does_not_have(self):
        rows = merge_rows(STT_1B, user=codes((32, 4), card=2048))
        assert rows.shape == (33, 4)

    def test_wrong_input(self):
        good = codes((3, 4))
        with pytest.raises(CodesError, match="2 user audio rows, got no codes"):
            merge_rows(SMALL, good)
        with pytest.raises(CodesError, match="2 user audio rows, got 1 codebooks"):
            merge_rows(SMALL, good, codes((1, 4)))
        with pytest.raises(CodesError, match=r"\(3, 4\), \(2, 5\)"):
            merge_rows(SMALL, good, codes((2, 5)))
        with pytest.raises(CodesError, match=r"\(3, 4\), \(1, 2, 4\)"):
            merge_rows(SMALL, good, codes((1, 2, 4)))
        with pytest.raises(CodesError, match=rf"between 0 and {TEXT_CARD}, got 51"):
            merge_rows(SMALL, good, codes((2, 4)), np.full(4, 51))
        with pytest.raises(CodesError, match=r"\(T,\) or \(B, T\)"):
            merge_rows(SMALL, good, codes((2, 4)), np.zeros((1, 1, 4), int))
        with pytest.raises(InputTypeError, match="text"):
            merge_rows(SMALL, good, codes((2, 4)), np.zeros(4))

    def test_the_end_of_input(self):
        frame = end_of_input(HIBIKI_2B, 3)
        assert frame.shape == (3, 16, 1)
        assert (frame == 2048).all()


SENTINELS = {
    -1: "zero",
    -2: "ungenerated",
    2**32 - 1: "Rust",
    CARD: "initial",
    CARD + 1: "unused by CSM",
    CARD + 2: "padding of CSM",
}


class TestSentinels:
    @pytest.mark.parametrize(("code", "name"), SENTINELS.items())
    def test_refused_by_name(self, code, name):
        rows = codes((4, 5))
        np.testing.assert_array_equal(refuse_sentinels(rows, CARD), rows)
        rows[2, 3] = code
        with pytest.raises(CodesError, match=rf"{code} .*{name}.*codebook 2 of frame 3"):
            refuse_sentinels(rows, CARD)

    @pytest.mark.parametrize("code", SENTINELS)
    def test_masked(self, code):
        rows = codes((2, 4, 5))
        rows[1, 2, 3] = code
        masked, valid = mask_sentinels(rows, CARD, fill=7)
        assert np.argwhere(~valid).tolist() == [[1, 3]]
        assert masked[1, 2, 3] == 7
        assert (masked == rows).sum() == rows.size - 1
        one, one_valid = mask_sentinels(rows[1], CARD)
        assert (one.shape, one_valid.shape, one[2, 3]) == ((4, 5), (5,), 0)

    def test_rust_unsigned(self):
        """moshi-core's codes are u32."""
        rows = np.full((1, 2), 2**32 - 1, np.uint32)
        assert not mask_sentinels(rows)[1].any()

    @pytest.mark.parametrize("code", [-3, 2051, 5000, 2**40])
    def test_what_is_neither_is_always_refused(self, code):
        rows = codes((4, 5), card=2048)
        rows[0, 0] = code
        for function in (refuse_sentinels, mask_sentinels):
            with pytest.raises(CodesError, match=rf"between 0 and 2047, got {code}"):
                function(rows)

    def test_wrong_input(self):
        with pytest.raises(ConfigError, match="fill"):
            mask_sentinels(codes((1, 1)), CARD, fill=CARD)
        with pytest.raises(CodesError, match="shape"):
            refuse_sentinels(codes(3))

    def test_empty(self):
        assert refuse_sentinels(np.zeros((8, 0), int)).shape == (8, 0)
        assert mask_sentinels(np.zeros((8, 0), int))[1].shape == (0,)
