//! Causal attention over a bounded window, with rotary positions.

use candle_core::{D, Device, Tensor};
use mimi_kernels::{Steps, attend, cache_len};

use super::{Backend, Host, Signal, host};
use crate::Result;
use crate::state::{Block, Slot, StateLayout};

pub(crate) use mimi_kernels::Attention as AttentionShape;

/// The angles by which queries and keys are turned (Su et al. 2021, half-split order).
///
/// The frequencies are float32 as in Transformers; their product with the position is taken in float64, so that the
/// angles of a stream stay exact after days.
pub(crate) struct Rotary {
    frequencies: Vec<f64>,
    device: Device,
}

impl Rotary {
    pub(crate) fn new(backend: &Backend, head_dim: usize, theta: f64) -> Self {
        let frequency = |i: usize| {
            let exponent = (2 * i) as f32 / head_dim as f32;
            f64::from(1.0 / (theta as f32).powf(exponent))
        };
        Self { frequencies: (0..head_dim / 2).map(frequency).collect(), device: backend.device().clone() }
    }

    /// `(rows, steps, head_dim)`: for each step of a block the cosines, then the sines.
    pub(crate) fn angles(&self, steps: usize, block: &Block<'_>) -> Result<Tensor> {
        let rows = block.rows.len();
        let mut table = Vec::with_capacity(rows * steps * 2 * self.frequencies.len());
        for row in 0..rows {
            for step in 0..steps as u64 {
                let position = (block.position(row) + step) as f64;
                table.extend(self.frequencies.iter().map(|frequency| (position * frequency).cos() as f32));
                table.extend(self.frequencies.iter().map(|frequency| (position * frequency).sin() as f32));
            }
        }
        Ok(Tensor::from_vec(table, (rows, steps, 2 * self.frequencies.len()), &self.device)?)
    }
}

/// Attention of each step to the `window` steps that end with it.
pub(crate) struct Attention {
    shape: AttentionShape,
    cache: Slot,
    body: Body,
}

enum Body {
    /// The cache is the kernel's ring.
    Kernels(Host),
    /// The cache is the last `window - 1` keys and values, `(window - 1, 2 kv_heads * head_dim)`.
    Composed,
}

impl Attention {
    pub(crate) fn new(backend: &Backend, layout: &mut StateLayout, shape: AttentionShape) -> Self {
        let (cache, body) = match backend {
            Backend::Kernels(host) => (layout.slot(&[cache_len(&shape)]), Body::Kernels(host.clone())),
            Backend::Composed(_) => {
                (layout.slot(&[shape.window - 1, 2 * shape.kv_heads * shape.head_dim]), Body::Composed)
            }
        };
        Self { shape, cache, body }
    }

    /// `qkv` `(rows, steps, (heads + 2 kv_heads) * head_dim)` to `(rows, steps, heads * head_dim)`.
    pub(crate) fn forward(&self, qkv: &Tensor, rotary: &Tensor, block: &Block<'_>) -> Result<Signal> {
        match &self.body {
            Body::Kernels(host) => self.attend(host, qkv, rotary, block),
            Body::Composed => Ok(self.compose(qkv, rotary, block)?.into()),
        }
    }

    fn attend(&self, host: &Host, qkv: &Tensor, rotary: &Tensor, block: &Block<'_>) -> Result<Signal> {
        let (rows, steps, width) = qkv.dims3()?;
        let (angles, out_width) = (steps * self.shape.head_dim, self.shape.heads * self.shape.head_dim);
        let cache_len = cache_len(&self.shape);
        host::with_floats(qkv, |qkv| {
            host::with_floats(rotary, |rotary| {
                Signal::write(host, (rows, steps, out_width), |out| {
                    host::change(block.slot(self.cache), |cache| {
                        let parts = qkv.chunks_exact(steps * width).zip(out.chunks_exact_mut(steps * out_width));
                        for (i, (qkv, out)) in parts.enumerate() {
                            let cache = &mut cache[block.rows[i] * cache_len..][..cache_len];
                            let new =
                                Steps { position: block.position(i), rotary: &rotary[i * angles..][..angles], qkv };
                            attend(host.level, &self.shape, new, cache, out, &host.threads);
                        }
                    })
                })
            })
        })
    }

    fn compose(&self, qkv: &Tensor, rotary: &Tensor, block: &Block<'_>) -> Result<Tensor> {
        let AttentionShape { heads, kv_heads, head_dim, window } = self.shape;
        let (rows, steps, _) = qkv.dims3()?;
        let kv_width = kv_heads * head_dim;
        // (rows, heads, steps, head_dim)
        let split = |x: &Tensor, from: usize, heads: usize| -> Result<Tensor> {
            let (rows, steps, _) = x.dims3()?;
            let part = x.narrow(2, from, heads * head_dim)?.reshape((rows, steps, heads, head_dim))?;
            Ok(part.transpose(1, 2)?.contiguous()?)
        };
        let query = rotate(&split(qkv, 0, heads)?, rotary)?;
        let key = rotate(&split(qkv, heads * head_dim, kv_heads)?, rotary)?;
        let key = key.transpose(1, 2)?.reshape((rows, steps, kv_width))?;
        let value = qkv.narrow(2, heads * head_dim + kv_width, kv_width)?;
        let seen = Tensor::cat(&[&block.gather(self.cache)?, &Tensor::cat(&[&key, &value], 2)?], 1)?;
        let repeat = |x: Tensor| -> Result<Tensor> {
            let (rows, kv_heads, length, dim) = x.dims4()?;
            let x = x.unsqueeze(2)?.expand((rows, kv_heads, heads / kv_heads, length, dim))?;
            Ok(x.reshape((rows, heads, length, dim))?)
        };
        let (keys, values) = (repeat(split(&seen, 0, kv_heads)?)?, repeat(split(&seen, kv_width, kv_heads)?)?);

        let scores = (query.matmul(&keys.t()?.contiguous()?)? / (head_dim as f64).sqrt())?;
        let scores = scores.broadcast_add(&self.mask(steps, qkv.device(), block)?)?;
        let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        let out = weights.matmul(&values)?.transpose(1, 2)?.reshape((rows, steps, heads * head_dim))?;
        if window > 1 {
            block.scatter(self.cache, &seen.narrow(1, steps, window - 1)?)?;
        }
        Ok(out)
    }

    /// `(rows, 1, steps, window - 1 + steps)`: zero where a step may look, minus infinity elsewhere.
    fn mask(&self, steps: usize, device: &Device, block: &Block<'_>) -> Result<Tensor> {
        let before = self.shape.window - 1;
        let mut mask = Vec::with_capacity(block.rows.len() * steps * (before + steps));
        for row in 0..block.rows.len() {
            let empty = before - block.position(row).min(before as u64) as usize;
            for step in 0..steps {
                let visible = step.max(empty)..=step + before;
                mask.extend((0..before + steps).map(|j| if visible.contains(&j) { 0.0 } else { f32::NEG_INFINITY }));
            }
        }
        Ok(Tensor::from_vec(mask, (block.rows.len(), 1, steps, before + steps), device)?)
    }
}

/// Turns each pair `(i, i + head_dim / 2)` of `x` `(rows, heads, steps, head_dim)` by its angle.
fn rotate(x: &Tensor, rotary: &Tensor) -> Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    let rotary = rotary.unsqueeze(1)?;
    let (cosines, sines) = (rotary.narrow(3, 0, half)?, rotary.narrow(3, half, half)?);
    let (low, high) = (x.narrow(3, 0, half)?, x.narrow(3, half, half)?);
    let turned_low = (low.broadcast_mul(&cosines)? - high.broadcast_mul(&sines)?)?;
    let turned_high = (high.broadcast_mul(&cosines)? + low.broadcast_mul(&sines)?)?;
    Ok(Tensor::cat(&[&turned_low, &turned_high], 3)?)
}
