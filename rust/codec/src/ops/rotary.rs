//! The angles by which queries and keys are turned (Su et al. 2021, half-split order).

use candle_core::Tensor;

use super::{AttentionShape, Signal};
use crate::error::Result;
use crate::ops::state::Block;

/// Where the steps of a block stand, for attention layers that share it.
pub(crate) trait Rotary: Send + Sync {
    /// For a block of `steps` steps.
    fn angles(&self, steps: usize, block: &Block<'_>) -> Result<Angles>;
}

/// Made once for a block, and used by all layers.
pub(crate) struct Angles {
    /// `(rows, steps, head_dim)`: for each step the cosines, then the sines.
    pub(super) table: Signal,
    /// What the scores are lowered by where a step may not look, for backends that add it.
    #[cfg_attr(not(feature = "composed"), expect(dead_code, reason = "for the composed backend"))]
    pub(super) mask: Option<Tensor>,
}

/// One frequency for each pair of channels.
///
/// They are float32 as in Transformers; their product with the position is taken in float64, so that the angles of a
/// stream stay exact after days. That is done on the host: not every device has float64, and the table of a streamed
/// block is some hundred floats a row, uploaded once for all layers. Adding up the angles of a block's first step and of
/// the steps since on the device would be several launches instead, and less exact.
pub(super) struct Frequencies {
    frequencies: Vec<f64>,
    /// Steps in a frame.
    rows_per_frame: usize,
}

impl Frequencies {
    pub(super) fn new(shape: AttentionShape, theta: f64) -> Self {
        let AttentionShape { head_dim, rows_per_frame, .. } = shape;
        let frequency = |i: usize| {
            let exponent = (2 * i) as f32 / head_dim as f32;
            f64::from(1.0 / (theta as f32).powf(exponent))
        };
        Self { frequencies: (0..head_dim / 2).map(frequency).collect(), rows_per_frame }
    }

    /// Floats of a step: the cosines and the sines.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "for devices that tables are brought to"))]
    pub(super) fn width(&self) -> usize {
        2 * self.frequencies.len()
    }

    /// The table of [`Angles`], and its shape.
    pub(super) fn table(&self, steps: usize, block: &Block<'_>) -> (Vec<f32>, [usize; 3]) {
        let rows = block.rows.len();
        let mut table = Vec::with_capacity(rows * steps * 2 * self.frequencies.len());
        for row in 0..rows {
            for step in 0..steps as u64 {
                let position = (block.position(row, self.rows_per_frame) + step) as f64;
                table.extend(self.frequencies.iter().map(|frequency| (position * frequency).cos() as f32));
                table.extend(self.frequencies.iter().map(|frequency| (position * frequency).sin() as f32));
            }
        }
        (table, [rows, steps, 2 * self.frequencies.len()])
    }
}
