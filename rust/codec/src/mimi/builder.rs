//! Makes the layers of a model from a checkpoint, and counts what they will remember.

use crate::config::MimiConfig;
use crate::ops::{Activation, Backend, ConvShape, ConvTransposeShape, LinearShape, Operation};
use crate::state::StateLayout;
use crate::weights::Checkpoint;
use crate::{Error, Result};

/// Reads tensors by their canonical names and makes operations of them for one backend.
pub(crate) struct Builder<'a> {
    checkpoint: &'a Checkpoint,
    backend: &'a dyn Backend,
    /// Whether dense layers must keep their weights as they are.
    exact: bool,
    /// What the layers made so far remember.
    pub(crate) layout: StateLayout,
    /// The weights of the layer at hand: fresh memory for each would cost as much as reading it.
    weight: Vec<f32>,
}

/// Floats of the buffer that are kept for the next layer: few layers of Mimi have more than these 8 MB.
const KEPT: usize = 2 << 20;

impl<'a> Builder<'a> {
    pub(crate) fn new(checkpoint: &'a Checkpoint, backend: &'a dyn Backend) -> Self {
        Self { checkpoint, backend, exact: false, layout: StateLayout::default(), weight: Vec::new() }
    }

    /// The same for layers whose weights stay as they are.
    pub(crate) fn exact(self) -> Self {
        Self { exact: true, ..self }
    }

    pub(crate) fn backend(&self) -> &'a dyn Backend {
        self.backend
    }

    pub(crate) fn checkpoint(&self) -> &'a Checkpoint {
        self.checkpoint
    }

    pub(crate) fn config(&self) -> &'a MimiConfig {
        self.checkpoint.config()
    }

    /// Empties the buffer; a large one is given back, as it would add to all weights at the end.
    fn make_room(&mut self) {
        self.weight.clear();
        if self.weight.capacity() > KEPT {
            self.weight = Vec::new();
        }
    }

    /// The convolution `{name}.conv`.
    pub(crate) fn conv(&mut self, name: &str, shape: ConvShape, bias: bool) -> Result<Box<dyn Operation>> {
        self.make_room();
        self.checkpoint.read_into(&format!("{name}.conv.weight"), &mut self.weight)?;
        let bias = bias.then(|| self.checkpoint.read(&format!("{name}.conv.bias"))).transpose()?;
        self.backend.conv(&mut self.layout, shape, &self.weight, bias.as_deref())
    }

    /// The transposed convolution `{name}.conv`.
    pub(crate) fn conv_transpose(
        &mut self,
        name: &str,
        shape: ConvTransposeShape,
        bias: bool,
    ) -> Result<Box<dyn Operation>> {
        self.make_room();
        self.checkpoint.read_into(&format!("{name}.conv.weight"), &mut self.weight)?;
        let bias = bias.then(|| self.checkpoint.read(&format!("{name}.conv.bias"))).transpose()?;
        self.backend.conv_transpose(&mut self.layout, shape, &self.weight, bias.as_deref())
    }

    /// The layers `names`, which share their input, as one; with `scale` the outputs are multiplied, channel by channel.
    pub(crate) fn linear(
        &mut self,
        names: &[String],
        c_in: usize,
        bias: bool,
        scale: Option<&[f32]>,
        activation: Option<Activation>,
    ) -> Result<Box<dyn Operation>> {
        self.make_room();
        let read = |field: &str, values: &mut Vec<f32>| {
            names.iter().try_for_each(|name| self.checkpoint.read_into(&format!("{name}.{field}"), values))
        };
        read("weight", &mut self.weight)?;
        let mut biases = Vec::new();
        if bias {
            read("bias", &mut biases)?;
        }
        if let Some(scale) = scale {
            for (row, &scale) in self.weight.chunks_exact_mut(c_in).zip(scale) {
                row.iter_mut().for_each(|weight| *weight *= scale);
            }
            for (bias, &scale) in biases.iter_mut().zip(scale) {
                *bias *= scale;
            }
        }
        let shape = LinearShape { c_in, c_out: self.weight.len() / c_in, activation, exact: self.exact };
        self.backend.linear(shape, &self.weight, bias.then_some(&biases))
    }

    /// The layer norm `name`.
    pub(crate) fn norm(&self, name: &str) -> Result<Box<dyn Operation>> {
        let read = |field: &str| self.checkpoint.read(&format!("{name}.{field}"));
        self.backend.layer_norm(&read("weight")?, &read("bias")?, self.config().norm_eps)
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
