//! Which codec lies in files, and where: what names of tensors and a configuration tell.

use std::path::Path;

use super::{Description, FAMILIES, Family, is_of, mimi};
use crate::error::{Error, Result};
use crate::weights::{Files, Found, detect};

/// Folders of larger models that hold a codec, whole and with a configuration of its own: Qwen3-TTS has one.
pub const FOLDERS: &[&str] = &["speech_tokenizer"];

/// The files at a path, in which a codec is looked for. Some models keep theirs in a file of its own, which nothing names:
/// where the usual file of a directory has no codec, it is the one other file that has. Where none has, it is in one of
/// the [`FOLDERS`].
///
/// # Errors
/// [`Error::File`] for files that are missing or corrupt, or several that might be meant.
pub(super) fn locate(path: &Path) -> Result<Files<'static>> {
    let usual = Files::open(path, &[mimi::FILE_KEY]);
    let is_settled = match &usual {
        Ok(files) => {
            is_packed(files) || holds_a_codec(files) || FAMILIES.iter().any(|family| is_of(files.config(), family))
        }
        // a file that is damaged, and not the choice between files
        Err(error) => !matches!(error, Error::File { path: at, .. } if at == path),
    };
    if is_settled || !path.is_dir() {
        return usual;
    }
    let others = Files::in_directory(path)?;
    let mut found: Vec<_> = others.iter().filter_map(|other| Files::open(other, &[]).ok()).collect();
    found.retain(|files| is_packed(files) || holds_a_codec(files));
    if found.len() > 1 {
        let names: Vec<_> = found.iter().filter_map(|files| files.path().file_name()?.to_str()).collect();
        let message = format!("expected one file with a codec, found {}: {}", found.len(), names.join(", "));
        return Err(Error::file(path, format!("{message}; give the path of the file instead")));
    }
    if let Some(found) = found.pop() {
        return Ok(found);
    }
    let mut folders = FOLDERS.iter().map(|folder| path.join(folder)).filter(|folder| folder.is_dir());
    folders.next().map_or(usual, |folder| Files::open(&folder, &[]))
}

/// Whether a file says of itself that it is packed, damaged or not.
fn is_packed(files: &Files<'_>) -> bool {
    !matches!(files.packed(), Ok(None))
}

/// Whether there are tensors that only a codec has.
fn holds_a_codec(files: &Files<'_>) -> bool {
    FAMILIES.iter().any(|family| detect(files.names(), family.layouts).iter().any(|found| found.certain))
}

/// What stands before the names of the codec's tensors, of every codec that `names` may be of: usually one.
pub fn prefixes<'a>(names: impl Iterator<Item = &'a str>, module: Option<&str>) -> Vec<String> {
    let found = named(whole(among(names, |_| false)), module);
    found.into_iter().map(|(_, found)| found.prefix).collect()
}

/// The one codec in the files; `module` names one of several.
///
/// # Errors
/// [`Error::File`] where there is none or more than one, [`Error::Config`] where its configuration is not supported or
/// no codec is named so.
pub(super) fn recognise(files: &Files<'_>, module: Option<&str>) -> Result<(&'static Family, Found, Description)> {
    let all = among(files.names(), |family| is_of(files.config(), family));
    if all.is_empty() {
        let kinds: Vec<_> = FAMILIES.iter().map(|family| family.kind.as_str()).collect();
        let message = format!("expected the tensors of a codec ({}), found none of them", kinds.join(", "));
        return Err(Error::file(files.path(), message));
    }
    let all = whole(all);
    let list = |found: &[(&Family, Found)]| -> String {
        let each = found.iter().map(|(family, found)| format!("{:?} ({})", module_of(found), family.kind));
        each.collect::<Vec<_>>().join(", ")
    };
    let known = list(&all);
    let found = named(all, module);
    if let (Some(module), true) = (module, found.is_empty()) {
        return Err(Error::config("module", format!("expected one of {known}, got {module:?}")));
    }
    match <[_; 1]>::try_from(found) {
        Ok([(family, found)]) => {
            let description = (family.describe)(files, &found)?;
            Ok((family, found, description))
        }
        Err(found) => {
            let message = format!("expected one codec, found several: {}; name one of them as `module`", list(&found));
            Err(Error::file(files.path(), message))
        }
    }
}

/// The codecs that tensors of such names may be of. Where neither a name nor the configuration, which `says` of a
/// family that it is the one, tells codecs of the same layers apart, they are those of the first family.
fn among<'a>(names: impl Iterator<Item = &'a str>, says: impl Fn(&Family) -> bool) -> Vec<(&'static Family, Found)> {
    let names: Vec<&str> = names.collect();
    let mut found: Vec<(&Family, Found)> = Vec::new();
    for family in FAMILIES {
        found.extend(detect(names.iter().copied(), family.layouts).into_iter().map(|found| (family, found)));
    }
    if found.iter().any(|(_, found)| found.certain) {
        found.retain(|(_, found)| found.certain);
    } else {
        let named = found.iter().find(|(family, _)| says(family)).or(found.first()).map(|(family, _)| family.kind);
        found.retain(|(family, _)| Some(family.kind) == named);
    }
    found
}

/// Without the halves of a codec that are codecs of another kind by themselves.
fn whole(found: Vec<(&'static Family, Found)>) -> Vec<(&'static Family, Found)> {
    let halves = |prefix: &str| ["encoder.", "decoder."].map(|half| format!("{prefix}{half}"));
    let inside = |(family, inner): &(&Family, Found)| {
        found.iter().any(|(other, outer)| other.kind != family.kind && halves(&outer.prefix).contains(&inner.prefix))
    };
    found.iter().filter(|one| !inside(one)).cloned().collect()
}

/// Those that `module` names. Without a name, encoders alone give way to a whole codec.
fn named(mut found: Vec<(&'static Family, Found)>, module: Option<&str>) -> Vec<(&'static Family, Found)> {
    match module {
        Some(module) => found.retain(|(_, found)| {
            let own = module_of(found);
            // An encoder alone may be the only half of the module that it lies in.
            let names = [Some(own), own.strip_suffix(".encoder")];
            names
                .into_iter()
                .flatten()
                .any(|own| own == module || own.strip_suffix(module).is_some_and(|rest| rest.ends_with('.')))
        }),
        None if found.iter().any(|(family, _)| !family.half) => found.retain(|(family, _)| !family.half),
        None => {}
    }
    found
}

/// The module of a larger model that a codec is; nothing if it is the whole model.
pub(super) fn module_of(found: &Found) -> &str {
    found.prefix.trim_end_matches('.')
}
