//! Streams between samples and codes, as most tests use them.

use mimi_codec::{Codes, Direction, Input, Model, Output, Padding, Result, StopFn, Stream};

/// From samples to codes.
#[derive(Debug)]
pub(crate) struct EncoderStream(pub(crate) Stream);

/// From codes to samples.
#[derive(Debug)]
pub(crate) struct DecoderStream(pub(crate) Stream);

macro_rules! of_both {
    ($stream:ident) => {
        impl $stream {
            pub(crate) fn frames(&self) -> Vec<u64> {
                self.0.frames()
            }

            pub(crate) fn reset(&mut self, mask: Option<&[bool]>) -> Result<()> {
                self.0.reset(mask)
            }

            pub(crate) fn copy(&self) -> Result<Self> {
                self.0.copy().map(Self)
            }

            pub(crate) fn save(&self) -> Result<Vec<u8>> {
                self.0.save(None)
            }

            pub(crate) fn load(&mut self, state: &[u8]) -> Result<()> {
                self.0.load(state, None)
            }
        }
    };
}

of_both!(EncoderStream);
of_both!(DecoderStream);

impl EncoderStream {
    pub(crate) fn new(model: &Model, sessions: usize, codebooks: usize) -> Result<Self> {
        Stream::new(model, Direction::ToCodes(codebooks), sessions).map(Self)
    }

    pub(crate) fn codebooks(&self) -> usize {
        match self.0.direction() {
            Direction::ToCodes(codebooks) => codebooks,
            other => panic!("expected a stream to codes, got {other:?}"),
        }
    }

    pub(crate) fn sessions(&self) -> usize {
        self.0.rows()
    }

    pub(crate) fn pending(&self) -> Vec<usize> {
        self.0.pending()
    }

    pub(crate) fn push(&mut self, inputs: &[Option<&[f32]>]) -> Result<Vec<Codes>> {
        self.push_until(inputs, &|| false)
    }

    pub(crate) fn push_until(&mut self, inputs: &[Option<&[f32]>], stop: StopFn<'_>) -> Result<Vec<Codes>> {
        let inputs: Vec<_> = inputs.iter().map(|input| input.map(Input::Pcm)).collect();
        self.0.push_until(&inputs, stop).map(codes)
    }

    pub(crate) fn flush(&mut self, mask: Option<&[bool]>) -> Result<Vec<Codes>> {
        self.0.flush(mask, Padding::Transformers).map(codes)
    }
}

impl DecoderStream {
    pub(crate) fn new(model: &Model, sessions: usize) -> Result<Self> {
        Stream::new(model, Direction::FromCodes, sessions).map(Self)
    }

    pub(crate) fn push(&mut self, inputs: &[Option<Codes>]) -> Result<Vec<Vec<f32>>> {
        self.push_until(inputs, &|| false)
    }

    pub(crate) fn push_until(&mut self, inputs: &[Option<Codes>], stop: StopFn<'_>) -> Result<Vec<Vec<f32>>> {
        let inputs: Vec<_> = inputs.iter().map(|input| input.as_ref().map(Input::Codes)).collect();
        let outputs = self.0.push_until(&inputs, stop)?;
        Ok(outputs.into_iter().map(|output| output.into_pcm().unwrap()).collect())
    }
}

fn codes(outputs: Vec<Output>) -> Vec<Codes> {
    outputs.into_iter().map(|output| output.into_codes().unwrap()).collect()
}
