"""`Qwen3TTSTokenizer` with the methods of the class of that name in `qwen-tts`.

Shapes: B batch, L samples, T frames, K codebooks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import Float32Array
from ..qwen import QwenCodec
from ..streams import DecoderStream, EncoderStream
from .clips import Output, codes_of, decode_clips, encode_clips, filled_up, frames_of, give, tokenizer_codec
from .facts import TokenizerFacts
from .sounds import clips_of, load_file

if TYPE_CHECKING:
    import torch

    from .model import Qwen3TTSTokenizerV2Model

# Arguments of Transformers' `from_pretrained` that say how PyTorch is to hold and run a model.
OF_PYTORCH = frozenset(
    ("attn_implementation", "device_map", "dtype", "low_cpu_mem_usage", "torch_dtype", "trust_remote_code")
)


class Qwen3TTSTokenizer(TokenizerFacts):
    """The 12 Hz tokenizer of Qwen3-TTS, called as in `qwen-tts`. It can be the `speech_tokenizer` of a loaded model.

    The codec runs in float32 where it was loaded. PyTorch is not needed: where it is not installed, codes are NumPy
    arrays. Clips are decoded exactly, however long they are.

    Args:
        codec: The loaded codec, of the kind "qwen3-tts".
        chunked: Decode in chunks of 300 frames behind 25, as `qwen-tts` does; see `QwenCodec.chunked_decode`. It
            differs only in clips of more than 300 frames (24 s).

    Raises:
        ConfigError: It is another codec.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.qwen_tts import Qwen3TTSTokenizer
        >>> from mimi_codec.synthetic import write_synthetic_family
        >>> tokenizer = Qwen3TTSTokenizer.from_pretrained(write_synthetic_family("tts", "qwen3-tts"))
        >>> encoded = tokenizer.encode(np.zeros(48_000, np.float32), sr=24_000)
        >>> tuple(encoded.audio_codes[0].shape)
        (25, 16)
        >>> (audio,), sample_rate = tokenizer.decode(encoded)
        >>> audio.shape, sample_rate
        ((48000,), 24000)
    """

    def __init__(self, codec: QwenCodec, *, chunked: bool = False) -> None:
        self.codec = tokenizer_codec(codec)
        self.chunked = chunked
        self._files: Any = None  # of weights that were in memory
        self._model: Qwen3TTSTokenizerV2Model | None = None
        self._config: Any = None

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        chunked: bool = False,
        **options: Any,
    ) -> Qwen3TTSTokenizer:
        """Load a tokenizer.

        Args:
            pretrained_model_name_or_path: A path or repository of the tokenizer, or of a model that holds it in its
                folder `speech_tokenizer`.
            chunked: As in the class.
            **options: Those of `mimi_codec.load`. `device_map`, `dtype`, `attn_implementation` and the like, which
                `qwen-tts` hands on to PyTorch, are taken and have no effect; for the dtype of the weights load a codec
                and give it to the class.

        Returns:
            The tokenizer.

        Raises:
            LoadError: The files are missing, cannot be fetched or are corrupt.
            ConfigError: It is another codec, or the configuration or an option is not supported.

        Example:
            >>> from mimi_codec.qwen_tts import Qwen3TTSTokenizer
            >>> Qwen3TTSTokenizer.from_pretrained("./nothing-there", device_map="cpu")
            Traceback (most recent call last):
            mimi_codec.errors.LoadError: ...
        """
        ours = {name: value for name, value in options.items() if name not in OF_PYTORCH}
        return cls(tokenizer_codec(pretrained_model_name_or_path, **ours), chunked=chunked)

    # Whole clips

    def encode(self, audios: Any, sr: int | None = None, return_dict: bool = True) -> Any:
        """Encode clips.

        Args:
            audios: One clip or a list of clips: arrays (L,), or (L, channels), which are averaged; or paths of sound
                files, or sound files in base64. A URL is not fetched.
            sr: Samples per second of arrays, which are resampled where it is another than the codec's.
            return_dict: False gives a tuple.

        Returns:
            An output with `audio_codes`, a list with codes (T, K) int64 of each clip, T = ceil(L / frame_size): tensors
            on `device`, or NumPy arrays where PyTorch is not installed. As in `qwen-tts`, clips of a list are filled up
            with zeros to the longest, which the last frame of a shorter one hears.

        Raises:
            AudioError: A wrong shape, samples that are NaN or infinite, or a file that cannot be read as audio.
            ConfigError: Arrays without `sr`.
            InputTypeError: Neither arrays nor files, or some of both.
            OSError: A file cannot be opened or read.
        """
        clips = clips_of(audios, sr, self.codec.sample_rate)
        lengths = [len(clip) for clip in clips]
        codes = []
        if clips:
            pcm = np.zeros((len(clips), max(lengths)), np.float32)
            for row, clip in zip(pcm, clips, strict=True):
                row[: len(clip)] = clip
            codes = encode_clips(self.codec, pcm, lengths)
        return give(Output(audio_codes=self._tensors(codes)), return_dict)

    def decode(self, encoded: Any) -> tuple[list[Float32Array], int]:
        """Decode clips.

        Args:
            encoded: What `encode` gives, a dict with `audio_codes`, or a list of such dicts, one for each clip. Codes
                are (T, K), or (B, T, K) for a batch, whose rows are filled up with -1: tensors on any device or
                arrays.

        Returns:
            The audio (L,) float32 of each clip, L = T * frame_size, and the samples per second.

        Raises:
            CodesError: A wrong shape, or codes out of range.
            InputTypeError: It is something else, or codes are not integers.
        """
        clips = codes_of(encoded)
        audio = decode_clips(self.codec, filled_up(clips), chunked=self.chunked) if clips else []
        return audio, self.codec.sample_rate

    def load_audio(self, x: str | os.PathLike[str], target_sr: int) -> Float32Array:
        """Read a sound file as mono samples.

        Args:
            x: A path, or a sound file in base64, as text or as a data URL.
            target_sr: Samples per second of the result.

        Returns:
            The samples (L,) float32.

        Raises:
            AudioError: It cannot be read as audio, or is a URL that would have to be fetched.
            OSError: The file cannot be opened or read.
        """
        return load_file(x, target_sr)

    # Streams, which `qwen-tts` does not have

    def decoder_stream(self, batch_size: int = 1) -> DecoderStream:
        """A new stream that turns codes into audio as they come: that of the codec, whose codes are (K, T).

        Args:
            batch_size: Clips at once.

        Returns:
            The stream. Give it frames (T, K) of this class as `stream.push(frames.T)`.
        """
        return self.codec.decoder_stream(batch_size)

    def encoder_stream(self, batch_size: int = 1) -> EncoderStream:
        """A new stream that turns audio into codes as it comes: that of the codec, whose codes are (K, T).

        Args:
            batch_size: Clips at once.

        Returns:
            The stream.
        """
        return self.codec.encoder_stream(batch_size)

    def decode_stream(self, frames: Iterable[Any]) -> Iterator[Float32Array]:
        """Decode one clip as it comes.

        The pieces one after another are the clip that `decode` gives, bit for bit, however it is cut.

        Args:
            frames: Codes (n, K) of the next frames, or (K,) of the next one: tensors on any device or arrays.

        Yields:
            The audio (n * frame_size,) float32 of each.

        Raises:
            CodesError: A wrong shape, or codes out of range.
            InputTypeError: Codes are not integers.
        """
        stream = self.codec.decoder_stream()
        for codes in frames:
            yield stream.push(frames_of(codes).T)

    # What it is

    @property
    def model(self) -> Qwen3TTSTokenizerV2Model:
        """The codec one level down, with tensors in and out; needs PyTorch."""
        if self._model is None:
            from .model import Qwen3TTSTokenizerV2Model

            self._model = Qwen3TTSTokenizerV2Model(self.codec, chunked=self.chunked, config=self.config)
            self._model._files = self._files
        return self._model

    @property
    def config(self) -> Any:
        """The configuration: of the tokenizer that this one took the place of, or made from that of the codec."""
        if self._config is None:
            text = json.dumps(self.codec.config)
            self._config = json.loads(text, object_hook=lambda fields: SimpleNamespace(**fields))
        return self._config

    @property
    def device(self) -> torch.device | str:
        """Where codes are returned: where `model` was moved to. The codec runs on the CPU."""
        return "cpu" if self._model is None else self._model.device

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.codec!r})"

    def _tensors(self, codes: list[Any]) -> list[Any]:
        try:
            import torch
        except ImportError:
            return codes
        return [torch.from_numpy(np.ascontiguousarray(clip)).to(self.device) for clip in codes]
