//! The GPU: kernels of `mimi-cuda`, which give the bits of the CPU's kernels of 16 lanes.
//!
//! Signals, weights and what sessions remember stay on the device. An operation launches one kernel or a few, none of which
//! needs a decision of the host, so that a step can be recorded as a graph (`steps.rs`). What differs from step to step lies
//! in a stretch of memory that is brought to the device at once (`area.rs`).

mod area;
mod attention;
mod card;
mod codebooks;
mod conv;
mod conv_transpose;
mod embedding;
mod linear;
mod memory;
mod norm;
mod pointwise;
mod product;
mod request;
mod steps;
mod tensors;
mod values;

use std::sync::Arc;

use mimi_cuda::{Elements, Gpu, Tensor};
use mimi_kernels::Precision;

use super::{
    Activation, Attention, AttentionShape, Backend, Block, CodebookShape, Codebooks, ConvShape, ConvTransposeShape,
    EachBook, Embedding, Given, Layers, LinearShape, Memory, Operation, Rotary, Route, Signal, Step, TableShape,
    Weights,
};
use crate::error::{Error, Result};
use crate::ops::precisions;
use crate::ops::rotary::Frequencies;
use crate::ops::state::Slots;
use card::Card;
use memory::Sessions;
use request::{Input, Request};
use steps::Steps;
pub(crate) use tensors::Part;

/// A CUDA device.
pub(crate) struct Cuda {
    card: Arc<Card>,
    steps: Steps,
    /// How weights are stored that a stream reads for a few rows at a time.
    precision: Precision,
}

/// Frames in a block: enough for products of many rows, few enough that a wish to stop is soon heeded.
const BLOCK_FRAMES: usize = 64;

impl Cuda {
    /// Opens the device of a number; `record` tells whether steps are to be recorded as graphs.
    pub(crate) fn open(ordinal: usize, precision: Precision, record: bool) -> Result<Self> {
        let card = Arc::new(Card::new(Gpu::open(ordinal)?));
        Ok(Self { steps: Steps::new(&card, record), card, precision })
    }

    /// The device's driver.
    pub(crate) fn gpu(&self) -> &Gpu {
        self.card.gpu()
    }

    /// Takes a block through layers, from tensors to tensors of the device. Codes of the input are less than `entries`.
    #[expect(clippy::too_many_arguments, reason = "each is one of a step")]
    pub(crate) fn run_on_device(
        &self,
        block: &Block<'_>,
        frames: usize,
        route: Route,
        input: Part<'_>,
        entries: usize,
        output: Part<'_>,
        layers: Layers<'_>,
    ) -> Result<()> {
        let (sessions, rows) = (block.memory().ok(), input.rows.len());
        let (input, output) = (Input::Device(input, entries), Some(output));
        self.steps.run(Request { block, route, frames, sessions, rows, input, output }, layers).map(drop)
    }

    /// A tensor whose elements lie in the order of `axes`, of words of one value.
    pub(crate) fn tensor(&self, elements: Elements, shape: &[usize], axes: &[usize], word: u32) -> Result<Tensor> {
        let tensor = Tensor::new(self.card.gpu(), elements, shape, axes)?;
        self.card.gpu().fill(tensor.span()?, word)?;
        Ok(tensor)
    }

    /// Refuses a tensor on another device.
    pub(crate) fn check_own(&self, tensor: &Tensor) -> Result<()> {
        let (own, theirs) = (self.card.gpu().info().ordinal, tensor.gpu().info().ordinal);
        if own != theirs {
            return Err(Error::Device(format!("expected a tensor on cuda:{own}, got one on cuda:{theirs}")));
        }
        Ok(())
    }
}

impl Backend for Cuda {
    fn name(&self) -> &'static str {
        "cuda"
    }

    fn device_counts(&self) -> Vec<(&'static str, u64)> {
        self.card.gpu().counts().named().to_vec()
    }

    fn conv(&self, memory: &mut Slots, shape: ConvShape, weights: Weights<'_>) -> Result<Box<dyn Operation>> {
        if shape.depthwise() {
            let (weight, bias) = weights.tensors()?;
            return Ok(Box::new(conv::Depthwise::new(&self.card, memory, shape, &weight, bias)?));
        }
        let precision = precisions::of_convolution(self.precision, shape.rows_per_frame);
        let (weight, bias) = weights.tensors()?;
        Ok(Box::new(conv::Conv::new(&self.card, memory, shape, precision, &weight, bias)?))
    }

    fn conv_transpose(
        &self,
        memory: &mut Slots,
        shape: ConvTransposeShape,
        weights: Weights<'_>,
    ) -> Result<Box<dyn Operation>> {
        if shape.depthwise() && !weights.has_bias() && shape.activation.is_none() {
            let (weight, _) = weights.tensors()?;
            return Ok(Box::new(conv_transpose::Depthwise::new(&self.card, memory, shape, &weight)?));
        }
        let precision = precisions::of_convolution(self.precision, shape.rows_per_frame);
        let (weight, bias) = weights.tensors()?;
        Ok(Box::new(conv_transpose::Dense::new(&self.card, memory, shape, precision, &weight, bias)?))
    }

    fn linear(&self, shape: LinearShape, weights: Weights<'_>) -> Result<Box<dyn Operation>> {
        let precision = precisions::of_dense(self.precision, shape.rows_per_frame, shape.exact);
        let (weight, bias) = weights.tensors()?;
        Ok(Box::new(linear::Linear::new(&self.card, shape, precision, &weight, bias)?))
    }

    fn layer_norm(&self, _: usize, weights: Weights<'_>, epsilon: f64) -> Result<Box<dyn Operation>> {
        let (weight, bias) = weights.tensors()?;
        Ok(Box::new(norm::Normalise::new(&self.card, &weight, bias, epsilon)?))
    }

    fn rms_norm(&self, _: usize, weights: Weights<'_>, epsilon: f64) -> Result<Box<dyn Operation>> {
        let (weight, _) = weights.tensors()?;
        Ok(Box::new(norm::Normalise::new(&self.card, &weight, None, epsilon)?))
    }

    fn snake(&self, _: usize, weights: Weights<'_>) -> Result<Box<dyn Operation>> {
        let (rates, scales) = weights.tensors()?;
        Ok(Box::new(pointwise::Snake::new(&self.card, &rates, scales.unwrap_or_default())?))
    }

    fn gate(&self, activation: Activation, channels: usize) -> Result<Box<dyn Operation>> {
        Ok(Box::new(pointwise::Gate::new(&self.card, activation, channels)))
    }

    fn activation(&self, activation: Activation) -> Result<Box<dyn Operation>> {
        Ok(Box::new(pointwise::Activate::new(&self.card, activation)))
    }

    fn silence(&self, lead: usize, steps: usize) -> Box<dyn Operation> {
        Box::new(pointwise::Silence::new(&self.card, lead, steps))
    }

    fn rotary(&self, shape: AttentionShape, theta: f64) -> Result<Box<dyn Rotary>> {
        Ok(Box::new(attention::Angles::new(&self.card, Frequencies::new(shape, theta))))
    }

    fn attention(&self, memory: &mut Slots, shape: AttentionShape) -> Result<Box<dyn Attention>> {
        Ok(Box::new(attention::Ring::new(&self.card, memory, shape)))
    }

    fn codebooks(&self, shape: CodebookShape, books: EachBook<'_, '_>) -> Result<Box<dyn Codebooks>> {
        Ok(Box::new(codebooks::Books::new(&self.card, shape.dim, self.precision, books)?))
    }

    fn embedding(&self, shape: TableShape, table: Weights<'_>) -> Result<Box<dyn Embedding>> {
        let (table, _) = table.tensors()?;
        Ok(Box::new(embedding::Table::new(&self.card, shape.dim, shape.entries, &table)?))
    }

    fn block_frames(&self) -> usize {
        BLOCK_FRAMES
    }

    fn piece_frames(&self, _: usize, _: usize) -> Option<usize> {
        None
    }

    fn memory(&self, layout: &Slots, sessions: usize) -> Result<Box<dyn Memory>> {
        Ok(Box::new(Sessions::new(self.card.gpu(), layout, sessions, self.card.slack())?))
    }

    fn cuda(&self) -> Option<&Cuda> {
        Some(self)
    }

    fn run(&self, step: Step<'_>, layers: Layers<'_>) -> Result<Given> {
        self.steps.run(Request::of(step), layers)
    }

    /// The search says so of latents that are not finite.
    fn check_finite(&self, _: &Signal, _: &str) -> Result<()> {
        Ok(())
    }

    /// The memory of the host is not what blocks need here.
    fn check_room(&self, _: usize) -> Result<()> {
        Ok(())
    }
}
