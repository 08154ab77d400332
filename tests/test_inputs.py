"""Every kind of array goes in; everything else is refused by name before anything happens."""

import array
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import signals
from mimi_codec import Mimi, MimiError
from mimi_codec.errors import AudioError, CodesError, ConfigError, InputTypeError, LatentsError, StreamError

HOP, SIZE, CODEBOOKS, WIDTH = 16, 32, 6, 32  # of the tiny model
PCM = signals.noise(203, level=0.3)


def strided(values: np.ndarray) -> np.ndarray:
    """The same values, three elements apart."""
    wide = np.zeros((*values.shape, 3), values.dtype)
    wide[..., 1] = values
    return wide[..., 1]


def read_only(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values.flags.writeable = False
    return values


def unaligned(values: np.ndarray) -> np.ndarray:
    """The same values, starting at an odd address."""
    raw = np.zeros(values.nbytes + 1, np.uint8)
    raw[1:] = values.reshape(-1).view(np.uint8)
    return raw[1:].view(values.dtype).reshape(values.shape)


def from_file(values: np.ndarray, tmp_path) -> np.ndarray:
    np.save(tmp_path / "values.npy", values)
    return np.load(tmp_path / "values.npy", mmap_mode="r")


def torch_tensor(values: np.ndarray):
    import torch

    return torch.from_numpy(values.copy())


LAYOUTS = {
    "strided": strided,
    "reversed": lambda values: values[..., ::-1].copy()[..., ::-1],
    "fortran": np.asfortranarray,
    "read-only": read_only,
    "unaligned": unaligned,
    "big-endian": lambda values: values.astype(values.dtype.newbyteorder(">")),
    "little-endian": lambda values: values.astype(values.dtype.newbyteorder("<")),
    "memoryview": lambda values: memoryview(np.ascontiguousarray(values)),
    "read-only memoryview": lambda values: memoryview(np.ascontiguousarray(values)).toreadonly(),
    "subclass": lambda values: values.view(type("Subclass", (np.ndarray,), {})),
    "torch": torch_tensor,
    "strided torch": lambda values: torch_tensor(strided(values).base)[..., 1],
    "torch with gradient": lambda values: torch_tensor(values).requires_grad_(values.dtype.kind == "f"),
    "nested lists": np.ndarray.tolist,
}


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS)
def layout(request):
    return request.param


class TestLayouts:
    """The layout of an input never matters, and the input stays as it is."""

    def test_clip(self, tiny, layout):
        np.testing.assert_array_equal(tiny.encode(layout(PCM)), tiny.encode(PCM))

    def test_batch(self, tiny, layout):
        pcm = signals.noise(203, rows=2)
        np.testing.assert_array_equal(tiny.encode(layout(pcm)), tiny.encode(pcm))

    def test_codes(self, tiny, layout):
        codes = tiny.encode(PCM)
        np.testing.assert_array_equal(tiny.decode(layout(codes)), tiny.decode(codes))

    def test_latents(self, tiny, layout):
        latents = tiny.encode_latents(PCM)
        np.testing.assert_array_equal(tiny.decode_latents(layout(latents)), tiny.decode_latents(latents))
        np.testing.assert_array_equal(tiny.quantize(layout(latents)), tiny.quantize(latents))

    def test_streams(self, tiny, layout):
        codes = tiny.encode(PCM[: 5 * HOP])
        np.testing.assert_array_equal(tiny.encoder_stream().push(layout(PCM[: 5 * HOP])), codes)
        np.testing.assert_array_equal(tiny.decoder_stream().push(layout(codes)), tiny.decode(codes))

    def test_mapped_file(self, tiny, tmp_path):
        np.testing.assert_array_equal(tiny.encode(from_file(PCM, tmp_path)), tiny.encode(PCM))

    def test_broadcast_rows(self, tiny):
        """Rows that share one memory."""
        codes = tiny.encode(np.broadcast_to(PCM, (3, 1, len(PCM))))
        np.testing.assert_array_equal(codes, np.stack([tiny.encode(PCM)] * 3))

    def test_inputs_are_not_written(self, tiny):
        pcm, latents, codes = PCM.copy(), tiny.encode_latents(PCM), tiny.encode(PCM)
        kept = pcm.copy(), latents.copy(), codes.copy()
        tiny.encode(pcm), tiny.quantize(latents), tiny.decode_latents(latents), tiny.decode(codes)
        for after, before in zip((pcm, latents, codes), kept, strict=True):
            np.testing.assert_array_equal(after, before)

    def test_results_belong_to_the_caller(self, tiny):
        for result in (tiny.encode(PCM), tiny.decode(tiny.encode(PCM)), tiny.encode_latents(PCM)):
            assert result.flags.writeable
            kept = result.copy()
            tiny.decode(tiny.encode(signals.noise(999)))
            np.testing.assert_array_equal(result, kept)


class TestSampleTypes:
    def test_int16_is_scaled(self, tiny):
        samples = (PCM * 32768).round().astype(np.int16)
        expected = tiny.encode_latents(samples.astype(np.float32) / 32768)
        for form in (samples, samples.astype(">i2"), memoryview(samples), array.array("h", samples.tolist())):
            np.testing.assert_array_equal(tiny.encode_latents(form), expected)

    @pytest.mark.parametrize("dtype", [np.float16, np.float64, np.longdouble])
    def test_floats_are_cast(self, tiny, dtype):
        pcm = PCM.astype(dtype)
        np.testing.assert_array_equal(tiny.encode_latents(pcm), tiny.encode_latents(pcm.astype(np.float32)))

    @pytest.mark.parametrize("code", ["f", "d"])
    def test_array_module(self, tiny, code):
        np.testing.assert_array_equal(tiny.encode(array.array(code, PCM.tolist())), tiny.encode(PCM))

    @pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16", "int16"])
    def test_torch(self, tiny, dtype):
        import torch

        scale = 32768 if dtype == "int16" else 1
        tensor = (torch.from_numpy(PCM) * scale).to(getattr(torch, dtype))
        np.testing.assert_array_equal(tiny.encode(tensor), tiny.encode((tensor.float() / scale).numpy()))

    @pytest.mark.parametrize("dtype", "bhilqBHILQ")
    def test_codes_of_any_integer_type(self, tiny, dtype):
        codes = tiny.encode(PCM)
        np.testing.assert_array_equal(tiny.decode(codes.astype(dtype)), tiny.decode(codes))

    def test_results(self, tiny):
        codes, latents = tiny.encode(PCM), tiny.encode_latents(PCM)
        frames = -(-len(PCM) // HOP)
        assert (codes.dtype, codes.shape) == (np.int64, (CODEBOOKS, frames))
        assert (latents.dtype, latents.shape) == (np.float32, (WIDTH, frames))
        assert tiny.encode(PCM[None, None]).shape == (1, CODEBOOKS, frames)
        assert tiny.encode_latents(PCM[None, None]).shape == (1, WIDTH, frames)
        assert tiny.decode(codes).shape == (frames * HOP,)
        assert tiny.decode(codes[None]).shape == tiny.decode_latents(latents[None]).shape == (1, 1, frames * HOP)


BAD_AUDIO = [
    # pcm, error, what the message must say
    (np.zeros(9, np.int32), InputTypeError, r"float32.*int16.*int32"),
    (np.zeros(9, np.int64), InputTypeError, r"float32.*int64"),
    (np.zeros(9, np.uint8), InputTypeError, r"float32.*uint8"),
    (np.zeros(9, np.uint16), InputTypeError, r"float32.*uint16"),
    (np.zeros(9, bool), InputTypeError, r"float32.*bool"),
    (np.zeros(9, complex), InputTypeError, r"float32.*complex128"),
    (np.array(["a", "b"]), InputTypeError, r"float32.*U1"),
    (np.array([None, 1.0]), InputTypeError, r"float32|number"),
    ([0, 1, 2], InputTypeError, r"float32.*int64"),
    ([[0.0], [0.0, 1.0]], InputTypeError, r"array"),
    (b"\0" * 8, InputTypeError, r"np\.frombuffer\(.*np\.int16"),
    (bytearray(8), InputTypeError, r"np\.frombuffer\(.*np\.int16"),
    ("clip.wav", InputTypeError, r"array.*str"),
    (None, InputTypeError, r"array.*NoneType"),
    (object(), InputTypeError, r"array.*object"),
    (np.float32(0), AudioError, r"\(L,\).*\(B, 1, L\).*\(\)"),
    (np.zeros((1, 9), np.float32), AudioError, r"\(L,\).*\(B, 1, L\).*\(1, 9\)"),
    (np.zeros((2, 2, 9), np.float32), AudioError, r"\(L,\).*\(B, 1, L\).*\(2, 2, 9\)"),
    (np.zeros((0, 1, 9), np.float32), AudioError, r"\(L,\).*\(B, 1, L\).*\(0, 1, 9\)"),
    (np.zeros((1, 1, 1, 9), np.float32), AudioError, r"\(1, 1, 1, 9\)"),
    (np.array([0, np.nan], np.float32), AudioError, r"(?i)finite.*nan"),
    (np.array([np.inf, 0], np.float32), AudioError, r"(?i)finite.*inf"),
    (np.array([0, -np.inf]), AudioError, r"(?i)finite.*-inf"),
    (np.array([0, 1e300]), AudioError, r"(?i)finite.*inf"),
    (np.array([np.nan], np.float16), AudioError, r"(?i)finite.*nan"),
]

BAD_CODES = [
    (np.zeros((CODEBOOKS, 3)), InputTypeError, r"integer.*float64"),
    (np.zeros((CODEBOOKS, 3), bool), InputTypeError, r"integer.*bool"),
    (None, InputTypeError, r"array.*NoneType"),
    ("codes.npz", InputTypeError, r"array.*str"),
    (b"\0" * 8, InputTypeError, r"bytes"),
    (np.zeros(3, int), CodesError, r"\(K, T\).*\(B, K, T\).*\(3,\)"),
    (np.zeros((), int), CodesError, r"\(K, T\).*\(B, K, T\).*\(\)"),
    (np.zeros((1, 1, 6, 3), int), CodesError, r"\(K, T\).*\(B, K, T\).*\(1, 1, 6, 3\)"),
    (np.zeros((0, 6, 3), int), CodesError, r"\(0, 6, 3\)"),
    (np.zeros((0, 3), int), CodesError, r"\b1\b.*\b6\b.*\b0\b"),
    (np.zeros((7, 3), int), CodesError, r"\b1\b.*\b6\b.*\b7\b"),
    (np.full((6, 3), -1), CodesError, r"\b31\b.*-1|-1.*\b31\b"),
    (np.full((6, 3), -2, np.int8), CodesError, r"\b31\b.*-2|-2.*\b31\b"),
    (np.full((6, 3), 32), CodesError, r"\b31\b.*\b32\b"),
    (np.full((6, 3), 2048, np.uint16), CodesError, r"\b31\b.*2048|2048.*\b31\b"),
    (np.full((6, 3), 2**32, np.int64), CodesError, r"4294967296"),
    (np.full((6, 3), 2**64 - 1, np.uint64), CodesError, r"18446744073709551615"),
]

BAD_LATENTS = [
    (np.zeros((WIDTH, 3), int), InputTypeError, r"float32.*int64"),
    (None, InputTypeError, r"array.*NoneType"),
    (np.zeros(3, np.float32), LatentsError, r"\(D, T\).*\(B, D, T\).*\(3,\)"),
    (np.zeros((WIDTH + 1, 3), np.float32), LatentsError, r"\b32\b.*\b33\b"),
    (np.zeros((0, 3), np.float32), LatentsError, r"\b32\b.*\b0\b"),
    (np.full((WIDTH, 3), np.nan, np.float32), LatentsError, r"(?i)finite.*nan"),
    (np.full((2, WIDTH, 3), np.inf), LatentsError, r"(?i)finite.*inf"),
]


def label(value) -> str | None:
    """The row of a table by what goes in."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}".replace(" ", "")
    return re.sub(r"\W+", "-", repr(value))[:24] if isinstance(value, str | bytes | list) else None


@pytest.mark.parametrize(("pcm", "error", "message"), BAD_AUDIO, ids=label)
def test_bad_audio(tiny, pcm, error, message):
    for call in (tiny.encode, tiny.encode_latents, tiny.encoder_stream().push):
        with pytest.raises(error, match=message):
            call(pcm)


@pytest.mark.parametrize(("codes", "error", "message"), BAD_CODES, ids=label)
def test_bad_codes(tiny, codes, error, message):
    for call in (tiny.decode, tiny.codes_to_latents, tiny.decoder_stream().push):
        with pytest.raises(error, match=message):
            call(codes)


@pytest.mark.parametrize(("latents", "error", "message"), BAD_LATENTS, ids=label)
def test_bad_latents(tiny, latents, error, message):
    for call in (tiny.decode_latents, tiny.quantize, tiny.latents_to_codes):
        with pytest.raises(error, match=message):
            call(latents)


class TestOptions:
    @pytest.mark.parametrize("count", [0, -1, CODEBOOKS + 1, 2**70])
    def test_codebooks_out_of_range(self, tiny, count):
        latents = tiny.encode_latents(PCM)
        for call in (
            lambda: tiny.encode(PCM, num_codebooks=count),
            lambda: tiny.quantize(latents, num_codebooks=count),
            lambda: tiny.encoder_stream(num_codebooks=count),
        ):
            with pytest.raises(ConfigError, match=rf"num_codebooks.*\b1\b.*\b6\b.*{count}"):
                call()

    @pytest.mark.parametrize("count", [1.5, "8", True, np.True_, [1]])
    def test_codebooks_of_another_type(self, tiny, count):
        with pytest.raises(InputTypeError, match=r"num_codebooks.*integer"):
            tiny.encode(PCM, num_codebooks=count)

    def test_numpy_integers_are_integers(self, tiny):
        assert tiny.encode(PCM, num_codebooks=np.int16(3)).shape[0] == 3

    @pytest.mark.parametrize("size", [0, -1])
    def test_batch_size(self, tiny, size):
        for make in (tiny.encoder_stream, tiny.decoder_stream):
            with pytest.raises(ConfigError, match=rf"batch_size.*{size}"):
                make(batch_size=size)

    def test_padding(self, tiny):
        with pytest.raises(ConfigError, match=r"padding.*'transformers'.*'moshi'.*'reflect'"):
            tiny.encode(PCM, padding="reflect")

    @pytest.mark.parametrize(
        ("lengths", "error", "message"),
        [
            ([1], AudioError, r"\(2,\).*\(1,\)"),
            ([1, 2, 3], AudioError, r"\(2,\).*\(3,\)"),
            ([-1, 2], AudioError, r"-1"),
            ([1, 204], AudioError, r"203.*204.*row 1"),
            ([1.0, 2.0], InputTypeError, r"integer.*float64"),
        ],
    )
    def test_lengths_of_samples(self, tiny, lengths, error, message):
        with pytest.raises(error, match=message):
            tiny.encode(signals.noise(203, rows=2), lengths=lengths)

    def test_lengths_of_frames(self, tiny):
        with pytest.raises(CodesError, match=r"3.*4.*row 0"):
            tiny.decode(np.zeros((1, 6, 3), int), lengths=[4])
        with pytest.raises(LatentsError, match=r"3.*4.*row 0"):
            tiny.decode_latents(np.zeros((1, WIDTH, 3), np.float32), lengths=[4])

    def test_lengths_of_a_single_clip(self, tiny):
        with pytest.raises(AudioError, match="batch"):
            tiny.encode(PCM, lengths=[3])

    def test_half_models(self, tiny_dir):
        encoder = Mimi.from_pretrained(tiny_dir, parts="encoder")
        decoder = Mimi.from_pretrained(tiny_dir, parts="decoder")
        codes = encoder.encode(PCM)
        for call in (lambda: encoder.decode(codes), encoder.decoder_stream):
            with pytest.raises(ConfigError, match=r"decode.*'encoder'"):
                call()
        for call in (lambda: decoder.encode(PCM), lambda: decoder.encode_latents(PCM), decoder.encoder_stream):
            with pytest.raises(ConfigError, match=r"encode.*'decoder'"):
                call()

    @pytest.mark.parametrize("mask", [[True], [True] * 3])
    def test_mask_of_another_size(self, tiny, mask):
        stream = tiny.encoder_stream(batch_size=2)
        for call in (lambda: stream.push(signals.noise(9, rows=2), active=mask), lambda: stream.reset(mask)):
            with pytest.raises(StreamError, match=rf"\b2\b.*\b{len(mask)}\b"):
                call()

    @pytest.mark.parametrize("shape", [(), (1, 2), (2, 1)])
    def test_mask_of_another_shape(self, tiny, shape):
        stream, mask = tiny.encoder_stream(batch_size=2), np.ones(shape, bool)
        for call in (lambda: stream.push(signals.noise(9, rows=2), active=mask), lambda: stream.reset(mask)):
            with pytest.raises(StreamError, match=rf"\(B,\).*{re.escape(str(shape))}"):
                call()

    def test_mask_of_another_type(self, tiny):
        with pytest.raises(InputTypeError, match=r"bool.*int64"):
            tiny.encoder_stream(batch_size=2).push(signals.noise(9, rows=2), active=[1, 0])


class TestEmpty:
    def test_clips(self, tiny):
        assert tiny.encode(np.zeros(0, np.float32)).shape == (CODEBOOKS, 0)
        assert tiny.encode(np.zeros((2, 1, 0)), num_codebooks=3).shape == (2, 3, 0)
        assert tiny.encode_latents(np.zeros(0, np.int16)).shape == (WIDTH, 0)
        assert tiny.encode(np.zeros(0, np.float32), padding="moshi").shape == (CODEBOOKS, 0)

    def test_codes(self, tiny):
        assert tiny.decode(np.zeros((4, 0), int)).shape == (0,)
        assert tiny.decode(np.zeros((2, 4, 0), int)).shape == (2, 1, 0)
        assert tiny.codes_to_latents(np.zeros((4, 0), int)).shape == (WIDTH, 0)

    def test_latents(self, tiny):
        assert tiny.decode_latents(np.zeros((WIDTH, 0), np.float32)).shape == (0,)
        assert tiny.quantize(np.zeros((2, WIDTH, 0), np.float32)).shape == (2, WIDTH, 0)

    def test_streams(self, tiny):
        encoder = tiny.encoder_stream()
        assert encoder.push(np.zeros(0, np.float32)).shape == encoder.flush().shape == (CODEBOOKS, 0)
        assert tiny.decoder_stream().push(np.zeros((CODEBOOKS, 0), int)).shape == (0,)

    def test_rows(self, tiny):
        codes = tiny.encode(np.zeros((2, 1, 20)), lengths=[0, 20])
        assert (codes[0] == -1).all()
        assert (codes[1] >= 0).all()


class TestExtremes:
    """Finite audio gives codes in range and finite audio again, however strange."""

    @given(
        arrays.arrays(
            np.float32,
            st.integers(1, 80),
            # Far above full scale; the squares of the distances still stay well inside float32.
            elements=st.floats(-(2.0**40), 2.0**40, width=32, allow_subnormal=True),
        )
    )
    def test_any_floats(self, tiny, pcm):
        self.assert_sane(tiny, pcm)

    @pytest.mark.parametrize(
        "pcm",
        [
            np.zeros(99, np.float32),
            np.ones(99, np.float32),
            np.full(99, 1e-45, np.float32),
            np.float32(1e-38) * signals.noise(99),
            np.sign(signals.noise(99)).astype(np.float32),
            np.full(99, -32768, np.int16),
        ],
        ids=["silence", "DC", "smallest denormal", "denormal noise", "full-scale square", "full-scale int16"],
    )
    def test_signals(self, tiny, demo, pcm):
        self.assert_sane(tiny, pcm)
        self.assert_sane(demo, np.tile(pcm, 50))

    @staticmethod
    def assert_sane(mimi, pcm):
        codes = mimi.encode(pcm)
        assert ((codes >= 0) & (codes < mimi.codebook_size)).all()
        assert np.isfinite(mimi.encode_latents(pcm)).all()
        assert np.isfinite(mimi.decode(codes)).all()

    def test_the_largest_floats(self, tiny):
        """Sums overflow: any codes in range will do, or a refusal, and the model is none the worse."""
        expected = tiny.encode(PCM)
        try:
            codes = tiny.encode(np.full(99, np.finfo(np.float32).max))
        except AudioError:
            pass
        else:
            assert ((codes >= 0) & (codes < SIZE)).all()
        np.testing.assert_array_equal(tiny.encode(PCM), expected)

    def test_denormals_are_still_there(self, tiny):
        """No flush-to-zero mode is left behind in the calling thread."""
        tiny.decode(tiny.encode(PCM))
        assert np.float32(1e-38) / np.float32(1000) > 0


@given(
    arrays.arrays(
        np.int64,
        arrays.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9),
        elements=st.integers(-3, SIZE + 2),
    )
)
def test_codes_are_either_decoded_or_refused(tiny, codes):
    """In range: audio. Out of range: a CodesError. Nothing else, ever."""
    valid = 1 <= codes.shape[0] <= CODEBOOKS and ((codes >= 0) & (codes < SIZE)).all()
    if valid:
        assert tiny.decode(codes).shape == (codes.shape[1] * HOP,)
    else:
        with pytest.raises(CodesError):
            tiny.decode(codes)


def test_an_error_is_also_a_builtin_one(tiny):
    for call, builtin in (
        (lambda: tiny.encode(np.zeros((2, 2))), ValueError),
        (lambda: tiny.encode(None), TypeError),
        (lambda: tiny.decode(np.full((1, 1), 99)), ValueError),
    ):
        with pytest.raises(builtin) as caught:
            call()
        assert isinstance(caught.value, MimiError)
