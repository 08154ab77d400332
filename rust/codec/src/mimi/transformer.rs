//! The windowed transformer on either side of the quantizer.

use crate::Result;
use crate::mimi::builder::Builder;
use crate::ops::{Attention, AttentionShape, Operation, Rotary, Signal};
use crate::state::Block;

/// Pre-norm layers of attention and feed-forward, each scaled channel by channel before it is added.
pub(crate) struct Transformer {
    layers: Vec<Layer>,
    rotary: Box<dyn Rotary>,
}

struct Layer {
    attention_norm: Box<dyn Operation>,
    query_key_value: Box<dyn Operation>,
    attention: Box<dyn Attention>,
    /// With the layer scale in its weights, as `mlp_out`.
    attention_out: Box<dyn Operation>,
    mlp_norm: Box<dyn Operation>,
    mlp_in: Box<dyn Operation>,
    mlp_out: Box<dyn Operation>,
}

impl Transformer {
    /// The transformer whose tensors are `{name}.layers.N`.
    pub(crate) fn load(builder: &mut Builder<'_>, name: &str) -> Result<Self> {
        let config = builder.config();
        let shape = AttentionShape {
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim(),
            window: config.sliding_window,
        };
        let (hidden, bias) = (config.hidden_size, config.attention_bias);
        let activation = builder.hidden_activation()?;
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for index in 0..config.num_hidden_layers {
            let name = format!("{name}.layers.{index}");
            let checkpoint = builder.checkpoint();
            let scale = |field: &str| checkpoint.read(&format!("{name}.{field}.scale"));
            let (attention_scale, mlp_scale) = (scale("self_attn_layer_scale")?, scale("mlp_layer_scale")?);
            let projections = ["q_proj", "k_proj", "v_proj"].map(|field| format!("{name}.self_attn.{field}"));
            let one = |field: &str| [format!("{name}.{field}")];
            layers.push(Layer {
                attention_norm: builder.norm(&format!("{name}.input_layernorm"))?,
                query_key_value: builder.linear(&projections, hidden, bias, None, None)?,
                attention: builder.backend().attention(&mut builder.layout, shape)?,
                attention_out: builder.linear(
                    &one("self_attn.o_proj"),
                    config.query_size(),
                    bias,
                    Some(&attention_scale),
                    None,
                )?,
                mlp_norm: builder.norm(&format!("{name}.post_attention_layernorm"))?,
                mlp_in: builder.linear(&one("mlp.fc1"), hidden, false, None, Some(activation))?,
                mlp_out: builder.linear(&one("mlp.fc2"), config.intermediate_size, false, Some(&mlp_scale), None)?,
            });
        }
        Ok(Self { layers, rotary: builder.backend().rotary(shape, config.rope_theta())? })
    }

    /// `(rows, steps, hidden_size)` to the same shape.
    pub(crate) fn forward(&self, mut x: Signal, block: &Block<'_>) -> Result<Signal> {
        let angles = self.rotary.angles(x.dim(1)?, block)?;
        for layer in &self.layers {
            let normed = layer.attention_norm.forward(&x, None, block)?;
            let projected = layer.query_key_value.forward(&normed, None, block)?;
            let attended = layer.attention.forward(&projected, &angles, block)?;
            x = layer.attention_out.forward(&attended, Some(&x), block)?;
            let normed = layer.mlp_norm.forward(&x, None, block)?;
            let hidden = layer.mlp_in.forward(&normed, None, block)?;
            x = layer.mlp_out.forward(&hidden, Some(&x), block)?;
        }
        Ok(x)
    }

    pub(crate) fn bytes(&self) -> usize {
        let bytes = |layer: &Layer| -> usize {
            let attention = [&layer.attention_norm, &layer.query_key_value, &layer.attention_out];
            let mlp = [&layer.mlp_norm, &layer.mlp_in, &layer.mlp_out];
            attention.into_iter().chain(mlp).map(|operation| operation.bytes()).sum()
        };
        self.layers.iter().map(bytes).sum()
    }
}
