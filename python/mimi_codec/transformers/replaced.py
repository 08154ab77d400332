"""The codecs built from Mimi's parts inside a loaded model: found by their configurations, wherever they are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from torch import nn

from .._devices import Device
from ..codec import Codec
from ..errors import ConfigError
from ..loading import load
from .family import FamilyModule

# The class of a codec's configuration in Transformers, and where the class is that takes the codec's place.
CODE2WAV = "Qwen3OmniMoeCode2WavConfig"
REPLACEMENTS = {
    CODE2WAV: ("code2wav", "Qwen3OmniMoeCode2Wav"),
    "VibeVoiceAcousticTokenizerConfig": ("vibevoice", "VibeVoiceAcousticTokenizerModel"),
    "VibeVoiceAcousticTokenizerEncoderConfig": ("vibevoice", "VibeVoiceAcousticTokenizerEncoderModel"),
}


class Place(NamedTuple):
    """A codec in a model."""

    parent: nn.Module
    attribute: str
    original: Any
    config_class: str


def places(model: Any) -> list[Place]:
    """The codecs that can be replaced, each once; not `model` itself."""
    return list(_walk(model)) if isinstance(model, nn.Module) else []


def _walk(parent: nn.Module) -> Iterator[Place]:
    for attribute, child in parent.named_children():
        config_class = type(getattr(child, "config", None)).__name__
        if config_class in REPLACEMENTS:
            yield Place(parent, attribute, child, config_class)
        else:
            yield from _walk(child)


def replace(found: list[Place], codec: Any, threads: int | None, device: Device, chunked: bool | None) -> Any:
    """Put ours in these places. All of them are made before the first is put in.

    Returns what `attach` does: the one that took the place, or where there are several a dictionary by their names.
    """
    _check_names(found)
    codecs = _given(found, codec)
    if chunked is not None and not any(place.config_class == CODE2WAV for place in found):
        raise ConfigError("chunked is for Code2Wav of Qwen3-Omni; this model has another codec")
    made = {place.attribute: _make(place, codecs.get(place.attribute), threads, device, chunked) for place in found}
    for place in found:
        setattr(place.parent, place.attribute, made[place.attribute])
    return made if len(found) > 1 else made[found[0].attribute]


def _check_names(found: list[Place]) -> None:
    twice = [name for name, count in Counter(place.attribute for place in found).items() if count > 1]
    if twice:
        raise ConfigError(f"the model has several codecs under the name {twice[0]}; attach to a part that has one")


def _given(found: list[Place], codec: Any) -> Mapping[str, Any]:
    """What `codec` says for each name."""
    names = [place.attribute for place in found]
    if codec is None:
        return {}
    if isinstance(codec, Mapping):
        unknown = [name for name in codec if name not in names]
        if unknown:
            raise ConfigError(f"the codecs of this model are {' and '.join(names)}, got one for {unknown[0]!r}")
        return codec
    if len(found) == 1:
        return {names[0]: codec}
    if isinstance(codec, Codec):
        expected = ", ".join(f'"{name}": ...' for name in names)
        raise ConfigError(f"the model has several codecs; name them, codec={{{expected}}}, got {codec!r}")
    # the checkpoint of a whole model, in which each lies under its name
    return {name: _Inside(os.fspath(codec), name) for name in names}


class _Inside(NamedTuple):
    """A module in a checkpoint."""

    checkpoint: str
    module: str


def _make(place: Place, codec: Any, threads: int | None, device: Device, chunked: bool | None) -> FamilyModule:
    original = place.original
    module, name = REPLACEMENTS[place.config_class]
    ours: Any = getattr(import_module(f".{module}", __package__), name)
    options = {}
    if place.config_class == CODE2WAV:
        options["chunked"] = getattr(original, "chunked", False) if chunked is None else chunked
    if codec is None and isinstance(original, FamilyModule) and original._files is None:
        codec = original.codec  # it was given before, and stays
    if codec is None:
        placed = {"threads": threads, "device": device}
        made = ours.from_state_dict(original.state_dict(), original.config, **placed, **options)
    else:
        if isinstance(codec, _Inside):
            codec = load(codec.checkpoint, module=codec.module, threads=threads, device=device)
        elif not isinstance(codec, Codec):
            codec = load(codec, threads=threads, device=device)
        made = ours(codec, original.config, **options)
    if original.device.type != "meta":  # where the tensors of a model are that has none
        made.to(original.device)
    if place.config_class != CODE2WAV:  # the host makes float32 of its audio: no use in rounding it before that
        made.to(original.dtype)
    made.train(original.training)
    return made
