"""Codecs with random weights of the right scale, for timing and for tests without the released weights.

A model that was only initialised is of no use here, because its codebooks are all zero. These weights keep the scale of
the signal from layer to layer, and each codebook has the scale of the residual that it sees. So codes spread over the
codebooks, and the work is that of a real model. The files are in the layout in which Transformers
stores the codec. The same seed gives the same file.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Literal

from ._synthetic_files import Tensor, write_files
from ._synthetic_mimi import tensor_shapes, values_of
from .config import MimiConfig
from .synthetic_family import write_synthetic_family

__all__ = ["tensor_shapes", "write_synthetic", "write_synthetic_family", "write_synthetic_latents"]

POCKET_TTS = MimiConfig(
    upsampling_ratios=(6, 5, 4), num_hidden_layers=2, hidden_act="gelu_pytorch_tanh", frame_rate=12.5
)
# Where Transformers has the parts of a Mimi in memory, which are the names that it stores those of Pocket TTS by
IN_MEMORY = {
    "encoder": "encoder.encoder_seanet",
    "encoder_transformer": "encoder.encoder_transformer",
    "downsample": "encoder.downsample",
    "upsample": "decoder.upsample",
    "decoder_transformer": "decoder.decoder_transformer",
    "decoder": "decoder.decoder_seanet",
}
NOT_OF_LATENTS = (
    "codebook_size",
    "codebook_dim",
    "num_quantizers",
    "num_semantic_quantizers",
    "vector_quantization_hidden_dimension",
    "frame_rate",
)


def write_synthetic(
    path: str | os.PathLike[str],
    config: MimiConfig | None = None,
    *,
    seed: int = 1,
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> Path:
    """Write `config.json` and `model.safetensors` into a directory.

    Tensors are made and written one at a time, so memory stays small at any size.

    Args:
        path: the directory; it is made if it is not there.
        config: the configuration; None takes that of `kyutai/mimi`.
        seed: of the random numbers.
        dtype: the type of the floats in the file.

    Returns:
        The directory.

    Raises:
        OSError: the directory cannot be written.

    Example:
        >>> from mimi_codec import Mimi, MimiConfig
        >>> from mimi_codec.synthetic import write_synthetic
        >>> config = MimiConfig(hidden_size=64, num_filters=4, num_hidden_layers=1, upsample_groups=64)
        >>> Mimi.from_pretrained(write_synthetic("tiny", config)).latent_dim
        64
    """
    config = config or MimiConfig()
    tensors = {
        name: Tensor(shape, partial(values_of, name, shape, seed)) for name, shape in tensor_shapes(config).items()
    }
    return write_files(path, config.to_dict(), tensors, dtype)


def write_synthetic_latents(
    path: str | os.PathLike[str],
    config: MimiConfig | None = None,
    *,
    latent_dim: int = 32,
    seed: int = 1,
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> Path:
    """Write the audio tokenizer of Pocket TTS, a Mimi with continuous latents in place of its quantizer.

    Args:
        path: the directory; it is made if it is not there.
        config: the sizes of its layers; what is said of codebooks is not used. None takes those of Pocket TTS.
        latent_dim: width D of the latents.
        seed: of the random numbers.
        dtype: the type of the floats in the file.

    Returns:
        The directory.

    Raises:
        OSError: the directory cannot be written.

    Example:
        >>> import mimi_codec
        >>> from mimi_codec.synthetic import write_synthetic_latents
        >>> mimi_codec.load(write_synthetic_latents("pocket")).latent_dim
        32
    """
    config = config or POCKET_TTS
    fields = {name: value for name, value in config.to_dict().items() if name not in NOT_OF_LATENTS}
    fields |= {
        "architectures": ["PocketTTSAudioTokenizerModel"],
        "model_type": "pocket_tts_audio_tokenizer",
        "latent_dim": latent_dim,
        "latent_stride": config.latent_stride,
    }
    tensors = {}
    for name, shape in tensor_shapes(config).items():
        part = name.split(".")[0]
        if part == "downsample":
            shape = (latent_dim, *shape[1:])
        if part != "quantizer":
            made = Tensor(shape, partial(values_of, name, shape, seed))
            tensors[IN_MEMORY[part] + name.removeprefix(part)] = made
    shape = (config.hidden_size, latent_dim, 1)
    tensors["latent_proj.weight"] = Tensor(shape, partial(values_of, "latent_proj.weight", shape, seed))
    return write_files(path, fields, tensors, dtype)
