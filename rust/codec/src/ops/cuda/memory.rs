//! What sessions remember, on the device: one piece of memory for each, in which every layer has its place.
//!
//! A history lies there twice, so that a block that fails is taken back by going on with the older copy. The ring of an
//! attention has room for steps beyond its window, and what a block writes over is out of sight anyway. So a block leaves
//! what was before it whole, and nothing is copied for the sake of failures, unless a call is longer.

use std::sync::{Mutex, PoisonError};

use mimi_cuda::{Buffer, Gpu, Piece, Span};

use super::card::floats;
use crate::error::Result;
use crate::memory::with_room;
use crate::ops::fault_point;
use crate::ops::state::{Memory, Slot, Slots};

/// Floats to whose multiples the places of layers are aligned: 256 bytes.
const ALIGNMENT: usize = 64;

/// Where a slot lies in a session's memory, in floats.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    len: usize,
    /// Two of a history `(steps, channels)`, one of a ring.
    copies: usize,
}

/// Where all slots lie.
struct Layout {
    places: Vec<Place>,
    /// Floats of a session.
    len: usize,
}

impl Layout {
    fn of(slots: &Slots) -> Self {
        let (mut places, mut len) = (Vec::new(), 0_usize);
        for shape in slots.shapes() {
            let place = Place { start: len, len: shape.iter().product(), copies: shape.len().min(2) };
            len += (place.len * place.copies).next_multiple_of(ALIGNMENT);
            places.push(place);
        }
        Self { places, len }
    }
}

/// The memory of sessions on a device.
pub(super) struct Sessions {
    gpu: Gpu,
    layout: Layout,
    states: Buffer,
    /// Which copy of its histories is the newest, of each session.
    parity: Vec<u32>,
    call: Call,
    /// Sessions whose memory was kept before a block wrote over what the call began with.
    kept: Mutex<Vec<(usize, Piece)>>,
    /// Frames of a block that leave the windows of all rings whole.
    slack: usize,
}

/// What can be taken back.
#[derive(Default)]
struct Call {
    frames: Vec<u64>,
    parity: Vec<u32>,
    /// Sessions that have gone through a block since.
    advanced: Vec<bool>,
}

impl Sessions {
    pub(super) fn new(gpu: &Gpu, slots: &Slots, count: usize, slack: usize) -> Result<Self> {
        fault_point()?;
        let layout = Layout::of(slots);
        let states = gpu.buffer(floats(layout.len.saturating_mul(count)))?;
        let mut parity = with_room(count)?;
        parity.resize(count, 0);
        Ok(Self { gpu: gpu.clone(), layout, states, parity, call: Call::default(), kept: Mutex::default(), slack })
    }

    /// Floats before a slot in the memory of any session.
    pub(super) fn start(&self, slot: Slot) -> usize {
        self.layout.places[slot.index()].start
    }

    /// Where a session's memory lies on the device.
    pub(super) fn address(&self, session: usize) -> u64 {
        self.states.span().address() + floats(session * self.layout.len) as u64
    }

    /// Which copy of a session's histories is the newest.
    pub(super) fn parity(&self, session: usize) -> u32 {
        self.parity[session]
    }

    /// Keeps what a block of `frames` frames for `sessions` would lose of what the call began with.
    pub(super) fn before_block(&self, sessions: &[usize], frames: usize) -> Result<()> {
        let Call { frames: seen, advanced, .. } = &self.call;
        // What has seen nothing needs no memory to be as it was.
        let lost = |session: usize| {
            seen.get(session).is_some_and(|&seen| seen > 0) && (frames > self.slack || advanced[session])
        };
        sessions.iter().filter(|&&session| lost(session)).try_for_each(|&session| self.keep_session(session))
    }

    fn keep_session(&self, session: usize) -> Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.iter().all(|(other, _)| *other != session) {
            fault_point()?;
            let piece = self.gpu.piece(floats(self.layout.len))?;
            self.gpu.copy(piece.span(), self.session(session)?)?;
            kept.push((session, piece));
        }
        Ok(())
    }

    fn session(&self, session: usize) -> Result<Span<'_>> {
        let from = session * self.layout.len;
        Ok(self.states.span().part(floats(from)..floats(from + self.layout.len))?)
    }

    /// A slot of a session, of a history the newest copy.
    fn slot(&self, slot: Slot, session: usize) -> Result<Span<'_>> {
        let Place { start, len, copies } = self.layout.places[slot.index()];
        let from = start + if copies == 2 { self.parity[session] as usize * len } else { 0 };
        Ok(self.session(session)?.part(floats(from)..floats(from + len))?)
    }
}

impl Memory for Sessions {
    fn reset(&mut self, sessions: &[usize]) -> Result<()> {
        // What it holds is not read before it is written: the clock says so.
        fault_point()?;
        sessions.iter().for_each(|&session| self.parity[session] = 0);
        Ok(())
    }

    fn begin(&mut self, frames: &[u64]) {
        self.call.frames.clear();
        self.call.frames.extend_from_slice(frames);
        self.call.parity.clone_from(&self.parity);
        self.call.advanced.clear();
        self.call.advanced.resize(frames.len(), false);
    }

    fn keep(&mut self) {
        self.call.frames.clear();
        self.kept.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn undo(&mut self) -> Result<()> {
        for (session, piece) in std::mem::take(self.kept.get_mut().unwrap_or_else(PoisonError::into_inner)) {
            self.gpu.copy(self.session(session)?, piece.span())?;
        }
        self.parity.clone_from(&self.call.parity);
        self.call.frames.clear();
        Ok(())
    }

    fn advance(&mut self, sessions: &[usize]) {
        for &session in sessions {
            self.parity[session] ^= 1;
            if let Some(advanced) = self.call.advanced.get_mut(session) {
                *advanced = true;
            }
        }
    }

    fn copy(&self) -> Result<Box<dyn Memory>> {
        fault_point()?;
        let states = self.gpu.buffer(self.states.span().bytes())?;
        self.gpu.copy(states.span(), self.states.span())?;
        let layout = Layout { places: self.layout.places.clone(), len: self.layout.len };
        let (gpu, parity) = (self.gpu.clone(), self.parity.clone());
        Ok(Box::new(Self {
            gpu,
            layout,
            states,
            parity,
            call: Call::default(),
            kept: Mutex::default(),
            slack: self.slack,
        }))
    }

    fn read(&self, slot: Slot, session: usize, frames: u64) -> Result<Vec<f32>> {
        let mut values = vec![0.0; self.layout.places[slot.index()].len];
        if frames > 0 {
            self.gpu.download(self.slot(slot, session)?, bytemuck::cast_slice_mut(&mut values))?;
        }
        Ok(values)
    }

    fn write(&self, slot: Slot, session: usize, values: &[f32]) -> Result<()> {
        if self.call.frames.get(session).is_some_and(|&seen| seen > 0) {
            self.keep_session(session)?;
        }
        fault_point()?;
        Ok(self.gpu.upload(self.slot(slot, session)?, bytemuck::cast_slice(values))?)
    }
}
