"""`MimiModel` with the surface of Transformers' class of that name.

Shapes: B batch, L samples, K codebooks, T frames.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Literal, cast

import numpy as np
import torch
from transformers import GenerationConfig, MimiConfig
from transformers.models.mimi.modeling_mimi import (
    MimiConv1dPaddingCache,
    MimiDecoderOutput,
    MimiEncoderOutput,
    MimiOutput,
)

from .._arrays import Int64Array
from .._options import choice
from .._torch import CodecModule, ScratchDirectory, audio_in, codes_in, tensor_out
from ..errors import AudioError, ConfigError, StreamError
from ..model import Mimi
from ..streams import DecoderStream, EncoderStream
from .caches import StreamCache, take_stream
from .weights import load_state, read_state

InvalidCodes = Literal["raise", "end"]
INVALID_CODES = ("raise", "end")

# Arguments of Transformers' methods that ask for what a codec outside PyTorch does not have.
NOT_GIVEN = ("output_attentions", "output_hidden_states")


class MimiModel(CodecModule):
    """Mimi as Transformers' `MimiModel`: the same methods, arguments and outputs, computed by this package.

    It is an `nn.Module` without parameters to train, so it can be assigned to a model's `codec_model` or
    `audio_encoder`. Tensors may be of any float or integer type on any device; they are copied to the CPU, and results
    come back on the device of the input. Streams are exact: a cache object that is passed on from call to call carries
    the whole state, for decoding too.

    Args:
        codec: the loaded model.
        config: Transformers' configuration; made from that of `codec` if not given.
        invalid_codes: what `decode` does with a frame that holds ids outside the codebooks. "raise" refuses it, "end"
            ends the audio of that row before it.
    """

    main_input_name = "input_values"

    def __init__(self, codec: Mimi, config: MimiConfig | None = None, *, invalid_codes: InvalidCodes = "raise") -> None:
        super().__init__()
        self.codec = codec
        self.config = config if config is not None else MimiConfig(**codec.config.to_dict())
        self.invalid_codes = choice("invalid_codes", invalid_codes, INVALID_CODES)
        self.generation_config = GenerationConfig.from_model_config(self.config)
        # What speech-to-text models look at to lay out a padding cache. Ours carries a stream, so it needs no layers
        # but the last.
        downsample = SimpleNamespace(padding_total=2, pad_mode="replicate", in_channels=codec.latent_dim)
        seanet = SimpleNamespace(_conv1d_layer_names=[])
        self.encoder = SimpleNamespace(encoder_seanet=seanet, _conv1d_layer_names=[], downsample=downsample)
        self.downsample = downsample
        self.bits_per_codebook = int(np.log2(codec.codebook_size))
        self._files: ScratchDirectory | None = None
        self.eval()

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str], **options: Any) -> MimiModel:
        """Load a model; `options` are those of `mimi_codec.Mimi.from_pretrained`."""
        return cls(Mimi.from_pretrained(name_or_path, **options))

    @classmethod
    def from_state_dict(
        cls,
        state: Mapping[str, torch.Tensor],
        config: MimiConfig,
        *,
        threads: int | None = None,
        invalid_codes: InvalidCodes = "raise",
    ) -> MimiModel:
        """From the tensors of a Transformers model in memory or on disk.

        Raises `WeightsError` where a tensor is missing, misshapen or surplus, and `ConfigError` for a configuration
        that is not supported.
        """
        codec, files = load_state(state, config, threads)
        model = cls(codec, config, invalid_codes=invalid_codes)
        model._files = files
        return model

    # Whole clips and streams

    def encode(
        self,
        input_values: torch.Tensor,
        padding_mask: torch.Tensor | None = None,
        num_quantizers: int | None = None,
        encoder_past_key_values: Any = None,
        padding_cache: Any = None,
        use_streaming: bool | None = None,
        return_dict: bool | None = None,
        **options: Any,
    ) -> Any:
        """Audio (B, 1, L) to `audio_codes` (B, K, T), int64.

        With a cache, or `use_streaming=True`, the input continues the clip of that cache: frames are given as they
        become whole, whatever the length of the input, and samples left over wait for the next call. Pass the returned
        `padding_cache` on, to a later call with at most as many codebooks as the first. `padding_mask` is ignored, as
        Transformers ignores it.

        Raises `AudioError`, `ConfigError` for the number of codebooks, `StreamError` for a cache that does not fit.
        """
        self._check(options, allowed=())
        count = self._codebooks(num_quantizers)
        pcm = audio_in(input_values, "input_values")
        if use_streaming is None:
            use_streaming = bool(self.config.use_streaming)
        if use_streaming and padding_cache is None:
            padding_cache = self._new_padding_cache()
        if use_streaming and encoder_past_key_values is None:
            encoder_past_key_values = StreamCache(self.codec.config.latent_stride)
        if padding_cache is None and encoder_past_key_values is None:
            codes = self.codec.encode(pcm, count)
        else:
            codes = self._encode_stream(pcm, count, padding_cache, encoder_past_key_values)
        output: Any = MimiEncoderOutput(
            audio_codes=cast("torch.LongTensor", tensor_out(codes, input_values.device)),
            encoder_past_key_values=encoder_past_key_values if use_streaming else None,
            padding_cache=padding_cache,
        )
        return self._output(output, return_dict)

    def decode(
        self,
        audio_codes: torch.Tensor,
        padding_mask: torch.Tensor | None = None,
        decoder_past_key_values: Any = None,
        return_dict: bool | None = None,
        **options: Any,
    ) -> Any:
        """Codes (B, K, T) to `audio_values` (B, 1, T * frame_size) in the module's float type.

        With `decoder_past_key_values`, or `use_cache` here or in the configuration, the codes continue the clip of that
        cache, exactly: pieces decoded one after another are the clip decoded at once. A `padding_mask` shorter than the
        audio trims it.

        Raises `CodesError` for a wrong shape or an id outside the codebooks (but see `invalid_codes`), `StreamError`
        for a cache that does not fit.
        """
        self._check(options, allowed=("use_cache",))
        codes = codes_in(audio_codes, "audio_codes")
        lengths = None
        if self.invalid_codes == "end":
            lengths = self._valid_frames(codes)
            codes = codes[:, :, : int(lengths.max())]
        use_cache = options.get("use_cache")
        if use_cache is None:
            use_cache = bool(self.config.use_cache)
        if decoder_past_key_values is None and not use_cache:
            audio = self.codec.decode(codes, lengths=lengths)
        else:
            if decoder_past_key_values is None:
                decoder_past_key_values = StreamCache(self.codec.config.latent_stride)
            rows = codes.shape[0]
            stream = take_stream(DecoderStream, rows, lambda: self.codec.decoder_stream(rows), decoder_past_key_values)
            audio = stream.push(codes)
        values = tensor_out(audio, audio_codes.device, self.dtype)
        if padding_mask is not None:
            values = values[..., : padding_mask.shape[-1]]
        return self._output(
            MimiDecoderOutput(
                audio_values=values, decoder_past_key_values=decoder_past_key_values if use_cache else None
            ),
            return_dict,
        )

    def forward(
        self,
        input_values: torch.Tensor,
        padding_mask: torch.Tensor | None = None,
        num_quantizers: int | None = None,
        audio_codes: torch.Tensor | None = None,
        encoder_past_key_values: Any = None,
        decoder_past_key_values: Any = None,
        return_dict: bool | None = None,
        **options: Any,
    ) -> Any:
        """Encode and decode: `audio_codes` (B, K, T) and `audio_values` as long as the input or the mask.

        Raises what `encode` and `decode` do.
        """
        self._check(options, allowed=("use_cache",))
        length = (input_values if padding_mask is None else padding_mask).shape[-1]
        if audio_codes is None:
            encoded = self.encode(input_values, None, num_quantizers, encoder_past_key_values, return_dict=True)
            audio_codes = encoded.audio_codes
        decoded = self.decode(audio_codes, None, decoder_past_key_values, return_dict=True, **options)
        return self._output(
            MimiOutput(
                audio_codes=cast("torch.LongTensor", audio_codes),
                audio_values=decoded.audio_values[..., :length],
                encoder_past_key_values=encoder_past_key_values,
                decoder_past_key_values=decoded.decoder_past_key_values,
            ),
            return_dict,
        )

    # Lengths

    def get_encoded_length(self, input_length: int | torch.Tensor) -> torch.Tensor:
        """Frames of a clip of so many samples: ceil(L / frame_size), as an int64 tensor of the same shape."""
        lengths = torch.as_tensor(input_length)
        if lengths.is_floating_point() or lengths.dtype == torch.bool:
            raise AudioError(f"input_length must be of an integer type, got {lengths.dtype}")
        return -(-lengths.long() // self.codec.frame_size)

    def get_audio_codes_mask(self, padding_mask: torch.Tensor, padding_side: str = "right") -> torch.Tensor:
        """A mask of samples (B, L) to the mask of their frames (B, T), bool; T is that of the longest row."""
        choice("padding_side", padding_side, ("right", "left"))
        frames = self.get_encoded_length(padding_mask.sum(dim=-1))
        mask = torch.arange(int(frames.max()), device=frames.device) < frames[:, None]
        return mask if padding_side == "right" else mask.flip(dims=[-1])

    # Weights, as part of the model this one sits in

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """The codec's tensors as they are on disk, so that checkpoints of the model around it stay whole."""
        destination.update({prefix + name: tensor for name, tensor in read_state(self.codec).items()})

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        state = {name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)}
        if state:
            self.codec, self._files = load_state(state, self.config, self.codec.threads)
        elif strict:
            missing_keys.append(prefix + "quantizer")

    def extra_repr(self) -> str:
        """The codec inside."""
        return repr(self.codec)

    def _encode_stream(self, pcm: torch.Tensor, count: int, *caches: Any) -> Int64Array:
        rows = pcm.shape[0]
        stream = take_stream(EncoderStream, rows, lambda: self.codec.encoder_stream(rows, count), *caches)
        if count > stream.num_codebooks:
            raise StreamError(f"this stream began with {stream.num_codebooks} codebooks, got num_quantizers={count}")
        return np.ascontiguousarray(stream.push(pcm)[:, :count])

    def _codebooks(self, num_quantizers: int | None) -> int:
        least, most = self.codec.num_semantic_codebooks, self.codec.num_codebooks
        count = most if num_quantizers is None else int(num_quantizers)
        if not least <= count <= most:
            raise ConfigError(f"num_quantizers must be between {least} and {most}, got {num_quantizers}")
        return count

    def _valid_frames(self, codes: torch.Tensor) -> Int64Array:
        """Frames of each row before the first that holds an id outside the codebooks."""
        valid = ((codes >= 0) & (codes < self.codec.codebook_size)).all(dim=1)
        return valid.long().cumprod(dim=-1).sum(dim=-1).numpy()

    def _new_padding_cache(self) -> MimiConv1dPaddingCache:
        last = self.downsample
        return MimiConv1dPaddingCache(1, [last.padding_total], [last.pad_mode], [last.in_channels])

    def _check(self, options: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
        for name, value in options.items():
            if name in NOT_GIVEN:
                if value:
                    raise ConfigError(f"{name}: this codec has no {name.removeprefix('output_')} to return")
            elif name not in allowed:
                raise TypeError(f"unexpected keyword argument {name!r}")

    def _output(self, output: Any, return_dict: bool | None) -> Any:
        if return_dict is None:
            return_dict = getattr(self.config, "return_dict", True)
        return output if return_dict else output.to_tuple()
