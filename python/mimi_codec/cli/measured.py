"""What is timed of a codec of any kind: to frames and back, as codes or as latents."""

from __future__ import annotations

import math

import numpy as np

from .._arrays import AnyArray, Float32Array
from ..latent_codec import LatentCodec
from ..model import Mimi
from ..streams import DecoderStream, EncoderStream
from .console import UsageError
from .options import check_codebooks

CODEBOOKS = 8  # what language models take


class Measured:
    """A codec whose two directions fit each other."""

    def __init__(self, model: Mimi | LatentCodec, codebooks: int | None) -> None:
        """Raises `UsageError` for codebooks that the model does not have."""
        self.model = model
        if isinstance(model, Mimi):
            self.frames_of = {"codebooks": CODEBOOKS if codebooks is None else codebooks}
            check_codebooks(model, self.frames_of["codebooks"])
            steps, stride = model.config.sliding_window, model.config.latent_stride
        else:
            self.frames_of = {"latent_dim": model.latent_dim}
            if codebooks is not None:
                raise UsageError(f"-k {codebooks}: {model.name} has latents and no codebooks")
            steps, stride = model.config["sliding_window"], model.config["latent_stride"]
        self.window = math.ceil(steps / stride)
        """Frames that the transformers see."""

    def encode(self, pcm: Float32Array) -> AnyArray:
        """The frames of a clip."""
        if isinstance(self.model, Mimi):
            return self.model.encode(pcm, self.frames_of["codebooks"])
        return self.model.encode_latents(pcm)

    def decode(self, frames: AnyArray) -> Float32Array:
        """The audio of frames."""
        return self.model.decode(frames) if isinstance(self.model, Mimi) else self.model.decode_latents(frames)

    def streams(self, sessions: int) -> tuple[EncoderStream, DecoderStream]:
        """New streams of so many rows."""
        if isinstance(self.model, Mimi):
            return self.model.encoder_stream(sessions, self.frames_of["codebooks"]), self.model.decoder_stream(sessions)
        return self.model.encoder_stream(sessions), self.model.decoder_stream(sessions)

    def for_decoder(self, frames: AnyArray) -> AnyArray:
        """Frames as wide as the decoder takes them; in a few models the encoder gives wider latents."""
        if isinstance(self.model, Mimi) or self.model.latent_dim == self.model.decoder_latent_dim:
            return frames
        return np.take(frames, range(self.model.decoder_latent_dim), axis=-2, mode="wrap")
