//! The names of the codecs.

use std::fmt;

/// Which codec a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CodecKind {
    /// Kyutai's Mimi.
    Mimi,
    /// The audio tokenizer of Pocket TTS.
    PocketTts,
    /// The decoder of Qwen3-Omni.
    Code2Wav,
    /// The 12 Hz tokenizer of Qwen3-TTS.
    Qwen3Tts,
    /// The acoustic tokenizer of VibeVoice.
    VibeVoice,
    /// The semantic tokenizer of VibeVoice, or an encoder of VibeVoice-ASR.
    VibeVoiceEncoder,
}

impl CodecKind {
    /// `"mimi"`, `"pocket-tts"`, `"code2wav"`, `"qwen3-tts"`, `"vibevoice"` or `"vibevoice-encoder"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mimi => "mimi",
            Self::PocketTts => "pocket-tts",
            Self::Code2Wav => "code2wav",
            Self::Qwen3Tts => "qwen3-tts",
            Self::VibeVoice => "vibevoice",
            Self::VibeVoiceEncoder => "vibevoice-encoder",
        }
    }
}

impl fmt::Display for CodecKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
