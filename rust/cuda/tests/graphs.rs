//! Graphs: what is recorded, what it keeps, and what is left of a recording that fails.

#![allow(clippy::unwrap_used)]

mod common;

use common::{KINDS, bench, words};
use mimi_cuda::{Buffer, Counts, Error, Gpu};

/// A step as a codec has it: pinned in, work in pieces of the arena, pinned out.
struct Step {
    input: mimi_cuda::Pinned,
    output: mimi_cuda::Pinned,
    state: Buffer,
}

const BYTES: usize = 16;

impl Step {
    fn new(gpu: &Gpu) -> Self {
        let (input, output) = (gpu.pinned(BYTES).unwrap(), gpu.pinned(BYTES).unwrap());
        Self { input, output, state: gpu.buffer(BYTES).unwrap() }
    }

    /// The output is the state of before, the state the input.
    fn run(&mut self, gpu: &Gpu) -> Result<(), Error> {
        let piece = gpu.piece(BYTES)?;
        gpu.upload_pinned(piece.span(), &self.input, 0..BYTES)?;
        let before = gpu.piece(BYTES)?;
        gpu.copy(before.span(), self.state.span())?;
        gpu.copy(self.state.span(), piece.span())?;
        drop(piece);
        // The place of `piece` again, if the arena is the first fit that it says.
        let other = gpu.piece(BYTES)?;
        gpu.fill(other.span(), 9)?;
        gpu.download_pinned(&mut self.output, 0..BYTES, before.span())
    }
}

#[test]
fn a_graph_does_again_what_was_recorded() {
    let (_alone, _, gpu) = bench();
    let mut step = Step::new(&gpu);
    step.input.as_mut_slice().unwrap().fill(1);
    step.run(&gpu).unwrap();
    let ((), graph) = gpu.record(|| step.run(&gpu)).unwrap();
    let parts = Counts { uploads: 1, copies: 2, fills: 1, downloads: 1, ..Counts::default() };
    assert_eq!(graph.contents(), parts);
    assert_eq!(step.output.as_slice().unwrap(), [0xff; BYTES], "recording does nothing");
    let before = gpu.counts();
    for value in 2..6 {
        step.input.as_mut_slice().unwrap().fill(value);
        gpu.replay(&graph).unwrap();
        gpu.wait().unwrap();
        assert_eq!(step.output.as_slice().unwrap(), [value - 1; BYTES]);
    }
    assert_eq!(gpu.counts() - before, Counts { graph_launches: 4, waits: 4, ..Counts::default() });
}

#[test]
fn pinned_memory_is_shown_after_the_graph_has_written_it() {
    let (_alone, _, gpu) = bench();
    let mut step = Step::new(&gpu);
    step.run(&gpu).unwrap();
    step.input.as_mut_slice().unwrap().fill(7);
    let ((), graph) = gpu.record(|| step.run(&gpu)).unwrap();
    gpu.replay(&graph).unwrap();
    // Without a wait of the caller's: the first look waits for the first launch, so that the input may be changed.
    step.input.as_mut_slice().unwrap().fill(8);
    gpu.replay(&graph).unwrap();
    let before = gpu.counts();
    assert_eq!(step.output.as_slice().unwrap(), [7; BYTES]);
    assert_eq!(step.output.as_slice().unwrap(), [7; BYTES]);
    assert_eq!((gpu.counts() - before).waits, 1);
    assert_eq!(words(&gpu, step.state.span()).unwrap(), [0x0808_0808; 4]);
}

#[test]
fn a_graph_keeps_the_memory_it_was_recorded_with() {
    let (_alone, _, gpu) = bench();
    let mut step = Step::new(&gpu);
    step.input.as_mut_slice().unwrap().fill(5);
    step.run(&gpu).unwrap();
    let (kept, graph) = gpu
        .record(|| {
            step.run(&gpu)?;
            gpu.piece(BYTES)
        })
        .unwrap();
    drop(kept);
    // Whatever is taken now does not lie where the graph writes.
    let others: Vec<_> = (0..20).map(|_| gpu.piece(BYTES).unwrap()).collect();
    others.iter().for_each(|piece| gpu.fill(piece.span(), 4).unwrap());
    gpu.replay(&graph).unwrap();
    for piece in &others {
        assert_eq!(words(&gpu, piece.span()).unwrap(), [4; 4]);
    }
    let before = gpu.counts();
    drop((graph, others));
    // Its memory is the arena's again: as many pieces as before fit without an allocation.
    let _again: Vec<_> = (0..24).map(|_| gpu.piece(BYTES).unwrap()).collect();
    assert_eq!(gpu.counts().allocations, before.allocations);
}

#[test]
fn pinned_memory_lives_as_long_as_its_graph() {
    // The driver for tests ends the process where a copy uses pinned memory that was freed.
    let (_alone, driver, gpu) = bench();
    let buffer = gpu.buffer(BYTES).unwrap();
    let mut pinned = gpu.pinned(BYTES).unwrap();
    pinned.as_mut_slice().unwrap().fill(3);
    let ((), graph) = gpu.record(|| gpu.upload_pinned(buffer.span(), &pinned, 0..BYTES)).unwrap();
    let alive = driver.alive("pinned");
    drop(pinned);
    gpu.replay(&graph).unwrap();
    assert_eq!(words(&gpu, buffer.span()).unwrap(), [0x0303_0303; 4]);
    assert_eq!(driver.alive("pinned"), alive);
    drop(graph);
    assert_eq!(driver.alive("pinned"), alive - 1);
}

#[test]
fn what_cannot_be_part_of_a_graph_is_an_error() {
    let (_alone, _, gpu) = bench();
    let buffer = gpu.buffer(BYTES).unwrap();
    let ((), other) = gpu.record(|| gpu.fill(buffer.span(), 1)).unwrap();
    let before = gpu.counts();
    type Work<'a> = (&'a str, Box<dyn Fn() -> Result<(), Error> + 'a>);
    let refused: [Work; 9] = [
        ("an allocation", Box::new(|| gpu.buffer(BYTES).map(drop))),
        ("an allocation", Box::new(|| gpu.pinned(BYTES).map(drop))),
        ("an upload of memory that is not pinned", Box::new(|| gpu.upload(buffer.span(), &[0; BYTES]))),
        ("a download to memory that is not pinned", Box::new(|| gpu.download(buffer.span(), &mut [0; BYTES]))),
        ("a wait", Box::new(|| gpu.wait())),
        ("another graph", Box::new(|| gpu.replay(&other))),
        ("an order between streams", Box::new(|| gpu.wait_for(1))),
        ("an order between streams", Box::new(|| gpu.let_wait(1))),
        ("freeing memory", Box::new(|| gpu.trim().map(drop))),
    ];
    for (what, work) in &refused {
        let message = format!("{what} cannot be part of a graph: expected it before or after recording");
        assert_eq!(gpu.record(work).err(), Some(Error::Driver(message)));
    }
    let nested = gpu.record(|| gpu.record(|| gpu.fill(buffer.span(), 1)).map(drop));
    assert_eq!(nested.err(), Some(Error::Driver("a graph is being recorded already".into())));
    assert_eq!(gpu.counts(), before);
    // The device is as it was.
    gpu.fill(buffer.span(), 2).unwrap();
    assert_eq!(words(&gpu, buffer.span()).unwrap(), [2; 4]);
}

#[test]
fn the_arena_does_not_grow_while_recording() {
    let (_alone, driver, gpu) = bench();
    let calls = driver.calls("cuMemAlloc_v2");
    let error = gpu.record(|| gpu.piece(1000)).err();
    assert_eq!(
        error,
        Some(Error::Driver(
            "no room for 1000 bytes while a graph is recorded: expected the same work to be done before".into()
        ))
    );
    assert_eq!(driver.calls("cuMemAlloc_v2"), calls);
    drop(gpu.piece(1000).unwrap());
    let (piece, graph) = gpu.record(|| gpu.piece(1000)).unwrap();
    drop((piece, graph));
}

#[test]
fn nothing_is_left_of_a_recording_that_fails() {
    let (_alone, driver, gpu) = bench();
    let mut step = Step::new(&gpu);
    step.input.as_mut_slice().unwrap().fill(1);
    step.run(&gpu).unwrap();
    gpu.wait().unwrap();
    let alive = KINDS.map(|kind| driver.alive(kind));
    let stop = Error::Shape("the caller's own".into());
    let failed: Result<((), _), _> = gpu.record(|| {
        step.run(&gpu)?;
        Err(stop.clone())
    });
    assert_eq!(failed.err(), Some(stop));
    for (kind, expected) in [("record", "STREAM_CAPTURE_INVALIDATED"), ("allocation", "")] {
        driver.fail(kind, 1);
        let error = gpu.record(|| step.run(&gpu)).err().unwrap();
        assert!(
            matches!(error, Error::Driver(_) | Error::Memory { .. }) && error.to_string().contains(expected),
            "{error}"
        );
    }
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        gpu.record::<(), Error>(|| {
            step.run(&gpu)?;
            panic!("on purpose")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(KINDS.map(|kind| driver.alive(kind)), alive);
    let ((), graph) = gpu.record(|| step.run(&gpu)).unwrap();
    step.input.as_mut_slice().unwrap().fill(2);
    gpu.replay(&graph).unwrap();
    assert_eq!(step.output.as_slice().unwrap(), [1; BYTES]);
}

#[test]
fn memory_dropped_while_recording_is_freed_afterwards() {
    let (_alone, driver, gpu) = bench();
    let (kept, buffer, pinned) = (gpu.buffer(BYTES).unwrap(), gpu.buffer(BYTES).unwrap(), gpu.pinned(BYTES).unwrap());
    let alive = (driver.alive("allocation"), driver.alive("pinned"));
    let ((), graph) = gpu
        .record(|| {
            drop((buffer, pinned));
            assert_eq!((driver.alive("allocation"), driver.alive("pinned")), alive);
            gpu.fill(kept.span(), 6)
        })
        .unwrap();
    assert_eq!((driver.alive("allocation"), driver.alive("pinned")), (alive.0 - 1, alive.1 - 1));
    gpu.replay(&graph).unwrap();
    assert_eq!(words(&gpu, kept.span()).unwrap(), [6; 4]);
}

#[test]
fn a_graph_belongs_to_its_device() {
    let (_alone, _, gpu) = bench();
    let other = Gpu::open(1).unwrap();
    let buffer = gpu.buffer(BYTES).unwrap();
    let ((), graph) = gpu.record(|| gpu.fill(buffer.span(), 1)).unwrap();
    let expected = Error::Shape("expected a graph of this device, got one of another".into());
    assert_eq!(other.replay(&graph), Err(expected));
}

#[test]
fn a_replay_that_fails_is_an_error_and_the_next_works() {
    let (_alone, driver, gpu) = bench();
    let buffer = gpu.buffer(BYTES).unwrap();
    let ((), graph) = gpu.record(|| gpu.fill(buffer.span(), 1)).unwrap();
    driver.fail("replay", 1);
    let error = gpu.replay(&graph).err().unwrap().to_string();
    assert!(
        error.starts_with("the CUDA driver failed in launching a graph: CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"),
        "{error}"
    );
    assert_eq!(gpu.counts().graph_launches, 0);
    gpu.replay(&graph).unwrap();
    assert_eq!(words(&gpu, buffer.span()).unwrap(), [1; 4]);
}
