//! Weights in the order in which the products read them: panels of four columns; in a panel, quads of four depths; in a
//! quad, the four depths of each column.

use mimi_kernels::{GROUP, Precision, Scale, Strided, to_bfloat16};

/// Columns of a panel.
pub(crate) const PANEL: usize = 4;
/// Depths of a quad.
const QUAD: usize = 4;
/// The byte for the number 0: numbers are kept 128 more, so that none is negative.
const ZERO: u8 = 128;

/// Weights as they are kept on the device.
pub(crate) struct Packed {
    /// `(panels, quads, 4 columns, 4 depths)`; of one column in float32: `(depth)`.
    pub(crate) values: Vec<u8>,
    /// Of int8: `(groups, panels of columns)`.
    pub(crate) scales: Vec<f32>,
    /// `(panels of columns)`.
    pub(crate) bias: Vec<f32>,
}

impl Packed {
    /// Packs a matrix, with a bias as long as it has columns or none.
    pub(crate) fn new(precision: Precision, matrix: &Strided<'_>, bias: Option<&[f32]>) -> Self {
        let (depth, columns) = matrix.shape();
        let width = columns.next_multiple_of(PANEL);
        let mut padded = vec![0.0; width];
        if let Some(bias) = bias {
            padded[..columns].copy_from_slice(bias);
        }
        let values = match precision {
            Precision::Float32 if columns == 1 => (0..depth).flat_map(|k| matrix.at(k, 0).to_le_bytes()).collect(),
            Precision::Float32 => pack(matrix, 0.0_f32.to_le_bytes(), |k, n| matrix.at(k, n).to_le_bytes()),
            Precision::Bfloat16 => pack(matrix, [0; 2], |k, n| to_bfloat16(matrix.at(k, n)).to_le_bytes()),
            Precision::Int8 => {
                let scales = scales(matrix);
                let number = |k: usize, n: usize| {
                    let scale = scales[k / GROUP * columns + n];
                    scale.map_or(ZERO, |scale| scale.number(matrix.at(k, n)).cast_unsigned() ^ ZERO)
                };
                let values = pack(matrix, [ZERO], |k, n| [number(k, n)]);
                let rows = scales.chunks_exact(columns.max(1));
                let scales = rows.flat_map(|row| {
                    (0..width).map(|n| row.get(n).copied().flatten().map_or(0.0, Scale::scale)).collect::<Vec<_>>()
                });
                return Self { values, scales: scales.collect(), bias: padded };
            }
        };
        Self { values, scales: Vec::new(), bias: padded }
    }
}

/// All elements of a matrix in their order, what fills up panels and quads as `empty`.
fn pack<const BYTES: usize>(
    matrix: &Strided<'_>,
    empty: [u8; BYTES],
    element: impl Fn(usize, usize) -> [u8; BYTES],
) -> Vec<u8> {
    let (depth, columns) = matrix.shape();
    let mut packed = Vec::with_capacity(columns.next_multiple_of(PANEL) * depth.next_multiple_of(QUAD) * BYTES);
    for panel in (0..columns).step_by(PANEL) {
        for quad in (0..depth).step_by(QUAD) {
            for n in panel..panel + PANEL {
                for k in quad..quad + QUAD {
                    packed.extend(if n < columns && k < depth { element(k, n) } else { empty });
                }
            }
        }
    }
    packed
}

/// The scale of each column in each group of depths, `(groups, columns)`.
fn scales(matrix: &Strided<'_>) -> Vec<Option<Scale>> {
    let (depth, columns) = matrix.shape();
    let groups = (0..depth).step_by(GROUP);
    let group = |from: usize, n: usize| Scale::of((from..depth.min(from + GROUP)).map(|k| matrix.at(k, n)));
    groups.flat_map(|from| (0..columns).map(move |n| group(from, n))).collect()
}
