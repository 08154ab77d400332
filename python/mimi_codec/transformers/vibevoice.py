"""VibeVoice's tokenizers with the methods of Transformers' classes of those names.

Shapes: B batch, L samples, T frames, D latent width. Latents have time before width here, as in Transformers.
"""

from __future__ import annotations

from typing import Any

import torch

from .._torch import audio_in, outside_graphs, tensor_out
from .._torch_latents import latents_in
from ..errors import AudioError
from ..streams import DecoderStream, EncoderStream
from ..vibevoice import VibeVoice
from .caches import take_stream
from .family import FamilyModule, Size
from .outputs import refuse_options
from .vibevoice_outputs import (
    PaddingCache,
    VibeVoiceAcousticTokenizerConfig,
    VibeVoiceAcousticTokenizerDecoderOutput,
    VibeVoiceAcousticTokenizerEncoderConfig,
    VibeVoiceAcousticTokenizerEncoderOutput,
    VibeVoiceAcousticTokenizerOutput,
)

# What the configuration of the codec has and Transformers' classes make by themselves.
NOT_FIELDS = ("architectures", "model_type")


class Tokenizer(FamilyModule):
    """What both have: an encoder whose streams live in padding caches."""

    main_input_name = "input_values"
    config_class: type
    codec: VibeVoice

    def _config_of(self, codec: VibeVoice) -> Any:
        return self.config_class(**{name: value for name, value in codec.config.items() if name not in NOT_FIELDS})

    def _sizes(self) -> list[Size]:
        return [
            ("values in a latent", self.config.hidden_size, self.codec.latent_dim),
            ("samples per frame", self.config.hop_length, self.codec.frame_size),
        ]

    def _encode(self, audio: Any, cache: Any, use_cache: bool | None) -> tuple[torch.Tensor, Any]:
        """Latents, with time before width but lying in memory the other way, as Transformers' do, and the cache."""
        pcm = audio_in(audio, "input_values")
        if cache is None and use_cache:
            cache = PaddingCache()
        if cache is None:
            hop, length = self.codec.frame_size, pcm.shape[2]
            if length < hop:
                raise AudioError(f"input_values must have a whole frame, {hop} samples, got {length}; fill it up")
            found = self.codec.encode_latents(pcm)
        else:
            rows = pcm.shape[0]
            stream = take_stream(EncoderStream, rows, lambda: self.codec.encoder_stream(rows), cache, latents=True)
            found = stream.push(pcm)
        return tensor_out(found, audio.device, self.dtype).transpose(1, 2), cache


class VibeVoiceAcousticTokenizerEncoderModel(Tokenizer):
    """An encoder of VibeVoice as Transformers' `VibeVoiceAcousticTokenizerEncoderModel`.

    It is the semantic tokenizer of VibeVoice, and both encoders of VibeVoice-ASR; `attach` puts it there. A cache that
    is passed on from call to call carries the whole state. Pieces may have any length: samples that are not a whole
    frame wait in the cache for the next call, where Transformers' model loses them and gives wrong latents.

    Args:
        codec: The loaded codec.
        config: Transformers' configuration; made from that of `codec` if not given.

    Raises:
        ConfigError: It is another codec, or the configuration is of another size.

    Example:
        >>> import mimi_codec, torch
        >>> from mimi_codec.synthetic import write_synthetic_family
        >>> from mimi_codec.transformers import VibeVoiceAcousticTokenizerEncoderModel
        >>> codec = mimi_codec.load(write_synthetic_family("voice", "vibevoice-encoder"))
        >>> model = VibeVoiceAcousticTokenizerEncoderModel(codec)
        >>> first = model(torch.zeros(1, 1, 40), use_cache=True)  # 16 samples are a frame
        >>> second = model(torch.zeros(1, 1, 40), padding_cache=first.padding_cache)
        >>> first.latents.shape, second.latents.shape
        (torch.Size([1, 2, 12]), torch.Size([1, 3, 12]))
    """

    kind = "vibevoice-encoder"
    config_class = VibeVoiceAcousticTokenizerEncoderConfig

    def __init__(self, codec: VibeVoice, config: VibeVoiceAcousticTokenizerEncoderConfig | None = None) -> None:
        super().__init__(codec, config)

    @outside_graphs
    def forward(
        self, hidden_states: torch.Tensor, padding_cache: Any = None, use_cache: bool | None = False, **options: Any
    ) -> Any:
        """Encode audio.

        Args:
            hidden_states: Audio (B, 1, L) of any float type at 24 kHz.
            padding_cache: The cache of a stream, whose clips go on.
            use_cache: Whether to begin a stream if no cache is given.
            **options: `return_dict` has no effect, as in Transformers.

        Returns:
            An output with `latents` (B, T, D) in the module's float type, T = floor(L / frame), and `padding_cache`.

        Raises:
            AudioError: The shape is wrong, samples are NaN or infinite, or a clip without cache has less than a frame.
            InputTypeError: It is not a tensor, or not of a float type.
            StreamError: The cache does not fit.
        """
        refuse_options(options, allowed=("return_dict",))
        latents, cache = self._encode(hidden_states, padding_cache, use_cache)
        return VibeVoiceAcousticTokenizerEncoderOutput(latents=latents, padding_cache=cache)


class VibeVoiceAcousticTokenizerModel(Tokenizer):
    """The acoustic tokenizer of VibeVoice as Transformers' `VibeVoiceAcousticTokenizerModel`.

    It can be the `audio_tower` of a loaded VibeVoice; `attach` puts it there. Tensors may be of any float type on any
    device. They are copied to the CPU, and results come back on the device of the input. Streams are exact in both
    directions: a cache that is passed on from call to call carries the whole state. Samples that are not a whole frame
    wait in the cache for the next call, where Transformers' model loses them and gives wrong latents.

    Args:
        codec: The loaded codec.
        config: Transformers' configuration; made from that of `codec` if not given.

    Raises:
        ConfigError: It is another codec, or the configuration is of another size.

    Example:
        >>> import mimi_codec, torch
        >>> from mimi_codec.synthetic import write_synthetic_family
        >>> from mimi_codec.transformers import VibeVoiceAcousticTokenizerModel
        >>> model = VibeVoiceAcousticTokenizerModel(mimi_codec.load(write_synthetic_family("voice", "vibevoice")))
        >>> latents = model.encode(torch.zeros(1, 1, 165), sample=False).latents  # 16 samples are a frame
        >>> latents.shape, model.decode(latents).audio.shape
        (torch.Size([1, 10, 8]), torch.Size([1, 1, 160]))
    """

    kind = "vibevoice"
    config_class = VibeVoiceAcousticTokenizerConfig

    def __init__(self, codec: VibeVoice, config: VibeVoiceAcousticTokenizerConfig | None = None) -> None:
        super().__init__(codec, config)

    @outside_graphs
    def encode(
        self,
        input_values: torch.Tensor,
        padding_cache: Any = None,
        use_cache: bool | None = None,
        sample: bool = True,
        return_dict: bool | None = None,
    ) -> Any:
        """Encode audio.

        Args:
            input_values: Audio (B, 1, L) of any float type at 24 kHz.
            padding_cache: The cache of a stream, whose clips go on.
            use_cache: Whether to begin a stream if no cache is given.
            sample: Whether to add noise, from PyTorch's generator in the order of Transformers: a scale for each row,
                normal with the deviation `config.vae_std`, and then the noise itself.
            return_dict: False gives a tuple.

        Returns:
            An output with `latents` (B, T, D) in the module's float type, T = floor(L / frame), and `padding_cache`.

        Raises:
            AudioError: The shape is wrong, samples are NaN or infinite, or a clip without cache has less than a frame.
            ConfigError: The codec has no encoder.
            InputTypeError: It is not a tensor, or not of a float type.
            StreamError: The cache does not fit.
        """
        latents, cache = self._encode(input_values, padding_cache, use_cache)
        if sample:
            scale = self.config.vae_std * torch.randn(latents.shape[0], device=latents.device, dtype=latents.dtype)
            latents = latents + scale[:, None, None] * torch.randn_like(latents)
        return self._give(VibeVoiceAcousticTokenizerEncoderOutput(latents=latents, padding_cache=cache), return_dict)

    @outside_graphs
    def decode(
        self,
        latents: torch.Tensor,
        padding_cache: Any = None,
        use_cache: bool | None = False,
        return_dict: bool | None = None,
    ) -> Any:
        """Decode latents.

        Args:
            latents: Latents (B, T, D) of any float type.
            padding_cache: The cache of a stream, whose clips go on.
            use_cache: Whether to begin a stream if no cache is given.
            return_dict: False gives a tuple.

        Returns:
            An output with `audio` (B, 1, T * frame) in the module's float type, and `padding_cache`.

        Raises:
            ConfigError: The codec has no decoder.
            InputTypeError: It is not a tensor, or not of a float type.
            LatentsError: The shape is wrong, or values are NaN or infinite.
            StreamError: The cache does not fit.
        """
        found = latents_in(latents, "latents")
        cache = PaddingCache() if padding_cache is None and use_cache else padding_cache
        if cache is None:
            audio = self.codec.decode_latents(found)
        else:
            rows = found.shape[0]
            stream = take_stream(DecoderStream, rows, lambda: self.codec.decoder_stream(rows), cache, latents=True)
            audio = stream.push(found)
        values = tensor_out(audio, latents.device, self.dtype)
        return self._give(VibeVoiceAcousticTokenizerDecoderOutput(audio=values, padding_cache=cache), return_dict)

    @outside_graphs
    def forward(
        self,
        input_values: torch.Tensor,
        padding_cache: Any = None,
        use_cache: bool | None = False,
        sample: bool = True,
        return_dict: bool | None = None,
        **options: Any,
    ) -> Any:
        """Encode and decode.

        Args:
            input_values: Audio (B, 1, L).
            padding_cache: The cache of a stream of the decoder; the encoder begins afresh, as in Transformers.
            use_cache: Whether to begin a stream of the decoder if no cache is given.
            sample: As for `encode`.
            return_dict: False gives a tuple.
            **options: None; `output_attentions` and `output_hidden_states` may be False.

        Returns:
            An output with `audio` (B, 1, T * frame), `latents` (B, T, D) and `padding_cache`.

        Raises:
            AudioError, ConfigError, InputTypeError, StreamError: As `encode` and `decode` do.
        """
        refuse_options(options, allowed=())
        encoded = self.encode(input_values, sample=sample, return_dict=True)
        decoded = self.decode(encoded.latents, padding_cache, use_cache, return_dict=True)
        output = VibeVoiceAcousticTokenizerOutput(
            audio=decoded.audio, latents=encoded.latents, padding_cache=decoded.padding_cache
        )
        return self._give(output, return_dict)

    def _give(self, output: Any, return_dict: bool | None) -> Any:
        if return_dict is None:
            return_dict = getattr(self.config, "return_dict", True)
        return output if return_dict else output.to_tuple()
