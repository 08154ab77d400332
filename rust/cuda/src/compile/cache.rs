//! Compiled kernels kept on disk, a file per text, compiler, driver and device.
//!
//! The cache only saves time: whatever is wrong with it, the kernels are compiled again.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// The variable that names the cache's directory. Empty: nothing is kept.
const VARIABLE: &str = "MIMI_CODEC_CACHE";

/// How a file begins: its kind, and the number of this layout. The key, the checksum and the code follow.
const MAGIC: &[u8; 8] = b"mimicub1";

pub(crate) struct Cache {
    directory: Option<PathBuf>,
}

impl Cache {
    /// The cache of this user: `$MIMI_CODEC_CACHE`, or `mimi-codec` where the system keeps caches.
    pub(crate) fn of_the_user() -> Self {
        let own = env::var_os(VARIABLE).map(PathBuf::from);
        let system = || if cfg!(windows) { from("LOCALAPPDATA") } else { from("XDG_CACHE_HOME").or_else(home) };
        let directory = own.or_else(|| system().map(|caches| caches.join("mimi-codec")));
        Self::at(directory.filter(|directory| !directory.as_os_str().is_empty()))
    }

    fn at(directory: Option<PathBuf>) -> Self {
        Self { directory: directory.map(|directory| directory.join("cubins")) }
    }

    /// What was kept under a key, if it is whole.
    pub(crate) fn get(&self, key: u128) -> Option<Vec<u8>> {
        let file = fs::read(self.path(key)?).ok()?;
        let (magic, rest) = file.split_first_chunk::<8>()?;
        let (stored_key, rest) = rest.split_first_chunk::<16>()?;
        let (checksum, image) = rest.split_first_chunk::<4>()?;
        let whole = magic == MAGIC
            && u128::from_le_bytes(*stored_key) == key
            && u32::from_le_bytes(*checksum) == crc32fast::hash(image);
        whole.then(|| image.to_vec())
    }

    /// Keeps code under a key, if that is possible.
    pub(crate) fn put(&self, key: u128, image: &[u8]) {
        if let (Some(directory), Some(path)) = (&self.directory, self.path(key)) {
            // Readers see the whole file or none: it gets its name when it is complete.
            let _ = fs::create_dir_all(directory).and_then(|()| {
                let temporary = directory.join(temporary_name(key));
                write(&temporary, key, image)
                    .and_then(|()| fs::rename(&temporary, path))
                    .inspect_err(|_| drop(fs::remove_file(&temporary)))
            });
        }
    }

    fn path(&self, key: u128) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join(format!("{key:032x}.cubin")))
    }
}

fn write(path: &Path, key: u128, image: &[u8]) -> std::io::Result<()> {
    let mut file = fs::File::create_new(path)?;
    file.write_all(MAGIC)?;
    file.write_all(&key.to_le_bytes())?;
    file.write_all(&crc32fast::hash(image).to_le_bytes())?;
    file.write_all(image)
}

/// A name that no other process and no other thread takes.
fn temporary_name(key: u128) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{key:032x}.{}.{}.tmp", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn from(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn home() -> Option<PathBuf> {
    from("HOME").map(|home| home.join(".cache"))
}
