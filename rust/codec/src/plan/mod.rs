//! What codecs are made of, as data: layers in chains, with the names of their tensors.
//!
//! A codec describes itself once, as a [`Plan`]. From it come the list of its tensors (`tensors.rs`), its rates and the
//! memory of its streams (`sizes.rs`), and the model (`layers/`).
//!
//! Signals are `(rows, steps, channels)`. Names are the codec's canonical ones; `weights/` finds them in a file.

mod products;
pub(crate) mod sizes;
mod tensors;

pub use products::Product;
pub use tensors::{Kind, Part, TensorSpec};

use crate::error::{Error, Result};
pub(crate) use crate::ops::{Activation, Edge};
use crate::parts::Parts;

/// A codec: how samples become latents, latents codes, and back.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Samples per second.
    pub(crate) sample_rate: usize,
    /// Frames of latents or codes per second.
    pub(crate) frame_rate: f64,
    /// From samples to latents.
    pub(crate) encoder: Option<Chain>,
    /// From latents to samples.
    pub(crate) decoder: Option<Chain>,
    /// From latents to codes, and back where there is no `embedding`.
    pub(crate) quantizer: Option<Quantizer>,
    /// From codes to latents, for a decoder with tables of its own.
    pub(crate) embedding: Option<Embedding>,
    /// Codebooks in use, the first ones of those that there are.
    pub(crate) num_codebooks: usize,
    /// What becomes of the samples after a clip's last whole frame.
    pub(crate) rest: Rest,
}

/// What a codec does with the samples after the last whole frame of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// They are filled up to a frame.
    Filled,
    /// They are left out.
    LeftOut,
}

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

/// Residual quantizers side by side, all fed with the same latents. Their codes follow one another; what they stand for is
/// added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quantizer {
    /// The quantizers, in the order of their codes.
    pub(crate) residual: Vec<ResidualQuantizer>,
    /// Codebooks that are semantic; the first ones. At least so many are always loaded.
    pub(crate) num_semantic: usize,
}

/// Codebooks of which each codes what the ones before it left of the projected latent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResidualQuantizer {
    /// From latents to the codebooks' vectors. None where they are the same.
    pub(crate) input: Option<Linear>,
    /// From the codebooks' vectors to latents.
    pub(crate) output: Option<Linear>,
    /// The codebooks' names: tensors `{name}.{sums}` `(entries, dim)`, `{name}.cluster_usage` `(entries,)`.
    pub(crate) codebooks: Vec<String>,
    /// What the tensor of an entry's sums is called.
    pub(crate) sums: &'static str,
    /// Whether each codebook has a flag `{name}.initialized`.
    pub(crate) flags: bool,
    /// Entries of a codebook.
    pub(crate) entries: usize,
    /// Floats of an entry.
    pub(crate) dim: usize,
}

/// From codes to latents alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Embedding {
    /// Residual quantizers of the decoder's own.
    Residual(Quantizer),
    /// The mean of what the codes of a frame stand for.
    Mean(MeanEmbedding),
}

/// A table of all codebooks' entries, one codebook after the other: a tensor `{name}.weight` `(codebooks * entries, dim)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MeanEmbedding {
    /// The module's name.
    pub(crate) name: String,
    /// Codebooks, of which a frame has a code each.
    pub(crate) codebooks: usize,
    /// Entries of a codebook.
    pub(crate) entries: usize,
    /// Floats of an entry.
    pub(crate) dim: usize,
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

impl Plan {
    /// Samples in a frame.
    pub(crate) fn frame_size(&self) -> usize {
        let strides = |chain: &Chain| chain.iter().fold(1_usize, |product, node| product.saturating_mul(node.stride()));
        match (&self.encoder, &self.decoder) {
            (Some(encoder), _) => strides(encoder),
            (None, Some(decoder)) => strides(decoder),
            (None, None) => 0,
        }
    }

    /// Samples that the decoder gives for a frame, but for those before the clip.
    pub(crate) fn decoder_frame_size(&self) -> usize {
        let decoder = self.decoder.iter().flatten();
        decoder.fold(1_usize, |product, node| product.saturating_mul(node.stride()))
    }

    /// Floats of a latent that the encoder gives, or none without one.
    pub(crate) fn encoder_latent_dim(&self) -> Option<usize> {
        self.encoder.as_ref()?.iter().rev().find_map(Node::c_out)
    }

    /// Floats of a latent that the decoder takes, or none without one.
    pub(crate) fn decoder_latent_dim(&self) -> Option<usize> {
        self.decoder.as_ref()?.iter().find_map(Node::c_in)
    }

    /// Entries of each codebook; none for a codec of continuous latents.
    pub(crate) fn entries(&self) -> usize {
        match (&self.quantizer, &self.embedding) {
            (Some(quantizer), _) | (None, Some(Embedding::Residual(quantizer))) => quantizer.entries(),
            (None, Some(Embedding::Mean(table))) => table.entries,
            (None, None) => 0,
        }
    }

    /// Codebooks that are semantic; the first ones.
    pub(crate) fn num_semantic(&self) -> usize {
        match (&self.quantizer, &self.embedding) {
            (Some(quantizer), _) | (None, Some(Embedding::Residual(quantizer))) => quantizer.num_semantic,
            (None, Some(Embedding::Mean(_)) | None) => 0,
        }
    }

    /// Fewest codes that a frame may have.
    pub(crate) fn fewest_codes(&self) -> usize {
        match &self.embedding {
            Some(Embedding::Mean(table)) => table.codebooks,
            Some(Embedding::Residual(_)) | None => usize::from(self.num_codebooks > 0),
        }
    }

    /// Whether there is a way from samples to codes.
    pub(crate) fn gives_codes(&self) -> bool {
        self.encoder.is_some() && self.quantizer.is_some()
    }

    /// Samples by which what the decoder gives is shorter than the frames that it is given: those before a clip's first one.
    pub(crate) fn delay(&self) -> usize {
        self.decoder.iter().flatten().fold(0, |lead, node| node.lead_after(lead))
    }

    /// What is needed of it for some halves and the first `num_codebooks` codebooks, or those in use.
    ///
    /// # Errors
    /// [`Error::Config`] for more codebooks than there are, or fewer than are needed; for a half that the codec has not.
    pub(crate) fn needed(&self, parts: Parts, num_codebooks: Option<usize>) -> Result<Self> {
        for (asked, has, half) in [
            (parts == Parts::Encoder, self.encoder.is_some(), "encoder"),
            (parts == Parts::Decoder, self.decoder.is_some(), "decoder"),
        ] {
            if asked && !has {
                return Err(Error::config("parts", format!("expected a half that the codec has, got its {half}")));
            }
        }
        if self.num_codebooks == 0 && num_codebooks.is_some() {
            let message = "expected none for a codec of continuous latents, which has no codebooks, got a number";
            return Err(Error::config("num_codebooks", message));
        }
        let fewest = self.num_semantic().max(self.fewest_codes());
        let codebooks = num_codebooks.unwrap_or(self.num_codebooks);
        if !(fewest..=self.num_codebooks).contains(&codebooks) {
            let message = format!("expected between {fewest} and {}, got {codebooks}", self.num_codebooks);
            return Err(Error::config("num_codebooks", message));
        }
        Ok(self.part(parts, codebooks))
    }

    /// Some halves, and what they need for the first `codebooks` codebooks.
    pub(crate) fn part(&self, parts: Parts, codebooks: usize) -> Self {
        let own = self.embedding.is_some();
        let quantizer = self.quantizer.as_ref().filter(|_| !own || parts.encoder());
        let embedding = self.embedding.as_ref().filter(|_| parts.decoder());
        Self {
            encoder: self.encoder.clone().filter(|_| parts.encoder()),
            decoder: self.decoder.clone().filter(|_| parts.decoder()),
            quantizer: quantizer.map(|it| it.part(if own { Parts::Encoder } else { parts }, codebooks)),
            embedding: embedding.map(|it| match it {
                Embedding::Residual(quantizer) => Embedding::Residual(quantizer.part(Parts::Decoder, codebooks)),
                Embedding::Mean(table) => Embedding::Mean(table.clone()),
            }),
            num_codebooks: codebooks,
            ..*self
        }
    }
}

impl Quantizer {
    /// Entries of each codebook.
    pub(crate) fn entries(&self) -> usize {
        self.residual.first().map_or(0, |quantizer| quantizer.entries)
    }

    /// The quantizer of the first `count` codebooks alone, with the projections that some halves need.
    fn part(&self, parts: Parts, count: usize) -> Self {
        let mut left = count;
        let mut shorter = self.clone();
        for quantizer in &mut shorter.residual {
            quantizer.input.take_if(|_| !parts.encoder());
            quantizer.output.take_if(|_| !parts.decoder());
            quantizer.codebooks.truncate(left);
            left -= quantizer.codebooks.len();
        }
        shorter.residual.retain(|quantizer| !quantizer.codebooks.is_empty());
        shorter
    }
}
