//! NEON: several registers of four floats as one vector.
//!
//! Kernels see sixteen floats, so that their sums are taken in the order of AVX-512 and have its bits. Those that keep many
//! vectors in registers see eight ([`Simd::Tile`]).
//!
//! The instructions for dot products (`sdot`, `smmla`, `bfdot`, `bfmmla`, `bfmlalb`) are not used: they multiply int8 by int8
//! or bfloat16 by bfloat16. Here only the weights are stored so, and the values that they meet are float32. Rounding those
//! first would change the results far more than the last bit.

use std::arch::aarch64::*;

use super::{Kernel, Simd};

/// The vector of `N` registers.
#[derive(Clone, Copy)]
pub(crate) struct Neon<const N: usize>(());

/// # Safety
/// The processor has the feature.
#[target_feature(enable = "neon")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Neon::<4>(()))
}

/// What `register` makes of each register's number.
#[inline(always)]
fn each<T, const N: usize>(register: impl Fn(usize) -> T) -> [T; N] {
    std::array::from_fn(register)
}

// SAFETY of every block below: a value of this type exists only inside `run`, so the processor has the feature;
// pointers are the caller's promise.
impl<const N: usize> Simd for Neon<N> {
    const LANES: usize = 4 * N;
    const TILE_ROWS: usize = 5;
    const FOUR_AT_ONCE: bool = true;
    type Vector = [float32x4_t; N];
    type Tile = Neon<2>;

    #[inline(always)]
    fn tile(self) -> Neon<2> {
        Neon(())
    }
    #[inline(always)]
    fn splat(self, value: f32) -> Self::Vector {
        unsafe { [vdupq_n_f32(value); N] }
    }
    #[inline(always)]
    unsafe fn splat_one_of_four<const I: usize>(self, from: *const f32) -> Self::Vector {
        // A multiplication takes the lane as it is, and the register is read once: nothing is copied.
        unsafe {
            let four = vld1q_f32(from);
            let lane = match I {
                0 => vdupq_laneq_f32::<0>(four),
                1 => vdupq_laneq_f32::<1>(four),
                2 => vdupq_laneq_f32::<2>(four),
                _ => vdupq_laneq_f32::<3>(four),
            };
            [lane; N]
        }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::Vector {
        each(|i| unsafe { vld1q_f32(from.add(4 * i)) })
    }
    #[inline(always)]
    unsafe fn load_bfloat16(self, from: *const u16) -> [Self::Vector; 2] {
        let pairs: [_; N] = each(|i| unsafe { vld1q_u32(from.add(8 * i).cast()) });
        [
            each(|i| unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<16>(pairs[i])) }),
            each(|i| unsafe { vreinterpretq_f32_u32(vandq_u32(pairs[i], vdupq_n_u32(0xffff_0000))) }),
        ]
    }
    #[inline(always)]
    unsafe fn load_int8(self, from: *const i8) -> [[Self::Vector; 2]; 2] {
        let quads = each(|i| unsafe { vld1q_u8(from.add(16 * i).cast()) });
        [
            [byte_on_top::<0, N>(quads), byte_on_top::<1, N>(quads)],
            [byte_on_top::<2, N>(quads), byte_on_top::<3, N>(quads)],
        ]
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: Self::Vector) {
        for (i, value) in value.into_iter().enumerate() {
            unsafe { vst1q_f32(to.add(4 * i), value) };
        }
    }
    /// Nobody has measured yet whether that helps these processors.
    #[inline(always)]
    fn prefetch(self, _: *const i8) {}
    #[inline(always)]
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(|i| unsafe { vaddq_f32(a[i], b[i]) })
    }
    #[inline(always)]
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(|i| unsafe { vsubq_f32(a[i], b[i]) })
    }
    #[inline(always)]
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(|i| unsafe { vmulq_f32(a[i], b[i]) })
    }
    #[inline(always)]
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(|i| unsafe { vdivq_f32(a[i], b[i]) })
    }
    #[inline(always)]
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        each(|i| unsafe { vfmaq_f32(c[i], a[i], b[i]) })
    }
    // Not `fmin` and `fmax`: of a number and what is not one, all levels give the second.
    #[inline(always)]
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(|i| unsafe { vbslq_f32(vcltq_f32(a[i], b[i]), a[i], b[i]) })
    }
    #[inline(always)]
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(|i| unsafe { vbslq_f32(vcgtq_f32(a[i], b[i]), a[i], b[i]) })
    }
    #[inline(always)]
    fn sqrt(self, a: Self::Vector) -> Self::Vector {
        each(|i| unsafe { vsqrtq_f32(a[i]) })
    }
    #[inline(always)]
    fn round(self, a: Self::Vector) -> Self::Vector {
        each(|i| unsafe { vrndnq_f32(a[i]) })
    }
    #[inline(always)]
    fn exp2_integer(self, n: Self::Vector) -> Self::Vector {
        each(|i| unsafe {
            let biased = vaddq_s32(vcvtnq_s32_f32(n[i]), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
        })
    }
    #[inline(always)]
    fn select_greater(self, a: Self::Vector, b: Self::Vector, x: Self::Vector, y: Self::Vector) -> Self::Vector {
        each(|i| unsafe { vbslq_f32(vcgtq_f32(a[i], b[i]), x[i], y[i]) })
    }
}

/// Byte `B` of each four, as the top of a whole number.
#[inline(always)]
fn byte_on_top<const B: u8, const N: usize>(quads: [uint8x16_t; N]) -> [float32x4_t; N] {
    // Where to look up each byte of the numbers; a place beyond the table gives zero.
    const NONE: u8 = u8::MAX;
    let places = [NONE, NONE, NONE, B, NONE, NONE, NONE, B + 4, NONE, NONE, NONE, B + 8, NONE, NONE, NONE, B + 12];
    // SAFETY: only the vectors above call it.
    each(|i| unsafe { vcvtq_f32_s32(vreinterpretq_s32_u8(vqtbl1q_u8(quads[i], vld1q_u8(places.as_ptr())))) })
}
