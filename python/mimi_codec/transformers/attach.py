"""Put this codec under a loaded Transformers model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, overload

from torch import nn

from .._devices import Device
from ..codec import Codec
from ..config import MimiConfig as Fields
from ..errors import ConfigError, InputTypeError
from ..latent_codec import LatentCodec
from ..model import Mimi
from .family import check_sizes
from .installed import MimiConfig
from .model import InvalidCodes, MimiModel
from .replaced import places, replace

if TYPE_CHECKING:
    from transformers import ProcessorMixin

    from .pocket import PocketTTSAudioTokenizerModel

# Where the models keep their codec: Moshi; CSM and KyutaiSpeechToText.
ATTRIBUTES = ("audio_encoder", "codec_model")
# The class that a processor with the codec of Pocket TTS names.
TOKENIZER = "PocketTTSAudioTokenizerModel"


@overload
def attach(
    model: ProcessorMixin,
    codec: LatentCodec | str | os.PathLike[str] | None = None,
    *,
    threads: int | None = None,
    device: Device = "cpu",
) -> PocketTTSAudioTokenizerModel: ...
@overload
def attach(
    model: nn.Module,
    codec: Mimi | str | os.PathLike[str] | None = None,
    *,
    threads: int | None = None,
    device: Device = "cpu",
    invalid_codes: InvalidCodes | None = None,
) -> MimiModel: ...
@overload
def attach(
    model: nn.Module,
    codec: Codec | str | os.PathLike[str] | Mapping[str, Codec | str | os.PathLike[str]] | None = None,
    *,
    threads: int | None = None,
    device: Device = "cpu",
    chunked: bool | None = None,
) -> Any: ...
def attach(
    model: Any,
    codec: Any = None,
    *,
    threads: int | None = None,
    device: Device = "cpu",
    invalid_codes: InvalidCodes | None = None,
    chunked: bool | None = None,
) -> Any:
    """Replace the codec inside a loaded model or processor.

    Models are Moshi, CSM, KyutaiSpeechToText, Qwen3-Omni, VibeVoice and VibeVoice-ASR, and other modules that hold one
    of these; the processor is that of Pocket TTS.

    Args:
        model: a loaded model or processor; it is changed.
        codec: where the weights come from: None for those in `model` itself, the name or path of a checkpoint (of the
            codec or of a model that holds it), or a loaded codec, which many models can share. VibeVoice and
            VibeVoice-ASR have two: they take the checkpoint of the whole model, or a dictionary with a codec or the
            path of one for the names of those that are not taken from `model`.
        threads: threads that one call may use; None takes `MIMI_NUM_THREADS`, or 1. Not for a loaded codec.
        device: where the codec runs, as in `mimi_codec.load`. Not for a loaded codec.
        invalid_codes: as for `MimiModel`. CSM's head can produce ids outside the codebooks, so the default is "end"
            there and "raise" elsewhere. Only for models with a Mimi.
        chunked: as for `Qwen3OmniMoeCode2Wav`, and only for Qwen3-Omni: whether audio has the seams and losses of the
            original's chunks. None keeps what is there, at first False.

    Returns:
        What took the place of the codec; for a model with two codecs a dictionary by their names.

    Raises:
        InputTypeError: `model` does not hold a codec that this package has.
        ConfigError: `codec` is not of the kind or the size for which `model` was made, or an option is for another
            codec.
        DeviceError: the device is not there, or something that it needs is missing.
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
        _only_for(invalid_codes, f"invalid_codes is for codecs with codes; {type(model).__name__} has latents")
        _only_for(chunked, "chunked is for Code2Wav of Qwen3-Omni")
        return _attach_tokenizer(model, codec, threads, device)
    to_replace = places(model)
    if to_replace:
        _only_for(invalid_codes, "invalid_codes is for models with a Mimi")
        return replace(to_replace, codec, threads, device, chunked)
    _only_for(chunked, "chunked is for Code2Wav of Qwen3-Omni")
    attribute = next((name for name in ATTRIBUTES if hasattr(model, name)), None)
    if attribute is None:
        raise InputTypeError(
            f"expected a model with {' or '.join(ATTRIBUTES)}, such as Moshi, CSM or KyutaiSpeechToText, "
            f"a Qwen3-Omni, a VibeVoice, or a PocketTTSProcessor, got {type(model).__name__}"
        )
    original = getattr(model, attribute)
    config = original.config
    if not isinstance(config, MimiConfig):
        found = type(original).__name__
        raise InputTypeError(f"the {attribute} of this {type(model).__name__} is not a Mimi but a {found}")
    if invalid_codes is None:
        invalid_codes = "end" if getattr(model.config, "model_type", "") == "csm" else "raise"
    if codec is None:
        ours = MimiModel.from_state_dict(
            original.state_dict(), config, threads=threads, device=device, invalid_codes=invalid_codes
        )
    else:
        loaded = codec if isinstance(codec, Mimi) else Mimi.from_pretrained(codec, threads=threads, device=device)
        _check_same(loaded, config)
        ours = MimiModel(loaded, config, invalid_codes=invalid_codes)
    if getattr(original, "generation_config", None) is not None:
        ours.generation_config = original.generation_config
    ours.to(original.device, original.dtype)
    ours.train(original.training)
    setattr(model, attribute, ours)
    return ours


def _attach_tokenizer(
    processor: Any, codec: LatentCodec | str | os.PathLike[str] | None, threads: int | None, device: Device
) -> PocketTTSAudioTokenizerModel:
    """The codec of Pocket TTS, which its processor holds."""
    from .._torch_latents import latent_codec
    from .pocket import PocketTTSAudioTokenizerModel

    original = getattr(processor, "audio_tokenizer", None)
    if codec is None and isinstance(original, PocketTTSAudioTokenizerModel) and original._files is None:
        codec = original.codec
    if codec is not None:
        loaded = latent_codec(codec, threads=threads, device=device)
        if original is not None:
            check_sizes(
                ("values in a latent", original.config.latent_dim, loaded.latent_dim),
                ("values in a latent to decode", original.config.latent_dim, loaded.decoder_latent_dim),
                ("samples per frame", original.config.frame_size, loaded.frame_size),
                ("samples per second", original.config.sampling_rate, loaded.sample_rate),
            )
        ours = PocketTTSAudioTokenizerModel(loaded, None if original is None else original.config)
    elif original is None:
        raise InputTypeError(f"this {type(processor).__name__} has no audio_tokenizer: give the codec, codec=...")
    else:
        ours = PocketTTSAudioTokenizerModel.from_state_dict(
            original.state_dict(), original.config, threads=threads, device=device
        )
    if original is not None:
        ours.name_or_path = original.name_or_path
        ours.to(original.device, original.dtype)
        ours.train(original.training)
    processor.audio_tokenizer = ours
    return ours


def _check_same(codec: Mimi, config: MimiConfig) -> None:
    check_sizes(
        ("codebooks", config.num_quantizers, codec.num_codebooks),
        ("entries per codebook", config.codebook_size, codec.codebook_size),
        # config.frame_size takes every latent stride for 2, and 4.57 does not know the stride
        ("samples per frame", Fields.from_dict(vars(config)).frame_size, codec.frame_size),
        ("samples per second", config.sampling_rate, codec.sample_rate),
    )


def _only_for(option: object, message: str) -> None:
    if option is not None:
        raise ConfigError(message)
