//! Every tensor of the codec: its name in the flat layout of `kyutai/mimi`, its shape, and what it belongs to.

use super::Parts;
use crate::config::{MimiConfig, SeanetLayer};

/// Which part of the codec a tensor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// From samples to latents.
    Encoder,
    /// From latents to samples.
    Decoder,
    /// Between latents and codes.
    Quantizer,
}

/// A tensor that the configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// The canonical name: that of the flat on-disk Transformers layout.
    pub name: String,
    /// The shape, in PyTorch's order of axes.
    pub shape: Vec<usize>,
    /// What the tensor belongs to.
    pub part: Part,
}

impl TensorSpec {
    /// The configuration's field that a tensor of absurd size is blamed on.
    pub(crate) fn size_field(&self) -> &'static str {
        match self.part {
            Part::Quantizer => "codebook_size",
            _ if self.name.contains(".block.") || self.name.contains("coder.layers.") => "num_filters",
            _ => "hidden_size",
        }
    }
}

/// All tensors of a codec, in the order of the flow of data.
pub fn expected_tensors(config: &MimiConfig) -> Vec<TensorSpec> {
    needed_tensors(config, Parts::Both, config.num_quantizers)
}

/// The tensors that are needed for some parts and for the first `num_codebooks` codebooks.
pub fn needed_tensors(config: &MimiConfig, parts: Parts, num_codebooks: usize) -> Vec<TensorSpec> {
    let semantic = config.num_semantic_quantizers.min(num_codebooks);
    let mut list = List { specs: Vec::new(), part: Part::Encoder };
    if parts.encoder() {
        list.seanet("encoder", &config.seanet_encoder());
        list.transformer("encoder_transformer", config);
        list.add("downsample.conv.weight", &[config.hidden_size, config.hidden_size, config.latent_kernel()]);
    }
    list.part = Part::Quantizer;
    list.quantizer("semantic", semantic, config);
    list.quantizer("acoustic", num_codebooks - semantic, config);
    if parts.decoder() {
        list.part = Part::Decoder;
        let per_group = config.hidden_size / config.upsample_groups;
        list.add("upsample.conv.weight", &[config.hidden_size, per_group, config.latent_kernel()]);
        list.transformer("decoder_transformer", config);
        list.seanet("decoder", &config.seanet_decoder());
    }
    list.specs
}

/// The canonical name of a residual quantizer's module or of the tensors below it.
pub(crate) fn quantizer_name(kind: &str, below: &str) -> String {
    format!("quantizer.{kind}_residual_vector_quantizer.{below}")
}

/// A list under construction.
struct List {
    specs: Vec<TensorSpec>,
    part: Part,
}

impl List {
    fn add(&mut self, name: impl Into<String>, shape: &[usize]) {
        self.specs.push(TensorSpec { name: name.into(), shape: shape.to_vec(), part: self.part });
    }

    /// A weight and, if asked for, a bias over one of its axes.
    fn weight_and_bias(&mut self, module: &str, shape: &[usize], bias: Option<usize>) {
        self.add(format!("{module}.weight"), shape);
        if let Some(size) = bias {
            self.add(format!("{module}.bias"), &[size]);
        }
    }

    fn seanet(&mut self, half: &str, layers: &[SeanetLayer]) {
        for layer in layers {
            match *layer {
                SeanetLayer::Conv { index, c_in, c_out, kernel, .. } => {
                    self.weight_and_bias(&format!("{half}.layers.{index}.conv"), &[c_out, c_in, kernel], Some(c_out));
                }
                SeanetLayer::ConvTranspose { index, c_in, c_out, kernel, .. } => {
                    self.weight_and_bias(&format!("{half}.layers.{index}.conv"), &[c_in, c_out, kernel], Some(c_out));
                }
                SeanetLayer::Residual { index, channels, hidden, kernel, shortcut, .. } => {
                    let layer = format!("{half}.layers.{index}");
                    self.weight_and_bias(&format!("{layer}.block.1.conv"), &[hidden, channels, kernel], Some(hidden));
                    self.weight_and_bias(&format!("{layer}.block.3.conv"), &[channels, hidden, 1], Some(channels));
                    if shortcut {
                        self.weight_and_bias(
                            &format!("{layer}.shortcut.conv"),
                            &[channels, channels, 1],
                            Some(channels),
                        );
                    }
                }
                SeanetLayer::Elu => {}
            }
        }
    }

    fn transformer(&mut self, module: &str, config: &MimiConfig) {
        let (hidden, query, key) = (config.hidden_size, config.query_size(), config.key_value_size());
        for index in 0..config.num_hidden_layers {
            let layer = format!("{module}.layers.{index}");
            for (name, rows, columns) in
                [("q", query, hidden), ("k", key, hidden), ("v", key, hidden), ("o", hidden, query)]
            {
                let projection = format!("{layer}.self_attn.{name}_proj");
                self.weight_and_bias(&projection, &[rows, columns], config.attention_bias.then_some(rows));
            }
            self.add(format!("{layer}.mlp.fc1.weight"), &[config.intermediate_size, hidden]);
            self.add(format!("{layer}.mlp.fc2.weight"), &[hidden, config.intermediate_size]);
            for norm in ["input_layernorm", "post_attention_layernorm"] {
                self.weight_and_bias(&format!("{layer}.{norm}"), &[hidden], Some(hidden));
            }
            for scale in ["self_attn_layer_scale", "mlp_layer_scale"] {
                self.add(format!("{layer}.{scale}.scale"), &[hidden]);
            }
        }
    }

    /// One residual quantizer; nothing if none of its codebooks is wanted.
    fn quantizer(&mut self, kind: &str, codebooks: usize, config: &MimiConfig) {
        if codebooks == 0 {
            return;
        }
        let (hidden, size) = (config.hidden_size, config.vector_quantization_hidden_dimension);
        if config.has_quantizer_projection() {
            self.add(quantizer_name(kind, "input_proj.weight"), &[size, hidden, 1]);
            self.add(quantizer_name(kind, "output_proj.weight"), &[hidden, size, 1]);
        }
        for index in 0..codebooks {
            let codebook = quantizer_name(kind, &format!("layers.{index}.codebook"));
            self.add(format!("{codebook}.embed_sum"), &[config.codebook_size, config.codebook_dim]);
            self.add(format!("{codebook}.cluster_usage"), &[config.codebook_size]);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shape_of<'a>(specs: &'a [TensorSpec], name: &str) -> &'a [usize] {
        &specs.iter().find(|spec| spec.name == name).unwrap().shape
    }

    #[test]
    fn the_released_model_has_its_318_tensors_and_32_flags() {
        let specs = expected_tensors(&MimiConfig::default());
        // On disk there are 350: each of the 32 codebooks has an unused `initialized` flag besides.
        assert_eq!(specs.len(), 350 - 32);
        let elements: usize = specs.iter().map(|spec| spec.shape.iter().product::<usize>()).sum();
        assert_eq!(elements / 100_000, 961);
        assert_eq!(shape_of(&specs, "encoder.layers.12.conv.weight"), [1024, 512, 16]);
        assert_eq!(shape_of(&specs, "decoder.layers.2.conv.weight"), [1024, 512, 16]);
        assert_eq!(shape_of(&specs, "decoder.layers.2.conv.bias"), [512]);
        assert_eq!(shape_of(&specs, "upsample.conv.weight"), [512, 1, 4]);
    }

    #[test]
    fn parts_and_codebooks_select() {
        let config = MimiConfig { num_semantic_quantizers: 2, ..Default::default() };
        let has = |specs: &[TensorSpec], part| specs.iter().any(|spec| spec.part == part);
        let specs = needed_tensors(&config, Parts::Encoder, 2);
        assert!(has(&specs, Part::Encoder) && !has(&specs, Part::Decoder));
        assert!(!specs.iter().any(|spec| spec.name.contains("acoustic")));
        let specs = needed_tensors(&config, Parts::Decoder, 5);
        assert!(!has(&specs, Part::Encoder) && has(&specs, Part::Decoder));
        assert_eq!(specs.iter().filter(|spec| spec.name.ends_with("embed_sum")).count(), 5);
    }
}
