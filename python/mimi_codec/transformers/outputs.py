"""Transformers' output classes, whose caches can be read under the old and the new names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self

from ..errors import ConfigError
from .installed import (
    DECODER_CACHE,
    EITHER_CACHE,
    ENCODER_CACHE,
    NONE_IN_TUPLES,
    MimiDecoderOutput,
    MimiEncoderOutput,
    MimiOutput,
    field_of,
)


class BothSpellings:
    """Reads a name that Transformers had before, or has since, as the field of the installed version."""

    spellings: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Make an output of values under names of either spelling."""
        return cls(**{cls.spellings.get(name, name): value for name, value in values.items()})

    def __getattr__(self, name: str) -> Any:
        """Called only for what is not an attribute of the installed class."""
        field = self.spellings.get(name, name)
        if field == name:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self, field)

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(self._field(key))  # type: ignore[misc]

    def __contains__(self, key: object) -> bool:
        return bool(super().__contains__(self._field(key)))  # type: ignore[misc]

    def plain(self) -> tuple[Any, ...]:
        """Return the tuple that the installed version gives for `return_dict=False`."""
        if NONE_IN_TUPLES:
            return tuple(getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]
        return self.to_tuple()

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value under a key, or `default` where it is None or missing."""
        return super().get(self._field(key), default)  # type: ignore[misc]

    def _field(self, key: Any) -> Any:
        return self.spellings.get(key, key) if isinstance(key, str) else key


def spellings(output: type, *groups: tuple[str, ...]) -> dict[str, str]:
    """Which field of an installed class each spelling is."""
    return {name: field_of(output, names) for names in groups for name in names}


class EncoderOutput(BothSpellings, MimiEncoderOutput):
    """What `encode` returns."""

    spellings = spellings(MimiEncoderOutput, ENCODER_CACHE + EITHER_CACHE)


class DecoderOutput(BothSpellings, MimiDecoderOutput):
    """What `decode` returns."""

    spellings = spellings(MimiDecoderOutput, DECODER_CACHE + EITHER_CACHE)


class Output(BothSpellings, MimiOutput):
    """What `forward` returns."""

    spellings = spellings(MimiOutput, ENCODER_CACHE, DECODER_CACHE)


# Arguments of Transformers' methods that ask for what a codec outside PyTorch does not have.
NOT_GIVEN = ("output_attentions", "output_hidden_states")


def refuse_options(options: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    """Refuse arguments beyond those that a method has. Raises `ConfigError` or `TypeError`."""
    for name, value in options.items():
        if name in NOT_GIVEN:
            if value:
                raise ConfigError(f"{name}: this codec has no {name.removeprefix('output_')} to return")
        elif name not in allowed:
            raise TypeError(f"unexpected keyword argument {name!r}")


def give(output: Any, config: Any, return_dict: bool | None) -> Any:
    """The output, or the tuple of it where the argument or else the configuration asks for one."""
    if return_dict is None:
        return_dict = getattr(config, "return_dict", True)
    return output if return_dict else output.plain()
