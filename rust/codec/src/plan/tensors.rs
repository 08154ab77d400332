//! Every tensor that a plan asks for: its canonical name, its shape, and what it belongs to.

use std::ops::Range;

use super::{Embedding, Linear, Node, NormKind, Plan, Quantizer};

/// Which part of a codec a tensor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// From samples to latents.
    Encoder,
    /// From latents to samples.
    Decoder,
    /// Between latents and codes.
    Quantizer,
}

/// What the layouts of files need to know of a tensor to find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Nothing more than its name.
    Plain,
    /// It belongs to a transposed convolution.
    Transposed,
    /// It belongs to one of several projections of the same input, which some files keep as one tensor.
    Projected {
        /// Its rows in that tensor.
        rows: Range<usize>,
        /// All rows of that tensor.
        of: usize,
        /// The size of a head, where the rows are turned by rotary embedding.
        rotary: Option<usize>,
    },
    /// A single 1, which nothing reads and files have nevertheless.
    Flag,
}

/// A tensor that a plan asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// The canonical name.
    pub name: String,
    /// The shape, in PyTorch's order of axes.
    pub shape: Vec<usize>,
    /// What the tensor belongs to.
    pub part: Part,
    /// What the layouts of files need to know of it.
    pub kind: Kind,
}

impl Plan {
    /// All tensors, in the order of the flow of data.
    pub(crate) fn tensors(&self) -> Vec<TensorSpec> {
        let mut list = List { specs: Vec::new(), part: Part::Encoder };
        list.chain(self.encoder.iter().flatten());
        // A quantizer for one direction belongs to the half that it serves.
        list.part = if self.embedding.is_some() { Part::Encoder } else { Part::Quantizer };
        self.quantizer.iter().for_each(|quantizer| list.quantizer(quantizer));
        list.part = Part::Decoder;
        match &self.embedding {
            Some(Embedding::Residual(quantizer)) => list.quantizer(quantizer),
            Some(Embedding::Mean(table)) => {
                let rows = table.codebooks.saturating_mul(table.entries);
                list.add(format!("{}.weight", table.name), &[rows, table.dim], Kind::Plain);
            }
            None => {}
        }
        list.chain(self.decoder.iter().flatten());
        list.specs
    }
}

/// A list under construction.
struct List {
    specs: Vec<TensorSpec>,
    part: Part,
}

impl List {
    fn add(&mut self, name: impl Into<String>, shape: &[usize], kind: Kind) {
        self.specs.push(TensorSpec { name: name.into(), shape: shape.to_vec(), part: self.part, kind });
    }

    /// A weight and, if there is one, a bias over its outputs.
    fn weight_and_bias(&mut self, module: &str, shape: &[usize], bias: Option<usize>, kind: Kind) {
        self.add(format!("{module}.weight"), shape, kind.clone());
        if let Some(size) = bias {
            self.add(format!("{module}.bias"), &[size], kind);
        }
    }

    fn chain<'a>(&mut self, chain: impl IntoIterator<Item = &'a Node>) {
        for node in chain {
            node.visit(&mut |node| self.node(node));
        }
    }

    /// The tensors of a layer itself; those of layers inside it come by their own visit.
    fn node(&mut self, node: &Node) {
        match node {
            Node::Conv(conv) => {
                let shape = [conv.c_out, conv.c_in / conv.groups, conv.kernel];
                self.weight_and_bias(&conv.name, &shape, conv.bias.then_some(conv.c_out), Kind::Plain);
                if let Some(scale) = &conv.scale {
                    self.add(scale, &[conv.c_out], Kind::Plain);
                }
            }
            Node::ConvTranspose(conv) => {
                let shape = [conv.c_in, conv.c_out / conv.groups, conv.kernel];
                self.weight_and_bias(&conv.name, &shape, conv.bias.then_some(conv.c_out), Kind::Transposed);
            }
            Node::Norm(norm) => {
                let bias = (norm.kind == NormKind::Layer).then_some(norm.channels);
                self.weight_and_bias(&norm.name, &[norm.channels], bias, Kind::Plain);
            }
            Node::Snake(snake) => {
                for field in ["alpha", "beta"] {
                    self.add(format!("{}.{field}", snake.name), &[snake.channels], Kind::Plain);
                }
            }
            Node::Linear(linear) => self.linear(linear),
            Node::Activation(_) | Node::Gate(_) | Node::Attention(_) | Node::Residual(_) | Node::Transformer(_) => {}
        }
    }

    fn linear(&mut self, linear: &Linear) {
        let mut first = 0;
        for module in &linear.modules {
            let mut shape = vec![module.c_out, linear.c_in];
            shape.extend(linear.pointwise.then_some(1));
            let rows = first..first + module.c_out;
            first = rows.end;
            let kind = if linear.modules.len() == 1 {
                Kind::Plain
            } else {
                Kind::Projected { rows, of: linear.c_out(), rotary: module.rotary }
            };
            self.weight_and_bias(&module.name, &shape, linear.bias.then_some(module.c_out), kind);
        }
        if let Some(scale) = &linear.scale {
            self.add(scale, &[linear.c_out()], Kind::Plain);
        }
    }

    fn quantizer(&mut self, quantizer: &Quantizer) {
        for residual in &quantizer.residual {
            residual.input.iter().chain(&residual.output).for_each(|linear| self.linear(linear));
            for codebook in &residual.codebooks {
                let sums = format!("{codebook}.{}", residual.sums);
                self.add(sums, &[residual.entries, residual.dim], Kind::Plain);
                self.add(format!("{codebook}.cluster_usage"), &[residual.entries], Kind::Plain);
                if residual.flags {
                    self.add(format!("{codebook}.initialized"), &[1], Kind::Flag);
                }
            }
        }
    }
}
