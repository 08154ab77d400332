//! Layers one after the other, and how a block of frames goes through them.

use candle_core::Tensor;

use super::{Builder, Late};
use crate::error::{Error, Result};
use crate::ops::{Activation, Angles, Attention, Block, Operation, Rotary, Signal};
use crate::plan::sizes::{self, Place, places};
use crate::plan::{self, Node};

/// A chain of layers with their weights.
///
/// A long block shares the reading of large weights, a short one keeps large activations in a cache. So the backend says of
/// each layer whether it takes a block as a whole or in pieces, and runs of layers that take pieces are gone through piece
/// by piece.
pub(crate) struct Chain {
    runs: Vec<Run>,
}

/// Layers that a block goes through together.
struct Run {
    layers: Vec<Layer>,
    /// Frames that a piece has, if blocks are cut.
    piece: Option<usize>,
    /// Floats in a frame of the largest signal.
    floats: usize,
    /// Inputs in a frame.
    steps: usize,
}

enum Layer {
    Operation(Box<dyn Operation>),
    Attention(Box<dyn Attention>),
    Residual(Residual),
    Transformer { rotary: Box<dyn Rotary>, layers: Vec<Layer> },
}

/// `shortcut(x) + last(branch(x))`, added where `last` writes its output.
struct Residual {
    branch: Vec<Layer>,
    last: Box<dyn Operation>,
    shortcut: Vec<Layer>,
}

/// The angles of a block's steps, inside a transformer.
type Places<'a> = Option<&'a Angles>;

impl Chain {
    /// The chain of a plan; a frame has `steps` inputs.
    pub(crate) fn load(builder: &mut Builder<'_>, chain: &plan::Chain, steps: usize) -> Result<Self> {
        let places = places(chain, Place { steps, lead: 0 });
        let mut runs: Vec<Run> = Vec::new();
        for (i, layer) in layers(builder, chain, &places, None)? {
            let steps = places[i].steps;
            let (rows, floats) = sizes::load(&chain[i], steps);
            let piece = builder.backend.piece_frames(rows, floats);
            match runs.last_mut() {
                Some(run) if run.piece.is_some() == piece.is_some() => {
                    run.piece = run.piece.min(piece);
                    run.floats = run.floats.max(floats);
                    run.layers.push(layer);
                }
                _ => runs.push(Run { layers: vec![layer], piece, floats, steps }),
            }
        }
        Ok(Self { runs })
    }

    /// Floats in a frame of the largest signal that blocks have as a whole.
    pub(crate) fn widest(&self) -> usize {
        self.runs.iter().filter(|run| run.piece.is_none()).map(|run| run.floats).max().unwrap_or(0)
    }

    /// Its attention layers, in the order of the flow of data.
    pub(crate) fn attentions(&self) -> Vec<&dyn Attention> {
        let mut found = Vec::new();
        self.runs.iter().flat_map(|run| &run.layers).for_each(|layer| layer.attentions(&mut found));
        found
    }

    /// `(rows, steps, channels)` through all layers: whole frames, but for the last one of clips that end here.
    pub(crate) fn forward(&self, x: Signal, block: &Block<'_>) -> Result<Signal> {
        self.runs.iter().try_fold(x, |x, run| run.forward(x, block))
    }
}

impl Run {
    /// Piece by piece: a few short rows at a time, or a part of a long one.
    fn forward(&self, x: Signal, block: &Block<'_>) -> Result<Signal> {
        let [rows, steps, _] = x.dims();
        let piece = self.piece.map_or(usize::MAX, |frames| frames * self.steps);
        if rows * steps <= piece {
            return through(&self.layers, x, block);
        }
        let whole = x.tensor()?;
        let height = (piece / steps).max(1);
        let strips = (0..rows).step_by(height).map(|first| {
            let count = height.min(rows - first);
            let strip = whole.narrow(0, first, count)?;
            let pieces = (0..steps).step_by(piece).map(|from| {
                let length = piece.min(steps - from);
                let part = strip.narrow(1, from, length)?.contiguous()?;
                let block = block.piece(first..first + count, from / self.steps, from + length == steps);
                through(&self.layers, Signal::of(part)?, &block)
            });
            join(pieces.collect::<Result<_>>()?, 1)
        });
        join(strips.collect::<Result<_>>()?, 0)
    }
}

/// The layers of a chain, each with its place: an activation is the end of the layer before it, and `last` that of the
/// last.
fn layers(
    builder: &mut Builder<'_>,
    chain: &[Node],
    places: &[Place],
    last: Option<Activation>,
) -> Result<Vec<(usize, Layer)>> {
    let mut made = Vec::new();
    let mut fused = false;
    for (i, node) in chain.iter().enumerate() {
        if std::mem::take(&mut fused) {
            continue;
        }
        let activation = match chain.get(i + 1) {
            Some(&Node::Activation(activation)) => Some(activation),
            Some(_) => None,
            None => last,
        };
        let place = places[i];
        let alone =
            |operation: Result<Box<dyn Operation>>| operation.map(|operation| (Layer::Operation(operation), false));
        let (layer, ends_with_it) = match node {
            // It would hand on a view of its input.
            Node::Transformer(node) if node.layers.is_empty() => continue,
            Node::Conv(_) | Node::ConvTranspose(_) | Node::Linear(_) => {
                (Layer::Operation(operation(builder, node, place, activation)?), true)
            }
            Node::Residual(node) => (residual(builder, node, place, activation)?, true),
            Node::Norm(norm) => alone(builder.norm(norm))?,
            Node::Activation(activation) => alone(builder.activation(*activation))?,
            Node::Snake(snake) => alone(builder.snake(snake))?,
            Node::Gate(gate) => alone(builder.gate(*gate))?,
            Node::Attention(_) if place.lead > 0 => {
                return Err(Error::config("layers", "expected attention before a delay, got it behind one"));
            }
            Node::Attention(shape) => (Layer::Attention(builder.attention(*shape, place.steps)?), false),
            Node::Transformer(node) => {
                let rotary = builder.rotary(node, place.steps)?;
                let layers = inner(builder, &node.layers, place, None)?;
                (Layer::Transformer { rotary, layers }, false)
            }
        };
        fused = ends_with_it && i + 1 < chain.len() && activation.is_some();
        made.push((i, layer));
    }
    Ok(made)
}

/// The layers of a chain inside a layer.
fn inner(builder: &mut Builder<'_>, chain: &[Node], place: Place, last: Option<Activation>) -> Result<Vec<Layer>> {
    let made = layers(builder, chain, &places(chain, place), last)?;
    Ok(made.into_iter().map(|(_, layer)| layer).collect())
}

/// A layer that may add a residual and apply an activation to its output.
fn operation(
    builder: &mut Builder<'_>,
    node: &Node,
    place: Place,
    activation: Option<Activation>,
) -> Result<Box<dyn Operation>> {
    let operation = match node {
        Node::Conv(conv) => builder.conv(conv, place.steps / conv.stride, activation),
        Node::ConvTranspose(conv) => builder.conv_transpose(conv, place.steps, activation),
        Node::Linear(linear) => builder.linear(linear, place.steps, false, activation),
        other => {
            let message = format!("expected a branch that ends with a convolution or a dense layer, got {other:?}");
            Err(Error::config("layers", message))
        }
    }?;
    Ok(if place.lead > 0 && node.looks_back() {
        Box::new(Late::new(builder.backend.silence(place.lead, place.steps), operation))
    } else {
        operation
    })
}

fn residual(
    builder: &mut Builder<'_>,
    node: &plan::Residual,
    place: Place,
    activation: Option<Activation>,
) -> Result<Layer> {
    let Some((last, branch)) = node.branch.split_last() else {
        return Err(Error::config("layers", "expected a branch with layers, got one without"));
    };
    let before_last = places(branch, place).last().copied().unwrap_or(place);
    Ok(Layer::Residual(Residual {
        branch: inner(builder, branch, place, None)?,
        last: operation(builder, last, before_last, activation)?,
        shortcut: inner(builder, &node.shortcut, place, None)?,
    }))
}

fn through(layers: &[Layer], x: Signal, block: &Block<'_>) -> Result<Signal> {
    Ok(pass(layers, &x, block, None)?.unwrap_or(x))
}

/// Through layers; nothing if there are none.
fn pass(layers: &[Layer], x: &Signal, block: &Block<'_>, angles: Places<'_>) -> Result<Option<Signal>> {
    let mut signal: Option<Signal> = None;
    for layer in layers {
        let next = layer.forward(signal.as_ref().unwrap_or(x), block, angles)?;
        signal = Some(next);
    }
    Ok(signal)
}

impl Layer {
    fn attentions<'a>(&'a self, found: &mut Vec<&'a dyn Attention>) {
        match self {
            Self::Operation(_) => {}
            Self::Attention(attention) => found.push(&**attention),
            Self::Residual(residual) => {
                residual.branch.iter().chain(&residual.shortcut).for_each(|layer| layer.attentions(found));
            }
            Self::Transformer { layers, .. } => layers.iter().for_each(|layer| layer.attentions(found)),
        }
    }

    fn forward(&self, x: &Signal, block: &Block<'_>, angles: Places<'_>) -> Result<Signal> {
        match self {
            Self::Operation(operation) => operation.forward(x, None, block),
            Self::Attention(attention) => match angles {
                Some(angles) => attention.forward(x, angles, block),
                None => Err(Error::config("layers", "expected attention inside a transformer, got it outside")),
            },
            Self::Residual(Residual { branch, last, shortcut }) => {
                let branch = pass(branch, x, block, angles)?;
                let shortcut = pass(shortcut, x, block, angles)?;
                last.forward(branch.as_ref().unwrap_or(x), Some(shortcut.as_ref().unwrap_or(x)), block)
            }
            Self::Transformer { rotary, layers } => {
                let angles = rotary.angles(x.dims()[1], block)?;
                pass(layers, x, block, Some(&angles))?
                    .ok_or_else(|| Error::config("layers", "expected a transformer with layers, got one without"))
            }
        }
    }
}

/// Signals one after the other along an axis.
fn join(mut parts: Vec<Signal>, axis: usize) -> Result<Signal> {
    match parts.pop() {
        // Joined to nothing it would be a view of itself.
        Some(only) if parts.is_empty() => Ok(only),
        last => {
            parts.extend(last);
            let tensors = parts.iter().map(Signal::tensor).collect::<Result<Vec<_>>>()?;
            Signal::of(Tensor::cat(&tensors, axis)?)
        }
    }
}
