//! Takes blocks through layers on the device: kernel by kernel, or as a graph that was recorded before.
//!
//! The first step of a kind runs kernel by kernel, and shows what memory and which tables it needs. The second is recorded
//! while the layers are called once more, and from then on the layers are not called: a step is one copy to the device,
//! one launch of the graph and one copy back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use mimi_cuda::{Graph, Pinned, Span};

use super::area::{Area, Layout, without_faults};
use super::card::{Card, Table, floats, lock};
use super::memory::Sessions;
use super::values::{CodeValues, Ready, Values};
use crate::error::{Error, Result};
use crate::ops::{Flow, Given, Indices, Layers, Route, Source, Step, fault_point};

/// Frames of a row up to which a step is recorded: streams go on by so many again and again.
const RECORDED_FRAMES: usize = 4;

/// Rows times frames up to which a step is recorded. Larger ones take so long that their launches are hidden, and the
/// memory that a graph holds would be large.
const RECORDED_VECTORS: usize = 512;

/// What makes a step the same as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Kind {
    route: Route,
    /// A power of two: rows up to it rest.
    rows: usize,
    frames: usize,
}

/// What is known of a kind of step.
enum Known {
    /// It was done once: the tables that it needs, and what it gives.
    Seen {
        tables: Vec<Table>,
        gives: Gives,
    },
    /// It is not to be recorded.
    Plain,
    Recorded(Box<Recorded>),
}

/// What comes out of the layers.
#[derive(Clone, Copy)]
struct Gives {
    codes: bool,
    /// Bytes of a row.
    row: usize,
}

struct Recorded {
    graph: Graph,
    area: Arc<Area>,
    tables: Vec<Table>,
    gives: Gives,
    brought: Pinned,
    taken: Pinned,
}

impl Gives {
    fn given(self, bytes: &[u8]) -> Given {
        if self.codes {
            Given::Codes(words(bytes, u32::from_ne_bytes))
        } else {
            Given::Floats(words(bytes, f32::from_ne_bytes))
        }
    }
}

fn words<T>(bytes: &[u8], of: fn([u8; 4]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|&word| of(word)).collect()
}

/// What came out of the layers, in the memory of the device.
enum Output<'a> {
    Signal(Ready<'a>, usize),
    Codes(&'a Indices),
}

impl<'a> Output<'a> {
    fn of(flow: &'a Flow, card: &Card) -> Result<Self> {
        Ok(match flow {
            Flow::Signal(signal) => Self::Signal(Ready::of(signal, card)?, signal.dims().iter().product()),
            Flow::Codes(codes) => Self::Codes(codes),
        })
    }

    fn span(&self) -> Result<Span<'_>> {
        match self {
            Self::Signal(ready, _) => ready.span(),
            Self::Codes(codes) => CodeValues::span(codes),
        }
    }

    /// Its kind, and the bytes of one of its rows.
    fn gives(&self, rows: usize) -> Gives {
        match self {
            Self::Signal(_, len) => Gives { codes: false, row: floats(len / rows) },
            Self::Codes(codes) => Gives { codes: true, row: floats(codes.vectors * codes.count / rows) },
        }
    }
}

/// The steps of a model on a card.
pub(super) struct Steps {
    card: Arc<Card>,
    record: bool,
    /// Held while a step is under way: the card has one stream, and steps of several threads take turns.
    known: Mutex<HashMap<Kind, Known>>,
}

/// A step, with what it needs of the sessions' memory.
struct Request<'a> {
    step: Step<'a>,
    sessions: Option<&'a Sessions>,
    rows: usize,
}

impl Steps {
    pub(super) fn new(card: &Arc<Card>, record: bool) -> Self {
        Self { card: Arc::clone(card), record, known: Mutex::default() }
    }

    pub(super) fn run(&self, step: Step<'_>, layers: Layers<'_>) -> Result<Given> {
        fault_point()?;
        let mut known = lock(&self.known);
        let sessions = step.block.memory::<Sessions>().ok();
        if let Some(sessions) = sessions {
            sessions.before_block(step.block.rows, step.frames)?;
        }
        let rows = match &step.input {
            Source::Floats(_, [rows, ..]) => *rows,
            Source::Codes(codes, count) => codes.len() / count / step.frames,
        };
        let kind = Kind { route: step.route, rows: rows.next_power_of_two(), frames: step.frames };
        let recordable = self.record
            && sessions.is_some()
            && !step.block.end
            && kind.frames <= RECORDED_FRAMES
            && kind.rows * kind.frames <= RECORDED_VECTORS;
        let step = Request { step, sessions, rows };
        if !recordable {
            return Ok(self.one_by_one(&step, rows, layers)?.0);
        }
        match known.get_mut(&kind) {
            Some(Known::Recorded(recorded)) => recorded.replay(&self.card, &step),
            Some(Known::Plain) => Ok(self.one_by_one(&step, kind.rows, layers)?.0),
            Some(Known::Seen { tables, gives }) => match self.recorded(&step, kind.rows, tables, *gives, layers) {
                Ok(mut recorded) => {
                    let given = recorded.replay(&self.card, &step);
                    known.insert(kind, Known::Recorded(Box::new(recorded)));
                    given
                }
                // A graph holds memory of its own, for which there may be no room.
                Err(Error::Memory { .. } | Error::Device(_)) => {
                    known.insert(kind, Known::Plain);
                    Ok(self.one_by_one(&step, kind.rows, layers)?.0)
                }
                Err(error) => Err(error),
            },
            None => {
                let (given, seen) = self.one_by_one(&step, kind.rows, layers)?;
                known.insert(kind, seen);
                Ok(given)
            }
        }
    }

    /// Calls the layers, whose kernels run as they are launched, on `rows` rows of which some may rest.
    fn one_by_one(&self, request: &Request<'_>, rows: usize, layers: Layers<'_>) -> Result<(Given, Known)> {
        let gpu = self.card.gpu();
        let layout = Layout::new(rows, request.sessions.is_some(), request.input_bytes(rows), &[], 0);
        let area = Arc::new(Area::new(gpu.piece(layout.bytes())?, layout));
        let mut brought = vec![0; area.layout().brought().end];
        area.layout().write(request.step.block, request.sessions, &request.step.input, &[], &mut brought);
        fault_point()?;
        gpu.upload(area.part(area.layout().brought())?, &brought)?;
        let (flow, tables) = self.card.during(&area, || layers(request.input(&area, rows)))?;
        let output = Output::of(&flow, &self.card)?;
        let gives = output.gives(rows);
        let faults = area.layout().taken(0);
        let mut taken = vec![0; faults.len() + gives.row * request.rows];
        let (words, bytes) = taken.split_at_mut(faults.len());
        gpu.download(area.part(faults)?, words)?;
        gpu.download(output.span()?.part(0..bytes.len())?, bytes)?;
        fault_point()?;
        Ok((gives.given(without_faults(&taken)?), Known::Seen { tables, gives }))
    }

    /// Records the layers as a graph.
    fn recorded(
        &self,
        request: &Request<'_>,
        rows: usize,
        tables: &[Table],
        gives: Gives,
        layers: Layers<'_>,
    ) -> Result<Recorded> {
        let gpu = self.card.gpu();
        let layout = Layout::new(rows, true, request.input_bytes(rows), tables, gives.row * rows);
        let (brought, taken) = (gpu.pinned(layout.brought().end)?, gpu.pinned(layout.taken(gives.row * rows).len())?);
        let area = Arc::new(Area::new(gpu.piece(layout.bytes())?, layout));
        let (_, graph) = gpu.record(|| {
            self.card.during(&area, || {
                let flow = layers(request.input(&area, rows))?;
                Ok(gpu.copy(area.output()?, Output::of(&flow, &self.card)?.span()?)?)
            })
        })?;
        Ok(Recorded { graph, area, tables: tables.to_vec(), gives, brought, taken })
    }
}

impl Recorded {
    fn replay(&mut self, card: &Card, request: &Request<'_>) -> Result<Given> {
        let (gpu, layout) = (card.gpu(), self.area.layout());
        let Step { block, input, .. } = &request.step;
        let brought = layout.brought();
        layout.write(block, request.sessions, input, &self.tables, self.brought.as_mut_slice()?);
        fault_point()?;
        gpu.upload_pinned(self.area.part(brought.clone())?, &self.brought, brought)?;
        fault_point()?;
        gpu.replay(&self.graph)?;
        let taken = layout.taken(self.gives.row * request.rows);
        fault_point()?;
        gpu.download_pinned(&mut self.taken, 0..taken.len(), self.area.part(taken.clone())?)?;
        fault_point()?;
        Ok(self.gives.given(without_faults(&self.taken.as_slice()?[..taken.len()])?))
    }
}

impl Request<'_> {
    /// Bytes of the input of so many rows, those that rest included.
    fn input_bytes(&self, rows: usize) -> usize {
        let words = match &self.step.input {
            Source::Floats(floats, _) => floats.len(),
            Source::Codes(codes, _) => codes.len(),
        };
        floats(words / self.rows * rows)
    }

    /// The input where the step has brought it.
    fn input(&self, area: &Arc<Area>, rows: usize) -> Flow {
        match &self.step.input {
            Source::Floats(_, [_, steps, channels]) => Flow::Signal(Values::input(area, [rows, *steps, *channels])),
            Source::Codes(_, count) => Flow::Codes(CodeValues::input(area, rows * self.step.frames, *count)),
        }
    }
}
