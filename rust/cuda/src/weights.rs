//! The weights of a layer on the device.

use mimi_kernels::{Precision, Strided};

use crate::driver::{Buffer, Gpu};
use crate::packing::{PANEL, Packed};
use crate::{Error, Result};

/// The right matrix of a product `(depth, columns)`, in the order in which the kernels read it, and a bias for each column.
pub struct Weights {
    stored: Stored,
    /// What the addresses lie in; not there where the memory is a test's.
    memory: Option<Buffer>,
}

/// Where all of a layer lies on the device.
#[derive(Clone, Copy)]
pub(crate) struct Stored {
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    pub(crate) precision: Precision,
    pub(crate) values: u64,
    pub(crate) scales: u64,
    pub(crate) bias: u64,
    /// Counters of blocks that put parts of sums together: zeros between two launches.
    pub(crate) arrived: u64,
}

/// Each of a layer's memories begins at a multiple of this, in bytes.
const ALIGNMENT: usize = 256;

/// The most blocks that put parts of sums together, where there are few columns.
const COUNTERS: usize = 1024;

/// The most blocks that put parts of the sums of a panel of columns together: few rows, in chunks of eight.
const COUNTERS_OF_A_PANEL: usize = 4;

impl Weights {
    /// Packs a matrix, with a bias per column or none, and brings it to the device.
    ///
    /// # Errors
    /// [`Error::Shape`] if the bias is not as long as the matrix has columns; [`Error::Memory`]; [`Error::Driver`].
    pub fn new(gpu: &Gpu, precision: Precision, matrix: &Strided<'_>, bias: Option<&[f32]>) -> Result<Self> {
        let (image, starts) = image(precision, matrix, bias)?;
        let memory = gpu.buffer(image.len())?;
        gpu.upload(memory.span(), &image)?;
        let stored = Stored::at(memory.span().address(), precision, matrix.shape(), starts);
        Ok(Self { stored, memory: Some(memory) })
    }

    /// The same in memory of a test, which `put` gives the address of.
    #[cfg(test)]
    pub(crate) fn in_memory(
        precision: Precision,
        matrix: &Strided<'_>,
        bias: Option<&[f32]>,
        put: impl FnOnce(&[u8]) -> u64,
    ) -> Result<Self> {
        let (image, starts) = image(precision, matrix, bias)?;
        let stored = Stored::at(put(&image), precision, matrix.shape(), starts);
        Ok(Self { stored, memory: None })
    }

    /// Rows of the matrix.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.stored.depth
    }

    /// Columns of the matrix.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.stored.columns
    }

    /// How they are stored.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.stored.precision
    }

    /// Bytes held on the device.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.memory.as_ref().map_or(0, |memory| memory.span().bytes())
    }

    /// Whether they are stored as one column, in the order of depth.
    pub(crate) fn is_column(&self) -> bool {
        self.columns() == 1 && self.precision() == Precision::Float32
    }

    pub(crate) fn stored(&self) -> Stored {
        self.stored
    }
}

impl Stored {
    fn at(address: u64, precision: Precision, (depth, columns): (usize, usize), starts: [usize; 4]) -> Self {
        let [values, scales, bias, arrived] = starts.map(|start| address + start as u64);
        Self { depth, columns, precision, values, scales, bias, arrived }
    }
}

/// All of a layer as it lies on the device, and where values, scales, bias and counters begin.
fn image(precision: Precision, matrix: &Strided<'_>, bias: Option<&[f32]>) -> Result<(Vec<u8>, [usize; 4])> {
    let (_, columns) = matrix.shape();
    if let Some(bias) = bias.filter(|bias| bias.len() != columns) {
        return Err(Error::Shape(format!("expected a bias of {columns}, got {}", bias.len())));
    }
    let Packed { values, scales, bias } = Packed::new(precision, matrix, bias);
    let counters = vec![0_u32; COUNTERS.max(COUNTERS_OF_A_PANEL * columns.div_ceil(PANEL))];
    let parts: [&[u8]; 4] =
        [&values, bytemuck::cast_slice(&scales), bytemuck::cast_slice(&bias), bytemuck::cast_slice(&counters)];
    let (mut image, mut starts) = (Vec::new(), [0; 4]);
    for (start, part) in starts.iter_mut().zip(parts) {
        image.resize(image.len().next_multiple_of(ALIGNMENT), 0);
        *start = image.len();
        image.extend_from_slice(part);
    }
    Ok((image, starts))
}
