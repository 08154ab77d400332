//! Searches of codebooks, one after another.

use mimi_kernels::{
    Codebook, Epilogue, PackedMatrix, Precision, Rows as MatrixRows, Strided, Threads, product, simd::Level,
};

use super::{Device, Fault, Memory, NO_FAULTS, Numbers, States, assert_bits, in_both_orders, only};
use crate::launch::{Codes, Rows, Search, is_measurable, search, squared_lengths};

/// Codebooks on both sides.
struct Books {
    dim: usize,
    entries: Vec<usize>,
    on_cpu: Vec<Codebook>,
    on_device: Vec<(Memory, Memory, bool)>,
}

impl Books {
    fn new(level: Level, dim: usize, books: &[Vec<f32>]) -> Self {
        let on_device = books.iter().map(|book| {
            let lengths = squared_lengths(book, dim);
            (Memory::of(book), Memory::of(&lengths), is_measurable(&lengths))
        });
        Self {
            dim,
            entries: books.iter().map(|book| book.len() / dim).collect(),
            on_cpu: books.iter().map(|book| Codebook::new(level, Precision::Float32, book, dim, true)).collect(),
            on_device: on_device.collect(),
        }
    }

    /// The codes `(vectors, books)` of the vectors, and the faults.
    fn search(&self, device: &Device, rows: &Rows<'_>, x: &[f32], few: usize) -> (Vec<u32>, Vec<u32>) {
        let (vectors, count) = (rows.rows * rows.steps, self.entries.len());
        let x = Memory::of(x);
        let left = [Memory::new(vectors * self.dim * 4), Memory::new(vectors * self.dim * 4)];
        let keys = Memory::new(count * vectors * 8);
        let keys_of = |k: usize| keys.span().part(k * vectors * 8..(k + 1) * vectors * 8).unwrap();
        for (k, (codebook, lengths, measurable)) in self.on_device.iter().enumerate() {
            let own = Search {
                dim: self.dim,
                entries: self.entries[k],
                index: k,
                codebook: codebook.span(),
                squared_lengths: lengths.span(),
                measurable: *measurable,
                before: (k > 0).then(|| (self.on_device[k - 1].0.span(), keys_of(k - 1))),
                // The first is searched for what was given, and leaves nothing that is not there already.
                x: if k < 2 { x.span() } else { left[k % 2].span() },
                left: (k > 0 && k + 1 < count).then(|| left[(k + 1) % 2].span()),
                keys: keys_of(k),
                faults: device.faults.span(),
            };
            device.run(search::prepare(rows, &own, few).unwrap());
        }
        let (columns, first) = (count + 2, 1);
        let codes = Memory::new(vectors * columns * 4);
        let own = Codes { count, keys: keys.span(), columns, first, codes: codes.span() };
        device.run(search::codes_launch(vectors, &own).unwrap());
        let codes = codes.read::<u32>();
        let own = codes.chunks(columns).flat_map(|codes| {
            assert_eq!((codes[0], codes[columns - 1]), (u32::MAX, u32::MAX), "columns of other codebooks");
            codes[first..first + count].to_vec()
        });
        (own.collect(), device.faults())
    }

    fn search_on_cpu(&self, x: &[f32]) -> Vec<u32> {
        let (vectors, count) = (x.len() / self.dim, self.entries.len());
        let (mut left, mut codes) = (x.to_vec(), vec![0; vectors * count]);
        for (k, book) in self.on_cpu.iter().enumerate() {
            let mut found = vec![0; vectors];
            book.search(&mut left, &mut found, &Threads::new(1)).unwrap();
            codes[k..].iter_mut().step_by(count).zip(found).for_each(|(code, found)| *code = found);
        }
        codes
    }
}

/// With few vectors and with many in a block.
const WAYS: [usize; 2] = [usize::MAX, 0];

#[test]
fn codes_are_those_of_the_cpu() {
    in_both_orders(|device, level| {
        let shapes = [
            (1, 1, 1, 1),
            (1, 3, 8, 5),
            (2, 2, 6, 40),
            (3, 5, 64, 100),
            (1, 70, 33, 130),
            (2, 1, 256, 200),
            (1, 2, 520, 20),
            (1, 66, 1100, 17),
        ];
        for (seed, (rows, steps, dim, entries)) in shapes.into_iter().enumerate() {
            let mut numbers = Numbers(seed as u64);
            // Values with few digits: several entries are equally near, some of them the same.
            let mut book = |_| (0..entries * dim).map(|_| (numbers.next() * 2.0).round()).collect::<Vec<f32>>();
            let coarse: Vec<Vec<f32>> = (0..3).map(&mut book).collect();
            let fine: Vec<Vec<f32>> = (0..3).map(|_| numbers.take(entries * dim)).collect();
            for books in [coarse, fine] {
                let books = Books::new(level, dim, &books);
                let x: Vec<f32> = (0..rows * steps * dim).map(|_| (numbers.next() * 8.0).round() / 4.0).collect();
                let expected = books.search_on_cpu(&x);
                for few in WAYS {
                    let (codes, faults) = books.search(device, &Rows { sessions: None, rows, steps }, &x, few);
                    assert_eq!(faults, NO_FAULTS);
                    assert_eq!(codes, expected, "{rows} x {steps} vectors of {dim}, {entries} entries");
                }
            }
        }
    });
}

/// The bits of the smallest distance of each vector, as the CPU's search finds them on its way.
fn smallest_distances(level: Level, book: &[f32], x: &[f32], dim: usize) -> Vec<u32> {
    let doubled: Vec<f32> = book.iter().map(|value| -2.0 * value).collect();
    let lengths = squared_lengths(book, dim);
    let matrix = PackedMatrix::new(level, Precision::Float32, &Strided::transposed(&doubled, dim), Some(&lengths));
    let mut products = vec![0.0; x.len() / dim * lengths.len()];
    let rows = MatrixRows::contiguous(x, dim);
    product(&rows, (dim, 0), &matrix, Epilogue::default(), &mut products, &Threads::new(1));
    let smallest = x.chunks(dim).zip(products.chunks(lengths.len())).map(|(x, products)| {
        let mut lanes = [0.0_f32; 16];
        x.iter().enumerate().for_each(|(i, x)| lanes[i % 16] = x.mul_add(*x, lanes[i % 16]));
        let norm = lanes.iter().fold(0.0, |sum, lane| sum + lane);
        let distances = products.iter().map(|product| (product + norm).max(0.0).sqrt());
        distances.fold(f32::INFINITY, f32::min).to_bits()
    });
    smallest.collect()
}

#[test]
fn distances_have_the_bits_of_the_cpu() {
    in_both_orders(|device, level| {
        for (dim, entries, vectors) in [(3, 2, 1), (24, 17, 5), (256, 40, 3), (700, 64, 66), (1030, 20, 2)] {
            let mut numbers = Numbers(dim as u64);
            let (book, x) = (numbers.take(entries * dim), numbers.take(vectors * dim));
            let expected = smallest_distances(level, &book, &x, dim);
            let books = Books::new(level, dim, &[book]);
            let (codebook, lengths, measurable) = &books.on_device[0];
            for few in WAYS {
                let (x, keys) = (Memory::of(&x), Memory::new(vectors * 8));
                let own = Search {
                    dim,
                    entries,
                    index: 0,
                    codebook: codebook.span(),
                    squared_lengths: lengths.span(),
                    measurable: *measurable,
                    before: None,
                    x: x.span(),
                    left: None,
                    keys: keys.span(),
                    faults: device.faults.span(),
                };
                device.run(search::prepare(&Rows { sessions: None, rows: 1, steps: vectors }, &own, few).unwrap());
                let got: Vec<u32> = keys.read::<u64>().iter().map(|key| (key >> 32) as u32).collect();
                assert_eq!(got, expected, "{entries} entries of {dim}");
            }
        }
    });
}

#[test]
fn equally_near_entries_give_the_first() {
    in_both_orders(|device, level| {
        let dim = 4;
        // The entries after the first 20 repeat them, over several blocks.
        let some = Numbers(5).take(20 * dim);
        let book: Vec<f32> = some.iter().copied().cycle().take(200 * dim).collect();
        let books = Books::new(level, dim, &[book]);
        for few in WAYS {
            let (codes, _) = books.search(device, &Rows { sessions: None, rows: 1, steps: 20 }, &some, few);
            assert_eq!(codes, (0..20).collect::<Vec<_>>());
        }
    });
}

#[test]
fn what_is_left_is_what_the_cpu_leaves() {
    in_both_orders(|device, level| {
        let (dim, entries, vectors) = (40, 30, 3);
        let mut numbers = Numbers(6);
        let (book, x) = (numbers.take(entries * dim), numbers.take(vectors * dim));
        let books = Books::new(level, dim, &[book]);
        let (mut expected, mut codes) = (x.clone(), vec![0; vectors]);
        books.on_cpu[0].search(&mut expected, &mut codes, &Threads::new(1)).unwrap();
        let keys = Memory::of(&codes.iter().map(|&code| u64::from(code)).collect::<Vec<_>>());
        let (codebook, lengths, measurable) = &books.on_device[0];
        for few in WAYS {
            let (x, left, found) = (Memory::of(&x), Memory::new(vectors * dim * 4), Memory::new(vectors * 8));
            let own = Search {
                dim,
                entries,
                index: 1,
                codebook: codebook.span(),
                squared_lengths: lengths.span(),
                measurable: *measurable,
                before: Some((codebook.span(), keys.span())),
                x: x.span(),
                left: Some(left.span()),
                keys: found.span(),
                faults: device.faults.span(),
            };
            device.run(search::prepare(&Rows { sessions: None, rows: 1, steps: vectors }, &own, few).unwrap());
            assert_bits(&left.read::<f32>(), &expected, "what is left");
            assert!(
                search::prepare(
                    &Rows { sessions: None, rows: 1, steps: vectors },
                    &Search { left: Some(x.span()), ..own },
                    few
                )
                .is_err()
            );
        }
    });
}

#[test]
fn rows_that_rest_have_no_codes_and_no_faults() {
    in_both_orders(|device, level| {
        let (dim, rows, steps) = (12, 4, 2);
        let mut numbers = Numbers(8);
        let books = Books::new(level, dim, &[numbers.take(50 * dim), numbers.take(50 * dim)]);
        let mut x = numbers.take(rows * steps * dim);
        let expected = books.search_on_cpu(&x);
        x[steps * dim..2 * steps * dim].fill(f32::NAN);
        let sessions = States::new(rows, 1).with_resting(&[1]);
        for few in WAYS {
            let of_step = Rows { sessions: Some(sessions.span()), rows, steps };
            let (codes, faults) = books.search(device, &of_step, &x, few);
            assert_eq!(faults, NO_FAULTS);
            for (row, (codes, expected)) in codes.chunks(steps * 2).zip(expected.chunks(steps * 2)).enumerate() {
                assert_eq!(codes, if row == 1 { &[0; 4] } else { expected }, "row {row}");
            }
        }
    });
}

#[test]
fn distances_that_overflow_are_a_fault_of_the_first_codebook_that_has_one() {
    in_both_orders(|device, level| {
        let (dim, large) = (8, (f32::MAX / 8.0 / 8.0).sqrt() * 1.01);
        let book = Numbers(10).take(20 * dim);
        let mut long = book.clone();
        long[3 * dim..4 * dim].fill(large);
        let fine = vec![0.5; 2 * dim];
        let one = Rows { sessions: None, rows: 1, steps: 2 };
        for few in WAYS {
            let books = Books::new(level, dim, &[book.clone(), book.clone()]);
            for value in [f32::NAN, f32::INFINITY, large, -large] {
                let mut x = fine.clone();
                x[dim..].fill(value);
                assert_eq!(books.search(device, &one, &x, few).1, only(Fault::Distance, 1), "{value}");
            }
            let mut x = fine.clone();
            x[dim..].fill(large / 1.03);
            assert_eq!(books.search(device, &one, &x, few).1, NO_FAULTS);
            let books = Books::new(level, dim, &[book.clone(), long.clone(), long.clone()]);
            assert_eq!(books.search(device, &one, &fine, few).1, only(Fault::Distance, 2));
        }
    });
}
