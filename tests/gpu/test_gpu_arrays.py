"""Arrays in the memory of the device: what comes from there goes back there, and is what passes the host."""

import numpy as np
import pytest

import signals
from gpu_cases import assert_same
from mimi_codec import _core
from mimi_codec.errors import AudioError, CodesError, InputTypeError, NumericError
from stream_cases import HOP, random_codes

ROWS = 3


@pytest.fixture
def there(tiny_gpu):
    """Copies an array to the device."""

    def copy(array: np.ndarray) -> _core.DeviceArray:
        make = _core.DeviceArray.of_codes if array.dtype == np.int64 else _core.DeviceArray.of_floats
        return make(tiny_gpu._core, np.ascontiguousarray(array))

    return copy


def here(array: _core.DeviceArray) -> np.ndarray:
    """A result, which must be on the device."""
    assert isinstance(array, _core.DeviceArray)
    return array.to_host()


@pytest.mark.parametrize("samples", [0, 1, HOP, 5 * HOP + 3])
def test_clips(tiny, tiny_gpu, there, samples):
    for pcm in (signals.chirp(samples), signals.noise(samples, rows=ROWS)):
        codes = tiny.encode(pcm)
        assert_same(here(tiny_gpu.encode(there(pcm))), codes)
        assert_same(here(tiny_gpu.encode(there(pcm), padding="moshi")), tiny.encode(pcm, padding="moshi"))
        assert_same(here(tiny_gpu.decode(there(codes))), tiny.decode(codes))
        latents = tiny.encode_latents(pcm)
        assert_same(here(tiny_gpu.encode_latents(there(pcm))), latents)
        assert_same(here(tiny_gpu.decode_latents(there(latents))), tiny.decode_latents(latents))


def test_results_go_on_as_input(tiny, tiny_gpu, there):
    """Codes come with strides of their own."""
    pcm = signals.noise(4 * HOP, rows=ROWS)
    assert_same(here(tiny_gpu.decode(tiny_gpu.encode(there(pcm)))), tiny.decode(tiny.encode(pcm)))


def test_rows_of_different_lengths(tiny, tiny_gpu, there):
    pcm, lengths = signals.noise(4 * HOP, rows=ROWS), [4 * HOP, 0, HOP + 1]
    codes = tiny.encode(pcm, lengths=lengths)
    assert (codes == -1).any()
    assert_same(here(tiny_gpu.encode(there(pcm), lengths=lengths)), codes)
    assert_same(here(tiny_gpu.decode(there(codes))), tiny.decode(codes))


def test_streams(tiny, tiny_gpu, there):
    """Whole frames stay on the device; pieces that are not whole pass the host, and nobody sees a difference."""
    encoders, decoders = ([codec.encoder_stream(ROWS) for codec in (tiny, tiny_gpu)], None)
    decoders = [codec.decoder_stream(ROWS) for codec in (tiny, tiny_gpu)]
    rng = np.random.default_rng(3)
    for samples in [HOP, HOP, 2 * HOP, HOP, 5, HOP, HOP - 5, HOP, HOP]:
        pcm, active = signals.noise(samples, rows=ROWS, seed=samples), rng.random(ROWS) < 0.7
        expected = encoders[0].push(pcm, active=active)
        assert_same(here(encoders[1].push(there(pcm), active=active)), expected)
        assert encoders[0].pending == encoders[1].pending
    for frames in [1, 1, 1, 3, 0, 1]:
        codes, active = random_codes(frames, seed=frames, rows=ROWS), rng.random(ROWS) < 0.7
        assert_same(here(decoders[1].push(there(codes), active=active)), decoders[0].push(codes, active=active))


def test_what_a_step_asks_of_the_driver(tiny_gpu, there, test_driver):
    """Of the signal nothing passes the host: it takes back the words in which faults are reported."""
    stream, pcm = tiny_gpu.encoder_stream(ROWS), there(signals.noise(HOP, rows=ROWS))
    for _ in range(3):
        stream.push(pcm)
    names = ["cuGraphLaunch", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuLaunchKernel"]
    before = [test_driver.calls(name) for name in names]
    stream.push(pcm)
    assert [test_driver.calls(name) - count for name, count in zip(names, before, strict=True)] == [1, 1, 1, 2]


def test_what_is_refused(tiny_gpu, there):
    stream = tiny_gpu.encoder_stream(ROWS)
    stream.push(there(signals.noise(HOP, rows=ROWS)))
    before = stream.save()
    with pytest.raises(AudioError):
        stream.push(there(signals.noise(HOP, rows=ROWS + 1)))
    with pytest.raises(InputTypeError):
        stream.push(there(random_codes(1, rows=ROWS)))
    with pytest.raises(NumericError):
        stream.push(there(np.full((ROWS, 1, HOP), np.nan, np.float32)))
    assert stream.save() == before
    wrong = random_codes(3, rows=ROWS)
    wrong[1, 0, 1] = tiny_gpu.codebook_size
    with pytest.raises(CodesError, match=str(tiny_gpu.codebook_size)):
        tiny_gpu.decode(there(wrong))
    with pytest.raises(CodesError):
        tiny_gpu.decode(there(np.zeros((ROWS, tiny_gpu.num_codebooks + 1, 2), np.int64)))


def test_a_codec_on_the_host_takes_no_memory_of_the_device(tiny, there):
    with pytest.raises(InputTypeError, match="CPU memory"):
        tiny.encode(there(signals.chirp(HOP)))


def test_capsules(tiny_gpu, there):
    """Both forms of DLPack, taken once."""
    array = there(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert array.__dlpack_device__() == (2, 0)
    for version in (None, (1, 0)):
        capsule = array.__dlpack__(max_version=version)
        taken = _core.DeviceArray.of_capsule(tiny_gpu._core, capsule)
        np.testing.assert_array_equal(taken.to_host(), array.to_host())
        with pytest.raises(InputTypeError, match="capsule"):
            _core.DeviceArray.of_capsule(tiny_gpu._core, capsule)
    array.__dlpack__()  # one that nobody takes is freed
    with pytest.raises(BufferError):
        array.__dlpack__(copy=True)
