"""What both classes say of the tokenizer, by the methods that `qwen-tts` has for it."""

from __future__ import annotations

from ..qwen import QwenCodec


class TokenizerFacts:
    """The kind and the rates of a codec."""

    codec: QwenCodec

    def get_model_type(self) -> str:
        """Return the `model_type` of the configuration.

        Returns:
            "qwen3_tts_tokenizer_12hz".
        """
        return str(self.codec.config["model_type"])

    def get_input_sample_rate(self) -> int:
        """Return the samples per second of audio to encode.

        Returns:
            In Hz.
        """
        return self.codec.sample_rate

    def get_output_sample_rate(self) -> int:
        """Return the samples per second of decoded audio.

        Returns:
            In Hz.
        """
        return self.codec.sample_rate

    def get_encode_downsample_rate(self) -> int:
        """Return the samples of a frame of codes.

        Returns:
            `frame_size` of the codec.
        """
        return self.codec.frame_size

    def get_decode_upsample_rate(self) -> int:
        """Return the samples of a frame of codes.

        Returns:
            `frame_size` of the codec.
        """
        return self.codec.frame_size
