"""The codec with what a `TTSModel` reads of its `mimi`, and how it gets there.

Shapes: B batch, L samples, T frames, D latent width. Latents have time before width here, as in `pocket_tts`.
"""

from __future__ import annotations

import json
import os
from typing import Any

import torch
from torch import nn

from .._devices import Device
from .._torch import audio_in, outside_graphs, tensor_out
from .._torch_latents import LatentModule, codec_of, latent_codec, latents_in, latents_out
from ..errors import ConfigError, InputTypeError, StreamError
from ..latent_codec import LatentCodec

# Where a state that the host makes for each text holds the stream of its decoder.
KEY = "mimi_codec"


class MimiModel(LatentModule):
    """The codec with what `TTSModel` reads of its `mimi`. Made by `attach`.

    The state of a stream is in the dict that the host hands to each call of `decode_from_latent`. It may be called
    from several threads at once; the interpreter is free meanwhile. A stream has no end, and its memory does not grow.

    Args:
        codec: The loaded codec.

    Attributes:
        channels: 1.

    Example:
        >>> import torch
        >>> import mimi_codec
        >>> from mimi_codec.pocket_tts import MimiModel
        >>> from mimi_codec.synthetic import write_synthetic_latents
        >>> codec = mimi_codec.load(write_synthetic_latents("pocket"))
        >>> mimi, state = MimiModel(codec), {}
        >>> [mimi.decode_from_latent(torch.zeros(1, n, 32), state).shape[-1] for n in (1, 2)]
        [1920, 3840]
    """

    channels = 1

    def __init__(self, codec: LatentCodec) -> None:
        super().__init__(codec)
        self._config: str | None = None

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return self.codec.sample_rate

    @property
    def frame_rate(self) -> float:
        """Frames of latents per second."""
        return self.codec.frame_rate

    @property
    def frame_size(self) -> int:
        """Samples of each frame of latents."""
        return self.codec.frame_size

    @property
    def encoder_frame_rate(self) -> float:
        """Positions of the codec's transformers per second."""
        return self.codec.frame_rate * int(self.codec.config["latent_stride"])

    @outside_graphs
    def encode_to_latent(self, x: torch.Tensor) -> torch.Tensor:
        """Encode whole clips, such as a voice prompt.

        Args:
            x: Audio (B, 1, L) of any float type. A clip that is not a whole number of frames is padded with zeros.

        Returns:
            Latents (B, T, D), T = ceil(L / frame_size), on the device of `x` in the module's float type.

        Raises:
            AudioError: The shape is wrong, or samples are NaN or infinite.
            ConfigError: The codec has no encoder.
        """
        latents = self.codec.encode_latents(audio_in(x, "x"), padding="moshi")
        return latents_out(latents, x.device, self.dtype)

    @outside_graphs
    def decode_from_latent(self, latent: torch.Tensor, mimi_state: dict[str, Any]) -> torch.Tensor:
        """Decode the next frames of a stream.

        Args:
            latent: Latents (B, T, D) of any float type, T frames.
            mimi_state: The dict of the stream, empty before its first frame.

        Returns:
            Audio (B, 1, T * frame_size), a tensor of its own on the device of `latent` in the module's float type.

        Raises:
            ConfigError: The codec has no decoder.
            LatentsError: The shape is wrong, or values are NaN or infinite.
            StreamError: The state is of another codec or for another number of rows.
        """
        latents = latents_in(latent, "latent")
        rows = latents.shape[0]
        stream = mimi_state.get(KEY)
        if stream is None:
            if mimi_state:
                raise StreamError("this state holds the state of another codec; begin with an empty one")
            stream = self.codec.decoder_stream(rows)
        if stream.batch_size != rows:
            raise StreamError(f"the state is for a batch of {stream.batch_size}, got a batch of {rows}")
        audio = tensor_out(stream.push(latents), latent.device, self.dtype)
        mimi_state[KEY] = stream
        return audio

    def _config_text(self) -> str:
        if self._config is None:
            raise ConfigError("a codec that was given does not take the weights of another; attach one with them")
        return self._config


def attach(
    tts_model: nn.Module,
    codec: LatentCodec | str | os.PathLike[str] | None = None,
    *,
    threads: int | None = None,
    device: Device = "cpu",
) -> MimiModel:
    """Replace the Mimi inside a loaded `pocket_tts.TTSModel`.

    Args:
        tts_model: a loaded model; it is changed.
        codec: where the weights come from: None for those in `tts_model` itself, the name or path of a checkpoint, or
            a loaded codec, which many models can share.
        threads: threads that one call may use; None takes `MIMI_NUM_THREADS`, or 1. Not for a loaded codec.
        device: where the codec runs, as in `mimi_codec.load`. Not for a loaded codec.

    Returns:
        What took the place of the codec.

    Raises:
        InputTypeError: `tts_model` does not hold the Mimi of Pocket TTS.
        ConfigError: `codec` is not of the size for which `tts_model` was made.
        DeviceError: the device is not there, or something that it needs is missing.
        LoadError: the weights cannot be loaded.
        WeightsError: a tensor is missing, has a wrong shape, or is one too many.

    Example:
        >>> from torch import nn
        >>> from mimi_codec.pocket_tts import attach
        >>> attach(nn.Module())  # a pocket_tts.TTSModel has a mimi
        Traceback (most recent call last):
        mimi_codec.errors.InputTypeError: expected a pocket_tts.TTSModel, got Module
    """
    original: Any = getattr(tts_model, "mimi", None)
    section: Any = getattr(getattr(tts_model, "config", None), "mimi", None)
    if not hasattr(original, "decode_from_latent") or not hasattr(section, "model_dump"):
        raise InputTypeError(f"expected a pocket_tts.TTSModel, got {type(tts_model).__name__}")
    if codec is None and isinstance(original, MimiModel) and original._files is None:
        codec = original.codec
    if codec is None:
        fields = section.model_dump(exclude_none=True)
        # without one the encoder's latents are as wide as its layers
        fields.setdefault("inner_dim", fields["seanet"]["dimension"])
        text = json.dumps({"mimi": fields})
        loaded, files = codec_of(original.state_dict(), text, threads=threads, device=device)
        ours = MimiModel(loaded)
        ours._files, ours._config = files, text
    else:
        ours = MimiModel(latent_codec(codec, threads=threads, device=device))
        _check_same(ours, section)
    ours.train(original.training)
    tts_model.mimi = ours
    return ours


def _check_same(ours: MimiModel, section: Any) -> None:
    for name, expected, got in (
        ("samples per second", section.sample_rate, ours.sample_rate),
        ("frames per second", section.frame_rate, ours.frame_rate),
        ("values in the latents to decode", section.quantizer.dimension, ours.codec.decoder_latent_dim),
        (
            "values in the latents of a voice",
            section.inner_dim or section.seanet.dimension,
            ours.codec.latent_dim,
        ),
    ):
        if expected != got:
            raise ConfigError(f"the model was made for a codec of {expected:g} {name}, got a codec of {got:g}")
