//! What the host has in place of a GPU: barriers, exchanges, shared memory, atomics, and what it refuses.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use mimi_cuda_testing::{Host, Order, Refused};

#[repr(C)]
struct Arguments {
    x: *const f32,
    out: *mut f32,
    count: u32,
    rows: u32,
    last: u64,
}

#[repr(C)]
struct Counter {
    words: *mut u32,
    longs: *mut u64,
}

fn bytes<T>(arguments: &T) -> &[u8] {
    // SAFETY: a struct without gaps between its fields.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(arguments).cast(), size_of::<T>()) }
}

fn host() -> Host {
    Host::of(Path::new(concat!(env!("OUT_DIR"), "/libmimi_shim.so")))
}

fn run(host: &Host, name: &str, blocks: u32, threads: u32, shared: u32, x: &[f32], out: &mut [f32]) {
    let arguments = Arguments { x: x.as_ptr(), out: out.as_mut_ptr(), count: 0, rows: 0, last: 0 };
    // SAFETY: each call below gives as many floats as the kernel reads and writes.
    unsafe { host.launch(name, [blocks, 1, 1], [threads, 1, 1], shared, bytes(&arguments)) }.unwrap();
}

fn counted(count: usize) -> Vec<f32> {
    (0..count).map(|i| i as f32).collect()
}

#[test]
fn barriers_hold_in_any_order_and_their_lack_shows() {
    let (host, x) = (host(), counted(192));
    let turned: Vec<f32> = x.chunks(64).flat_map(|part| part.iter().rev().copied()).collect();
    let mut wrong = Vec::new();
    for order in [Order::Forwards, Order::Backwards] {
        host.order(order);
        let mut out = vec![0.0; 192];
        run(&host, "reverse", 3, 64, 0, &x, &mut out);
        assert_eq!(out, turned, "{order:?}");
        run(&host, "reverse_without_barrier", 1, 64, 256, &x, &mut out[..64]);
        wrong.push(out.iter().zip(&turned).filter(|(out, turned)| out != turned).count());
    }
    assert_eq!(wrong, [32, 32]);
    host.order(Order::Forwards);
}

#[test]
fn lanes_exchange_values() {
    let x = counted(64);
    let mut out = vec![0.0; 256];
    run(&host(), "warp_sums", 1, 64, 0, &x, &mut out);
    for i in 0..64 {
        let (sixteen, lane) = (i / 16 * 16, i % 32);
        assert_eq!(out[i], (sixteen..sixteen + 16).sum::<usize>() as f32);
        assert_eq!(out[128 + i], if lane == 0 { i } else { i - 1 } as f32);
        // Either warp has eleven multiples of three; lane 40 is in the second.
        let (multiples, lane_40) = if i < 32 { (11, 0) } else { (11, 100) };
        assert_eq!(out[192 + i], ((i ^ 1) + multiples + lane_40) as f32);
    }
    assert_eq!((out[64], out[96]), ((0..32).sum::<usize>() as f32, (32..64).sum::<usize>() as f32));
}

#[test]
fn atomics_are_whole() {
    let (mut words, mut longs) = ([0_u32, 0, 1, 0], [u64::MAX]);
    let arguments = Counter { words: words.as_mut_ptr(), longs: longs.as_mut_ptr() };
    // SAFETY: the kernel writes four words and one long.
    unsafe { host().launch("atomics", [3, 1, 1], [64, 1, 1], 0, bytes(&arguments)) }.unwrap();
    assert_eq!(words, [3 * (0..64).sum::<u32>(), 0b111, 1, 7]);
    assert_eq!(longs, [0]);
}

#[test]
fn shared_memory_begins_as_nan_in_each_block() {
    let mut out = vec![0.0; 8];
    run(&host(), "poisoned", 4, 8, 16, &[], &mut out);
    assert!(out.iter().all(|value| value.is_nan()), "{out:?}");
}

#[test]
fn layouts_are_those_of_the_text() {
    let host = host();
    assert_eq!(host.arguments("reverse"), Some(size_of::<Arguments>()));
    assert_eq!(host.arguments("obverse"), None);
    assert_eq!(host.field("Arguments", ""), Some((0, size_of::<Arguments>())));
    assert_eq!(host.field("Arguments", "rows"), Some((std::mem::offset_of!(Arguments, rows), 4)));
    assert_eq!(host.field("Arguments", "last"), Some((std::mem::offset_of!(Arguments, last), 8)));
    assert_eq!(host.field("Arguments", "columns"), None);
}

#[test]
fn launches_that_no_device_takes_are_refused() {
    let host = host();
    let nothing = [0; size_of::<Arguments>()];
    // SAFETY: nothing runs.
    unsafe {
        let launch = |name, grid, threads, shared| host.launch(name, grid, [threads, 1, 1], shared, &nothing);
        assert_eq!(launch("obverse", [1; 3], 1, 0), Err(Refused::Name));
        assert_eq!(launch("reverse", [0, 1, 1], 1, 0), Err(Refused::Dimensions));
        assert_eq!(launch("reverse", [1; 3], 1025, 0), Err(Refused::Dimensions));
        assert_eq!(launch("reverse", [1, 65536, 1], 1, 0), Err(Refused::Dimensions));
        assert_eq!(launch("reverse", [1; 3], 1, 228 * 1024), Err(Refused::Dimensions));
    }
}

/// Mistakes end the process, so each is made in another one.
#[test]
fn mistakes_end_the_process() {
    const MISTAKE: &str = "MIMI_SHIM_MISTAKE";
    const EXPECTED: [(&str, &str); 4] = [
        ("leaves_before_the_barrier", "thread 3: has ended, and others wait at a barrier"),
        ("two_barriers", "has ended, and others wait at a barrier"),
        ("behind_shared_memory", "has written behind its dynamic shared memory"),
        ("misaligned", ""),
    ];
    if let Ok(name) = std::env::var(MISTAKE) {
        run(&host(), &name, 1, 64, 128, &counted(64), &mut [0.0; 64]);
        return;
    }
    for (name, message) in EXPECTED {
        let mut again = Command::new(std::env::current_exe().unwrap());
        let output = again.args(["--exact", "mistakes_end_the_process", "--nocapture"]).env(MISTAKE, name).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name} came to an end");
        assert!(said.contains(message), "{name}: {said}");
    }
}
