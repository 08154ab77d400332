//! What a configuration must be for the codec to be built from it. The sizes bound every later allocation.

use super::config::MimiConfig;
use crate::codecs::fields::{MAX_COUNT, MAX_SIZE, check_not_negative, require};
use crate::error::Result;

impl MimiConfig {
    /// Checks that the codec can be built from these fields.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the first field that is not supported, contradicts another, or is absurdly large.
    pub fn validate(&self) -> Result<()> {
        self.validate_variant()?;
        self.validate_sizes()?;
        self.validate_rates()?;
        self.validate_relations()?;
        self.plan().check_sizes(size_field)
    }

    /// Only the causal variant with zero padding and plain rotary embedding is supported.
    fn validate_variant(&self) -> Result<()> {
        require(self.use_causal_conv, "use_causal_conv", "true", self.use_causal_conv)?;
        require(self.pad_mode == "constant", "pad_mode", "\"constant\"", &self.pad_mode)?;
        require(self.trim_right_ratio == 1.0, "trim_right_ratio", "1", self.trim_right_ratio)?;
        require(self.audio_channels == 1, "audio_channels", "1", self.audio_channels)?;
        let rope = &self.rope_parameters;
        require(rope.rope_type == "default", "rope_parameters", "rope_type \"default\"", &rope.rope_type)?;
        let factor = rope.partial_rotary_factor.unwrap_or(1.0);
        require(factor == 1.0, "rope_parameters", "partial_rotary_factor 1", factor)?;
        let theta = rope.rope_theta;
        require(theta.is_finite() && theta > 0.0, "rope_parameters", "a positive rope_theta", theta)?;
        let gelu = matches!(self.hidden_act.as_str(), "gelu" | "gelu_pytorch_tanh" | "gelu_new");
        require(gelu, "hidden_act", "\"gelu\", \"gelu_pytorch_tanh\" or \"gelu_new\"", &self.hidden_act)?;
        check_not_negative("norm_eps", self.norm_eps)
    }

    fn validate_sizes(&self) -> Result<()> {
        let ratios = self.upsampling_ratios.iter().map(|&ratio| ("upsampling_ratios", ratio));
        let sizes = [
            ("sampling_rate", self.sampling_rate),
            ("hidden_size", self.hidden_size),
            ("num_filters", self.num_filters),
            ("kernel_size", self.kernel_size),
            ("last_kernel_size", self.last_kernel_size),
            ("residual_kernel_size", self.residual_kernel_size),
            ("dilation_growth_rate", self.dilation_growth_rate),
            ("compress", self.compress),
            ("codebook_size", self.codebook_size),
            ("codebook_dim", self.codebook_dim),
            ("vector_quantization_hidden_dimension", self.vector_quantization_hidden_dimension),
            ("upsample_groups", self.upsample_groups),
            ("intermediate_size", self.intermediate_size),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim()),
            ("sliding_window", self.sliding_window),
        ];
        for (field, size) in sizes.into_iter().chain(ratios) {
            require((1..=MAX_SIZE).contains(&size), field, &format!("a value between 1 and {MAX_SIZE}"), size)?;
        }
        for (field, count) in [
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_residual_layers", self.num_residual_layers),
            ("num_quantizers", self.num_quantizers),
        ] {
            require(count <= MAX_COUNT, field, &format!("at most {MAX_COUNT}"), count)?;
        }
        let ratios = self.upsampling_ratios.len();
        require((1..=20).contains(&ratios), "upsampling_ratios", "between 1 and 20 ratios", ratios)?;
        let widest = self.seanet().channels(ratios);
        require(widest <= MAX_SIZE, "num_filters", &format!("at most {MAX_SIZE} channels after all ratios"), widest)
    }

    fn validate_rates(&self) -> Result<()> {
        let hop = self.hop_length();
        require(hop <= MAX_SIZE, "upsampling_ratios", &format!("a product of at most {MAX_SIZE}"), hop)?;
        let rate = self.frame_rate();
        require(rate.is_finite() && rate > 0.0, "frame_rate", "a positive number", rate)?;
        // At stride 1 the reference has neither downsampling nor upsampling and cannot run.
        let most = self.encodec_frame_rate() as f64 / 2.0;
        require(
            self.latent_stride() >= 2,
            "frame_rate",
            &format!("at most {most}, half the convolutions' rate"),
            rate,
        )?;
        let frame = self.frame_size();
        require(frame <= MAX_SIZE, "frame_rate", &format!("frames of at most {MAX_SIZE} samples"), frame)
    }

    /// Fields that constrain one another.
    fn validate_relations(&self) -> Result<()> {
        let Self { hidden_size, num_attention_heads: heads, num_quantizers, .. } = *self;
        require(self.codebook_size.is_power_of_two(), "codebook_size", "a power of two", self.codebook_size)?;
        let semantic = self.num_semantic_quantizers;
        let expected = format!("between 1 and num_quantizers - 1 = {}", num_quantizers.saturating_sub(1));
        require((1..num_quantizers).contains(&semantic), "num_semantic_quantizers", &expected, semantic)?;
        let quantized = self.vector_quantization_hidden_dimension;
        let expected = format!("vector_quantization_hidden_dimension = {quantized}");
        require(self.codebook_dim == quantized, "codebook_dim", &expected, self.codebook_dim)?;
        let expected = format!("a divisor of hidden_size = {hidden_size}");
        require(hidden_size.is_multiple_of(heads), "num_attention_heads", &expected, heads)?;
        require(hidden_size.is_multiple_of(self.upsample_groups), "upsample_groups", &expected, self.upsample_groups)?;
        let key_heads = self.num_key_value_heads;
        let expected = format!("a divisor of num_attention_heads = {heads}");
        require(heads.is_multiple_of(key_heads), "num_key_value_heads", &expected, key_heads)?;
        require(self.head_dim().is_multiple_of(2), "head_dim", "an even number", self.head_dim())?;
        require(
            self.query_size() <= MAX_SIZE,
            "head_dim",
            &format!("all heads together at most {MAX_SIZE} wide"),
            self.query_size(),
        )?;
        let expected = format!("at most num_filters = {}", self.num_filters);
        require(self.compress <= self.num_filters, "compress", &expected, self.compress)
    }
}

/// The field that the module or tensor of a name has its size from.
fn size_field(name: &str) -> &'static str {
    match name {
        "attention" => "sliding_window",
        _ if name.starts_with("quantizer.") => "codebook_size",
        _ if name.ends_with(".block.1.conv") => "dilation_growth_rate",
        _ if name.contains(".block.") => "num_filters",
        _ if name.contains("coder.layers.") && name.ends_with(".conv") => "kernel_size",
        _ if name.contains("coder.layers.") => "num_filters",
        "downsample.conv" | "upsample.conv" => "frame_rate",
        _ => "hidden_size",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::error::Error;

    fn refused_field(config: &Value) -> String {
        match MimiConfig::from_value(config) {
            Err(Error::Config { field, .. }) => field,
            other => panic!("expected a config error for {config}, got {other:?}"),
        }
    }

    #[test]
    fn unsupported_values_name_their_field() {
        const HUGE: u64 = u64::MAX;
        for (field, value) in [
            ("use_causal_conv", json!(false)),
            ("pad_mode", json!("reflect")),
            ("trim_right_ratio", json!(0.5)),
            ("audio_channels", json!(2)),
            ("rope_parameters", json!({"rope_type": "yarn"})),
            ("rope_parameters", json!({"type": "linear"})),
            ("rope_parameters", json!({"partial_rotary_factor": 0.5})),
            ("rope_parameters", json!({"rope_theta": 0})),
            ("hidden_act", json!("relu")),
            ("norm_eps", json!(-1.0)),
            ("sliding_window", json!(0)),
            ("codebook_size", json!(1000)),
            ("num_semantic_quantizers", json!(0)),
            ("num_semantic_quantizers", json!(32)),
            ("codebook_dim", json!(128)),
            ("head_dim", json!(33)),
            ("head_dim", json!(0)),
            ("num_key_value_heads", json!(3)),
            ("num_key_value_heads", json!(16)),
            ("num_attention_heads", json!(7)),
            ("upsample_groups", json!(3)),
            ("compress", json!(65)),
            ("compress", json!(0)),
            ("frame_rate", json!(25)),
            ("frame_rate", json!(20)),
            ("frame_rate", json!(0)),
            ("frame_rate", json!(-12.5)),
            ("frame_rate", json!(1e-9)),
            ("upsampling_ratios", json!([8, 0])),
            ("upsampling_ratios", json!([1000, 1000, 1000])),
            ("upsampling_ratios", json!(vec![1; 30])),
            ("hidden_size", json!(HUGE)),
            ("num_filters", json!(1 << 20)),
            ("kernel_size", json!(0)),
            ("kernel_size", json!(1 << 20)),
            ("num_hidden_layers", json!(HUGE)),
            ("num_residual_layers", json!(HUGE)),
            ("num_quantizers", json!(HUGE)),
            ("dilation_growth_rate", json!(0)),
        ] {
            assert_eq!(refused_field(&json!({field: value})), field, "{value}");
        }
        for (field, config) in [
            ("dilation_growth_rate", json!({"num_residual_layers": 40, "dilation_growth_rate": 10})),
            ("sliding_window", json!({"sliding_window": 1 << 20})),
            (
                "codebook_size",
                json!({"codebook_size": 1 << 20, "codebook_dim": 4096, "vector_quantization_hidden_dimension": 4096}),
            ),
            ("hidden_size", json!({"hidden_size": 1 << 16, "head_dim": 2, "intermediate_size": 1 << 20})),
        ] {
            assert_eq!(refused_field(&config), field, "{config}");
        }
    }

    #[test]
    fn released_values_follow_from_the_defaults() {
        let config = MimiConfig::default();
        config.validate().unwrap();
        assert_eq!((config.frame_size(), config.latent_stride(), config.encodec_frame_rate()), (1920, 2, 25));
        assert_eq!(config.frame_rate(), 12.5);
        assert_eq!((config.head_dim(), config.num_acoustic_quantizers()), (64, 31));
        assert!(config.has_quantizer_projection());
    }

    #[test]
    fn causal_variants_are_accepted() {
        for config in [
            json!({"upsampling_ratios": [6, 5, 4], "frame_rate": 12.5}),
            json!({"upsampling_ratios": [7, 3]}),
            json!({"num_hidden_layers": 0, "num_residual_layers": 0}),
            json!({"head_dim": 128, "num_key_value_heads": 2, "hidden_act": "gelu_pytorch_tanh"}),
            json!({"num_filters": 9, "compress": 2, "use_conv_shortcut": true, "attention_bias": true}),
        ] {
            MimiConfig::from_value(&config).unwrap();
        }
        let config = MimiConfig::from_value(&json!({"upsampling_ratios": [6, 5, 4], "frame_rate": 12.5})).unwrap();
        assert_eq!((config.latent_stride(), config.frame_size()), (16, 1920));
    }
}
