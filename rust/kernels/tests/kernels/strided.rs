//! Matrices by the offsets of their rows and columns, however these lie.

use mimi_kernels::{Epilogue, PackedMatrix, Precision, Rows, Strided, Threads, product, simd::Level};

use crate::bits;
use crate::random::Random;

/// The rows of the matrix, read back by multiplying with the identity.
fn rows_of(matrix: &Strided<'_>, level: Level, precision: Precision) -> Vec<f32> {
    let (depth, columns) = matrix.shape();
    let mut identity = vec![0.0; depth * depth];
    identity.iter_mut().step_by(depth + 1).for_each(|one| *one = 1.0);
    let packed = PackedMatrix::new(level, precision, matrix, None);
    let mut out = vec![f32::NAN; depth * columns];
    let left = Rows::contiguous(&identity, depth);
    product(&left, (depth, 0), &packed, Epilogue::default(), &mut out, &Threads::new(1));
    out
}

/// A convolution's kernel `(5, 3, 70)`, taken with its taps outermost: more depths than are packed together, and such as do
/// not lie in their order.
#[test]
fn depths_in_any_order() {
    let (columns, inputs, taps) = (5, 3, 70);
    let values = Random::new(3).floats(columns * inputs * taps);
    let depths = (0..taps).flat_map(|tap| (0..inputs).map(move |input| input * taps + tap));
    let matrix = Strided::new(&values, depths, (0..columns).map(|column| column * inputs * taps));
    assert_eq!(matrix.shape(), (inputs * taps, columns));
    let plain = |k: usize, n: usize| values[(n * inputs + k % inputs) * taps + k / inputs];
    let expected: Vec<f32> = (0..inputs * taps).flat_map(|k| (0..columns).map(move |n| plain(k, n))).collect();
    for level in Level::available() {
        assert_eq!(bits(&rows_of(&matrix, level, Precision::Float32)), bits(&expected), "{level:?}");
        // Half a unit of the eighth bit, and half a step of the greatest of a column's 127.
        for (precision, allowed) in [(Precision::Bfloat16, 1.0 / 256.0), (Precision::Int8, 0.5 / 127.0 * 1.0001)] {
            for (got, wanted) in rows_of(&matrix, level, precision).iter().zip(&expected) {
                assert!((got - wanted).abs() <= allowed, "{level:?} {precision:?}: {got} for {wanted}");
            }
        }
    }
}

#[test]
fn row_major_and_transposed() {
    let values = Random::new(4).floats(6 * 4);
    let expected: Vec<f32> = (0..6).flat_map(|k| (0..4).map(move |n| (k, n))).map(|(k, n)| values[n * 6 + k]).collect();
    for level in Level::available() {
        assert_eq!(bits(&rows_of(&Strided::row_major(&values, 4), level, Precision::Float32)), bits(&values));
        assert_eq!(bits(&rows_of(&Strided::transposed(&values, 6), level, Precision::Float32)), bits(&expected));
    }
}

#[test]
#[should_panic(expected = "element 12 of 12")]
fn elements_lie_within_the_values() {
    Strided::new(&[0.0; 12], [0, 4, 9], 0..4);
}

#[test]
#[should_panic(expected = "10 values in rows of 4")]
fn rows_are_whole() {
    Strided::transposed(&[0.0; 10], 4);
}
