"""`Tokenizer`, `StreamTokenizer` and `write_wav` with the signatures of the `rustymimi` package.

Scripts run with `from mimi_codec import rustymimi` instead of `import rustymimi`. Arguments, shapes and element types
of results are the same. These things differ: the length of audio has no limit; `reset` resets everything; whole clips
and streams do not affect each other; calls may come from several threads; codes and samples may have other types; and
what is wrong raises an exception of `mimi_codec` in the caller, never in a worker.

Shapes: B batch, L samples, K codebooks, T frames.
"""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from . import audio
from ._arrays import AnyArray, ArrayInput, Float32Array, Int64Array, to_codes, to_count, to_pcm
from ._options import choice
from .errors import AudioError, CodesError, InputTypeError, StreamError
from .model import Mimi
from .streams import DecoderStream, EncoderStream

__all__ = ["StreamTokenizer", "Tokenizer", "write_wav"]

DTYPES = ("f32",)
# Inputs that may wait for a worker before the caller has to.
BACKLOG = 256

UInt32Array = npt.NDArray[np.uint32]

# What a fork leaves without its threads or with a lock that nobody will give back.
_forked: weakref.WeakSet[Tokenizer | _Worker] = weakref.WeakSet()


def _after_fork() -> None:
    for item in list(_forked):
        item._in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Tokenizer:
    """Mimi on whole clips, and on one stream of B clips side by side.

    Args:
        path: Kyutai's file, or anything that `mimi_codec.Mimi.from_pretrained` takes.
        num_codebooks: codebooks K to load.
        dtype: "f32".
        max_seq_len: accepted, but there is no limit.

    Raises:
        LoadError: there is no such file, or it is corrupt.
        WeightsError: a tensor is missing, has a wrong shape, or is one too many.
        ConfigError: an option is outside its range (it is a `ValueError`, as in rustymimi).
        InputTypeError: an option has a wrong type.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import rustymimi
        >>> from mimi_codec.demo_files import demo_directory
        >>> tokenizer = rustymimi.Tokenizer(demo_directory(), num_codebooks=8)
        >>> tokenizer.encode(np.zeros((1, 1, 24000), np.float32)).shape
        (1, 8, 13)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        num_codebooks: int = 8,
        dtype: str = "f32",
        max_seq_len: int | None = None,
    ) -> None:
        self._codec = _load(path, num_codebooks, dtype, max_seq_len)
        self._encoder: EncoderStream | None = None
        self._decoder: DecoderStream | None = None
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._interrupted = False
        _forked.add(self)

    def _in_child(self) -> None:
        """Another thread was in a step when this process was forked: it is not here, and its step is half done."""
        self._interrupted |= self._lock.locked()
        self._lock = threading.Lock()

    def _check_whole(self) -> None:
        if self._interrupted:
            raise StreamError(
                "another thread was in a step when this process was forked; call reset() for a new stream"
            )

    def __getstate__(self) -> dict[str, Any]:
        """The model and, if a stream has begun, its state."""
        with self._lock:
            self._check_whole()
            streams = (self._encoder, self._decoder)
            saved = [None if stream is None else (stream.batch_size, stream.save()) for stream in streams]
        return {"codec": self._codec, "streams": saved}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._codec = state["codec"]
        encoder, decoder = state["streams"]
        self._encoder = None if encoder is None else self._codec.encoder_stream(encoder[0])
        self._decoder = None if decoder is None else self._codec.decoder_stream(decoder[0])
        for stream, saved in ((self._encoder, encoder), (self._decoder, decoder)):
            if stream is not None:
                stream.load(saved[1])
        self._begin()

    def encode(self, pcm_data: ArrayInput) -> UInt32Array:
        """Encode whole clips.

        Args:
            pcm_data: samples (B, 1, L).

        Returns:
            Codes (B, K, T), uint32.

        Raises:
            AudioError: the shape is wrong, or a sample is NaN or infinite.
            InputTypeError: the input is not an array, or its element type is not accepted.
        """
        return self._codec.encode(_batch_of_pcm(pcm_data)).astype(np.uint32)

    def decode(self, codes: ArrayInput) -> Float32Array:
        """Decode whole clips.

        Args:
            codes: (B, K, T), of any integer type; K from 1 to `num_codebooks`.

        Returns:
            Samples (B, 1, L), float32.

        Raises:
            CodesError: the shape is wrong, or a code is outside the codebooks.
            InputTypeError: the input is not an array of integers.
        """
        return self._codec.decode(_batch_of_codes(codes))

    def encode_step(self, pcm_data: ArrayInput) -> UInt32Array | None:
        """Encode the next samples of the stream.

        Args:
            pcm_data: samples (B, 1, n).

        Returns:
            The codes (B, K, m), uint32, of the frames that they complete, or None if there are none.

        Raises:
            AudioError: the shape is wrong, a sample is NaN or infinite, or the stream began with another B.
            StreamError: another thread was in a step when this process was forked; call `reset`.
            InputTypeError: the input is not an array, or its element type is not accepted.
        """
        pcm = _batch_of_pcm(pcm_data)
        with self._lock:
            self._check_whole()
            stream = self._encoder or self._codec.encoder_stream(pcm.shape[0])
            codes = stream.push(pcm)
            self._encoder = stream
        return codes.astype(np.uint32) if codes.shape[-1] else None

    def decode_step(self, codes: ArrayInput) -> Float32Array | None:
        """Decode the next codes of the stream.

        Args:
            codes: (B, K, m), of any integer type.

        Returns:
            Their audio (B, 1, n), float32, or None if there are no codes.

        Raises:
            CodesError: the shape is wrong, a code is outside the codebooks, or the stream began with another B.
            StreamError: another thread was in a step when this process was forked; call `reset`.
            InputTypeError: the input is not an array of integers.
        """
        rows = _batch_of_codes(codes)
        with self._lock:
            self._check_whole()
            stream = self._decoder or self._codec.decoder_stream(rows.shape[0])
            pcm = stream.push(rows)
            self._decoder = stream
        return pcm if pcm.shape[-1] else None

    def reset(self) -> None:
        """End the stream. The next step begins a new one."""
        with self._lock:
            self._encoder = self._decoder = None
            self._interrupted = False


class StreamTokenizer:
    """Mimi on one stream, encoded and decoded by two threads in the background.

    Results come in the order of the inputs, one for each input that completes a frame. `encode` and `decode` check
    their input and return at once, unless 256 inputs are still waiting.

    Args:
        path: Kyutai's file, or anything that `mimi_codec.Mimi.from_pretrained` takes.
        num_codebooks: codebooks K.
        dtype: "f32".
        max_seq_len: accepted, but there is no limit.

    Raises:
        LoadError: there is no such file, or it is corrupt.
        WeightsError: a tensor is missing, has a wrong shape, or is one too many.
        ConfigError: an option is outside its range (it is a `ValueError`, as in rustymimi).
        InputTypeError: an option has a wrong type.

    Example:
        >>> import time
        >>> import numpy as np
        >>> from mimi_codec import rustymimi
        >>> from mimi_codec.demo_files import demo_directory
        >>> tokenizer = rustymimi.StreamTokenizer(demo_directory(), num_codebooks=8)
        >>> tokenizer.encode(np.zeros(1920, np.float32))
        >>> while (codes := tokenizer.get_encoded()) is None:
        ...     time.sleep(0.001)
        >>> codes.shape
        (8, 1)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        num_codebooks: int = 8,
        dtype: str = "f32",
        max_seq_len: int | None = None,
    ) -> None:
        codec = _load(path, num_codebooks, dtype, max_seq_len)
        self._codebooks, self._codebook_size = codec.num_codebooks, codec.codebook_size
        encoder, decoder = codec.encoder_stream(), codec.decoder_stream()
        self._encoding = _Worker("mimi-encode", lambda pcm: encoder.push(pcm).astype(np.uint32))
        self._decoding = _Worker("mimi-decode", lambda codes: decoder.push(codes))

    def __reduce__(self) -> NoReturn:
        raise InputTypeError(
            "a StreamTokenizer works in threads of its process and cannot be pickled or copied; "
            "make one where it is used"
        )

    def encode(self, pcm_data: ArrayInput) -> None:
        """Pass the next samples to the encoder.

        Args:
            pcm_data: samples (n,).

        Raises:
            AudioError: the shape is wrong, or a sample is NaN or infinite.
            StreamError: the process was forked while inputs were in work; make a new one.
            InputTypeError: the input is not an array, or its element type is not accepted.
        """
        pcm = to_pcm(pcm_data, copy=True)
        if pcm.ndim != 1:
            raise AudioError(f"pcm_data must have shape (n,), got {pcm.shape}")
        if not np.isfinite(pcm).all():
            raise AudioError("pcm_data must be finite, got NaN or infinite samples")
        self._encoding.put(pcm)

    def decode(self, codes: ArrayInput) -> None:
        """Pass the codes of the next frames to the decoder.

        Args:
            codes: (T, K), of any integer type.

        Raises:
            CodesError: the shape is wrong, or a code is outside the codebooks.
            StreamError: the process was forked while inputs were in work; make a new one.
            InputTypeError: the input is not an array of integers.
        """
        frames, batched = to_codes(codes, copy=True)
        if batched or frames.shape[2] != self._codebooks:
            shape = frames.shape if batched else frames.shape[1:]
            hint = "; transpose what get_encoded gave" if shape[0] == self._codebooks else ""
            raise CodesError(f"codes must have shape (T, {self._codebooks}), got {shape}{hint}")
        wrong = frames[(frames < 0) | (frames >= self._codebook_size)]
        if wrong.size:
            raise CodesError(f"codes must be between 0 and {self._codebook_size - 1}, got {wrong[0]}")
        self._decoding.put(frames[0].T)

    def get_encoded(self) -> UInt32Array | None:
        """The oldest codes that were not fetched yet.

        Returns:
            Codes (K, m), uint32, or None if there are none yet.

        Raises:
            StreamError: the process was forked while inputs were in work; make a new one.
        """
        codes: UInt32Array | None = self._encoding.get()
        return codes

    def get_decoded(self) -> Float32Array | None:
        """The oldest audio that was not fetched yet.

        Returns:
            Samples (n,), float32, or None if there are none yet.

        Raises:
            StreamError: the process was forked while inputs were in work; make a new one.
        """
        pcm: Float32Array | None = self._decoding.get()
        return pcm


def write_wav(filename: str | os.PathLike[str], data: ArrayInput, sample_rate: int) -> None:
    """Write mono samples as a 16-bit WAV file.

    Args:
        filename: the path of the file.
        data: samples (L,) in [-1, 1).
        sample_rate: in Hz.

    Raises:
        AudioError: the shape is wrong, or a sample is NaN or infinite.
        OSError: the file cannot be written.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import rustymimi
        >>> rustymimi.write_wav("silence.wav", np.zeros(24000, np.float32), 24000)
    """
    audio.write_wav(filename, data, sample_rate)


class _Worker:
    """A thread that turns inputs into results in order, and ends when nobody holds the worker any more."""

    def __init__(self, name: str, step: Callable[[Any], AnyArray]) -> None:
        self._name = name
        self._step = step
        self._interrupted = False
        self._work = _Work()
        self._start()
        _forked.add(self)

    def put(self, value: AnyArray) -> None:
        self._check_whole()
        work = self._work
        work.room.acquire()
        with work.lock:
            if not work.running:  # in a child: the thread stayed behind in the parent
                self._start()
            work.given += 1
            work.inputs.put(value)

    def get(self) -> Any:
        """The next result, or None; what went wrong in the thread is raised here."""
        try:
            result = self._work.results.get_nowait()
        except queue.Empty:
            self._check_whole()
            return None
        if isinstance(result, BaseException):
            raise result
        return result

    def _start(self) -> None:
        work = self._work
        work.running = True
        threading.Thread(target=self._run, args=(self._step, work), name=self._name, daemon=True).start()
        weakref.finalize(self, work.inputs.put, None)

    def _in_child(self) -> None:
        """The thread is not here; its queues and locks may be as it left them in mid-use, so they are made again."""
        old, self._work = self._work, _Work()
        self._interrupted |= old.given != old.done
        while True:
            try:
                self._work.results.put(old.results.get_nowait())
            except queue.Empty:
                break

    def _check_whole(self) -> None:
        if self._interrupted:
            raise StreamError(
                "this StreamTokenizer had inputs in work when its process was forked, and the thread that had them "
                "stayed in the parent; make one in this process"
            )

    @staticmethod
    def _run(step: Callable[[Any], AnyArray], work: _Work) -> None:
        while (value := work.inputs.get()) is not None:
            try:
                result: AnyArray | BaseException = step(value)
            except Exception as error:  # belongs to the caller
                result = error
            if isinstance(result, BaseException) or result.shape[-1]:
                work.results.put(result)
            work.done += 1
            work.room.release()


class _Work:
    """What a worker and its thread share; it does not refer to the worker, which can go while the thread waits."""

    def __init__(self) -> None:
        self.inputs: queue.SimpleQueue[AnyArray | None] = queue.SimpleQueue()
        self.results: queue.SimpleQueue[AnyArray | BaseException] = queue.SimpleQueue()
        self.room = threading.Semaphore(BACKLOG)
        self.lock = threading.Lock()
        self.running = False
        self.given = 0  # under the lock
        self.done = 0  # by the thread alone


def _load(path: str | os.PathLike[str], num_codebooks: int, dtype: str, max_seq_len: int | None) -> Mimi:
    choice("dtype", dtype, DTYPES)
    if max_seq_len is not None:
        to_count(max_seq_len, "max_seq_len")
    return Mimi.from_pretrained(path, num_codebooks=num_codebooks)


def _batch_of_pcm(value: ArrayInput) -> Float32Array:
    pcm = to_pcm(value)
    if pcm.ndim != 3 or pcm.shape[1] != 1:
        raise AudioError(f"pcm_data must have shape (B, 1, L), got {pcm.shape}")
    return pcm


def _batch_of_codes(value: ArrayInput) -> Int64Array:
    codes, batched = to_codes(value)
    if not batched:
        raise CodesError(f"codes must have shape (B, K, T), got {codes.shape[1:]}")
    if (codes < 0).any():  # frames of -1 are missing ones for the codec; rustymimi does not have such frames
        raise CodesError(f"codes must not be negative, got {codes.min()}")
    return codes
