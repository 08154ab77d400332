"""Files of latents: both formats hold them bit for bit, and damage is an error of the package."""

import io

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from mimi_codec import ConfigError, InputTypeError, LatentsError, LoadError, MimiError, read_tokens
from mimi_codec.token_files import Latents, read_latents, write_latents

FIELDS = {
    "format": "mimi-codec-latents",
    "version": "1",
    "model": "m",
    "revision": "",
    "sample_rate": "24000",
    "frame_rate": "12.5",
    "axes": "channel,frame",
    "num_samples": "3000",
}
VALUES = np.random.default_rng(0).standard_normal((4, 2), np.float32)


def safetensors(values: np.ndarray, **changes: str | None) -> bytes:
    return save({"latents": values}, {key: value for key, value in (FIELDS | changes).items() if value is not None})


def npz(values: np.ndarray, **changes: str | None) -> bytes:
    file = io.BytesIO()
    np.savez(file, latents=values, **{key: value for key, value in (FIELDS | changes).items() if value is not None})
    return file.getvalue()


BOTH = pytest.mark.parametrize("written", [safetensors, npz])


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_round_trip(tiny, tmp_path, suffix):
    content = Latents.of(tiny, tiny.encode_latents(np.ones(40, np.float32) / 9), 40)
    file = tmp_path / f"clip.{suffix}"
    write_latents(file, content)
    again = read_latents(file)
    np.testing.assert_array_equal(again.latents, content.latents)
    for name in ("model", "revision", "sample_rate", "frame_rate", "num_samples", "seconds", "num_frames"):
        assert getattr(again, name) == getattr(content, name)
    if suffix == "safetensors":
        np.testing.assert_array_equal(load_file(file)["latents"], content.latents)


def test_they_are_copied(tiny):
    """What the caller does with the array later does not change the content."""
    values = np.zeros((32, 2), np.float32)
    content = Latents.of(tiny, values)
    values[:] = 1
    assert not content.latents.any()
    assert content.num_samples == 2 * tiny.frame_size


@BOTH
def test_as_written(written):
    content = read_latents(io.BytesIO(written(VALUES)))
    np.testing.assert_array_equal(content.latents, VALUES)
    assert (content.model, content.revision, content.num_samples) == ("m", None, 3000)


@BOTH
@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"format": "other"}, LoadError, "format"),
        ({"format": None}, LoadError, "format"),
        ({"axes": "frame,channel"}, LoadError, "axes"),
        ({"sample_rate": None}, LoadError, "'sample_rate' is missing"),
        ({"sample_rate": "x"}, LoadError, "bad metadata"),
        ({"sample_rate": "0"}, LoadError, "bad metadata"),
        ({"frame_rate": "nan"}, LoadError, "bad metadata"),
        ({"num_samples": "-1"}, LatentsError, "at most 3840 samples"),
        ({"num_samples": "3841"}, LatentsError, "at most 3840 samples"),
    ],
    ids=str,
)
def test_metadata(written, changes, error, words):
    with pytest.raises(error, match=words):
        read_latents(io.BytesIO(written(VALUES, **changes)))


@BOTH
@pytest.mark.parametrize("values", [VALUES.astype(np.float64), VALUES[0], VALUES[None], np.zeros((4, 2), np.int32)])
def test_arrays_of_another_kind(written, values):
    with pytest.raises(LoadError, match=r"expected an array 'latents' \(D, T\) of float32"):
        read_latents(io.BytesIO(written(values)))


@BOTH
def test_values_that_are_not_finite(written):
    with pytest.raises(LatentsError, match="finite"):
        read_latents(io.BytesIO(written(np.full((4, 2), np.nan, np.float32))))


@BOTH
def test_cut_short(written):
    data = written(VALUES)
    for size in range(0, len(data), 7):
        with pytest.raises(MimiError):
            read_latents(io.BytesIO(data[:size]))


@BOTH
def test_they_are_not_tokens(written):
    with pytest.raises(LoadError, match="it holds latents and no codes"):
        read_tokens(io.BytesIO(written(VALUES)))


def test_refused(tiny, tmp_path):
    content = Latents.of(tiny, np.zeros((32, 2), np.float32))
    with pytest.raises(LoadError, match=r"ends in \.safetensors, \.npz"):
        write_latents(tmp_path / "clip.mcs", content)
    with pytest.raises(ConfigError, match="file_format"):
        write_latents(io.BytesIO(), content, "mcs")
    with pytest.raises(LatentsError, match="one clip"):
        Latents.of(tiny, np.zeros((1, 32, 2), np.float32))
    with pytest.raises(InputTypeError):
        Latents.of(tiny, np.zeros((32, 2), np.int64))
    with pytest.raises(LatentsError, match="at most 32 samples"):
        Latents.of(tiny, np.zeros((32, 2), np.float32), 33)
    with pytest.raises(LatentsError, match="finite"):
        Latents.of(tiny, np.full((32, 2), np.inf, np.float32))
    assert not list(tmp_path.iterdir())
