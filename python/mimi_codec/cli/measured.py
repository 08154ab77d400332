"""What is timed of a codec of any kind: to frames and back, as codes or as latents, or the one of both that it does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from .._arrays import AnyArray, Float32Array
from ..config import MimiConfig
from ..latent_codec import LatentCodec
from ..model import Mimi
from ..streams import DecoderStream, EncoderStream
from ..token_codec import TokenCodec
from .console import UsageError
from .options import check_codebooks

CODEBOOKS = 8  # what most language models take

Result = TypeVar("Result")


class Measured:
    """A codec whose directions fit each other."""

    def __init__(self, model: TokenCodec | LatentCodec, codebooks: int | None) -> None:
        """Raises `UsageError` for codebooks that the model does not have."""
        self.model = model
        there = {"encode": model.has_encoder, "decode": model.has_decoder}
        self.directions = [direction for direction, is_there in there.items() if is_there]
        if isinstance(model, TokenCodec):
            # A decoder alone may need all of them, as Code2Wav does.
            usual = min(CODEBOOKS, model.num_codebooks) if model.has_encoder else model.num_codebooks
            self.frames_of = {"codebooks": usual if codebooks is None else codebooks}
            check_codebooks(model, self.frames_of["codebooks"])
        else:
            self.frames_of = {"latent_dim": model.latent_dim}
            if codebooks is not None:
                raise UsageError(f"-k {codebooks}: {model.name} has latents and no codebooks")
        self.window = math.ceil(_frames_seen(model))
        """Frames that the transformers see."""

    def encode(self, pcm: Float32Array) -> AnyArray:
        """The frames of a clip."""
        if isinstance(self.model, TokenCodec):
            return self.model.encode(pcm, self.frames_of["codebooks"])
        return self.model.encode_latents(pcm)

    def decode(self, frames: AnyArray) -> Float32Array:
        """The audio of frames."""
        return self.model.decode(frames) if isinstance(self.model, TokenCodec) else self.model.decode_latents(frames)

    def streams(self, sessions: int) -> Streams:
        """New streams of so many rows."""
        return Streams(self, sessions)

    def frames_for(self, pcm: Float32Array) -> AnyArray:
        """What the decoder is given for a clip: its frames, or without an encoder random ones."""
        if self.model.has_encoder:
            return self.for_decoder(self.encode(pcm))
        return self.random(math.ceil(len(pcm) / self.model.frame_size))

    def for_decoder(self, frames: AnyArray) -> AnyArray:
        """Frames as wide as the decoder takes them; in a few models the encoder gives wider latents."""
        if isinstance(self.model, TokenCodec) or self.model.latent_dim == self.model.decoder_latent_dim:
            return frames
        return np.take(frames, range(self.model.decoder_latent_dim), axis=-2, mode="wrap")

    def random(self, *shape: int) -> AnyArray:
        """Frames (..., T), the same for the same shape."""
        rng = np.random.default_rng(0)
        *rows, frames = shape
        if isinstance(self.model, TokenCodec):
            return rng.integers(self.model.codebook_size, size=(*rows, self.frames_of["codebooks"], frames))
        return rng.standard_normal((*rows, self.model.decoder_latent_dim, frames), np.float32)


class Streams:
    """A stream in each direction of a codec, for a number of sessions."""

    def __init__(self, codec: Measured, sessions: int) -> None:
        self._codec, model = codec, codec.model
        self._encoder: EncoderStream | None = None
        self._decoder: DecoderStream | None = None
        if model.has_encoder and isinstance(model, TokenCodec):
            self._encoder = model.encoder_stream(sessions, codec.frames_of["codebooks"])
        elif model.has_encoder:
            self._encoder = model.encoder_stream(sessions)
        if model.has_decoder:
            self._decoder = model.decoder_stream(sessions)

    def push(self, pcm: Float32Array) -> dict[str, float]:
        """Encode whole frames (B, 1, n) and decode what they gave; the milliseconds that each direction took."""
        taken = {}
        frames = None
        if self._encoder is not None:
            frames, taken["encode"] = _timed(self._encoder.push, pcm)
            frames = self._codec.for_decoder(frames)
        if self._decoder is not None:
            if frames is None:
                frames = self._codec.random(len(pcm), pcm.shape[2] // self._codec.model.frame_size)
            _, taken["decode"] = _timed(self._decoder.push, frames)
        return taken


def _timed(work: Callable[[AnyArray], Result], given: AnyArray) -> tuple[Result, float]:
    began = time.perf_counter()
    result = work(given)
    return result, 1000 * (time.perf_counter() - began)


def _frames_seen(model: TokenCodec | LatentCodec) -> float:
    """Frames that the longest memory of a codec spans; a codec without attention has a short one."""
    if isinstance(model, Mimi):
        return model.config.sliding_window / model.config.latent_stride
    encoder, decoder = (model.config.get(f"{half}_config") or {} for half in ("encoder", "decoder"))
    window: int = decoder.get("sliding_window", model.config.get("sliding_window", 1))
    seen: float = window / model.config.get("latent_stride", 1)
    if encoder.get("model_type") == "mimi":
        mimi = MimiConfig.from_dict(encoder)
        seen = max(seen, mimi.sliding_window / mimi.latent_stride)
    return seen
