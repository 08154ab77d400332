"""`MimiModel` with the methods of moshi's class of that name.

Shapes: B batch, L samples, K active codebooks, T frames, D latent width.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import torch

from .._arrays import BoolArray, to_count
from .._torch import CodecModule, ScratchDirectory, audio_in, codes_in, outside_graphs, tensor_out
from ..errors import CodesError, ConfigError, InputTypeError, StreamError
from ..model import Mimi
from .results import Decoding, Encoding, QuantizedResult, StreamingState

# What moshi's language models read as a place without a code.
NO_TOKEN = -1


class MimiModel(CodecModule):
    """Mimi as moshi's `MimiModel`: the same methods on torch tensors, computed by this package.

    Tensors may be on any device, and results come back on the device of the input. Those on the GPU that the codec
    runs on stay there; others are copied to the CPU. Outside of `streaming`, a clip that is not a whole number of
    frames is padded with zeros, as moshi pads it.

    Args:
        codec: the loaded model.
        num_codebooks: how many codebooks `encode` gives.

    Raises:
        ConfigError: `num_codebooks` is outside its range.

    Example:
        >>> import torch
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.moshi import MimiModel
        >>> mimi = MimiModel(Mimi.demo(), num_codebooks=8)
        >>> with mimi.streaming(batch_size=1):
        ...     codes = mimi.encode(torch.zeros(1, 1, mimi.frame_size))
        >>> codes.shape
        torch.Size([1, 8, 1])
    """

    def __init__(self, codec: Mimi, num_codebooks: int = 8) -> None:
        super().__init__()
        self.codec = codec
        self._num_codebooks = self._checked(num_codebooks)
        self._streaming_state: StreamingState | None = None
        self._files: ScratchDirectory | None = None
        self.eval()

    # What it is

    @property
    def channels(self) -> int:
        """Audio channels: 1."""
        return 1

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return self.codec.sample_rate

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.codec.frame_rate

    @property
    def frame_size(self) -> int:
        """Samples per frame."""
        return self.codec.frame_size

    @property
    def encoder_frame_rate(self) -> float:
        """Positions per second of the codec's transformers."""
        return self.codec.frame_rate * self.codec.config.latent_stride

    @property
    def dimension(self) -> int:
        """Latent width D."""
        return self.codec.latent_dim

    @property
    def cardinality(self) -> int:
        """Entries of each codebook; codes are below this number."""
        return self.codec.codebook_size

    @property
    def total_codebooks(self) -> int:
        """Codebooks that the model has."""
        return self.codec.num_codebooks

    @property
    def num_codebooks(self) -> int:
        """Codebooks K that `encode` gives."""
        return self._num_codebooks

    def set_num_codebooks(self, n: int) -> None:
        """Choose how many codebooks `encode` gives.

        Args:
            n: the number.

        Raises:
            ConfigError: the model does not have so many, or the number is too small.
            StreamError: a stream has begun with fewer. Set it before streaming, or reset the streaming first.
        """
        count = self._checked(n)
        state = self._streaming_state
        if state is not None and state.encoder is not None and count > state.encoder.num_codebooks:
            raise StreamError(
                f"streaming began with {state.encoder.num_codebooks} codebooks, got {count}; reset it first"
            )
        self._num_codebooks = count

    # Codes, latents, audio

    @outside_graphs
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Audio to codes.

        While streaming, L must be a positive multiple of `frame_size`, and rows outside the execution mask give -1,
        moshi's "no token".

        Args:
            x: samples (B, 1, L), of any float type.

        Returns:
            Codes (B, K, T), int64.

        Raises:
            AudioError: the shape is wrong, or a sample is NaN or infinite.
            StreamError: while streaming, the length or the batch is wrong.
            InputTypeError: the input is not a tensor of a float type.
        """
        pcm = audio_in(x, "x", self.codec)
        state = self._streaming_state
        if state is None:
            return tensor_out(self.codec.encode(pcm, self._num_codebooks, padding="moshi"), x.device)
        self._check_rows(state, pcm.shape[0])
        if pcm.shape[-1] == 0 or pcm.shape[-1] % self.frame_size:
            raise StreamError(
                f"a streaming input must be a positive multiple of {self.frame_size} samples, got {pcm.shape[-1]}"
            )
        if state.encoder is None:
            state.encoder = self._encoder_stream(state.batch_size)
        codes = state.encoder.push(pcm, active=state.exec_mask)[:, : self._num_codebooks]
        if not state.exec_mask.any():  # shapes do not depend on the mask
            codes = np.full((*codes.shape[:2], pcm.shape[-1] // self.frame_size), NO_TOKEN)
        return tensor_out(codes, x.device)

    @outside_graphs
    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes to audio.

        While streaming, the codes of rows outside the execution mask are not read, and their audio is 0.

        Args:
            codes: (B, K, T), of any integer type; K from 1 to `total_codebooks`.

        Returns:
            Samples (B, 1, T * frame_size).

        Raises:
            CodesError: the shape is wrong, or a code is outside the codebooks.
            StreamError: while streaming, the batch is wrong.
            InputTypeError: the input is not a tensor of an integer type.
        """
        host = codes_in(codes, "codes", self.codec)
        state = self._streaming_state
        if state is None:
            self._refuse_missing(host)
            return tensor_out(self.codec.decode(host), codes.device, self.dtype)
        self._check_rows(state, host.shape[0])
        self._refuse_missing(host[torch.from_numpy(state.exec_mask)])
        if state.decoder is None:
            state.decoder = self._decoder_stream(state.batch_size)
        audio = state.decoder.push(host, active=state.exec_mask)
        if not state.exec_mask.any():
            audio = np.zeros((host.shape[0], 1, host.shape[-1] * self.frame_size), np.float32)
        return tensor_out(audio, codes.device, self.dtype)

    @outside_graphs
    def encode_to_latent(self, x: torch.Tensor, quantize: bool = True) -> torch.Tensor:
        """Audio to latents.

        Args:
            x: samples (B, 1, L), of any float type.
            quantize: whether the latents are those after the quantizer, or before it.

        Returns:
            Latents (B, D, T).

        Raises:
            AudioError: the shape is wrong, or a sample is NaN or infinite.
            StreamError: `quantize=False` while streaming, or as in `encode`.
            InputTypeError: the input is not a tensor of a float type.
        """
        if quantize:
            return self.decode_latent(self.encode(x))
        if self._streaming_state is not None:
            raise StreamError("encode_to_latent(quantize=False) works on whole clips, got a call while streaming")
        latents = self.codec.encode_latents(audio_in(x, "x", self.codec), padding="moshi")
        return tensor_out(latents, x.device, self.dtype)

    @outside_graphs
    def decode_latent(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes to the latents that they stand for.

        While streaming, what `encode` gave for rows outside the execution mask stands for 0.

        Args:
            codes: (B, K, T), of any integer type.

        Returns:
            Latents (B, D, T).

        Raises:
            CodesError: the shape is wrong, or a code is outside the codebooks.
            InputTypeError: the input is not a tensor of an integer type.
        """
        host = codes_in(codes, "codes")
        state = self._streaming_state
        idle = torch.zeros(host.shape[0], dtype=torch.bool)
        if state is not None and host.shape[0] == state.batch_size:
            idle = torch.from_numpy(~state.exec_mask) & (host == NO_TOKEN).flatten(1).all(1)
        read = torch.where(idle[:, None, None], 0, host)
        self._refuse_missing(read)
        latents = self.codec.codes_to_latents(read)
        latents[idle.numpy()] = 0
        return tensor_out(latents, codes.device, self.dtype)

    def _refuse_missing(self, codes: torch.Tensor) -> None:
        """The codec takes frames of only -1 at the end of a row as missing, which moshi does not have."""
        if (codes == NO_TOKEN).any():
            raise CodesError(f"codes must be between 0 and {self.cardinality - 1}, got {NO_TOKEN}")

    @outside_graphs
    def forward(self, x: torch.Tensor) -> QuantizedResult:
        """Encode and decode.

        Args:
            x: samples (B, 1, L), of any float type.

        Returns:
            The audio (B, 1, L) and the codes (B, K, T).

        Raises:
            AudioError: the shape is wrong, or a sample is NaN or infinite.
            StreamError: while streaming, the length or the batch is wrong.
            InputTypeError: the input is not a tensor of a float type.
        """
        codes = self.encode(x)
        kilobits = self.codec.bits_per_second(self._num_codebooks) / 1000
        return QuantizedResult(self.decode(codes)[..., : x.shape[-1]], codes, torch.tensor(kilobits).to(x))

    # Streaming

    @property
    def is_streaming(self) -> bool:
        """Whether calls continue the clips of the calls before."""
        return self._streaming_state is not None

    def streaming(self, batch_size: int) -> ExitStack:
        """Stream clips side by side, until the returned context is left.

        Args:
            batch_size: B, the number of clips.

        Returns:
            A context manager that ends the streaming.

        Raises:
            StreamError: it is streaming already.
            ConfigError: `batch_size` is below 1.
        """
        if self._streaming_state is not None:
            raise StreamError("it is streaming already; leave that context first")
        rows = to_count(batch_size, "batch_size")
        self._streaming_state = StreamingState(rows, np.ones(rows, np.bool_))
        stack = ExitStack()
        stack.callback(self._stop_streaming)
        return stack

    def streaming_forever(self, batch_size: int) -> None:
        """Stream clips side by side from now on.

        Args:
            batch_size: B, the number of clips.

        Raises:
            StreamError: it is streaming already.
            ConfigError: `batch_size` is below 1.
        """
        self.streaming(batch_size)

    @outside_graphs
    def reset_streaming(self, reset_mask: torch.Tensor | None = None) -> None:
        """Begin new clips, and execute their rows again.

        Args:
            reset_mask: a bool tensor (B,): the rows to reset. None means all.

        Raises:
            StreamError: it is not streaming, or the mask has a wrong shape.
            InputTypeError: the mask is not a bool tensor.
        """
        state = self._streaming()
        if reset_mask is None:
            self._streaming_state = StreamingState(state.batch_size, np.ones(state.batch_size, np.bool_))
            return
        mask = self._mask(state, reset_mask, "reset_mask")
        for stream in (state.encoder, state.decoder):
            if stream is not None:
                stream.reset(mask)
        state.exec_mask = state.exec_mask | mask

    @outside_graphs
    def set_exec_mask(self, exec_mask: torch.Tensor) -> None:
        """Choose the rows that later calls execute. The other rows stay as they are.

        Args:
            exec_mask: a bool tensor (B,).

        Raises:
            StreamError: it is not streaming, or the mask has a wrong shape.
            InputTypeError: the mask is not a bool tensor.
        """
        state = self._streaming()
        state.exec_mask = self._mask(state, exec_mask, "exec_mask")

    def get_streaming_state(self) -> dict[str, Any]:
        """The state of all rows.

        Returns:
            What `set_streaming_state` takes.
        """
        return {"": self._streaming_state}

    def set_streaming_state(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Args:
            state: what `get_streaming_state` gave.

        Raises:
            StreamError: it is something else.
        """
        if set(state) != {""} or not isinstance(state[""], StreamingState | None):
            raise StreamError(f"expected what get_streaming_state gave, got entries {sorted(state)}")
        self._streaming_state = state[""]

    def _encoder_stream(self, rows: int) -> Encoding:
        return self.codec.encoder_stream(rows, self._num_codebooks)

    def _decoder_stream(self, rows: int) -> Decoding:
        return self.codec.decoder_stream(rows)

    def _stop_streaming(self) -> None:
        self._streaming_state = None

    def _streaming(self) -> StreamingState:
        if self._streaming_state is None:
            raise StreamError("it is not streaming; call streaming() or streaming_forever() first")
        return self._streaming_state

    def _checked(self, num_codebooks: int) -> int:
        least, most = self.codec.num_semantic_codebooks, self.codec.num_codebooks
        count = to_count(num_codebooks, "num_codebooks", most)
        if count < least:
            raise ConfigError(f"num_codebooks must be between {least} and {most}, got {count}")
        return count

    @staticmethod
    def _check_rows(state: StreamingState, rows: int) -> None:
        if rows != state.batch_size:
            raise StreamError(f"streaming began with a batch of {state.batch_size}, got a batch of {rows}")

    @staticmethod
    def _mask(state: StreamingState, mask: torch.Tensor, what: str) -> BoolArray:
        if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
            raise InputTypeError(f"{what} must be a bool tensor, got {getattr(mask, 'dtype', type(mask).__name__)}")
        if mask.shape != (state.batch_size,):
            raise StreamError(f"{what} must have shape ({state.batch_size},), got {tuple(mask.shape)}")
        return mask.cpu().numpy().copy()
