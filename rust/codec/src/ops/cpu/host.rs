//! Reaching the floats of CPU tensors: the way from candle to the kernels.

use std::cell::RefCell;
use std::ops::Deref;

use candle_core::{CpuStorage, InplaceOp1, Layout, Storage, Tensor, bail};

use crate::error::Result;

/// Calls `read` with the floats of a contiguous CPU tensor.
pub(crate) fn with_floats<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = storage.deref() else {
        return Err(candle_core::Error::Msg("expected a tensor on the CPU".into()).into());
    };
    read(floats(storage, layout)?)
}

fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    let Some((from, to)) = layout.contiguous_offsets() else { bail!("expected a contiguous tensor") };
    match storage.as_slice::<f32>()?.get(from..to) {
        Some(floats) => Ok(floats),
        None => bail!("expected a signal that is still there"),
    }
}

/// Calls `change` with the floats of a contiguous CPU tensor, in place.
pub(crate) fn change(tensor: &Tensor, change: impl FnOnce(&mut [f32])) -> Result<()> {
    Ok(tensor.inplace_op1(&InPlace(RefCell::new(Some(change))))?)
}

struct InPlace<F>(RefCell<Option<F>>);

impl<F: FnOnce(&mut [f32])> InplaceOp1 for InPlace<F> {
    fn name(&self) -> &'static str {
        "host-change"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let (Some((from, to)), CpuStorage::F32(data)) = (layout.contiguous_offsets(), storage) else {
            bail!("expected a contiguous tensor of float32")
        };
        if let Some(change) = self.0.take() {
            change(&mut data[from..to]);
        }
        Ok(())
    }
}

/// [`with_floats`] of a tensor that may not be there.
pub(crate) fn with_optional_floats<T>(
    tensor: Option<&Tensor>,
    read: impl FnOnce(Option<&[f32]>) -> Result<T>,
) -> Result<T> {
    match tensor {
        Some(tensor) => with_floats(tensor, |floats| read(Some(floats))),
        None => read(None),
    }
}
