//! The same bits on any number of threads.

use mimi_kernels::{Activation, Epilogue, Rows, Threads, elu, product, simd::Level};

use crate::bits;
use crate::product::Weights;
use crate::random::Random;

/// Shapes with enough work for three threads: shared out by columns, by rows, and with fewer rows than a tile a thread.
const SHAPES: [(usize, usize, usize); 5] =
    [(4, 512, 700), (300, 600, 16), (100, 1030, 33), (9, 900, 120), (23, 4000, 13)];

fn on(threads: &Threads, level: Level, (rows, depth, columns): (usize, usize, usize)) -> Vec<f32> {
    let random = &mut Random::new((rows + depth + columns) as u64);
    let weights = Weights::floats(random, depth, columns);
    let (x, residual) = (random.floats(rows * depth), random.floats(rows * columns));
    let epilogue = Epilogue { residual: Some(&residual), activation: Some(Activation::Elu) };
    let mut out = vec![f32::NAN; rows * columns];
    let left = Rows::contiguous(&x, depth);
    product(&left, (depth, 0), &weights.packed(level), epilogue, &mut out, threads);
    out
}

#[test]
fn any_number_of_threads() {
    for shape in SHAPES {
        for level in Level::available() {
            let one = on(&Threads::new(1), level, shape);
            for count in [0, 2, 3, 5] {
                let threads = Threads::new(count);
                assert_eq!(bits(&on(&threads, level, shape)), bits(&one), "{level:?} {shape:?}, {count} threads");
                assert_eq!(threads.count(), count.max(1));
            }
        }
    }
}

#[test]
fn elu_on_any_number_of_threads() {
    let x = Random::new(5).floats(100_003);
    for level in Level::available() {
        let [one, three] = [1, 3].map(|count| {
            let mut out = vec![f32::NAN; x.len()];
            elu(level, &x, &mut out, &Threads::new(count));
            out
        });
        assert_eq!(bits(&one), bits(&three), "{level:?}");
    }
}

/// After a pause the workers are asleep. (That they are woken is tested where one sees them, in `team.rs`.)
#[test]
fn the_same_bits_after_a_pause() {
    let (threads, level) = (Threads::new(3), Level::detect());
    let expected = on(&Threads::new(1), level, SHAPES[0]);
    for _ in 0..5 {
        assert_eq!(bits(&on(&threads, level, SHAPES[0])), bits(&expected));
        std::thread::sleep(std::time::Duration::from_millis(3));
    }
}

#[test]
fn a_team_shared_by_several_callers() {
    let threads = &Threads::new(3);
    let level = Level::detect();
    let expected: Vec<_> = SHAPES.iter().map(|&shape| on(&Threads::new(1), level, shape)).collect();
    std::thread::scope(|scope| {
        for caller in 0..3 {
            let expected = &expected;
            scope.spawn(move || {
                for i in 0..2 * SHAPES.len() {
                    let shape = (i + caller) % SHAPES.len();
                    assert_eq!(bits(&on(threads, level, SHAPES[shape])), bits(&expected[shape]));
                }
            });
        }
    });
}
