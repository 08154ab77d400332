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
    """Bits that a code of a codebook takes: the whole number at or above log2(codebook_size), at least 1."""
    return max(1, (codebook_size - 1).bit_length())


@dataclass(frozen=True)
class MimiConfig:
    """All fields of Transformers' `MimiConfig`, under its names. The defaults are those of `kyutai/mimi`.

    Fields that a causal float32 forward pass does not read (dropout, caches, initialisation) are kept so that a saved
    configuration is complete.
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
        """Read a parsed `config.json`: unknown keys are left out, None means the default."""
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
        """Read the text of a `config.json`."""
        return cls.from_dict(json.loads(text))

    def to_dict(self) -> dict[str, Any]:
        """The fields as Transformers spells them in a `config.json`."""
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
