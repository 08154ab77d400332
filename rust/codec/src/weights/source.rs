//! Finds a checkpoint's files from the path that a user gives, and the configuration beside them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::bytes::Bytes;
use super::file::{TensorFiles, is_file_name, read_json};
use crate::error::{Error, Result};

/// The files of a checkpoint: their headers are read, and the `config.json` beside them.
pub(crate) struct Files<'a> {
    pub(super) tensors: TensorFiles<'a>,
    config: Option<Value>,
}

impl<'a> Files<'a> {
    /// Opens a directory (`config.json` and `model.safetensors`, an index of several, or the only `.safetensors` file), a
    /// `.safetensors` file, or an index. A configuration may name the file under one of the keys `naming`.
    ///
    /// # Errors
    /// [`Error::File`] for files that are missing or corrupt.
    pub(crate) fn open(path: &Path, naming: &[&str]) -> Result<Self> {
        let metadata = std::fs::metadata(path)
            .map_err(|error| Error::file(path, format!("cannot open the checkpoint: {error}")))?;
        let directory = if metadata.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
        let config = directory.join("config.json");
        let config = if config.is_file() { Some(read_json(&config, &Bytes::open(&config)?)?) } else { None };
        let weights = if metadata.is_dir() { weights_in(path, config.as_ref(), naming)? } else { path.to_path_buf() };
        Ok(Self { tensors: TensorFiles::open(&weights)?, config })
    }

    /// A `.safetensors` file and a `config.json` that lie in memory.
    ///
    /// # Errors
    /// [`Error::File`] for bytes that are neither.
    pub(crate) fn in_memory(weights: &'a [u8], config: Option<&'a [u8]>) -> Result<Self> {
        let config = config.map(|config| read_json("configuration in memory".as_ref(), &Bytes::InMemory(config)));
        let tensors = TensorFiles::of_one("weights in memory".as_ref(), Bytes::InMemory(weights))?;
        Ok(Self { tensors, config: config.transpose()? })
    }

    /// All `.safetensors` files in a directory, sorted.
    ///
    /// # Errors
    /// [`Error::File`] for a directory that cannot be read.
    pub(crate) fn in_directory(directory: &Path) -> Result<Vec<PathBuf>> {
        Ok(with_extension(&entries(directory)?, &["safetensors"]))
    }

    /// The weights' file or index.
    pub(crate) fn path(&self) -> &Path {
        self.tensors.path()
    }

    /// All tensors' names, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.names()
    }

    /// A tensor's shape, or nothing if there is no such tensor.
    ///
    /// # Errors
    /// [`Error::File`] where the tensor's shard is missing or corrupt.
    pub(crate) fn shape(&self, name: &str) -> Result<Option<&[usize]>> {
        Ok(self.tensors.entry(name)?.map(|entry| entry.shape.as_slice()))
    }

    /// The same files beside another `config.json`.
    pub(crate) fn with_config(self, config: Value) -> Self {
        Self { config: Some(config), ..self }
    }

    /// What is in the `config.json`, if there is one.
    pub(crate) fn config(&self) -> Option<&Value> {
        self.config.as_ref()
    }
}

/// The weights in a directory: in the file that the configuration names under a key of `naming`, else in the usual ones.
fn weights_in(directory: &Path, config: Option<&Value>, naming: &[&str]) -> Result<PathBuf> {
    let named = naming.iter().find_map(|key| config?.get(key)?.as_str());
    let usual = ["model.safetensors", "model.safetensors.index.json"];
    let known = named.filter(|name| is_file_name(name)).into_iter().chain(usual).map(|name| directory.join(name));
    if let Some(path) = known.into_iter().find(|path| path.is_file()) {
        return Ok(path);
    }
    let entries = entries(directory)?;
    let found = with_extension(&entries, &["safetensors"]);
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] if !with_extension(&entries, &["bin", "pt", "pth", "ckpt"]).is_empty() => Err(Error::file(
            directory,
            "expected model.safetensors, found only PyTorch pickles; load them in PyTorch and save them with safetensors",
        )),
        [] => Err(Error::file(directory, "expected model.safetensors or model.safetensors.index.json, found neither")),
        several => {
            let message =
                format!("expected model.safetensors or one other .safetensors file, found {} files", several.len());
            Err(Error::file(directory, format!("{message}; give the path of the file instead")))
        }
    }
}

/// What is in a directory.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error: std::io::Error| Error::file(directory, format!("cannot read the directory: {error}"));
    let entries = std::fs::read_dir(directory).map_err(failed)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}

fn with_extension(paths: &[PathBuf], extensions: &[&str]) -> Vec<PathBuf> {
    let wanted = |path: &&PathBuf| {
        path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted))
    };
    let mut found: Vec<_> = paths.iter().filter(wanted).cloned().collect();
    found.sort();
    found
}
