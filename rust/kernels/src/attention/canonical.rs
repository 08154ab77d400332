//! The window of a session in the order of time, as it does not depend on how a cache is laid out.

use super::{Attention, TILE, cache_len};

/// Where a position's keys and values lie in a cache.
struct Place<'a> {
    shape: &'a Attention,
    slot: usize,
}

impl Place<'_> {
    /// The index of a key in the cache.
    fn key(&self, head: usize, channel: usize) -> usize {
        let tile = self.slot / TILE * TILE * self.shape.head_dim;
        head * self.shape.head_cache_len() + tile + channel * TILE + self.slot % TILE
    }

    /// The index of a value in the cache.
    fn value(&self, head: usize, channel: usize) -> usize {
        let keys = self.shape.capacity() * self.shape.head_dim;
        head * self.shape.head_cache_len() + keys + self.slot * self.shape.head_dim + channel
    }

    /// For each float of a step in the canonical form, its index in the cache.
    fn indices(&self) -> impl Iterator<Item = usize> {
        let Attention { kv_heads, head_dim, .. } = *self.shape;
        let channels = (0..kv_heads).flat_map(move |head| (0..head_dim).map(move |channel| (head, channel)));
        let keys = channels.clone().map(|(head, channel)| self.key(head, channel));
        keys.chain(channels.map(|(head, channel)| self.value(head, channel)))
    }
}

/// The last `window - 1` positions after `seen` steps that a session has had, each with its row in the canonical form.
fn kept(shape: &Attention, seen: u64) -> impl Iterator<Item = (usize, Place<'_>)> {
    let before = shape.window - 1;
    let there = before.min(usize::try_from(seen).unwrap_or(usize::MAX));
    (before - there..before).map(move |row| {
        let position = seen - (before - row) as u64;
        (row, Place { shape, slot: (position % shape.capacity() as u64) as usize })
    })
}

fn step_len(shape: &Attention) -> usize {
    2 * shape.kv_heads * shape.head_dim
}

/// The turned keys and the values of the last `window - 1` steps that a cache has seen, in the order of time: each step
/// the keys of all heads, then their values; zeros before the first step.
///
/// # Panics
/// If the cache does not have the shape's length.
pub fn window_of_cache(shape: &Attention, cache: &[f32], seen: u64) -> Vec<f32> {
    assert_eq!(cache.len(), cache_len(shape), "attention: cache");
    let step_len = step_len(shape);
    let mut window = vec![0.0; (shape.window - 1) * step_len];
    for (row, place) in kept(shape, seen) {
        let step = &mut window[row * step_len..][..step_len];
        step.iter_mut().zip(place.indices()).for_each(|(value, at)| *value = cache[at]);
    }
    window
}

/// The inverse of [`window_of_cache`]: a cache that goes on as the one which `seen` steps have filled.
///
/// # Panics
/// If the window does not have the shape's length.
pub fn cache_of_window(shape: &Attention, window: &[f32], seen: u64) -> Vec<f32> {
    let step_len = step_len(shape);
    assert_eq!(window.len(), (shape.window - 1) * step_len, "attention: window");
    let mut cache = vec![0.0; cache_len(shape)];
    for (row, place) in kept(shape, seen) {
        let step = &window[row * step_len..][..step_len];
        step.iter().zip(place.indices()).for_each(|(&value, at)| cache[at] = value);
    }
    cache
}
