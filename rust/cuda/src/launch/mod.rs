//! Launches of the kernels: each checks that the memory it is given is as long as what the kernel reads and writes.
//!
//! Tensors are float32, contiguous and time-major, `(rows, steps, channels)`; a row is a session of a step.

mod arguments;
mod attention;
mod check;
mod depthwise;
mod entries;
mod norm;
mod pointwise;
mod product;
mod search;
mod session;
mod tensors;
#[cfg(test)]
mod tests;
mod upsample;

pub use attention::{Attention, attention};
pub use depthwise::{Depthwise, depthwise};
pub use entries::{Entries, entries};
pub use norm::{Normalise, normalise};
pub use pointwise::{Runs, activate, add, copy_runs, gate, silence, snake};
pub use product::{Edge, Norm, Product, Window, product};
pub use search::{Codes, Search, codes, is_measurable, search, squared_lengths};
pub use session::{FAULTS, Fault, Session};
pub use tensors::{Strided, bring_codes, bring_floats, take_codes, take_floats};
pub use upsample::{Upsample, upsample};

use arguments::arguments;
use check::number;
use product::activation_number;

use crate::driver::{Gpu, Span};
use crate::{Error, Result};

/// The rows of a step.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// A [`Session`] for each row; none where no layer looks back and all rows count.
    pub sessions: Option<Span<'a>>,
    /// Rows.
    pub rows: usize,
    /// Steps of each row.
    pub steps: usize,
}

impl Rows<'_> {
    /// The address of the sessions, 0 for none.
    fn sessions(&self) -> Result<u64> {
        self.sessions.map_or(Ok(0), |sessions| values(sessions, &[self.rows], size_of::<Session>(), "sessions"))
    }

    /// The shape of a tensor with so many channels.
    fn shape(&self, channels: usize) -> [usize; 3] {
        [self.rows, self.steps, channels]
    }
}

/// A launch that is ready: nothing of what the arguments point to is shorter than the kernel expects.
#[derive(Debug)]
struct Launch<A> {
    name: &'static str,
    grid: [u32; 3],
    block: u32,
    /// Bytes of dynamic shared memory.
    shared: u32,
    arguments: A,
}

impl<A: std::marker::Copy> Launch<A> {
    fn on(&self, gpu: &Gpu) -> Result<()> {
        let Self { name, grid, block, shared, arguments } = self;
        // SAFETY: who made the launch has checked the lengths, and the spans' owners outlive the call; memory is given back
        // in stream order.
        unsafe { gpu.launch(name, *grid, *block, *shared, arguments) }
    }
}

/// Threads of a block of kernels whose threads each take an element.
const THREADS: usize = 256;

/// Launches a kernel whose threads each take one of `elements` of each of the rows; none where there is nothing to do.
fn elementwise<A>(name: &'static str, rows: usize, elements: usize, arguments: A) -> Result<Option<Launch<A>>> {
    if rows == 0 || elements == 0 {
        return Ok(None);
    }
    let grid = [number("blocks", elements.div_ceil(THREADS))?, grid_rows(rows)?, 1];
    Ok(Some(Launch { name, grid, block: THREADS as u32, shared: 0, arguments }))
}

fn run<A: std::marker::Copy>(gpu: &Gpu, launch: Option<Launch<A>>) -> Result<()> {
    launch.map_or(Ok(()), |launch| launch.on(gpu))
}

/// The address of memory that must have so many floats.
fn floats(span: Span<'_>, shape: &[usize], what: &str) -> Result<u64> {
    check::is_tensor(what, span, shape)?;
    Ok(span.address())
}

/// The same of what may not be there: 0.
fn optional(span: Option<Span<'_>>, shape: &[usize], what: &str) -> Result<u64> {
    span.map_or(Ok(0), |span| floats(span, shape, what))
}

/// The address of memory that must have so many values of some bytes each.
fn values(span: Span<'_>, shape: &[usize], bytes: usize, what: &str) -> Result<u64> {
    let count = check::floats(shape)? / size_of::<f32>();
    check::has_bytes(what, span, count.saturating_mul(bytes), shape)?;
    Ok(span.address())
}

/// The address of the memory of faults.
fn faults(span: Span<'_>) -> Result<u64> {
    values(span, &[FAULTS], size_of::<u32>(), "faults")
}

/// Rows as a dimension of a grid.
fn grid_rows(rows: usize) -> Result<u32> {
    const MOST: usize = 65535;
    if rows > MOST {
        return Err(Error::Shape(format!("expected at most {MOST} rows, got {rows}")));
    }
    Ok(rows as u32)
}
