//! The stream: order with other streams, several threads, and a device that is lost.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{bench, words};
use cudarc::driver::{result, sys};
use mimi_cuda::{Counts, Error, Gpu};

/// A stream that is not ours, and work in it: a fill of words.
fn fill_elsewhere(stream: sys::CUstream, address: u64, word: u32) {
    // SAFETY: the stream and four words at the address are there.
    unsafe { sys::cuMemsetD32Async(address, word, 4, stream) }.result().unwrap();
}

#[test]
fn our_stream_waits_for_the_callers() {
    let (_alone, _, gpu) = bench();
    let (buffer, copy) = (gpu.buffer(16).unwrap(), gpu.buffer(16).unwrap());
    let stream = result::stream::create(result::stream::StreamKind::NonBlocking).unwrap();
    for (word, handle) in [(1, stream), (2, std::ptr::without_provenance_mut(1))] {
        fill_elsewhere(handle, buffer.span().address(), word);
        gpu.wait_for(handle.addr() as u64).unwrap();
        gpu.copy(copy.span(), buffer.span()).unwrap();
        assert_eq!(words(&gpu, copy.span()).unwrap(), [word; 4]);
    }
    // SAFETY: made above, with nothing left in it.
    unsafe { result::stream::destroy(stream) }.unwrap();
}

#[test]
fn without_an_order_there_is_none() {
    // That the driver for tests would show it if the order were missing.
    let (_alone, _, gpu) = bench();
    let buffer = gpu.buffer(16).unwrap();
    let stream = result::stream::create(result::stream::StreamKind::NonBlocking).unwrap();
    fill_elsewhere(stream, buffer.span().address(), 1);
    assert_eq!(words(&gpu, buffer.span()).unwrap(), [u32::MAX; 4]);
    // SAFETY: as above.
    unsafe { result::stream::destroy(stream) }.unwrap();
}

#[test]
fn the_callers_stream_waits_for_ours() {
    let (_alone, _, gpu) = bench();
    let (buffer, copy) = (gpu.buffer(16).unwrap(), gpu.buffer(16).unwrap());
    let stream = result::stream::create(result::stream::StreamKind::NonBlocking).unwrap();
    gpu.fill(buffer.span(), 3).unwrap();
    gpu.let_wait(stream.addr() as u64).unwrap();
    // SAFETY: both buffers have sixteen bytes, and the stream is there.
    unsafe {
        result::memcpy_dtod_async(copy.span().address(), buffer.span().address(), 16, stream).unwrap();
        result::stream::synchronize(stream).unwrap();
        result::stream::destroy(stream).unwrap();
    }
    assert_eq!(words(&gpu, copy.span()).unwrap(), [3; 4]);
}

#[test]
fn pinned_memory_is_not_touched_before_the_transfer_is_done() {
    let (_alone, _, gpu) = bench();
    let buffer = gpu.buffer(16).unwrap();
    let mut pinned = gpu.pinned(16).unwrap();
    let before = gpu.counts();
    pinned.as_mut_slice().unwrap().fill(1);
    gpu.upload_pinned(buffer.span(), &pinned, 0..16).unwrap();
    // Writing waits for the upload, and only the first time.
    pinned.as_mut_slice().unwrap().fill(2);
    pinned.as_mut_slice().unwrap().fill(3);
    assert_eq!(words(&gpu, buffer.span()).unwrap(), [0x0101_0101; 4]);
    gpu.download_pinned(&mut pinned, 4..8, buffer.span().part(0..4).unwrap()).unwrap();
    let expected: Vec<u8> = (0..16).map(|i| if (4..8).contains(&i) { 1 } else { 3 }).collect();
    assert_eq!(pinned.as_slice().unwrap(), expected);
    let counts = Counts { uploads: 1, downloads: 2, waits: 3, ..Counts::default() };
    assert_eq!(gpu.counts() - before, counts);
}

#[test]
fn threads_share_a_device() {
    let (_alone, _, gpu) = bench();
    thread::scope(|scope| {
        for number in 0..4_u32 {
            let gpu = gpu.clone();
            scope.spawn(move || {
                for round in 0..50 {
                    let word = number * 1000 + round;
                    let (from, to) = (gpu.piece(64).unwrap(), gpu.piece(64).unwrap());
                    gpu.fill(from.span(), word).unwrap();
                    gpu.copy(to.span(), from.span()).unwrap();
                    assert_eq!(words(&gpu, to.span()).unwrap(), [word; 16]);
                }
            });
        }
    });
}

#[test]
fn what_others_do_is_not_recorded() {
    let (_alone, _, gpu) = bench();
    let (recorded, other) = (gpu.buffer(16).unwrap(), gpu.buffer(16).unwrap());
    gpu.fill(other.span(), 0).unwrap();
    gpu.wait().unwrap();
    let (begun, went_on) = (AtomicBool::new(false), AtomicBool::new(false));
    let graph = thread::scope(|scope| {
        let begun = &begun;
        let went_on = &went_on;
        let (gpu, recorded, other) = (&gpu, &recorded, &other);
        let recorder = scope.spawn(move || {
            let ((), graph) = gpu
                .record(|| {
                    gpu.fill(recorded.span(), 1)?;
                    begun.store(true, Ordering::SeqCst);
                    // Long enough for the other thread to come to the gate; it is right whether it has or not.
                    thread::sleep(std::time::Duration::from_millis(50));
                    assert!(!went_on.load(Ordering::SeqCst), "another thread went on while this one records");
                    gpu.fill(recorded.span(), 2)
                })
                .unwrap();
            graph
        });
        while !begun.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        gpu.fill(other.span(), 5).unwrap();
        went_on.store(true, Ordering::SeqCst);
        recorder.join().unwrap()
    });
    assert_eq!(graph.contents(), Counts { fills: 2, ..Counts::default() });
    assert_eq!(words(&gpu, other.span()).unwrap(), [5; 4]);
    assert_eq!(words(&gpu, recorded.span()).unwrap(), [u32::MAX; 4]);
}

#[test]
fn recordings_of_two_threads_follow_each_other() {
    let (_alone, _, gpu) = bench();
    let buffers = [gpu.buffer(16).unwrap(), gpu.buffer(16).unwrap()];
    thread::scope(|scope| {
        for (buffer, word) in buffers.iter().zip(1..) {
            let gpu = &gpu;
            scope.spawn(move || {
                for _ in 0..20 {
                    let ((), graph) = gpu.record(|| gpu.fill(buffer.span(), word)).unwrap();
                    gpu.fill(buffer.span(), 0).unwrap();
                    gpu.replay(&graph).unwrap();
                    assert_eq!(words(gpu, buffer.span()).unwrap(), [word; 4]);
                }
            });
        }
    });
}

#[test]
fn a_device_that_is_lost_says_so_from_then_on() {
    let (_alone, driver, other) = bench();
    let gpu = Gpu::open(2).unwrap();
    let buffer = gpu.buffer(16).unwrap();
    let mut pinned = gpu.pinned(16).unwrap();
    let ((), graph) = gpu.record(|| gpu.fill(buffer.span(), 1)).unwrap();
    gpu.download_pinned(&mut pinned, 0..16, buffer.span()).unwrap();
    driver.fail("wait", 1);
    let first = gpu.wait().err().unwrap().to_string();
    assert!(
        first.starts_with("the CUDA driver failed in waiting for the device: CUDA_ERROR_ILLEGAL_ADDRESS"),
        "{first}"
    );
    let lost = Error::Driver(format!("the CUDA device is lost to this process, since: {first}"));
    assert_eq!(gpu.wait(), Err(lost.clone()));
    assert_eq!(gpu.fill(buffer.span(), 1), Err(lost.clone()));
    assert_eq!(gpu.replay(&graph), Err(lost.clone()));
    assert_eq!(gpu.buffer(16).err(), Some(lost.clone()));
    assert_eq!(gpu.piece(16).err(), Some(lost.clone()));
    assert_eq!(gpu.record(|| gpu.fill(buffer.span(), 1)).err(), Some(lost.clone()));
    assert_eq!(pinned.as_slice().err(), Some(lost));
    drop((buffer, pinned, graph, gpu));
    other.wait().unwrap();
}
