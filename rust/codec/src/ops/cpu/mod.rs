//! The CPU kernels: weights packed at load, everything on slices.

mod activation;
mod attention;
mod codebooks;
mod conv;
mod conv_transpose;
mod embedding;
mod gate;
pub(crate) mod host;
mod linear;
mod norm;
mod snake;
mod spare;

use std::sync::Arc;

use candle_core::{Device, Shape, Tensor};
use mimi_kernels::{PackedMatrix, Precision, Threads, simd::Level};

use super::precisions::FEW_ROWS;
use super::rotary::Frequencies;
use super::{
    Activation, Angles, Attention, AttentionShape, Backend, CodebookShape, Codebooks, ConvShape, ConvTransposeShape,
    EachBook, Embedding, LinearShape, Operation, Rotary, Signal, TableShape, Weights, fault_point,
};
use crate::error::Result;
use crate::ops::state::{Block, Slots};
use spare::Spare;

/// The fastest kernels of this processor.
#[derive(Clone)]
pub(crate) struct Kernels {
    level: Level,
    threads: Arc<Threads>,
    spare: Arc<Spare>,
    /// How weights are stored that a stream reads for a few rows at a time: their size is what such a product costs.
    precision: Precision,
    /// Whether codebooks get what makes a search of few rows faster.
    screens: bool,
}

/// What the arrays are called of convolutions that take each channel by itself.
const TAPS: &str = "taps";
const BIAS: &str = "bias";

/// Frames in a block. In a codec of 12.5 frames a second the large weights of a layer with 2 rows in a frame are then read
/// once for 64.
const BLOCK_FRAMES: usize = 32;

/// Floats of a layer's activations that stay in the second-level cache while a piece goes through: a megabyte.
const PIECE_FLOATS: usize = 1 << 18;

impl Kernels {
    /// Kernels on `threads` threads.
    pub(crate) fn new(threads: usize, precision: Precision) -> Self {
        let threads = Arc::new(Threads::new(threads));
        Self { level: Level::detect(), threads, spare: Arc::default(), precision, screens: true }
    }

    /// Those that every processor has, for files: what they arrange is the same everywhere, and has nothing that can be made of
    /// the rest.
    pub(crate) fn portable(precision: Precision) -> Self {
        Self { level: Level::portable(), screens: false, ..Self::new(1, precision) }
    }

    /// A matrix `(depth, columns)` and its bias: packed from tensors, or as it was packed before.
    fn matrix(
        &self,
        precision: Precision,
        shape: (usize, usize),
        weights: Weights<'_>,
        pack: impl FnOnce(&[f32], Option<&[f32]>) -> PackedMatrix,
    ) -> Result<PackedMatrix> {
        match weights {
            Weights::Tensors(weight, bias) => Ok(pack(&weight, bias)),
            Weights::Packed(layer, _) => PackedMatrix::of_arrays(self.level, precision, shape, &layer),
        }
    }

    /// A signal of `shape`, written by `write`, which finds other signals' values in it.
    fn write(&self, shape: impl Into<Shape>, write: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<Signal> {
        fault_point()?;
        let shape = shape.into();
        let len = shape.elem_count();
        let mut data = self.spare.take(len)?;
        write(&mut data[..len])?;
        fault_point()?;
        // The tensor of the whole memory, and the signal at its front.
        let whole = (data.len(),);
        let tensor = Tensor::from_vec(data, whole, &Device::Cpu)?.narrow(0, 0, len)?.reshape(shape)?;
        Signal::at_home(tensor, Arc::<Spare>::clone(&self.spare))
    }
}

impl Backend for Kernels {
    fn name(&self) -> &'static str {
        self.level.name()
    }

    fn conv(&self, memory: &mut Slots, shape: ConvShape, weights: Weights<'_>) -> Result<Box<dyn Operation>> {
        Ok(if shape.depthwise() {
            Box::new(conv::Depthwise::new(self, memory, shape, weights)?)
        } else {
            Box::new(conv::Conv::new(self, memory, shape, weights)?)
        })
    }

    fn conv_transpose(
        &self,
        memory: &mut Slots,
        shape: ConvTransposeShape,
        weights: Weights<'_>,
    ) -> Result<Box<dyn Operation>> {
        Ok(if shape.depthwise() && !weights.has_bias() && shape.activation.is_none() {
            Box::new(conv_transpose::Depthwise::new(self, memory, shape, weights)?)
        } else {
            Box::new(conv_transpose::Dense::new(self, memory, shape, weights)?)
        })
    }

    fn linear(&self, shape: LinearShape, weights: Weights<'_>) -> Result<Box<dyn Operation>> {
        Ok(Box::new(linear::Linear::new(self, shape, weights)?))
    }

    fn layer_norm(&self, channels: usize, weights: Weights<'_>, epsilon: f64) -> Result<Box<dyn Operation>> {
        Ok(Box::new(norm::LayerNorm::new(self, channels, weights, epsilon)?))
    }

    fn rms_norm(&self, channels: usize, weights: Weights<'_>, epsilon: f64) -> Result<Box<dyn Operation>> {
        Ok(Box::new(norm::RmsNorm::new(self, channels, weights, epsilon)?))
    }

    fn snake(&self, channels: usize, weights: Weights<'_>) -> Result<Box<dyn Operation>> {
        Ok(Box::new(snake::Snake::new(self, channels, weights)?))
    }

    fn gate(&self, activation: Activation, channels: usize) -> Result<Box<dyn Operation>> {
        Ok(Box::new(gate::Gate::new(self, activation, channels)))
    }

    fn activation(&self, activation: Activation) -> Result<Box<dyn Operation>> {
        Ok(Box::new(activation::Activate::new(self, activation)))
    }

    fn rotary(&self, shape: AttentionShape, theta: f64) -> Result<Box<dyn Rotary>> {
        Ok(Box::new(Frequencies::new(shape, theta)))
    }

    fn attention(&self, memory: &mut Slots, shape: AttentionShape) -> Result<Box<dyn Attention>> {
        Ok(Box::new(attention::Ring::new(self, memory, shape)))
    }

    fn codebooks(&self, shape: CodebookShape, books: EachBook<'_, '_>) -> Result<Box<dyn Codebooks>> {
        Ok(Box::new(codebooks::Books::new(self, shape, books)?))
    }

    fn embedding(&self, shape: TableShape, table: Weights<'_>) -> Result<Box<dyn Embedding>> {
        Ok(Box::new(embedding::Table::new(self, shape, table)?))
    }

    fn block_frames(&self) -> usize {
        BLOCK_FRAMES
    }

    fn piece_frames(&self, rows_per_frame: usize, floats_per_frame: usize) -> Option<usize> {
        (rows_per_frame > FEW_ROWS).then(|| (PIECE_FLOATS / floats_per_frame.max(1)).max(1))
    }
}

impl Rotary for Frequencies {
    fn angles(&self, steps: usize, block: &Block<'_>) -> Result<Angles> {
        let (table, shape) = self.table(steps, block);
        Ok(Angles { table: Signal::of(Tensor::from_vec(table, &shape, &Device::Cpu)?)?, mask: None })
    }
}

/// The instruction set of the fastest kernels of this processor.
pub(crate) fn simd_name() -> &'static str {
    Level::detect().name()
}
