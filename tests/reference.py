"""What Transformers computes, and how near to it a result must be."""

import numpy as np
import torch
from transformers import MimiModel

import synthetic

# float32 sums taken in another order differ by about 1e-6 of the largest value on these models (measured against
# float64); ten times that is still far below what any wrong tap, position or weight changes.
RELATIVE = 1e-5

# Codes are argmins: below this relative difference of the two smallest distances float32 cannot tell which is nearer.
TIE = 1e-4

# About 1 % of random frames have a gap below TIE and rounding of 1e-6 turns about 1 % of those, so more flips than
# this share of all codes is an error of the arithmetic and not chance.
FLIPPED_SHARE = 1e-3


@torch.no_grad()
def latents(model: MimiModel, pcm: np.ndarray) -> np.ndarray:
    """(L,) -> (D, T), (B, 1, L) -> (B, D, T): before the quantizer."""
    return _like(pcm, 1, synthetic.encoder(model, _batched(pcm, 1)))


@torch.no_grad()
def codes(model: MimiModel, pcm: np.ndarray, num_codebooks: int | None = None) -> np.ndarray:
    """(L,) -> (K, T), (B, 1, L) -> (B, K, T)."""
    return _like(pcm, 1, model.encode(_batched(pcm, 1), num_quantizers=num_codebooks).audio_codes)


@torch.no_grad()
def decode(model: MimiModel, codes: np.ndarray) -> np.ndarray:
    """(K, T) -> (L,), (B, K, T) -> (B, 1, L)."""
    audio = model.decode(_batched(codes, 2)).audio_values
    return audio.numpy() if codes.ndim == 3 else audio[0, 0].numpy()


@torch.no_grad()
def decode_latents(model: MimiModel, latents: np.ndarray) -> np.ndarray:
    """(D, T) -> (L,), (B, D, T) -> (B, 1, L)."""
    audio = synthetic.decoder(model, _batched(latents, 2))
    return audio.numpy() if latents.ndim == 3 else audio[0, 0].numpy()


@torch.no_grad()
def dequantize(model: MimiModel, codes: np.ndarray) -> np.ndarray:
    """(K, T) -> (D, T), (B, K, T) -> (B, D, T): what enters the decoder."""
    return _like(codes, 2, model.quantizer.decode(_batched(codes, 2)))


def assert_near(ours: np.ndarray, expected: np.ndarray, limit: float = RELATIVE) -> None:
    """Equal shapes, float32, and no value further off than `limit` times the largest expected."""
    assert ours.dtype == np.float32
    assert ours.shape == expected.shape
    if expected.size:
        error = np.abs(ours - expected).max() / np.abs(expected).max()
        assert error < limit, f"relative error {error:.2e}, allowed {limit:.0e}"


@torch.no_grad()
def assert_same_codes(ours: np.ndarray, model: MimiModel, pcm: np.ndarray) -> None:
    """Codes of the clip as in Transformers, but for near-ties.

    A differing code must be as near as the best one, within TIE; the later codebooks of that frame and group then
    see another residual and say nothing.
    """
    assert ours.dtype == np.int64
    expected = codes(model, pcm, ours.shape[-2])
    assert ours.shape == expected.shape
    assert_codes_fit(ours, expected, model, latents(model, pcm))


@torch.no_grad()
def assert_codes_fit(ours: np.ndarray, expected: np.ndarray, model: MimiModel, latents: np.ndarray) -> None:
    """The same for codes of given latents, with the codes that Transformers finds for them."""
    if np.array_equal(ours, expected):
        return
    ours, expected, latents = (_batched(array, 2) for array in (ours, expected, latents))
    split = model.config.num_semantic_quantizers
    quantizer = model.quantizer
    flips = _flips(quantizer.semantic_residual_vector_quantizer, latents, expected[:, :split], ours[:, :split])
    flips += _flips(quantizer.acoustic_residual_vector_quantizer, latents, expected[:, split:], ours[:, split:])
    allowed = max(1, FLIPPED_SHARE * expected.numel())
    assert flips <= allowed, f"{flips} of {expected.numel()} codes flipped, all at near-ties, but that many by chance?"


def _flips(rvq, latents, expected, ours) -> int:
    """Codes that differ; an AssertionError where the nearest two are not a near-tie."""
    residual = latents if rvq.input_proj is None else rvq.input_proj(latents)
    residual = residual.transpose(1, 2).double()
    comparable = torch.ones(expected.shape[0], expected.shape[2], dtype=torch.bool)
    flips = 0
    for index in range(expected.shape[1]):
        book = rvq.layers[index].codebook.embed.double()
        distances = torch.cdist(residual, book[None].expand(len(residual), -1, -1))
        nearest = distances.min(dim=-1).values
        chosen = distances.gather(-1, ours[:, index, :, None]).squeeze(-1)
        differs = comparable & (ours[:, index] != expected[:, index])
        excess = ((chosen - nearest) / nearest.clamp_min(1e-12))[differs]
        assert (excess < TIE).all(), (
            f"codebook {index}: {int(differs.sum())} of {int(comparable.sum())} codes differ, "
            f"the worst is {excess.max():.2e} further than the nearest, a near-tie is {TIE:.0e}"
        )
        flips += int(differs.sum())
        comparable &= ~differs
        residual = residual - book[expected[:, index]]
    return flips


def _batched(array: np.ndarray, rank: int) -> torch.Tensor:
    """A tensor of rank 3, from one clip's array of `rank` or a batch of them."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor if tensor.dim() == 3 else tensor.view((1, 1, -1) if rank == 1 else (1, *tensor.shape))


def _like(array: np.ndarray, rank: int, result: torch.Tensor) -> np.ndarray:
    """The batch, or its only row if `array` was a single clip."""
    return (result if array.ndim == 3 else result[0]).numpy()
