//! Streams: sessions that share a model and keep what they have heard.

mod decode;
mod encode;
mod saved;
#[cfg(test)]
mod tests;

pub use decode::DecoderStream;
pub use encode::EncoderStream;

use crate::{Error, Result};

/// The sessions a call is for: those with an input.
fn active_rows<T>(inputs: &[Option<T>], sessions: usize) -> Result<Vec<usize>> {
    if inputs.len() != sessions {
        return Err(Error::Stream(format!("expected input for {sessions} sessions, got {}", inputs.len())));
    }
    Ok((0..sessions).filter(|&row| inputs[row].is_some()).collect())
}

/// The sessions a mask names; all without one.
fn masked_rows(mask: Option<&[bool]>, sessions: usize) -> Result<Vec<usize>> {
    match mask {
        None => Ok((0..sessions).collect()),
        Some(mask) if mask.len() == sessions => Ok((0..sessions).filter(|&row| mask[row]).collect()),
        Some(mask) => Err(Error::Stream(format!("expected a mask of {sessions} sessions, got {}", mask.len()))),
    }
}

fn check_sessions(sessions: usize) -> Result<()> {
    if sessions == 0 {
        return Err(Error::Stream("expected at least one session, got a batch size of 0".into()));
    }
    Ok(())
}
