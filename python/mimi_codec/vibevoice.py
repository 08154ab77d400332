"""The tokenizers of VibeVoice: continuous latents, 7.5 frames per second, and noise where a user asks for it."""

from __future__ import annotations

from typing import SupportsIndex

import numpy as np

from ._arrays import ArrayInput, Float32Array, to_count, to_latents
from .codec import Loaded
from .errors import ConfigError
from .latent_codec import LatentCodec

__all__ = ["VibeVoice"]

KINDS = ("vibevoice", "vibevoice-encoder")


class VibeVoice(LatentCodec):
    """The acoustic tokenizer of VibeVoice, or an encoder alone. Made by `mimi_codec.load`.

    A clip gives floor(L / frame_size) frames: what is left over at its end is left out, as in the reference, and
    `left_over` tells how much. `padding="moshi"` fills it up with zeros instead.

    Example:
        >>> import numpy as np
        >>> import mimi_codec
        >>> from mimi_codec.synthetic import write_synthetic_family
        >>> codec = mimi_codec.load(write_synthetic_family("voice", "vibevoice"))
        >>> latents = codec.encode_latents(np.zeros(165, np.float32))
        >>> latents.shape, codec.left_over(165), codec.decode_latents(latents).shape
        ((8, 10), 5, (160,))

    Raises:
        TypeError: `VibeVoice()` is called. It holds no weights.
    """

    __slots__ = ()

    @classmethod
    def _check_kind(cls, loaded: Loaded) -> None:
        if loaded.core.kind not in KINDS:
            raise ConfigError(f"expected a tokenizer of VibeVoice, got a codec of the kind {loaded.core.kind!r}")

    @property
    def noise_scale(self) -> float:
        """Standard deviation of the scale that noise has in `sample`: the configuration's `vae_std`."""
        return float(self.config["vae_std"])

    def sample(self, latents: ArrayInput, generator: np.random.Generator | SupportsIndex) -> Float32Array:
        """Latents with noise, as VibeVoice conditions its voices on them: the same shape, float32.

        Each row gets `latents + s * n`, where n is normal noise and s a normal number times `noise_scale`, one for the
        row; s is drawn first. The reference does so in `encode` unless told `sample=False`; here latents are without
        noise unless it is asked for.

        Args:
            latents: (D, T) or (B, D, T), as `encode_latents` gives them.
            generator: where the noise comes from, a `numpy.random.Generator`, or a seed for a new one.

        Returns:
            The latents with noise.

        Raises:
            ConfigError: a seed below 0.
            InputTypeError: not an array, an element type that is not accepted, or neither a generator nor a seed.
            LatentsError: wrong shape.

        Example:
            >>> import numpy as np
            >>> import mimi_codec
            >>> from mimi_codec.synthetic import write_synthetic_family
            >>> codec = mimi_codec.load(write_synthetic_family("voice", "vibevoice"))
            >>> latents = codec.encode_latents(np.zeros(160, np.float32))
            >>> np.array_equal(codec.sample(latents, 1), codec.sample(latents, 1))
            True
        """
        if not isinstance(generator, np.random.Generator):
            generator = np.random.default_rng(to_count(generator, "generator", least=0))
        rows, batched = to_latents(latents)
        scales = generator.standard_normal((rows.shape[0], 1, 1), np.float32) * np.float32(self.noise_scale)
        noisy: Float32Array = rows + scales * generator.standard_normal(rows.shape, np.float32)
        return noisy if batched else noisy[0]
