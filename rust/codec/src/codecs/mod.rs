//! The codecs: for each one file or folder with its configuration, its chains of layers and its spellings of names.
//!
//! Everything else in this crate works on a [`Plan`] and knows no codec by name.

mod fields;
mod kind;
pub(crate) mod mimi;
mod pocket;
mod qwen;
mod recognise;
mod seanet;
mod spellings;
#[cfg(test)]
mod tests;
mod vibevoice;

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::options::Dtype;
use crate::plan::Plan;
use crate::weights::{Checkpoint, Files, Found, Layout, PackedDescription, Stored};
pub use kind::CodecKind;
pub use recognise::{FOLDERS, prefixes};
use recognise::{locate, module_of, recognise};

/// A kind of codec.
pub(crate) struct Family {
    /// What it is called.
    pub(crate) kind: CodecKind,
    /// The layouts of its files; it is saved in the first.
    pub(crate) layouts: &'static [Layout],
    /// The `model_type`s of its configurations.
    model_types: &'static [&'static str],
    /// Whether it is an encoder alone, which gives way to a whole codec beside it.
    half: bool,
    /// Reads its configuration beside files in which it was found.
    describe: fn(&Files<'_>, &Found) -> Result<Description>,
}

/// A codec as its configuration describes it.
pub(crate) struct Description {
    pub(crate) plan: Plan,
    /// Its `config.json`.
    pub(crate) config: Value,
}

/// A codec's files, and what it is.
pub(crate) struct Opened<'a> {
    pub(crate) family: &'static Family,
    /// The module of a larger model that it is; nothing for a codec's own files.
    pub(crate) module: String,
    pub(crate) description: Description,
    pub(crate) weights: Stored<'a>,
}

impl Opened<'static> {
    /// Opens a checkpoint: headers are read and names understood, tensors are read when asked for. `module` names one of
    /// several codecs in the files of a larger model.
    ///
    /// # Errors
    /// [`Error::File`] for files that are missing, corrupt or hold no codec or more than one, [`Error::Config`] for a
    /// configuration that is not supported.
    pub(crate) fn open(path: &Path, module: Option<&str>) -> Result<Self> {
        Opened::of(locate(path)?, module)
    }
}

impl<'a> Opened<'a> {
    /// A checkpoint whose files are there.
    ///
    /// # Errors
    /// Those of [`Opened::open`].
    pub(crate) fn of(files: Files<'a>, module: Option<&str>) -> Result<Self> {
        if let Some(packed) = files.packed()? {
            return Self::of_packed(files, packed);
        }
        let (family, found, description) = recognise(&files, module)?;
        let layout = &family.layouts[found.layout];
        let module = module_of(&found).to_string();
        let checkpoint = Checkpoint::new(files, found.prefix, layout, description.plan.tensors())?;
        Ok(Self { family, module, description, weights: Stored::Tensors(checkpoint) })
    }

    /// Packed weights, whose configuration is that of the codec in its own files.
    fn of_packed(files: Files<'a>, packed: PackedDescription) -> Result<Self> {
        let Some(family) = FAMILIES.into_iter().find(|family| family.kind.as_str() == packed.codec) else {
            return Err(Error::file(files.path(), format!("expected a codec that is known, got {:?}", packed.codec)));
        };
        let files = files.with_config(packed.config.clone());
        let mut description = (family.describe)(&files, &Found { prefix: String::new(), layout: 0, certain: true })?;
        let codebooks = (packed.num_codebooks > 0).then_some(packed.num_codebooks);
        description.plan = description.plan.needed(packed.parts.parse()?, codebooks)?;
        let module = packed.module.clone();
        Ok(Self { family, module, description, weights: Stored::Packed(files.into_packed(packed)?) })
    }

    /// How weights are kept for which `asked` is asked: it, or as they are.
    pub(crate) fn dtype(&self, asked: Dtype) -> Result<Dtype> {
        match (&self.weights, asked) {
            (Stored::Packed(packed), Dtype::Auto) => packed.description.dtype.parse(),
            (Stored::Tensors(_), Dtype::Auto) => Ok(Dtype::Float32),
            (_, asked) => Ok(asked),
        }
    }

    /// Writes the codec to a directory, in the first of its layouts: see [`Checkpoint::save`].
    pub(crate) fn save(&self, directory: &Path) -> Result<()> {
        match &self.weights {
            Stored::Tensors(checkpoint) => {
                checkpoint.save(directory, self.description.config.clone(), &self.family.layouts[0])
            }
            Stored::Packed(packed) => {
                let message = "expected the tensors of a codec, got packed weights, which they cannot be had from";
                Err(Error::file(packed.path(), message))
            }
        }
    }
}

/// All that are known. A codec that cannot be told from another of the same layers is taken for the first.
static FAMILIES: [&Family; 6] = [
    &mimi::FAMILY,
    &pocket::FAMILY,
    &qwen::code2wav::FAMILY,
    &qwen::tts::FAMILY,
    &vibevoice::FAMILY,
    &vibevoice::ENCODER_FAMILY,
];

/// Whether a configuration says that it is of a family.
fn is_of(config: Option<&Value>, family: &Family) -> bool {
    config.is_some_and(|config| says(config, family.model_types) == Some(true))
}

/// Whether a configuration says that it is one of `model_types`; nothing if it does not say what it is. Transformers
/// writes an empty name for a part without one, such as Code2Wav.
fn says(config: &Value, model_types: &[&str]) -> Option<bool> {
    let model_type = config.get("model_type")?.as_str().filter(|name| !name.is_empty())?;
    Some(model_types.contains(&model_type))
}

/// The codec's part of a larger model's configuration: under a usual key, or wherever something says that it is one of
/// `model_types`.
fn nested_config<'a>(root: &'a Value, prefix: &str, model_types: &[&str], keys: &[&str]) -> Option<&'a Value> {
    let module = prefix.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let module = module.strip_suffix("_model").unwrap_or(module);
    let of_module = format!("{module}_config");
    let usual = std::iter::once(of_module.as_str())
        .chain(keys.iter().copied())
        .filter_map(|key| root.get(key).filter(|value| value.is_object()))
        .find(|value| says(value, model_types) != Some(false));
    usual.or_else(|| root.as_object()?.values().find(|value| says(value, model_types) == Some(true)))
}
