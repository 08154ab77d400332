//! Convolutions of each channel by itself, and their transposes.

use mimi_kernels::{
    Activation, Depthwise, DepthwiseUpsample, Epilogue, Threads, activate, depthwise, simd::Level, upsample,
};

use crate::random::Random;
use crate::{ROUNDING, bits};

/// Kernel, stride and dilation: of the codecs, one tap, gaps, and strides that reach further than the kernel.
const SHAPES: [[usize; 3]; 12] = [
    [7, 1, 1],
    [1, 1, 1],
    [2, 1, 1],
    [3, 1, 4],
    [7, 1, 9],
    [4, 2, 1],
    [10, 5, 1],
    [3, 2, 3],
    [2, 2, 1],
    [1, 3, 1],
    [2, 5, 2],
    [2, 4, 3],
];

/// A convolution with what it is given: the rows before the block, and the block's.
struct Case {
    taps: Vec<f32>,
    bias: Option<Vec<f32>>,
    shape: [usize; 3],
    channels: usize,
    outputs: usize,
    /// The history and the block in one piece.
    rows: Vec<f32>,
    residual: Option<Vec<f32>>,
}

impl Case {
    fn new(
        [kernel, stride, dilation]: [usize; 3],
        (channels, outputs): (usize, usize),
        with_both: bool,
        mut numbers: impl FnMut(usize) -> Vec<f32>,
    ) -> Self {
        let history = ((kernel - 1) * dilation + 1).saturating_sub(stride);
        Self {
            taps: numbers(kernel * channels),
            bias: with_both.then(|| numbers(channels)),
            shape: [kernel, stride, dilation],
            channels,
            outputs,
            rows: numbers((history + outputs * stride) * channels),
            residual: with_both.then(|| numbers(outputs * channels)),
        }
    }

    /// The sum of each output, and of the magnitudes.
    fn plain(&self) -> Vec<(f64, f64)> {
        let ([kernel, stride, dilation], channels) = (self.shape, self.channels);
        let places = (0..self.outputs).flat_map(|t| (0..channels).map(move |c| (t, c)));
        let sum = |(t, c): (usize, usize)| {
            let tap = |k: usize| {
                let x = self.rows[(t * stride + k * dilation) * channels + c];
                f64::from(x) * f64::from(self.taps[k * channels + c])
            };
            let bias = self.bias.as_ref().map(|bias| f64::from(bias[c]));
            let residual = self.residual.as_ref().map(|residual| f64::from(residual[t * channels + c]));
            let terms = (0..kernel).map(tap).chain(bias).chain(residual);
            terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()))
        };
        places.map(sum).collect()
    }

    /// Outputs `from..to`, as a block of their own.
    fn run(&self, level: Level, (from, to): (usize, usize), threads: &Threads) -> Vec<f32> {
        let ([kernel, stride, dilation], channels) = (self.shape, self.channels);
        let weights = Depthwise { taps: &self.taps, bias: self.bias.as_deref(), channels, stride, dilation };
        let before = weights.history();
        assert_eq!(before, ((kernel - 1) * dilation + 1).saturating_sub(stride));
        let rows = &self.rows[from * stride * channels..(before + to * stride) * channels];
        let (history, x) = rows.split_at(before * channels);
        let residual = self.residual.as_ref().map(|residual| &residual[from * channels..to * channels]);
        let mut out = vec![f32::NAN; (to - from) * channels];
        depthwise(level, &weights, history, x, Epilogue { residual, activation: None }, &mut out, threads);
        out
    }
}

#[test]
fn every_shape_and_cut() {
    let random = &mut Random::new(61);
    for shape in SHAPES {
        for channels in [1, 3, 4, 5, 8, 16, 17, 33] {
            for outputs in [0, 1, 2, 7, 8, 9, 20] {
                // Small whole numbers: every sum is exact, in any order.
                let case = Case::new(shape, (channels, outputs), outputs % 2 == 1, |count| random.integers(count, 50));
                let expected: Vec<f32> = case.plain().iter().map(|&(sum, _)| sum as f32).collect();
                for level in Level::available() {
                    let threads = &Threads::new(1);
                    assert_eq!(case.run(level, (0, outputs), threads), expected, "{level:?} {shape:?} {channels}");
                    for cut in 0..=outputs {
                        let mut out = case.run(level, (0, cut), threads);
                        out.extend(case.run(level, (cut, outputs), threads));
                        assert_eq!(out, expected, "{level:?} {shape:?} {channels} channels, cut at {cut}");
                    }
                }
            }
        }
    }
}

#[test]
fn no_more_than_a_rounding_for_each_operation_and_the_same_bits_in_any_pieces() {
    let random = &mut Random::new(62);
    for shape in SHAPES {
        for (channels, outputs) in [(32, 40), (19, 23), (1, 70)] {
            let case = Case::new(shape, (channels, outputs), true, |count| random.floats(count));
            for level in Level::available() {
                let threads = &Threads::new(1);
                let whole = case.run(level, (0, outputs), threads);
                for (&y, (exact, size)) in whole.iter().zip(case.plain()) {
                    // A multiplication and an addition for each tap, and the residual's.
                    let allowed = (2 * shape[0] + 1) as f64 * ROUNDING * size;
                    assert!((f64::from(y) - exact).abs() <= allowed, "{level:?} {shape:?}: {y} is not {exact}");
                }
                for piece in [1, 3, 8, 11] {
                    let cuts = (0..outputs).step_by(piece).map(|from| (from, outputs.min(from + piece)));
                    let pieces: Vec<f32> = cuts.flat_map(|cut| case.run(level, cut, threads)).collect();
                    assert_eq!(bits(&pieces), bits(&whole), "{level:?} {shape:?} {channels} in pieces of {piece}");
                }
            }
        }
    }
}

#[test]
fn on_any_number_of_threads() {
    // Enough work for three threads.
    let random = &mut Random::new(63);
    for shape in [[7, 1, 1], [4, 2, 3]] {
        let case = Case::new(shape, (33, 4001), true, |count| random.floats(count));
        for level in Level::available() {
            let one = case.run(level, (0, case.outputs), &Threads::new(1));
            let three = case.run(level, (0, case.outputs), &Threads::new(3));
            assert_eq!(bits(&one), bits(&three), "{level:?} {shape:?}");
        }
    }
}

#[test]
fn the_activation_comes_last() {
    let random = &mut Random::new(64);
    let case = Case::new([7, 1, 1], (21, 30), true, |count| random.floats(count));
    for level in Level::available() {
        let threads = &Threads::new(1);
        let sums = case.run(level, (0, 30), threads);
        let mut expected = vec![f32::NAN; sums.len()];
        activate(level, Activation::Silu, &sums, &mut expected, threads);
        let weights = Depthwise { taps: &case.taps, bias: case.bias.as_deref(), channels: 21, stride: 1, dilation: 1 };
        let (history, x) = case.rows.split_at(6 * 21);
        let epilogue = Epilogue { residual: case.residual.as_deref(), activation: Some(Activation::Silu) };
        let mut out = vec![f32::NAN; sums.len()];
        depthwise(level, &weights, history, x, epilogue, &mut out, threads);
        assert_eq!(bits(&out), bits(&expected), "{level:?}");
    }
}

/// Two channels, seven taps, and lengths that do not agree in one place.
fn convolve((taps, bias, history): (usize, usize, usize), (x, out, residual): (usize, usize, usize)) {
    let (taps, bias, residual) = (vec![0.0; taps], vec![0.0; bias], vec![0.0; residual]);
    let weights = Depthwise { taps: &taps, bias: Some(&bias), channels: 2, stride: 2, dilation: 1 };
    let epilogue = Epilogue { residual: Some(&residual), activation: None };
    let (history, x, mut out) = (vec![0.0; history], vec![0.0; x], vec![0.0; out]);
    depthwise(Level::detect(), &weights, &history, &x, epilogue, &mut out, &Threads::new(1));
}

#[test]
fn lengths_that_agree() {
    convolve((14, 2, 10), (8, 4, 4));
    convolve((14, 2, 10), (0, 0, 0));
}

#[test]
#[should_panic(expected = "depthwise: taps")]
fn taps_are_whole() {
    convolve((13, 2, 10), (8, 4, 4));
}

#[test]
#[should_panic(expected = "depthwise: taps")]
fn there_is_a_tap() {
    convolve((0, 2, 0), (8, 4, 4));
}

#[test]
#[should_panic(expected = "depthwise: bias")]
fn the_bias_is_a_row() {
    convolve((14, 1, 10), (8, 4, 4));
}

#[test]
#[should_panic(expected = "depthwise: history")]
fn the_history_is_the_reach_less_the_stride() {
    convolve((14, 2, 12), (8, 4, 4));
}

#[test]
#[should_panic(expected = "depthwise: lengths differ")]
fn each_output_takes_a_stride() {
    convolve((14, 2, 10), (6, 4, 4));
}

#[test]
#[should_panic(expected = "depthwise: rows are not whole")]
fn outputs_are_whole_rows() {
    convolve((14, 2, 10), (6, 3, 3));
}

#[test]
#[should_panic(expected = "depthwise: residual")]
fn the_residual_has_the_output_s_shape() {
    convolve((14, 2, 10), (8, 4, 2));
}

#[test]
fn upsampling_of_every_shape_and_cut() {
    let random = &mut Random::new(34);
    for channels in [1, 3, 4, 8, 9, 16, 17, 33] {
        for (stride, multiple) in [(1, 1), (1, 2), (2, 2), (3, 2), (3, 1), (2, 3), (1, 4), (2, 5)] {
            let before = multiple - 1;
            let taps = random.integers(multiple * stride * channels, 50);
            let weights = DepthwiseUpsample { taps: &taps, channels, stride };
            for steps in [0, 1, 2, 7] {
                // The first steps are those before the block.
                let x = random.integers((before + steps) * channels, 50);
                let at = |step: usize, j: usize, channel: usize| -> f32 {
                    let term = |i: usize| {
                        let x = x[(before + step - i) * channels + channel];
                        x * taps[(i * stride + j) * channels + channel]
                    };
                    (0..multiple).map(term).sum()
                };
                let outputs = (0..steps).flat_map(|step| (0..stride).map(move |j| (step, j)));
                let expected: Vec<f32> = outputs
                    .flat_map(|(step, j)| (0..channels).map(move |c| (step, j, c)))
                    .map(|(t, j, c)| at(t, j, c))
                    .collect();
                for level in Level::available() {
                    for cut in 0..=steps {
                        let mut out = vec![f32::NAN; expected.len()];
                        let (early, late) = out.split_at_mut(cut * stride * channels);
                        let (x, cut, before) = (x.as_slice(), cut * channels, before * channels);
                        upsample(level, &weights, &x[..before], &x[before..][..cut], early);
                        upsample(level, &weights, &x[cut..][..before], &x[before + cut..], late);
                        let what = format!("{channels} channels, {multiple} times {stride}, {steps} steps");
                        assert_eq!(out, expected, "{level:?}: {what}");
                    }
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "upsample: lengths differ")]
fn upsampling_gives_a_stride_for_each_input() {
    let weights = DepthwiseUpsample { taps: &[0.0; 12], channels: 3, stride: 2 };
    upsample(Level::detect(), &weights, &[0.0; 3], &[0.0; 6], &mut [0.0; 9]);
}

#[test]
#[should_panic(expected = "upsample: history")]
fn upsampling_remembers_a_row_less_than_the_kernel_has_strides() {
    let weights = DepthwiseUpsample { taps: &[0.0; 18], channels: 3, stride: 2 };
    upsample(Level::detect(), &weights, &[0.0; 3], &[0.0; 6], &mut [0.0; 12]);
}

#[test]
#[should_panic(expected = "upsample: taps")]
fn upsampling_has_whole_strides_of_taps() {
    let weights = DepthwiseUpsample { taps: &[0.0; 9], channels: 3, stride: 2 };
    upsample(Level::detect(), &weights, &[], &[0.0; 6], &mut [0.0; 12]);
}
