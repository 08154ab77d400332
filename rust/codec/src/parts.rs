//! Which halves of a codec are wanted.

use std::str::FromStr;

use crate::error::{Error, Result};

/// The halves of a codec that are wanted. A quantizer goes with either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parts {
    /// Encoder and decoder.
    #[default]
    Both,
    /// From samples to codes or latents only.
    Encoder,
    /// From codes or latents to samples only.
    Decoder,
}

impl Parts {
    /// Whether the encoder is wanted.
    pub fn encoder(self) -> bool {
        self != Parts::Decoder
    }

    /// Whether the decoder is wanted.
    pub fn decoder(self) -> bool {
        self != Parts::Encoder
    }

    /// `"both"`, `"encoder"` or `"decoder"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Parts::Both => "both",
            Parts::Encoder => "encoder",
            Parts::Decoder => "decoder",
        }
    }
}

impl FromStr for Parts {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = [Parts::Both, Parts::Encoder, Parts::Decoder];
        known.into_iter().find(|parts| parts.as_str() == text).ok_or_else(|| {
            Error::config("parts", format!("expected \"both\", \"encoder\" or \"decoder\", got {text:?}"))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parts_parse() {
        assert_eq!("decoder".parse::<Parts>().unwrap(), Parts::Decoder);
        assert!(Parts::Encoder.encoder() && !Parts::Encoder.decoder());
        let error = "half".parse::<Parts>().unwrap_err().to_string();
        assert!(error.contains("parts") && error.contains("half"), "{error}");
    }
}
