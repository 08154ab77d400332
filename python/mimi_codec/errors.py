"""The exceptions of the package.

Every exception is a `MimiError`, and also the builtin exception that one would catch without knowing this package.
Messages say what was expected and what came. An exception is raised before any state changes: after a failed call a
stream is as it was before.
"""


class MimiError(Exception):
    """Base class of every error that this package raises on purpose.

    Example:
        >>> from mimi_codec import Mimi, MimiError
        >>> try:
        ...     Mimi.from_pretrained("./nowhere")
        ... except MimiError as error:
        ...     print(type(error).__name__)
        LoadError
    """


class ConfigError(MimiError, ValueError):
    """The configuration of a model is not supported, or an option is outside its range.

    Example:
        >>> from mimi_codec import Mimi
        >>> Mimi.demo(num_codebooks=17)
        Traceback (most recent call last):
        mimi_codec.errors.ConfigError: ...
    """


class LoadError(MimiError, OSError):
    """A model or a token file is missing, cannot be fetched, or is corrupt.

    Example:
        >>> from mimi_codec import Mimi
        >>> Mimi.from_pretrained("./nowhere")
        Traceback (most recent call last):
        mimi_codec.errors.LoadError: ...
    """


class WeightsError(LoadError, ValueError):
    """A tensor of a model is missing, has another shape than the configuration says, or is one too many.

    Example:
        >>> from mimi_codec import LoadError, WeightsError
        >>> issubclass(WeightsError, LoadError)
        True
    """


class AudioError(MimiError, ValueError):
    """Audio has a wrong shape, has NaN or infinite samples, or is in a file that cannot be read as audio.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> Mimi.demo().encode(np.array([0, np.nan], np.float32))
        Traceback (most recent call last):
        mimi_codec.errors.AudioError: ...
    """


class AudioWarning(UserWarning):
    """A part of a sound file is missing, or may be.

    Example:
        >>> import io, warnings
        >>> import numpy as np
        >>> from mimi_codec import read_audio, write_wav
        >>> from mimi_codec.errors import AudioWarning
        >>> file = io.BytesIO()
        >>> write_wav(file, np.zeros(24000), 24000)
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     samples = read_audio(file.getvalue()[:-1000], 24000)
        >>> caught[0].category is AudioWarning, len(samples)
        (True, 23500)
    """


class CodesError(MimiError, ValueError):
    """Codes have a wrong shape, or a code is outside `0 <= code < codebook_size`.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> Mimi.demo().decode(np.full((8, 3), 1024))
        Traceback (most recent call last):
        mimi_codec.errors.CodesError: expected codes between 0 and 1023, got 1024 in codebook 0, frame 0
    """


class LatentsError(MimiError, ValueError):
    """Latents have a wrong shape, or have NaN or infinite values.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> mimi = Mimi.demo()
        >>> mimi.quantize(np.full((mimi.latent_dim, 3), np.inf, np.float32))
        Traceback (most recent call last):
        mimi_codec.errors.LatentsError: ...
    """


class InputTypeError(MimiError, TypeError):
    """An input is not an array, has an element type that is not accepted, or is on another device.

    Example:
        >>> from mimi_codec import Mimi
        >>> Mimi.demo().encode("speech.wav")
        Traceback (most recent call last):
        mimi_codec.errors.InputTypeError: ...
    """


class StreamError(MimiError, RuntimeError):
    """A stream is used in a wrong order, such as a push after `flush`, or a saved state does not fit.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> stream = Mimi.demo().encoder_stream()
        >>> stream.flush().shape
        (16, 0)
        >>> stream.push(np.zeros(1920, np.float32))
        Traceback (most recent call last):
        mimi_codec.errors.StreamError: ...
    """


class StoppedError(MimiError, RuntimeError):
    """A call gave up because its `stop` asked for it. Streams are as they were before the call.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> Mimi.demo().encode(np.zeros(1920, np.float32), stop=lambda: True)
        Traceback (most recent call last):
        mimi_codec.errors.StoppedError: the caller asked to stop: nothing was changed
    """


class TimedOutError(StoppedError, TimeoutError):
    """A call gave up because its `timeout` had passed. Streams are as they were before the call.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> Mimi.demo().encode(np.zeros(1920, np.float32), timeout=0)
        Traceback (most recent call last):
        mimi_codec.errors.TimedOutError: the timeout of 0 seconds has passed: nothing was changed
    """


class DeviceError(MimiError, RuntimeError):
    """A device is not there or not supported, or something that it needs is missing: the text says what to install.

    Example:
        >>> from mimi_codec import Mimi
        >>> Mimi.demo().save("demo")
        >>> Mimi.from_pretrained("demo", device="tpu")
        Traceback (most recent call last):
        mimi_codec.errors.DeviceError: ...
    """


class OutOfMemoryError(MimiError, MemoryError):
    """There is not enough memory for what was asked, such as a stream of a million rows.

    Example:
        >>> from mimi_codec import Mimi
        >>> Mimi.demo().decoder_stream(batch_size=10**12)
        Traceback (most recent call last):
        mimi_codec.errors.OutOfMemoryError: ...
    """


class NumericError(MimiError, ArithmeticError):
    """A value became infinite or NaN inside the model, because its weights are too large for float32 arithmetic.

    Loading refuses weights that are infinite or NaN, so this happens only with weights that are finite but enormous.

    Example:
        >>> from mimi_codec.errors import MimiError, NumericError
        >>> issubclass(NumericError, MimiError), issubclass(NumericError, ArithmeticError)
        (True, True)
    """


class PoolFull(MimiError, RuntimeError):
    """Every slot of a `mimi_codec.aio.SessionPool` has a session. It is raised at once: nobody waits for a slot.

    Example:
        >>> import asyncio
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.aio import SessionPool
        >>> async def main():
        ...     async with SessionPool(Mimi.demo(), slots=1) as pool, pool.encoder():
        ...         pool.encoder()
        >>> asyncio.run(main())
        Traceback (most recent call last):
        mimi_codec.errors.PoolFull: all 1 slots are in use
    """


class PoolClosed(MimiError, RuntimeError):
    """A `mimi_codec.aio.SessionPool` was closed. Pushes that waited, and were not part of a tick, did nothing.

    Example:
        >>> import asyncio
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.aio import SessionPool
        >>> async def main():
        ...     async with SessionPool(Mimi.demo(), slots=1) as pool:
        ...         pass
        ...     pool.encoder()
        >>> asyncio.run(main())
        Traceback (most recent call last):
        mimi_codec.errors.PoolClosed: the pool is closed
    """


class SessionFull(MimiError, RuntimeError):
    """More waits in one session of a `mimi_codec.aio.SessionPool` than it may; the push did nothing.

    Example:
        >>> from mimi_codec.errors import MimiError, SessionFull
        >>> issubclass(SessionFull, MimiError)
        True
    """
