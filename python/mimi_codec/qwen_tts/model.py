"""`Qwen3TTSTokenizerV2Model` with the methods of the class of that name in `qwen-tts`: tensors in and out.

Shapes: B batch, L samples, T frames, K codebooks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import torch

from .._torch import CodecModule, ScratchDirectory, outside_graphs, plain, tensor_out
from .._torch_state import read_state, write_state
from ..errors import AudioError, CodesError, InputTypeError
from ..qwen import QwenCodec
from .clips import Output, decode_clips, encode_clips, give, tokenizer_codec
from .facts import TokenizerFacts


class Qwen3TTSTokenizerV2Model(TokenizerFacts, CodecModule):
    """The 12 Hz tokenizer of Qwen3-TTS one level below `Qwen3TTSTokenizer`, whose `model` it is.

    Tensors may be on any device. They are copied to the CPU, and results come back on the device of the input.

    Args:
        codec: The loaded codec, of the kind "qwen3-tts".
        chunked: As in `Qwen3TTSTokenizer`.
        config: What `config` is.

    Raises:
        ConfigError: It is another codec.

    Example:
        >>> import torch
        >>> import mimi_codec
        >>> from mimi_codec.qwen_tts import Qwen3TTSTokenizerV2Model
        >>> from mimi_codec.synthetic import write_synthetic_family
        >>> model = Qwen3TTSTokenizerV2Model(mimi_codec.load(write_synthetic_family("tts", "qwen3-tts")))
        >>> (codes,) = model.encode(torch.zeros(1, 48_000)).audio_codes
        >>> codes.shape, model.decode(codes[None]).audio_values[0].shape
        (torch.Size([25, 16]), torch.Size([48000]))
    """

    main_input_name = "input_values"

    def __init__(self, codec: QwenCodec, *, chunked: bool = False, config: Any = None) -> None:
        super().__init__()
        self.codec = tokenizer_codec(codec)
        self.chunked, self.config = chunked, config
        self._files: ScratchDirectory | None = None
        self.eval()

    @outside_graphs
    def encode(
        self,
        input_values: torch.Tensor,
        padding_mask: torch.Tensor | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Encode clips.

        Args:
            input_values: Audio (B, L) of any float type.
            padding_mask: Which samples are there, (B, L); None takes all. It cuts the codes, and the samples are
                encoded whatever it says, as in `qwen-tts`.
            return_dict: False gives a tuple.

        Returns:
            An output with `audio_codes`, a list with the codes (T, K) int64 of each row.

        Raises:
            AudioError: The shape is wrong, or samples are NaN or infinite.
            InputTypeError: Not a tensor, or not of a float type.
        """
        if not isinstance(input_values, torch.Tensor) or not input_values.is_floating_point():
            got = getattr(input_values, "dtype", type(input_values).__name__)
            raise InputTypeError(f"input_values must be a torch.Tensor of a float type, got {got}")
        if input_values.dim() != 2 or not len(input_values):
            raise AudioError(f"input_values must have shape (B, L) with B >= 1, got {tuple(input_values.shape)}")
        samples = [input_values.shape[1]] * len(input_values)
        if padding_mask is not None:
            if padding_mask.shape != input_values.shape:
                shapes = f"{tuple(input_values.shape)}, got {tuple(padding_mask.shape)}"
                raise AudioError(f"padding_mask must have the shape of input_values, {shapes}")
            samples = padding_mask.bool().sum(dim=1).tolist()
        pcm = plain(input_values.detach().to("cpu", torch.float32)).numpy()
        codes = encode_clips(self.codec, pcm, samples)
        device = input_values.device
        return give(Output(audio_codes=[tensor_out(clip, device).contiguous() for clip in codes]), return_dict)

    @outside_graphs
    def decode(self, audio_codes: torch.Tensor, return_dict: bool | None = None) -> Any:
        """Decode clips.

        Args:
            audio_codes: Codes (B, T, K) of any integer type; rows are filled up with -1.
            return_dict: False gives a tuple.

        Returns:
            An output with `audio_values`, a list with the audio (T * frame_size,) of each row, in the module's float
            type.

        Raises:
            CodesError: The shape is wrong, or codes are out of range.
            InputTypeError: Not a tensor, or not of an integer type.
        """
        of_integers = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
        if not isinstance(audio_codes, torch.Tensor) or audio_codes.dtype not in of_integers:
            got = getattr(audio_codes, "dtype", type(audio_codes).__name__)
            raise InputTypeError(f"audio_codes must be a torch.Tensor of an integer type, got {got}")
        if audio_codes.dim() != 3 or not len(audio_codes):
            raise CodesError(f"audio_codes must have shape (B, T, K) with B >= 1, got {tuple(audio_codes.shape)}")
        audio = decode_clips(self.codec, audio_codes.detach().cpu().long().numpy(), chunked=self.chunked)
        values = [tensor_out(clip, audio_codes.device, self.dtype) for clip in audio]
        return give(Output(audio_values=values), return_dict)

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write the codec as `config.json` and `model.safetensors`, as `qwen-tts` stores it.

        Args:
            save_directory: The directory; it is made if it is not there.

        Raises:
            LoadError: The source files are gone, or the directory cannot be written.
        """
        self.codec.save(save_directory)

    def extra_repr(self) -> str:
        """The codec inside, for `print`.

        Returns:
            One line of text.
        """
        return repr(self.codec)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """The tensors of the codec under the names of `qwen-tts`."""
        destination.update({prefix + name: tensor for name, tensor in read_state(self.codec).items()})

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        *lists: list[str],
    ) -> None:
        state = {name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)}
        if state:
            files = write_state(state, json.dumps(self.codec.config))
            options = {name: getattr(self.codec, name) for name in ("threads", "dtype", "parts", "device")}
            self.codec, self._files = tokenizer_codec(files.path, **options), files
        elif strict:
            missing_keys.extend(prefix + name for name in read_state(self.codec))
