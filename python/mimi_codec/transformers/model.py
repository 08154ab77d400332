"""`MimiModel` with the methods of Transformers' class of that name.

Shapes: B batch, L samples, K codebooks, T frames.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import torch

from .._arrays import Int64Array
from .._devices import Device
from .._options import choice
from .._torch import CodecModule, ScratchDirectory, audio_in, codes_in, outside_graphs, tensor_out
from ..errors import AudioError, ConfigError, StreamError
from ..model import Mimi
from ..streams import DecoderStream, EncoderStream
from .caches import StreamCache, take_cache, take_stream
from .installed import (
    DECODER_CACHE,
    EITHER_CACHE,
    ENCODER_CACHE,
    GenerationConfig,
    MimiConfig,
    MimiConv1dPaddingCache,
)
from .outputs import DecoderOutput, EncoderOutput, Output, give, refuse_options
from .weights import load_state, read_state

InvalidCodes = Literal["raise", "end"]
INVALID_CODES = ("raise", "end")


class MimiModel(CodecModule):
    """Mimi as Transformers' `MimiModel`: the same methods, arguments and outputs, computed by this package.

    It is an `nn.Module` without parameters to train, so it can be assigned to a model's `codec_model` or
    `audio_encoder`. Tensors may be of any float or integer type on any device, and results come back on the device of
    the input. Those on the GPU that the codec runs on stay there; others are copied to the CPU. Streams are exact: a
    cache object that is passed on from call to call carries the whole state, for decoding too.

    Transformers 5.24 renamed the caches. Here both spellings are accepted as arguments and can be read from outputs,
    whichever version is installed: `encoder_cache` and `encoder_past_key_values`, `decoder_cache` and
    `decoder_past_key_values`, and `cache` and `past_key_values` where there is only one.

    Args:
        codec: The loaded model.
        config: Transformers' configuration; made from that of `codec` if not given.
        invalid_codes: What `decode` does with a frame that holds ids outside the codebooks. "raise" refuses it, "end"
            ends the audio of that row before it.

    Example:
        >>> import torch
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.transformers import MimiModel
        >>> model = MimiModel(Mimi.demo())
        >>> codes = model.encode(torch.zeros(1, 1, 24000), num_quantizers=8).audio_codes
        >>> codes.shape, model.decode(codes).audio_values.shape
        (torch.Size([1, 8, 13]), torch.Size([1, 1, 24960]))
    """

    main_input_name = "input_values"

    def __init__(self, codec: Mimi, config: MimiConfig | None = None, *, invalid_codes: InvalidCodes = "raise") -> None:
        super().__init__()
        self.codec = codec
        self.config = config if config is not None else MimiConfig(**codec.config.to_dict())
        self.invalid_codes = choice("invalid_codes", invalid_codes, INVALID_CODES)
        self.generation_config = GenerationConfig.from_model_config(self.config)
        # What speech-to-text models look at to lay out a padding cache. Ours carries a stream, so it needs no layers
        # but the last. Transformers 4 has the names of the layers in the encoder itself.
        downsample = SimpleNamespace(padding_total=2, pad_mode="replicate", in_channels=codec.latent_dim)
        seanet = SimpleNamespace(_conv1d_layer_names=[])
        self.encoder = SimpleNamespace(encoder_seanet=seanet, _mimiconv1d_layer_names=[], downsample=downsample)
        self.downsample = downsample
        self.bits_per_codebook = int(np.log2(codec.codebook_size))
        self._files: ScratchDirectory | None = None
        self.eval()

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str], **options: Any) -> MimiModel:
        """Load a model.

        Args:
            name_or_path: The name or path of a checkpoint.
            **options: Those of `mimi_codec.Mimi.from_pretrained`.

        Returns:
            The model.

        Raises:
            LoadError: The files are missing, cannot be fetched or are corrupt.
            ConfigError: The configuration or an option is not supported.

        Example:
            >>> from mimi_codec.demo_files import demo_directory
            >>> from mimi_codec.transformers import MimiModel
            >>> MimiModel.from_pretrained(demo_directory(), threads=1).config.sampling_rate
            24000
        """
        return cls(Mimi.from_pretrained(name_or_path, **options))

    @classmethod
    def from_state_dict(
        cls,
        state: Mapping[str, torch.Tensor],
        config: MimiConfig,
        *,
        threads: int | None = None,
        device: Device = "cpu",
        invalid_codes: InvalidCodes = "raise",
    ) -> MimiModel:
        """Make a model from the tensors of a Transformers model in memory or on disk.

        Args:
            state: The tensors under their names.
            config: Transformers' configuration.
            threads: Threads one call may use; None takes `MIMI_NUM_THREADS`, or 1.
            device: Where the codec runs, as in `mimi_codec.load`.
            invalid_codes: See the class.

        Returns:
            The model.

        Raises:
            WeightsError: A tensor is missing, has another shape than the configuration says, or is one too many.
            ConfigError: The configuration is not supported.
            DeviceError: The device is not there, or something that it needs is missing.

        Example:
            >>> import transformers
            >>> from mimi_codec import Mimi
            >>> from mimi_codec.transformers import MimiModel
            >>> theirs = transformers.MimiModel(transformers.MimiConfig(num_hidden_layers=1, num_filters=4))
            >>> MimiModel.from_state_dict(theirs.state_dict(), theirs.config).codec.num_codebooks
            32
        """
        codec, files = load_state(state, config, threads=threads, device=device)
        model = cls(codec, config, invalid_codes=invalid_codes)
        model._files = files
        return model

    # Whole clips and streams

    @outside_graphs
    def encode(
        self,
        input_values: torch.Tensor,
        padding_mask: torch.Tensor | None = None,
        num_quantizers: int | None = None,
        encoder_cache: Any = None,
        padding_cache: Any = None,
        use_streaming: bool | None = None,
        return_dict: bool | None = None,
        **options: Any,
    ) -> Any:
        """Encode audio.

        With a cache, or with `use_streaming=True`, the input continues the clip of that cache. Frames are given as
        they become whole, whatever the length of the input, and samples left over wait for the next call. Pass the
        returned `padding_cache` to the next call.

        Args:
            input_values: Audio (B, 1, L) of any float type, at 24 kHz for `kyutai/mimi`.
            padding_mask: Ignored, as Transformers ignores it.
            num_quantizers: How many codebooks K to give, all by default; in a stream at most as many as in its first
                call.
            encoder_cache: The cache of a stream.
            padding_cache: The other cache of a stream; one of the two is enough.
            use_streaming: Whether to begin a stream if no cache is given; None takes what the configuration says.
            return_dict: False gives a tuple.
            **options: Other spellings of `encoder_cache`.

        Returns:
            An output with `audio_codes` (B, K, T), int64, and the caches.

        Raises:
            AudioError: The shape is wrong, or samples are NaN or infinite.
            ConfigError: There are not as many codebooks.
            StreamError: The cache does not fit.

        Example:
            >>> import torch
            >>> from mimi_codec import Mimi
            >>> from mimi_codec.transformers import MimiModel
            >>> model, pcm = MimiModel(Mimi.demo()), torch.zeros(1, 1, 4000)
            >>> out = model.encode(pcm, use_streaming=True)
            >>> out.audio_codes.shape  # 4000 samples are two frames and a rest
            torch.Size([1, 16, 2])
            >>> model.encode(pcm, padding_cache=out.padding_cache).audio_codes.shape
            torch.Size([1, 16, 2])
        """
        cache = take_cache(encoder_cache, options, ENCODER_CACHE + EITHER_CACHE)
        refuse_options(options, allowed=())
        count = self._codebooks(num_quantizers)
        pcm = audio_in(input_values, "input_values", self.codec)
        if use_streaming is None:
            use_streaming = bool(self.config.use_streaming)
        if use_streaming and padding_cache is None:
            padding_cache = self._new_padding_cache()
        if use_streaming and cache is None:
            cache = StreamCache(self.codec.config.latent_stride)
        if padding_cache is None and cache is None:
            codes = self.codec.encode(pcm, count)
        else:
            codes = self._encode_stream(pcm, count, padding_cache, cache)
        output = EncoderOutput.of(
            audio_codes=tensor_out(codes, input_values.device),
            encoder_cache=cache if use_streaming else None,
            padding_cache=padding_cache,
        )
        return give(output, self.config, return_dict)

    @outside_graphs
    def decode(
        self,
        audio_codes: torch.Tensor,
        padding_mask: torch.Tensor | None = None,
        decoder_cache: Any = None,
        return_dict: bool | None = None,
        **options: Any,
    ) -> Any:
        """Decode codes.

        With a cache, or `use_cache` here or in the configuration, the codes continue the clip of that cache, exactly:
        pieces decoded one after another are the clip decoded at once.

        Args:
            audio_codes: Codes (B, K, T) of any integer type.
            padding_mask: The audio is cut to its length where that is shorter.
            decoder_cache: The cache of a stream.
            return_dict: False gives a tuple.
            **options: `use_cache`, and other spellings of `decoder_cache`.

        Returns:
            An output with `audio_values` (B, 1, T * frame_size) in the module's float type, and the cache.

        Raises:
            CodesError: The shape is wrong, or an id is outside the codebooks (but see `invalid_codes`).
            StreamError: The cache does not fit.

        Example:
            >>> import torch
            >>> from mimi_codec import Mimi
            >>> from mimi_codec.transformers import MimiModel
            >>> model, codes = MimiModel(Mimi.demo()), torch.zeros(1, 8, 1, dtype=torch.long)
            >>> out = model.decode(codes, use_cache=True)
            >>> model.decode(codes, decoder_cache=out.decoder_cache).audio_values.shape
            torch.Size([1, 1, 1920])
        """
        cache = take_cache(decoder_cache, options, DECODER_CACHE + EITHER_CACHE)
        refuse_options(options, allowed=("use_cache",))
        codes = codes_in(audio_codes, "audio_codes", None if self.invalid_codes == "end" else self.codec)
        # Said in full, so that -1 is an invalid code as any other.
        lengths = np.full(codes.shape[0], codes.shape[2])
        if self.invalid_codes == "end":
            lengths = self._valid_frames(codes)
            codes = codes[:, :, : int(lengths.max())]
        use_cache = options.get("use_cache")
        if use_cache is None:
            use_cache = bool(self.config.use_cache)
        if cache is None and not use_cache:
            audio = self.codec.decode(codes, lengths=lengths)
        else:
            if cache is None:
                cache = StreamCache(self.codec.config.latent_stride)
            rows = codes.shape[0]
            stream = take_stream(DecoderStream, rows, lambda: self.codec.decoder_stream(rows), cache)
            audio = stream.push(codes, lengths=lengths)
        values = tensor_out(audio, audio_codes.device, self.dtype)
        if padding_mask is not None:
            values = values[..., : padding_mask.shape[-1]]
        output = DecoderOutput.of(audio_values=values, decoder_cache=cache if use_cache else None)
        return give(output, self.config, return_dict)

    @outside_graphs
    def forward(
        self,
        input_values: torch.Tensor,
        padding_mask: torch.Tensor | None = None,
        num_quantizers: int | None = None,
        audio_codes: torch.Tensor | None = None,
        encoder_cache: Any = None,
        decoder_cache: Any = None,
        return_dict: bool | None = None,
        **options: Any,
    ) -> Any:
        """Encode and decode.

        Args:
            input_values: Audio (B, 1, L).
            padding_mask: The audio is cut to its length; without one, to that of the input.
            num_quantizers: How many codebooks K to give, all by default.
            audio_codes: Codes (B, K, T) to decode in place of those of the input.
            encoder_cache: The cache of a stream of the encoder.
            decoder_cache: The cache of a stream of the decoder.
            return_dict: False gives a tuple.
            **options: `use_cache`, and the older spellings of the two caches.

        Returns:
            An output with `audio_codes` (B, K, T), `audio_values` (B, 1, L) and the caches.

        Raises:
            AudioError, CodesError, ConfigError, StreamError: As `encode` and `decode` do.

        Example:
            >>> import torch
            >>> from mimi_codec import Mimi
            >>> from mimi_codec.transformers import MimiModel
            >>> MimiModel(Mimi.demo())(torch.zeros(1, 1, 5000)).audio_values.shape
            torch.Size([1, 1, 5000])
        """
        encoder_cache = take_cache(encoder_cache, options, ENCODER_CACHE)
        decoder_cache = take_cache(decoder_cache, options, DECODER_CACHE)
        refuse_options(options, allowed=("use_cache",))
        length = (input_values if padding_mask is None else padding_mask).shape[-1]
        if audio_codes is None:
            encoded = self.encode(input_values, None, num_quantizers, encoder_cache, return_dict=True)
            audio_codes = encoded.audio_codes
        decoded = self.decode(audio_codes, None, decoder_cache, return_dict=True, **options)
        output = Output.of(
            audio_codes=audio_codes,
            audio_values=decoded.audio_values[..., :length],
            encoder_cache=encoder_cache,
            decoder_cache=decoded.decoder_cache,
        )
        return give(output, self.config, return_dict)

    # Lengths

    def get_encoded_length(self, input_length: int | torch.Tensor) -> torch.Tensor:
        """Count the frames of clips.

        Args:
            input_length: Samples L of a clip, or an integer tensor of them.

        Returns:
            ceil(L / frame_size), as an int64 tensor of the same shape.

        Raises:
            AudioError: The type is not an integer type.

        Example:
            >>> from mimi_codec import Mimi
            >>> from mimi_codec.transformers import MimiModel
            >>> MimiModel(Mimi.demo()).get_encoded_length(24000)
            tensor(13)
        """
        lengths = torch.as_tensor(input_length)
        if lengths.is_floating_point() or lengths.dtype == torch.bool:
            raise AudioError(f"input_length must be of an integer type, got {lengths.dtype}")
        return -(-lengths.long() // self.codec.frame_size)

    def get_audio_codes_mask(self, padding_mask: torch.Tensor, padding_side: str = "right") -> torch.Tensor:
        """Make the mask of frames of a mask of samples.

        Args:
            padding_mask: Which samples are there, (B, L), bools or integers.
            padding_side: Where the padding is, "right" or "left".

        Returns:
            A bool tensor (B, T), T for the longest row.

        Raises:
            ConfigError: Another side.

        Example:
            >>> import torch
            >>> from mimi_codec import Mimi
            >>> from mimi_codec.transformers import MimiModel
            >>> MimiModel(Mimi.demo()).get_audio_codes_mask(torch.ones(1, 2000, dtype=torch.long))
            tensor([[True, True]])
        """
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
            placed = {"threads": self.codec.threads, "device": self.codec.device}
            self.codec, self._files = load_state(state, self.config, **placed)
        elif strict:
            missing_keys.append(prefix + "quantizer")

    def extra_repr(self) -> str:
        """The codec inside, for `print`.

        Returns:
            One line of text.
        """
        return repr(self.codec)

    def _encode_stream(self, pcm: torch.Tensor, count: int, *caches: Any) -> Any:
        rows = pcm.shape[0]
        stream = take_stream(EncoderStream, rows, lambda: self.codec.encoder_stream(rows, count), *caches)
        if count > stream.num_codebooks:
            raise StreamError(f"this stream began with {stream.num_codebooks} codebooks, got num_quantizers={count}")
        codes = stream.push(pcm)[:, :count]
        return np.ascontiguousarray(codes) if isinstance(codes, np.ndarray) else codes

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
