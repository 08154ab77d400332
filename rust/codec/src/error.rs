//! The one error type of the crate: every message says what was expected and what came.

use std::path::PathBuf;

/// A result whose error is [`enum@Error`] unless said otherwise.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
///
/// Errors are raised before any state changes: a call that fails leaves a stream as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // === Configuration ===
    /// A field of the configuration, or an option, has a value that is not supported.
    #[error("config field `{field}`: {message}")]
    Config {
        /// The field's name, as in `config.json`.
        field: String,
        /// What was expected and what came.
        message: String,
    },

    // === Files and weights ===
    /// A file is missing, unreadable, truncated or not what its name says.
    #[error("{}: {message}", .path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What was expected and what came.
        message: String,
    },
    /// A tensor that the model needs is not in the checkpoint.
    #[error("tensor `{name}` is missing: expected a tensor of shape {expected:?}")]
    MissingTensor {
        /// The tensor's name, in the checkpoint's own spelling.
        name: String,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
    },
    /// A tensor's shape is not what the configuration asks for.
    #[error("tensor `{name}`: expected shape {expected:?}, got {got:?}")]
    TensorShape {
        /// The tensor's name, in the checkpoint's own spelling.
        name: String,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
        /// The shape in the checkpoint.
        got: Vec<usize>,
    },
    /// A tensor is stored in a type that is not supported.
    #[error("tensor `{name}`: expected dtype F32, BF16 or F16, got {got}")]
    TensorDtype {
        /// The tensor's name, in the checkpoint's own spelling.
        name: String,
        /// The type in the checkpoint, as safetensors spells it.
        got: String,
    },
    /// A tensor holds a value that is NaN or infinite.
    #[error("tensor `{name}`: expected finite values, got {value} at index {index}")]
    TensorValue {
        /// The tensor's name, in the checkpoint's own spelling.
        name: String,
        /// The flat index of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },
    /// The checkpoint's codec has tensors that the configuration gives no place to.
    #[error("expected only the tensors that the configuration describes, got {} more: {}", .names.len(), first_few(.names))]
    SurplusTensors {
        /// The tensors' names, sorted, in the checkpoint's own spelling.
        names: Vec<String>,
    },

    // === Input ===
    /// Audio that cannot be encoded.
    #[error("{0}")]
    Audio(String),
    /// Codes that cannot be decoded.
    #[error("{0}")]
    Codes(String),
    /// Latents that cannot be quantized or decoded.
    #[error("{0}")]
    Latents(String),
    /// A stream used in a way that its state or its shape does not allow.
    #[error("{0}")]
    Stream(String),

    // === Running ===
    /// A device that is not there or not supported.
    #[error("{0}")]
    Device(String),
    /// There is no memory for what was asked.
    #[error("not enough memory: {bytes} more bytes are needed")]
    Memory {
        /// Bytes that could not be had.
        bytes: usize,
    },
    /// A value became infinite or NaN on the way through the model.
    #[error("{0}")]
    Numeric(String),
    /// The caller asked to stop; nothing was changed.
    #[error("interrupted")]
    Interrupted,
    /// An operation on tensors failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// A code that is none of a codebook's `entries`.
    pub fn code_out_of_range(code: i64, entries: usize, codebook: usize, frame: usize) -> Self {
        Error::Codes(format!(
            "expected codes between 0 and {}, got {code} in codebook {codebook}, frame {frame}",
            entries.saturating_sub(1)
        ))
    }

    pub(crate) fn config(field: impl Into<String>, message: impl Into<String>) -> Self {
        Error::Config { field: field.into(), message: message.into() }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Error::File { path: path.into(), message: message.into() }
    }
}

/// The first names of a list that may be long.
fn first_few(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let rest = names.len() - shown.len();
    if rest == 0 { shown.join(", ") } else { format!("{} and {rest} others", shown.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surplus_message_lists_the_first_few_and_counts_all() {
        let names = (0..7).map(|i| format!("t{i}")).collect();
        let message = Error::SurplusTensors { names }.to_string();
        assert_eq!(
            message,
            "expected only the tensors that the configuration describes, got 7 more: `t0`, `t1`, `t2`, `t3`, `t4` and 2 others"
        );
    }

    #[test]
    fn messages_name_expected_and_got() {
        let error = Error::TensorShape { name: "a.weight".into(), expected: vec![2, 3], got: vec![3] };
        assert_eq!(error.to_string(), "tensor `a.weight`: expected shape [2, 3], got [3]");
        let error = Error::config("pad_mode", "expected \"constant\", got \"reflect\"");
        assert_eq!(error.to_string(), "config field `pad_mode`: expected \"constant\", got \"reflect\"");
    }
}
