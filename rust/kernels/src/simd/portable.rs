//! Four floats in plain Rust, which the compiler turns into the base vector instructions (SSE2, NEON).

use super::{INT8_UNIT, Simd};

#[derive(Clone, Copy)]
pub(crate) struct Portable;

type Vector = [f32; 4];

#[inline(always)]
fn zip(a: Vector, b: Vector, f: impl Fn(f32, f32) -> f32) -> Vector {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

/// Fused where that is one instruction; a call of the C library's `fmaf` per lane would be far slower than two roundings.
#[inline(always)]
fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { a.mul_add(b, c) } else { a * b + c }
}

impl Simd for Portable {
    const LANES: usize = 4;
    const TILE_ROWS: usize = if cfg!(target_arch = "aarch64") { 8 } else { 6 };
    type Vector = Vector;
    type Tile = Self;

    #[inline(always)]
    fn tile(self) -> Self {
        self
    }
    #[inline(always)]
    fn splat(self, value: f32) -> Vector {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Vector {
        // SAFETY: the caller's promise; an array of floats may be read unaligned this way.
        unsafe { from.cast::<Vector>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_bfloat16(self, from: *const u16) -> [Vector; 2] {
        // SAFETY: the caller's promise.
        let pairs = unsafe { from.cast::<[[u16; 2]; 4]>().read_unaligned() };
        [0, 1].map(|vector| pairs.map(|pair| f32::from_bits(u32::from(pair[vector]) << 16)))
    }
    #[inline(always)]
    unsafe fn load_int8(self, from: *const i8) -> [[Vector; 2]; 2] {
        // SAFETY: the caller's promise.
        let quads = unsafe { from.cast::<[[i8; 4]; 4]>().read_unaligned() };
        [[0, 1], [2, 3]].map(|row| row.map(|at| quads.map(|quad| f32::from(quad[at]) * INT8_UNIT)))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: Vector) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<Vector>().write_unaligned(value) }
    }
    #[inline(always)]
    fn prefetch(self, _: *const i8) {}
    #[inline(always)]
    fn add(self, a: Vector, b: Vector) -> Vector {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Vector, b: Vector) -> Vector {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Vector, b: Vector) -> Vector {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Vector, b: Vector) -> Vector {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn mul_add(self, a: Vector, b: Vector, c: Vector) -> Vector {
        [mul_add(a[0], b[0], c[0]), mul_add(a[1], b[1], c[1]), mul_add(a[2], b[2], c[2]), mul_add(a[3], b[3], c[3])]
    }
    #[inline(always)]
    fn min(self, a: Vector, b: Vector) -> Vector {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn max(self, a: Vector, b: Vector) -> Vector {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn sqrt(self, a: Vector) -> Vector {
        a.map(f32::sqrt)
    }
    #[inline(always)]
    fn round(self, a: Vector) -> Vector {
        // Adding and taking away 1.5 * 2^23 rounds to even, for the magnitudes of an exponent, in two additions.
        const SHIFT: f32 = 12_582_912.0;
        a.map(|a| (a + SHIFT) - SHIFT)
    }
    #[inline(always)]
    fn exp2_integer(self, n: Vector) -> Vector {
        n.map(|n| f32::from_bits(((n as i32 + 127) << 23) as u32))
    }
    #[inline(always)]
    fn select_greater(self, a: Vector, b: Vector, x: Vector, y: Vector) -> Vector {
        [
            if a[0] > b[0] { x[0] } else { y[0] },
            if a[1] > b[1] { x[1] } else { y[1] },
            if a[2] > b[2] { x[2] } else { y[2] },
            if a[3] > b[3] { x[3] } else { y[3] },
        ]
    }
}
