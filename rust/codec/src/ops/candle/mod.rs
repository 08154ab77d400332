//! The definitions: each operation as a composition of candle's, on any of its devices.
//!
//! Signals may be strided. All that can be done with the weights alone is done at load: what is left for a step are
//! products, sums and functions of elements, without float64 and with a few floats for each row of uploads.

mod attention;
mod codebooks;
mod conv;
mod conv_transpose;
mod dense;
mod embedding;
mod rotary;

use candle_core::{Device, Tensor};

use super::{
    Activation, Attention, AttentionShape, Backend, CodebookShape, Codebooks, ConvShape, ConvTransposeShape, EachBook,
    Embedding, LinearShape, Operation, Rotary, Signal, TableShape, Weights,
};
use crate::error::Result;
use crate::ops::state::Slots;

/// Compositions of candle operations on a device.
pub(crate) struct Composed {
    device: Device,
}

/// Frames in a block: a wish to stop is heeded after them, and their signals are in memory together.
const BLOCK_FRAMES: usize = 32;

impl Composed {
    pub(crate) fn new(device: Device) -> Self {
        Self { device }
    }

    /// A tensor of weights where the operations take it.
    fn tensor(&self, data: &[f32], shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::from_slice(data, shape, &self.device)?)
    }

    fn optional(&self, bias: Option<&[f32]>) -> Result<Option<Tensor>> {
        bias.map(|bias| self.tensor(bias, &[bias.len()])).transpose()
    }
}

impl Backend for Composed {
    fn name(&self) -> &'static str {
        match self.device {
            Device::Cpu => "candle-cpu",
            Device::Cuda(_) => "candle-cuda",
            Device::Metal(_) => "candle-metal",
        }
    }

    fn candle(&self) -> &Device {
        &self.device
    }

    fn conv(&self, memory: &mut Slots, shape: ConvShape, weights: Weights<'_>) -> Result<Box<dyn Operation>> {
        let (weight, bias) = weights.tensors()?;
        Ok(Box::new(conv::Conv::new(self, memory, shape, &weight, bias)?))
    }

    fn conv_transpose(
        &self,
        memory: &mut Slots,
        shape: ConvTransposeShape,
        weights: Weights<'_>,
    ) -> Result<Box<dyn Operation>> {
        let (weight, bias) = weights.tensors()?;
        Ok(Box::new(conv_transpose::ConvTranspose::new(self, memory, shape, &weight, bias)?))
    }

    fn linear(&self, shape: LinearShape, weights: Weights<'_>) -> Result<Box<dyn Operation>> {
        let (weight, bias) = weights.tensors()?;
        Ok(Box::new(dense::Linear::new(self, shape, &weight, bias)?))
    }

    fn layer_norm(&self, _: usize, weights: Weights<'_>, epsilon: f64) -> Result<Box<dyn Operation>> {
        let (weight, bias) = weights.tensors()?;
        Ok(Box::new(dense::LayerNorm::new(self, &weight, bias.unwrap_or_default(), epsilon)?))
    }

    fn rms_norm(&self, _: usize, weights: Weights<'_>, epsilon: f64) -> Result<Box<dyn Operation>> {
        let (weight, _) = weights.tensors()?;
        Ok(Box::new(dense::RmsNorm::new(self, &weight, epsilon)?))
    }

    fn snake(&self, _: usize, weights: Weights<'_>) -> Result<Box<dyn Operation>> {
        let (rates, scales) = weights.tensors()?;
        Ok(Box::new(dense::Snake::new(self, &rates, scales.unwrap_or_default())?))
    }

    fn gate(&self, activation: Activation, channels: usize) -> Result<Box<dyn Operation>> {
        Ok(Box::new(dense::Gate { activation, channels }))
    }

    fn activation(&self, activation: Activation) -> Result<Box<dyn Operation>> {
        Ok(Box::new(dense::Activate(activation)))
    }

    fn rotary(&self, shape: AttentionShape, theta: f64) -> Result<Box<dyn Rotary>> {
        Ok(Box::new(rotary::Places::new(self, shape, theta)?))
    }

    fn attention(&self, memory: &mut Slots, shape: AttentionShape) -> Result<Box<dyn Attention>> {
        Ok(Box::new(attention::Windowed::new(memory, shape)))
    }

    fn codebooks(&self, shape: CodebookShape, books: EachBook<'_, '_>) -> Result<Box<dyn Codebooks>> {
        Ok(Box::new(codebooks::Books::new(self, shape.dim, books)?))
    }

    fn embedding(&self, shape: TableShape, table: Weights<'_>) -> Result<Box<dyn Embedding>> {
        let (table, _) = table.tensors()?;
        Ok(Box::new(embedding::Table::new(self, shape.dim, shape.entries, &table)?))
    }

    fn block_frames(&self) -> usize {
        BLOCK_FRAMES
    }

    fn piece_frames(&self, _: usize, _: usize) -> Option<usize> {
        None
    }
}

/// `x` `(rows, steps, depth)` times `weight` `(depth, columns)`, as one product whatever the strides of `x`.
fn product(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (rows, steps, depth) = x.dims3()?;
    Ok(x.reshape((rows * steps, depth))?.matmul(weight)?.reshape((rows, steps, ()))?)
}

/// What is done at the end of a product.
fn finish(
    x: Tensor,
    bias: Option<&Tensor>,
    residual: Option<&Tensor>,
    activation: Option<Activation>,
) -> Result<Signal> {
    crate::ops::fault_point()?;
    let x = match bias {
        Some(bias) => x.broadcast_add(bias)?,
        None => x,
    };
    let x = match residual {
        Some(residual) => (x + residual)?,
        None => x,
    };
    Signal::of(match activation {
        Some(activation) => activate(&x, activation)?,
        None => x,
    })
}

fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    Ok(match activation {
        Activation::Elu => x.elu(1.0)?,
        Activation::GeluErf => x.gelu_erf()?,
        Activation::GeluTanh => x.gelu()?,
        Activation::Silu => x.silu()?,
        Activation::Clamp => x.clamp(-1.0, 1.0)?,
    })
}

/// Bytes of the tensors that are there.
fn bytes<'a>(tensors: impl IntoIterator<Item = Option<&'a Tensor>>) -> usize {
    tensors.into_iter().flatten().map(|tensor| tensor.elem_count() * tensor.dtype().size_in_bytes()).sum()
}
