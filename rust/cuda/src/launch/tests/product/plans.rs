//! How products are shared out: every block has work, and what the model's layers ask for fits a multiprocessor.

use mimi_kernels::Precision;

use super::case::Random;
use crate::launch::product::plan::{Plan, Task};

/// An H100's.
const MULTIPROCESSORS: u32 = 132;
/// The least of the architectures of interest: 64 KB on 7.5.
const SHARED: u32 = 64 << 10;

fn task(outputs: u32, depth: u32, columns: u32) -> Task {
    Task { outputs, depth, columns, run: depth, precision: Precision::Float32, column: false, norm: false }
}

fn plan(task: &Task) -> Plan {
    Plan::of(task, MULTIPROCESSORS)
}

#[test]
fn every_plan_fits_a_device() {
    let mut random = Random(7);
    for _ in 0..20_000 {
        let run = 1 + random.below(600) as u32;
        let norm = random.below(4) == 0;
        let task = Task {
            outputs: 1 + random.pick(&[8, 40, 400, 100_000]) * random.below(1000) as u32 / 1000,
            depth: run * random.pick(&[1, 2, 7, 16]),
            columns: 1 + random.below(2000) as u32,
            run: run * if norm { 1 } else { random.pick(&[1, 1, 16]) },
            precision: random.pick(&[Precision::Float32, Precision::Bfloat16, Precision::Int8]),
            column: false,
            norm,
        };
        let task = Task { run: if task.depth.is_multiple_of(task.run) { task.run } else { task.depth }, ..task };
        if task.norm && !task.takes_norm() {
            continue;
        }
        let plan = plan(&task);
        let [x, y, z] = plan.grid;
        assert!(x > 0 && (1..=65_535).contains(&y) && (1..=65_535).contains(&z), "{plan:?}");
        assert!(plan.shared <= SHARED, "{plan:?}");
        assert!(plan.parts >= task.depth.div_ceil(512), "{plan:?}");
        let groups = task.depth.div_ceil(plan.block_depth);
        assert!(groups == 1 || plan.splits, "{plan:?}");
        // The kernels' room for few rows: registers for what is on its way, threads for the sums.
        if plan.block_rows > 0 {
            let (panels, segments) = (1 << plan.panel_bits, 1 << plan.segment_bits);
            assert!(panels * segments <= 4 && plan.block_rows * segments <= 8, "{plan:?}");
            assert!(plan.block_rows * panels * segments * 4 <= 128, "{plan:?}");
            assert_eq!(plan.grid, [task.columns.div_ceil(4 * panels), groups, task.outputs.div_ceil(plan.block_rows)]);
            let counters = 1024.max(4 * task.columns.div_ceil(4));
            assert!(!plan.splits || x * z <= counters, "more counters than weights have: {plan:?}");
            assert!(!task.norm || groups == 1, "{plan:?}");
        } else if plan.splits {
            assert_eq!(z, groups, "{plan:?}");
            assert!(x * y <= 1024, "more counters than weights have: {plan:?}");
        }
    }
}

/// One session's step: the weights are read by enough blocks at a time to keep the memory at work.
#[test]
fn the_layers_of_one_session_have_enough_blocks() {
    for (outputs, depth, columns) in [
        // Of a transformer of two steps a frame, and convolutions of 16 and of 2 outputs.
        (2, 512, 1536),
        (2, 512, 512),
        (2, 512, 2048),
        (2, 2048, 512),
        (16, 1536, 256),
        (16, 256, 512),
        (16, 3072, 512),
        (2, 8192, 1024),
        (2, 3072, 512),
    ] {
        let plan = plan(&task(outputs, depth, columns));
        let blocks: u32 = plan.grid.iter().product();
        assert!(plan.kernel == "product_few_float32" && blocks >= 120, "{outputs} x {depth} x {columns}: {plan:?}");
    }
}

/// Sums of up to 2048 depths of one or two rows are not handed from block to block, which costs a trip through memory.
#[test]
fn sums_of_two_rows_stay_within_a_block() {
    assert!(!plan(&task(2, 2048, 512)).splits);
    assert!(plan(&task(2, 2560, 512)).splits);
}

#[test]
fn many_rows_take_large_tiles_where_there_are_enough() {
    assert_eq!(plan(&task(20_000, 512, 512)).kernel, "product_large_float32");
    assert_eq!(plan(&task(20_000, 512, 32)).kernel, "product_small_float32");
    assert_eq!(plan(&task(100, 512, 512)).kernel, "product_small_float32");
    let column = Task { column: true, ..task(1920, 192, 1) };
    assert_eq!(plan(&column).kernel, "product_column");
}
