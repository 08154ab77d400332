"""`Qwen3OmniMoeCode2Wav` with the methods of Transformers' class of that name.

Shapes: B batch, K codebooks, T frames, N samples.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import transformers

from .._arrays import Float32Array, to_count
from .._torch import codes_in, outside_graphs, tensor_out
from ..qwen import QwenCodec
from .family import FamilyModule, Size
from .outputs import refuse_options

try:
    from transformers.models.qwen3_omni_moe.configuration_qwen3_omni_moe import Qwen3OmniMoeCode2WavConfig
except ImportError as error:
    raise ImportError(
        f"this Transformers, {transformers.__version__}, has no Code2Wav of Qwen3-Omni; 4.57 has it: {error}"
    ) from error

# What the configuration of the codec has and Transformers' class makes by itself.
NOT_FIELDS = ("architectures", "model_type")


class Qwen3OmniMoeCode2Wav(FamilyModule):
    """The vocoder of Qwen3-Omni as Transformers' `Qwen3OmniMoeCode2Wav`: the same methods and arguments.

    It can be the `code2wav` of a loaded Qwen3-Omni; `attach` puts it there. Codes may be of any integer type on any
    device. They are copied to the CPU, and audio comes back on the device of the codes.

    The original decodes in chunks. Each chunk sees only 25 frames before it, so its beginning differs from a whole
    decode, and loses its first samples (555 at the released rates, 23 ms). Here a clip is decoded as a whole, exactly.

    Args:
        codec: The loaded codec.
        config: Transformers' configuration; made from that of `codec` if not given.
        chunked: Whether `chunked_decode` gives what the original gives, with the seams and losses of its chunks.

    Raises:
        ConfigError: It is another codec, or the configuration is of another size.

    Example:
        >>> import mimi_codec, torch
        >>> from mimi_codec.synthetic import write_synthetic_family
        >>> from mimi_codec.transformers import Qwen3OmniMoeCode2Wav
        >>> model = Qwen3OmniMoeCode2Wav(mimi_codec.load(write_synthetic_family("wave", "code2wav")))
        >>> model.chunked_decode(torch.zeros(1, 16, 10, dtype=torch.long)).shape
        torch.Size([1, 1, 18645])
    """

    kind = "code2wav"
    main_input_name = "codes"
    codec: QwenCodec

    def __init__(
        self, codec: QwenCodec, config: Qwen3OmniMoeCode2WavConfig | None = None, *, chunked: bool = False
    ) -> None:
        super().__init__(codec, config)
        self.chunked = chunked

    @property
    def total_upsample(self) -> int:
        """Samples per frame, by which the host counts: 1920 in the released model."""
        return self.codec.frame_size

    @outside_graphs
    def forward(self, codes: torch.Tensor, **options: Any) -> torch.Tensor:
        """Decode codes as a whole.

        Args:
            codes: Codes (B, K, T) of any integer type.
            **options: None; `output_attentions` and `output_hidden_states` may be False.

        Returns:
            Audio (B, 1, T * total_upsample - delay) in the module's float type, between -1 and 1. The last `delay`
            samples of a clip are missing, as they would depend on a frame that is not there.

        Raises:
            CodesError: The shape is wrong, or an id is outside the codebooks.
            InputTypeError: It is not a tensor, or not of an integer type.
        """
        refuse_options(options, allowed=())
        return tensor_out(self._whole(codes_in(codes, "codes")), codes.device, self.dtype)

    @outside_graphs
    def chunked_decode(self, codes: torch.Tensor, chunk_size: int = 300, left_context_size: int = 25) -> torch.Tensor:
        """Decode codes as `generate` asks for it: as a whole and exactly, or with `chunked` in chunks as the original.

        A host that decodes a batch finds the end of each row from the length of the result. It takes for granted that
        each chunk has lost the same number of samples. So where there are several rows, and frames for more than one
        chunk, the result has all T * total_upsample samples: first `delay` samples of silence, and then the exact
        audio. Each row is then whole. Otherwise there is no such silence.

        Args:
            codes: Codes (B, K, T) of any integer type.
            chunk_size: Frames of a chunk.
            left_context_size: Frames before a chunk that are decoded with it; matters only with `chunked`.

        Returns:
            Audio (B, 1, N) in the module's float type. N = T * total_upsample - delay, or T * total_upsample for
            several rows of more than `chunk_size` frames; with `chunked` T * total_upsample - delay * chunks.

        Raises:
            CodesError: The shape is wrong, or an id is outside the codebooks.
            ConfigError: A size is out of range.
            InputTypeError: It is not a tensor, or not of an integer type, or a size is not an integer.
        """
        size = to_count(chunk_size, "chunk_size")
        context = to_count(left_context_size, "left_context_size", least=0)
        rows = codes_in(codes, "codes")
        if self.chunked:
            audio = self.codec.chunked_decode(rows, chunk_size=size, left_context_size=context)
        else:
            audio = self._whole(rows)
            if rows.shape[0] > 1 and rows.shape[2] > size:
                audio = np.pad(audio, ((0, 0), (0, 0), (self.codec.delay, 0)))
        return tensor_out(audio, codes.device, self.dtype)

    def _whole(self, codes: torch.Tensor) -> Float32Array:
        # Said in full, so that -1 is an invalid code as any other.
        return self.codec.decode(codes, lengths=np.full(codes.shape[0], codes.shape[2]))

    def _config_of(self, codec: QwenCodec) -> Qwen3OmniMoeCode2WavConfig:
        fields = {name: value for name, value in codec.config.items() if name not in NOT_FIELDS}
        return Qwen3OmniMoeCode2WavConfig(**fields)

    def _sizes(self) -> list[Size]:
        config = self.config
        hop = math.prod((*config.upsample_rates, *config.upsampling_ratios))
        return [
            ("codebooks", config.num_quantizers, self.codec.num_codebooks),
            ("entries per codebook", config.codebook_size, self.codec.codebook_size),
            ("samples per frame", hop, self.codec.frame_size),
        ]
