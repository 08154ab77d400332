"""A tiny random 12 Hz tokenizer of Qwen3-TTS: an encoder that is Mimi's, and a decoder. Needs the package `qwen-tts`.

    tokenizer = tiny_qwen_tokenizer.tokenizer()
    encoded = tokenizer.encode([pcm], sr=24000)  # .audio_codes: a list of (T, K)
    (audio,), sample_rate = tokenizer.decode([{"audio_codes": encoded.audio_codes[0]}])
    host = tiny_qwen_tts.model()
    host.load_speech_tokenizer(tokenizer)

16 samples are a frame. The encoder has 6 codebooks, of which 4 are kept.
"""

from pathlib import Path

import torch
from qwen_tts import Qwen3TTSTokenizer
from qwen_tts.core.tokenizer_12hz.configuration_qwen3_tts_tokenizer_v2 import Qwen3TTSTokenizerV2Config
from qwen_tts.core.tokenizer_12hz.modeling_qwen3_tts_tokenizer_v2 import Qwen3TTSTokenizerV2Model
from transformers import EncodecFeatureExtractor

import synthetic

HOP = 16  # samples a frame
CODEBOOKS = 4
CODEBOOK_SIZE = 32

DECODER = {
    "codebook_size": CODEBOOK_SIZE,
    "num_quantizers": CODEBOOKS,
    "codebook_dim": 16,
    "hidden_size": 24,
    "latent_dim": 32,
    "head_dim": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "sliding_window": 7,
    "upsample_rates": (2, 2),
    "upsampling_ratios": (2, 2),
    "decoder_dim": 32,
}


@torch.no_grad()
def model(**decoder) -> Qwen3TTSTokenizerV2Model:
    """The codec itself, always with the same weights; options are changes of the decoder's configuration."""
    mimi = synthetic.build(synthetic.tiny_config(codebook_size=CODEBOOK_SIZE))
    shapes = DECODER | decoder
    config = Qwen3TTSTokenizerV2Config(
        encoder_config=mimi.config.to_dict(),
        decoder_config=shapes,
        encoder_valid_num_quantizers=shapes["num_quantizers"],
        encode_downsample_rate=HOP,
        decode_upsample_rate=HOP,
    )
    codec = Qwen3TTSTokenizerV2Model(config)
    missing, _ = codec.encoder.load_state_dict(mimi.state_dict(), strict=False)
    assert not missing
    rng = torch.Generator().manual_seed(17)
    for name, parameter in codec.decoder.named_parameters():
        if name.endswith("cluster_usage"):
            parameter.copy_(0.5 + torch.rand(parameter.shape, generator=rng))
        elif parameter.dim() > 1:
            gain = 0.4 if name.startswith("decoder.") else 1.5  # residual blocks add up
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * gain * parameter[0].numel() ** -0.5)
        elif "layer_scale" in name:
            parameter.copy_(0.5 + 0.1 * torch.randn(parameter.shape, generator=rng))
        elif not name.endswith("norm.weight"):
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=rng))
    return codec.eval()


def tokenizer(**decoder) -> Qwen3TTSTokenizer:
    """What the host holds and its users call."""
    whole = Qwen3TTSTokenizer()
    whole.model = model(**decoder)
    whole.feature_extractor = EncodecFeatureExtractor(feature_size=1, sampling_rate=24000, padding_value=0.0)
    whole.config, whole.device = whole.model.config, torch.device("cpu")
    return whole


def write(directory: Path, **decoder) -> Path:
    """As a released tokenizer lies on disk, for `Qwen3TTSTokenizer.from_pretrained`."""
    whole = tokenizer(**decoder)
    whole.model.save_pretrained(directory)
    whole.feature_extractor.save_pretrained(directory)
    return directory
