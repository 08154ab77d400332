"""`PocketTTSAudioTokenizerModel` with the methods of Transformers' class of that name.

Shapes: B batch, L samples, T frames, D latent width. Latents have time before width here, as in Transformers.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any

import torch

from .._devices import Device
from .._torch import audio_in, outside_graphs, tensor_out
from .._torch_latents import LatentModule, codec_of, latent_codec, latents_in, latents_out
from ..latent_codec import LatentCodec
from ..streams import DecoderStream, EncoderStream
from .caches import StreamCache, take_cache, take_stream
from .installed import DECODER_CACHE, EITHER_CACHE, ENCODER_CACHE
from .outputs import give, refuse_options
from .pocket_outputs import (
    DecoderOutput,
    EncoderOutput,
    Output,
    PocketTTSAudioTokenizerConfig,
    PocketTTSAudioTokenizerConv1dPaddingCache,
)

# What the configuration of the codec has and Transformers' class makes by itself.
NOT_FIELDS = ("architectures", "model_type", "mimi")


class PocketTTSAudioTokenizerModel(LatentModule):
    """The codec of Pocket TTS as Transformers' `PocketTTSAudioTokenizerModel`: the same methods, arguments and outputs.

    It can be the `audio_tokenizer` of a loaded `PocketTTSProcessor`; `attach` puts it there. Tensors may be of any
    float type on any device. They are copied to the CPU, and results come back on the device of the input, as tensors
    of their own. Streams are exact in both directions: a cache object that is passed on from call to call carries the
    whole state. Both spellings of the caches work, as with `MimiModel`.

    Args:
        codec: The loaded codec.
        config: Transformers' configuration; made from that of `codec` if not given.

    Example:
        >>> import torch
        >>> from transformers import PocketTTSAudioTokenizerConfig, PocketTTSAudioTokenizerModel
        >>> from mimi_codec import transformers
        >>> theirs = PocketTTSAudioTokenizerModel(PocketTTSAudioTokenizerConfig(num_hidden_layers=1, num_filters=4))
        >>> model = transformers.PocketTTSAudioTokenizerModel.from_state_dict(theirs.state_dict(), theirs.config)
        >>> latents = model.encode(torch.zeros(1, 1, 24000)).latents
        >>> latents.shape, model.decode(latents).audio_values.shape
        (torch.Size([1, 13, 32]), torch.Size([1, 1, 24960]))
    """

    main_input_name = "input_values"

    def __init__(self, codec: LatentCodec, config: PocketTTSAudioTokenizerConfig | None = None) -> None:
        super().__init__(codec)
        if config is None:
            fields = {name: value for name, value in codec.config.items() if name not in NOT_FIELDS}
            config = PocketTTSAudioTokenizerConfig(**fields)
        self.config = _halves(config, codec)
        # what the files of a processor say about where its tokenizer is
        self.name_or_path = config.name_or_path or codec.name

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str], **options: Any) -> PocketTTSAudioTokenizerModel:
        """Load a model.

        Args:
            name_or_path: The name or path of a checkpoint, of Transformers or of Kyutai's `pocket-tts`.
            **options: Those of `mimi_codec.load`.

        Returns:
            The model.

        Raises:
            LoadError: The files are missing, cannot be fetched or are corrupt.
            ConfigError: It is another codec, or the configuration or an option is not supported.

        Example:
            >>> from mimi_codec.transformers import PocketTTSAudioTokenizerModel
            >>> PocketTTSAudioTokenizerModel.from_pretrained("./nothing-there")
            Traceback (most recent call last):
            mimi_codec.errors.LoadError: ...
        """
        return cls(latent_codec(name_or_path, **options))

    @classmethod
    def from_state_dict(
        cls,
        state: Mapping[str, torch.Tensor],
        config: PocketTTSAudioTokenizerConfig,
        *,
        threads: int | None = None,
        device: Device = "cpu",
    ) -> PocketTTSAudioTokenizerModel:
        """Make a model from the tensors of Transformers' model.

        Args:
            state: The tensors under their names.
            config: Transformers' configuration. Where it has no encoder or no decoder, that half is not loaded.
            threads: Threads one call may use; None takes `MIMI_NUM_THREADS`, or 1.
            device: Where the codec runs, as in `mimi_codec.load`.

        Returns:
            The model.

        Raises:
            WeightsError: A tensor is missing, has another shape than the configuration says, or is one too many.
            ConfigError: The configuration is not supported.
            DeviceError: The device is not there, or something that it needs is missing.

        Example:
            >>> from transformers import PocketTTSAudioTokenizerConfig, PocketTTSAudioTokenizerModel
            >>> from mimi_codec import transformers
            >>> theirs = PocketTTSAudioTokenizerModel(PocketTTSAudioTokenizerConfig(num_hidden_layers=1, num_filters=4))
            >>> ours = transformers.PocketTTSAudioTokenizerModel.from_state_dict(theirs.state_dict(), theirs.config)
            >>> ours.codec.latent_dim
            32
        """
        parts = "decoder" if config.encoder_config is None else "encoder" if config.decoder_config is None else "both"
        codec, files = codec_of(state, _text(config), parts=parts, threads=threads, device=device)
        model = cls(codec, config)
        model._files = files
        return model

    @outside_graphs
    def encode(
        self,
        input_values: torch.Tensor,
        padding_mask: torch.Tensor | None = None,
        encoder_cache: Any = None,
        padding_cache: Any = None,
        use_streaming: bool | None = None,
        return_dict: bool | None = None,
        **options: Any,
    ) -> Any:
        """Encode audio.

        With a cache, or with `use_streaming=True`, the input continues the clip of that cache. Frames are given as
        they become whole, whatever the length of the input, and samples left over wait for the next call.

        Args:
            input_values: Audio (B, 1, L) of any float type, at `config.sampling_rate`.
            padding_mask: Which samples are there, (B, L); only `latents_mask` depends on it.
            encoder_cache: The cache of a stream.
            padding_cache: The other cache of a stream; one of the two is enough.
            use_streaming: Whether to begin a stream if no cache is given; None takes what the configuration says.
            return_dict: False gives a tuple.
            **options: Other spellings of `encoder_cache`.

        Returns:
            An output with `latents` (B, T, D) in the module's float type, `latents_mask` (B, T), int64, if there was a
            mask, and the caches.

        Raises:
            AudioError: The shape is wrong, or samples are NaN or infinite.
            ConfigError: The codec has no encoder.
            StreamError: The cache does not fit.
        """
        cache = take_cache(encoder_cache, options, ENCODER_CACHE + EITHER_CACHE)
        refuse_options(options, allowed=())
        pcm = audio_in(input_values, "input_values")
        if use_streaming is None:
            use_streaming = bool(self.config.use_streaming)
        if use_streaming and padding_cache is None:
            padding_cache = PocketTTSAudioTokenizerConv1dPaddingCache(1, [0], ["constant"], [1])
        if use_streaming and cache is None:
            cache = StreamCache(self.config.latent_stride)
        if padding_cache is None and cache is None:
            found = self.codec.encode_latents(pcm)
        else:
            rows = pcm.shape[0]
            stream = take_stream(
                EncoderStream, rows, lambda: self.codec.encoder_stream(rows), padding_cache, cache, latents=True
            )
            found = stream.push(pcm)
        latents = latents_out(found, input_values.device, self.dtype)
        mask = None
        if padding_mask is not None:
            frames = -(-padding_mask.sum(dim=-1).long() // self.codec.frame_size).to(latents.device)
            mask = (torch.arange(latents.shape[1], device=latents.device) < frames[:, None]).long()
        output = EncoderOutput.of(
            latents=latents,
            latents_mask=mask,
            encoder_cache=cache if use_streaming else None,
            padding_cache=padding_cache,
        )
        return give(output, self.config, return_dict)

    @outside_graphs
    def decode(
        self, latents: torch.Tensor, decoder_cache: Any = None, return_dict: bool | None = None, **options: Any
    ) -> Any:
        """Decode latents.

        With a cache, or `use_cache` here or in the configuration, the latents continue the clip of that cache,
        exactly: pieces decoded one after another are the clip decoded at once.

        Args:
            latents: Latents (B, T, D) of any float type.
            decoder_cache: The cache of a stream.
            return_dict: False gives a tuple.
            **options: `use_cache`, a `padding_mask` to whose length the audio is cut where that is shorter, and other
                spellings of `decoder_cache`.

        Returns:
            An output with `audio_values` (B, 1, T * frame_size) in the module's float type, and the cache.

        Raises:
            ConfigError: The codec has no decoder.
            LatentsError: The shape is wrong, or values are NaN or infinite.
            StreamError: The cache does not fit.
        """
        cache = take_cache(decoder_cache, options, DECODER_CACHE + EITHER_CACHE)
        refuse_options(options, allowed=("use_cache", "padding_mask"))
        found = latents_in(latents, "latents")
        use_cache = options.get("use_cache")
        if use_cache is None:
            use_cache = bool(self.config.use_cache)
        if cache is None and not use_cache:
            audio = self.codec.decode_latents(found)
        else:
            if cache is None:
                cache = StreamCache(self.config.latent_stride)
            rows = found.shape[0]
            stream = take_stream(DecoderStream, rows, lambda: self.codec.decoder_stream(rows), cache, latents=True)
            audio = stream.push(found)
        values = tensor_out(audio, latents.device, self.dtype)
        padding_mask = options.get("padding_mask")
        if padding_mask is not None:
            values = values[..., : padding_mask.shape[-1]]
        output = DecoderOutput.of(audio_values=values, decoder_cache=cache if use_cache else None)
        return give(output, self.config, return_dict)

    @outside_graphs
    def forward(
        self,
        input_values: torch.Tensor,
        padding_mask: torch.Tensor | None = None,
        return_dict: bool | None = None,
        **options: Any,
    ) -> Any:
        """Encode and decode.

        Args:
            input_values: Audio (B, 1, L).
            padding_mask: As for `encode`.
            return_dict: False gives a tuple.
            **options: Those of `encode`.

        Returns:
            An output with `latents` (B, T, D), `latents_mask` and `audio_values` (B, 1, T * frame_size).

        Raises:
            AudioError, ConfigError, StreamError: As `encode` and `decode` do.
        """
        encoded = self.encode(input_values, padding_mask, return_dict=True, **options)
        decoded = self.decode(encoded.latents, return_dict=True, use_cache=False)
        output = Output.of(
            latents=encoded.latents, latents_mask=encoded.latents_mask, audio_values=decoded.audio_values
        )
        return give(output, self.config, return_dict)

    def _config_text(self) -> str:
        return _text(self.config)


def _text(config: PocketTTSAudioTokenizerConfig) -> str:
    return str(config.to_json_string(use_diff=False))


def _halves(config: PocketTTSAudioTokenizerConfig, codec: LatentCodec) -> PocketTTSAudioTokenizerConfig:
    """The configuration without the halves that the codec does not have: what a processor asks before it calls."""
    missing = [
        name
        for name, there in (("encoder_config", codec.has_encoder), ("decoder_config", codec.has_decoder))
        if not there and getattr(config, name) is not None
    ]
    if missing:
        config = copy.deepcopy(config)
        for name in missing:
            setattr(config, name, None)
    return config
