//! A device of the driver for tests, for one test at a time.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::sync::MutexGuard;

use mimi_cuda::{Gpu, Result, Span};
use mimi_cuda_testing::TestDriver;

/// A guard, the driver and a device. The guard comes first, so that it goes last.
pub(crate) type Bench = (MutexGuard<'static, ()>, &'static TestDriver, Gpu);

/// Opens a device. No other test runs as long as the guard lives.
pub(crate) fn bench() -> Bench {
    let driver = TestDriver::load();
    (driver.alone(), driver, Gpu::open(0).unwrap())
}

/// The words in device memory.
pub(crate) fn words(gpu: &Gpu, span: Span) -> Result<Vec<u32>> {
    let mut bytes = vec![0; span.bytes()];
    gpu.download(span, &mut bytes)?;
    Ok(bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect())
}

/// All that the driver can be made to keep.
pub(crate) const KINDS: [&str; 7] = ["allocation", "pinned", "stream", "event", "module", "graph", "context"];
