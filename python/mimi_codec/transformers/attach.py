"""Put this codec under a loaded Transformers model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, overload

from torch import nn

from ..config import MimiConfig as Fields
from ..errors import ConfigError, InputTypeError
from ..latent_codec import LatentCodec
from ..model import Mimi
from .installed import MimiConfig
from .model import InvalidCodes, MimiModel

if TYPE_CHECKING:
    from transformers import ProcessorMixin

    from .pocket import PocketTTSAudioTokenizerModel

# Where the models keep their codec: Moshi; CSM and KyutaiSpeechToText.
ATTRIBUTES = ("audio_encoder", "codec_model")
# The class that a processor with the codec of Pocket TTS names.
TOKENIZER = "PocketTTSAudioTokenizerModel"


@overload
def attach(
    model: nn.Module,
    codec: Mimi | str | os.PathLike[str] | None = None,
    *,
    threads: int | None = None,
    invalid_codes: InvalidCodes | None = None,
) -> MimiModel: ...
@overload
def attach(
    model: ProcessorMixin,
    codec: LatentCodec | str | os.PathLike[str] | None = None,
    *,
    threads: int | None = None,
) -> PocketTTSAudioTokenizerModel: ...
def attach(
    model: Any,
    codec: Any = None,
    *,
    threads: int | None = None,
    invalid_codes: InvalidCodes | None = None,
) -> MimiModel | PocketTTSAudioTokenizerModel:
    """Replace the codec inside a loaded model (Moshi, CSM, KyutaiSpeechToText) or a loaded `PocketTTSProcessor`.

    Args:
        model: a loaded model or processor; it is changed.
        codec: where the weights come from: None for those in `model` itself, the name or path of a checkpoint (of the
            codec or of a model that holds it), or a loaded `Mimi` (for a processor a `LatentCodec`), which many models
            can share.
        threads: threads that one call may use; None takes `MIMI_NUM_THREADS`, or 1. Not for a loaded codec.
        invalid_codes: as for `MimiModel`. CSM's head can produce ids outside the codebooks, so the default is "end"
            there and "raise" elsewhere. A processor of Pocket TTS has no codes.

    Returns:
        What took the place of the codec.

    Raises:
        InputTypeError: `model` does not hold a Mimi or the codec of Pocket TTS.
        ConfigError: `codec` is not of the size for which `model` was made.
        LoadError: the weights cannot be loaded.
        WeightsError: a tensor is missing, has a wrong shape, or is one too many.

    Example:
        >>> from transformers import MimiConfig, MimiModel
        >>> from torch import nn
        >>> from mimi_codec.transformers import attach
        >>> model = nn.Module()  # stands for a CSM
        >>> model.config = MimiConfig(num_filters=4, hidden_size=64, num_hidden_layers=1, upsample_groups=64)
        >>> model.codec_model = MimiModel(model.config)
        >>> type(attach(model)).__module__
        'mimi_codec.transformers.model'
    """
    if getattr(model, "audio_tokenizer_class", None) == TOKENIZER:
        if invalid_codes is not None:
            raise ConfigError(f"invalid_codes is for codecs with codes; {type(model).__name__} has latents")
        return _attach_tokenizer(model, codec, threads)
    attribute = next((name for name in ATTRIBUTES if hasattr(model, name)), None)
    if attribute is None:
        raise InputTypeError(
            f"expected a model with {' or '.join(ATTRIBUTES)}, such as Moshi, CSM or KyutaiSpeechToText, "
            f"or a PocketTTSProcessor, got {type(model).__name__}"
        )
    original = getattr(model, attribute)
    config = original.config
    if not isinstance(config, MimiConfig):
        found = type(original).__name__
        raise InputTypeError(f"the {attribute} of this {type(model).__name__} is not a Mimi but a {found}")
    if invalid_codes is None:
        invalid_codes = "end" if getattr(model.config, "model_type", "") == "csm" else "raise"
    if codec is None:
        ours = MimiModel.from_state_dict(original.state_dict(), config, threads=threads, invalid_codes=invalid_codes)
    else:
        loaded = codec if isinstance(codec, Mimi) else Mimi.from_pretrained(codec, threads=threads)
        _check_same(loaded, config)
        ours = MimiModel(loaded, config, invalid_codes=invalid_codes)
    if getattr(original, "generation_config", None) is not None:
        ours.generation_config = original.generation_config
    ours.to(original.device, original.dtype)
    ours.train(original.training)
    setattr(model, attribute, ours)
    return ours


def _attach_tokenizer(
    processor: Any, codec: LatentCodec | str | os.PathLike[str] | None, threads: int | None
) -> PocketTTSAudioTokenizerModel:
    """The codec of Pocket TTS, which its processor holds."""
    from .._torch_latents import latent_codec
    from .pocket import PocketTTSAudioTokenizerModel

    original = getattr(processor, "audio_tokenizer", None)
    if codec is None and isinstance(original, PocketTTSAudioTokenizerModel) and original._files is None:
        codec = original.codec
    if codec is not None:
        loaded = latent_codec(codec, threads=threads)
        if original is not None:
            _check_sizes(
                ("values in a latent", original.config.latent_dim, loaded.latent_dim),
                ("values in a latent to decode", original.config.latent_dim, loaded.decoder_latent_dim),
                ("samples per frame", original.config.frame_size, loaded.frame_size),
                ("samples per second", original.config.sampling_rate, loaded.sample_rate),
            )
        ours = PocketTTSAudioTokenizerModel(loaded, None if original is None else original.config)
    elif original is None:
        raise InputTypeError(f"this {type(processor).__name__} has no audio_tokenizer: give the codec, codec=...")
    else:
        ours = PocketTTSAudioTokenizerModel.from_state_dict(original.state_dict(), original.config, threads=threads)
    if original is not None:
        ours.name_or_path = original.name_or_path
        ours.to(original.device, original.dtype)
        ours.train(original.training)
    processor.audio_tokenizer = ours
    return ours


def _check_same(codec: Mimi, config: MimiConfig) -> None:
    _check_sizes(
        ("codebooks", config.num_quantizers, codec.num_codebooks),
        ("entries per codebook", config.codebook_size, codec.codebook_size),
        # config.frame_size takes every latent stride for 2, and 4.57 does not know the stride
        ("samples per frame", Fields.from_dict(vars(config)).frame_size, codec.frame_size),
        ("samples per second", config.sampling_rate, codec.sample_rate),
    )


def _check_sizes(*sizes: tuple[str, int, int]) -> None:
    for name, expected, got in sizes:
        if expected != got:
            raise ConfigError(f"the model was made for a codec of {expected} {name}, got a codec of {got}")
