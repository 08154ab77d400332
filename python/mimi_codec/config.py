"""The configuration of a model: the fields of a `config.json` and what follows from them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["MimiConfig"]


def bits_per_code(codebook_size: int) -> int:
    """Bits of one code: the whole number at or above log2(codebook_size), at least 1."""
    return max(1, (codebook_size - 1).bit_length())


@dataclass(frozen=True)
class MimiConfig:
    """All fields of Transformers' `MimiConfig`, under its names. The defaults are those of `kyutai/mimi`.

    Fields that a causal forward pass in float32 does not read (dropout, caches, initialisation) are kept so that a
    saved configuration is complete.

    Attributes:
        sampling_rate: samples per second.
        audio_channels: channels of the audio; only 1 is supported.
        hidden_size: width of the latents and of the transformers.
        num_filters: channels after the first convolution.
        num_residual_layers: residual blocks before each change of rate.
        upsampling_ratios: by how much each layer of the decoder raises the rate.
        kernel_size: kernel of the first convolution.
        last_kernel_size: kernel of the last convolution.
        residual_kernel_size: kernel of the residual blocks.
        dilation_growth_rate: dilation of a residual block relative to the one before it.
        use_causal_conv: whether convolutions see only the past; only True is supported.
        pad_mode: how convolutions fill the beginning of a clip; only "constant" is supported.
        compress: by how much a residual block is narrower inside.
        trim_right_ratio: where transposed convolutions are trimmed; only 1 is supported.
        codebook_size: entries of each codebook.
        codebook_dim: width of an entry.
        num_quantizers: codebooks in the file.
        use_conv_shortcut: whether residual blocks have a convolution in their shortcut.
        vector_quantization_hidden_dimension: width in which codebooks are searched.
        num_semantic_quantizers: how many of the first codebooks are semantic.
        upsample_groups: groups of the convolution that doubles the rate of the latents.
        num_hidden_layers: layers of each transformer.
        intermediate_size: inner width of the transformers' dense layers.
        num_attention_heads: heads of the attention.
        num_key_value_heads: heads of keys and values.
        head_dim: width of one attention head; 0 stands for `hidden_size / num_attention_heads`.
        hidden_act: activation of the transformers: "gelu", "gelu_pytorch_tanh" or "gelu_new".
        max_position_embeddings: kept, but not read: positions have no limit.
        initializer_range: kept, but not read.
        norm_eps: epsilon of the layer norms.
        use_cache: kept; the drop-in for Transformers reads it.
        use_streaming: kept; the drop-in for Transformers reads it.
        rope_theta: base of the rotary positions.
        sliding_window: positions that the attention sees.
        attention_dropout: kept, but not read.
        layer_scale_initial_scale: kept, but not read.
        attention_bias: whether the projections of the attention have a bias.
        tie_word_embeddings: kept, but not read.
        frame_rate: frames per second; 0 stands for half the rate of the transformers, as in `kyutai/mimi`.

    Example:
        >>> from mimi_codec import MimiConfig
        >>> config = MimiConfig()
        >>> config.frame_rate, config.frame_size, config.bits_per_code
        (12.5, 1920, 11)
    """

    sampling_rate: int = 24000
    audio_channels: int = 1
    hidden_size: int = 512
    num_filters: int = 64
    num_residual_layers: int = 1
    upsampling_ratios: tuple[int, ...] = (8, 6, 5, 4)
    kernel_size: int = 7
    last_kernel_size: int = 3
    residual_kernel_size: int = 3
    dilation_growth_rate: int = 2
    use_causal_conv: bool = True
    pad_mode: str = "constant"
    compress: int = 2
    trim_right_ratio: float = 1.0
    codebook_size: int = 2048
    codebook_dim: int = 256
    num_quantizers: int = 32
    use_conv_shortcut: bool = False
    vector_quantization_hidden_dimension: int = 256
    num_semantic_quantizers: int = 1
    upsample_groups: int = 512
    num_hidden_layers: int = 8
    intermediate_size: int = 2048
    num_attention_heads: int = 8
    num_key_value_heads: int = 8
    head_dim: int = 0
    """Width of one attention head; 0 stands for `hidden_size / num_attention_heads`."""
    hidden_act: str = "gelu"
    max_position_embeddings: int = 8000
    initializer_range: float = 0.02
    norm_eps: float = 1e-5
    use_cache: bool = False
    use_streaming: bool = False
    rope_theta: float = 10000.0
    sliding_window: int = 250
    attention_dropout: float = 0.0
    layer_scale_initial_scale: float = 0.01
    attention_bias: bool = False
    tie_word_embeddings: bool = True
    frame_rate: float = 0.0
    """Frames per second; 0 stands for half the transformers' rate, as in `kyutai/mimi`."""

    def __post_init__(self) -> None:
        # A frozen dataclass has no other way to fill in what depends on other fields.
        object.__setattr__(self, "upsampling_ratios", tuple(self.upsampling_ratios))
        if not self.head_dim:
            object.__setattr__(self, "head_dim", self.hidden_size // self.num_attention_heads)
        if not self.frame_rate:
            object.__setattr__(self, "frame_rate", self.sampling_rate / (2 * math.prod(self.upsampling_ratios)))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> MimiConfig:
        """Read a parsed `config.json`.

        Args:
            fields: its content. Keys that are not known are left out, and None means the default.

        Returns:
            The configuration.

        Raises:
            TypeError: a value has a wrong type.
            ValueError: a value cannot be read as a number.

        Example:
            >>> from mimi_codec import MimiConfig
            >>> MimiConfig.from_dict({"num_quantizers": 16}).num_codebooks
            16
        """
        known = {field.name for field in dataclasses.fields(cls)}
        values = {key: value for key, value in fields.items() if key in known and value is not None}
        rope = fields.get("rope_parameters")
        if isinstance(rope, Mapping) and "rope_theta" in rope:
            values["rope_theta"] = float(rope["rope_theta"])
        if "frame_rate" not in values and fields.get("_frame_rate") is not None:
            values["frame_rate"] = float(fields["_frame_rate"])
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> MimiConfig:
        """Read the text of a `config.json`.

        Args:
            text: a JSON object.

        Returns:
            The configuration.

        Raises:
            TypeError: a value has a wrong type.
            ValueError: the text is not JSON, or a value cannot be read as a number.

        Example:
            >>> from mimi_codec import MimiConfig
            >>> MimiConfig.from_json('{"num_quantizers": 16}').num_codebooks
            16
        """
        return cls.from_dict(json.loads(text))

    def to_dict(self) -> dict[str, Any]:
        """The fields as Transformers spells them in a `config.json`.

        Returns:
            A dictionary that `json.dump` can write.

        Example:
            >>> from mimi_codec import MimiConfig
            >>> MimiConfig().to_dict()["model_type"]
            'mimi'
        """
        fields = dataclasses.asdict(self)
        fields["upsampling_ratios"] = list(self.upsampling_ratios)
        fields["rope_parameters"] = {"rope_type": "default", "rope_theta": fields.pop("rope_theta")}
        return {"architectures": ["MimiModel"], "model_type": "mimi", **fields}

    @property
    def encodec_frame_rate(self) -> int:
        """Rate of the convolution stack and of the transformers, in Hz: 25 for `kyutai/mimi`."""
        return math.ceil(self.sampling_rate / math.prod(self.upsampling_ratios))

    @property
    def latent_stride(self) -> int:
        """Transformer positions per frame: 2 for `kyutai/mimi`."""
        return int(self.encodec_frame_rate / self.frame_rate)

    @property
    def frame_size(self) -> int:
        """Samples per frame: 1920 for `kyutai/mimi`."""
        return math.prod(self.upsampling_ratios) * self.latent_stride

    @property
    def latent_dim(self) -> int:
        """Width of the latents on both sides of the quantizer."""
        return self.hidden_size

    @property
    def num_codebooks(self) -> int:
        """Codebooks of the file; a model may have been loaded with fewer."""
        return self.num_quantizers

    @property
    def bits_per_code(self) -> int:
        """Bits that one code takes: 11 for codebooks of 2048."""
        return bits_per_code(self.codebook_size)

    def __repr__(self) -> str:
        fields = (f"    {field.name}={getattr(self, field.name)!r}," for field in dataclasses.fields(self))
        return "\n".join(("MimiConfig(", *fields, ")"))
