//! A loaded codec's weights as a file that is mapped.

use std::path::Path;

use super::{Inner, Model};
use crate::error::{Error, Result};
use crate::options::Device;
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
        let Inner { family, plan, config, module, options, held, .. } = &*self.inner;
        if options.device != Device::Cpu {
            let message =
                format!("expected a model on the device cpu to pack its weights, got one on {}", options.device);
            return Err(Error::Device(message));
        }
        let description = PackedDescription {
            layout: self.backend_name().into(),
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
