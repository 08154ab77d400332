"""Clips side by side as Qwen3-TTS has them: codes (T, K) of each, in batches (B, T, K) that are filled up with -1.

Shapes: B batch, L samples, T frames, K codebooks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._arrays import NO_CODE, Float32Array, Int64Array, as_array
from ..errors import CodesError, ConfigError, InputTypeError
from ..loading import load
from ..qwen import QwenCodec

KIND = "qwen3-tts"


def tokenizer_codec(codec: Any, **options: Any) -> QwenCodec:
    """The codec given, or that of a name or path. Raises `ConfigError` for one of another kind."""
    found = codec if hasattr(codec, "kind") else load(codec, **options)
    if not isinstance(found, QwenCodec) or found.kind != KIND:
        raise ConfigError(f"expected the 12 Hz tokenizer of Qwen3-TTS, got {found!r}")
    return found


def encode_clips(codec: QwenCodec, pcm: Float32Array, samples: Sequence[int]) -> list[Int64Array]:
    """Codes (T, K) of rows of (B, L), of which the first `samples` are a clip.

    As in `qwen-tts` the rows are encoded whole, with what fills them up, and their codes are cut.
    """
    codes = codec.encode(pcm[:, None])
    return [row[:, : -(-length // codec.frame_size)].T for row, length in zip(codes, samples, strict=True)]


def decode_clips(codec: QwenCodec, codes: Int64Array, *, chunked: bool) -> list[Float32Array]:
    """Audio (L,) of each row of codes (B, T, K), as many frames as have no -1 first; other codes below 0 are 0."""
    frames = (codes[:, :, 0] > NO_CODE).sum(axis=1)
    there = np.ascontiguousarray(np.maximum(codes, 0).transpose(0, 2, 1))
    pcm = codec.chunked_decode(there) if chunked else codec.decode(there, lengths=frames)
    return [row[0, : count * codec.frame_size] for row, count in zip(pcm, frames, strict=True)]


def codes_of(encoded: Any) -> list[Int64Array]:
    """Codes (T, K) of each clip, from what `encode` gives, a dict or a list of dicts; batches are taken apart."""
    if hasattr(encoded, "audio_codes"):
        found = encoded.audio_codes
    elif isinstance(encoded, Mapping):
        found = _named(encoded)
    elif isinstance(encoded, list):
        found = [_named(clip) for clip in encoded]
    else:
        expected = "what encode gives, a dict with audio_codes or a list of such dicts"
        raise InputTypeError(f"expected {expected}, got {type(encoded).__name__}")
    if isinstance(found, (list, tuple)):
        return [_codes(clip, 2) for clip in found]
    return list(_codes(found, 3))


def filled_up(clips: Sequence[Int64Array]) -> Int64Array:
    """Codes (T, K) of clips as one batch (B, T, K). Raises `CodesError` for clips of different K."""
    if len({clip.shape[1] for clip in clips}) > 1:
        raise CodesError(f"all clips must have as many codebooks, got {[clip.shape[1] for clip in clips]}")
    longest = max(map(len, clips))
    batch = np.full((len(clips), longest, clips[0].shape[1]), NO_CODE)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    return batch


def frames_of(codes: Any) -> Int64Array:
    """Codes (T, K) of a clip, or (K,) of one frame, as (T, K)."""
    found = _integers(codes)
    return _codes(found[np.newaxis] if found.ndim == 1 else found, 2)


def _named(clip: Any) -> Any:
    if not isinstance(clip, Mapping) or "audio_codes" not in clip:
        raise InputTypeError(f"expected a dict with audio_codes, got {type(clip).__name__}")
    return clip["audio_codes"]


def _codes(value: Any, dimensions: int) -> Int64Array:
    """Codes of any integer type on any device, (T, K), or with `dimensions` 3 (B, T, K) of which B may be missing."""
    codes = _integers(value)
    if dimensions == 3 and codes.ndim == 2:
        codes = codes[np.newaxis]
    if codes.ndim != dimensions:
        shape = "(T, K)" if dimensions == 2 else "(B, T, K) or (T, K)"
        raise CodesError(f"audio_codes must have shape {shape}, got {codes.shape}")
    return codes


def _integers(value: Any) -> Int64Array:
    codes = as_array(value.detach().cpu() if hasattr(value, "detach") else value, "audio_codes")
    if codes.dtype.kind not in "iu":
        raise InputTypeError(f"audio_codes must be of an integer type, got {codes.dtype}")
    return codes.astype(np.int64)


class Output(dict[str, Any]):
    """What a call gives, to be read by name, as an attribute or by position, like the outputs of Transformers."""

    def __getattr__(self, name: str) -> Any:
        """Called only for what is not an attribute of a dict."""
        if name in self:
            return self[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the values alone."""
        return tuple(self.values())


def give(output: Output, return_dict: bool | None) -> Any:
    """The output, or its tuple where that is asked for."""
    return output.to_tuple() if return_dict is False else output
