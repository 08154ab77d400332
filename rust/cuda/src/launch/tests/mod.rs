//! The kernels on the host, held against the CPU's bit for bit.

#![allow(clippy::unwrap_used)]

mod attention;
mod convolutions;
mod elements;
mod layout;
mod memory;
mod product;
mod search;

use mimi_cuda_testing::{Host, Order};
use mimi_kernels::simd::Level;

use super::{FAULTS, Fault, Launch, Session};
use memory::Memory;

/// A structure that the kernels have too.
pub(super) trait Mirrored {
    /// Its name in the kernels' text.
    const NAME: &str;
    /// The name, the offset and the size of each field.
    const FIELDS: &[(&str, usize, usize)];
}

/// Runs a test with threads forwards and backwards, on a processor that sums as the device does.
fn in_both_orders(test: impl Fn(&Device, Level)) {
    let Some(level) = Level::available().into_iter().find(|level| level.lanes() == 16) else { return };
    let device = Device { host: Host::load(), faults: Memory::of(&NO_FAULTS) };
    for order in [Order::Forwards, Order::Backwards] {
        device.host.order(order);
        test(&device, level);
    }
    device.host.order(Order::Forwards);
}

/// What kernels report where all is well.
const NO_FAULTS: [u32; FAULTS] = [0; FAULTS];

/// One word of them set.
fn only(fault: Fault, word: u32) -> [u32; FAULTS] {
    let mut faults = NO_FAULTS;
    faults[fault as usize] = word;
    faults
}

struct Device {
    host: Host,
    faults: Memory,
}

impl Device {
    fn run<A: Copy>(&self, launches: impl IntoIterator<Item = Launch<A>>) {
        for Launch { name, grid, block, shared, arguments } in launches {
            // SAFETY: a struct of arguments has no gaps: its fields are of 8 bytes, then an even number of 4.
            let bytes =
                unsafe { std::slice::from_raw_parts(std::ptr::from_ref(&arguments).cast::<u8>(), size_of::<A>()) };
            // SAFETY: what made the launch has checked the memory.
            unsafe { self.host.launch(name, grid, [block, 1, 1], shared, bytes) }.unwrap();
        }
    }

    /// The words of faults since the last call.
    fn faults(&self) -> Vec<u32> {
        let faults = self.faults.read();
        self.faults.write(&NO_FAULTS);
        faults
    }
}

/// Rows with a state each, of which some may rest.
struct States {
    memory: Vec<Memory>,
    sessions: Vec<Session>,
}

impl States {
    /// Rows that begin. What a state holds then is not read: it is not a number.
    fn new(rows: usize, floats: usize) -> Self {
        let memory: Vec<_> = (0..rows).map(|_| Memory::new(floats * size_of::<f32>())).collect();
        let session = |memory: &Memory| Session { state: memory.span().address(), ..Session::default() };
        let sessions = memory.iter().map(session).collect();
        Self { memory, sessions }
    }

    /// The sessions of a step in which some rows rest.
    fn with_resting(&self, resting: &[usize]) -> Memory {
        let mut sessions = self.sessions.clone();
        resting.iter().for_each(|&row| sessions[row].state = 0);
        Memory::of(&sessions)
    }

    /// After a step of some frames that went well.
    fn advance(&mut self, resting: &[usize], frames: u64) {
        let rows = self.sessions.iter_mut().enumerate();
        for (_, session) in rows.filter(|(row, _)| !resting.contains(row)) {
            session.frames += frames;
            session.parity = 1 - session.parity;
        }
    }
}

/// Numbers from -1 to 1 that look random.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32) / (1 << 23) as f32 - 1.0
    }

    fn take(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }
}

/// That two tensors have the same bits.
#[track_caller]
fn assert_bits(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let different = got.iter().zip(expected).position(|(got, expected)| got.to_bits() != expected.to_bits());
    if let Some(at) = different {
        panic!("{what}: at {at} of {}: expected {}, got {}", got.len(), expected[at], got[at]);
    }
}

/// That nothing was written.
#[track_caller]
fn assert_untouched(got: &[f32], what: &str) {
    assert!(got.iter().all(|value| value.to_bits() == u32::MAX), "{what} was written");
}
