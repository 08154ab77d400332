//! The sessions of a step, and the faults that kernels report, as the kernels have them (`kernels/common.cu`).

use bytemuck::{Pod, Zeroable};

/// A row of a step.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Session {
    /// The address of its state on the device; 0 for a row that rests.
    pub state: u64,
    /// Frames that it has seen; at 0 what its state holds is not read.
    pub frames: u64,
    /// Which of the two copies of a history is the newest: 0 or 1.
    pub parity: u32,
    /// Nothing.
    pub padding: u32,
}

/// Words of the memory in which kernels report faults. Each is 0 where all is well.
pub const FAULTS: usize = 5;

/// What the words stand for, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An input of a convolution that would be remembered is not finite.
    Convolution,
    /// A query, a key or a value is not finite.
    Attention,
    /// A distance to the entries of a codebook is not finite; 1 more than the codebook's number.
    Distance,
    /// A code is not one of its codebook.
    Code,
    /// What is given to a caller is not finite.
    Output,
}
