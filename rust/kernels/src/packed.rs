//! The right matrix of a product, arranged once at load in the order in which the tiles read it.

use crate::simd::Level;

/// Weights `(depth, columns)` in panels of two vectors' width: panel after panel, and in each the columns of depth 0,
/// then of depth 1, ... so that a tile reads one contiguous stream. The last panel is filled up with zeros.
pub struct PackedMatrix {
    pub(crate) level: Level,
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    pub(crate) panels: Vec<f32>,
    /// Added to every row of the product; as long as all panels are wide.
    pub(crate) bias: Vec<f32>,
}

impl PackedMatrix {
    /// Packs the matrix whose element at `(k, n)` is `weight(k, n)`, with a bias per column or none.
    pub fn new(
        level: Level,
        (depth, columns): (usize, usize),
        bias: Option<&[f32]>,
        weight: impl Fn(usize, usize) -> f32,
    ) -> Self {
        let width = panel_width(level);
        let count = columns.div_ceil(width);
        let mut panels = vec![0.0; count * depth * width];
        for (panel, data) in panels.chunks_exact_mut((depth * width).max(1)).enumerate() {
            let first = panel * width;
            let used = width.min(columns - first);
            // Column by column inside a stripe of depths: both the source rows and the stripe stay in the cache.
            for (stripe, rows) in data.chunks_mut(16 * width).enumerate() {
                for column in 0..used {
                    for (k, row) in rows.chunks_exact_mut(width).enumerate() {
                        row[column] = weight(stripe * 16 + k, first + column);
                    }
                }
            }
        }
        let mut padded = vec![0.0; count * width];
        if let Some(bias) = bias {
            padded[..columns].copy_from_slice(bias);
        }
        Self { level, depth, columns, panels, bias: padded }
    }

    /// Rows of the matrix: the length of a row of the left matrix.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Columns of the matrix: the length of a row of the product.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        (self.panels.len() + self.bias.len()) * size_of::<f32>()
    }

    pub(crate) fn panel_width(&self) -> usize {
        panel_width(self.level)
    }

    pub(crate) fn panel(&self, index: usize) -> &[f32] {
        let size = self.depth * self.panel_width();
        &self.panels[index * size..][..size]
    }

    pub(crate) fn panel_count(&self) -> usize {
        self.columns.div_ceil(self.panel_width())
    }

    /// One column of the weights, as they were given.
    pub(crate) fn column(&self, n: usize) -> impl Iterator<Item = f32> {
        let width = self.panel_width();
        self.panel(n / width)[n % width..].iter().step_by(width).copied()
    }
}

pub(crate) const VECTORS_PER_PANEL: usize = 2;

fn panel_width(level: Level) -> usize {
    VECTORS_PER_PANEL * level.lanes()
}
