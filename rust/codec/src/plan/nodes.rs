//! The layers that codecs are made of, with the names of their modules.

pub(crate) use crate::ops::{Activation, Edge};

/// Layers one after the other.
pub(crate) type Chain = Vec<Node>;

/// A layer, or several that belong together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// A causal convolution.
    Conv(Conv),
    /// A causal transposed convolution.
    ConvTranspose(ConvTranspose),
    /// A dense layer over the channels.
    Linear(Linear),
    /// Normalisation over the channels.
    Norm(Norm),
    /// A function of each value.
    Activation(Activation),
    /// A periodic function of each value, with parameters for each channel.
    Snake(Snake),
    /// The first half of the channels, through a function, times the second half.
    Gate(Gate),
    /// Attention of each step to a window that ends with it.
    Attention(Attention),
    /// `shortcut(x) + branch(x)`.
    Residual(Residual),
    /// Layers whose attention turns queries and keys by their position.
    Transformer(Transformer),
}

/// `y[t] = bias + sum_k W[k] x[t stride - history + k dilation]`, with `history = (kernel - 1) dilation + 1 - stride`.
///
/// Tensors `{name}.weight` `(c_out, c_in / groups, kernel)` and `{name}.bias`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conv {
    /// The module's name.
    pub(crate) name: String,
    /// Channels of the input.
    pub(crate) c_in: usize,
    /// Channels of the output.
    pub(crate) c_out: usize,
    /// Inputs that an output sees.
    pub(crate) kernel: usize,
    /// Inputs from one output to the next.
    pub(crate) stride: usize,
    /// Inputs from one that an output sees to the next.
    pub(crate) dilation: usize,
    /// Groups of channels that do not see each other; they divide both numbers of channels.
    pub(crate) groups: usize,
    /// Whether there is a bias.
    pub(crate) bias: bool,
    /// A tensor `(c_out,)` by which the outputs are multiplied.
    pub(crate) scale: Option<String>,
    /// What lies before the first input and after the last.
    pub(crate) edge: Edge,
}

/// `y[t stride + j] = bias + sum_i W[i stride + j] x[t - i]`, for `i` from 0 to `kernel / stride - 1`.
///
/// Tensors `{name}.weight` `(c_in, c_out / groups, kernel)` and `{name}.bias`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConvTranspose {
    /// The module's name.
    pub(crate) name: String,
    /// Channels of the input.
    pub(crate) c_in: usize,
    /// Channels of the output.
    pub(crate) c_out: usize,
    /// Outputs that an input adds to, a multiple of the stride.
    pub(crate) kernel: usize,
    /// Outputs for each input.
    pub(crate) stride: usize,
    /// Outputs at the start of a clip that are cut off: what comes after it sees zeros in their place.
    pub(crate) delay: usize,
    /// Groups of channels that do not see each other; they divide both numbers of channels.
    pub(crate) groups: usize,
    /// Whether there is a bias.
    pub(crate) bias: bool,
}

/// `y = scale * (W x + bias)`, of one module or of several side by side that share their input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Linear {
    /// The modules, in the order of their outputs.
    pub(crate) modules: Vec<Projection>,
    /// Channels of the input.
    pub(crate) c_in: usize,
    /// Whether the modules have biases.
    pub(crate) bias: bool,
    /// A tensor `(c_out,)` by which the outputs are multiplied.
    pub(crate) scale: Option<String>,
    /// Whether the weights are stored as those of a convolution with kernel 1, `(c_out, c_in, 1)`.
    pub(crate) pointwise: bool,
}

/// One module of a [`Linear`]: tensors `{name}.weight` and `{name}.bias`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Projection {
    /// The module's name.
    pub(crate) name: String,
    /// Channels of its output.
    pub(crate) c_out: usize,
    /// The size of a head, where the outputs are turned by rotary embedding: some files order them in another way.
    pub(crate) rotary: Option<usize>,
}

/// Normalisation over the channels: tensors `{name}.weight` and, of a layer norm, `{name}.bias`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Norm {
    /// The module's name.
    pub(crate) name: String,
    /// Which one it is.
    pub(crate) kind: NormKind,
    /// Channels.
    pub(crate) channels: usize,
    /// What keeps the division finite.
    pub(crate) epsilon: f64,
}

/// Kinds of normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NormKind {
    /// `(x - mean) / sqrt(variance + epsilon) * weight + bias`.
    Layer,
    /// `x / sqrt(mean(x^2) + epsilon) * weight` (Zhang and Sennrich 2019).
    RootMeanSquare,
}

/// `x + sin^2(e^alpha x) / (e^beta + 1e-9)`: Snake (Ziyin et al. 2020) with a scale of its own, as in BigVGAN (Lee et al.
/// 2022). Tensors `{name}.alpha` and `{name}.beta`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snake {
    /// The module's name.
    pub(crate) name: String,
    /// Channels.
    pub(crate) channels: usize,
}

/// `activation(x[..channels]) * x[channels..]` (Shazeer 2020).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    /// The function of the first half.
    pub(crate) activation: Activation,
    /// Channels of the output, half of those of the input.
    pub(crate) channels: usize,
}

/// Attention of each step to the `window` steps that end with it; its input has queries, keys and values side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attention {
    /// Query heads.
    pub(crate) heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub(crate) kv_heads: usize,
    /// Floats per head, an even number.
    pub(crate) head_dim: usize,
    /// Steps that a query sees, its own included.
    pub(crate) window: usize,
}

/// `shortcut(x) + branch(x)`. Without layers the shortcut is `x` itself; the branch ends with a convolution or a dense layer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Residual {
    /// The layers whose output is added.
    pub(crate) branch: Chain,
    /// The layers it is added to; usually none.
    pub(crate) shortcut: Chain,
}

/// Layers with rotary embedding (Su et al. 2021, half-split order).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Transformer {
    /// The layers.
    pub(crate) layers: Chain,
    /// The shape of their attention.
    pub(crate) attention: Attention,
    /// Base of the frequencies.
    pub(crate) theta: f64,
}

impl Conv {
    /// Inputs before a block that its outputs see: Transformers' `padding_total`.
    pub(crate) fn history(&self) -> usize {
        ((self.kernel - 1).saturating_mul(self.dilation).saturating_add(1)).saturating_sub(self.stride)
    }
}

impl ConvTranspose {
    /// Inputs before a block that its outputs see.
    pub(crate) fn history(&self) -> usize {
        (self.kernel / self.stride.max(1)).saturating_sub(1)
    }
}

impl Linear {
    /// One module with all outputs.
    pub(crate) fn new(name: impl Into<String>, c_in: usize, c_out: usize, bias: bool) -> Self {
        let modules = vec![Projection { name: name.into(), c_out, rotary: None }];
        Self { modules, c_in, bias, scale: None, pointwise: false }
    }

    /// Channels of the output.
    pub(crate) fn c_out(&self) -> usize {
        self.modules.iter().fold(0, |sum, module| sum.saturating_add(module.c_out))
    }
}
