"""What is timed of a codec of any kind: to frames and back, as codes or as latents."""

from __future__ import annotations

import math

import numpy as np

from .._arrays import AnyArray, Float32Array
from ..latent_codec import LatentCodec
from ..model import Mimi
from ..streams import DecoderStream, EncoderStream
from ..token_codec import TokenCodec
from .console import UsageError
from .options import check_codebooks

CODEBOOKS = 8  # what language models take


class Measured:
    """A codec whose two directions fit each other."""

    def __init__(self, model: TokenCodec | LatentCodec, codebooks: int | None) -> None:
        """Raises `UsageError` for codebooks that the model does not have."""
        self.model = model
        if isinstance(model, TokenCodec):
            self.frames_of = {"codebooks": CODEBOOKS if codebooks is None else codebooks}
            check_codebooks(model, self.frames_of["codebooks"])
        else:
            self.frames_of = {"latent_dim": model.latent_dim}
            if codebooks is not None:
                raise UsageError(f"-k {codebooks}: {model.name} has latents and no codebooks")
        self.window = math.ceil(_steps(model))
        """Frames that the transformers see."""

    def encode(self, pcm: Float32Array) -> AnyArray:
        """The frames of a clip."""
        if isinstance(self.model, TokenCodec):
            return self.model.encode(pcm, self.frames_of["codebooks"])
        return self.model.encode_latents(pcm)

    def decode(self, frames: AnyArray) -> Float32Array:
        """The audio of frames."""
        return self.model.decode(frames) if isinstance(self.model, TokenCodec) else self.model.decode_latents(frames)

    def streams(self, sessions: int) -> tuple[EncoderStream, DecoderStream]:
        """New streams of so many rows."""
        if isinstance(self.model, TokenCodec):
            return self.model.encoder_stream(sessions, self.frames_of["codebooks"]), self.model.decoder_stream(sessions)
        return self.model.encoder_stream(sessions), self.model.decoder_stream(sessions)

    def for_decoder(self, frames: AnyArray) -> AnyArray:
        """Frames as wide as the decoder takes them; in a few models the encoder gives wider latents."""
        if isinstance(self.model, TokenCodec) or self.model.latent_dim == self.model.decoder_latent_dim:
            return frames
        return np.take(frames, range(self.model.decoder_latent_dim), axis=-2, mode="wrap")


def _steps(model: TokenCodec | LatentCodec) -> float:
    """Frames that the longest memory of a codec spans; a codec without attention has a short one."""
    config = model.config.to_dict() if isinstance(model, Mimi) else model.config
    decoder = config.get("decoder_config") or {}
    window: int = decoder.get("sliding_window", config.get("sliding_window", 1))
    stride: int = model.config.latent_stride if isinstance(model, Mimi) else config.get("latent_stride", 1)
    return window / stride
