//! The nearest entry of a codebook.

use mimi_kernels::{Codebook, Threads, Unmeasurable, simd::Level};

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
                    let book = Codebook::new(level, &entries, dim);
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
            let (codes, _) = search(&Codebook::new(level, &entries, dim), &[0.0; 5], 1);
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
        let (codes, _) = search(&Codebook::new(level, &entries, 3), &[0.0; 3], 1);
        assert_eq!(codes, [0], "{level:?}");
    }
}

#[test]
fn an_entry_itself_is_at_distance_zero() {
    // Rounding may take |x|^2 + |e|^2 - 2 x e below zero, where a root would be no number.
    let random = &mut Random::new(22);
    let entries = random.floats(50 * 30);
    for level in Level::available() {
        let (codes, left) = search(&Codebook::new(level, &entries, 30), &entries, 1);
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
        let book = Codebook::new(level, &entries, dim);
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
            let book = Codebook::new(level, &entries, dim);
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
    Codebook::new(Level::detect(), &[0.0; 6], 2).add_entry(3, &mut [0.0; 2]);
}

#[test]
#[should_panic(expected = "entries of 4 floats")]
fn entries_are_whole() {
    Codebook::new(Level::detect(), &[0.0; 6], 4);
}

#[test]
fn no_code_where_there_is_no_distance() {
    let refused = |level, entries: &[f32], x: &[f32]| {
        let (mut residual, mut codes) = (x.to_vec(), vec![u32::MAX; x.len() / 3]);
        let outcome = Codebook::new(level, entries, 3).search(&mut residual, &mut codes, &Threads::new(1));
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
        assert_eq!(search(&Codebook::new(level, &far, 3), &[-2e18, 3e18, 1.0], 1).0, [1], "{level:?}");
    }
}
