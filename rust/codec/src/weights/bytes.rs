//! The bytes of a file, on a disk or in memory, read by many threads at once, each where it wants.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use mimi_kernels::Map;

use crate::error::Error;

/// Where bytes are, and how many.
pub(super) enum Bytes<'a> {
    OnDisk(PositionedFile, u64),
    InMemory(&'a [u8]),
}

impl<'a> Bytes<'a> {
    /// Maps a file; bytes in memory are given back.
    pub(super) fn map(self) -> io::Result<Result<Arc<Map>, Self>> {
        match self {
            Self::OnDisk(file, _) => Ok(Ok(Map::new(file.into_file())?)),
            Self::InMemory(_) => Ok(Err(self)),
        }
    }
}

impl Bytes<'_> {
    /// Opens a file. Pipes and devices, which might block for ever, are refused unopened.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error: io::Error| Error::file(path, format!("cannot read the file: {error}"));
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Error::file(path, "expected a regular file, got a directory, a pipe or a device"));
        }
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Ok(Self::OnDisk(PositionedFile::new(file), length))
    }

    pub(super) fn length(&self) -> u64 {
        match self {
            Self::OnDisk(_, length) => *length,
            Self::InMemory(bytes) => bytes.len() as u64,
        }
    }

    /// Fills `into` with the bytes from `at` on.
    pub(super) fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<()> {
        match self {
            Self::OnDisk(file, _) => file.read_at(into, at),
            Self::InMemory(bytes) => {
                let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..));
                let own = rest.and_then(|rest| rest.get(..into.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
                into.copy_from_slice(own);
                Ok(())
            }
        }
    }
}

/// A file that many threads read at once, each where it wants.
#[cfg(unix)]
pub(super) struct PositionedFile(File);

#[cfg(unix)]
impl PositionedFile {
    fn new(file: File) -> Self {
        Self(file)
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, bytes, at)
    }

    fn into_file(self) -> File {
        self.0
    }
}

/// A file that threads read in turn, each where it wants.
#[cfg(not(unix))]
pub(super) struct PositionedFile(std::sync::Mutex<File>);

#[cfg(not(unix))]
impl PositionedFile {
    fn new(file: File) -> Self {
        Self(std::sync::Mutex::new(file))
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        // A reader that panicked leaves nothing but a position, which is set anew here.
        let mut file = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(bytes)
    }

    fn into_file(self) -> File {
        self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
