//! A loaded codec's weights as a file that is mapped, or as one that is small.

use std::path::Path;
use std::sync::Arc;

use super::{Inner, Model};
use crate::error::{Error, Result};
use crate::ops::{Backend, cpu::Kernels};
use crate::options::{Device, Dtype, LoadOptions};
use crate::weights::{PackedDescription, write_packed};

impl Model {
    /// Writes the codec's weights to the file `path` as the kernels of this processor read them, with its configuration: what was
    /// loaded of them, in the type in which they are kept. [`Model::load`] maps such a file instead of reading it.
    ///
    /// # Errors
    /// [`Error::Device`] for a model that does not run on the kernels of the processor; [`Error::File`] where the file
    /// cannot be written, or the packed file that the model was loaded from has changed. What was there is then left as it
    /// was.
    pub fn save_packed(&self, path: &Path) -> Result<()> {
        self.inner.check_mapped()?;
        let device = self.inner.options.device;
        if device != Device::Cpu {
            let message = format!("expected a model on the device cpu to pack its weights, got one on {device}");
            return Err(Error::Device(message));
        }
        self.write_arrays(path, false)
    }

    /// Writes what was loaded of the codec to the file `path`, with its configuration, as small as it can be with weights kept in
    /// `dtype`: read once more from where it was loaded. The file is the same on every processor, and every processor can load
    /// it; the model then is the one that the codec's own files give with this `dtype`, bit for bit. [`Dtype::Auto`] is the
    /// type of this model.
    ///
    /// # Errors
    /// [`Error::File`] where the source is gone, the model was loaded from memory, or the file cannot be written: what was there
    /// is then left as it was; [`Error::Config`] for another type than that of a packed file that the model was loaded from.
    pub fn save_compact(&self, path: &Path, dtype: Dtype) -> Result<()> {
        let Inner { plan, options, .. } = &*self.inner;
        let dtype = if dtype == Dtype::Auto { options.dtype } else { dtype };
        let options = LoadOptions {
            dtype,
            device: Device::Cpu,
            num_codebooks: (plan.num_codebooks > 0).then_some(plan.num_codebooks),
            ..options.clone()
        };
        let backend: Arc<dyn Backend> = Arc::new(Kernels::portable(dtype.precision()));
        Self::on(backend, self.opened_again(path)?, None, options)?.write_arrays(path, true)
    }

    fn write_arrays(&self, path: &Path, compact: bool) -> Result<()> {
        let Inner { family, plan, config, module, options, held, .. } = &*self.inner;
        let description = PackedDescription {
            layout: self.backend_name().into(),
            compact,
            codec: family.kind.as_str().into(),
            module: module.clone(),
            config: config.clone(),
            dtype: options.dtype.as_str().into(),
            parts: options.parts.as_str().into(),
            num_codebooks: plan.num_codebooks,
            fingerprints: self.inner.fingerprints.0.clone(),
            ..PackedDescription::default()
        };
        write_packed(path, description, &held.arrays)
    }
}
