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
use super::request::Request;
use super::values::{CodeValues, Ready};
use crate::error::{Error, Result};
use crate::ops::{Flow, Given, Indices, Layers, Route, fault_point};

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

impl Steps {
    pub(super) fn new(card: &Arc<Card>, record: bool) -> Self {
        Self { card: Arc::clone(card), record, known: Mutex::default() }
    }

    /// Takes a block through layers; what it gives is empty if it went to a tensor.
    pub(super) fn run(&self, request: Request<'_>, layers: Layers<'_>) -> Result<Given> {
        fault_point()?;
        let mut known = lock(&self.known);
        let Request { block, route, frames, sessions, rows, .. } = request;
        if let Some(sessions) = sessions {
            sessions.before_block(block.rows, frames)?;
        }
        let kind = Kind { route, rows: rows.next_power_of_two(), frames };
        let recordable = self.record
            && sessions.is_some()
            && !block.end
            && kind.frames <= RECORDED_FRAMES
            && kind.rows * kind.frames <= RECORDED_VECTORS;
        if !recordable {
            return Ok(self.one_by_one(&request, rows, layers)?.0);
        }
        match known.get_mut(&kind) {
            Some(Known::Recorded(recorded)) => recorded.replay(&self.card, &request),
            Some(Known::Plain) => Ok(self.one_by_one(&request, kind.rows, layers)?.0),
            Some(Known::Seen { tables, gives }) => match self.recorded(&request, kind.rows, tables, *gives, layers) {
                Ok(mut recorded) => {
                    let given = recorded.replay(&self.card, &request);
                    known.insert(kind, Known::Recorded(Box::new(recorded)));
                    given
                }
                // A graph holds memory of its own, for which there may be no room.
                Err(Error::Memory { .. } | Error::Device(_)) => {
                    known.insert(kind, Known::Plain);
                    Ok(self.one_by_one(&request, kind.rows, layers)?.0)
                }
                Err(error) => Err(error),
            },
            None => {
                let (given, seen) = self.one_by_one(&request, kind.rows, layers)?;
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
        area.layout().write(request.block, request.sessions, request.input.source(), &[], &mut brought);
        fault_point()?;
        gpu.upload(area.part(area.layout().brought())?, &brought)?;
        request.bring(gpu, &area)?;
        let (flow, tables) = self.card.during(&area, || layers(request.flow(&area, rows)))?;
        let output = Output::of(&flow, &self.card)?;
        let gives = output.gives(rows);
        let faults = area.layout().taken(0);
        let given = output.span()?.part(0..gives.row * request.rows)?;
        let mut taken = vec![0; faults.len()];
        if let Some(tensor) = request.output {
            tensor.take(gpu, given, area.faults())?;
            gpu.download(area.part(faults)?, &mut taken)?;
        } else {
            taken.resize(faults.len() + given.bytes(), 0);
            let (words, bytes) = taken.split_at_mut(faults.len());
            gpu.download(area.part(faults)?, words)?;
            gpu.download(given, bytes)?;
        }
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
                let flow = layers(request.flow(&area, rows))?;
                Ok(gpu.copy(area.output()?, Output::of(&flow, &self.card)?.span()?)?)
            })
        })?;
        Ok(Recorded { graph, area, tables: tables.to_vec(), gives, brought, taken })
    }
}

impl Recorded {
    fn replay(&mut self, card: &Card, request: &Request<'_>) -> Result<Given> {
        let (gpu, layout, area) = (card.gpu(), self.area.layout(), &self.area);
        let brought = layout.brought();
        let source = request.input.source();
        layout.write(request.block, request.sessions, source, &self.tables, self.brought.as_mut_slice()?);
        fault_point()?;
        gpu.upload_pinned(area.part(brought.clone())?, &self.brought, brought)?;
        request.bring(gpu, area)?;
        fault_point()?;
        gpu.replay(&self.graph)?;
        let bytes = self.gives.row * request.rows;
        let mut taken = layout.taken(bytes);
        if let Some(tensor) = request.output {
            tensor.take(gpu, area.output()?.part(0..bytes)?, area.faults())?;
            taken = layout.taken(0);
        }
        fault_point()?;
        gpu.download_pinned(&mut self.taken, 0..taken.len(), area.part(taken.clone())?)?;
        fault_point()?;
        Ok(self.gives.given(without_faults(&self.taken.as_slice()?[..taken.len()])?))
    }
}
