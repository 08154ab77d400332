//! Makes operations of a plan's layers: reads their tensors, and counts what they hold and what they will remember.

use mimi_kernels::Array;

use super::reader::Reader;
use crate::error::Result;
use crate::ops::{
    Activation, Arrays, Attention, AttentionShape, Backend, ConvShape, ConvTransposeShape, LinearShape, Operation,
    Rotary, Slots,
};
use crate::plan::{self, NormKind};
use crate::weights::Stored;

/// Reads weights by their canonical names and makes operations of them for one backend.
pub(crate) struct Builder<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) backend: &'a dyn Backend,
    /// What the layers made so far remember.
    pub(crate) memory: Slots,
    /// The weights of the layers made so far.
    pub(crate) held: Held,
}

/// The weights of layers as they are in memory.
#[derive(Default)]
pub(crate) struct Held {
    /// How many bytes they take.
    pub(crate) bytes: usize,
    /// What the kernels read, by the layers' names and their own. It could be kept in a file.
    pub(crate) arrays: Vec<(String, Array)>,
}

impl Held {
    /// Takes the weights of a part, if there is one, and gives the part.
    pub(crate) fn part<T>(&mut self, part: Option<(T, Self)>) -> Option<T> {
        part.map(|(part, held)| {
            self.bytes += held.bytes;
            self.arrays.extend(held.arrays);
            part
        })
    }

    pub(super) fn add(&mut self, name: &str, bytes: usize, arrays: Arrays) {
        self.bytes += bytes;
        self.arrays.extend(arrays.into_iter().map(|(field, array)| (format!("{name}.{field}"), array)));
    }
}

impl<'a> Builder<'a> {
    pub(crate) fn new(stored: &'a Stored<'a>, backend: &'a dyn Backend) -> Self {
        Self { reader: Reader::new(stored), backend, memory: Slots::default(), held: Held::default() }
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
        let weights = self.reader.weights([conv.name.as_str()].into_iter(), conv.bias, conv.scale.as_deref())?;
        let operation = self.backend.conv(&mut self.memory, shape, weights)?;
        Ok(self.counted(&conv.name, operation))
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
        let weights = self.reader.weights([conv.name.as_str()].into_iter(), conv.bias, None)?;
        let operation = self.backend.conv_transpose(&mut self.memory, shape, weights)?;
        Ok(self.counted(&conv.name, operation))
    }

    /// A dense layer of `steps` in a frame; `exact` keeps its weights as they are, whatever the backend stores others in.
    pub(super) fn linear(
        &mut self,
        linear: &plan::Linear,
        steps: usize,
        exact: bool,
        activation: Option<Activation>,
    ) -> Result<Box<dyn Operation>> {
        let shape = LinearShape { c_in: linear.c_in, c_out: linear.c_out(), rows_per_frame: steps, activation, exact };
        let names = linear.modules.iter().map(|module| module.name.as_str());
        let first = names.clone().next().unwrap_or_default();
        let weights = self.reader.weights(names, linear.bias, linear.scale.as_deref())?;
        let operation = self.backend.linear(shape, weights)?;
        Ok(self.counted(first, operation))
    }

    pub(super) fn norm(&mut self, norm: &plan::Norm) -> Result<Box<dyn Operation>> {
        let &plan::Norm { channels, epsilon, kind, .. } = norm;
        let has_bias = kind == NormKind::Layer;
        let weights = self.reader.weights([norm.name.as_str()].into_iter(), has_bias, None)?;
        let operation = match kind {
            NormKind::Layer => self.backend.layer_norm(channels, weights, epsilon)?,
            NormKind::RootMeanSquare => self.backend.rms_norm(channels, weights, epsilon)?,
        };
        Ok(self.counted(&norm.name, operation))
    }

    pub(super) fn snake(&mut self, snake: &plan::Snake) -> Result<Box<dyn Operation>> {
        let weights = self.reader.snake(&snake.name)?;
        let operation = self.backend.snake(snake.channels, weights)?;
        Ok(self.counted(&snake.name, operation))
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

    fn counted(&mut self, name: &str, operation: Box<dyn Operation>) -> Box<dyn Operation> {
        self.held.add(name, operation.bytes(), operation.arrays());
        operation
    }
}

fn attention_shape(attention: plan::Attention, rows_per_frame: usize) -> AttentionShape {
    let plan::Attention { heads, kv_heads, head_dim, window } = attention;
    AttentionShape { heads, kv_heads, head_dim, window, rows_per_frame }
}
