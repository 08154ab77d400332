//! A file in the address space: all processes that read it share the system's one copy of it.

use std::fs::{File, Metadata};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use memmap2::Mmap;

use crate::numbers::{Number, Numbers};

/// A whole file, mapped to be read.
///
/// A page that is no longer in the file cannot be read: the system ends the process that tries. Numbers are what they are
/// in the file, whoever changes it. So [`Map::is_unchanged`] is to be asked before each use.
pub struct Map {
    bytes: Mmap,
    file: File,
    /// What the file was when it was mapped.
    stamp: Stamp,
}

/// What changes with the contents of a file.
#[derive(PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), modified: metadata.modified().ok() }
    }
}

impl Map {
    /// Maps all of a file.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(file: File) -> io::Result<Arc<Self>> {
        let stamp = Stamp::of(&file.metadata()?);
        // SAFETY: nothing here writes to the file. Whoever changes it nevertheless changes numbers, of which any bytes are
        // a value; whoever makes it shorter ends the process, as this type says.
        let bytes = unsafe { Mmap::map(&file)? };
        Ok(Arc::new(Self { bytes, file, stamp }))
    }

    /// Whether the file is as long as it was when it was mapped, and nobody has written to it.
    pub fn is_unchanged(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| Stamp::of(&metadata) == self.stamp)
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// `len` numbers from a place on; none where the file ends before them, or they do not lie as numbers must.
    pub fn numbers<T: Number>(self: &Arc<Self>, from: usize, len: usize) -> Option<Numbers<T>> {
        let end = len.checked_mul(size_of::<T>())?.checked_add(from)?;
        let start = self.bytes.get(from..end)?.as_ptr().cast::<T>();
        if !start.is_aligned() {
            return None;
        }
        // SAFETY: they are within the bytes, in their place, and any bytes are numbers.
        let numbers = unsafe { std::slice::from_raw_parts(start, len) };
        // SAFETY: the map stays where it is as long as it is there.
        Some(unsafe { Numbers::kept_by(numbers, Arc::<Self>::clone(self)) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn numbers_where_there_are_some() {
        let path = std::env::temp_dir().join(format!("mimi-kernels-map-{}", std::process::id()));
        let floats: Vec<u8> = (0..16).flat_map(|i| (i as f32).to_le_bytes()).collect();
        std::fs::write(&path, &floats).unwrap();
        let map = Map::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(map.bytes(), floats);
        let numbers = map.numbers::<f32>(8, 14).unwrap();
        assert_eq!(numbers[..], (2..16).map(|i| i as f32).collect::<Vec<_>>());
        assert_eq!(map.numbers::<i8>(63, 1).unwrap().len(), 1);
        // Beyond the end, more than there can be, and between two numbers.
        for (from, len) in [(8, 15), (64, 1), (usize::MAX, 1), (0, usize::MAX / 2), (2, 1)] {
            assert!(map.numbers::<f32>(from, len).is_none(), "{len} from {from} on");
        }
        // They live as long as somebody has them, and see what becomes of the file.
        assert!(map.is_unchanged());
        File::options().append(true).open(&path).unwrap().write_all(&[0]).unwrap();
        assert!(!map.is_unchanged());
        drop(map);
        assert_eq!(numbers[0], 2.0);
        drop(numbers);
        std::fs::remove_file(&path).unwrap();
    }
}
