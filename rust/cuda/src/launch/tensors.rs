//! Between tensors of a caller and the signals and codes of a step.

use super::{Launch, arguments, elementwise, faults, number, run, values};
use crate::{Error, Gpu, Result, Span};

/// A tensor of a caller, of any strides, and one of a step.
#[derive(Clone, Copy, Debug)]
pub struct Strided<'a> {
    /// The caller's tensor from its first element on.
    pub tensor: Span<'a>,
    /// Elements of it from one row, step and channel to the next.
    pub strides: [usize; 3],
    /// `(rows, steps, channels)`, contiguous: float32, or codes as u32.
    pub own: Span<'a>,
    /// Rows, steps and channels.
    pub shape: [usize; 3],
    /// Words of [`Fault`](super::Fault).
    pub faults: Span<'a>,
}

arguments! {
    pub(in crate::launch) struct TensorArguments {
        from: u64,
        to: u64,
        faults: u64,
        row: u64,
        step: u64,
        channel: u64,
        steps: u32,
        channels: u32,
        entries: u32,
        padding: u32,
    }
}

/// `own = tensor`, both float32.
///
/// # Errors
/// [`Error::Shape`] where an element lies outside of its tensor, and those of a launch.
pub fn bring_floats(gpu: &Gpu, strided: &Strided<'_>) -> Result<()> {
    run(gpu, strided.launch("bring_floats", size_of::<f32>(), false, 0)?)
}

/// `own = tensor`, of int64. A code that is none of `entries` is a fault, and becomes 0.
///
/// # Errors
/// As [`bring_floats`].
pub fn bring_codes(gpu: &Gpu, strided: &Strided<'_>, entries: usize) -> Result<()> {
    run(gpu, strided.launch("bring_codes", size_of::<i64>(), false, entries)?)
}

/// `tensor = own`, both float32. A value that is not finite is a fault.
///
/// # Errors
/// As [`bring_floats`].
pub fn take_floats(gpu: &Gpu, strided: &Strided<'_>) -> Result<()> {
    run(gpu, strided.launch("take_floats", size_of::<f32>(), true, 0)?)
}

/// `tensor = own`, the tensor of int64.
///
/// # Errors
/// As [`bring_floats`].
pub fn take_codes(gpu: &Gpu, strided: &Strided<'_>) -> Result<()> {
    run(gpu, strided.launch("take_codes", size_of::<i64>(), true, 0)?)
}

impl Strided<'_> {
    /// A launch for elements of so many bytes in the caller's tensor.
    fn launch(
        &self,
        kernel: &'static str,
        bytes: usize,
        take: bool,
        entries: usize,
    ) -> Result<Option<Launch<TensorArguments>>> {
        let ([rows, steps, channels], [row, step, channel]) = (self.shape, self.strides);
        let own = values(self.own, &self.shape, size_of::<f32>(), "a signal")?;
        let tensor = self.tensor_of(bytes)?;
        let (from, to) = if take { (own, tensor) } else { (tensor, own) };
        let arguments = TensorArguments {
            from,
            to,
            faults: faults(self.faults)?,
            row: row as u64,
            step: step as u64,
            channel: channel as u64,
            steps: number("steps", steps)?,
            channels: number("channels", channels)?,
            entries: number("entries", entries)?,
            padding: 0,
        };
        elementwise(kernel, rows, steps.saturating_mul(channels), arguments)
    }

    /// The address of the caller's tensor, all elements of which are there.
    fn tensor_of(&self, bytes: usize) -> Result<u64> {
        let last =
            self.shape.iter().zip(self.strides).map(|(&len, stride)| len.saturating_sub(1).saturating_mul(stride));
        let end = last.fold(1, usize::saturating_add).saturating_mul(bytes);
        let (got, address) = (self.tensor.bytes(), self.tensor.address());
        if !self.shape.contains(&0) && end > got {
            return Err(Error::Shape(format!("expected a tensor of at least {end} bytes, got {got}")));
        }
        if !address.is_multiple_of(bytes as u64) {
            return Err(Error::Shape(format!("expected a tensor at a multiple of {bytes}, got address {address:#x}")));
        }
        Ok(address)
    }
}
