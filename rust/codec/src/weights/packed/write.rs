//! Writes packed files: whole or not at all, in the pieces that let the system keep them in large pages.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use mimi_kernels::Array;
use safetensors::tensor::{Metadata, TensorInfo};

use super::read::dtype_of_precision;
use super::{ALIGNMENT, Description, ENTRY, VERSION};
use crate::error::{Error, Result};
use crate::weights::save::{Failure, Staged};

/// Bytes that are written at once, from multiples of as many on. The page cache takes a file in pages as large as what is
/// written at once, and maps them as they are: in pages of 2 MB, a first reading of all weights took a fifth of the time.
const PIECE: usize = 4 << 20;

/// Writes arrays, by their layers' names and their own, to a file, which is read-only then if it is to be mapped. A file of this
/// name is replaced at once, and those who have mapped it go on with the old one.
///
/// # Errors
/// [`Error::File`] where it cannot be written.
pub(crate) fn write(path: &Path, mut description: Description, arrays: &[(String, Array)]) -> Result<()> {
    if path.is_dir() {
        return Err(Error::file(path, "expected the path of a file to write, got a directory"));
    }
    let padding = |array: &Array| array.bytes().len().next_multiple_of(ALIGNMENT) - array.bytes().len();
    let sum = |array: &Array| {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(array.bytes());
        hasher.update(&[0; ALIGNMENT][..padding(array)]);
        hasher.finalize()
    };
    let smaller: Vec<(String, Array)>;
    let arrays = if description.compact {
        let small = |array: &Array| array.in_bfloat16().unwrap_or_else(|| array.clone());
        smaller = arrays.iter().map(|(name, array)| (name.clone(), small(array))).collect();
        &smaller
    } else {
        arrays
    };
    description.version = VERSION;
    description.sums = arrays.iter().map(|(name, array)| (name.clone(), sum(array))).collect();
    let staged = Staged::write(path.to_path_buf(), |file| {
        let mut file = Pieces { to: file, piece: Vec::with_capacity(PIECE) };
        let header = header(&description, arrays).map_err(Failure::Write)?;
        let mut write = |bytes: &[u8]| file.write_all(bytes).map_err(Failure::Write);
        write(&(header.len() as u64).to_le_bytes())?;
        write(&header)?;
        for (_, array) in arrays {
            write(array.bytes())?;
            write(&[0; ALIGNMENT][..padding(array)])?;
        }
        file.flush().map_err(Failure::Write)
    })?;
    if !description.compact {
        staged.make_read_only()?;
    }
    staged.publish()
}

/// The header, filled up so that the arrays begin at a multiple of the alignment.
fn header(description: &Description, arrays: &[(String, Array)]) -> io::Result<Vec<u8>> {
    let mut end = 0;
    let infos = arrays.iter().map(|(name, array)| {
        let (start, dtype) = (end, dtype_of_precision(array.precision()));
        end += array.bytes().len().next_multiple_of(ALIGNMENT);
        let shape = vec![(end - start) * 8 / dtype.bitsize()];
        (name.clone(), TensorInfo { dtype, shape, data_offsets: (start, end) })
    });
    let notes = HashMap::from([(ENTRY.to_string(), description.entry()?)]);
    let metadata = Metadata::new(Some(notes), infos.collect()).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&metadata)?;
    let length = (size_of::<u64>() + header.len()).next_multiple_of(ALIGNMENT) - size_of::<u64>();
    header.resize(length, b' ');
    Ok(header)
}

/// Writes in whole pieces.
struct Pieces<W> {
    to: W,
    piece: Vec<u8>,
}

impl<W: Write> Write for Pieces<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() == PIECE {
            self.to.write_all(&self.piece)?;
            self.piece.clear();
        }
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.write_all(&self.piece)?;
        self.piece.clear();
        self.to.flush()
    }
}
