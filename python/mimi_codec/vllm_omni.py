"""A codec with the methods that vLLM-Omni's full-duplex service calls: one frame of every slot a call.

They are those of its `PersonaPlexMimiCodec`: a row of a batch for each conversation, which goes on or rests.
"""

from __future__ import annotations

import os
from typing import Any, SupportsIndex

import numpy as np
import torch

from ._arrays import to_count
from ._devices import Device
from ._torch import audio_in, codes_in, plain, tensor_out
from .errors import AudioError, CodesError, InputTypeError, StreamError
from .model import Mimi
from .streams import DecoderStream, EncoderStream

__all__ = ["FrameCodec"]


class FrameCodec:
    """A `Mimi` for conversations in slots, in place of vLLM-Omni's `PersonaPlexMimiCodec`.

    Tensors come on any device, and results go back to `device`.

    Args:
        codec: a `Mimi`, or what `Mimi.from_pretrained` takes.
        num_codebooks: codes K of a frame.
        device: where results go.
        threads: threads one call may use, where the codec is loaded here.
        codec_device: where it then runs, as in `Mimi.from_pretrained`.

    Raises:
        ConfigError: more codebooks than the codec has.
        DeviceError: `codec_device` is not there, or something that it needs is missing.
        LoadError: there is no such codec.

    Example:
        >>> import torch
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.vllm_omni import FrameCodec
        >>> codec = FrameCodec(Mimi.demo())
        >>> codec.streaming_init(4)
        >>> codes = codec.encode_frame(torch.zeros(4, 1920))
        >>> codes.shape, codec.decode_frame(codes).shape
        (torch.Size([4, 8]), torch.Size([4, 1920]))
    """

    def __init__(
        self,
        codec: Mimi | str | os.PathLike[str],
        *,
        num_codebooks: SupportsIndex = 8,
        device: str | torch.device = "cpu",
        threads: int | None = None,
        codec_device: Device = "cpu",
    ) -> None:
        if not isinstance(codec, Mimi):
            codec = Mimi.from_pretrained(codec, threads=threads, device=codec_device)
        self.codec = codec
        self.num_codebooks = to_count(num_codebooks, "num_codebooks", self.codec.num_codebooks)
        self.device = torch.device(device)
        self._encoder: EncoderStream | None = None
        self._decoder: DecoderStream | None = None

    @property
    def frame_size(self) -> int:
        """Samples per frame."""
        return self.codec.frame_size

    def streaming_init(self, batch_size: SupportsIndex, decode: bool = True) -> None:
        """Begin with new slots.

        Args:
            batch_size: slots B.
            decode: whether they also decode.

        Raises:
            ConfigError: no slots.
            OutOfMemoryError: there is not enough memory for so many.
        """
        slots = to_count(batch_size, "batch_size")
        encoder = self.codec.encoder_stream(slots, self.num_codebooks)
        self._decoder = self.codec.decoder_stream(slots) if decode else None
        self._encoder = encoder

    def reset_streaming(self) -> None:
        """Make all slots new.

        Raises:
            StreamError: `streaming_init` was not called.
        """
        self._encoding().reset()
        if self._decoder is not None:
            self._decoder.reset()

    def reset_slot(self, b: SupportsIndex) -> None:
        """Make a slot new, for the next conversation; the others go on.

        Args:
            b: its number, from 0.

        Raises:
            StreamError: there is no such slot.
        """
        encoder = self._encoding()
        slot = to_count(b, "b", least=0)
        if slot >= encoder.batch_size:
            raise StreamError(f"expected a slot below {encoder.batch_size}, got {slot}")
        mask = np.arange(encoder.batch_size) == slot
        encoder.reset(mask)
        if self._decoder is not None:
            self._decoder.reset(mask)

    def encode_frame(self, pcm: torch.Tensor, active: torch.Tensor | None = None) -> torch.Tensor:
        """One frame of audio of every slot to codes.

        Args:
            pcm: (B, frame_size) of a float type.
            active: bool (B,): slots that go on. The others stay as they are; their audio is not read.

        Returns:
            Codes (B, K) int64; 0 in slots that are not active.

        Raises:
            AudioError: another shape, or samples of an active slot that are not finite.
            InputTypeError: not a tensor, or of another type.
            StreamError: `streaming_init` was not called, or another number of slots.
        """
        encoder, mask = self._encoding(), self._mask(active)
        if not isinstance(pcm, torch.Tensor) or pcm.dim() != 2 or pcm.shape[1] != self.frame_size:
            raise AudioError(f"pcm must be a tensor (B, {self.frame_size}), got {_shape(pcm)}")
        audio = audio_in(pcm[:, None], "pcm").numpy()
        codes = encoder.push(audio if mask is None else np.where(mask[:, None, None], audio, 0), active=mask)
        return tensor_out(np.maximum(codes[:, :, 0], 0) if codes.shape[2] else _none(codes), self.device)

    def decode_frame(self, codes: torch.Tensor, active: torch.Tensor | None = None) -> torch.Tensor:
        """One frame of codes of every slot to audio: (B, K) to (B, frame_size), as `decode_frames`.

        Args:
            codes: (B, K) of an integer type.
            active: bool (B,): slots that go on.

        Returns:
            Samples (B, frame_size) float32; 0 in slots that are not active.

        Raises:
            CodesError: another shape, or a code of an active slot out of range.
            InputTypeError: not a tensor, or of another type.
            StreamError: `streaming_init` was not called, or without decoding, or another number of slots.
        """
        if not isinstance(codes, torch.Tensor) or codes.dim() != 2:
            raise CodesError(f"codes must be a tensor (B, K), got {_shape(codes)}")
        return self.decode_frames(codes[:, :, None], active)

    def decode_frames(self, codes: torch.Tensor, active: torch.Tensor | None = None) -> torch.Tensor:
        """Frames of codes of every slot to audio.

        Args:
            codes: (B, K, F) of an integer type.
            active: bool (B,): slots that go on. The others stay as they are; their codes are not read.

        Returns:
            Samples (B, F * frame_size) float32; 0 in slots that are not active.

        Raises:
            CodesError: another shape, or a code of an active slot out of range.
            InputTypeError: not a tensor, or of another type.
            StreamError: `streaming_init` was not called, or without decoding, or another number of slots.
        """
        self._encoding()
        if self._decoder is None:
            raise StreamError("expected slots that decode, got streaming_init(decode=False)")
        rows, mask = codes_in(codes, "codes").numpy(), self._mask(active)
        lengths = np.full(rows.shape[0], rows.shape[2])
        return tensor_out(self._decoder.push(rows, lengths=lengths, active=mask)[:, 0], self.device)

    def capture_cuda_graphs(self, *arguments: Any, **options: Any) -> None:
        """Nothing: a codec on the CPU has no graphs, and one on a GPU records its own.

        Args:
            arguments, options: what the service gives.
        """

    def _encoding(self) -> EncoderStream:
        if self._encoder is None:
            raise StreamError("expected streaming_init before the first frame")
        return self._encoder

    def _mask(self, active: torch.Tensor | None) -> Any:
        if active is None:
            return None
        if not isinstance(active, torch.Tensor) or active.dtype != torch.bool:
            raise InputTypeError(f"active must be a tensor of bool, got {_shape(active)}")
        if active.shape != (self._encoding().batch_size,):
            raise StreamError(f"active must have shape ({self._encoding().batch_size},), got {tuple(active.shape)}")
        return plain(active.detach().cpu()).numpy()


def _shape(value: Any) -> str:
    return f"{tuple(value.shape)} of {value.dtype}" if isinstance(value, torch.Tensor) else type(value).__name__


def _none(codes: Any) -> Any:
    """Codes of a step in which no slot is active."""
    return np.zeros(codes.shape[:2], np.int64)
