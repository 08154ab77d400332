//! Causal attention over a bounded window.

use mimi_kernels as kernels;

use super::{Launch, Rows, arguments, faults, floats, grid_rows, number};
use crate::{Error, Gpu, Result, Span};

/// Attention from each new step to the window that ends with it; keys and values are kept in the rows' rings.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// The layer's shape.
    pub shape: kernels::Attention,
    /// Steps of a frame: what a row's position is counted in.
    pub steps_per_frame: usize,
    /// Where the ring lies in the state of a row, in floats: `mimi_kernels::cache_len` of them, in the CPU's order.
    pub ring_at: usize,
    /// `(rows, steps, (heads + 2 kv_heads) * head_dim)`.
    pub qkv: Span<'a>,
    /// `(rows, steps, head_dim)`: for each step the cosines, then the sines of its angles.
    pub rotary: Span<'a>,
    /// `(rows, steps, heads * head_dim)`.
    pub out: Span<'a>,
    /// Words of [`Fault`](super::Fault).
    pub faults: Span<'a>,
}

arguments! {
    pub(in crate::launch) struct AttentionArguments {
        qkv: u64,
        rotary: u64,
        out: u64,
        sessions: u64,
        faults: u64,
        offset: u64,
        steps: u32,
        first: u32,
        count: u32,
        together: u32,
        heads: u32,
        kv_heads: u32,
        head_dim: u32,
        window: u32,
        capacity: u32,
        steps_per_frame: u32,
        at_once: u32,
        ahead: u32,
        scale: f32,
        padding: u32,
    }
}

/// Steps that are answered before the next ones enter the ring: more would overwrite what the first of them sees.
const STEPS: usize = 16;

/// Positions in a tile of keys.
const TILE: usize = 64;

/// Queries that a block can answer at once, and positions of which a thread can fetch values at once.
const QUERIES: usize = 4;
const AHEAD: usize = 32;

/// Shared memory in bytes that every device gives without being asked, less what the kernel has besides.
const SHARED: usize = (48 << 10) - 64;

/// The most that any device of interest can give to a block.
const MOST_SHARED: usize = (64 << 10) - 64;

/// Attends from each step of each row. Up to 16 steps are one launch; more are as many launches as they take. A call of more
/// than 16 steps overwrites keys and values that the rows' next step would see if the call were taken back.
///
/// # Errors
/// [`Error::Shape`] where lengths differ or the shape is too large, and those of a launch.
pub fn attention(gpu: &Gpu, rows: &Rows<'_>, attention: &Attention<'_>) -> Result<()> {
    let blocks = 2 * gpu.info().multiprocessors as usize;
    prepare(rows, attention, blocks)?.iter().try_for_each(|launch| launch.on(gpu))
}

/// The launches, where so many blocks fill the device.
pub(super) fn prepare(rows: &Rows<'_>, own: &Attention<'_>, blocks: usize) -> Result<Vec<Launch<AttentionArguments>>> {
    let kernels::Attention { heads, kv_heads, head_dim, window } = own.shape;
    let whole_heads = kv_heads > 0 && heads > 0 && heads % kv_heads == 0;
    if !whole_heads || head_dim == 0 || head_dim % 2 == 1 || window == 0 {
        return Err(Error::Shape(format!("expected whole heads and a window, got {:?}", own.shape)));
    }
    let Some(sessions) = rows.sessions else {
        return Err(Error::Shape("expected sessions for attention, got none".into()));
    };
    let served = heads / kv_heads;
    // What is counted below cannot overflow then.
    number("positions", window)?;
    number("heads", heads)?;
    let seen = window + STEPS - 1;
    // Half of the threads find scores, a position each; the other half fetch values, a channel each.
    let half = [64, 128, 256].into_iter().find(|&half| half >= seen.max(head_dim)).unwrap_or(256);
    if head_dim > half {
        return Err(Error::Shape(format!("expected heads of at most {half} floats, got {head_dim}")));
    }
    let most_queries = QUERIES.min(2 * half / head_dim);
    // Few blocks would leave multiprocessors idle: then each takes one step.
    let few = rows.rows * kv_heads * rows.steps.min(STEPS) <= blocks;
    let together = if few { 1 } else { (most_queries / served).max(1) };
    let shared = |queries: usize, ahead: usize| {
        let scores = queries * window.next_multiple_of(16);
        let values = half / head_dim * head_dim * ahead;
        (QUERIES * head_dim + STEPS * head_dim + scores + values) * size_of::<f32>()
    };
    let queries = most_queries.min(together * served);
    let choices = [(queries, AHEAD, SHARED), (queries, AHEAD / 4, SHARED), (1, AHEAD / 4, SHARED), (1, 4, MOST_SHARED)];
    let Some((at_once, ahead, _)) = choices.into_iter().find(|&(queries, ahead, most)| shared(queries, ahead) <= most)
    else {
        return Err(Error::Shape(format!("expected a window that fits shared memory, got one of {window} positions")));
    };
    let width = heads.saturating_add(kv_heads.saturating_mul(2)).saturating_mul(head_dim);
    let arguments = AttentionArguments {
        qkv: floats(own.qkv, &rows.shape(width), "queries, keys and values")?,
        rotary: floats(own.rotary, &rows.shape(head_dim), "angles")?,
        out: floats(own.out, &rows.shape(heads.saturating_mul(head_dim)), "the output of attention")?,
        sessions: Rows { sessions: Some(sessions), ..*rows }.sessions()?,
        faults: faults(own.faults)?,
        offset: own.ring_at as u64,
        steps: number("steps", rows.steps)?,
        first: 0,
        count: 0,
        together: together as u32,
        heads: number("heads", heads)?,
        kv_heads: number("heads", kv_heads)?,
        head_dim: number("floats of a head", head_dim)?,
        window: number("positions", window)?,
        capacity: number("positions", (window - 1 + STEPS).next_multiple_of(TILE))?,
        steps_per_frame: number("steps of a frame", own.steps_per_frame)?,
        at_once: at_once as u32,
        ahead: ahead as u32,
        scale: 1.0 / (head_dim as f32).sqrt(),
        padding: 0,
    };
    if rows.rows == 0 {
        return Ok(Vec::new());
    }
    let launches = (0..rows.steps).step_by(STEPS).map(|first| {
        let count = STEPS.min(rows.steps - first);
        let grid = [number("heads", kv_heads * count.div_ceil(together))?, grid_rows(rows.rows)?, 1];
        let arguments = AttentionArguments { first: first as u32, count: count as u32, ..arguments };
        let shared = shared(at_once, ahead) as u32;
        Ok(Launch { name: "attention", grid, block: 2 * half as u32, shared, arguments })
    });
    launches.collect()
}
