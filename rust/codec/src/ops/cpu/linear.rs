//! A dense layer over the last dimension.

use mimi_kernels::{self as kernels, Epilogue, PackedMatrix, Precision, Rows, Strided, product};

use super::{Kernels, host};
use crate::error::Result;
use crate::ops::signal::tensors;
use crate::ops::state::Block;
use crate::ops::{Activation, LinearShape, Operation, Signal};

pub(super) struct Linear {
    weight: PackedMatrix,
    activation: Option<kernels::Activation>,
    kernels: Kernels,
}

impl Linear {
    pub(super) fn new(kernels: &Kernels, shape: LinearShape, weight: &[f32], bias: Option<&[f32]>) -> Self {
        let precision = if shape.exact { Precision::Float32 } else { kernels.dense_precision(shape.rows_per_frame) };
        let matrix = Strided::transposed(weight, shape.c_in);
        Self {
            weight: PackedMatrix::new(kernels.level, precision, &matrix, bias),
            activation: shape.activation.map(Activation::of_kernels),
            kernels: kernels.clone(),
        }
    }
}

impl Operation for Linear {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        let (x, residual) = tensors(x, residual)?;
        let (rows, steps, _) = x.dims3()?;
        let Self { weight, activation, kernels } = self;
        host::with_floats(x, |x| {
            host::with_optional_floats(residual, |residual| {
                kernels.write((rows, steps, weight.columns()), |out| {
                    let left = Rows::contiguous(x, weight.depth());
                    let epilogue = Epilogue { residual, activation: *activation };
                    product(&left, (weight.depth(), 0), weight, epilogue, out, &kernels.threads);
                    Ok(())
                })
            })
        })
    }

    fn bytes(&self) -> usize {
        self.weight.bytes()
    }
}
