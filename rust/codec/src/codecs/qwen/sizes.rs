//! The fields that the configurations of Qwen's decoders share.

use serde_json::{Map, Value, json};

use crate::codecs::fields::{Fields, MAX_COUNT, MAX_SIZE, check_heads, check_not_negative, check_theta, require};
use crate::error::Result;

/// The sizes of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sizes {
    pub(super) codebook_size: usize,
    pub(super) num_quantizers: usize,
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) num_key_value_heads: usize,
    pub(super) head_dim: usize,
    pub(super) intermediate_size: usize,
    pub(super) sliding_window: usize,
    pub(super) attention_bias: bool,
    pub(super) rms_norm_eps: f64,
    pub(super) rope_theta: f64,
    pub(super) upsampling_ratios: Vec<usize>,
    pub(super) upsample_rates: Vec<usize>,
    pub(super) decoder_dim: usize,
}

impl Sizes {
    /// The fields of a configuration; absent ones have the values of the released models, which are the same in both but
    /// for `hidden_size` and `intermediate_size`.
    pub(super) fn read(fields: Fields<'_>, hidden_size: usize, intermediate_size: usize) -> Result<Self> {
        let hidden_size = fields.size("hidden_size", hidden_size)?;
        let heads = fields.size("num_attention_heads", 16)?;
        let rope = fields.rope()?;
        require(rope.rope_type == "default", "rope_parameters", "rope_type \"default\"", &rope.rope_type)?;
        let whole = rope.partial_rotary_factor.is_none_or(|factor| factor == 1.0);
        require(whole, "rope_parameters", "partial_rotary_factor 1", "another")?;
        let act = fields.text("hidden_act", "silu")?;
        require(act == "silu", "hidden_act", "\"silu\"", act)?;
        // Heads that the configuration has no field for share the width.
        let head_dim = fields.optional("head_dim", Fields::size)?.unwrap_or(hidden_size / heads.max(1));
        let sizes = Self {
            codebook_size: fields.size("codebook_size", 2048)?,
            num_quantizers: fields.size("num_quantizers", 16)?,
            hidden_size,
            num_hidden_layers: fields.size("num_hidden_layers", 8)?,
            num_attention_heads: heads,
            num_key_value_heads: fields.size("num_key_value_heads", heads)?,
            head_dim,
            intermediate_size: fields.size("intermediate_size", intermediate_size)?,
            sliding_window: fields.size("sliding_window", 72)?,
            attention_bias: fields.flag("attention_bias", false)?,
            rms_norm_eps: fields.number("rms_norm_eps", 1e-5)?,
            rope_theta: rope.rope_theta,
            upsampling_ratios: fields.sizes("upsampling_ratios", vec![2, 2])?,
            upsample_rates: fields.sizes("upsample_rates", vec![8, 5, 4, 3])?,
            decoder_dim: fields.size("decoder_dim", 1536)?,
        };
        sizes.check()?;
        Ok(sizes)
    }

    fn check(&self) -> Result<()> {
        let sizes = [
            ("codebook_size", self.codebook_size),
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("intermediate_size", self.intermediate_size),
            ("sliding_window", self.sliding_window),
            ("decoder_dim", self.decoder_dim),
        ];
        let ratios = self.upsampling_ratios.iter().map(|&ratio| ("upsampling_ratios", ratio));
        let rates = self.upsample_rates.iter().map(|&rate| ("upsample_rates", rate));
        for (field, size) in sizes.into_iter().chain(ratios).chain(rates) {
            require((1..=MAX_SIZE).contains(&size), field, &format!("a value between 1 and {MAX_SIZE}"), size)?;
        }
        let layers = self.num_hidden_layers;
        require(layers <= MAX_COUNT, "num_hidden_layers", &format!("at most {MAX_COUNT}"), layers)?;
        let codebooks = self.num_quantizers;
        let expected = format!("between 1 and {MAX_COUNT}");
        require((1..=MAX_COUNT).contains(&codebooks), "num_quantizers", &expected, codebooks)?;
        for (field, list) in [("upsampling_ratios", &self.upsampling_ratios), ("upsample_rates", &self.upsample_rates)]
        {
            require(list.len() <= 20, field, "at most 20 of them", list.len())?;
        }
        check_heads(self.num_attention_heads, self.num_key_value_heads, self.head_dim)?;
        // Each rate halves the channels.
        let halves = 1_usize << self.upsample_rates.len();
        require(
            self.decoder_dim.is_multiple_of(halves),
            "decoder_dim",
            &format!("a multiple of {halves}"),
            self.decoder_dim,
        )?;
        check_not_negative("rms_norm_eps", self.rms_norm_eps)?;
        check_theta(self.rope_theta)?;
        let frame = self.upsampling_ratios.iter().chain(&self.upsample_rates);
        let frame = frame.fold(1_usize, |product, &ratio| product.saturating_mul(ratio));
        require(frame <= MAX_SIZE, "upsample_rates", &format!("frames of at most {MAX_SIZE} samples"), frame)
    }

    /// The field of a configuration from which a module has its size.
    pub(super) fn field(name: &str) -> &'static str {
        match name {
            "attention" => "sliding_window",
            _ if name.contains("codebook") || name.contains("embedding") => "codebook_size",
            _ if name.contains("mlp.") => "intermediate_size",
            _ if name.contains("transformer.") => "hidden_size",
            _ if name.contains("upsample.") => "upsampling_ratios",
            _ => "decoder_dim",
        }
    }

    /// The fields, as the models' own configurations have them.
    pub(super) fn to_map(&self) -> Map<String, Value> {
        let value = json!({
            "codebook_size": self.codebook_size,
            "num_quantizers": self.num_quantizers,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "intermediate_size": self.intermediate_size,
            "sliding_window": self.sliding_window,
            "attention_bias": self.attention_bias,
            "hidden_act": "silu",
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "layer_scale_initial_scale": 0.01,
            "max_position_embeddings": 8000,
            "upsampling_ratios": self.upsampling_ratios,
            "upsample_rates": self.upsample_rates,
            "decoder_dim": self.decoder_dim,
        });
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}
