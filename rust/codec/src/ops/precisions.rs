//! How small the weights of each operation are kept, where most are kept in a `usual` precision. All backends do it alike, so
//! that their codes are alike.

use mimi_kernels::Precision;

/// Rows in a frame up to which a layer is bound by the reading of its weights when a stream goes frame by frame. With more
/// it is bound by arithmetic, and its activations are large.
pub(crate) const FEW_ROWS: usize = 8;

/// Rows up to which smaller weights cost little time, and still save memory.
const MORE_ROWS: usize = 16;

/// The weights of a convolution with so many rows in a frame.
pub(crate) fn of_convolution(usual: Precision, rows_per_frame: usize) -> Precision {
    match usual {
        usual if rows_per_frame <= FEW_ROWS => usual,
        // Those of float32 would be a sixth of all weights of an encoder in int8.
        Precision::Int8 if rows_per_frame <= MORE_ROWS => Precision::Bfloat16,
        _ => Precision::Float32,
    }
}

/// The same of a dense layer; `exact` keeps it as it is.
pub(crate) fn of_dense(usual: Precision, rows_per_frame: usize, exact: bool) -> Precision {
    if rows_per_frame <= MORE_ROWS && !exact { usual } else { Precision::Float32 }
}

/// Entries of codebooks to be searched, and to be added up. Beside int8, a search among entries in int8 finds as many codes of
/// float32 as one among exact ones; their sums would lose 2 dB, those of entries in bfloat16 lose nothing.
pub(crate) fn of_entries(usual: Precision) -> [Precision; 2] {
    match usual {
        Precision::Float32 | Precision::Bfloat16 => [Precision::Float32; 2],
        Precision::Int8 => [Precision::Int8, Precision::Bfloat16],
    }
}
