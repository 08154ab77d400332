//! Vector exponentials and what the codecs make of them (ELU, GELU, SiLU), a sine, and a clamp.
//!
//! The polynomials are our own Chebyshev fits; the errors named are of the fit, before rounding to float32.

use crate::simd::Simd;

/// Splits `x` into `n ln 2 + r`, `|r| <= ln 2 / 2`, and gives `(2^n, e^r - 1)`.
///
/// `x` is held above -87.3, where `2^n` is still a normal number, and below 88.
#[inline(always)]
fn exp_parts<S: Simd>(s: S, x: S::Vector) -> (S::Vector, S::Vector) {
    // ln 2 in two pieces: n * LN2_HIGH is exact for every n that occurs.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = s.min(s.max(x, s.splat(-87.3)), s.splat(88.0));
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let r = s.mul_add(n, s.splat(-LN2_HIGH), x);
    let r = s.mul_add(n, s.splat(-LN2_LOW), r);
    // e^r - 1 = r + r^2 q(r), relative error 2.2e-8.
    let mut q = s.splat(1.393_363_6e-3);
    for coefficient in [8.363_18e-3, 4.166_646e-2, 1.666_657_7e-1, 0.5] {
        q = s.mul_add(q, r, s.splat(coefficient));
    }
    (s.exp2_integer(n), s.mul_add(s.mul(r, r), q, r))
}

/// `e^x`; 0 below -87.3 is not needed anywhere here, so it stays at the smallest normal number.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::Vector) -> S::Vector {
    let (power, fraction) = exp_parts(s, x);
    s.mul_add(power, fraction, power)
}

/// `x` for `x > 0`, else `e^x - 1`, without cancellation near zero.
#[inline(always)]
pub(crate) fn elu<S: Simd>(s: S, x: S::Vector) -> S::Vector {
    let (power, fraction) = exp_parts(s, x);
    let below = s.mul_add(power, fraction, s.sub(power, s.splat(1.0)));
    s.select_greater(x, s.splat(0.0), x, below)
}

/// `x Phi(x)`, the GELU with the exact normal distribution.
///
/// With `u = |x| / sqrt 2` it is `max(x, 0) - |x| / 2 erfc(u)`, and `erfc(u) = e^(-u^2) t p(t)`, `t = 1 / (1 + u/2)`:
/// relative error of the product 5.6e-8, so that the tail keeps its digits.
#[inline(always)]
pub(crate) fn gelu_erf<S: Simd>(s: S, x: S::Vector) -> S::Vector {
    let zero = s.splat(0.0);
    let magnitude = s.max(x, s.sub(zero, x));
    let half_square = s.mul(s.mul(x, x), s.splat(0.5));
    let one = s.splat(1.0);
    let t = s.div(one, s.mul_add(magnitude, s.splat(0.5 * std::f32::consts::FRAC_1_SQRT_2), one));
    let mut p = s.splat(-0.058_953_64);
    for coefficient in [
        0.284_265_6,
        -0.487_097_62,
        0.278_572_53,
        -0.027_397_568,
        0.203_185_18,
        0.242_938_09,
        0.282_402_77,
        0.282_084_64,
    ] {
        p = s.mul_add(p, t, s.splat(coefficient));
    }
    let erfc = s.mul(s.mul(p, t), exp(s, s.sub(zero, half_square)));
    s.sub(s.max(x, zero), s.mul(s.mul(magnitude, s.splat(0.5)), erfc))
}

/// GELU with the tanh approximation, `x / (1 + e^(-2 y))`, `y = sqrt(2 / pi) (x + 0.044715 x^3)`.
#[inline(always)]
pub(crate) fn gelu_tanh<S: Simd>(s: S, x: S::Vector) -> S::Vector {
    const TWICE_SQRT_2_OVER_PI: f32 = 1.595_769;
    let cubic = s.mul_add(s.mul(s.mul(x, x), x), s.splat(0.044_715), x);
    let exponential = exp(s, s.mul(cubic, s.splat(-TWICE_SQRT_2_OVER_PI)));
    s.div(x, s.add(exponential, s.splat(1.0)))
}

/// `x sigmoid(x) = x / (1 + e^(-x))`.
#[inline(always)]
pub(crate) fn silu<S: Simd>(s: S, x: S::Vector) -> S::Vector {
    let exponential = exp(s, s.sub(s.splat(0.0), x));
    s.div(x, s.add(exponential, s.splat(1.0)))
}

/// The nearest value in [-1, 1]. What is not a number stays so: `min` and `max` give their second argument then.
#[inline(always)]
pub(crate) fn clamp<S: Simd>(s: S, x: S::Vector) -> S::Vector {
    s.max(s.splat(-1.0), s.min(s.splat(1.0), x))
}

/// `sin(z)^2`: in [0, 1] for every finite `z`, not a number for the others.
///
/// Within 3e-7 of the exact value for `|z|` up to 25,000. With fused multiply-adds that holds up to 1e6; without them the
/// error is 3e-6 at 200,000. Further out the multiple of pi is lost, and the result says nothing.
#[inline(always)]
pub(crate) fn sin_squared<S: Simd>(s: S, z: S::Vector) -> S::Vector {
    // pi in three pieces, of 8, 11 and 24 bits: n times the first two is exact, fused or not, for |n| up to 8192.
    const PI_HIGH: f32 = 3.140_625;
    const PI_MIDDLE: f32 = 9.675_026e-4;
    const PI_LOW: f32 = 1.509_958e-7;
    let n = s.round(s.mul(z, s.splat(std::f32::consts::FRAC_1_PI)));
    let r = s.mul_add(n, s.splat(-PI_HIGH), z);
    let r = s.mul_add(n, s.splat(-PI_MIDDLE), r);
    let r = s.mul_add(n, s.splat(-PI_LOW), r);
    // sin r = r + r^3 q(r^2), relative error 2.1e-8 for |r| up to 1.64: a little over pi / 2, for where `n` is the second
    // nearest. The sign that an odd n brings is lost in the square.
    let square = s.mul(r, r);
    let mut q = s.splat(2.592_319_8e-6);
    for coefficient in [-1.980_358_3e-4, 8.332_985e-3, -1.666_665_7e-1] {
        q = s.mul_add(q, square, s.splat(coefficient));
    }
    let sine = s.mul_add(s.mul(square, q), r, r);
    // Not a number stays so: `min` gives its second argument then.
    s.min(s.splat(1.0), s.mul(sine, sine))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Kernel, Level};

    struct Map<'a, F>(F, &'a mut [f32]);
    trait Function {
        fn apply<S: Simd>(&self, s: S, x: S::Vector) -> S::Vector;
    }
    impl<F: Function> Kernel for Map<'_, F> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for chunk in self.1.chunks_mut(S::LANES) {
                let y = self.0.apply(s, s.load_partial(chunk, 0.0));
                s.store_partial(chunk, y);
            }
        }
    }
    macro_rules! function {
        ($name:ident, $f:ident) => {
            struct $name;
            impl Function for $name {
                #[inline(always)]
                fn apply<S: Simd>(&self, s: S, x: S::Vector) -> S::Vector {
                    $f(s, x)
                }
            }
        };
    }
    function!(Exp, exp);
    function!(Elu, elu);
    function!(Gelu, gelu_erf);
    function!(GeluTanh, gelu_tanh);
    function!(SineSquared, sin_squared);

    fn grid() -> Vec<f32> {
        (-8000..=8000).map(|i| i as f32 * 1e-3).chain([1e-6, -1e-6, 1e-20, -1e-20, 0.0, -30.0, -80.0, 80.0]).collect()
    }

    /// `erfc` by its continued fraction (Lentz) above 2 and its Taylor series below, in float64.
    fn erfc(u: f64) -> f64 {
        if u < 2.0 {
            let (mut term, mut sum, mut n) = (u, u, 0.0);
            while term.abs() > 1e-18 {
                n += 1.0;
                term *= -u * u / n;
                sum += term / (2.0 * n + 1.0);
            }
            return 1.0 - sum * 2.0 / std::f64::consts::PI.sqrt();
        }
        let mut fraction = 0.0;
        for k in (1..200).rev() {
            fraction = f64::from(k) / 2.0 / (u + fraction);
        }
        (-u * u).exp() / std::f64::consts::PI.sqrt() / (u + fraction)
    }

    fn check(run: impl Fn(Level, &mut [f32]), exact: impl Fn(f64) -> f64, relative: f64, absolute: f64) {
        for level in Level::available() {
            let xs = grid();
            let mut ys = xs.clone();
            run(level, &mut ys);
            for (x, y) in xs.iter().zip(ys) {
                let want = exact(f64::from(*x));
                let error = (f64::from(y) - want).abs();
                assert!(error <= relative * want.abs() + absolute, "{level:?} at {x}: {y} is not {want}");
            }
        }
    }

    // A few roundings of 6e-8 each; exp multiplies the rounding of its reduced argument at most by |x| * 2^-24.
    #[test]
    fn functions_are_close_to_their_definitions() {
        check(|l, v| l.run(Map(Exp, v)), f64::exp, 6e-7, 0.0);
        check(|l, v| l.run(Map(Elu, v)), |x| if x > 0.0 { x } else { x.exp_m1() }, 3e-7, 0.0);
        check(
            |l, v| l.run(Map(Gelu, v)),
            |x| {
                let upper = 0.5 * x.abs() * erfc(x.abs() * std::f64::consts::FRAC_1_SQRT_2);
                if x > 0.0 { x - upper } else { -upper }
            },
            3e-6, // the tail multiplies the rounding of x^2 / 2 = 32 at the edge of the grid
            1e-37,
        );
        check(
            |l, v| l.run(Map(GeluTanh, v)),
            |x| x * 0.5 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh()),
            5e-6,
            1e-7,
        );
    }

    /// Arguments of every size, about multiples of pi / 2 and between them.
    fn angles(largest: f32) -> Vec<f32> {
        let near = (0..4000).map(|i| i as f32 * std::f32::consts::FRAC_PI_2);
        let spread = (0..40_000).map(|i| (f64::from(i) * 1e-4).powi(3) as f32 / 64.0 * largest);
        let near = near.flat_map(|x| [x, x * (1.0 + 1e-6), x * (1.0 - 1e-6)]);
        let all = near.chain(spread).chain([1e-30, 1e-10, 1e-4, largest]).filter(|&x| x <= largest);
        all.flat_map(|x| [x, -x]).collect()
    }

    #[test]
    fn sines_are_close_to_their_definition() {
        // Twice the errors of the sine near 1 (two roundings of 3e-8 to 6e-8, and the fit), then the square's rounding.
        let close = 3e-7;
        for level in Level::available() {
            let far = if level.name() == "portable" { (2e5, 3e-6) } else { (1e6, close) };
            for (largest, allowed) in [(2.0, close), (25_000.0, close), far] {
                let xs = angles(largest);
                let mut ys = xs.clone();
                level.run(Map(SineSquared, &mut ys));
                for (x, y) in xs.iter().zip(ys) {
                    let want = f64::from(*x).sin().powi(2);
                    assert!((f64::from(y) - want).abs() <= allowed, "{level:?} at {x}: {y} is not {want}");
                }
            }
        }
    }

    #[test]
    fn sines_keep_the_digits_of_small_values() {
        for level in Level::available() {
            let xs: Vec<f32> = (-70..=6).map(|i| 1.25 * (f64::from(i) * 0.25).exp2() as f32).collect();
            let mut ys = xs.clone();
            level.run(Map(SineSquared, &mut ys));
            for (x, y) in xs.iter().zip(ys) {
                let want = f64::from(*x).sin().powi(2);
                assert!((f64::from(y) / want - 1.0).abs() <= 4e-7, "{level:?} at {x}: {y} is not {want}");
            }
        }
    }

    #[test]
    fn sines_far_out_stay_between_zero_and_one() {
        for level in Level::available() {
            let mut ys = [1e6, -1e7, 1e8, 3e9, -1e20, 1e38, f32::MAX, f32::MIN];
            level.run(Map(SineSquared, &mut ys));
            assert!(ys.iter().all(|y| (0.0..=1.0).contains(y)), "{level:?}: {ys:?}");
            let mut ys = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
            level.run(Map(SineSquared, &mut ys));
            assert!(ys.iter().all(|y| y.is_nan()), "{level:?}: {ys:?}");
        }
    }
}
