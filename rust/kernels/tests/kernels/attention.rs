//! Attention against a softmax over all that came before, in float64.

use mimi_kernels::{Attention, Steps as New, Threads, attend, cache_len, simd::Level, written};

use crate::random::Random;
use crate::{ROUNDING, bits};

/// Queries, keys and values of a number of steps, and the angles they are turned by.
pub(crate) struct Steps {
    pub(crate) shape: Attention,
    pub(crate) rotary: Vec<f32>,
    pub(crate) qkv: Vec<f32>,
}

impl Steps {
    pub(crate) fn new(seed: u64, shape: Attention, steps: usize) -> Self {
        let random = &mut Random::new(seed);
        let mut rotary = Vec::new();
        for _ in 0..steps {
            let angles: Vec<f32> = random.floats(shape.head_dim / 2).iter().map(|angle| angle * 3.0).collect();
            rotary.extend(angles.iter().map(|angle| angle.cos()));
            rotary.extend(angles.iter().map(|angle| angle.sin()));
        }
        let qkv = random.floats(steps * (shape.heads + 2 * shape.kv_heads) * shape.head_dim);
        Self { shape, rotary, qkv }
    }

    pub(crate) fn count(&self) -> usize {
        self.rotary.len() / self.shape.head_dim
    }

    /// What a step's head `at` holds, the query heads counted first, then keys, then values; turned if asked for.
    pub(crate) fn head(&self, step: usize, at: usize, turned: bool) -> Vec<f64> {
        let Attention { heads, kv_heads, head_dim, .. } = self.shape;
        let x: Vec<f64> = self.qkv[(step * (heads + 2 * kv_heads) + at) * head_dim..][..head_dim]
            .iter()
            .map(|&value| f64::from(value))
            .collect();
        if !turned {
            return x;
        }
        let half = head_dim / 2;
        let angle = |i: usize| f64::from(self.rotary[step * head_dim + i]);
        let low = (0..half).map(|i| x[i] * angle(i) - x[half + i] * angle(half + i));
        let high = (0..half).map(|i| x[half + i] * angle(i) + x[i] * angle(half + i));
        low.chain(high).collect()
    }

    /// The definition, of all steps from the first.
    fn plain(&self) -> Vec<f64> {
        let Attention { heads, kv_heads, head_dim, window } = self.shape;
        let all = |from: usize, turned| -> Vec<Vec<Vec<f64>>> {
            let of = |step| (0..kv_heads).map(|head| self.head(step, from + head, turned)).collect();
            (0..self.count()).map(of).collect()
        };
        let (keys, values) = (all(heads, true), all(heads + kv_heads, false));
        let mut out = Vec::new();
        for step in 0..self.count() {
            let seen = (step + 1).saturating_sub(window)..step + 1;
            for head in 0..heads {
                let (query, kv_head) = (self.head(step, head, true), head / (heads / kv_heads));
                let score = |j: usize| query.iter().zip(&keys[j][kv_head]).map(|(q, k)| q * k).sum::<f64>();
                let weights: Vec<f64> = seen.clone().map(|j| (score(j) / (head_dim as f64).sqrt()).exp()).collect();
                let total: f64 = weights.iter().sum();
                out.extend((0..head_dim).map(|i| {
                    let mixed = weights.iter().zip(seen.clone()).map(|(weight, j)| weight * values[j][kv_head][i]);
                    mixed.sum::<f64>() / total
                }));
            }
        }
        out
    }

    /// The kernel over all steps, cut into calls of `cuts` steps in turn, after `before` steps and with that cache.
    pub(crate) fn attend(&self, level: Level, cuts: &[usize], before: u64, cache: &mut [f32]) -> Vec<f32> {
        self.attend_on(&Threads::new(1), level, cuts, before, cache)
    }

    fn attend_on(&self, threads: &Threads, level: Level, cuts: &[usize], before: u64, cache: &mut [f32]) -> Vec<f32> {
        let Attention { heads, kv_heads, head_dim, .. } = self.shape;
        let (width, out_width) = ((heads + 2 * kv_heads) * head_dim, heads * head_dim);
        let mut out = vec![f32::NAN; self.count() * out_width];
        let (mut from, mut cuts) = (0, cuts.iter().cycle());
        while from < self.count() {
            let steps = cuts.next().map_or(1, |&cut| cut.min(self.count() - from));
            let new = New {
                position: before + from as u64,
                rotary: &self.rotary[from * head_dim..][..steps * head_dim],
                qkv: &self.qkv[from * width..][..steps * width],
            };
            let out = &mut out[from * out_width..][..steps * out_width];
            attend(level, &self.shape, new, cache, out, threads);
            from += steps;
        }
        out
    }

    pub(crate) fn empty_cache(&self) -> Vec<f32> {
        vec![0.0; cache_len(&self.shape)]
    }
}

/// Head counts (grouped queries among them), sizes that are and are not whole vectors, windows on both sides of the
/// kernel's own block.
pub(crate) fn shapes() -> impl Iterator<Item = Attention> {
    let heads = [(1, 1), (2, 2), (4, 2), (3, 1)];
    let shapes = [2, 6, 20, 64].into_iter().flat_map(|dim| [1, 2, 5, 16, 17, 40].map(|window| (dim, window)));
    shapes.enumerate().map(move |(i, (head_dim, window))| {
        let (heads, kv_heads) = heads[i % heads.len()];
        Attention { heads, kv_heads, head_dim, window }
    })
}

#[test]
fn as_defined_while_the_window_fills_and_long_after() {
    for (seed, shape) in shapes().enumerate() {
        // The ring goes round three times.
        let steps = Steps::new(seed as u64, shape, 3 * (shape.window + 16) + 5);
        let exact = steps.plain();
        let dim = shape.head_dim as f64;
        // A turned value is below sqrt 2, so a score is below 2 sqrt(dim), with a rounding for each of its operations.
        // The exponential makes the score's error the weight's relative one, twice: once more in the sum of weights.
        // To which come a rounding for each position in both sums, and the exponential's own.
        let score_error = (2.0 * dim + 8.0) * ROUNDING * 2.0 * dim.sqrt();
        let allowed = 2.0 * score_error + (4 * shape.window + 20) as f64 * ROUNDING;
        for level in Level::available() {
            let out = steps.attend(level, &[steps.count()], 0, &mut steps.empty_cache());
            for (i, (&y, exact)) in out.iter().zip(&exact).enumerate() {
                assert!((f64::from(y) - exact).abs() <= allowed, "{level:?} {shape:?} at {i}: {y} is not {exact}");
            }
        }
    }
}

#[test]
fn any_cut_gives_the_same_bits() {
    for (seed, shape) in shapes().enumerate() {
        let steps = Steps::new(seed as u64, shape, 100);
        for level in Level::available() {
            let whole = steps.attend(level, &[100], 0, &mut steps.empty_cache());
            for cuts in [&[1][..], &[2], &[3, 16], &[15, 17, 1], &[33, 4]] {
                let cut = steps.attend(level, cuts, 0, &mut steps.empty_cache());
                assert_eq!(bits(&cut), bits(&whole), "{level:?} {shape:?} cut by {cuts:?}");
            }
        }
    }
}

#[test]
fn a_full_window_is_the_same_at_any_position() {
    for (seed, shape) in shapes().enumerate() {
        let steps = Steps::new(seed as u64, shape, 2 * shape.window + 20);
        let filled = (shape.window - 1) * shape.heads * shape.head_dim;
        for level in Level::available() {
            let early = steps.attend(level, &[7], 0, &mut steps.empty_cache());
            for before in [1, 13, (1 << 32) - 3, (1 << 40) + 12_345, (1 << 62) + 7] {
                let late = steps.attend(level, &[7], before, &mut steps.empty_cache());
                assert_eq!(bits(&late[filled..]), bits(&early[filled..]), "{level:?} {shape:?} after {before}");
            }
        }
    }
}

#[test]
fn nothing_outside_the_window_is_seen() {
    for (seed, shape) in shapes().enumerate() {
        let steps = Steps::new(seed as u64, shape, shape.window + 40);
        for level in Level::available() {
            let clean = steps.attend(level, &[9], 0, &mut steps.empty_cache());
            let used = steps.attend(level, &[9], 0, &mut vec![1e6; cache_len(&shape)]);
            assert_eq!(bits(&used), bits(&clean), "{level:?} {shape:?}");
        }
    }
}

#[test]
fn what_is_written_is_said() {
    for (seed, shape) in shapes().enumerate() {
        for (before, count) in [(0, 1), (0, 65), (63, 2), (120, 20), ((1 << 40) + 5, 300)] {
            let steps = Steps::new(seed as u64, shape, count);
            let mut said = vec![false; cache_len(&shape)];
            for at in written(&shape, before, count).flat_map(|strips| strips.runs().flatten()) {
                assert!(!said[at], "{shape:?} at {at} twice");
                said[at] = true;
            }
            let mut cache = vec![f32::NAN; cache_len(&shape)];
            steps.attend(Level::detect(), &[count], before, &mut cache);
            let changed: Vec<bool> = cache.iter().map(|value| !value.is_nan()).collect();
            assert_eq!(changed, said, "{shape:?}, {count} steps after {before}");
        }
    }
}

#[test]
fn scores_far_apart() {
    // The greatest score is taken off first: neither overflow nor a sum of zero.
    let shape = Attention { heads: 1, kv_heads: 1, head_dim: 4, window: 8 };
    let mut steps = Steps::new(1, shape, 20);
    for qkv in steps.qkv.chunks_exact_mut(12) {
        qkv[..8].iter_mut().for_each(|value| *value *= 1e4);
    }
    let exact = |step: usize| {
        let query = steps.head(step, 0, true);
        let score = |&j: &usize| steps.head(j, 1, true).iter().zip(&query).map(|(k, q)| k * q).sum::<f64>();
        let seen = (step + 1).saturating_sub(8)..step + 1;
        let best = seen.max_by(|a, b| score(a).total_cmp(&score(b))).unwrap_or(step);
        steps.head(best, 2, false)
    };
    for level in Level::available() {
        let out = steps.attend(level, &[5], 0, &mut steps.empty_cache());
        for (step, out) in out.chunks_exact(4).enumerate() {
            for (&y, exact) in out.iter().zip(exact(step)) {
                // One weight is 1, the others vanish: the value itself, multiplied once.
                assert!((f64::from(y) - exact).abs() <= 4.0 * ROUNDING, "{level:?} at {step}: {y} is not {exact}");
            }
        }
    }
}

#[test]
fn no_steps() {
    let shape = Attention { heads: 2, kv_heads: 1, head_dim: 6, window: 3 };
    let mut cache = vec![1.0; cache_len(&shape)];
    for level in Level::available() {
        attend(level, &shape, New { position: 5, rotary: &[], qkv: &[] }, &mut cache, &mut [], &Threads::new(1));
    }
    assert!(cache.iter().all(|&value| value == 1.0));
}

#[test]
fn the_same_on_any_number_of_threads() {
    for shape in [(8, 8), (8, 4), (3, 3), (6, 1)].map(|(heads, kv_heads)| Attention {
        heads,
        kv_heads,
        head_dim: 20,
        window: 60,
    }) {
        let steps = Steps::new(9, shape, 150);
        for level in Level::available() {
            let (mut cache, mut shared_cache) = (steps.empty_cache(), steps.empty_cache());
            let alone = steps.attend(level, &[75], 0, &mut cache);
            for threads in [2, 3] {
                shared_cache.fill(0.0);
                let shared = steps.attend_on(&Threads::new(threads), level, &[75], 0, &mut shared_cache);
                assert_eq!(bits(&shared), bits(&alone), "{level:?} {shape:?}, {threads} threads");
                assert_eq!(bits(&shared_cache), bits(&cache), "{level:?} {shape:?}, {threads} threads: cache");
            }
        }
    }
}
