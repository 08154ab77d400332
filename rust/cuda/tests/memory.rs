//! Device memory: buffers, pieces of the arena, and what happens where there is not enough.

#![allow(clippy::unwrap_used)]

mod common;

use common::{KINDS, bench, words};
use mimi_cuda::{Counts, Error, Gpu};
use mimi_cuda_testing::TestDriver;

const MB: usize = 1 << 20;

#[test]
fn a_device_says_what_it_is() {
    let (_alone, _, gpu) = bench();
    let info = gpu.info();
    assert_eq!(Gpu::count().unwrap(), 4);
    assert_eq!((info.name.as_str(), info.ordinal), ("driver for tests, device 0", 0));
    assert_eq!((info.capability, info.multiprocessors, info.memory), ((9, 0), 132, 16 << 30));
    assert_eq!((info.driver, info.shared_memory), (12_090, 227 << 10));
    assert!(matches!(Gpu::open(4), Err(Error::Missing(text)) if text == "expected a CUDA device below 4, got 4"));
}

#[test]
fn all_is_given_back() {
    let driver = TestDriver::load();
    let _alone = driver.alone();
    let before = KINDS.map(|kind| driver.alive(kind));
    let gpu = Gpu::open(0).unwrap();
    let buffer = gpu.buffer(1000).unwrap();
    let piece = gpu.piece(1000).unwrap();
    let pinned = gpu.pinned(1000).unwrap();
    let ((), graph) = gpu.record(|| gpu.fill(buffer.span(), 1)).unwrap();
    let made: Vec<_> = KINDS.iter().zip(before).map(|(kind, before)| driver.alive(kind) - before).collect();
    assert_eq!(made, [2, 1, 1, 1, 1, 1, 1]);
    // What was made keeps the device open.
    drop(gpu);
    drop((graph, buffer, piece, pinned));
    assert_eq!(KINDS.map(|kind| driver.alive(kind)), before);
}

#[test]
fn new_memory_is_undefined_and_keeps_what_is_put_into_it() {
    let (_alone, _, gpu) = bench();
    let buffer = gpu.buffer(32).unwrap();
    assert_eq!(words(&gpu, buffer.span()).unwrap(), [u32::MAX; 8]);
    gpu.fill(buffer.span().part(4..12).unwrap(), 7).unwrap();
    gpu.copy(buffer.span().part(16..24).unwrap(), buffer.span().part(8..16).unwrap()).unwrap();
    gpu.upload(buffer.span().part(28..32).unwrap(), &5_u32.to_le_bytes()).unwrap();
    let none = u32::MAX;
    assert_eq!(words(&gpu, buffer.span()).unwrap(), [none, 7, 7, none, 7, none, none, 5]);
}

#[test]
fn parts_lie_inside() {
    let (_alone, _, gpu) = bench();
    let buffer = gpu.buffer(32).unwrap();
    let span = buffer.span();
    let part = span.part(8..24).unwrap().part(4..16).unwrap();
    assert_eq!((part.address(), part.bytes()), (span.address() + 12, 12));
    assert_eq!(span.part(32..32).unwrap().bytes(), 0);
    for (start, end) in [(0, 33), (33, 33), (8, 4), (usize::MAX, usize::MAX)] {
        let expected = format!("expected a part of 32 bytes, got bytes {start} to {end}");
        #[allow(clippy::reversed_empty_ranges)]
        let result = span.part(start..end).map(|part| part.bytes());
        assert_eq!(result, Err(Error::Shape(expected)));
    }
}

#[test]
fn lengths_must_agree() {
    let (_alone, _, gpu) = bench();
    let (long, short) = (gpu.buffer(32).unwrap(), gpu.buffer(16).unwrap());
    let expected = Err(Error::Shape("expected 32 bytes, got 16".into()));
    assert_eq!(gpu.copy(long.span(), short.span()), expected);
    assert_eq!(gpu.upload(long.span(), &[0; 16]), expected);
    assert_eq!(gpu.download(short.span(), &mut [0; 32]), expected);
    assert_eq!(gpu.upload_pinned(long.span(), &gpu.pinned(64).unwrap(), 16..32), expected);
    assert_eq!(gpu.download_pinned(&mut gpu.pinned(64).unwrap(), 0..32, short.span()), expected);
    let outside = Err(Error::Shape("expected a part of 64 bytes, got bytes 60 to 76".into()));
    assert_eq!(gpu.upload_pinned(short.span(), &gpu.pinned(64).unwrap(), 60..76), outside);
    let overlap = gpu.copy(long.span().part(0..20).unwrap(), long.span().part(12..32).unwrap());
    assert_eq!(overlap, Err(Error::Shape("expected a copy between stretches apart, got some that overlap".into())));
    assert!(matches!(gpu.fill(long.span().part(0..6).unwrap(), 0), Err(Error::Shape(_))));
    assert!(matches!(gpu.fill(long.span().part(2..6).unwrap(), 0), Err(Error::Shape(_))));
    assert_eq!(words(&gpu, long.span()).unwrap(), [u32::MAX; 8], "nothing was done");
}

#[test]
fn nothing_is_a_length_too() {
    let (_alone, _, gpu) = bench();
    let before = gpu.counts();
    let (buffer, piece, mut pinned) = (gpu.buffer(0).unwrap(), gpu.piece(0).unwrap(), gpu.pinned(0).unwrap());
    assert_eq!((buffer.span().bytes(), piece.span().bytes(), pinned.bytes()), (0, 0, 0));
    gpu.upload(buffer.span(), &[]).unwrap();
    gpu.download(piece.span(), &mut []).unwrap();
    gpu.fill(buffer.span(), 1).unwrap();
    gpu.copy(buffer.span(), piece.span()).unwrap();
    gpu.upload_pinned(buffer.span(), &pinned, 0..0).unwrap();
    gpu.download_pinned(&mut pinned, 0..0, buffer.span()).unwrap();
    assert_eq!(gpu.counts() - before, Counts { allocations: 3, ..Counts::default() });
}

#[test]
fn pieces_are_taken_again_without_an_allocation() {
    let (_alone, _, gpu) = bench();
    let (first, second) = (gpu.piece(MB).unwrap(), gpu.piece(1000).unwrap());
    let addresses = (first.span().address(), second.span().address());
    assert!(addresses.0.is_multiple_of(256) && addresses.1.is_multiple_of(256));
    drop((first, second));
    let before = gpu.counts();
    for _ in 0..100 {
        let (first, second) = (gpu.piece(MB).unwrap(), gpu.piece(1000).unwrap());
        assert_eq!((first.span().address(), second.span().address()), addresses);
    }
    assert_eq!(gpu.counts(), before);
}

#[test]
fn the_arena_grows_by_few_slabs_and_is_trimmed_when_asked() {
    let (_alone, driver, gpu) = bench();
    let alive = driver.alive("allocation");
    let pieces: Vec<_> = (0..64).map(|_| gpu.piece(MB).unwrap()).collect();
    let slabs = driver.alive("allocation") - alive;
    assert!(slabs <= 7, "each slab is as long as all before: {slabs}");
    assert_eq!(gpu.trim().unwrap(), 0);
    let kept = pieces.into_iter().next_back();
    assert_eq!(gpu.trim().unwrap() as i64, slabs - 1);
    gpu.fill(kept.as_ref().unwrap().span(), 3).unwrap();
    drop(kept);
    assert_eq!(gpu.trim().unwrap(), 1);
    assert_eq!(driver.alive("allocation"), alive);
}

#[test]
fn memory_that_is_short_is_an_error_and_nothing_is_lost() {
    let (_alone, driver, gpu) = bench();
    let alive = driver.alive("allocation");
    let too_much = 20 << 30;
    assert_eq!(gpu.buffer(too_much).err(), Some(Error::Memory { bytes: too_much }));
    assert!(matches!(gpu.piece(too_much), Err(Error::Memory { bytes }) if bytes >= too_much));
    assert!(matches!(gpu.piece(usize::MAX), Err(Error::Memory { .. })));
    assert_eq!(driver.alive("allocation"), alive);
    driver.fail("pinned", 1);
    assert_eq!(gpu.pinned(100).err(), Some(Error::Memory { bytes: 100 }));
    driver.fail("allocation", 1);
    assert_eq!(gpu.buffer(100).err(), Some(Error::Memory { bytes: 100 }));
    // The same once more works: nothing is left of the failure.
    let buffer = gpu.buffer(100).unwrap();
    gpu.fill(buffer.span(), 1).unwrap();
    gpu.wait().unwrap();
}

#[test]
fn a_piece_whose_slab_is_refused_in_advance_gets_a_smaller_one() {
    let (_alone, driver, gpu) = bench();
    // All of four pages, with what the driver for tests wants behind it.
    let _first = gpu.piece(8 * MB - 256).unwrap();
    driver.fail("allocation", 1);
    let second = gpu.piece(MB).unwrap();
    assert_eq!(second.span().bytes(), MB);
    assert_eq!(gpu.counts().allocations, 2);
}

#[test]
fn idle_slabs_make_room() {
    let (_alone, driver, gpu) = bench();
    drop(gpu.piece(10 << 20).unwrap());
    let alive = driver.alive("allocation");
    // Refused once, then there is room.
    driver.fail("allocation", 1);
    let buffer = gpu.buffer(MB).unwrap();
    assert_eq!(driver.alive("allocation"), alive, "the slab has gone for the buffer");
    drop(buffer);
}

#[test]
fn memory_is_freed_after_the_work_on_it() {
    // The driver for tests ends the process where memory is freed too early.
    let (_alone, _, gpu) = bench();
    let kept = gpu.buffer(64).unwrap();
    gpu.fill(kept.span(), 1).unwrap();
    {
        let short = gpu.buffer(64).unwrap();
        gpu.fill(short.span(), 2).unwrap();
        gpu.copy(kept.span(), short.span()).unwrap();
        let pinned = gpu.pinned(64).unwrap();
        gpu.upload_pinned(short.span(), &pinned, 0..64).unwrap();
    }
    assert_eq!(words(&gpu, kept.span()).unwrap(), [2; 16]);
}
