//! The right matrix of a product, arranged once at load in the order in which the tiles read it.

use crate::memory::{Buffer, trim};
use crate::numbers::{Array, Arrays, Number, Numbers};
use crate::precision::{GROUP, Precision, Scale, of_bfloat16, to_bfloat16};
use crate::simd::{INT8_UNIT, Level};
use crate::strided::Strided;

/// Weights `(depth, columns)` in panels of two vectors' width: panel after panel, and in each the columns of depth 0,
/// then of depth 1, ... so that a tile reads one contiguous stream. The last panel is filled up with zeros.
pub struct PackedMatrix {
    pub(crate) level: Level,
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    pub(crate) panels: Panels,
    /// Added to every row of the product; as long as all panels are wide.
    pub(crate) bias: Numbers<f32>,
}

/// Small numbers lie so that the lanes of a wide load hold one of each of several vectors, to be shifted apart.
pub(crate) enum Panels {
    /// A single column in float32 needs no panel: the weights in the order of depth.
    Column(Numbers<f32>),
    Float32(Numbers<f32>),
    /// Row by row, lane by lane: the two vectors' numbers.
    Bfloat16(Numbers<u16>),
    /// Two rows at a time, lane by lane: the two vectors' numbers of the first row, then of the second; an odd depth has a
    /// row of zeros more. The scales, of numbers taken 2^24 times, are a panel with a row for each group.
    Int8(Numbers<i8>, Numbers<f32>),
}

impl PackedMatrix {
    /// Packs a matrix, with a bias per column or none.
    ///
    /// # Panics
    /// If the bias is not as long as the matrix has columns.
    pub fn new(level: Level, precision: Precision, matrix: &Strided<'_>, bias: Option<&[f32]>) -> Self {
        let (depth, columns) = matrix.shape();
        let width = panel_width(level);
        let mut padded = vec![0.0; columns.next_multiple_of(width)];
        if let Some(bias) = bias {
            padded[..columns].copy_from_slice(bias);
        }
        let lanes = level.tile_lanes();
        let panels = match precision {
            Precision::Float32 if columns == 1 => Panels::Column(pack(matrix, 1, |k, _| k, |value| value)),
            Precision::Float32 => Panels::Float32(pack(matrix, width, float32_place(lanes), |value| value)),
            Precision::Bfloat16 => Panels::Bfloat16(pack(matrix, width, bfloat16_place(lanes), to_bfloat16)),
            Precision::Int8 => pack_int8(matrix, lanes),
        };
        Self { level, depth, columns, panels, bias: padded.into() }
    }

    /// The matrix of arrays that were [arranged](Self::arrays) before: as they are where that was for panels as wide as those
    /// of this level, else arranged anew.
    ///
    /// # Errors
    /// Those of [`Arrays::find`].
    pub fn of_arrays<A: Arrays>(
        level: Level,
        precision: Precision,
        (depth, columns): (usize, usize),
        arrays: &A,
    ) -> Result<Self, A::Error> {
        let arranged = Arranged { arrays, columns, to: level.tile_lanes() };
        let panels = match precision {
            Precision::Float32 if columns == 1 => Panels::Column(arrays.find(PANELS, depth)?),
            Precision::Float32 => Panels::Float32(arranged.find(PANELS, depth, float32_place)?),
            Precision::Bfloat16 => Panels::Bfloat16(arranged.find(PANELS, depth, bfloat16_place)?),
            Precision::Int8 => Panels::Int8(
                arranged.find(PANELS, depth.checked_next_multiple_of(2).unwrap_or(depth), int8_place)?,
                arranged.find(SCALES, depth.div_ceil(GROUP), float32_place)?,
            ),
        };
        Ok(Self { level, depth, columns, panels, bias: arranged.find(BIAS, 1, float32_place)? })
    }

    /// What it is kept as: arrays, and what they are called.
    pub fn arrays(&self) -> Vec<(&'static str, Array)> {
        let mut arrays = match &self.panels {
            Panels::Column(values) | Panels::Float32(values) => vec![(PANELS, Array::Float32(values.clone()))],
            Panels::Bfloat16(values) => vec![(PANELS, Array::Bfloat16(values.clone()))],
            Panels::Int8(values, scales) => {
                vec![(PANELS, Array::Int8(values.clone())), (SCALES, Array::Float32(scales.clone()))]
            }
        };
        arrays.push((BIAS, Array::Float32(self.bias.clone())));
        arrays
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
        self.arrays().iter().map(|(_, array)| array.bytes().len()).sum()
    }

    pub(crate) fn panel_count(&self) -> usize {
        self.columns.div_ceil(panel_width(self.level))
    }

    /// One column of weights in float32, as they are kept.
    pub(crate) fn column(&self, n: usize) -> impl Iterator<Item = f32> {
        let (lanes, width) = (self.level.tile_lanes(), panel_width(self.level));
        let (panel, c) = (n / width, n % width);
        let start = panel * self.depth * width;
        (0..self.depth).map(move |k| match &self.panels {
            Panels::Column(values) => values[k],
            Panels::Float32(values) => values[start + float32_place(lanes)(k, c)],
            Panels::Bfloat16(values) => of_bfloat16(values[start + bfloat16_place(lanes)(k, c)]),
            Panels::Int8(values, scales) => {
                let (rows, groups) = (self.depth.next_multiple_of(2), self.depth.div_ceil(GROUP));
                let scale = scales[panel * groups * width + float32_place(lanes)(k / GROUP, c)];
                f32::from(values[panel * rows * width + int8_place(lanes)(k, c)]) * INT8_UNIT * scale
            }
        })
    }
}

/// What the arrays of a matrix are called.
pub(crate) const PANELS: &str = "panels";
pub(crate) const SCALES: &str = "scales";
const BIAS: &str = "bias";

pub(crate) const VECTORS_PER_PANEL: usize = 2;

pub(crate) fn panel_width(level: Level) -> usize {
    VECTORS_PER_PANEL * level.tile_lanes()
}

/// Where a panel of two vectors of `lanes` has the float at depth `k` and column `c`.
#[inline(always)]
fn float32_place(lanes: usize) -> impl Fn(usize, usize) -> usize + Copy {
    move |k, c| k * VECTORS_PER_PANEL * lanes + c
}

/// The same of numbers in bfloat16.
#[inline(always)]
fn bfloat16_place(lanes: usize) -> impl Fn(usize, usize) -> usize + Copy {
    move |k, c| k * VECTORS_PER_PANEL * lanes + c % lanes * 2 + c / lanes
}

/// The same of numbers in int8.
#[inline(always)]
fn int8_place(lanes: usize) -> impl Fn(usize, usize) -> usize + Copy {
    move |k, c| k / 2 * 2 * VECTORS_PER_PANEL * lanes + c % lanes * 4 + k % 2 * 2 + c / lanes
}

/// Arrays of panels of so many `columns`, as they are needed with vectors of `to` lanes, whichever they were packed for.
struct Arranged<'a, A> {
    arrays: &'a A,
    columns: usize,
    to: usize,
}

impl<A: Arrays> Arranged<'_, A> {
    /// The array `name` of panels of `depth` rows, each number at its `place` among vectors of some lanes.
    fn find<T: Number, F: Fn(usize, usize) -> usize>(
        &self,
        name: &str,
        depth: usize,
        place: impl Fn(usize) -> F,
    ) -> Result<Numbers<T>, A::Error> {
        let from = self.arrays.tile_lanes();
        let [old, new] = [from, self.to].map(|lanes| VECTORS_PER_PANEL * lanes);
        let len = |width| size([self.columns.div_ceil(width), depth, width]);
        if old == new {
            return self.arrays.find(name, len(old));
        }
        let numbers = self.arrays.find_to_copy(name, len(old))?;
        let (from, to) = (place(from), place(self.to));
        let mut buffer = Buffer::zeros(len(new));
        for n in 0..self.columns {
            let (start, end) = (n / old * old * depth, n / new * new * depth);
            for k in 0..depth {
                buffer[end + to(k, n % new)] = numbers[start + from(k, n % old)];
            }
        }
        drop(numbers);
        if buffer.len() >= LARGE {
            // Else freed pieces of many layers would add up to a quarter of a small model, for as long as it is loaded.
            trim();
        }
        Ok(buffer.into())
    }
}

/// Numbers that take so much memory that it should not be kept when they are gone.
const LARGE: usize = 1 << 18;

/// Depths that are packed together, in the order in which they lie in the source: each line of it is then read once.
const STRIPE: usize = 64;

/// Panels of `width` columns, the element at depth `k` and column `c` of a panel at `place(k, c)`.
fn pack<T: Number>(
    matrix: &Strided<'_>,
    width: usize,
    place: impl Fn(usize, usize) -> usize,
    store: impl Fn(f32) -> T,
) -> Numbers<T> {
    let (depth, columns) = matrix.shape();
    let mut packed = Buffer::zeros(size([columns.div_ceil(width), depth, width]));
    for stripe in matrix.depths_as_they_lie().chunks(STRIPE) {
        for (panel, data) in packed.chunks_exact_mut((depth * width).max(1)).enumerate() {
            let first = panel * width;
            for c in 0..width.min(columns - first) {
                for &k in stripe {
                    data[place(k, c)] = store(matrix.at(k, first + c));
                }
            }
        }
    }
    packed.into()
}

fn pack_int8(matrix: &Strided<'_>, lanes: usize) -> Panels {
    let (depth, columns) = matrix.shape();
    let width = VECTORS_PER_PANEL * lanes;
    let (even_depth, groups, panels) = (depth.next_multiple_of(2), depth.div_ceil(GROUP), columns.div_ceil(width));
    let (place, scale_place) = (int8_place(lanes), float32_place(lanes));
    let mut values = Buffer::zeros(size([panels, even_depth, width]));
    let mut scales = Buffer::zeros(size([panels, groups, width]));
    for group in 0..groups {
        let depths = group * GROUP..depth.min((group + 1) * GROUP);
        for n in 0..columns {
            let (panel, c) = (n / width, n % width);
            let Some(shared) = Scale::of(depths.clone().map(|k| matrix.at(k, n))) else { continue };
            let data = &mut values[panel * even_depth * width..][..even_depth * width];
            for k in depths.clone() {
                data[place(k, c)] = shared.number(matrix.at(k, n));
            }
            scales[panel * groups * width + scale_place(group, c)] = shared.scale();
        }
    }
    Panels::Int8(values.into(), scales.into())
}

/// The elements of an array; more than there can be if that overflows.
fn size(shape: [usize; 3]) -> usize {
    shape.into_iter().fold(1, usize::saturating_mul)
}
