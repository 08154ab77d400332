//! A dense layer over the last dimension.

use mimi_kernels::{self as kernels, Epilogue, PackedMatrix, Rows, Strided, product};

use super::{Kernels, host};
use crate::error::Result;
use crate::ops::signal::tensors;
use crate::ops::state::Block;
use crate::ops::{Activation, Arrays, LinearShape, Operation, Signal, Weights, precisions};

pub(super) struct Linear {
    weight: PackedMatrix,
    activation: Option<kernels::Activation>,
    kernels: Kernels,
}

impl Linear {
    pub(super) fn new(kernels: &Kernels, shape: LinearShape, weights: Weights<'_>) -> Result<Self> {
        let precision = precisions::of_dense(kernels.precision, shape.rows_per_frame, shape.exact);
        let weight = kernels.matrix(precision, (shape.c_in, shape.c_out), weights, |weight, bias| {
            PackedMatrix::new(kernels.level, precision, &Strided::transposed(weight, shape.c_in), bias)
        })?;
        Ok(Self { weight, activation: shape.activation.map(Activation::of_kernels), kernels: kernels.clone() })
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

    fn arrays(&self) -> Arrays {
        self.weight.arrays()
    }
}
