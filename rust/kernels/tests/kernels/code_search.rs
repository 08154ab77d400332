//! The nearest entry of a codebook.

use mimi_kernels::{Codebook, Precision, Threads, Unmeasurable, as_kept, simd::Level};

use crate::bits;
use crate::random::Random;

fn search(book: &Codebook, x: &[f32], threads: usize) -> (Vec<u32>, Vec<f32>) {
    let mut residual = x.to_vec();
    let mut codes = vec![u32::MAX; x.len() / book.dim()];
    assert_eq!(book.search(&mut residual, &mut codes, &Threads::new(threads)), Ok(()));
    (codes, residual)
}

/// The entry with the smallest squared distance, the first among equals.
fn nearest(entries: &[f32], x: &[f32]) -> usize {
    let distance =
        |entry: &[f32]| -> f64 { entry.iter().zip(x).map(|(e, x)| (f64::from(*e) - f64::from(*x)).powi(2)).sum() };
    let distances: Vec<f64> = entries.chunks_exact(x.len()).map(distance).collect();
    (0..distances.len()).fold(0, |best, i| if distances[i] < distances[best] { i } else { best })
}

#[test]
fn every_shape_and_ties_to_the_first() {
    let random = &mut Random::new(21);
    for dim in [1, 2, 3, 8, 17, 64] {
        for count in [1, 2, 7, 31, 32, 33, 300] {
            // Integers: the distances are exact, and among so few values equal ones are common.
            let entries = random.integers(count * dim, 2);
            for rows in [0, 1, 3, 15, 16, 17, 40] {
                let x = random.integers(rows * dim, 3);
                let codes: Vec<u32> = x.chunks_exact(dim).map(|x| nearest(&entries, x) as u32).collect();
                let left = x
                    .chunks_exact(dim)
                    .zip(&codes)
                    .flat_map(|(x, &code)| x.iter().zip(&entries[code as usize * dim..]).map(|(x, e)| x - e));
                let left: Vec<f32> = left.collect();
                for level in Level::available() {
                    let book = Codebook::new(level, Precision::Float32, &entries, dim, true);
                    assert_eq!((book.entries(), book.dim()), (count, dim));
                    assert!(book.bytes() >= (dim + 1) * count * size_of::<f32>());
                    let found = search(&book, &x, 1);
                    assert_eq!(found, (codes.clone(), left.clone()), "{level:?}: {rows} in {count} x {dim}");
                }
            }
        }
    }
}

#[test]
fn equal_entries_at_any_place() {
    // All but one entry lie equally near: the first of them is found wherever in a vector it is.
    let (count, dim) = (70, 5);
    for level in Level::available() {
        for first in 0..count {
            let entries: Vec<f32> = (0..count).flat_map(|i| vec![if i < first { 9.0 } else { 1.0 }; dim]).collect();
            let (codes, _) = search(&Codebook::new(level, Precision::Float32, &entries, dim, true), &[0.0; 5], 1);
            assert_eq!(codes, [first as u32], "{level:?}");
        }
    }
}

#[test]
fn distances_are_compared_after_their_root_in_float32() {
    // 4000^2 + 2 and 4000^2 + 1 have one root in float32: PyTorch's argmin of cdist takes the first.
    let entries = [4000.0, 1.0, 1.0, 4000.0, 1.0, 0.0];
    assert_eq!(16_000_002_f32.sqrt(), 16_000_001_f32.sqrt());
    for level in Level::available() {
        let (codes, _) = search(&Codebook::new(level, Precision::Float32, &entries, 3, true), &[0.0; 3], 1);
        assert_eq!(codes, [0], "{level:?}");
    }
}

#[test]
fn an_entry_itself_is_at_distance_zero() {
    // Rounding may take |x|^2 + |e|^2 - 2 x e below zero, where a root would be no number.
    let random = &mut Random::new(22);
    let entries = random.floats(50 * 30);
    for level in Level::available() {
        let (codes, left) = search(&Codebook::new(level, Precision::Float32, &entries, 30, true), &entries, 1);
        assert_eq!(codes, (0..50).collect::<Vec<u32>>(), "{level:?}");
        assert!(left.iter().all(|&value| value == 0.0), "{level:?}");
    }
}

#[test]
fn the_same_alone_together_and_on_any_number_of_threads() {
    let random = &mut Random::new(23);
    let (count, dim, rows) = (1000, 100, 37);
    let entries = random.floats(count * dim);
    let x = random.floats(rows * dim);
    for level in Level::available() {
        let book = Codebook::new(level, Precision::Float32, &entries, dim, true);
        let (codes, left) = search(&book, &x, 1);
        for threads in [2, 3] {
            let (other_codes, other_left) = search(&book, &x, threads);
            assert_eq!((&other_codes, bits(&other_left)), (&codes, bits(&left)), "{level:?}");
        }
        for (i, x) in x.chunks_exact(dim).enumerate() {
            let (code, own_left) = search(&book, x, 1);
            assert_eq!((code[0], bits(&own_left)), (codes[i], bits(&left[i * dim..][..dim])), "{level:?}");
        }
    }
}

#[test]
fn entries_are_added_as_they_were_given() {
    let random = &mut Random::new(24);
    for (count, dim) in [(1, 1), (9, 3), (40, 33)] {
        let entries = random.floats(count * dim);
        let start = random.floats(dim);
        for level in Level::available() {
            let book = Codebook::new(level, Precision::Float32, &entries, dim, true);
            for (code, entry) in entries.chunks_exact(dim).enumerate() {
                let mut sum = start.clone();
                book.add_entry(code, &mut sum);
                let expected: Vec<f32> = start.iter().zip(entry).map(|(sum, e)| sum + e).collect();
                assert_eq!(bits(&sum), bits(&expected), "{level:?}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "entry 3 of 3")]
fn there_is_no_entry_after_the_last() {
    Codebook::new(Level::detect(), Precision::Float32, &[0.0; 6], 2, true).add_entry(3, &mut [0.0; 2]);
}

#[test]
#[should_panic(expected = "entries of 4 floats")]
fn entries_are_whole() {
    Codebook::new(Level::detect(), Precision::Float32, &[0.0; 6], 4, true);
}

#[test]
fn no_code_where_there_is_no_distance() {
    let refused = |level, entries: &[f32], x: &[f32]| {
        let (mut residual, mut codes) = (x.to_vec(), vec![u32::MAX; x.len() / 3]);
        let outcome = Codebook::new(level, Precision::Float32, entries, 3, true).search(
            &mut residual,
            &mut codes,
            &Threads::new(1),
        );
        assert_eq!(outcome, Err(Unmeasurable), "{level:?}: {entries:?}, {x:?}");
    };
    let usual = [1.0, 2.0, 3.0, -1.0, 0.5, 0.0];
    for level in Level::available() {
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -1e19] {
            refused(level, &usual, &[0.0, wrong, 0.0]);
            refused(level, &usual, &[1.0, 2.0, 3.0, 0.0, 0.0, wrong]);
            refused(level, &[1.0, 2.0, 3.0, 0.0, wrong, 0.0], &[0.0; 3]);
        }
        // Near the bound distances are what they are.
        let far = [3e18, 0.0, 0.0, -3e18, 0.0, 0.0];
        assert_eq!(
            search(&Codebook::new(level, Precision::Float32, &far, 3, true), &[-2e18, 3e18, 1.0], 1).0,
            [1],
            "{level:?}"
        );
    }
}

#[test]
fn smaller_entries_are_searched_and_added_as_they_are_kept() {
    let random = &mut Random::new(27);
    let (count, dim) = (300, 140);
    let entries = random.floats(count * dim);
    let x = random.floats(11 * dim);
    for precision in [Precision::Bfloat16, Precision::Int8] {
        let kept = as_kept(precision, &entries, dim);
        assert_ne!(kept, entries, "{precision:?}");
        for level in Level::available() {
            let book = Codebook::new(level, precision, &entries, dim, false);
            let exact = Codebook::new(level, Precision::Float32, &kept, dim, false);
            // Sums in int8 are scaled at the end of a group, so they are rounded otherwise: no two entries are as near.
            let ((codes, left), (exact_codes, exact_left)) = (search(&book, &x, 1), search(&exact, &x, 1));
            assert_eq!((codes, bits(&left)), (exact_codes, bits(&exact_left)), "{precision:?}, {level:?}");
            let (mut sum, mut exact_sum) = (vec![0.5; dim], vec![0.5; dim]);
            book.add_entry(7, &mut sum);
            exact.add_entry(7, &mut exact_sum);
            assert_eq!(bits(&sum), bits(&exact_sum), "{precision:?}, {level:?}");
        }
    }
}

/// A codebook that is screened for a few rows, and searched as a whole for many: both must find the same, bit for bit.
fn screened_as_a_whole(entries: &[f32], x: &[f32], dim: usize) {
    const MANY: usize = 9;
    for level in Level::available() {
        let book = Codebook::new(level, Precision::Float32, entries, dim, true);
        assert!(book.bytes() > entries.len() * 5, "{level:?}: a codebook of {} floats is not screened", entries.len());
        let repeated = |x: &[f32]| x.repeat(MANY.div_ceil(x.len() / dim));
        for (count, x) in
            [(1, x), (3, x)].into_iter().flat_map(|(count, x)| x.chunks(count * dim).map(move |x| (count, x)))
        {
            let (codes, left) = search(&book, x, 1);
            let (whole_codes, whole_left) = search(&book, &repeated(x), 1);
            assert_eq!(codes, whole_codes[..codes.len()], "{level:?}: {count} rows");
            assert_eq!(bits(&left), bits(&whole_left[..left.len()]), "{level:?}: {count} rows");
        }
    }
}

#[test]
fn a_screen_never_hides_the_nearest() {
    let random = &mut Random::new(25);
    for (count, dim) in [(2048, 64), (1025, 130), (512, 256), (300, 700)] {
        let mut entries = random.floats(count * dim);
        let mut x = random.floats(12 * dim);
        // Entries themselves, their negatives, and what lies in the middle of two.
        for (row, x) in x.chunks_exact_mut(dim).enumerate().skip(6) {
            let (one, other) = (&entries[row * 23 * dim..][..dim], &entries[(count - 1 - row * 17) * dim..][..dim]);
            for (x, (one, other)) in x.iter_mut().zip(one.iter().zip(other)) {
                *x = [*one, -one, (one + other) / 2.0][row % 3];
            }
        }
        screened_as_a_whole(&entries, &x, dim);
        // Entries of very different lengths, with single weights that leave the others few steps in int8.
        for (i, entry) in entries.chunks_exact_mut(dim).enumerate() {
            let scale = [1.0, 1e-3, 30.0, 0.2][i % 4];
            entry.iter_mut().for_each(|value| *value *= scale);
            entry[i % dim] *= 100.0;
        }
        screened_as_a_whole(&entries, &x, dim);
    }
}

#[test]
fn a_screen_keeps_ties_and_near_ties() {
    let random = &mut Random::new(26);
    let (count, dim) = (1024, 128);
    let one = random.floats(dim);
    // All entries are the same but for the last bits of some values, and each is there several times.
    let step = |i: usize, k: usize| f32::from_bits(one[k].to_bits() ^ u32::from((i % 97 + k).is_multiple_of(41)));
    let near: Vec<f32> = (0..count).flat_map(|i| (0..dim).map(move |k| (i, k))).map(|(i, k)| step(i, k)).collect();
    let mut x = random.floats(3 * dim);
    x.extend_from_slice(&one);
    x.extend(near[700 * dim..701 * dim].iter().map(|value| value * 1.000_000_1));
    x.extend(vec![0.0; dim]);
    screened_as_a_whole(&near, &x, dim);
    let equal = one.repeat(count);
    screened_as_a_whole(&equal, &x, dim);
    // Distances that are different only before their root in float32.
    let far: Vec<f32> = near.iter().map(|value| value + 4000.0).collect();
    screened_as_a_whole(&far, &x, dim);
}

#[test]
fn a_screen_of_numbers_of_any_size() {
    let random = &mut Random::new(27);
    let (count, dim) = (1024, 128);
    let (entries, x) = (random.floats(count * dim), random.floats(6 * dim));
    let scaled = |values: &[f32], scale: f32| -> Vec<f32> { values.iter().map(|value| value * scale).collect() };
    // From numbers without all their digits to the longest that have distances.
    for of_entries in [0.0, 1e-42, 1e-38, 1e-20, 1.0, 1e15, 3e17] {
        for of_x in [0.0, 1e-42, 1e-30, 1.0, 1e10, 3e17] {
            screened_as_a_whole(&scaled(&entries, of_entries), &scaled(&x, of_x), dim);
        }
    }
    for level in Level::available() {
        for wrong in [f32::NAN, f32::INFINITY, 1e19] {
            let mut wrong_x = x[..dim].to_vec();
            wrong_x[77] = wrong;
            let outcome = Codebook::new(level, Precision::Float32, &entries, dim, true).search(
                &mut wrong_x,
                &mut [0],
                &Threads::new(1),
            );
            assert_eq!(outcome, Err(Unmeasurable), "{level:?}: {wrong}");
            let mut wrong_entries = entries.clone();
            wrong_entries[99_999] = wrong;
            let book = Codebook::new(level, Precision::Float32, &wrong_entries, dim, true);
            assert_eq!(book.search(&mut x[..dim].to_vec(), &mut [0], &Threads::new(1)), Err(Unmeasurable), "{level:?}");
        }
    }
}
