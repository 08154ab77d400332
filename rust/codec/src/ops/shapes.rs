//! What operations compute, apart from their weights.

/// What a dense layer computes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinearShape {
    pub(crate) c_in: usize,
    pub(crate) c_out: usize,
    /// Steps in a frame of the codec.
    pub(crate) rows_per_frame: usize,
    pub(crate) activation: Option<Activation>,
    /// Whether the weights must stay as they are, however those of other layers are kept.
    pub(crate) exact: bool,
}

/// What a convolution computes. `groups` is 1 or divides both channel counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvShape {
    pub(crate) c_in: usize,
    pub(crate) c_out: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    pub(crate) groups: usize,
    pub(crate) edge: Edge,
    /// Outputs in a frame of the codec.
    pub(crate) rows_per_frame: usize,
    pub(crate) activation: Option<Activation>,
}

impl ConvShape {
    /// Inputs from the first to the last that an output sees.
    pub(crate) fn reach(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// Inputs before a block that its outputs see: Transformers' `padding_total`.
    pub(crate) fn history(&self) -> usize {
        self.reach().saturating_sub(self.stride)
    }

    /// Whether each channel goes its own way.
    pub(crate) fn depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.c_in && self.groups == self.c_out
    }
}

/// What lies before the first input and after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// Zeros.
    Zero,
    /// The first input, and the last.
    Replicate,
}

/// What a transposed convolution computes. `kernel` is a multiple of `stride`; `groups` is 1 or divides both channel counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvTransposeShape {
    pub(crate) c_in: usize,
    pub(crate) c_out: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) groups: usize,
    /// Inputs in a frame of the codec.
    pub(crate) rows_per_frame: usize,
    pub(crate) activation: Option<Activation>,
}

impl ConvTransposeShape {
    /// Inputs before a block that its outputs see.
    pub(crate) fn history(&self) -> usize {
        self.kernel / self.stride - 1
    }

    /// Whether each channel goes its own way.
    pub(crate) fn depthwise(&self) -> bool {
        self.groups == self.c_in && self.groups == self.c_out
    }
}

/// What an attention layer computes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionShape {
    pub(crate) heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub(crate) kv_heads: usize,
    /// Floats per head, an even number.
    pub(crate) head_dim: usize,
    /// Steps that a query sees, its own included.
    pub(crate) window: usize,
    /// Steps in a frame of the codec.
    pub(crate) rows_per_frame: usize,
}

impl AttentionShape {
    /// Floats of a step's keys and values.
    #[cfg_attr(not(feature = "composed"), expect(dead_code, reason = "for the composed backend"))]
    pub(crate) fn step_len(&self) -> usize {
        2 * self.kv_heads * self.head_dim
    }
}

/// Shape of codebooks, and what they are for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodebookShape {
    /// Entries of each.
    pub(crate) entries: usize,
    /// Floats of an entry.
    pub(crate) dim: usize,
    /// Whether codes are searched.
    pub(crate) searched: bool,
    /// Whether entries are added up.
    pub(crate) summed: bool,
}

/// Shape of a table of rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableShape {
    /// Codebooks, one after the other.
    pub(crate) codebooks: usize,
    /// Rows of each.
    pub(crate) entries: usize,
    /// Floats of a row.
    pub(crate) dim: usize,
}

/// A function of each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// `x` above zero, `e^x - 1` below.
    Elu,
    /// `x` times the normal distribution's share below `x`.
    GeluErf,
    /// The same by its approximation with `tanh`.
    GeluTanh,
    /// `x / (1 + e^-x)`.
    Silu,
    /// The nearest of the values from -1 to 1.
    Clamp,
}

impl Activation {
    /// The kernels' word for it.
    pub(super) fn of_kernels(self) -> mimi_kernels::Activation {
        match self {
            Self::Elu => mimi_kernels::Activation::Elu,
            Self::GeluErf => mimi_kernels::Activation::GeluErf,
            Self::GeluTanh => mimi_kernels::Activation::GeluTanh,
            Self::Silu => mimi_kernels::Activation::Silu,
            Self::Clamp => mimi_kernels::Activation::Clamp,
        }
    }
}
