//! The chains of Qwen's decoders.

use super::sizes::Sizes;
use crate::codecs::seanet::{plain_conv, plain_conv_transpose};
use crate::plan::{
    Activation, Attention, Chain, Conv, ConvTranspose, Gate, Linear, Node, Norm, NormKind, Projection, Residual, Snake,
    Transformer,
};

/// What a ConvNeXt block's norm keeps its division finite with.
const CONVNEXT_EPSILON: f64 = 1e-6;
/// Inputs that a convolution of the samples' end sees, and its dilations.
const KERNEL: usize = 7;
const DILATIONS: [usize; 3] = [1, 3, 9];

/// How much of a transposed convolution's overlap is cut off at the start of a clip.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trim {
    /// Nothing: the clip begins with the first output, and all of the overlap is cut off at its end.
    Right,
    /// As much as at its end: an output stands half an overlap later.
    Both,
}

impl Sizes {
    /// Pre-norm layers of attention and gated feed-forward, each scaled channel by channel before it is added, and a norm:
    /// tensors `{name}.layers.N` and `{name}.norm`.
    pub(super) fn transformer(&self, name: &str) -> [Node; 2] {
        let attention = Attention {
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads,
            head_dim: self.head_dim,
            window: self.sliding_window,
        };
        let layers = (0..self.num_hidden_layers)
            .flat_map(|index| self.layer(&format!("{name}.layers.{index}"), attention))
            .collect();
        let transformer = Transformer { layers, attention, theta: self.rope_theta };
        [Node::Transformer(transformer), self.norm(format!("{name}.norm"))]
    }

    fn norm(&self, name: String) -> Node {
        let (kind, channels, epsilon) = (NormKind::RootMeanSquare, self.hidden_size, self.rms_norm_eps);
        Node::Norm(Norm { name, kind, channels, epsilon })
    }

    fn layer(&self, name: &str, attention: Attention) -> [Node; 2] {
        let (hidden, inner, head_dim) = (self.hidden_size, self.intermediate_size, self.head_dim);
        let (query, key) = (attention.heads.saturating_mul(head_dim), attention.kv_heads.saturating_mul(head_dim));
        let projection = |field: &str, c_out, rotary| {
            let name = format!("{name}.{field}_proj");
            Projection { name, c_out, rotary }
        };
        let side_by_side =
            |modules, bias| Node::Linear(Linear { modules, c_in: hidden, bias, scale: None, pointwise: false });
        let scaled = |field: &str, c_in, bias, scale: &str| {
            let linear = Linear::new(format!("{name}.{field}_proj"), c_in, hidden, bias);
            Node::Linear(Linear { scale: Some(format!("{name}.{scale}_layer_scale.scale")), ..linear })
        };
        let rotary = Some(head_dim);
        let inputs = vec![
            projection("self_attn.q", query, rotary),
            projection("self_attn.k", key, rotary),
            projection("self_attn.v", key, None),
        ];
        let gated = vec![projection("mlp.gate", inner, None), projection("mlp.up", inner, None)];
        let attention = vec![
            self.norm(format!("{name}.input_layernorm")),
            side_by_side(inputs, self.attention_bias),
            Node::Attention(attention),
            scaled("self_attn.o", query, self.attention_bias, "self_attn"),
        ];
        let feed_forward = vec![
            self.norm(format!("{name}.post_attention_layernorm")),
            side_by_side(gated, false),
            Node::Gate(Gate { activation: Activation::Silu, channels: inner }),
            scaled("mlp.down", inner, false, "mlp"),
        ];
        [attention, feed_forward].map(|branch| Node::Residual(Residual { branch, shortcut: Vec::new() }))
    }

    /// From latents of `width` channels to samples: tensors `{prefix}upsample.N` and `{prefix}decoder.N`.
    pub(super) fn wave(&self, prefix: &str, width: usize, trim: Trim) -> Chain {
        let mut chain = Chain::new();
        for (index, &ratio) in self.upsampling_ratios.iter().enumerate() {
            let name = format!("{prefix}upsample.{index}.0.conv");
            let conv = plain_conv_transpose(name, width, width, ratio);
            chain.push(Node::ConvTranspose(ConvTranspose { kernel: ratio, ..conv }));
            chain.push(convnext(&format!("{prefix}upsample.{index}.1"), width));
        }
        let mut channels = self.decoder_dim;
        chain.push(Node::Conv(plain_conv(format!("{prefix}decoder.0.conv"), width, channels, KERNEL)));
        for (index, &rate) in self.upsample_rates.iter().enumerate() {
            let name = format!("{prefix}decoder.{}.block", index + 1);
            chain.push(snake(format!("{name}.0"), channels));
            let conv = plain_conv_transpose(format!("{name}.1.conv"), channels, channels / 2, rate);
            let delay = if trim == Trim::Both { rate } else { 0 };
            chain.push(Node::ConvTranspose(ConvTranspose { delay, ..conv }));
            channels /= 2;
            chain.extend(
                (2..).zip(DILATIONS).map(|(unit, dilation)| residual(&format!("{name}.{unit}"), channels, dilation)),
            );
        }
        let count = self.upsample_rates.len();
        chain.push(snake(format!("{prefix}decoder.{}", count + 1), channels));
        chain.push(Node::Conv(plain_conv(format!("{prefix}decoder.{}.conv", count + 2), channels, 1, KERNEL)));
        chain.push(Node::Activation(Activation::Clamp));
        chain
    }
}

fn snake(name: String, channels: usize) -> Node {
    Node::Snake(Snake { name, channels })
}

/// `x + conv(snake(conv(snake(x))))`.
fn residual(name: &str, channels: usize, dilation: usize) -> Node {
    let wide = plain_conv(format!("{name}.conv1.conv"), channels, channels, KERNEL);
    let narrow = plain_conv(format!("{name}.conv2.conv"), channels, channels, 1);
    let branch = vec![
        snake(format!("{name}.act1"), channels),
        Node::Conv(Conv { dilation, ..wide }),
        snake(format!("{name}.act2"), channels),
        Node::Conv(narrow),
    ];
    Node::Residual(Residual { branch, shortcut: Vec::new() })
}

/// A block of ConvNeXt (Liu et al. 2022): each channel's convolution, a norm, and a scaled feed-forward.
fn convnext(name: &str, channels: usize) -> Node {
    let inner = channels.saturating_mul(4);
    let conv = plain_conv(format!("{name}.dwconv.conv"), channels, channels, KERNEL);
    let (kind, epsilon) = (NormKind::Layer, CONVNEXT_EPSILON);
    let narrow = Linear::new(format!("{name}.pwconv2"), inner, channels, true);
    let branch = vec![
        Node::Conv(Conv { groups: channels, ..conv }),
        Node::Norm(Norm { name: format!("{name}.norm"), kind, channels, epsilon }),
        Node::Linear(Linear::new(format!("{name}.pwconv1"), channels, inner, true)),
        Node::Activation(Activation::GeluErf),
        Node::Linear(Linear { scale: Some(format!("{name}.gamma")), ..narrow }),
    ];
    Node::Residual(Residual { branch, shortcut: Vec::new() })
}
