//! The codecs: for each one file or folder with its configuration, its chains of layers and its spellings of names.
//!
//! Everything else in this crate works on a [`Plan`] and knows no codec by name.

mod fields;
pub mod mimi;
mod pocket;
mod qwen;
mod seanet;
mod spellings;
mod vibevoice;

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::weights::{Checkpoint, Files, Found, Layout, detect};

/// A kind of codec.
pub(crate) struct Family {
    /// What it is called.
    pub(crate) kind: &'static str,
    /// The layouts of its files; it is saved in the first.
    pub(crate) layouts: &'static [Layout],
    /// The `model_type`s of its configurations.
    model_types: &'static [&'static str],
    /// Reads its configuration beside files in which it was found.
    describe: fn(&Files, &Found) -> Result<Description>,
}

/// A codec as its configuration describes it.
pub(crate) struct Description {
    pub(crate) plan: Plan,
    /// Its `config.json`.
    pub(crate) config: Value,
}

/// A codec's files, and what it is.
pub(crate) struct Opened {
    pub(crate) family: &'static Family,
    pub(crate) description: Description,
    pub(crate) checkpoint: Checkpoint,
}

impl Opened {
    /// Opens a checkpoint: headers are read and names understood, tensors are read when asked for.
    ///
    /// # Errors
    /// [`Error::File`] for files that are missing, corrupt or hold no codec or more than one, [`Error::Config`] for a
    /// configuration that is not supported.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let files = locate(path)?;
        let (family, found, description) = recognise(&files)?;
        let layout = &family.layouts[found.layout];
        let checkpoint = Checkpoint::new(files, found.prefix, layout, description.plan.tensors())?;
        Ok(Self { family, description, checkpoint })
    }

    /// Writes the codec to a directory, in the first of its layouts: see [`Checkpoint::save`].
    pub(crate) fn save(&self, directory: &Path) -> Result<()> {
        self.checkpoint.save(directory, self.description.config.clone(), &self.family.layouts[0])
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

/// The files at a path, in which a codec is looked for. Some models keep theirs in a file of its own, which nothing names:
/// where the usual file of a directory has no codec, it is the one other file that has.
///
/// # Errors
/// [`Error::File`] for files that are missing or corrupt, or several that might be meant.
fn locate(path: &Path) -> Result<Files> {
    let usual = Files::open(path, &[mimi::FILE_KEY]);
    let is_settled = match &usual {
        Ok(files) => holds_a_codec(files) || FAMILIES.iter().any(|family| is_of(files.config(), family)),
        // a file that is damaged, and not the choice between files
        Err(error) => !matches!(error, Error::File { path: at, .. } if at == path),
    };
    if is_settled || !path.is_dir() {
        return usual;
    }
    let others = Files::in_directory(path)?;
    let mut found: Vec<_> = others.iter().filter_map(|other| Files::open(other, &[]).ok()).collect();
    found.retain(holds_a_codec);
    if found.len() > 1 {
        let names: Vec<_> = found.iter().filter_map(|files| files.path().file_name()?.to_str()).collect();
        let message = format!("expected one file with a codec, found {}: {}", found.len(), names.join(", "));
        return Err(Error::file(path, format!("{message}; give the path of the file instead")));
    }
    found.pop().map_or(usual, Ok)
}

/// Whether there are tensors that only a codec has.
fn holds_a_codec(files: &Files) -> bool {
    FAMILIES.iter().any(|family| detect(files.names(), family.layouts).iter().any(|found| found.certain))
}

/// The one codec in the files.
///
/// # Errors
/// [`Error::File`] where there is none or more than one, [`Error::Config`] where its configuration is not supported.
fn recognise(files: &Files) -> Result<(&'static Family, Found, Description)> {
    let mut found: Vec<(&Family, Found)> = Vec::new();
    for family in FAMILIES {
        found.extend(detect(files.names(), family.layouts).into_iter().map(|found| (family, found)));
    }
    if found.iter().any(|(_, found)| found.certain) {
        found.retain(|(_, found)| found.certain);
    } else if let Some(&(family, _)) = found.iter().find(|(family, _)| is_of(files.config(), family)) {
        found.retain(|(other, _)| other.kind == family.kind);
    } else {
        let first = found.first().map(|(family, _)| family.kind);
        found.retain(|(family, _)| Some(family.kind) == first);
    }
    match <[_; 1]>::try_from(found) {
        Ok([(family, found)]) => {
            let description = (family.describe)(files, &found)?;
            Ok((family, found, description))
        }
        Err(found) if found.is_empty() => {
            let kinds: Vec<_> = FAMILIES.iter().map(|family| family.kind).collect();
            let message = format!("expected the tensors of a codec ({}), found none of them", kinds.join(", "));
            Err(Error::file(files.path(), message))
        }
        Err(found) => {
            let (first, second) = (&found[0].1.prefix, &found[1].1.prefix);
            let message =
                format!("expected one codec, found several: with the prefix {first:?} and with the prefix {second:?}");
            Err(Error::file(files.path(), message))
        }
    }
}

/// Whether a configuration says that it is of a family.
fn is_of(config: Option<&Value>, family: &Family) -> bool {
    config.is_some_and(|config| says(config, family.model_types) == Some(true))
}

/// Whether a configuration says that it is one of `model_types`; nothing if it does not say what it is.
fn says(config: &Value, model_types: &[&str]) -> Option<bool> {
    let model_type = config.get("model_type")?.as_str()?;
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
