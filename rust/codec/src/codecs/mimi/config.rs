//! The configuration: every field of Transformers' `MimiConfig`, and what follows from the fields.

use serde::Serialize;

use crate::codecs::fields::RopeParameters;

/// The fields of `config.json`, with Transformers' names; the defaults are those of the released `kyutai/mimi`.
///
/// [`MimiConfig::from_json`] gives a validated configuration. One made by hand is checked by [`MimiConfig::validate`];
/// the other methods expect a valid one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MimiConfig {
    /// Samples per second.
    pub sampling_rate: usize,
    /// Channels of the audio. Only 1 is supported.
    pub audio_channels: usize,
    /// Channels of the latents and of both transformers.
    pub hidden_size: usize,
    /// Channels of the encoder's first convolution; doubled at each ratio.
    pub num_filters: usize,
    /// Residual blocks at each ratio.
    pub num_residual_layers: usize,
    /// Strides of the decoder's transposed convolutions; the encoder's are the same, reversed.
    pub upsampling_ratios: Vec<usize>,
    /// Kernel of the first convolution of encoder and decoder.
    pub kernel_size: usize,
    /// Kernel of the last convolution of encoder and decoder.
    pub last_kernel_size: usize,
    /// Kernel of the first convolution of a residual block.
    pub residual_kernel_size: usize,
    /// Factor of the dilation from one residual block of a stage to the next.
    pub dilation_growth_rate: usize,
    /// Whether convolutions see the past only. Only `true` is supported.
    pub use_causal_conv: bool,
    /// Padding of the convolutions. Only `"constant"` (zeros) is supported.
    pub pad_mode: String,
    /// Divisor of the channels inside residual blocks.
    pub compress: usize,
    /// Share of a transposed convolution's surplus that is cut at its end. Only 1 is supported.
    pub trim_right_ratio: f64,
    /// Entries of a codebook, a power of two.
    pub codebook_size: usize,
    /// Size of a codebook's entry.
    pub codebook_dim: usize,
    /// Codebooks, semantic and acoustic.
    pub num_quantizers: usize,
    /// Whether residual blocks have a 1x1 convolution in place of the identity.
    pub use_conv_shortcut: bool,
    /// Size of the vectors that are quantized; equal to `codebook_dim`.
    pub vector_quantization_hidden_dimension: usize,
    /// Codebooks that are semantic; the first ones.
    pub num_semantic_quantizers: usize,
    /// Groups of the transposed convolution from latents to the transformer's rate.
    pub upsample_groups: usize,
    /// Layers of each transformer.
    pub num_hidden_layers: usize,
    /// Size of the transformers' hidden feed-forward activations.
    pub intermediate_size: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Size of a head; `None` is `hidden_size / num_attention_heads`.
    pub head_dim: Option<usize>,
    /// Feed-forward activation: `"gelu"` (erf), or `"gelu_pytorch_tanh"` and `"gelu_new"` (tanh).
    pub hidden_act: String,
    /// Not a limit: positions are unbounded.
    pub max_position_embeddings: usize,
    /// Of training only.
    pub initializer_range: f64,
    /// Epsilon of the layer norms.
    pub norm_eps: f64,
    /// Of Transformers' generation only.
    pub use_cache: bool,
    /// Of Transformers only: here streaming is asked for by making a stream.
    pub use_streaming: bool,
    /// Rotary embedding.
    pub rope_parameters: RopeParameters,
    /// Positions that a query sees, its own included.
    pub sliding_window: usize,
    /// Of training only.
    pub attention_dropout: f64,
    /// Of training only.
    pub layer_scale_initial_scale: f64,
    /// Whether the attention's four projections have biases.
    pub attention_bias: bool,
    /// Without meaning for a codec.
    pub tie_word_embeddings: bool,
    /// Latent frames per second; `None` is half the rate of the encoder's convolutions.
    #[serde(rename = "_frame_rate")]
    pub frame_rate: Option<f64>,
}

impl Default for MimiConfig {
    fn default() -> Self {
        Self {
            sampling_rate: 24_000,
            audio_channels: 1,
            hidden_size: 512,
            num_filters: 64,
            num_residual_layers: 1,
            upsampling_ratios: vec![8, 6, 5, 4],
            kernel_size: 7,
            last_kernel_size: 3,
            residual_kernel_size: 3,
            dilation_growth_rate: 2,
            use_causal_conv: true,
            pad_mode: "constant".into(),
            compress: 2,
            trim_right_ratio: 1.0,
            codebook_size: 2048,
            codebook_dim: 256,
            num_quantizers: 32,
            use_conv_shortcut: false,
            vector_quantization_hidden_dimension: 256,
            num_semantic_quantizers: 1,
            upsample_groups: 512,
            num_hidden_layers: 8,
            intermediate_size: 2048,
            num_attention_heads: 8,
            num_key_value_heads: 8,
            head_dim: None,
            hidden_act: "gelu".into(),
            max_position_embeddings: 8000,
            initializer_range: 0.02,
            norm_eps: 1e-5,
            use_cache: false,
            use_streaming: false,
            rope_parameters: RopeParameters::default(),
            sliding_window: 250,
            attention_dropout: 0.0,
            layer_scale_initial_scale: 0.01,
            attention_bias: false,
            tie_word_embeddings: true,
            frame_rate: None,
        }
    }
}

impl MimiConfig {
    /// Samples per frame of the encoder's convolutions, before the latents' stride.
    pub fn hop_length(&self) -> usize {
        self.upsampling_ratios.iter().fold(1, |product, &ratio| product.saturating_mul(ratio))
    }

    /// Samples per latent frame.
    pub fn frame_size(&self) -> usize {
        self.hop_length().saturating_mul(self.latent_stride())
    }

    /// Frames per second of the convolutions and the transformers, rounded up.
    pub fn encodec_frame_rate(&self) -> usize {
        self.sampling_rate.div_ceil(self.hop_length().max(1))
    }

    /// Latent frames per second: the configured rate, else half that of the convolutions.
    pub fn frame_rate(&self) -> f64 {
        self.frame_rate.unwrap_or(self.sampling_rate as f64 / (self.hop_length() as f64 * 2.0))
    }

    /// Transformer frames per latent frame.
    pub fn latent_stride(&self) -> usize {
        (self.encodec_frame_rate() as f64 / self.frame_rate()) as usize
    }

    /// Kernel of the convolutions between the transformers' rate and the latents'.
    pub fn latent_kernel(&self) -> usize {
        self.latent_stride().saturating_mul(2)
    }

    /// Size of an attention head.
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// Size of all query heads together.
    pub fn query_size(&self) -> usize {
        self.num_attention_heads.saturating_mul(self.head_dim())
    }

    /// Size of all key (or value) heads together.
    pub fn key_value_size(&self) -> usize {
        self.num_key_value_heads.saturating_mul(self.head_dim())
    }

    /// Codebooks that are acoustic; those after the semantic ones.
    pub fn num_acoustic_quantizers(&self) -> usize {
        self.num_quantizers.saturating_sub(self.num_semantic_quantizers)
    }

    /// Whether each residual quantizer projects latents to its own size and back.
    pub fn has_quantizer_projection(&self) -> bool {
        self.vector_quantization_hidden_dimension != self.hidden_size
    }

    /// Base of the rotary embedding's frequencies.
    pub fn rope_theta(&self) -> f64 {
        self.rope_parameters.rope_theta
    }
}
