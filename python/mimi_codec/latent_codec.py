"""A codec of continuous latents: an encoder and a decoder, and no codebooks between them."""

from __future__ import annotations

import json
from typing import Any

from .codec import Codec, Loaded
from .errors import ConfigError
from .streams import DecoderStream, EncoderStream

__all__ = ["LatentCodec"]


class LatentCodec(Codec):
    """A codec whose latents are what is kept and sent, as Pocket TTS's. Made by `mimi_codec.load`.

    It has no codes: `encode_latents` and `decode_latents`, and streams of latents, take the place of `Mimi.encode` and
    `Mimi.decode`. Immutable, shared by threads and streams, and pickled, as `Mimi` is.

    Example:
        >>> import numpy as np
        >>> import mimi_codec
        >>> from mimi_codec.synthetic import write_synthetic_latents
        >>> codec = mimi_codec.load(write_synthetic_latents("pocket"))
        >>> latents = codec.encode_latents(np.zeros(48_000, np.float32))
        >>> latents.shape, codec.decode_latents(latents).shape
        ((32, 25), (48000,))

    Raises:
        TypeError: `LatentCodec()` is called. It holds no weights.
    """

    __slots__ = ()

    _maker = "mimi_codec.load(name_or_path)"

    @classmethod
    def _check_kind(cls, loaded: Loaded) -> None:
        if loaded.core.num_codebooks:
            raise ConfigError(f"expected a codec of latents, got a {loaded.core.kind}, which has codes")

    @property
    def config(self) -> dict[str, Any]:
        """Every field of the configuration, as Transformers spells them in a `config.json`; a new dictionary."""
        fields: dict[str, Any] = json.loads(self._core.config_json)
        return fields

    def encoder_stream(self, batch_size: int = 1) -> EncoderStream:
        """A new stream that turns audio into latents as it comes.

        Args:
            batch_size: clips at once, in the rows of a batch.

        Returns:
            The stream, at the start of its clips.

        Raises:
            ConfigError: a batch size below 1, or a model without encoder.
            InputTypeError: a batch size that is not an integer.
            OutOfMemoryError: there is not enough memory for so many rows.
        """
        return self._encoder_stream(batch_size, None)

    def decoder_stream(self, batch_size: int = 1) -> DecoderStream:
        """A new stream that turns latents into audio as they come.

        Args:
            batch_size: clips at once, in the rows of a batch.

        Returns:
            The stream, at the start of its clips.

        Raises:
            ConfigError: a batch size below 1, or a model without decoder.
            InputTypeError: a batch size that is not an integer.
            OutOfMemoryError: there is not enough memory for so many rows.
        """
        return self._decoder_stream(batch_size, latents=True)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.name!r}, {self.kind}, {self.sample_rate} Hz, {self.frame_rate:g} frames/s, "
            f"latents of {self.latent_dim}, parts={self.parts!r}, dtype={self.dtype!r}, threads={self.threads})"
        )
