//! Arrays that were arranged at one level and are read at another: the same as if they had been arranged there.

#![allow(clippy::unwrap_used)]

use mimi_kernels::{Array, Arrays, Codebook, Number, Numbers, PackedMatrix, Precision, Threads, simd::Level};

use crate::bits;
use crate::product::Weights;
use crate::random::Random;

const PRECISIONS: [Precision; 3] = [Precision::Float32, Precision::Bfloat16, Precision::Int8];

/// Arrays as a file has them.
struct Kept {
    level: Level,
    arrays: Vec<(&'static str, Array)>,
}

impl Arrays for Kept {
    type Error = String;

    fn tile_lanes(&self) -> usize {
        self.level.tile_lanes()
    }

    fn contains(&self, name: &str) -> bool {
        self.arrays.iter().any(|(own, _)| *own == name)
    }

    fn find<T: Number>(&self, name: &str, len: usize) -> Result<Numbers<T>, String> {
        let (_, array) = self.arrays.iter().find(|(own, _)| *own == name).ok_or_else(|| format!("no {name}"))?;
        let bytes = array.bytes();
        if (array.precision(), bytes.len()) != (T::PRECISION, len * size_of::<T>()) {
            return Err(format!("{} bytes of {:?} in {name}, not {len}", bytes.len(), array.precision()));
        }
        Numbers::read(len, true, |into| {
            into.copy_from_slice(bytes);
            Ok(())
        })
    }
}

fn bytes(arrays: &[(&'static str, Array)]) -> Vec<(&'static str, Vec<u8>)> {
    arrays.iter().map(|(name, array)| (*name, array.bytes().to_vec())).collect()
}

/// Pairs of levels of this processor; where it has one alone, that and itself.
fn pairs() -> impl Iterator<Item = (Level, Level)> {
    Level::available().into_iter().flat_map(|from| Level::available().into_iter().map(move |to| (from, to)))
}

#[test]
fn matrices_of_every_shape() {
    let random = &mut Random::new(61);
    for (depth, columns) in [(1, 1), (5, 1), (3, 7), (128, 8), (129, 33), (300, 64), (257, 70)] {
        let mut weights = Weights::integers(random, depth, columns);
        weights.values = random.floats(depth * columns);
        for (from, to) in pairs() {
            for precision in PRECISIONS {
                let [there, here] =
                    [from, to].map(|level| weights.packed_as(level, precision, Some(&weights.bias)).arrays());
                let kept = Kept { level: from, arrays: there };
                let arranged = PackedMatrix::of_arrays(to, precision, (depth, columns), &kept).unwrap().arrays();
                let what = format!("{depth} x {columns} in {precision:?}, {from:?} to {to:?}");
                assert!(bytes(&arranged) == bytes(&here), "{what}");
            }
        }
    }
}

#[test]
fn codebooks_with_and_without_what_a_search_looks_through_first() {
    let random = &mut Random::new(62);
    let (count, dim) = (1024, 130);
    let (entries, x) = (random.floats(count * dim), random.floats(5 * dim));
    let search = |book: &Codebook| {
        let (mut left, mut codes) = (x.clone(), vec![0; 5]);
        book.search(&mut left, &mut codes, &Threads::new(1)).unwrap();
        (codes, bits(&left))
    };
    for (from, to) in pairs() {
        for precision in PRECISIONS {
            let here = Codebook::new(to, precision, &entries, dim, true);
            for screened in [false, true] {
                let there = Codebook::new(from, precision, &entries, dim, screened);
                let kept = Kept { level: from, arrays: there.arrays() };
                let whole = Codebook::of_arrays(to, precision, (count, dim), true, &kept).unwrap();
                assert!(bytes(&whole.arrays()) == bytes(&here.arrays()), "{precision:?}, {from:?} to {to:?}");
                assert_eq!(search(&whole), search(&here), "{precision:?}, {from:?} to {to:?}");
                let plain = Codebook::of_arrays(to, precision, (count, dim), false, &kept).unwrap();
                assert!(plain.bytes() < here.bytes() && search(&plain) == search(&here), "{precision:?}");
            }
        }
    }
}

#[test]
fn arrays_of_another_length_are_refused() {
    let weights = Weights::integers(&mut Random::new(63), 12, 40);
    for (from, to) in pairs() {
        for precision in PRECISIONS {
            let kept = Kept { level: from, arrays: weights.packed_as(from, precision, None).arrays() };
            for shape in [(14, 40), (12, 200), (usize::MAX, 40), (12, usize::MAX)] {
                assert!(PackedMatrix::of_arrays(to, precision, shape, &kept).is_err(), "{shape:?}, {precision:?}");
            }
        }
    }
}
