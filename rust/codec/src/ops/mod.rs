//! The seam between the layers and what runs them.
//!
//! Layers are written once, over signals `(rows, steps, channels)`, and hold operations that a [`Backend`] made for
//! them when the model was loaded, with the weights in the form that it wants. Each backend has a folder of its own:
//! `candle` is the plain composition of candle's operations that defines what each operation computes, and runs on every
//! device of candle; `cpu` has the kernels. This file says what all of them offer; adding one changes no other.

#[cfg(feature = "composed")]
pub(crate) mod candle;
pub(crate) mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod edge;
#[cfg(test)]
pub(crate) mod faults;
mod groups;
pub(crate) mod precisions;
mod rotary;
mod shapes;
mod signal;
mod silence;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod transposed;
mod weights;

use candle_core::{Device, Tensor};

pub(crate) use rotary::{Angles, Rotary};
pub(crate) use shapes::{
    Activation, AttentionShape, CodebookShape, ConvShape, ConvTransposeShape, Edge, LinearShape, TableShape,
};
pub(crate) use signal::{Columns, Indices, Signal};
pub(crate) use state::{Block, Memory, Slot, Slots, State};
pub(crate) use step::{Flow, Given, Layers, Route, Source, Step};
pub(crate) use weights::{Arrays, EachBook, Weights, bytes_of};

use crate::error::{Error, Result};
use crate::finite::check_tensor;
use crate::memory;
use silence::Silence;
use state::Tensors;

/// Where a model's operations run, decided once when it is loaded: it makes them, and says how to feed them.
pub(crate) trait Backend: Send + Sync {
    /// The instruction set of the kernels, or the kind of device.
    fn name(&self) -> &'static str;

    /// How often the device was asked for what since it was opened, by name; nothing where there is no device.
    fn device_counts(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// A causal convolution: `y[t] = activation(bias + sum_k W[k] x[t stride - history + k dilation] + residual[t])`.
    ///
    /// The weight is `(c_out, c_in / groups, kernel)`, row-major, as PyTorch has it. The operation takes `(rows, steps, c_in)` to
    /// `(rows, ceil(steps / stride), c_out)`. A block has a multiple of `stride` steps, but for the last of a clip, which
    /// is filled up at its edge: each convolution on its own input, as Transformers does it.
    fn conv(&self, memory: &mut Slots, shape: ConvShape, weights: Weights<'_>) -> Result<Box<dyn Operation>>;

    /// A causal transposed convolution:
    /// `y[t stride + j] = activation(bias + sum_i W[i stride + j] x[t - i] + residual[t stride + j])`, for `i` from 0 to
    /// `kernel / stride - 1`.
    ///
    /// The weight is `(c_in, c_out / groups, kernel)`, row-major, as PyTorch has it. The operation takes
    /// `(rows, steps, c_in)` to `(rows, steps * stride, c_out)`.
    fn conv_transpose(
        &self,
        memory: &mut Slots,
        shape: ConvTransposeShape,
        weights: Weights<'_>,
    ) -> Result<Box<dyn Operation>>;

    /// A dense layer: `activation(x W^T + bias + residual)`.
    ///
    /// The weight is `(c_out, c_in)`, row-major, as PyTorch has it. The operation takes `(rows, steps, c_in)` to
    /// `(rows, steps, c_out)`.
    fn linear(&self, shape: LinearShape, weights: Weights<'_>) -> Result<Box<dyn Operation>>;

    /// Normalisation over the channels: `(x - mean) / sqrt(variance + epsilon) * weight + bias`. It takes no residual.
    fn layer_norm(&self, channels: usize, weights: Weights<'_>, epsilon: f64) -> Result<Box<dyn Operation>>;

    /// Normalisation by the channels' root mean square: `x / sqrt(mean(x^2) + epsilon) * weight`. It takes no residual.
    fn rms_norm(&self, channels: usize, weights: Weights<'_>, epsilon: f64) -> Result<Box<dyn Operation>>;

    /// `x + scales sin^2(rates x)`, with a rate and a scale for each channel. It takes no residual.
    fn snake(&self, channels: usize, weights: Weights<'_>) -> Result<Box<dyn Operation>>;

    /// `activation(x[..channels]) * x[channels..]`: `(rows, steps, 2 channels)` to `(rows, steps, channels)`. It takes no
    /// residual.
    fn gate(&self, activation: Activation, channels: usize) -> Result<Box<dyn Operation>>;

    /// An activation that is not the end of another operation. It takes no residual.
    fn activation(&self, activation: Activation) -> Result<Box<dyn Operation>>;

    /// The angles of the attention layers of `shape`, which share them.
    fn rotary(&self, shape: AttentionShape, theta: f64) -> Result<Box<dyn Rotary>>;

    /// Attention of each step to the `window` steps that end with it.
    fn attention(&self, memory: &mut Slots, shape: AttentionShape) -> Result<Box<dyn Attention>>;

    /// Codebooks in the order in which each quantizes what the ones before it left; each is `(entries, dim)`, row-major.
    /// Where weights are kept in int8, entries are kept smaller too: see [`precisions`].
    fn codebooks(&self, shape: CodebookShape, books: EachBook<'_, '_>) -> Result<Box<dyn Codebooks>>;

    /// A table `(codebooks * entries, dim)`, row-major, of which the mean of some rows is taken.
    fn embedding(&self, shape: TableShape, table: Weights<'_>) -> Result<Box<dyn Embedding>>;

    /// Frames that should go through the model together at most. They share a reading of the weights, which then costs
    /// little beside the work itself; a call can be stopped between blocks.
    fn block_frames(&self) -> usize;

    /// Frames in which a block should go through a layer with `rows_per_frame` rows and activations of at most
    /// `floats_per_frame` floats; none where it should go through as a whole.
    fn piece_frames(&self, rows_per_frame: usize, floats_per_frame: usize) -> Option<usize>;

    /// Zeros in place of the first `lead` steps of each row's clip, as they lie before it; a frame has `steps` of them.
    fn silence(&self, lead: usize, steps: usize) -> Box<dyn Operation> {
        Box::new(Silence::new(lead, steps))
    }

    /// What so many sessions remember, who have seen nothing.
    fn memory(&self, layout: &Slots, sessions: usize) -> Result<Box<dyn Memory>> {
        Ok(Box::new(Tensors::new(layout, sessions, self.candle())?))
    }

    /// Takes a block through `layers`: brings what they are given to where they run, and back what they give.
    fn run(&self, step: Step<'_>, layers: Layers<'_>) -> Result<Given> {
        fault_point()?;
        let flow = match step.input {
            Source::Floats(floats, dims) => Flow::Signal(Signal::of(Tensor::from_vec(floats, &dims, self.candle())?)?),
            Source::Codes(codes, count) => Flow::Codes(Indices::host(codes, count)),
        };
        match layers(flow)? {
            Flow::Signal(signal) => Ok(Given::Floats(signal.tensor()?.flatten_all()?.to_vec1()?)),
            Flow::Codes(codes) => Ok(Given::Codes(codes.codes()?.to_vec())),
        }
    }

    /// The GPU that it is, whose memory callers may share.
    #[cfg(feature = "cuda")]
    fn cuda(&self) -> Option<&cuda::Cuda> {
        None
    }

    /// Refuses values that are infinite or NaN.
    fn check_finite(&self, x: &Signal, what: &str) -> Result<()> {
        check_tensor(x.tensor()?, what)
    }

    /// Asks for floats that blocks will need beside the weights, where a refusal later would end the process.
    fn check_room(&self, floats: usize) -> Result<()> {
        memory::check_room::<f32>(floats)
    }

    /// Where the tensors of candle lie that it takes and gives.
    fn candle(&self) -> &Device {
        &Device::Cpu
    }
}

/// A layer's computation, with its weights.
pub(crate) trait Operation: Send + Sync {
    /// The next block; a residual has the output's shape, and is added before the activation.
    fn forward(&self, x: &Signal, residual: Option<&Signal>, block: &Block<'_>) -> Result<Signal>;

    /// The weights as the kernels read them, to be kept in a file; none of other backends.
    fn arrays(&self) -> Arrays {
        Arrays::new()
    }

    /// Bytes that the weights take in memory.
    fn bytes(&self) -> usize {
        bytes_of(&self.arrays())
    }
}

/// Attention over a bounded window, which is kept between blocks.
///
/// Each backend keeps a session's window in its own form. What all agree on, and what is saved, is the canonical form: the
/// turned keys and the values of the last `window - 1` steps in the order of time, `(window - 1, 2 kv_heads * head_dim)`,
/// zero where the session had not begun.
pub(crate) trait Attention: Send + Sync {
    /// `qkv` `(rows, steps, (heads + 2 kv_heads) * head_dim)` to `(rows, steps, heads * head_dim)`.
    fn forward(&self, qkv: &Signal, angles: &Angles, block: &Block<'_>) -> Result<Signal>;

    /// Where the sessions' windows are kept.
    fn slot(&self) -> Slot;

    /// Floats of the canonical form.
    fn canonical_len(&self) -> usize;

    /// The canonical form of a session's part of the slot after `frames` frames.
    fn to_canonical(&self, kept: &[f32], frames: u64) -> Result<Vec<f32>>;

    /// A session's part of the slot after `frames` frames, from its canonical form.
    fn of_canonical(&self, window: &[f32], frames: u64) -> Result<Vec<f32>>;
}

/// The codebooks of a residual vector quantizer.
pub(crate) trait Codebooks: Send + Sync {
    /// Codes of the first codebooks for `x` `(rows, steps, dim)`, of entries equally near the first: put into their
    /// `columns` of the codes that others gave, or of new ones.
    ///
    /// # Errors
    /// [`Error::Numeric`] where distances overflow, [`Error::Memory`].
    fn search(&self, x: &Signal, columns: Columns, codes: Option<Indices>, block: &Block<'_>) -> Result<Indices>;

    /// The sum `(1, vectors, dim)` of the entries that the `columns` of `codes` name, in the codebooks' order, and of a
    /// residual of its shape.
    ///
    /// There is at least one, and each is less than the number of entries: the caller has checked.
    fn sum(&self, codes: &Indices, columns: Columns, residual: Option<&Signal>) -> Result<Signal>;

    /// How many there are.
    fn len(&self) -> usize;

    /// Each as the kernels read it, to be kept in a file; none of other backends.
    fn arrays(&self) -> Vec<Arrays> {
        Vec::new()
    }

    /// Bytes that they take in memory.
    fn bytes(&self) -> usize {
        self.arrays().iter().map(bytes_of).sum()
    }
}

/// A table of rows.
pub(crate) trait Embedding: Send + Sync {
    /// The mean `(1, vectors, dim)` of the rows that `codes` name, one in the part of each codebook, summed in their order.
    ///
    /// There is at least one, and each is there: the caller has checked.
    fn mean(&self, codes: &Indices) -> Result<Signal>;

    /// The rows as the kernels read them, to be kept in a file; none of other backends.
    fn arrays(&self) -> Arrays {
        Arrays::new()
    }

    /// Bytes that it takes in memory.
    fn bytes(&self) -> usize {
        bytes_of(&self.arrays())
    }
}

/// What operations say that end with no sum to add a residual to.
fn without_residual(residual: Option<&Signal>, operation: &str) -> Result<()> {
    match residual {
        None => Ok(()),
        Some(residual) => {
            let message = format!("expected no residual for {operation}, got one of shape {:?}", residual.dims());
            Err(candle_core::Error::Msg(message).into())
        }
    }
}

/// The rows of a table that codes `(vectors, count)` name: each codebook has its part of `entries` rows.
fn embedding_rows(codes: &[u32], count: usize, entries: usize) -> impl Iterator<Item = u32> {
    codes.iter().enumerate().map(move |(i, code)| (i % count * entries) as u32 + code)
}

/// A place where an operation can fail: tests try them one by one.
#[inline(always)]
pub(crate) fn fault_point() -> Result<()> {
    #[cfg(test)]
    faults::check()?;
    Ok(())
}

/// What codebooks say of distances that overflow or are not numbers.
fn unmeasurable(codebook: usize) -> Error {
    Error::Numeric(format!(
        "distances to the entries of codebook {codebook} overflow: expected smaller weights or latents"
    ))
}
