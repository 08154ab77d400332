"""`Tokenizer`, `StreamTokenizer` and `write_wav` with the signatures of the `rustymimi` package.

Scripts run with `from mimi_codec import rustymimi` in place of `import rustymimi`. Arguments, shapes and element types
of results are the same. What differs: no limit on the length of audio, `reset` resets everything, whole clips and
streams do not disturb each other, calls from several threads are fine, codes and samples may be of other types, and
what is wrong raises an exception of `mimi_codec` in the caller, never in a worker.

Shapes: B batch, L samples, K codebooks, T frames.
"""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from . import audio
from ._arrays import AnyArray, ArrayInput, Float32Array, Int64Array, to_codes, to_count, to_pcm
from ._options import choice
from .errors import AudioError, CodesError
from .model import Mimi
from .streams import DecoderStream, EncoderStream

__all__ = ["StreamTokenizer", "Tokenizer", "write_wav"]

DTYPES = ("f32",)
# Inputs that may wait for a worker before the caller has to.
BACKLOG = 256

UInt32Array = npt.NDArray[np.uint32]


class Tokenizer:
    """Mimi on whole clips, and on one stream of B clips in step.

    Args:
        path: Kyutai's file, or anything `mimi_codec.Mimi.from_pretrained` takes.
        num_codebooks: codebooks K to load.
        dtype: "f32".
        max_seq_len: accepted; there is no limit.

    Raises `LoadError`, `WeightsError` or `ConfigError` (which is a `ValueError`, as in rustymimi).
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
        self._lock = threading.Lock()
        self._encoder: EncoderStream | None = None
        self._decoder: DecoderStream | None = None

    def encode(self, pcm_data: ArrayInput) -> UInt32Array:
        """Whole clips (B, 1, L) to codes (B, K, T). Raises `AudioError`."""
        return self._codec.encode(_batch_of_pcm(pcm_data)).astype(np.uint32)

    def decode(self, codes: ArrayInput) -> Float32Array:
        """Codes (B, K, T) of whole clips to audio (B, 1, L), K from 1 to `num_codebooks`. Raises `CodesError`."""
        return self._codec.decode(_batch_of_codes(codes))

    def encode_step(self, pcm_data: ArrayInput) -> UInt32Array | None:
        """The next samples (B, 1, n) of the stream to the codes (B, K, m) of the frames they complete, or None.

        Raises `AudioError`, also for another B than the stream began with.
        """
        pcm = _batch_of_pcm(pcm_data)
        with self._lock:
            stream = self._encoder or self._codec.encoder_stream(pcm.shape[0])
            codes = stream.push(pcm)
            self._encoder = stream
        return codes.astype(np.uint32) if codes.shape[-1] else None

    def decode_step(self, codes: ArrayInput) -> Float32Array | None:
        """The next codes (B, K, m) of the stream to their audio (B, 1, n), or None if there are none.

        Raises `CodesError`, also for another B than the stream began with.
        """
        rows = _batch_of_codes(codes)
        with self._lock:
            stream = self._decoder or self._codec.decoder_stream(rows.shape[0])
            pcm = stream.push(rows)
            self._decoder = stream
        return pcm if pcm.shape[-1] else None

    def reset(self) -> None:
        """End the stream; the next step begins a new one."""
        with self._lock:
            self._encoder = self._decoder = None


class StreamTokenizer:
    """Mimi on one stream, encoded and decoded by two threads in the background.

    Results come in the order of the inputs, one for each input that completes a frame. `encode` and `decode` check
    their input and return at once, unless 256 inputs are still waiting.

    Args:
        path: Kyutai's file, or anything `mimi_codec.Mimi.from_pretrained` takes.
        num_codebooks: codebooks K.
        dtype: "f32".
        max_seq_len: accepted; there is no limit.

    Raises `LoadError`, `WeightsError` or `ConfigError` (which is a `ValueError`, as in rustymimi).
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

    def encode(self, pcm_data: ArrayInput) -> None:
        """Hand over the next samples (n,). Raises `AudioError` for a wrong shape, NaN or infinite samples."""
        pcm = to_pcm(pcm_data, copy=True)
        if pcm.ndim != 1:
            raise AudioError(f"pcm_data must have shape (n,), got {pcm.shape}")
        if not np.isfinite(pcm).all():
            raise AudioError("pcm_data must be finite, got NaN or infinite samples")
        self._encoding.put(pcm)

    def decode(self, codes: ArrayInput) -> None:
        """Hand over the codes of the next frames as (T, K).

        Raises `CodesError` for a wrong shape or a code outside the codebooks.
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
        """The oldest codes not yet fetched, (K, m), or None if there are none yet."""
        codes: UInt32Array | None = self._encoding.get()
        return codes

    def get_decoded(self) -> Float32Array | None:
        """The oldest audio not yet fetched, (n,), or None if there is none yet."""
        pcm: Float32Array | None = self._decoding.get()
        return pcm


def write_wav(filename: str | os.PathLike[str], data: ArrayInput, sample_rate: int) -> None:
    """Write mono samples (L,) as a 16-bit WAV file. Raises `AudioError`."""
    audio.write_wav(filename, data, sample_rate)


class _Worker:
    """A thread that turns inputs into results in order, and ends when nobody holds the worker any more."""

    def __init__(self, name: str, step: Callable[[Any], AnyArray]) -> None:
        self._inputs: queue.SimpleQueue[AnyArray | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[AnyArray | BaseException] = queue.SimpleQueue()
        self._room = threading.Semaphore(BACKLOG)
        arguments = (step, self._inputs, self._results, self._room)
        threading.Thread(target=self._run, args=arguments, name=name, daemon=True).start()
        weakref.finalize(self, self._inputs.put, None)

    def put(self, value: AnyArray) -> None:
        self._room.acquire()
        self._inputs.put(value)

    def get(self) -> Any:
        """The next result, or None; what went wrong in the thread is raised here."""
        try:
            result = self._results.get_nowait()
        except queue.Empty:
            return None
        if isinstance(result, BaseException):
            raise result
        return result

    @staticmethod
    def _run(
        step: Callable[[Any], AnyArray],
        inputs: queue.SimpleQueue[AnyArray | None],
        results: queue.SimpleQueue[AnyArray | BaseException],
        room: threading.Semaphore,
    ) -> None:
        while (value := inputs.get()) is not None:
            try:
                result: AnyArray | BaseException = step(value)
            except Exception as error:  # belongs to the caller
                result = error
            if isinstance(result, BaseException) or result.shape[-1]:
                results.put(result)
            room.release()


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
    return codes
