"""When the memory of an input is shared, and when it is copied.

A push takes its input while other threads may run, who may write into it: so it is copied. A clip is large and shared.
"""

import numpy as np
import pytest

from mimi_codec._arrays import to_codes, to_latents, to_pcm, to_pcm_batch

PCM = np.linspace(-1, 1, 24, dtype=np.float32)
CODES = np.arange(24, dtype=np.int64)


@pytest.mark.parametrize(
    ("convert", "values"),
    [
        (to_pcm, PCM),
        (lambda pcm, **options: to_pcm_batch(pcm, **options)[0], PCM),
        (lambda pcm, **options: to_pcm_batch(pcm, **options)[0], PCM.reshape(2, 1, 12)),
        (lambda codes, **options: to_codes(codes, **options)[0], CODES.reshape(4, 6)),
        (lambda codes, **options: to_codes(codes, **options)[0], CODES.reshape(2, 3, 4)),
    ],
)
def test_on_demand(convert, values):
    assert np.shares_memory(convert(values), values)
    copy = convert(values, copy=True)
    assert not np.shares_memory(copy, values)
    np.testing.assert_array_equal(copy.ravel(), values.ravel())


def test_latents_are_shared():
    latents = PCM.reshape(4, 6)
    assert np.shares_memory(to_latents(latents)[0], latents)


@pytest.mark.parametrize(
    "change", [lambda values: values[::2], lambda values: values.astype(values.dtype.newbyteorder())]
)
def test_other_layouts_are_copied_once(change):
    for convert, values in ((to_pcm, change(PCM)), (to_codes, change(CODES).reshape(2, -1))):
        found = convert(values)
        found = found[0] if isinstance(found, tuple) else found
        assert found.flags.c_contiguous
        assert found.dtype.isnative
        assert not np.shares_memory(found, values)
