"""The codecs of Qwen: Code2Wav of Qwen3-Omni, and the 12 Hz tokenizer of Qwen3-TTS."""

from __future__ import annotations

from typing import SupportsFloat, SupportsIndex

import numpy as np

from ._arrays import ArrayInput, Float32Array, to_codes, to_count
from ._options import Stop
from .codec import Loaded
from .errors import CodesError, ConfigError
from .token_codec import TokenCodec

__all__ = ["QwenCodec"]

KINDS = ("code2wav", "qwen3-tts")


class QwenCodec(TokenCodec):
    """A decoder of Qwen, with an encoder in Qwen3-TTS. Made by `mimi_codec.load`.

    `decode` and streams give the whole clip exactly, however long it is. The references decode in chunks, whose seams
    are not exact: `chunked_decode` does the same, for comparisons.

    Example:
        >>> import numpy as np
        >>> import mimi_codec
        >>> from mimi_codec.synthetic import write_synthetic_family
        >>> codec = mimi_codec.load(write_synthetic_family("wave", "code2wav"))
        >>> codec.kind, codec.num_codebooks, codec.delay
        ('code2wav', 16, 555)
        >>> codec.decode(np.zeros((16, 10), np.int64)).shape
        (18645,)

    Raises:
        TypeError: `QwenCodec()` is called. It holds no weights.
    """

    __slots__ = ()

    @classmethod
    def _check_kind(cls, loaded: Loaded) -> None:
        if loaded.core.kind not in KINDS:
            raise ConfigError(f"expected a codec of Qwen, got a codec of the kind {loaded.core.kind!r}")

    def chunked_decode(
        self,
        codes: ArrayInput,
        *,
        chunk_size: SupportsIndex = 300,
        left_context_size: SupportsIndex = 25,
        stop: Stop | None = None,
        timeout: SupportsFloat | None = None,
    ) -> Float32Array:
        """Codes to audio chunk by chunk, as the references do it: (K, T) to (L,), (B, K, T) to (B, 1, L), float32.

        Each chunk is decoded by itself behind some frames before it, whose samples are dropped. What lies further back
        is not seen, so seams differ from `decode`; and Code2Wav loses its first `delay` samples of each chunk.

        Args:
            codes: any integer type; all rows have all frames.
            chunk_size: frames of a chunk.
            left_context_size: frames before a chunk that are decoded with it.
            stop, timeout: as in `decode`; the timeout is that of each chunk.

        Returns:
            The samples: L = T * frame_size - delay * ceil(T / chunk_size).

        Raises:
            CodesError: wrong shape, too few or too many codebooks, or a code out of range.
            ConfigError: a size out of range, or a model without decoder.
            InputTypeError: not an array, not of an integer type, or sizes that are not integers.
            NumericError: values overflow, because weights are too large.
            OutOfMemoryError: there is not enough memory.
            StoppedError: `stop` said so.
            TimedOutError: the timeout has passed.

        Example:
            >>> import numpy as np
            >>> import mimi_codec
            >>> from mimi_codec.synthetic import write_synthetic_family
            >>> codec = mimi_codec.load(write_synthetic_family("wave", "code2wav"))
            >>> codec.chunked_decode(np.zeros((16, 10), np.int64), chunk_size=5, left_context_size=2).shape
            (18090,)
        """
        size = to_count(chunk_size, "chunk_size")
        context = to_count(left_context_size, "left_context_size", least=0)
        rows, batched = to_codes(codes)
        frames = rows.shape[2]
        if frames and rows.size and rows.min() < 0:
            raise CodesError(f"codes must be at least 0 in all frames of all rows, got {int(rows.min())}")
        chunks: list[Float32Array] = []
        for start in range(0, frames, size):
            # As the references have it: less context than was asked for only while there is no more.
            before = context if start > context else start
            pcm = self.decode(rows[:, :, start - before : start + size], stop=stop, timeout=timeout)
            chunks.append(pcm[:, :, before * self.frame_size :])
        pcm = np.concatenate(chunks, axis=2) if chunks else self.decode(rows, stop=stop, timeout=timeout)
        return pcm if batched else pcm[0, 0]
