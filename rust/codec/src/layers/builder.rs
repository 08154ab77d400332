//! Makes operations of a plan's layers: reads their tensors, and counts what they hold and what they will remember.

use crate::error::{Error, Result};
use crate::ops::{
    Activation, Attention, AttentionShape, Backend, ConvShape, ConvTransposeShape, LinearShape, Operation, Rotary,
    Slots,
};
use crate::plan::{self, NormKind};
use crate::weights::Checkpoint;

/// Reads tensors by their canonical names and makes operations of them for one backend.
pub(crate) struct Builder<'a> {
    pub(super) checkpoint: &'a Checkpoint<'a>,
    pub(super) backend: &'a dyn Backend,
    /// What the layers made so far remember.
    pub(crate) memory: Slots,
    /// Bytes of the weights of the layers made so far.
    pub(crate) bytes: usize,
    /// The weights of the layer at hand: fresh memory for each would cost as much as reading it.
    weight: Vec<f32>,
}

/// Floats of the buffer that are kept for the next layer: few layers of Mimi have more than these 8 MB.
const KEPT: usize = 2 << 20;

impl<'a> Builder<'a> {
    pub(crate) fn new(checkpoint: &'a Checkpoint<'a>, backend: &'a dyn Backend) -> Self {
        Self { checkpoint, backend, memory: Slots::default(), bytes: 0, weight: Vec::new() }
    }

    /// A convolution with `outputs` in a frame.
    pub(super) fn conv(
        &mut self,
        conv: &plan::Conv,
        outputs: usize,
        activation: Option<Activation>,
    ) -> Result<Box<dyn Operation>> {
        let &plan::Conv { c_in, c_out, kernel, stride, dilation, groups, edge, .. } = conv;
        let rows_per_frame = outputs;
        let shape = ConvShape { c_in, c_out, kernel, stride, dilation, groups, edge, rows_per_frame, activation };
        let mut bias = self.weight_and_bias(&conv.name, conv.bias)?;
        if let Some(scale) = &conv.scale {
            let scale = self.checkpoint.read(scale)?;
            scale_outputs(&scale, &mut self.weight, bias.as_deref_mut().unwrap_or_default());
        }
        let operation = self.backend.conv(&mut self.memory, shape, &self.weight, bias.as_deref())?;
        Ok(self.counted(operation))
    }

    /// A transposed convolution with `inputs` in a frame.
    pub(super) fn conv_transpose(
        &mut self,
        conv: &plan::ConvTranspose,
        inputs: usize,
        activation: Option<Activation>,
    ) -> Result<Box<dyn Operation>> {
        let &plan::ConvTranspose { c_in, c_out, kernel, stride, groups, .. } = conv;
        let shape = ConvTransposeShape { c_in, c_out, kernel, stride, groups, rows_per_frame: inputs, activation };
        let bias = self.weight_and_bias(&conv.name, conv.bias)?;
        let operation = self.backend.conv_transpose(&mut self.memory, shape, &self.weight, bias.as_deref())?;
        Ok(self.counted(operation))
    }

    /// A dense layer of `steps` in a frame; `exact` keeps its weights as they are, whatever the backend stores others in.
    pub(super) fn linear(
        &mut self,
        linear: &plan::Linear,
        steps: usize,
        exact: bool,
        activation: Option<Activation>,
    ) -> Result<Box<dyn Operation>> {
        self.make_room();
        let (c_in, c_out) = (linear.c_in, linear.c_out());
        let read = |field: &str, values: &mut Vec<f32>| {
            let mut names = linear.modules.iter().map(|module| format!("{}.{field}", module.name));
            names.try_for_each(|name| self.checkpoint.read_into(&name, values))
        };
        read("weight", &mut self.weight)?;
        let mut bias = Vec::new();
        if linear.bias {
            read("bias", &mut bias)?;
        }
        if let Some(scale) = &linear.scale {
            let scale = self.checkpoint.read(scale)?;
            scale_outputs(&scale, &mut self.weight, &mut bias);
        }
        let bias = linear.bias.then_some(bias.as_slice());
        let shape = LinearShape { c_in, c_out, rows_per_frame: steps, activation, exact };
        let operation = self.backend.linear(shape, &self.weight, bias)?;
        Ok(self.counted(operation))
    }

    pub(super) fn norm(&mut self, norm: &plan::Norm) -> Result<Box<dyn Operation>> {
        let read = |field: &str| self.checkpoint.read(&format!("{}.{field}", norm.name));
        let operation = match norm.kind {
            NormKind::Layer => self.backend.layer_norm(&read("weight")?, &read("bias")?, norm.epsilon)?,
            NormKind::RootMeanSquare => self.backend.rms_norm(&read("weight")?, norm.epsilon)?,
        };
        Ok(self.counted(operation))
    }

    pub(super) fn snake(&mut self, snake: &plan::Snake) -> Result<Box<dyn Operation>> {
        /// What keeps the division finite, as in the reference.
        const LEAST: f32 = 1e-9;
        let read = |field: &str| self.checkpoint.read(&format!("{}.{field}", snake.name));
        let rates: Vec<f32> = read("alpha")?.into_iter().map(f32::exp).collect();
        let scales: Vec<f32> = read("beta")?.into_iter().map(|beta| 1.0 / (beta.exp() + LEAST)).collect();
        if let Some(index) = rates.iter().position(|rate| !rate.is_finite()) {
            let (name, value) = (format!("{}.alpha", snake.name), rates[index]);
            return Err(Error::TensorValue { name, index, value });
        }
        let operation = self.backend.snake(&rates, &scales)?;
        Ok(self.counted(operation))
    }

    pub(super) fn gate(&self, gate: plan::Gate) -> Result<Box<dyn Operation>> {
        self.backend.gate(gate.activation, gate.channels)
    }

    pub(super) fn activation(&self, activation: Activation) -> Result<Box<dyn Operation>> {
        self.backend.activation(activation)
    }

    /// Attention of `steps` in a frame.
    pub(super) fn attention(&mut self, attention: plan::Attention, steps: usize) -> Result<Box<dyn Attention>> {
        self.backend.attention(&mut self.memory, attention_shape(attention, steps))
    }

    /// The angles of `steps` in a frame.
    pub(super) fn rotary(&self, transformer: &plan::Transformer, steps: usize) -> Result<Box<dyn Rotary>> {
        self.backend.rotary(attention_shape(transformer.attention, steps), transformer.theta)
    }

    /// The weight of the module `name` in the buffer, and its bias if it has one.
    fn weight_and_bias(&mut self, name: &str, bias: bool) -> Result<Option<Vec<f32>>> {
        self.make_room();
        self.checkpoint.read_into(&format!("{name}.weight"), &mut self.weight)?;
        bias.then(|| self.checkpoint.read(&format!("{name}.bias"))).transpose()
    }

    /// Empties the buffer; a large one is given back, as it would add to all weights at the end.
    fn make_room(&mut self) {
        self.weight.clear();
        if self.weight.capacity() > KEPT {
            self.weight = Vec::new();
        }
    }

    fn counted(&mut self, operation: Box<dyn Operation>) -> Box<dyn Operation> {
        self.bytes += operation.bytes();
        operation
    }
}

/// Multiplies a weight's rows, and its bias, by a factor for each output.
fn scale_outputs(scale: &[f32], weight: &mut [f32], bias: &mut [f32]) {
    let depth = (weight.len() / scale.len().max(1)).max(1);
    for (row, &scale) in weight.chunks_exact_mut(depth).zip(scale) {
        row.iter_mut().for_each(|weight| *weight *= scale);
    }
    bias.iter_mut().zip(scale).for_each(|(bias, &scale)| *bias *= scale);
}

fn attention_shape(attention: plan::Attention, rows_per_frame: usize) -> AttentionShape {
    let plan::Attention { heads, kv_heads, head_dim, window } = attention;
    AttentionShape { heads, kv_heads, head_dim, window, rows_per_frame }
}
