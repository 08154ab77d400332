//! Causal attention over a bounded window, with rotary positions.

use candle_core::{D, Tensor};

use crate::error::Result;
use crate::ops::state::{Block, Slot, Slots};
use crate::ops::{Angles, Attention, AttentionShape, Signal};

pub(super) struct Windowed {
    shape: AttentionShape,
    /// The last `window - 1` keys and values, `(window - 1, 2 kv_heads * head_dim)`: the canonical form.
    kept: Slot,
}

impl Windowed {
    pub(super) fn new(memory: &mut Slots, shape: AttentionShape) -> Self {
        Self { shape, kept: memory.slot(&[shape.window - 1, shape.step_len()]) }
    }

    /// The canonical form with zeros before the start.
    fn since_start(&self, window: &[f32], frames: u64) -> Vec<f32> {
        let step = self.shape.step_len();
        let seen = frames * self.shape.rows_per_frame as u64;
        let empty = (window.len() / step).saturating_sub(usize::try_from(seen).unwrap_or(usize::MAX));
        let mut window = window.to_vec();
        window[..empty * step].fill(0.0);
        window
    }
}

impl Attention for Windowed {
    fn forward(&self, qkv: &Signal, angles: &Angles, block: &Block<'_>) -> Result<Signal> {
        let AttentionShape { heads, kv_heads, head_dim, window, .. } = self.shape;
        let qkv = qkv.tensor()?;
        let (rows, steps, _) = qkv.dims3()?;
        let table = angles.table.tensor()?;
        let kv_width = kv_heads * head_dim;
        // (rows, heads, steps, head_dim)
        let split = |x: &Tensor, from: usize, heads: usize| -> Result<Tensor> {
            let (rows, steps, _) = x.dims3()?;
            let part = x.narrow(2, from, heads * head_dim)?.reshape((rows, steps, heads, head_dim))?;
            Ok(part.transpose(1, 2)?.contiguous()?)
        };
        let query = rotate(&split(qkv, 0, heads)?, table)?;
        let key = rotate(&split(qkv, heads * head_dim, kv_heads)?, table)?;
        let key = key.transpose(1, 2)?.reshape((rows, steps, kv_width))?;
        let value = qkv.narrow(2, heads * head_dim + kv_width, kv_width)?;
        let seen = Tensor::cat(&[&block.gather(self.kept)?, &Tensor::cat(&[&key, &value], 2)?], 1)?;
        let repeat = |x: Tensor| -> Result<Tensor> {
            let (rows, kv_heads, length, dim) = x.dims4()?;
            let x = x.unsqueeze(2)?.expand((rows, kv_heads, heads / kv_heads, length, dim))?;
            Ok(x.reshape((rows, heads, length, dim))?)
        };
        let (keys, values) = (repeat(split(&seen, 0, kv_heads)?)?, repeat(split(&seen, kv_width, kv_heads)?)?);

        let scores = (query.matmul(&keys.t()?)? / (head_dim as f64).sqrt())?;
        let scores = match &angles.mask {
            Some(mask) => scores.broadcast_add(mask)?,
            None => scores,
        };
        let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        let out = weights.matmul(&values)?.transpose(1, 2)?.reshape((rows, steps, heads * head_dim))?;
        if window > 1 {
            block.scatter(self.kept, &seen.narrow(1, steps, window - 1)?)?;
        }
        Signal::of(out)
    }

    fn slot(&self) -> Slot {
        self.kept
    }

    fn canonical_len(&self) -> usize {
        (self.shape.window - 1) * self.shape.step_len()
    }

    fn to_canonical(&self, kept: &[f32], frames: u64) -> Result<Vec<f32>> {
        Ok(self.since_start(kept, frames))
    }

    fn of_canonical(&self, window: &[f32], frames: u64) -> Result<Vec<f32>> {
        Ok(self.since_start(window, frames))
    }
}

/// Turns each pair `(i, i + head_dim / 2)` of `x` `(rows, heads, steps, head_dim)` by its angle.
fn rotate(x: &Tensor, table: &Tensor) -> Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    let table = table.unsqueeze(1)?;
    let (cosines, sines) = (table.narrow(3, 0, half)?, table.narrow(3, half, half)?);
    let (low, high) = (x.narrow(3, 0, half)?, x.narrow(3, half, half)?);
    let turned_low = (low.broadcast_mul(&cosines)? - high.broadcast_mul(&sines)?)?;
    let turned_high = (high.broadcast_mul(&cosines)? + low.broadcast_mul(&sines)?)?;
    Ok(Tensor::cat(&[&turned_low, &turned_high], 3)?)
}
