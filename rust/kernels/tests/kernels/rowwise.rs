//! Passes over elements: activations, gated products, the snake.

use mimi_kernels::{Activation, Threads, activate, elu, gated, simd::Level, snake};

use crate::random::Random;
use crate::{ROUNDING, bits};

#[test]
fn elu_of_every_length() {
    let random = &mut Random::new(33);
    for count in (0..40).chain([1000]) {
        let x: Vec<f32> = random.floats(count).iter().map(|x| x * 20.0).collect();
        for level in Level::available() {
            let mut out = vec![f32::NAN; count];
            elu(level, &x, &mut out, &Threads::new(1));
            for (&x, &y) in x.iter().zip(&out) {
                let exact = if x > 0.0 { f64::from(x) } else { f64::from(x).exp_m1() };
                // A handful of roundings after the exponential's reduction; none above zero.
                let allowed = if x > 0.0 { 0.0 } else { 5.0 * ROUNDING * exact.abs() };
                assert!((f64::from(y) - exact).abs() <= allowed, "{level:?} at {x}: {y} is not {exact}");
            }
        }
    }
}

/// `x sigmoid(x)`.
fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

#[test]
fn clamps_keep_what_is_not_a_number() {
    let x = [-3.0, -1.0, -0.999, -0.0, 0.0, 0.5, 1.0, 1.000_000_1, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    let x: Vec<f32> = x.iter().copied().cycle().take(41).collect();
    for level in Level::available() {
        let mut out = vec![0.0; x.len()];
        activate(level, Activation::Clamp, &x, &mut out, &Threads::new(1));
        for (x, y) in x.iter().zip(out) {
            let expected = x.clamp(-1.0, 1.0);
            assert!(y.to_bits() == expected.to_bits() || (x.is_nan() && y.is_nan()), "{level:?}: {x} became {y}");
        }
    }
}

#[test]
fn silu_of_every_length() {
    let random = &mut Random::new(37);
    for count in (0..40).chain([1000]) {
        let x: Vec<f32> = random.floats(count).iter().map(|x| x * 30.0).collect();
        for level in Level::available() {
            let mut out = vec![f32::NAN; count];
            activate(level, Activation::Silu, &x, &mut out, &Threads::new(1));
            for (&x, &y) in x.iter().zip(&out) {
                let exact = silu(f64::from(x));
                // The exponential's reduction rounds |x| once; a handful of roundings more.
                let allowed = (x.abs().max(1.0) as f64 + 6.0) * ROUNDING * exact.abs();
                assert!((f64::from(y) - exact).abs() <= allowed, "{level:?} at {x}: {y} is not {exact}");
            }
        }
    }
}

#[test]
fn silu_far_out() {
    for level in Level::available() {
        let x = [-1e30, -200.0, 200.0, f32::MAX, f32::INFINITY, f32::NAN];
        let mut out = [0.0; 6];
        activate(level, Activation::Silu, &x, &mut out, &Threads::new(1));
        // Below -88 the exponential stays where it is, so that the result is -x 6e-39 instead of nothing.
        assert!(out[0].abs() < 1e-7 && out[1].abs() < 1e-35, "{level:?}: {out:?}");
        assert_eq!(out[2..5], x[2..5], "{level:?}");
        assert!(out[5].is_nan(), "{level:?}: {out:?}");
    }
}

#[test]
fn gated_products_of_every_width() {
    let random = &mut Random::new(38);
    for channels in [1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 64] {
        for rows in [0, 1, 2, 5] {
            let x = random.floats(rows * 2 * channels);
            for level in Level::available() {
                for activation in [Activation::Silu, Activation::GeluErf, Activation::GeluTanh, Activation::Elu] {
                    let mut out = vec![f32::NAN; rows * channels];
                    gated(level, activation, &x, &mut out, channels, &Threads::new(1));
                    let mut activated = vec![f32::NAN; x.len()];
                    activate(level, activation, &x, &mut activated, &Threads::new(1));
                    let expected: Vec<f32> = (0..out.len())
                        .map(|i| i / channels * 2 * channels + i % channels)
                        .map(|gate| activated[gate] * x[channels + gate])
                        .collect();
                    assert_eq!(bits(&out), bits(&expected), "{level:?} {activation:?}: {channels} channels");
                }
            }
        }
    }
}

#[test]
fn snakes_of_every_width() {
    let random = &mut Random::new(39);
    for channels in [1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 96] {
        let rates: Vec<f32> = random.floats(channels).iter().map(|x| x * 30.0).collect();
        let scales = random.floats(channels);
        for rows in [0, 1, 2, 5] {
            let x: Vec<f32> = random.floats(rows * channels).iter().map(|x| x * 10.0).collect();
            for level in Level::available() {
                let mut out = vec![f32::NAN; x.len()];
                snake(level, &x, &rates, &scales, &mut out, &Threads::new(1));
                for (i, (&x, &y)) in x.iter().zip(&out).enumerate() {
                    let scale = f64::from(scales[i % channels]);
                    // The argument is rounded as it would be anywhere in float32.
                    let wave = f64::from(x * rates[i % channels]).sin().powi(2);
                    let exact = f64::from(x) + scale * wave;
                    // What `sin_squared` promises, and two roundings of the sum.
                    let allowed = 3e-7 * scale.abs() + 2.0 * ROUNDING * (exact.abs() + scale.abs() * wave);
                    assert!((f64::from(y) - exact).abs() <= allowed, "{level:?} at {x}: {y} is not {exact}");
                }
            }
        }
    }
}

#[test]
fn a_snake_of_what_is_not_finite_is_not_a_number() {
    for level in Level::available() {
        let mut out = [0.0; 3];
        let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        snake(level, &x, &[0.5], &[2.0], &mut out, &Threads::new(1));
        assert!(out.iter().all(|y| y.is_nan()), "{level:?}: {out:?}");
    }
}

#[test]
fn gated_products_and_snakes_on_any_number_of_threads() {
    let random = &mut Random::new(40);
    let (channels, rows) = (67, 2001);
    let (x, rates, scales) = (random.floats(2 * rows * channels), random.floats(channels), random.floats(channels));
    for level in Level::available() {
        let [one, three] = [1, 3].map(|count| {
            let threads = Threads::new(count);
            let (mut product, mut waves) = (vec![f32::NAN; rows * channels], vec![f32::NAN; 2 * rows * channels]);
            gated(level, Activation::Silu, &x, &mut product, channels, &threads);
            snake(level, &x, &rates, &scales, &mut waves, &threads);
            (bits(&product), bits(&waves))
        });
        assert!(one == three, "{level:?}");
    }
}

#[test]
#[should_panic(expected = "elu of 3 floats")]
fn elu_gives_as_much_as_it_takes() {
    elu(Level::detect(), &[0.0; 3], &mut [0.0; 2], &Threads::new(1));
}

#[test]
#[should_panic(expected = "gated product: gates and values of 4 floats")]
fn gated_products_take_twice_what_they_give() {
    gated(Level::detect(), Activation::Silu, &[0.0; 6], &mut [0.0; 4], 2, &Threads::new(1));
}

#[test]
#[should_panic(expected = "gated product: rows are not whole")]
fn gated_products_give_whole_rows() {
    gated(Level::detect(), Activation::Silu, &[0.0; 6], &mut [0.0; 3], 2, &Threads::new(1));
}

#[test]
#[should_panic(expected = "snake: lengths differ")]
fn snakes_have_a_scale_for_each_rate() {
    snake(Level::detect(), &[0.0; 4], &[0.0; 2], &[0.0; 1], &mut [0.0; 4], &Threads::new(1));
}

#[test]
#[should_panic(expected = "snake: rows are not whole")]
fn snakes_take_whole_rows() {
    snake(Level::detect(), &[0.0; 3], &[0.0; 2], &[0.0; 2], &mut [0.0; 3], &Threads::new(1));
}
