//! Attention with the window in the kernel's ring.

use mimi_kernels::{self as kernels, Steps, attend, cache_len, written};

use super::{Kernels, host};
use crate::error::Result;
use crate::finite::check_finite_with_room;
use crate::ops::state::{Block, Slot, Slots};
use crate::ops::{Angles, Attention, AttentionShape, Signal};

pub(super) struct Ring {
    shape: kernels::Attention,
    rows_per_frame: usize,
    cache: Slot,
    kernels: Kernels,
}

impl Ring {
    pub(super) fn new(kernels: &Kernels, memory: &mut Slots, shape: AttentionShape) -> Self {
        let AttentionShape { heads, kv_heads, head_dim, window, rows_per_frame } = shape;
        let shape = kernels::Attention { heads, kv_heads, head_dim, window };
        Self { shape, rows_per_frame, cache: memory.slot(&[cache_len(&shape)]), kernels: kernels.clone() }
    }
}

impl Attention for Ring {
    fn forward(&self, qkv: &Signal, angles: &Angles, block: &Block<'_>) -> Result<Signal> {
        let qkv = qkv.tensor()?;
        let (rows, steps, width) = qkv.dims3()?;
        let (step_angles, out_width) = (steps * self.shape.head_dim, self.shape.heads * self.shape.head_dim);
        let cache_len = cache_len(&self.shape);
        let Kernels { level, threads, .. } = &self.kernels;
        host::with_floats(qkv, |qkv| {
            // What will be remembered, once keys are turned by their angles.
            check_finite_with_room(qkv, "queries, keys or values")?;
            host::with_floats(angles.table.tensor()?, |rotary| {
                self.kernels.write((rows, steps, out_width), |out| {
                    let position = |i| block.position(i, self.rows_per_frame);
                    let cache = block.slot_to_write(self.cache, |i| written(&self.shape, position(i), steps))?;
                    host::change(cache, |cache| {
                        let parts = qkv.chunks_exact(steps * width).zip(out.chunks_exact_mut(steps * out_width));
                        for (i, (qkv, out)) in parts.enumerate() {
                            let cache = &mut cache[block.rows[i] * cache_len..][..cache_len];
                            let rotary = &rotary[i * step_angles..][..step_angles];
                            let new = Steps { position: position(i), rotary, qkv };
                            attend(*level, &self.shape, new, cache, out, threads);
                        }
                    })
                })
            })
        })
    }

    fn slot(&self) -> Slot {
        self.cache
    }

    fn canonical_len(&self) -> usize {
        (self.shape.window - 1) * 2 * self.shape.kv_heads * self.shape.head_dim
    }

    fn to_canonical(&self, kept: &[f32], frames: u64) -> Result<Vec<f32>> {
        Ok(kernels::window_of_cache(&self.shape, kept, frames * self.rows_per_frame as u64))
    }

    fn of_canonical(&self, window: &[f32], frames: u64) -> Result<Vec<f32>> {
        Ok(kernels::cache_of_window(&self.shape, window, frames * self.rows_per_frame as u64))
    }
}
