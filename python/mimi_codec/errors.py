"""The exceptions of the package.

Every one is a `MimiError` and also the builtin exception one would catch without knowing this package. Messages say
what was expected and what came. An exception is raised before any state changes: after a failed call a stream is as it
was before.
"""


class MimiError(Exception):
    """Base class of every error this package raises on purpose."""


class ConfigError(MimiError, ValueError):
    """A model configuration that is not supported, or an option outside its range."""


class LoadError(MimiError, OSError):
    """A model or token file that is missing, cannot be fetched, or is corrupt."""


class WeightsError(LoadError, ValueError):
    """A tensor that is missing, has another shape than the configuration says, or is surplus."""


class AudioError(MimiError, ValueError):
    """Audio of the wrong shape, with NaN or infinite samples, or in a file that cannot be read as audio."""


class AudioWarning(UserWarning):
    """A sound file of which a part is missing, or may be."""


class CodesError(MimiError, ValueError):
    """Codes of the wrong shape or outside `0 <= code < codebook_size`."""


class LatentsError(MimiError, ValueError):
    """Latents of the wrong shape, or with NaN or infinite values."""


class InputTypeError(MimiError, TypeError):
    """An input that is no array, has an element type that is not accepted, or lives on another device."""


class StreamError(MimiError, RuntimeError):
    """A stream used out of order: a push after `flush`, or a saved state that does not fit."""


class DeviceError(MimiError, RuntimeError):
    """A device that is not supported or not there."""
