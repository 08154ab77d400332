//! Writes a checkpoint in one of its layouts, tensor by tensor; readers see whole files only.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::Value;

use super::{Checkpoint, Layout, Spelled};
use crate::error::{Error, Result};
use crate::parts::Parts;
use crate::plan::{Kind, TensorSpec};

/// A tensor to be written.
struct Item {
    /// Its name in the layout that is written.
    name: String,
    dtype: Dtype,
    spec: TensorSpec,
}

impl Checkpoint<'_> {
    /// Writes `config.json` and `model.safetensors` into a directory, which is made if need be: the tensors that the
    /// checkpoint has, in their stored types and in `layout`, which keeps projections apart. The configuration gets the
    /// type of the weights and the half that is missing, as Transformers writes them.
    ///
    /// # Errors
    /// Those of [`Checkpoint::check`] for the tensors that are there; [`Error::File`] if a file cannot be read or
    /// written. What was in the directory is then left as it was.
    pub(crate) fn save(&self, directory: &Path, mut config: Value, layout: &Layout) -> Result<()> {
        let items = self.items(layout)?;
        config["dtype"] = match items.iter().find(|item| item.spec.kind != Kind::Flag).map(|item| item.dtype) {
            Some(Dtype::BF16) => "bfloat16",
            Some(Dtype::F16) => "float16",
            _ => "float32",
        }
        .into();
        match self.parts() {
            Parts::Both => {}
            Parts::Encoder => config["decoder_config"] = Value::Null,
            Parts::Decoder => config["encoder_config"] = Value::Null,
        }
        fs::create_dir_all(directory).map_err(|error| unwritable(directory, &error))?;
        let weights = Staged::write(directory.join("model.safetensors"), |file| self.write_tensors(&items, file))?;
        let config =
            Staged::write(directory.join("config.json"), |file| writeln!(file, "{config:#}").map_err(Failure::Write))?;
        weights.publish()?;
        config.publish()
    }

    /// The tensors that the checkpoint has, in the order of the file: by falling alignment, then by name. A flag is
    /// there where the codebook is that it belongs to.
    fn items(&self, layout: &Layout) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for (name, (spec, location)) in &self.tensors {
            let source = match (&spec.kind, name.rsplit_once('.')) {
                (Kind::Flag, Some((module, _))) => self.tensors.get(&format!("{module}.embed_sum")),
                _ => None,
            };
            let present = source.map_or(&location.name, |(_, location)| &location.name);
            if !self.files.contains(present) {
                continue;
            }
            let dtype = if spec.kind == Kind::Flag { Dtype::F32 } else { self.stored(name)?.2 };
            let (Spelled::Whole(names) | Spelled::Fused(names)) = (layout.spell)(spec);
            let name = names.into_iter().next().unwrap_or_else(|| name.clone());
            items.push(Item { name, dtype, spec: spec.clone() });
        }
        items.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
        Ok(items)
    }

    fn write_tensors(&self, items: &[Item], file: &mut impl Write) -> Result<(), Failure> {
        let mut end = 0;
        let infos = items.iter().map(|item| {
            let start = end;
            end += item.spec.shape.iter().product::<usize>() * item.dtype.bitsize() / 8;
            let info = TensorInfo { dtype: item.dtype, shape: item.spec.shape.clone(), data_offsets: (start, end) };
            (item.name.clone(), info)
        });
        let format = HashMap::from([("format".to_string(), "pt".to_string())]);
        let metadata = Metadata::new(Some(format), infos.collect())
            .map_err(|error| Failure::Write(std::io::Error::other(error)))?;
        let mut header = serde_json::to_vec(&metadata).map_err(|error| Failure::Write(error.into()))?;
        // The tensors' bytes begin at a multiple of eight.
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut write = |bytes: &[u8]| file.write_all(bytes).map_err(Failure::Write);
        write(&(header.len() as u64).to_le_bytes())?;
        write(&header)?;
        for item in items {
            if item.spec.kind == Kind::Flag {
                write(&1_f32.to_le_bytes())?;
                continue;
            }
            let (spec, location, _) = self.stored(&item.spec.name)?;
            write(&self.bytes(spec, location)?)?;
        }
        Ok(())
    }
}

/// Why a file could not be written: itself, or what was to go into it.
pub(super) enum Failure {
    Write(std::io::Error),
    Content(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Content(error)
    }
}

/// A file that is written beside its place, and moved there when all is well; else removed.
pub(super) struct Staged {
    temporary: PathBuf,
    path: PathBuf,
}

impl Staged {
    pub(super) fn write(
        path: PathBuf,
        write: impl FnOnce(&mut BufWriter<File>) -> Result<(), Failure>,
    ) -> Result<Self> {
        let staged = Self { temporary: temporary_name(&path), path };
        staged.fill(write).map_err(|failure| match failure {
            Failure::Write(error) => unwritable(&staged.path, &error),
            Failure::Content(error) => error,
        })?;
        Ok(staged)
    }

    fn fill(&self, write: impl FnOnce(&mut BufWriter<File>) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut file = BufWriter::new(File::create_new(&self.temporary).map_err(Failure::Write)?);
        write(&mut file)?;
        let file = file.into_inner().map_err(|error| Failure::Write(error.into_error()))?;
        file.sync_all().map_err(Failure::Write)
    }

    /// Takes the right to write to the file from everybody, where a file without it can still be replaced.
    pub(super) fn make_read_only(&self) -> Result<()> {
        let read_only = || {
            let mut permissions = fs::metadata(&self.temporary)?.permissions();
            permissions.set_readonly(cfg!(unix));
            fs::set_permissions(&self.temporary, permissions)
        };
        read_only().map_err(|error| unwritable(&self.path, &error))
    }

    pub(super) fn publish(self) -> Result<()> {
        fs::rename(&self.temporary, &self.path).map_err(|error| unwritable(&self.path, &error))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Once published there is nothing left to remove.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// A name that no other writer uses.
fn temporary_name(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{number}.tmp", std::process::id()))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::file(path, format!("cannot write the file: {error}"))
}
