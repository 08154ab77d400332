//! Tensors in the memory of a device: what callers give and are given there.

use std::sync::Arc;

use crate::dlpack::{Element, Export, Import, Memory};
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

    fn of_dlpack(element: Element) -> Result<Self> {
        match element {
            Element::FLOAT32 => Ok(Self::Float32),
            Element::INT64 => Ok(Self::Int64),
            other => Err(Error::Shape(format!("expected elements of float32 or int64, got {other:?}"))),
        }
    }

    fn to_dlpack(self) -> Element {
        match self {
            Self::Float32 => Element::FLOAT32,
            Self::Int64 => Element::INT64,
        }
    }
}

/// A tensor on a device, of any strides.
pub struct Tensor {
    memory: Owner,
    elements: Elements,
    shape: Vec<usize>,
    /// Elements from one to the next along each axis.
    strides: Vec<usize>,
}

/// Whose the memory of a tensor is.
enum Owner {
    Own(Buffer),
    /// Of another library, given back when the tensor is dropped.
    Import(Gpu, Import),
    /// Another tensor's.
    Shared(Arc<Tensor>),
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
        Ok(Self { memory: Owner::Own(gpu.buffer(len)?), elements, shape: shape.to_vec(), strides })
    }

    /// A tensor of another library on a device, whose writing is ordered before what the device's stream does from here on.
    ///
    /// # Errors
    /// [`Error::Shape`] for one that is on another device, or not of float32 or int64.
    pub fn imported(gpu: &Gpu, import: Import) -> Result<Self> {
        let elements = Elements::of_dlpack(import.element())?;
        import.span(gpu)?;
        let (shape, strides) = (import.shape().to_vec(), import.strides().to_vec());
        Ok(Self { memory: Owner::Import(gpu.clone(), import), elements, shape, strides })
    }

    /// The same with an axis of length 1 more, before `axis`.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are fewer axes.
    pub fn expanded(self: &Arc<Self>, axis: usize) -> Result<Self> {
        let (mut shape, mut strides) = (self.shape.clone(), self.strides.clone());
        if axis > shape.len() {
            return Err(Error::Shape(format!("expected an axis of {shape:?}, got {axis}")));
        }
        shape.insert(axis, 1);
        strides.insert(axis, 0);
        Ok(self.view(shape, strides))
    }

    /// The same without an axis of length 1.
    ///
    /// # Errors
    /// [`Error::Shape`] if it is none.
    pub fn squeezed(self: &Arc<Self>, axis: usize) -> Result<Self> {
        let (mut shape, mut strides) = (self.shape.clone(), self.strides.clone());
        if shape.get(axis) != Some(&1) {
            return Err(Error::Shape(format!("expected an axis of length 1, got axis {axis} of {shape:?}")));
        }
        shape.remove(axis);
        strides.remove(axis);
        Ok(self.view(shape, strides))
    }

    fn view(self: &Arc<Self>, shape: Vec<usize>, strides: Vec<usize>) -> Self {
        Self { memory: Owner::Shared(Arc::clone(self)), elements: self.elements, shape, strides }
    }

    /// The tensor for other libraries, which share its memory.
    #[must_use]
    pub fn export(self: &Arc<Self>) -> Export {
        let (shape, strides) = (&self.shape, &self.strides);
        Export::strided(Box::new(Arc::clone(self)), self.elements.to_dlpack(), shape, strides)
    }

    /// Its memory, from its first element on.
    ///
    /// # Errors
    /// [`Error::Shape`] of an imported tensor that is not there.
    pub fn span(&self) -> Result<Span<'_>> {
        match &self.memory {
            Owner::Own(buffer) => Ok(buffer.span()),
            Owner::Import(gpu, import) => import.span(gpu),
            Owner::Shared(tensor) => Self::span(tensor),
        }
    }

    /// The device that it is on.
    #[must_use]
    pub fn gpu(&self) -> &Gpu {
        match &self.memory {
            Owner::Own(buffer) => buffer.gpu(),
            Owner::Import(gpu, _) => gpu,
            Owner::Shared(tensor) => Self::gpu(tensor),
        }
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

impl Memory for Tensor {
    fn span(&self) -> Span<'_> {
        // One that was imported was asked for its memory then, and does not change.
        Self::span(self).unwrap_or_else(|_| Span::nothing())
    }

    fn gpu(&self) -> &Gpu {
        Self::gpu(self)
    }
}
