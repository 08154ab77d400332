//! How a product is shared out: the kernel, its grid, and what a block takes. None of it changes a bit of the result.

use mimi_kernels::Precision;

use crate::packing::PANEL;

/// Depths of a part of a sum, as on the CPU.
pub(crate) const PART: u32 = 512;

/// The most rows of a product of few.
const FEW: u32 = 32;
/// What a block of few rows has room for: rows, and segments of depths times panels, or times rows.
const FEW_ROWS: u32 = 8;
const FEW_SEGMENTS: u32 = 4;
const FEW_SEGMENTS_OF_ROWS: u32 = 8;
const FEW_THREADS: u32 = 256;
/// Bytes of parts of sums that stay within a block.
const FEW_PARTS: u32 = 8 << 10;

/// The tiles of many rows.
const MANY_THREADS: u32 = 128;
pub(in crate::launch) const SMALL: Tile = Tile {
    name: ["product_small_float32", "product_small_bfloat16", "product_small_int8"],
    rows: 32,
    columns: 32,
    depths: 64,
};
pub(in crate::launch) const LARGE: Tile = Tile {
    name: ["product_large_float32", "product_large_bfloat16", "product_large_int8"],
    rows: 64,
    columns: 64,
    depths: 32,
};

/// The product with one column.
const COLUMN_THREADS: u32 = 128;
const COLUMN_ROWS: u32 = 64;

/// Blocks that keep each multiprocessor at work while others wait for memory.
const BLOCKS_EACH: u32 = 2;

/// What a plan depends on.
pub(crate) struct Task {
    /// Of all rows.
    pub(crate) outputs: u32,
    pub(crate) depth: u32,
    pub(crate) columns: u32,
    /// Depths of a run in one piece.
    pub(crate) run: u32,
    pub(crate) precision: Precision,
    /// Whether the weights are those of one column in float32.
    pub(crate) column: bool,
    pub(crate) norm: bool,
}

impl Task {
    /// Whether a norm of the rows can be taken in the same launch: where a block sees whole rows, and the weights are not
    /// read by more than a few.
    pub(crate) fn takes_norm(&self) -> bool {
        let segments = self.segments();
        !self.column && segments <= FEW_SEGMENTS && self.outputs <= FEW / FEW_ROWS * (FEW_SEGMENTS_OF_ROWS / segments)
    }

    /// Segments that a block which sees whole rows takes.
    fn segments(&self) -> u32 {
        self.depth.div_ceil(PART).next_power_of_two()
    }
}

/// A kernel's launch, and what its blocks take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) kernel: &'static str,
    pub(crate) grid: [u32; 3],
    pub(crate) threads: u32,
    pub(crate) shared: u32,
    /// Parts of each sum.
    pub(crate) parts: u32,
    /// Whether they are in several blocks.
    pub(crate) splits: bool,
    pub(crate) block_depth: u32,
    pub(crate) block_rows: u32,
    pub(crate) panel_bits: u32,
    pub(crate) segment_bits: u32,
}

impl Plan {
    /// The plan for a device of so many multiprocessors.
    pub(crate) fn of(task: &Task, multiprocessors: u32) -> Self {
        let blocks = BLOCKS_EACH * multiprocessors.max(1);
        if task.column {
            return Self::column(task);
        }
        if task.outputs <= FEW {
            return Self::few(task, blocks);
        }
        let tile = if task.columns > SMALL.columns && LARGE.count(task) >= blocks { LARGE } else { SMALL };
        Self::many(task, tile, blocks)
    }

    fn column(task: &Task) -> Self {
        let grid = [task.outputs.div_ceil(COLUMN_ROWS), 1, 1];
        Self { kernel: "product_column", grid, threads: COLUMN_THREADS, ..Self::whole(task) }
    }

    /// What holds where a block takes all depths.
    fn whole(task: &Task) -> Self {
        Self {
            kernel: "",
            grid: [0; 3],
            threads: 0,
            shared: 0,
            parts: parts(task),
            splits: false,
            block_depth: task.depth.next_multiple_of(PART),
            block_rows: 0,
            panel_bits: 0,
            segment_bits: 0,
        }
    }

    /// A block takes as many rows as there are, up to eight, then as many segments as fit, then panels.
    pub(in crate::launch) fn few(task: &Task, blocks: u32) -> Self {
        let block_rows = task.outputs.min(FEW_ROWS).next_power_of_two();
        let all = task.segments();
        let (block_rows, segments) = if task.norm {
            // A block must see whole rows.
            (block_rows.min(FEW_SEGMENTS_OF_ROWS / all), all)
        } else {
            (block_rows, all.min(FEW_SEGMENTS).min(FEW_SEGMENTS_OF_ROWS / block_rows))
        };
        let (block_depth, panels) = (segments * PART, task.columns.div_ceil(PANEL as u32));
        let (groups, chunks) = (task.depth.div_ceil(block_depth), task.outputs.div_ceil(block_rows));
        let mut block_panels = FEW_SEGMENTS / segments;
        while block_panels > 1 && panels.div_ceil(block_panels) * groups * chunks < blocks {
            block_panels /= 2;
        }
        let parts = parts(task);
        let kept = parts.saturating_mul(block_rows * block_panels * PANEL as u32 * 4);
        let splits = groups > 1 || kept > FEW_PARTS;
        let quad = 16 * bytes(task.precision);
        let tile = block_panels * segments * (PART / 4 + 1) * quad;
        let rows = block_rows * segments * (PART + 4) * 4;
        let rest = (block_rows * 8).max(if splits || parts == 1 { 0 } else { kept });
        Self {
            kernel: pick(["product_few_float32", "product_few_bfloat16", "product_few_int8"], task.precision),
            grid: [panels.div_ceil(block_panels), groups, chunks],
            threads: FEW_THREADS,
            shared: tile + rows + rest,
            parts,
            splits,
            block_depth,
            block_rows,
            panel_bits: block_panels.trailing_zeros(),
            segment_bits: segments.trailing_zeros(),
        }
    }

    /// Parts of sums are shared out as well where there are too few tiles.
    pub(in crate::launch) fn many(task: &Task, tile: Tile, blocks: u32) -> Self {
        let (tiles, segments) = (tile.count(task), task.depth.div_ceil(PART));
        let wanted = if tiles < blocks { blocks.div_ceil(tiles).min(segments) } else { 1 };
        let block_segments = segments.div_ceil(wanted);
        let groups = segments.div_ceil(block_segments);
        Self {
            kernel: pick(tile.name, task.precision),
            grid: [task.outputs.div_ceil(tile.rows), task.columns.div_ceil(tile.columns), groups],
            threads: MANY_THREADS,
            shared: tile.shared(),
            splits: groups > 1,
            block_depth: block_segments * PART,
            ..Self::whole(task)
        }
    }
}

/// A tile of the output, and depths that are in shared memory at a time.
#[derive(Clone, Copy)]
pub(in crate::launch) struct Tile {
    name: [&'static str; 3],
    rows: u32,
    columns: u32,
    depths: u32,
}

impl Tile {
    fn count(self, task: &Task) -> u32 {
        task.outputs.div_ceil(self.rows).saturating_mul(task.columns.div_ceil(self.columns))
    }

    /// Two chunks of weights and of rows, and where the rows lie.
    fn shared(self) -> u32 {
        let (weights, rows) = (self.depths / 4 * (self.columns + 4) * 16, self.rows * (self.depths + 4) * 4);
        2 * (weights + rows) + self.rows * 16
    }
}

/// Parts of each sum: cut after every 512 depths, and where a run ends.
fn parts(task: &Task) -> u32 {
    let cuts = task.depth.div_ceil(PART);
    if task.run == task.depth {
        return cuts;
    }
    cuts + task.depth / task.run - task.depth.div_ceil(common(task.depth, task.run))
}

/// The least multiple that parts and runs have in common, or the depth where that is less.
pub(crate) fn common(depth: u32, run: u32) -> u32 {
    let twos = run.trailing_zeros().min(PART.trailing_zeros());
    run.saturating_mul(PART >> twos).min(depth)
}

fn pick(names: [&'static str; 3], precision: Precision) -> &'static str {
    names[match precision {
        Precision::Float32 => 0,
        Precision::Bfloat16 => 1,
        Precision::Int8 => 2,
    }]
}

/// Bytes of a weight.
fn bytes(precision: Precision) -> u32 {
    match precision {
        Precision::Float32 => 4,
        Precision::Bfloat16 => 2,
        Precision::Int8 => 1,
    }
}
