//! The kernels on the host, held against the CPU's bit for bit.

mod layout;

/// A structure that the kernels have too.
pub(super) trait Mirrored {
    /// Its name in the kernels' text.
    const NAME: &str;
    /// The name, the offset and the size of each field.
    const FIELDS: &[(&str, usize, usize)];
}
