//! The dense product of the codec: rows of the input times packed weights, with what follows done on the way out.

mod multiply;

use std::ops::{Deref, Range};

use crate::column::Column;
use crate::epilogue::{Epilogue, finish};
use crate::packed::{PackedMatrix, Panels, VECTORS_PER_PANEL};
use crate::rows::{Rows, Runs};
use crate::simd::{Kernel, Simd};
use crate::threads::{Shared, Threads};

use multiply::{Int8, Rowwise, Stores};

/// The most rows of a tile of any level: more pointers than that do not fit the general registers.
const MAX_TILE_ROWS: usize = 8;

/// Depths that a sum is cut into: 512 x 32 floats of a panel stay in the second-level cache while all row tiles share them,
/// and parts of a sum that are added at the end lose fewer digits than one long sum.
const DEPTH_BLOCK: usize = 512;

/// `out[m, n] = activation(bias[n] + sum_k rows[m][k] * weights[k, n] + residual[m, n])`, `out` of shape
/// `(rows.len(), weights.columns())`.
///
/// A row may be made of several runs with gaps (a dilated convolution): run `i` of `run_length` floats starts at
/// `i * run_stride`; `run_length == depth` for rows in one piece.
///
/// Every sum is taken in the order of `k`, in parts that depend on the depth and the runs alone, whatever the number of rows
/// or threads.
///
/// # Panics
/// If the shapes do not agree.
pub fn product(
    rows: &Rows<'_>,
    (run_length, run_stride): (usize, usize),
    weights: &PackedMatrix,
    epilogue: Epilogue<'_>,
    out: &mut [f32],
    threads: &Threads,
) {
    let (depth, columns) = (weights.depth, weights.columns);
    assert!(
        run_length > 0 && depth > 0 && depth.is_multiple_of(run_length),
        "runs of {run_length} do not make up {depth}"
    );
    let end = (depth / run_length - 1).checked_mul(run_stride).and_then(|last| last.checked_add(run_length));
    assert!(end.is_some_and(|end| end <= rows.span), "runs reach over the row's end");
    assert_eq!(Some(out.len()), rows.len().checked_mul(columns), "output of {} x {columns}", rows.len());
    if let Some(residual) = epilogue.residual {
        assert_eq!(residual.len(), out.len(), "residual of {} x {columns}", rows.len());
    }
    if rows.is_empty() || columns == 0 {
        return;
    }
    let runs = Runs { length: run_length, stride: run_stride };
    let share = Share::of(rows.len(), weights, threads);
    let destination = Shared::new(out);
    threads.run(share.parts, |part| {
        let (panels, range) = share.part(part);
        // The parts write disjoint panels or rows of `out`.
        Job { rows, runs, weights, epilogue, out: destination.get(), panels, range }.run();
    });
}

/// The columns of one panel of [`product`] with one row, bit for bit: written where they lie in `out`, which is as long as
/// all columns.
///
/// # Panics
/// If the shapes do not agree.
pub(crate) fn panel_of_product(row: &[f32], weights: &PackedMatrix, panel: usize, out: &mut [f32]) {
    let (depth, columns) = (weights.depth, weights.columns);
    assert!(row.len() == depth && out.len() == columns && panel < weights.panel_count(), "panel {panel} of {columns}");
    let (rows, runs) = (Rows::contiguous(row, depth), Runs { length: depth, stride: 0 });
    let (panels, range) = (panel..panel + 1, 0..1);
    let out = out.as_mut_ptr();
    Job { rows: &rows, runs, weights, epilogue: Epilogue::default(), out, panels, range }.run();
}

/// How threads share a product: each reads its own share of the weights where there are few rows, else its own share of
/// the rows.
struct Share {
    parts: usize,
    panels: usize,
    rows: usize,
    by_panels: bool,
}

/// Rows are shared out in whole tiles of most levels.
const SHARED_ROWS: usize = 24;

impl Share {
    fn of(rows: usize, weights: &PackedMatrix, threads: &Threads) -> Self {
        let (panels, work) =
            (weights.panel_count(), rows.saturating_mul(weights.depth).saturating_mul(weights.columns));
        let enough = panels / 2 >= threads.count() && rows < weights.depth;
        let by_panels = enough || rows / SHARED_ROWS < threads.count();
        let most = if by_panels { panels } else { rows.div_ceil(SHARED_ROWS) };
        Self { parts: threads.parts(work).min(most), panels, rows, by_panels }
    }

    /// The panels and the rows of a part.
    fn part(&self, part: usize) -> (Range<usize>, Range<usize>) {
        let cut = |count: usize| count * part / self.parts..count * (part + 1) / self.parts;
        if self.by_panels {
            return (cut(self.panels), 0..self.rows);
        }
        let tiles = cut(self.rows.div_ceil(SHARED_ROWS));
        (0..self.panels, tiles.start * SHARED_ROWS..self.rows.min(tiles.end * SHARED_ROWS))
    }
}

struct Job<'a> {
    rows: &'a Rows<'a>,
    runs: Runs,
    weights: &'a PackedMatrix,
    epilogue: Epilogue<'a>,
    out: *mut f32,
    panels: Range<usize>,
    range: Range<usize>,
}

impl Job<'_> {
    fn run(self) {
        let Self { rows, runs, weights, epilogue, out, .. } = self;
        match &weights.panels {
            Panels::Column(values) => {
                let (weights, bias, range) = (values.deref(), weights.bias[0], self.range);
                self.weights.level.run(Column { rows, runs, weights, bias, epilogue, out, range });
            }
            Panels::Float32(values) => weights.level.run(Stored { job: self, panels: Rowwise(values.deref()) }),
            Panels::Bfloat16(values) => weights.level.run(Stored { job: self, panels: Rowwise(values.deref()) }),
            Panels::Int8(values, scales) => weights.level.run(Stored { job: self, panels: Int8(values, scales) }),
        }
    }
}

/// A job and the weights as they are stored.
struct Stored<'a, P> {
    job: Job<'a>,
    panels: P,
}

impl<P: Stores> Kernel for Stored<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.tiles(s.tile());
    }
}

impl<P: Stores> Stored<'_, P> {
    #[inline(always)]
    fn tiles<S: Simd>(&self, s: S) {
        let Job { rows: _, runs, weights, range, panels, .. } = &self.job;
        let depth = weights.depth;
        let share = P::share(s, range.len().div_ceil(S::TILE_ROWS).saturating_sub(1));
        for panel in panels.clone() {
            let mut from = 0;
            while from < depth {
                let in_run = from % runs.length;
                // Blocks end where groups do: a group's sum is the same however many rows share it.
                let to = ((from / DEPTH_BLOCK + 1) * DEPTH_BLOCK).min(from - in_run + runs.length);
                let offset = from / runs.length * runs.stride + in_run;
                let mut slab = Slab { panel, from, to, offset, ahead: None };
                let mut tile = 0;
                let mut row = range.start;
                while row < range.end {
                    let count = S::TILE_ROWS.min(range.end - row);
                    // SAFETY: `row + count` is within the rows.
                    unsafe {
                        match count {
                            1 => self.tile::<S, 1>(s, &slab, row),
                            2 => self.tile::<S, 2>(s, &slab, row),
                            3 => self.tile::<S, 3>(s, &slab, row),
                            4 => self.tile::<S, 4>(s, &slab, row),
                            5 => self.tile::<S, 5>(s, &slab, row),
                            6 => self.tile::<S, 6>(s, &slab, row),
                            7 if S::TILE_ROWS > 6 => self.tile::<S, 7>(s, &slab, row),
                            _ if S::TILE_ROWS > 7 => self.tile::<S, MAX_TILE_ROWS>(s, &slab, row),
                            _ => unreachable!("a tile of {count} rows"),
                        }
                    }
                    row += count;
                    slab.ahead = (share > 0).then_some((tile * share, share));
                    tile += 1;
                }
                from = to;
            }
        }
    }
}

/// A panel between two depths, and where in a row that depth lies.
struct Slab {
    panel: usize,
    from: usize,
    to: usize,
    offset: usize,
    /// Bytes of the slab that lies next in memory to ask for while each [`STRETCH`] of depths is computed, and how many of
    /// them tiles before this one ask for. The first tile asks for none: it waits for its own weights.
    ahead: Option<(usize, usize)>,
}

impl<P: Stores> Stored<'_, P> {
    /// # Safety
    /// Rows `row..row + R` exist.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize>(&self, s: S, slab: &Slab, row: usize) {
        let width = VECTORS_PER_PANEL * S::LANES;
        let job = &self.job;
        let columns = job.weights.columns;
        let first_column = slab.panel * width;
        let full = first_column + width <= columns;
        let mut sums = [[s.splat(0.0); VECTORS_PER_PANEL]; R];
        // SAFETY: the panel holds `depth * width` floats, a row at least `offset + to - from`; `out` and the residual
        // have a row of `columns` floats for every row; partial vectors go through a slice of what is left.
        unsafe {
            let bias = job.weights.bias.as_ptr().add(first_column);
            if slab.from == 0 {
                let bias = [s.load(bias), s.load(bias.add(S::LANES))];
                sums = [bias; R];
            }

            let mut starts = [std::ptr::null::<f32>(); R];
            for (r, start) in starts.iter_mut().enumerate() {
                *start = job.rows.starts.get_unchecked(row + r).add(slab.offset);
            }
            let sums = self.panels.multiply(s, sums, starts, job.weights.depth, slab);

            let last = slab.to == job.weights.depth;
            for (r, sums) in sums.iter().enumerate() {
                for (v, &sum) in sums.iter().enumerate() {
                    let column = first_column + v * S::LANES;
                    let left = columns.saturating_sub(column).min(S::LANES);
                    let at = (row + r) * columns + column.min(columns);
                    let sum = match slab.from {
                        0 => sum,
                        _ if full => s.add(s.load(job.out.add(at)), sum),
                        _ => s.add(s.load_partial(std::slice::from_raw_parts(job.out.add(at), left), 0.0), sum),
                    };
                    let sum = if last { finish(s, &job.epilogue, sum, at, left) } else { sum };
                    if full {
                        s.store(job.out.add(at), sum);
                    } else {
                        s.store_partial(std::slice::from_raw_parts_mut(job.out.add(at), left), sum);
                    }
                }
            }
        }
    }
}
