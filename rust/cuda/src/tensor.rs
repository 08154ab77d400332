//! Tensors in the memory of a device: what callers give and are given there.

use crate::{Buffer, Error, Gpu, Result, Span};

/// What a tensor consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elements {
    /// float32.
    Float32,
    /// int64.
    Int64,
}

impl Elements {
    /// Bytes of an element.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Float32 => size_of::<f32>(),
            Self::Int64 => size_of::<i64>(),
        }
    }
}

/// A tensor on a device, of any strides.
pub struct Tensor {
    memory: Buffer,
    elements: Elements,
    shape: Vec<usize>,
    /// Elements from one to the next along each axis.
    strides: Vec<usize>,
}

impl Tensor {
    /// A tensor of fresh memory, whose elements lie in the order of `axes`, the last of them side by side. What is in it is
    /// undefined.
    ///
    /// # Errors
    /// [`Error::Shape`] if `axes` are not those of the shape; those of [`Gpu::buffer`].
    pub fn new(gpu: &Gpu, elements: Elements, shape: &[usize], axes: &[usize]) -> Result<Self> {
        let mut strides = vec![0; shape.len()];
        let mut count = 1_usize;
        for &axis in axes.iter().rev() {
            match strides.get_mut(axis) {
                Some(stride) if *stride == 0 => *stride = count,
                _ => return Err(Error::Shape(format!("expected the axes of {shape:?}, got {axes:?}"))),
            }
            count = count.saturating_mul(shape[axis]).max(1);
        }
        let len = shape.iter().fold(elements.bytes(), |bytes, &len| bytes.saturating_mul(len));
        Ok(Self { memory: gpu.buffer(len)?, elements, shape: shape.to_vec(), strides })
    }

    /// Its memory, from its first element on.
    #[must_use]
    pub fn span(&self) -> Span<'_> {
        self.memory.span()
    }

    /// The device that it is on.
    #[must_use]
    pub fn gpu(&self) -> &Gpu {
        self.memory.gpu()
    }

    /// What it consists of.
    #[must_use]
    pub fn elements(&self) -> Elements {
        self.elements
    }

    /// Elements along each axis.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements from one to the next along each axis.
    #[must_use]
    pub fn strides(&self) -> &[usize] {
        &self.strides
    }
}
