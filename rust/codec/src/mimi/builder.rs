//! Makes the layers of a model from a checkpoint, and counts what they will remember.

use crate::config::MimiConfig;
use crate::ops::{Activation, Backend, Conv, ConvShape, ConvTranspose, ConvTransposeShape, LayerNorm, Linear};
use crate::state::StateLayout;
use crate::weights::Checkpoint;
use crate::{Error, Result};

/// Reads tensors by their canonical names and makes operations of them for one backend.
pub(crate) struct Builder<'a> {
    checkpoint: &'a Checkpoint,
    backend: &'a Backend,
    /// What the layers made so far remember.
    pub(crate) layout: StateLayout,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(checkpoint: &'a Checkpoint, backend: &'a Backend) -> Self {
        Self { checkpoint, backend, layout: StateLayout::default() }
    }

    pub(crate) fn backend(&self) -> &'a Backend {
        self.backend
    }

    pub(crate) fn checkpoint(&self) -> &'a Checkpoint {
        self.checkpoint
    }

    pub(crate) fn config(&self) -> &'a MimiConfig {
        self.checkpoint.config()
    }

    /// The convolution `{name}.conv`.
    pub(crate) fn conv(&mut self, name: &str, shape: ConvShape, bias: bool) -> Result<Conv> {
        let weight = self.checkpoint.read(&format!("{name}.conv.weight"))?;
        let bias = bias.then(|| self.checkpoint.read(&format!("{name}.conv.bias"))).transpose()?;
        Conv::new(self.backend, &mut self.layout, shape, &weight, bias.as_deref())
    }

    /// The transposed convolution `{name}.conv`.
    pub(crate) fn conv_transpose(
        &mut self,
        name: &str,
        shape: ConvTransposeShape,
        bias: bool,
    ) -> Result<ConvTranspose> {
        let weight = self.checkpoint.read(&format!("{name}.conv.weight"))?;
        let bias = bias.then(|| self.checkpoint.read(&format!("{name}.conv.bias"))).transpose()?;
        ConvTranspose::new(self.backend, &mut self.layout, shape, &weight, bias.as_deref())
    }

    /// The layers `names`, which share their input, as one; with `scale` the outputs are multiplied, channel by channel.
    pub(crate) fn linear(
        &self,
        names: &[String],
        c_in: usize,
        bias: bool,
        scale: Option<&[f32]>,
        activation: Option<Activation>,
    ) -> Result<Linear> {
        let read = |field: &str| -> Result<Vec<f32>> {
            let mut all = Vec::new();
            for name in names {
                all.extend(self.checkpoint.read(&format!("{name}.{field}"))?);
            }
            Ok(all)
        };
        let mut weight = read("weight")?;
        let mut bias = bias.then(|| read("bias")).transpose()?;
        if let Some(scale) = scale {
            for (row, &scale) in weight.chunks_exact_mut(c_in).zip(scale) {
                row.iter_mut().for_each(|weight| *weight *= scale);
            }
            for (bias, &scale) in bias.iter_mut().flatten().zip(scale) {
                *bias *= scale;
            }
        }
        let c_out = weight.len() / c_in;
        Linear::new(self.backend, (c_in, c_out), &weight, bias.as_deref(), activation)
    }

    /// The layer norm `name`.
    pub(crate) fn norm(&self, name: &str) -> Result<LayerNorm> {
        let read = |field: &str| self.checkpoint.read(&format!("{name}.{field}"));
        LayerNorm::new(self.backend, read("weight")?, read("bias")?, self.config().norm_eps)
    }

    /// The configuration's activation between the transformer's dense layers.
    pub(crate) fn hidden_activation(&self) -> Result<Activation> {
        match self.config().hidden_act.as_str() {
            "gelu" => Ok(Activation::GeluErf),
            "gelu_pytorch_tanh" | "gelu_new" => Ok(Activation::GeluTanh),
            other => {
                Err(Error::config("hidden_act", format!("expected gelu, gelu_pytorch_tanh or gelu_new, got {other}")))
            }
        }
    }
}
