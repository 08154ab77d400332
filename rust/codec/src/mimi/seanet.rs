//! The convolution stacks (SEANet, Tagliasacchi et al. 2020): from samples to the transformer's rate, and back.

use candle_core::Tensor;

use crate::Result;
use crate::config::SeanetLayer;
use crate::mimi::builder::Builder;
use crate::ops::{Activation, ConvShape, ConvTransposeShape, Edge, Operation, Signal};
use crate::state::Block;

/// A stack of convolutions, each with the ELU that follows it.
///
/// Its slow layers have large weights and few steps, its fast ones small weights and many steps. A long block goes through
/// the slow ones as a whole, which reads their weights once for all its rows, and through the fast ones in pieces that stay
/// in the cache.
pub(crate) struct Seanet {
    fast: Vec<Layer>,
    slow: Vec<Layer>,
    /// Whether the steps become fewer: the fast layers are then the first.
    downwards: bool,
    /// Inputs of the fast layers in a piece, over all its rows.
    piece: usize,
}

/// Transformer steps in a piece: of Mimi's 25 a second, four make activations of a megabyte where they are widest.
const PIECE_STEPS: usize = 4;

enum Layer {
    One(Box<dyn Operation>),
    Residual(Box<Residual>),
}

/// `shortcut(x) + narrow(elu(wide(elu(x))))`.
struct Residual {
    elu: Box<dyn Operation>,
    wide: Box<dyn Operation>,
    narrow: Box<dyn Operation>,
    shortcut: Option<Box<dyn Operation>>,
}

impl Seanet {
    /// The stack whose tensors are `{name}.layers.N`.
    pub(crate) fn load(builder: &mut Builder<'_>, name: &str, stack: &[SeanetLayer]) -> Result<Self> {
        let (mut fast, mut slow_layers, mut piece) = (Vec::new(), Vec::new(), 0);
        let downwards = stack.iter().map(downsampling).product::<usize>() > 1;
        for (i, &layer) in stack.iter().enumerate() {
            // Rows of the layer's product in a step of the transformer.
            let rows: usize =
                stack[..i].iter().map(upsampling).chain(stack[i + 1..].iter().map(downsampling)).product();
            let slow = rows == 1;
            let rows_per_frame = rows * builder.config().latent_stride();
            // An ELU is the end of the layer before it.
            let activation = (stack.get(i + 1) == Some(&SeanetLayer::Elu)).then_some(Activation::Elu);
            let layer = match layer {
                SeanetLayer::Elu => continue,
                SeanetLayer::Conv { index, c_in, c_out, kernel, stride } => {
                    let shape = ConvShape {
                        c_in,
                        c_out,
                        kernel,
                        stride,
                        dilation: 1,
                        edge: Edge::Zero,
                        rows_per_frame,
                        activation,
                    };
                    Layer::One(builder.conv(&format!("{name}.layers.{index}"), shape, true)?)
                }
                SeanetLayer::ConvTranspose { index, c_in, c_out, stride, .. } => {
                    let shape = ConvTransposeShape { c_in, c_out, stride, groups: 1, rows_per_frame, activation };
                    Layer::One(builder.conv_transpose(&format!("{name}.layers.{index}"), shape, true)?)
                }
                SeanetLayer::Residual { index, channels, hidden, kernel, dilation, shortcut } => {
                    let name = format!("{name}.layers.{index}");
                    let pointwise = |c_in, c_out, activation| ConvShape {
                        c_in,
                        c_out,
                        kernel: 1,
                        stride: 1,
                        dilation: 1,
                        edge: Edge::Zero,
                        rows_per_frame,
                        activation,
                    };
                    let wide = ConvShape { kernel, dilation, ..pointwise(channels, hidden, Some(Activation::Elu)) };
                    Layer::Residual(Box::new(Residual {
                        elu: builder.backend().activation(Activation::Elu)?,
                        wide: builder.conv(&format!("{name}.block.1"), wide, true)?,
                        narrow: builder.conv(
                            &format!("{name}.block.3"),
                            pointwise(hidden, channels, activation),
                            true,
                        )?,
                        shortcut: shortcut
                            .then(|| {
                                builder.conv(&format!("{name}.shortcut"), pointwise(channels, channels, None), true)
                            })
                            .transpose()?,
                    }))
                }
            };
            if slow {
                slow_layers.push(layer);
            } else {
                if fast.is_empty() {
                    piece = PIECE_STEPS * rows * stack.get(i).map_or(1, downsampling);
                }
                fast.push(layer);
            }
        }
        Ok(Self { fast, slow: slow_layers, downwards, piece })
    }

    /// `(rows, steps, channels)` through all layers.
    pub(crate) fn forward(&self, x: Signal, block: &Block<'_>) -> Result<Signal> {
        if self.downwards {
            self.through(&self.slow, self.in_pieces(x, block)?, block)
        } else {
            self.in_pieces(self.through(&self.slow, x, block)?, block)
        }
    }

    /// Through the fast layers, piece by piece: a few short rows at a time, or a part of a long one.
    fn in_pieces(&self, x: Signal, block: &Block<'_>) -> Result<Signal> {
        let (rows, steps, _) = x.dims3()?;
        if self.fast.is_empty() || rows * steps <= self.piece {
            return self.through(&self.fast, x, block);
        }
        let height = (self.piece / steps).max(1);
        let strips = (0..rows).step_by(height).map(|first| {
            let count = height.min(rows - first);
            let strip = x.narrow(0, first, count)?;
            let pieces = (0..steps).step_by(self.piece).map(|from| {
                let piece = strip.narrow(1, from, self.piece.min(steps - from))?.contiguous()?;
                let end = block.end && from + self.piece >= steps;
                let block = Block { rows: &block.rows[first..first + count], end, ..*block };
                self.through(&self.fast, piece.into(), &block)
            });
            join(pieces.collect::<Result<_>>()?, 1)
        });
        join(strips.collect::<Result<_>>()?, 0)
    }

    fn through(&self, layers: &[Layer], mut x: Signal, block: &Block<'_>) -> Result<Signal> {
        for layer in layers {
            x = match layer {
                Layer::One(operation) => operation.forward(&x, None, block)?,
                Layer::Residual(residual) => {
                    let activated = residual.elu.forward(&x, None, block)?;
                    let hidden = residual.wide.forward(&activated, None, block)?;
                    let shortcut = match &residual.shortcut {
                        Some(conv) => conv.forward(&x, None, block)?,
                        None => x,
                    };
                    residual.narrow.forward(&hidden, Some(&shortcut), block)?
                }
            };
        }
        Ok(x)
    }

    pub(crate) fn bytes(&self) -> usize {
        let bytes = |layer: &Layer| match layer {
            Layer::One(operation) => operation.bytes(),
            Layer::Residual(block) => {
                block.wide.bytes() + block.narrow.bytes() + block.shortcut.as_ref().map_or(0, |conv| conv.bytes())
            }
        };
        self.fast.iter().chain(&self.slow).map(bytes).sum()
    }
}

/// Signals one after the other along an axis.
fn join(mut parts: Vec<Signal>, axis: usize) -> Result<Signal> {
    match parts.pop() {
        // Joined to nothing it would be a view of itself.
        Some(only) if parts.is_empty() => Ok(only),
        last => {
            parts.extend(last);
            Ok(Tensor::cat(&parts, axis)?.into())
        }
    }
}

fn upsampling(layer: &SeanetLayer) -> usize {
    if let SeanetLayer::ConvTranspose { stride, .. } = layer { *stride } else { 1 }
}

fn downsampling(layer: &SeanetLayer) -> usize {
    if let SeanetLayer::Conv { stride, .. } = layer { *stride } else { 1 }
}
