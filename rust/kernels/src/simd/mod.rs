//! The vector types that kernels are written over, and the choice among them at run time.
//!
//! A kernel is a struct of its arguments that implements `Kernel::run` once, generically; `Level::run` compiles it
//! for each instruction set and calls the one that this processor has. Everything a kernel calls on vectors must be
//! `#[inline(always)]`, or it would be compiled for the base processor.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
mod portable;

/// The widest vector of any level, in floats: the size of scratch for a partial vector.
pub(crate) const MAX_LANES: usize = 16;

/// What 1 is when a byte is shifted to the top of a 32 bit number.
pub(crate) const INT8_UNIT: f32 = 16_777_216.0; // 2^24

/// An instruction set that this processor has: values come only from [`Level::detect`] and [`Level::available`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    Neon,
    Portable,
}

impl Level {
    /// The fastest level of this processor.
    pub fn detect() -> Self {
        Self::available()[0]
    }

    /// All levels of this processor, the fastest first.
    pub fn available() -> Vec<Self> {
        let mut levels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2 && is_x86_feature_detected!("avx512f") {
                levels.push(Self(Set::Avx512));
            }
            if avx2 {
                levels.push(Self(Set::Avx2));
            }
        }
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        if std::arch::is_aarch64_feature_detected!("neon") {
            levels.push(Self(Set::Neon));
        }
        levels.push(Self(Set::Portable));
        levels
    }

    /// `avx512`, `avx2`, `neon` or `portable`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Set::Neon => "neon",
            Set::Portable => "portable",
        }
    }

    /// The plain one, which every processor has.
    pub fn portable() -> Self {
        Self(Set::Portable)
    }

    /// Floats in a vector of a product's tile at the level of this [name](Self::name), which may be one of another processor:
    /// it says how arrays are arranged that were made there.
    pub fn tile_lanes_of(name: &str) -> Option<usize> {
        match name {
            "avx512" => Some(16),
            "avx2" | "neon" => Some(8),
            "portable" => Some(4),
            _ => None,
        }
    }

    /// Floats in a vector of this level. Levels with as many that fuse multiplications and additions give the same bits.
    pub fn lanes(self) -> usize {
        self.run(Lanes)
    }

    /// Floats in a vector of a product's tile.
    pub fn tile_lanes(self) -> usize {
        self.run(TileLanes)
    }

    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            // SAFETY (all): a `Level` exists only where detection found its features.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { avx512::run(kernel) },
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { avx2::run(kernel) },
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Set::Neon => unsafe { neon::run(kernel) },
            Set::Portable => kernel.run(portable::Portable),
        }
    }
}

/// A computation written once for all levels.
pub(crate) trait Kernel {
    type Output;
    /// Must be `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

struct Lanes;

impl Kernel for Lanes {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        S::LANES
    }
}

struct TileLanes;

impl Kernel for TileLanes {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        S::Tile::LANES
    }
}

/// A vector of `LANES` floats. The value itself is the proof that the processor has its instructions.
pub(crate) trait Simd: Copy {
    const LANES: usize;
    /// Rows of a product's tile, two vectors wide: the sums, two vectors of weights and a value fit the registers.
    const TILE_ROWS: usize;
    /// Whether a product reads four values of a row at once, as a multiplication takes one of four in a register.
    const FOUR_AT_ONCE: bool = false;
    type Vector: Copy;
    /// The vectors of kernels that keep many of them in registers: this type, or a narrower one of the same processor. Which
    /// one must not change bits, so each lane is for itself there.
    type Tile: Simd;

    fn tile(self) -> Self::Tile;
    fn splat(self, value: f32) -> Self::Vector;
    /// Float `I` of the four at `from`.
    ///
    /// # Safety
    /// Four floats can be read at `from`, and `I` is less than four.
    #[inline(always)]
    unsafe fn splat_one_of_four<const I: usize>(self, from: *const f32) -> Self::Vector {
        // SAFETY: the caller's promise.
        self.splat(unsafe { *from.add(I) })
    }
    /// # Safety
    /// `LANES` floats can be read at `from`, at any alignment.
    unsafe fn load(self, from: *const f32) -> Self::Vector;
    /// Two vectors whose numbers lie in turn.
    ///
    /// # Safety
    /// `2 * LANES` numbers can be read at `from`, at any alignment.
    unsafe fn load_bfloat16(self, from: *const u16) -> [Self::Vector; 2];
    /// Two rows of two vectors whose numbers lie in turn, each number [`INT8_UNIT`]
    /// times.
    ///
    /// # Safety
    /// `4 * LANES` numbers can be read at `from`, at any alignment.
    unsafe fn load_int8(self, from: *const i8) -> [[Self::Vector; 2]; 2];
    /// # Safety
    /// `LANES` floats can be written at `to`, at any alignment.
    unsafe fn store(self, to: *mut f32, value: Self::Vector);
    /// Asks for the cache line at `at`, which may lie anywhere.
    fn prefetch(self, at: *const i8);
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`; rounded once where the processor can.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sqrt(self, a: Self::Vector) -> Self::Vector;
    /// To the nearest integer, ties to even.
    fn round(self, a: Self::Vector) -> Self::Vector;
    /// `2^n` for integers `n` in `-126..=127`.
    fn exp2_integer(self, n: Self::Vector) -> Self::Vector;
    /// `a > b ? x : y`, lane by lane.
    fn select_greater(self, a: Self::Vector, b: Self::Vector, x: Self::Vector, y: Self::Vector) -> Self::Vector;

    /// The first `LANES` floats of `from`, those past its end read as `fill`.
    #[inline(always)]
    fn load_partial(self, from: &[f32], fill: f32) -> Self::Vector {
        if from.len() >= Self::LANES {
            // SAFETY: just checked.
            return unsafe { self.load(from.as_ptr()) };
        }
        let mut lanes = [fill; MAX_LANES];
        lanes[..from.len()].copy_from_slice(from);
        // SAFETY: `MAX_LANES >= LANES`.
        unsafe { self.load(lanes.as_ptr()) }
    }

    /// Stores as many lanes as `to` has room for.
    #[inline(always)]
    fn store_partial(self, to: &mut [f32], value: Self::Vector) {
        if to.len() >= Self::LANES {
            // SAFETY: just checked.
            return unsafe { self.store(to.as_mut_ptr(), value) };
        }
        let lanes = self.lanes(value);
        to.copy_from_slice(&lanes[..to.len()]);
    }

    #[inline(always)]
    fn lanes(self, value: Self::Vector) -> [f32; MAX_LANES] {
        let mut lanes = [0.0; MAX_LANES];
        // SAFETY: `MAX_LANES >= LANES`.
        unsafe { self.store(lanes.as_mut_ptr(), value) };
        lanes
    }

    #[inline(always)]
    fn reduce_add(self, value: Self::Vector) -> f32 {
        let lanes = self.lanes(value);
        let mut total = 0.0;
        for &lane in &lanes[..Self::LANES] {
            total += lane;
        }
        total
    }

    /// The sum of halves added to each other until one lane is left: faster than [`Simd::reduce_add`], in another order.
    #[inline(always)]
    fn reduce_add_halves(self, value: Self::Vector) -> f32 {
        let mut lanes = self.lanes(value);
        let mut half = Self::LANES / 2;
        while half > 0 {
            for lane in 0..half {
                lanes[lane] += lanes[lane + half];
            }
            half /= 2;
        }
        lanes[0]
    }

    #[inline(always)]
    fn reduce_max(self, value: Self::Vector) -> f32 {
        let lanes = self.lanes(value);
        let mut greatest = lanes[0];
        for &lane in &lanes[1..Self::LANES] {
            greatest = greatest.max(lane);
        }
        greatest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_arrays_are_arranged_at_each_level() {
        for level in Level::available() {
            assert_eq!(Level::tile_lanes_of(level.name()), Some(level.tile_lanes()), "{level:?}");
        }
        assert_eq!(Level::tile_lanes_of("sve"), None);
    }
}
