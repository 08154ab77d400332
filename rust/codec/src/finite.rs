//! Values stay numbers: what overflows on its way through the model becomes an error, not a wrong code or a broken stream.

use candle_core::Tensor;

use crate::error::{Error, Result};

/// Refuses values that are infinite or NaN.
pub(crate) fn check_finite(floats: &[f32], what: &str) -> Result<()> {
    check(floats, what, 1)
}

/// [`check_finite`] of a tensor on any device.
pub(crate) fn check_tensor(tensor: &Tensor, what: &str) -> Result<()> {
    check_finite(&tensor.flatten_all()?.to_vec1::<f32>()?, what)
}

/// Refuses also values of 2^126 and more: twice any of the others is finite, and so is the sum of two.
pub(crate) fn check_finite_with_room(floats: &[f32], what: &str) -> Result<()> {
    check(floats, what, 3)
}

/// Refuses values that have one of the `exponents` greatest exponents, the greatest being that of infinity and NaN.
fn check(floats: &[f32], what: &str, exponents: u32) -> Result<()> {
    // The addition carries into the sign's place; this takes a small part of the time of asking each float.
    let bits = floats.iter().fold(0, |bits, float| bits | ((float.to_bits() & !SIGN) + (exponents << EXPONENT)));
    if bits & SIGN == 0 {
        return Ok(());
    }
    Err(too_large(what))
}

/// What is said of values that are not finite, or too large to go on with.
pub(crate) fn too_large(what: &str) -> Error {
    Error::Numeric(format!("{what} are too large for float32: expected a model with smaller weights"))
}

const SIGN: u32 = 1 << 31;
const EXPONENT: u32 = f32::MANTISSA_DIGITS - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finite() {
        for fine in [0.0, -0.0, 1.0, -1e-45, f32::MAX, f32::MIN] {
            assert!(check_finite(&[1.0, fine, -2.0], "x").is_ok(), "{fine}");
        }
        for wrong in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN] {
            assert!(matches!(check_finite(&[1.0, wrong, -2.0], "x"), Err(Error::Numeric(_))), "{wrong}");
        }
        assert!(check_finite(&[], "x").is_ok());
    }

    #[test]
    fn with_room() {
        let bound = 2.0_f32.powi(126);
        for fine in [0.0, -1.0, bound.next_down(), -bound.next_down()] {
            assert!(check_finite_with_room(&[fine], "x").is_ok(), "{fine}");
            assert!((fine + fine).is_finite());
        }
        for wrong in [bound, -bound, f32::MAX, f32::INFINITY, f32::NAN] {
            assert!(check_finite_with_room(&[wrong], "x").is_err(), "{wrong}");
        }
    }
}
