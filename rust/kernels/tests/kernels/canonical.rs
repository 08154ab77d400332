//! The window of an attention cache in the order of time, and caches made of it.

use mimi_kernels::{Attention, cache_len, cache_of_window, simd::Level, window_of_cache};

use crate::attention::{Steps, shapes};
use crate::{ROUNDING, bits};

/// The steps from one number to another.
fn part(steps: &Steps, from: usize, to: usize) -> Steps {
    let Attention { heads, kv_heads, head_dim, .. } = steps.shape;
    let width = (heads + 2 * kv_heads) * head_dim;
    Steps {
        shape: steps.shape,
        rotary: steps.rotary[from * head_dim..to * head_dim].to_vec(),
        qkv: steps.qkv[from * width..to * width].to_vec(),
    }
}

/// Steps seen: below, at and above the window, and when the ring has gone round, at several of its phases.
fn counts(shape: &Attention) -> impl Iterator<Item = usize> + use<> {
    let window = shape.window;
    [0, 1, window / 2, window - 1, window, window + 1, window + 30].into_iter().chain((0..5).map(|i| 150 + 29 * i))
}

#[test]
fn a_cache_goes_on_from_its_window() {
    for (seed, shape) in shapes().enumerate() {
        let more = shape.window + 20;
        for seen in counts(&shape) {
            let steps = Steps::new(seed as u64, shape, seen + more);
            // At positions beyond 32 bits too: a ring's phase comes from the position.
            for before in [0, (1 << 40) + 12_345] {
                for level in Level::available() {
                    let mut cache = steps.empty_cache();
                    part(&steps, 0, seen).attend(level, &[7], before, &mut cache);
                    let position = before + seen as u64;
                    let window = window_of_cache(&shape, &cache, position);
                    let mut fresh = cache_of_window(&shape, &window, position);
                    assert_eq!(bits(&window_of_cache(&shape, &fresh, position)), bits(&window), "{shape:?}");
                    let rest = part(&steps, seen, seen + more);
                    let went_on = rest.attend(level, &[5], position, &mut cache);
                    let taken_up = rest.attend(level, &[3, 16], position, &mut fresh);
                    assert_eq!(bits(&taken_up), bits(&went_on), "{level:?} {shape:?} after {before} + {seen}");
                }
            }
        }
    }
}

#[test]
fn a_window_has_the_last_keys_and_values_in_the_order_of_time() {
    for (seed, shape) in shapes().enumerate() {
        let Attention { heads, kv_heads, head_dim, window } = shape;
        for seen in counts(&shape) {
            let steps = Steps::new(seed as u64, shape, seen.max(1));
            let steps = part(&steps, 0, seen);
            let mut cache = vec![1e6; cache_len(&shape)];
            steps.attend(Level::detect(), &[9], 0, &mut cache);
            let found = window_of_cache(&shape, &cache, seen as u64);
            let mut expected = Vec::new();
            for row in 0..window - 1 {
                match (seen + row).checked_sub(window - 1) {
                    Some(step) => {
                        expected.extend((heads..heads + kv_heads).flat_map(|head| steps.head(step, head, true)));
                        let values = heads + kv_heads..heads + 2 * kv_heads;
                        expected.extend(values.flat_map(|head| steps.head(step, head, false)));
                    }
                    None => expected.extend(vec![0.0; 2 * kv_heads * head_dim]),
                }
            }
            assert_eq!(found.len(), expected.len());
            for (&found, expected) in found.iter().zip(expected) {
                // A turned key is two products of values up to 1, and their sum.
                assert!((f64::from(found) - expected).abs() <= 3.0 * ROUNDING, "{shape:?}: {found} is not {expected}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "attention: window")]
fn a_window_has_its_shapes_length() {
    cache_of_window(&Attention { heads: 1, kv_heads: 1, head_dim: 2, window: 3 }, &[0.0; 4], 1);
}
