"""What the installed Transformers calls things, found by looking at its classes and not at its version."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import fields

import transformers

# The minor versions that the tests run on; docs/transformers.md has the same list.
TESTED = ("4.57", "5.23", "5.24")

try:
    from transformers import DynamicCache, GenerationConfig, MimiConfig
    from transformers.models.mimi.modeling_mimi import (
        MimiConv1dPaddingCache,
        MimiDecoderOutput,
        MimiEncoderOutput,
        MimiModel,
        MimiOutput,
    )
except ImportError as error:
    raise ImportError(
        f"mimi_codec.transformers works with Transformers {', '.join(TESTED)} and a PyTorch that these accept; "
        f"Transformers {transformers.__version__} was found: {error}"
    ) from error

__all__ = [
    "DECODER_CACHE",
    "EITHER_CACHE",
    "ENCODER_CACHE",
    "NONE_IN_TUPLES",
    "TESTED",
    "DynamicCache",
    "GenerationConfig",
    "MimiConfig",
    "MimiConv1dPaddingCache",
    "MimiDecoderOutput",
    "MimiEncoderOutput",
    "MimiOutput",
    "field_of",
]

# Every spelling of a cache, as an argument and as a field: that of 5.24 first, that of the versions before it second.
ENCODER_CACHE = ("encoder_cache", "encoder_past_key_values")
DECODER_CACHE = ("decoder_cache", "decoder_past_key_values")
EITHER_CACHE = ("cache", "past_key_values")

# Whether a tuple that stands for an output has a place for what is None: in Transformers 4, whose methods make it.
NONE_IN_TUPLES = "return_dict" in inspect.signature(MimiModel.encode).parameters


def field_of(output: type, names: tuple[str, ...]) -> str:
    """Return the spelling among `names` that the installed output class has as a field.

    Args:
        output: A class of Transformers' outputs.
        names: The spellings of one thing.

    Returns:
        The name of the field.

    Raises:
        ImportError: The class has none of these fields, so this version of Transformers cannot be served.
    """
    known = {field.name for field in fields(output)}
    found = [name for name in names if name in known]
    if not found:
        raise ImportError(
            f"mimi_codec.transformers works with Transformers {', '.join(TESTED)}; in Transformers "
            f"{transformers.__version__}, {output.__name__} has none of the fields {', '.join(names)}"
        )
    return found[0]


def warn_of_untested(version: str) -> None:
    """Warn where the tests do not run on this version of Transformers.

    Args:
        version: The version that is installed.
    """
    if ".".join(version.split(".")[:2]) not in TESTED:
        warnings.warn(
            f"mimi_codec.transformers is tested with Transformers {', '.join(TESTED)}; {version} was found, "
            "which may work in another way",
            stacklevel=2,
        )


warn_of_untested(transformers.__version__)
