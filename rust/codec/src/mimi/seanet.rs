//! The convolution stacks (SEANet, Tagliasacchi et al. 2020): from samples to the transformer's rate, and back.

use candle_core::Tensor;

use crate::Result;
use crate::config::SeanetLayer;
use crate::mimi::builder::Builder;
use crate::ops::{Activation, Backend, Conv, ConvShape, ConvTranspose, ConvTransposeShape, Edge, elu};
use crate::state::Block;

/// A stack of convolutions, each with the ELU that follows it.
pub(crate) struct Seanet {
    layers: Vec<Layer>,
    backend: Backend,
}

enum Layer {
    Conv(Conv),
    ConvTranspose(ConvTranspose),
    Residual(Box<Residual>),
}

/// `shortcut(x) + narrow(elu(wide(elu(x))))`.
struct Residual {
    wide: Conv,
    narrow: Conv,
    shortcut: Option<Conv>,
}

impl Seanet {
    /// The stack whose tensors are `{name}.layers.N`.
    pub(crate) fn load(builder: &mut Builder<'_>, name: &str, stack: &[SeanetLayer]) -> Result<Self> {
        let mut layers = Vec::new();
        for (i, &layer) in stack.iter().enumerate() {
            // Rows of the layer's product in a step of the transformer.
            let rows: usize =
                stack[..i].iter().map(upsampling).chain(stack[i + 1..].iter().map(downsampling)).product();
            let slow = rows == 1;
            // An ELU is the end of the layer before it.
            let activation = (stack.get(i + 1) == Some(&SeanetLayer::Elu)).then_some(Activation::Elu);
            layers.push(match layer {
                SeanetLayer::Elu => continue,
                SeanetLayer::Conv { index, c_in, c_out, kernel, stride } => {
                    let shape =
                        ConvShape { c_in, c_out, kernel, stride, dilation: 1, edge: Edge::Zero, slow, activation };
                    Layer::Conv(builder.conv(&format!("{name}.layers.{index}"), shape, true)?)
                }
                SeanetLayer::ConvTranspose { index, c_in, c_out, stride, .. } => {
                    let shape = ConvTransposeShape { c_in, c_out, stride, groups: 1, slow, activation };
                    Layer::ConvTranspose(builder.conv_transpose(&format!("{name}.layers.{index}"), shape, true)?)
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
                        slow,
                        activation,
                    };
                    let wide = ConvShape { kernel, dilation, ..pointwise(channels, hidden, Some(Activation::Elu)) };
                    Layer::Residual(Box::new(Residual {
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
            });
        }
        Ok(Self { layers, backend: builder.backend().clone() })
    }

    /// `(rows, steps, channels)` through all layers.
    pub(crate) fn forward(&self, x: &Tensor, block: &Block<'_>) -> Result<Tensor> {
        let mut x = x.clone();
        for layer in &self.layers {
            x = match layer {
                Layer::Conv(conv) => conv.forward(&x, None, block)?,
                Layer::ConvTranspose(conv) => conv.forward(&x, block)?,
                Layer::Residual(residual) => {
                    let hidden = residual.wide.forward(&elu(&self.backend, &x)?, None, block)?;
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
            Layer::Conv(conv) => conv.bytes(),
            Layer::ConvTranspose(conv) => conv.bytes(),
            Layer::Residual(block) => {
                block.wide.bytes() + block.narrow.bytes() + block.shortcut.as_ref().map_or(0, Conv::bytes)
            }
        };
        self.layers.iter().map(bytes).sum()
    }
}

fn upsampling(layer: &SeanetLayer) -> usize {
    if let SeanetLayer::ConvTranspose { stride, .. } = layer { *stride } else { 1 }
}

fn downsampling(layer: &SeanetLayer) -> usize {
    if let SeanetLayer::Conv { stride, .. } = layer { *stride } else { 1 }
}
