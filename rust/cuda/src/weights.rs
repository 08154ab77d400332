//! The weights of a layer on the device.

use mimi_kernels::{Precision, Strided};

use crate::driver::{Buffer, Gpu};
use crate::packing::{PANEL, Packed};
use crate::{Error, Result};

/// The right matrix of a product `(depth, columns)`, in the order in which the kernels read it, and a bias for each column.
pub struct Weights {
    depth: usize,
    columns: usize,
    precision: Precision,
    /// Values, scales, bias, and counters of blocks that put parts of sums together: zeros between two launches.
    memory: Buffer,
    /// Where scales, bias and counters begin, and the end, in bytes.
    starts: [usize; 4],
}

/// Each of a layer's memories begins at a multiple of this, in bytes.
const ALIGNMENT: usize = 256;

/// The most blocks that put parts of sums together, where there are few columns.
const COUNTERS: usize = 1024;

impl Weights {
    /// Packs a matrix, with a bias per column or none, and brings it to the device.
    ///
    /// # Errors
    /// [`Error::Shape`] if the bias is not as long as the matrix has columns; [`Error::Memory`]; [`Error::Driver`].
    pub fn new(gpu: &Gpu, precision: Precision, matrix: &Strided<'_>, bias: Option<&[f32]>) -> Result<Self> {
        let (depth, columns) = matrix.shape();
        if let Some(bias) = bias.filter(|bias| bias.len() != columns) {
            return Err(Error::Shape(format!("expected a bias of {columns}, got {}", bias.len())));
        }
        let packed = Packed::new(precision, matrix, bias);
        let counters = vec![0_u32; COUNTERS.max(4 * columns.div_ceil(PANEL))];
        let parts: [&[u8]; 4] = [
            &packed.values,
            bytemuck::cast_slice(&packed.scales),
            bytemuck::cast_slice(&packed.bias),
            bytemuck::cast_slice(&counters),
        ];
        let mut ends = [0; 4];
        let mut at = 0;
        for (end, part) in ends.iter_mut().zip(parts) {
            at += part.len().next_multiple_of(ALIGNMENT);
            *end = at;
        }
        let memory = gpu.buffer(at)?;
        let mut start = 0;
        for (end, part) in ends.iter().zip(parts) {
            if !part.is_empty() {
                gpu.upload(memory.span().part(start..start + part.len())?, part)?;
            }
            start = *end;
        }
        Ok(Self { depth, columns, precision, memory, starts: ends })
    }

    /// Rows of the matrix.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Columns of the matrix.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How they are stored.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Bytes held on the device.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.memory.span().bytes()
    }

    /// Whether they are stored as one column, in the order of depth.
    pub(crate) fn is_column(&self) -> bool {
        self.columns == 1 && self.precision == Precision::Float32
    }

    pub(crate) fn values_at(&self) -> u64 {
        self.memory.span().address()
    }

    pub(crate) fn scales_at(&self) -> u64 {
        self.values_at() + self.starts[0] as u64
    }

    pub(crate) fn bias_at(&self) -> u64 {
        self.values_at() + self.starts[1] as u64
    }

    pub(crate) fn arrived_at(&self) -> u64 {
        self.values_at() + self.starts[2] as u64
    }
}
