"""Arrays of other libraries: memory that is not the processor's is refused before it is read; pinned memory is read."""

import numpy as np
import pytest

import signals
from mimi_codec.errors import InputTypeError

PCM = signals.noise(203, level=0.3)


class Elsewhere:
    """An array that says which device it is on."""

    def __init__(self, values: np.ndarray, device: int) -> None:
        self.values, self.device = values, device

    def __dlpack__(self, **options):
        return self.values.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device, 0


@pytest.mark.parametrize("device", [1, 3])
def test_memory_of_the_host(tiny, device):
    np.testing.assert_array_equal(tiny.encode(Elsewhere(PCM, device)), tiny.encode(PCM))


@pytest.mark.parametrize("device", [2, 8, 10, 13])  # CUDA, Metal, ROCm, CUDA managed
def test_memory_of_others(tiny, device):
    codes = tiny.encode(PCM)
    for call, values in (
        (tiny.encode, PCM),
        (tiny.encoder_stream().push, PCM),
        (tiny.decode, codes),
        (tiny.decode_latents, tiny.codes_to_latents(codes)),
    ):
        with pytest.raises(InputTypeError, match=rf"CPU memory.*DLPack device type {device}"):
            call(Elsewhere(values, device))


def test_a_library_that_fails(tiny):
    class Broken(Elsewhere):
        def __dlpack__(self, **options):
            raise BufferError("no capsule today")

        def __dlpack_device__(self):
            return self.device

    for device, words in (
        ((1, 0), r"cannot read Broken.*no capsule today"),
        (("gpu", 0), r"CPU memory, got Broken.*gpu"),
        (None, r"CPU memory, got Broken"),
    ):
        with pytest.raises(InputTypeError, match=words):
            tiny.encode(Broken(PCM, device))
