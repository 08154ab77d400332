//! Qwen's decoders: tokens through a gated transformer, and up to samples through ConvNeXt blocks and Snake convolutions.
//!
//! Qwen3-Omni's Code2Wav and the 12 Hz tokenizer of Qwen3-TTS share these layers, and their widths differ.

pub(super) mod code2wav;
mod layers;
mod sizes;
pub(super) mod tts;
