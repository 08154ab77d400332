//! How weights are stored, and what becomes of each of them.

use std::borrow::Cow;

use crate::simd::INT8_UNIT;

/// How weights are stored. Products are in float32 in any case: less storage is less to read from memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As they are.
    #[default]
    Float32,
    /// The upper half of a float32, rounded to even.
    Bfloat16,
    /// Whole numbers from -127 to 127, with a float32 scale for each column of each 128 depths. Rows may hold values up to
    /// 1e27: sums are taken 2^24 times before they are scaled.
    Int8,
}

/// Depths that share a scale: the sums of a group are scaled once, so a group must be long enough to hide that, and short
/// enough that its largest weight does not cost the others their digits.
pub const GROUP: usize = 128;

/// The upper half of a float32, rounded to even.
pub fn to_bfloat16(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// The float32 whose upper half is given.
pub fn of_bfloat16(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

/// What the weights of a group are stored by as whole numbers.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    greatest: f32,
    inverse: f32,
}

impl Scale {
    /// The scale of a column's weights in a group; none where all of them are zero.
    pub fn of(weights: impl Iterator<Item = f32>) -> Option<Self> {
        let greatest = weights.map(f32::abs).fold(0.0, f32::max);
        (greatest != 0.0).then(|| Self { greatest, inverse: 127.0 / greatest })
    }

    /// The whole number for a weight.
    pub fn number(self, weight: f32) -> i8 {
        round(weight * self.inverse) as i8
    }

    /// What a sum of products with numbers taken 2^24 times is multiplied by.
    pub fn scale(self) -> f32 {
        self.greatest / 127.0 / INT8_UNIT
    }
}

/// Rows of `depth` weights as they are kept in a precision, each of them a column of a packed matrix.
///
/// # Panics
/// If `depth` is zero.
pub fn as_kept(precision: Precision, rows: &[f32], depth: usize) -> Cow<'_, [f32]> {
    let number = |scale: Scale, weight| f32::from(scale.number(weight)) * INT8_UNIT * scale.scale();
    match precision {
        Precision::Float32 => Cow::Borrowed(rows),
        Precision::Bfloat16 => rows.iter().map(|&weight| of_bfloat16(to_bfloat16(weight))).collect(),
        Precision::Int8 => {
            let mut kept = rows.to_vec();
            for group in kept.chunks_mut(depth).flat_map(|row| row.chunks_mut(GROUP)) {
                if let Some(scale) = Scale::of(group.iter().copied()) {
                    group.iter_mut().for_each(|weight| *weight = number(scale, *weight));
                }
            }
            kept.into()
        }
    }
}

/// To the nearest whole number, ties to even, for small values: a call of the C library for each weight takes longer than
/// all the rest of packing it.
fn round(value: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5 * 2^23
    value + SHIFT - SHIFT
}
