//! The parts that Mimi and its kin are made of, as chains: convolution stacks (SEANet, Tagliasacchi et al. 2020), windowed
//! transformers, and the resampling between their rates.

use crate::plan::{
    Activation, Attention, Chain, Conv, ConvTranspose, Edge, Linear, Node, Norm, NormKind, Projection, Residual,
    Transformer,
};

/// The sizes of a convolution stack.
pub(super) struct Seanet<'a> {
    /// Channels at the transformer's rate.
    pub(super) hidden: usize,
    /// Channels at the rate of samples; doubled at each ratio.
    pub(super) filters: usize,
    /// Strides from the transformer's rate to samples.
    pub(super) ratios: &'a [usize],
    /// Kernel of the first convolution.
    pub(super) kernel: usize,
    /// Kernel of the last convolution.
    pub(super) last_kernel: usize,
    /// Residual blocks at each ratio.
    pub(super) residuals: usize,
    /// Kernel of the first convolution of a residual block.
    pub(super) residual_kernel: usize,
    /// Factor of the dilation from one residual block of a stage to the next.
    pub(super) dilation_growth: usize,
    /// Divisor of the channels inside residual blocks.
    pub(super) compress: usize,
    /// Whether residual blocks have a 1x1 convolution in place of the identity.
    pub(super) shortcut: bool,
}

impl Seanet<'_> {
    /// Channels after `stage` of the encoder's ratios, and before as many of the decoder's last ones.
    pub(super) fn channels(&self, stage: usize) -> usize {
        self.filters.saturating_mul(2_usize.saturating_pow(exponent(stage)))
    }

    /// From samples to the transformer's rate: tensors `{name}.N`.
    pub(super) fn encoder(&self, name: &str) -> Chain {
        let stages = self.ratios.len();
        let mut stack = Stack { name, chain: Vec::new() };
        stack.conv(1, self.filters, self.kernel, 1);
        for (stage, &ratio) in self.ratios.iter().rev().enumerate() {
            stack.residuals(self, self.channels(stage));
            stack.elu();
            stack.conv(self.channels(stage), self.channels(stage + 1), ratio.saturating_mul(2), ratio);
        }
        stack.elu();
        stack.conv(self.channels(stages), self.hidden, self.last_kernel, 1);
        stack.chain
    }

    /// From the transformer's rate to samples: tensors `{name}.N`.
    pub(super) fn decoder(&self, name: &str) -> Chain {
        let stages = self.ratios.len();
        let mut stack = Stack { name, chain: Vec::new() };
        stack.conv(self.hidden, self.channels(stages), self.kernel, 1);
        for (stage, &ratio) in (0..stages).rev().zip(self.ratios) {
            stack.elu();
            stack.conv_transpose(self.channels(stage + 1), self.channels(stage), ratio);
            stack.residuals(self, self.channels(stage));
        }
        stack.elu();
        stack.conv(self.filters, 1, self.last_kernel, 1);
        stack.chain
    }
}

/// A stack under construction: a layer's number is its place, and an activation has one too.
struct Stack<'a> {
    name: &'a str,
    chain: Chain,
}

impl Stack<'_> {
    fn next(&self) -> String {
        format!("{}.{}", self.name, self.chain.len())
    }

    fn elu(&mut self) {
        self.chain.push(Node::Activation(Activation::Elu));
    }

    fn conv(&mut self, c_in: usize, c_out: usize, kernel: usize, stride: usize) {
        let name = format!("{}.conv", self.next());
        self.chain.push(Node::Conv(Conv { stride, ..plain_conv(name, c_in, c_out, kernel) }));
    }

    fn conv_transpose(&mut self, c_in: usize, c_out: usize, stride: usize) {
        let name = format!("{}.conv", self.next());
        self.chain.push(Node::ConvTranspose(plain_conv_transpose(name, c_in, c_out, stride)));
    }

    /// Blocks `x + conv(elu(conv(elu(x))))`.
    fn residuals(&mut self, seanet: &Seanet<'_>, channels: usize) {
        for block in 0..seanet.residuals {
            let name = self.next();
            let hidden = channels / seanet.compress.max(1);
            let dilation = seanet.dilation_growth.saturating_pow(exponent(block));
            let wide = plain_conv(format!("{name}.block.1.conv"), channels, hidden, seanet.residual_kernel);
            let narrow = plain_conv(format!("{name}.block.3.conv"), hidden, channels, 1);
            let shortcut = plain_conv(format!("{name}.shortcut.conv"), channels, channels, 1);
            let elu = Node::Activation(Activation::Elu);
            self.chain.push(Node::Residual(Residual {
                branch: vec![elu.clone(), Node::Conv(Conv { dilation, ..wide }), elu, Node::Conv(narrow)],
                shortcut: if seanet.shortcut { vec![Node::Conv(shortcut)] } else { Vec::new() },
            }));
        }
    }
}

/// A convolution with a bias that sees every input.
pub(super) fn plain_conv(name: String, c_in: usize, c_out: usize, kernel: usize) -> Conv {
    Conv { name, c_in, c_out, kernel, stride: 1, dilation: 1, groups: 1, bias: true, scale: None, edge: Edge::Zero }
}

/// A transposed convolution with a bias whose outputs see two inputs each.
pub(super) fn plain_conv_transpose(name: String, c_in: usize, c_out: usize, stride: usize) -> ConvTranspose {
    let kernel = stride.saturating_mul(2);
    ConvTranspose { name, c_in, c_out, kernel, stride, delay: 0, groups: 1, bias: true }
}

fn exponent(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The sizes of a windowed transformer.
pub(super) struct Layers {
    pub(super) count: usize,
    pub(super) hidden: usize,
    pub(super) attention: Attention,
    /// Whether the attention's projections have biases.
    pub(super) bias: bool,
    pub(super) intermediate: usize,
    pub(super) activation: Activation,
    pub(super) epsilon: f64,
    pub(super) theta: f64,
}

impl Layers {
    /// Pre-norm layers of attention and feed-forward, each scaled channel by channel before it is added: tensors
    /// `{name}.layers.N`.
    pub(super) fn transformer(&self, name: &str) -> Node {
        let layers = (0..self.count).flat_map(|index| self.layer(&format!("{name}.layers.{index}"))).collect();
        Node::Transformer(Transformer { layers, attention: self.attention, theta: self.theta })
    }

    fn layer(&self, name: &str) -> [Node; 2] {
        let Attention { heads, kv_heads, head_dim, .. } = self.attention;
        let (query, key) = (heads.saturating_mul(head_dim), kv_heads.saturating_mul(head_dim));
        let projection = |field: &str, c_out, rotary| {
            let name = format!("{name}.self_attn.{field}_proj");
            Projection { name, c_out, rotary }
        };
        let rotary = Some(head_dim);
        let modules = vec![projection("q", query, rotary), projection("k", key, rotary), projection("v", key, None)];
        let norm = |field: &str| {
            let (name, kind) = (format!("{name}.{field}"), NormKind::Layer);
            Node::Norm(Norm { name, kind, channels: self.hidden, epsilon: self.epsilon })
        };
        let dense = |field: &str, c_in, c_out, bias| Linear::new(format!("{name}.{field}"), c_in, c_out, bias);
        let scaled = |linear, scale: &str| {
            Node::Linear(Linear { scale: Some(format!("{name}.{scale}_layer_scale.scale")), ..linear })
        };
        let attention = vec![
            norm("input_layernorm"),
            Node::Linear(Linear { modules, c_in: self.hidden, bias: self.bias, scale: None, pointwise: false }),
            Node::Attention(self.attention),
            scaled(dense("self_attn.o_proj", query, self.hidden, self.bias), "self_attn"),
        ];
        let feed_forward = vec![
            norm("post_attention_layernorm"),
            Node::Linear(dense("mlp.fc1", self.hidden, self.intermediate, false)),
            Node::Activation(self.activation),
            scaled(dense("mlp.fc2", self.intermediate, self.hidden, false), "mlp"),
        ];
        [attention, feed_forward].map(|branch| Node::Residual(Residual { branch, shortcut: Vec::new() }))
    }
}

/// From the transformer's rate to the latents': before the first step lies that step, repeated.
pub(super) fn downsample(name: &str, c_in: usize, c_out: usize, stride: usize) -> Node {
    let conv = plain_conv(format!("{name}.conv"), c_in, c_out, stride.saturating_mul(2));
    Node::Conv(Conv { stride, bias: false, edge: Edge::Replicate, ..conv })
}

/// From the latents' rate to the transformer's.
pub(super) fn upsample(name: &str, channels: usize, stride: usize, groups: usize) -> Node {
    let conv = plain_conv_transpose(format!("{name}.conv"), channels, channels, stride);
    Node::ConvTranspose(ConvTranspose { groups, bias: false, ..conv })
}
