//! What follows from a plan's numbers: rates, widths, and the memory of a stream, checked before anything is made.

use super::{Node, Plan};
use crate::error::{Error, Result};

/// Most elements in one tensor.
const MAX_TENSOR: usize = 1 << 31;
/// Most elements that one layer of a stream may remember.
const MAX_MEMORY: usize = 1 << 24;

impl Node {
    /// Inputs for each output, or outputs for each input.
    pub(crate) fn stride(&self) -> usize {
        match self {
            Self::Conv(conv) => conv.stride,
            Self::ConvTranspose(conv) => conv.stride,
            _ => 1,
        }
    }

    /// Steps in a frame after this layer, of `steps` before it.
    pub(crate) fn steps_after(&self, steps: usize) -> usize {
        match self {
            Self::Conv(conv) => steps / conv.stride,
            Self::ConvTranspose(conv) => steps.saturating_mul(conv.stride),
            _ => steps,
        }
    }

    /// Steps before a clip's first one after this layer, of `lead` before it.
    pub(crate) fn lead_after(&self, lead: usize) -> usize {
        match self {
            Self::ConvTranspose(conv) => self.steps_after(lead).saturating_add(conv.delay),
            _ => self.steps_after(lead),
        }
    }

    /// Whether an output sees inputs before its own.
    pub(crate) fn looks_back(&self) -> bool {
        match self {
            Self::Conv(conv) => conv.history() > 0,
            Self::ConvTranspose(conv) => conv.history() > 0,
            Self::Attention(_) => true,
            _ => false,
        }
    }

    /// Channels that go in, where the layer says so.
    pub(crate) fn c_in(&self) -> Option<usize> {
        match self {
            Self::Conv(conv) => Some(conv.c_in),
            Self::ConvTranspose(conv) => Some(conv.c_in),
            Self::Linear(linear) => Some(linear.c_in),
            Self::Norm(norm) => Some(norm.channels),
            Self::Attention(shape) => Some((shape.heads + 2 * shape.kv_heads) * shape.head_dim),
            Self::Snake(snake) => Some(snake.channels),
            Self::Gate(gate) => Some(gate.channels.saturating_mul(2)),
            Self::Activation(_) => None,
            Self::Residual(residual) => residual.branch.iter().find_map(Self::c_in),
            Self::Transformer(transformer) => transformer.layers.iter().find_map(Self::c_in),
        }
    }

    /// Channels that come out, where the layer says so.
    pub(crate) fn c_out(&self) -> Option<usize> {
        match self {
            Self::Conv(conv) => Some(conv.c_out),
            Self::ConvTranspose(conv) => Some(conv.c_out),
            Self::Linear(linear) => Some(linear.c_out()),
            Self::Norm(norm) => Some(norm.channels),
            Self::Attention(shape) => Some(shape.heads * shape.head_dim),
            Self::Snake(snake) => Some(snake.channels),
            Self::Gate(gate) => Some(gate.channels),
            Self::Activation(_) => None,
            Self::Residual(residual) => residual.branch.iter().rev().find_map(Self::c_out),
            Self::Transformer(transformer) => transformer.layers.iter().rev().find_map(Self::c_out),
        }
    }

    /// Calls `visit` with this layer and all layers inside it.
    pub(crate) fn visit<'a>(&'a self, visit: &mut impl FnMut(&'a Node)) {
        visit(self);
        let inside: [&[Node]; 2] = match self {
            Self::Residual(residual) => [&residual.branch, &residual.shortcut],
            Self::Transformer(transformer) => [&transformer.layers, &[]],
            _ => [&[], &[]],
        };
        inside.into_iter().flatten().for_each(|node| node.visit(visit));
    }

    /// Floats that a stream remembers for this layer itself.
    fn memory(&self) -> usize {
        match self {
            Self::Conv(conv) => conv.history().saturating_mul(conv.c_in),
            Self::ConvTranspose(conv) => conv.history().saturating_mul(conv.c_in),
            Self::Attention(shape) => shape.window.saturating_mul(shape.kv_heads.saturating_mul(2 * shape.head_dim)),
            _ => 0,
        }
    }

    /// The name of the layer's first tensor's module, if it has one itself.
    fn name(&self) -> &str {
        match self {
            Self::Conv(conv) => &conv.name,
            Self::ConvTranspose(conv) => &conv.name,
            Self::Norm(norm) => &norm.name,
            Self::Snake(snake) => &snake.name,
            Self::Linear(linear) => linear.modules.first().map_or("", |module| &module.name),
            Self::Attention(_) => "attention",
            _ => "",
        }
    }
}

/// What a frame asks of a layer that has `steps` inputs in it: the most rows of one of its products, and the floats of its
/// largest signal.
pub(crate) fn load(node: &Node, first: usize) -> (usize, usize) {
    let inside = |chain: &[Node]| {
        let loads = chain.iter().zip(steps(chain, first)).map(|(node, steps)| load(node, steps));
        loads.fold((0, 0), |most, load| (most.0.max(load.0), most.1.max(load.1)))
    };
    let floats = |steps: usize, channels: Option<usize>| steps.saturating_mul(channels.unwrap_or(0));
    let after = node.steps_after(first);
    match node {
        Node::Residual(residual) => {
            let (branch, shortcut) = (inside(&residual.branch), inside(&residual.shortcut));
            (branch.0.max(shortcut.0), branch.1.max(shortcut.1))
        }
        Node::Transformer(transformer) => inside(&transformer.layers),
        _ => (first.min(after), floats(first, node.c_in()).max(floats(after, node.c_out()))),
    }
}

/// A place in a chain: before a layer, or after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Steps in a frame.
    pub(crate) steps: usize,
    /// Steps before a clip's first one, which do not count.
    pub(crate) lead: usize,
}

/// The places of a chain: before the first layer, between layers, after the last.
pub(crate) fn places(chain: &[Node], first: Place) -> Vec<Place> {
    let mut places = vec![first];
    places.extend(chain.iter().scan(first, |place, node| {
        *place = Place { steps: node.steps_after(place.steps), lead: node.lead_after(place.lead) };
        Some(*place)
    }));
    places
}

/// Steps in a frame at each place of a chain.
pub(crate) fn steps(chain: &[Node], first: usize) -> Vec<usize> {
    places(chain, Place { steps: first, lead: 0 }).into_iter().map(|place| place.steps).collect()
}

impl Plan {
    /// Checks that no tensor and no layer's memory is absurdly large. `field` names the configuration's field that the
    /// module of a name, or `"attention"`, takes its size from.
    pub(crate) fn check_sizes(&self, field: impl Fn(&str) -> &'static str) -> Result<()> {
        let mut too_large = None;
        for node in self.encoder.iter().chain(&self.decoder).flatten() {
            node.visit(&mut |node| {
                if too_large.is_none() && node.memory() > MAX_MEMORY {
                    too_large = Some((node.name(), node.memory()));
                }
            });
        }
        if let Some((name, got)) = too_large {
            let message = format!("expected a layer's memory of at most {MAX_MEMORY} elements, got {got}");
            return Err(Error::config(field(name), message));
        }
        for spec in self.tensors() {
            let elements = spec.shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
            if elements.is_none_or(|elements| elements > MAX_TENSOR) {
                let message =
                    format!("tensor `{}` of shape {:?} has more than {MAX_TENSOR} elements", spec.name, spec.shape);
                return Err(Error::config(field(&spec.name), message));
            }
        }
        Ok(())
    }
}
