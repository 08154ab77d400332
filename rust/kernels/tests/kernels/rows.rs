//! Left matrices that are not in one piece: strided, overlapping, of several slices, of several runs.

use mimi_kernels::{Epilogue, Rows, Threads, product, simd::Level};

use crate::product::Weights;
use crate::random::Random;

/// Where the rows of a left matrix lie.
struct Left<'a> {
    span: usize,
    /// Length of a run, and from one run to the next.
    runs: (usize, usize),
    /// Data, stride and count of each slice.
    slices: Vec<(&'a [f32], usize, usize)>,
}

impl Left<'_> {
    /// The rows, copied together.
    fn copied(&self, depth: usize) -> Vec<Vec<f32>> {
        let (length, stride) = self.runs;
        let row = |row: &[f32]| (0..depth).map(|k| row[k / length * stride + k % length]).collect();
        let slices = self.slices.iter();
        slices.flat_map(|&(data, stride, count)| (0..count).map(move |i| &data[i * stride..])).map(row).collect()
    }

    fn check(&self, weights: &Weights) {
        let mut rows = Rows::new(self.span);
        for &(data, stride, count) in &self.slices {
            rows.push(data, stride, count);
        }
        let copied = self.copied(weights.depth);
        assert_eq!((rows.len(), rows.is_empty()), (copied.len(), copied.is_empty()));
        let expected: Vec<f32> = copied
            .iter()
            .flat_map(|row| (0..weights.columns).map(|n| weights.plain(row, n).0 as f32).collect::<Vec<_>>())
            .collect();
        for level in Level::available() {
            let mut out = vec![f32::NAN; expected.len()];
            product(&rows, self.runs, &weights.packed(level), Epilogue::default(), &mut out, &Threads::new(1));
            assert_eq!(out, expected, "{level:?}: runs {:?}, rows {}", self.runs, rows.len());
        }
    }
}

/// A convolution `(channels, kernel, stride, dilation)` over `outputs` steps from each of two signals.
fn check_convolution((channels, kernel, stride, dilation): (usize, usize, usize, usize), outputs: [usize; 2]) {
    let random = &mut Random::new((channels * 1000 + kernel * 100 + stride * 10 + dilation) as u64);
    let weights = Weights::integers(random, kernel * channels, 19);
    let reach = (kernel - 1) * dilation + 1;
    // As long as the last row needs, and no longer.
    let signals = outputs.map(|outputs| {
        let steps = outputs.checked_sub(1).map_or(0, |last| last * stride + reach);
        random.integers(steps * channels, 8)
    });
    let slices = signals.iter().zip(outputs).map(|(signal, outputs)| (signal.as_slice(), stride * channels, outputs));
    let slices: Vec<_> = slices.collect();
    let runs = (channels, dilation * channels);
    Left { span: reach * channels, runs, slices: slices.clone() }.check(&weights);
    if dilation == 1 {
        let runs = (kernel * channels, 0);
        Left { span: reach * channels, runs, slices }.check(&weights);
    }
}

#[test]
fn convolutions_read_their_input_in_place() {
    for shape in [(1, 1, 1, 1), (1, 7, 1, 1), (3, 4, 2, 1), (5, 3, 5, 1), (64, 10, 5, 1), (130, 5, 2, 1), (2, 3, 1, 4)]
        .into_iter()
        .chain([(7, 3, 1, 2), (1, 5, 1, 3), (300, 3, 1, 2), (600, 2, 1, 9), (4, 3, 2, 2)])
    {
        for outputs in [[1, 0], [0, 0], [3, 4], [8, 1], [9, 20]] {
            check_convolution(shape, outputs);
        }
    }
}

#[test]
fn one_row_many_times() {
    let random = &mut Random::new(11);
    let data = random.integers(40, 8);
    let weights = Weights::integers(random, 40, 21);
    Left { span: 40, runs: (40, 0), slices: vec![(&data, 0, 13)] }.check(&weights);
}

#[test]
fn many_slices_of_a_row_each() {
    let random = &mut Random::new(12);
    let sessions: Vec<Vec<f32>> = (0..23).map(|_| random.integers(20, 8)).collect();
    let weights = Weights::integers(random, 20, 40);
    let slices = sessions.iter().map(|session| (session.as_slice(), 20, 1)).collect();
    Left { span: 20, runs: (20, 0), slices }.check(&weights);
}

#[test]
#[should_panic(expected = "the last row ends at 13, the slice at 12")]
fn rows_end_within_their_slice() {
    Rows::new(5).push(&[0.0; 12], 4, 3);
}

fn multiply((span, count): (usize, usize), runs: (usize, usize), depth: usize, out: usize, residual: Option<usize>) {
    let data = vec![0.0; span * count];
    let weights = Weights::integers(&mut Random::new(13), depth, 3);
    let residual = residual.map(|count| vec![0.0; count]);
    let epilogue = Epilogue { residual: residual.as_deref(), activation: None };
    let rows = Rows::contiguous(&data, span);
    product(&rows, runs, &weights.packed(Level::detect()), epilogue, &mut vec![0.0; out], &Threads::new(1));
}

#[test]
fn shapes_that_agree() {
    multiply((5, 2), (5, 0), 5, 6, Some(6));
    multiply((5, 2), (2, 3), 4, 6, None);
}

#[test]
#[should_panic(expected = "runs of 2 do not make up 5")]
fn runs_make_up_the_depth() {
    multiply((9, 2), (2, 2), 5, 6, None);
}

#[test]
#[should_panic(expected = "runs reach over the row's end")]
fn runs_end_within_their_row() {
    multiply((4, 2), (2, 3), 4, 6, None);
}

#[test]
#[should_panic(expected = "output of 2 x 3")]
fn the_output_has_the_product_s_shape() {
    multiply((5, 2), (5, 0), 5, 5, None);
}

#[test]
#[should_panic(expected = "residual of 2 x 3")]
fn the_residual_has_the_product_s_shape() {
    multiply((5, 2), (5, 0), 5, 6, Some(3));
}
