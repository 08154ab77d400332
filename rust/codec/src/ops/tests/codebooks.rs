//! Residual vector quantization.

use super::*;
use crate::ops::{CodebookShape, Codebooks, Columns, Indices};

fn shape(entries: usize, dim: usize) -> CodebookShape {
    CodebookShape { entries, dim, searched: true, summed: true }
}

/// The first `count` codes of `x` `(vectors, dim)`.
fn search(codebooks: &dyn Codebooks, x: &[f32], (vectors, dim): (usize, usize), count: usize) -> Result<Vec<u32>> {
    let x = signal(x, (1, vectors, dim));
    let codes = codebooks.search(&x, Columns::all(count), None, &Block::without_state())?;
    Ok(codes.codes()?.to_vec())
}

/// For each vector the codes, by the definition in float64, and the least of the margins between the nearest entry and
/// the next.
fn definition(books: &[Vec<f32>], dim: usize, x: &[f32]) -> Vec<(Vec<u32>, f64)> {
    let of = |x: &[f32]| {
        let mut left: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let (mut codes, mut margin) = (Vec::new(), f64::INFINITY);
        for book in books {
            let distance =
                |entry: &[f32]| entry.iter().zip(&left).map(|(&e, x)| (f64::from(e) - x).powi(2)).sum::<f64>().sqrt();
            let mut distances: Vec<(f64, usize)> =
                book.chunks_exact(dim).map(distance).enumerate().map(|(code, distance)| (distance, code)).collect();
            distances.sort_by(|a, b| a.0.total_cmp(&b.0));
            if let [nearest, next, ..] = distances[..] {
                margin = margin.min(next.0 - nearest.0);
            }
            let code = distances[0].1;
            left.iter_mut().zip(&book[code * dim..]).for_each(|(left, &e)| *left -= f64::from(e));
            codes.push(code as u32);
        }
        (codes, margin)
    };
    x.chunks_exact(dim).map(of).collect()
}

#[test]
fn search_of_every_shape() {
    let random = &mut Random::new(81);
    for (dim, entries, count) in [(1, 2, 1), (3, 8, 3), (10, 33, 5), (64, 256, 4), (100, 1024, 2)] {
        let books: Vec<Vec<f32>> = (0..count).map(|_| random.floats(entries * dim)).collect();
        let made = made(1, |backend, _| {
            backend.codebooks(shape(entries, dim), &mut books.iter().map(|book| Ok(book.clone().into())))
        });
        for vectors in [1, 2, 17, 30] {
            let x = random.floats(vectors * dim);
            let expected = definition(&books, dim, &x);
            for used in 1..=count {
                for made in &made {
                    let codes = search(&*made.operation, &x, (vectors, dim), used).unwrap();
                    assert_eq!((made.operation.len(), codes.len()), (count, vectors * used));
                    for (codes, (expected, margin)) in codes.chunks_exact(used).zip(&expected) {
                        // Nearer than the rounding of a sum of `dim` squares of at most 4, either may be found.
                        if *margin > 1e-4 {
                            assert_eq!(codes, &expected[..used], "{}: {entries} x {dim}", made.name);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn ties_go_to_the_first() {
    // Each entry twice, and vectors half-way between two entries.
    let book: Vec<f32> = [0.0, 1.0, 0.0, 1.0, 2.0, 2.0].into();
    let made = made(1, |backend, _| backend.codebooks(shape(6, 1), &mut [Ok(book.clone().into())].into_iter()));
    for made in &made {
        let codes = search(&*made.operation, &[0.0, 0.5, 1.0, 1.5, 2.0, -1.0], (6, 1), 1).unwrap();
        assert_eq!(codes, [0, 0, 1, 1, 4, 0], "{}", made.name);
    }
}

#[test]
fn sums() {
    let random = &mut Random::new(82);
    let (dim, entries, count) = (7, 16, 4);
    let books: Vec<Vec<f32>> = (0..count).map(|_| random.floats(entries * dim)).collect();
    for (name, backend) in backends() {
        let codebooks =
            backend.codebooks(shape(entries, dim), &mut books.iter().map(|book| Ok(book.clone().into()))).unwrap();
        for (vectors, used) in [(1, 1), (5, 2), (9, 4)] {
            let codes: Vec<u32> = (0..vectors * used).map(|_| random.below(entries as u64) as u32).collect();
            let sum = codebooks.sum(&Indices::host(codes.clone(), used), Columns::all(used), None).unwrap();
            assert_eq!(sum.dims(), [1, vectors, dim]);
            // The first entry first, each rounding the same.
            let add = |codes: &[u32], i: usize| -> f32 {
                books.iter().zip(codes).map(|(book, &code)| book[code as usize * dim + i]).fold(0.0, |sum, e| sum + e)
            };
            let expected: Vec<f32> = codes
                .chunks_exact(used)
                .flat_map(|codes| (0..dim).map(|i| add(codes, i)).collect::<Vec<_>>())
                .collect();
            assert_eq!(floats(&sum), expected, "{name}");
        }
    }
}

#[test]
fn no_code_where_distances_overflow() {
    for made in
        made(1, |backend, _| backend.codebooks(shape(2, 2), &mut [Ok(vec![1.0, 0.0, -1.0, 0.0].into())].into_iter()))
    {
        for wrong in [f32::NAN, f32::INFINITY, 1e30] {
            let outcome = search(&*made.operation, &[1.0, 0.0, 0.0, wrong], (2, 2), 1);
            assert!(matches!(outcome, Err(crate::Error::Numeric(_))), "{}, {wrong}: {outcome:?}", made.name);
        }
    }
}
