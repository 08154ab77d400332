//! `config.json` in and out. Fields are read one by one, so that an error can name the field.

use serde_json::Value;

use super::config::MimiConfig;
use crate::codecs::fields::{Fields, wrong};
use crate::error::{Error, Result};

impl MimiConfig {
    /// Reads and validates the text of a `config.json`. Unknown keys are ignored, absent ones have their defaults.
    ///
    /// # Errors
    /// [`Error::Config`], naming the field, for text that is not JSON, a value of the wrong type, or a value that is
    /// not supported.
    pub fn from_json(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| Error::config("config.json", format!("this is not valid JSON: {error}")))?;
        Self::from_value(&value)
    }

    pub(crate) fn from_value(value: &Value) -> Result<Self> {
        let Value::Object(map) = value else {
            return Err(wrong("config.json", "an object", value));
        };
        let fields = Fields(map);
        let default = Self::default();
        let hidden_size = fields.size("hidden_size", default.hidden_size)?;
        let config = Self {
            sampling_rate: fields.size("sampling_rate", default.sampling_rate)?,
            audio_channels: fields.size("audio_channels", default.audio_channels)?,
            hidden_size,
            num_filters: fields.size("num_filters", default.num_filters)?,
            num_residual_layers: fields.size("num_residual_layers", default.num_residual_layers)?,
            upsampling_ratios: fields.sizes_if_any("upsampling_ratios", default.upsampling_ratios)?,
            kernel_size: fields.size("kernel_size", default.kernel_size)?,
            last_kernel_size: fields.size("last_kernel_size", default.last_kernel_size)?,
            residual_kernel_size: fields.size("residual_kernel_size", default.residual_kernel_size)?,
            dilation_growth_rate: fields.size("dilation_growth_rate", default.dilation_growth_rate)?,
            use_causal_conv: fields.flag("use_causal_conv", default.use_causal_conv)?,
            pad_mode: fields.text("pad_mode", &default.pad_mode)?,
            compress: fields.size("compress", default.compress)?,
            trim_right_ratio: fields.number("trim_right_ratio", default.trim_right_ratio)?,
            codebook_size: fields.size("codebook_size", default.codebook_size)?,
            codebook_dim: match map.get("codebook_dim") {
                Some(Value::Null) => hidden_size,
                _ => fields.size("codebook_dim", default.codebook_dim)?,
            },
            num_quantizers: fields.size("num_quantizers", default.num_quantizers)?,
            use_conv_shortcut: fields.flag("use_conv_shortcut", default.use_conv_shortcut)?,
            vector_quantization_hidden_dimension: fields
                .size("vector_quantization_hidden_dimension", default.vector_quantization_hidden_dimension)?,
            num_semantic_quantizers: fields.size("num_semantic_quantizers", default.num_semantic_quantizers)?,
            upsample_groups: fields.size("upsample_groups", default.upsample_groups)?,
            num_hidden_layers: fields.size("num_hidden_layers", default.num_hidden_layers)?,
            intermediate_size: fields.size("intermediate_size", default.intermediate_size)?,
            num_attention_heads: fields.size("num_attention_heads", default.num_attention_heads)?,
            num_key_value_heads: fields.size("num_key_value_heads", default.num_key_value_heads)?,
            head_dim: fields.optional("head_dim", Fields::size)?,
            hidden_act: fields.text("hidden_act", &default.hidden_act)?,
            max_position_embeddings: fields.size("max_position_embeddings", default.max_position_embeddings)?,
            initializer_range: fields.number("initializer_range", default.initializer_range)?,
            norm_eps: fields.number("norm_eps", default.norm_eps)?,
            use_cache: fields.flag("use_cache", default.use_cache)?,
            use_streaming: fields.flag("use_streaming", default.use_streaming)?,
            rope_parameters: fields.rope()?,
            sliding_window: fields.size("sliding_window", default.sliding_window)?,
            attention_dropout: fields.number("attention_dropout", default.attention_dropout)?,
            layer_scale_initial_scale: fields.number("layer_scale_initial_scale", default.layer_scale_initial_scale)?,
            attention_bias: fields.flag("attention_bias", default.attention_bias)?,
            tie_word_embeddings: fields.flag("tie_word_embeddings", default.tie_word_embeddings)?,
            frame_rate: match fields.optional("_frame_rate", Fields::number)? {
                None => fields.optional("frame_rate", Fields::number)?,
                rate => rate,
            },
        };
        config.validate()?;
        Ok(config)
    }

    /// The text of a `config.json` with every field, which Transformers reads as a `MimiModel`'s.
    pub fn to_json(&self) -> String {
        format!("{:#}", self.to_value())
    }

    pub(crate) fn to_value(&self) -> Value {
        // A struct of numbers, strings and lists always has a JSON form.
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value["model_type"] = "mimi".into();
        value["architectures"] = vec!["MimiModel"].into();
        value["head_dim"] = self.head_dim().into();
        value
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::codecs::fields::RopeParameters;

    fn field_of(config: Value) -> String {
        match MimiConfig::from_value(&config).unwrap_err() {
            Error::Config { field, .. } => field,
            error => panic!("expected a config error, got {error}"),
        }
    }

    #[test]
    fn an_empty_object_is_the_released_configuration() {
        assert_eq!(MimiConfig::from_json("{}").unwrap(), MimiConfig::default());
    }

    #[test]
    fn json_roundtrip_keeps_every_field() {
        let config = MimiConfig {
            hidden_size: 32,
            upsampling_ratios: vec![5, 3],
            upsample_groups: 8,
            head_dim: Some(16),
            num_key_value_heads: 4,
            frame_rate: Some(200.0),
            rope_parameters: RopeParameters { rope_theta: 500.0, ..Default::default() },
            ..Default::default()
        };
        let text = config.to_json();
        assert_eq!(MimiConfig::from_json(&text).unwrap(), config);
        assert!(text.contains("\"model_type\": \"mimi\"") && text.contains("\"MimiModel\""));
        assert!(MimiConfig::default().to_json().contains("\"head_dim\": 64"));
    }

    #[test]
    fn null_is_taken_where_transformers_has_none() {
        let text = r#"{"upsampling_ratios": null, "head_dim": null, "_frame_rate": null, "rope_parameters": null,
                       "codebook_dim": null, "vector_quantization_hidden_dimension": 512, "num_codebooks": 5}"#;
        let config = MimiConfig::from_json(text).unwrap();
        assert_eq!(config.upsampling_ratios, [8, 6, 5, 4]);
        assert_eq!(MimiConfig::from_json(r#"{"upsampling_ratios": []}"#).unwrap().upsampling_ratios, [8, 6, 5, 4]);
        assert_eq!((config.head_dim(), config.codebook_dim), (64, 512));
        assert!(!config.has_quantizer_projection());
    }

    #[test]
    fn keys_of_older_files_are_read() {
        let config = MimiConfig::from_value(&json!({"rope_theta": 5000.0, "frame_rate": 12.5})).unwrap();
        assert_eq!((config.rope_theta(), config.frame_rate), (5000.0, Some(12.5)));
        let config = MimiConfig::from_value(&json!({"rope_theta": 1, "rope_parameters": {"rope_theta": 2}})).unwrap();
        assert_eq!(config.rope_theta(), 2.0);
    }

    #[test]
    fn wrong_types_name_their_field() {
        for (field, value) in [
            ("hidden_size", json!("512")),
            ("hidden_size", json!(512.5)),
            ("hidden_size", json!(-1)),
            ("hidden_size", json!(null)),
            ("sliding_window", json!(null)),
            ("upsampling_ratios", json!(8)),
            ("upsampling_ratios", json!([8, "6"])),
            ("head_dim", json!([64])),
            ("use_causal_conv", json!(1)),
            ("pad_mode", json!(0)),
            ("norm_eps", json!("1e-5")),
            ("_frame_rate", json!("12.5")),
            ("rope_parameters", json!([])),
            ("rope_parameters", json!({"full_attention": {"rope_type": "default"}})),
        ] {
            assert_eq!(field_of(json!({field: value})), field);
        }
        assert_eq!(field_of(json!([])), "config.json");
        assert!(MimiConfig::from_json("{").is_err());
        assert!(MimiConfig::from_json(&"[".repeat(10_000)).is_err());
    }
}
