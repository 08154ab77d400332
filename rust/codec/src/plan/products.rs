//! The products that a frame asks for: what a machine has to do at least.

use super::sizes::steps;
use super::{Node, Plan};

/// A product of a layer in one frame: `rows` times `depth` with `depth` times `columns`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The layer's module.
    pub name: String,
    /// Rows of the left matrix, which the layer's inputs are.
    pub rows: usize,
    /// Floats that a row sees.
    pub depth: usize,
    /// Outputs of a row.
    pub columns: usize,
    /// Floats from a row to the next: less than `depth` where rows overlap.
    pub stride: usize,
}

impl Plan {
    /// The products of the encoder's chain and of the decoder's. Convolutions whose channels go their own way have none.
    pub(crate) fn products(&self) -> [Vec<Product>; 2] {
        [(&self.encoder, self.frame_size()), (&self.decoder, 1)].map(|(chain, first)| {
            let mut found = Vec::new();
            add(chain.as_deref().unwrap_or_default(), first, &mut found);
            found
        })
    }
}

/// Those of a chain whose frames have `first` inputs.
fn add(chain: &[Node], first: usize, found: &mut Vec<Product>) {
    for (node, inputs) in chain.iter().zip(steps(chain, first)) {
        let mut product = |name: &str, rows, depth, columns, stride| {
            found.push(Product { name: name.to_owned(), rows, depth, columns, stride });
        };
        match node {
            Node::Conv(conv) if conv.groups == 1 => {
                let (rows, depth) = (inputs / conv.stride, conv.kernel * conv.c_in);
                product(&conv.name, rows, depth, conv.c_out, conv.stride * conv.c_in);
            }
            Node::ConvTranspose(conv) if conv.groups == 1 => {
                product(&conv.name, inputs, conv.kernel / conv.stride * conv.c_in, conv.stride * conv.c_out, conv.c_in);
            }
            Node::Linear(linear) => {
                let name = linear.modules.first().map_or("", |module| &module.name);
                product(name, inputs, linear.c_in, linear.c_out(), linear.c_in);
            }
            Node::Residual(residual) => {
                add(&residual.branch, inputs, found);
                add(&residual.shortcut, inputs, found);
            }
            Node::Transformer(transformer) => add(&transformer.layers, inputs, found),
            Node::Conv(_)
            | Node::ConvTranspose(_)
            | Node::Norm(_)
            | Node::Activation(_)
            | Node::Snake(_)
            | Node::Gate(_)
            | Node::Attention(_) => {}
        }
    }
}
