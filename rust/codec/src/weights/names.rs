//! The three spellings of the codec's tensor names, and where in a file a tensor of the canonical spelling lies.
//!
//! The canonical names are those of `kyutai/mimi` on disk. Kyutai's own files fuse the attention's three input
//! projections and order each query and key head for interleaved rotary embedding.

use std::collections::BTreeSet;
use std::ops::Range;

use super::spellings::{kyutai, kyutai_fused, transformers5};
use super::tensors::TensorSpec;
use crate::config::{MimiConfig, SeanetLayer};

/// A spelling of the codec's tensor names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layout {
    /// The flat layout of Transformers' files, `kyutai/mimi` among them.
    Transformers,
    /// The `state_dict()` of a `MimiModel` in Transformers 5.
    Transformers5,
    /// Kyutai's own files, as moshi and rustymimi read them.
    Kyutai,
}

impl Layout {
    /// `"transformers"`, `"transformers-5"` or `"kyutai"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Layout::Transformers => "transformers",
            Layout::Transformers5 => "transformers-5",
            Layout::Kyutai => "kyutai",
        }
    }
}

/// Beginnings of names that only the codec's first layers have.
const LAYER_MARKERS: [(&str, Layout); 6] = [
    ("encoder.layers.0.conv.", Layout::Transformers),
    ("decoder.layers.0.conv.", Layout::Transformers),
    ("encoder.encoder_seanet.layers.0.conv.", Layout::Transformers5),
    ("decoder.decoder_seanet.layers.0.conv.", Layout::Transformers5),
    ("encoder.model.0.conv.", Layout::Kyutai),
    ("decoder.model.0.conv.", Layout::Kyutai),
];
/// Beginnings of names that only Mimi's quantizer has.
const QUANTIZER_MARKERS: [&str; 2] = ["quantizer.semantic_residual_vector_quantizer.", "quantizer.rvq_first."];

/// The layouts and prefixes under which a codec is found among tensor names: usually one. Those with a split quantizer
/// go before those without, which other codecs may be.
pub(super) fn detect<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<(String, Layout)> {
    let mut layers = BTreeSet::new();
    let mut quantizers = BTreeSet::new();
    for name in names {
        for (marker, layout) in LAYER_MARKERS {
            layers.extend(prefixes(name, marker).map(|prefix| (prefix.to_string(), layout)));
        }
        quantizers.extend(QUANTIZER_MARKERS.iter().flat_map(|marker| prefixes(name, marker)));
    }
    let whole: BTreeSet<_> =
        layers.iter().filter(|(prefix, _)| quantizers.contains(prefix.as_str())).cloned().collect();
    if whole.is_empty() { layers } else { whole }
}

/// What may stand before `marker` in `name`: nothing, or modules.
fn prefixes<'a>(name: &'a str, marker: &str) -> impl Iterator<Item = &'a str> {
    name.match_indices(marker).map(|(at, _)| &name[..at]).filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
}

/// Whether a name is that of a codebook's flag, which nothing reads.
pub(super) fn is_unused(name: &str) -> bool {
    name.ends_with("codebook.initialized") || name.ends_with("codebook._initialized")
}

/// Whether a name is that of half a weight, kept apart by PyTorch's weight norm.
pub(super) fn is_weight_norm(name: &str) -> bool {
    name.ends_with(".weight_g") || name.ends_with(".weight_v") || name.contains(".parametrizations.weight.original")
}

/// Where a tensor of the canonical spelling lies in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    /// The name in the file.
    pub(super) name: String,
    /// The shape of the whole tensor in the file.
    pub(super) shape: Vec<usize>,
    /// The rows (of the first axis) that are meant, if not all.
    pub(super) rows: Option<Range<usize>>,
    /// Whether the rows of each head go from interleaved rotary order to half-split order.
    pub(super) deinterleave: bool,
}

/// Finds tensors in a file of one layout and prefix.
pub(super) struct Locator<'a> {
    config: &'a MimiConfig,
    layout: Layout,
    prefix: &'a str,
    /// The decoder's transposed convolutions, without `.weight` and `.bias`.
    transposed: BTreeSet<String>,
}

impl<'a> Locator<'a> {
    pub(super) fn new(config: &'a MimiConfig, layout: Layout, prefix: &'a str) -> Self {
        let transposed = config.seanet_decoder().into_iter().filter_map(|layer| match layer {
            SeanetLayer::ConvTranspose { index, .. } => Some(format!("decoder.layers.{index}.conv")),
            _ => None,
        });
        let transposed = transposed.chain(["upsample.conv".to_string()]).collect();
        Self { config, layout, prefix, transposed }
    }

    /// The place of a tensor: under the first of its spellings that is `present`, else under its usual one.
    pub(super) fn locate(&self, spec: &TensorSpec, present: impl Fn(&str) -> bool) -> Location {
        let (names, mut location) = self.candidates(spec);
        let mut names = names.into_iter().map(|name| format!("{}{name}", self.prefix));
        let usual = names.next().unwrap_or_default();
        location.name = if present(&usual) { usual } else { names.find(|name| present(name)).unwrap_or(usual) };
        location
    }

    /// The names that a tensor may have, the usual one first, and its place but for the name.
    fn candidates(&self, spec: &TensorSpec) -> (Vec<String>, Location) {
        let whole = Location { name: String::new(), shape: spec.shape.clone(), rows: None, deinterleave: false };
        match self.layout {
            Layout::Transformers => (vec![spec.name.clone()], whole),
            Layout::Transformers5 => (vec![transformers5(&spec.name)], whole),
            Layout::Kyutai => {
                self.fused(spec, &whole).unwrap_or_else(|| (kyutai(&spec.name, self.is_transposed(&spec.name)), whole))
            }
        }
    }

    /// The same for a part of Kyutai's fused input projection.
    fn fused(&self, spec: &TensorSpec, whole: &Location) -> Option<(Vec<String>, Location)> {
        let (layer, projection) = spec.name.split_once(".self_attn.")?;
        let (projection, parameter) = projection.split_once("_proj.")?;
        let (query, key) = (self.config.query_size(), self.config.key_value_size());
        let rows = match projection {
            "q" => 0..query,
            "k" => query..query + key,
            "v" => query + key..query + 2 * key,
            _ => return None,
        };
        let mut location = Location { rows: Some(rows), deinterleave: projection != "v", ..whole.clone() };
        *location.shape.first_mut()? = query + 2 * key;
        Some((kyutai_fused(layer, parameter), location))
    }

    fn is_transposed(&self, name: &str) -> bool {
        name.rsplit_once('.').is_some_and(|(module, _)| self.transposed.contains(module))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Part;
    use super::*;

    fn located(layout: Layout, name: &str, shape: &[usize]) -> Location {
        let config = MimiConfig::default();
        let spec = TensorSpec { name: name.into(), shape: shape.to_vec(), part: Part::Encoder };
        Locator::new(&config, layout, "p.").locate(&spec, |_| false)
    }

    #[test]
    fn usual_spellings() {
        for (name, five, kyutai) in [
            (
                "encoder.layers.0.conv.bias",
                "encoder.encoder_seanet.layers.0.conv.bias",
                "encoder.model.0.conv.conv.bias",
            ),
            (
                "decoder.layers.3.block.1.conv.weight",
                "decoder.decoder_seanet.layers.3.block.1.conv.weight",
                "decoder.model.3.block.1.conv.conv.weight",
            ),
            (
                "decoder.layers.2.conv.weight",
                "decoder.decoder_seanet.layers.2.conv.weight",
                "decoder.model.2.convtr.convtr.weight",
            ),
            ("downsample.conv.weight", "encoder.downsample.conv.weight", "downsample.conv.conv.conv.weight"),
            ("upsample.conv.weight", "decoder.upsample.conv.weight", "upsample.convtr.convtr.convtr.weight"),
            (
                "encoder_transformer.layers.3.self_attn.o_proj.weight",
                "encoder.encoder_transformer.layers.3.self_attn.o_proj.weight",
                "encoder_transformer.transformer.layers.3.self_attn.out_proj.weight",
            ),
            (
                "decoder_transformer.layers.3.mlp_layer_scale.scale",
                "decoder.decoder_transformer.layers.3.mlp_layer_scale.scale",
                "decoder_transformer.transformer.layers.3.layer_scale_2.scale",
            ),
            (
                "quantizer.acoustic_residual_vector_quantizer.layers.3.codebook.embed_sum",
                "quantizer.acoustic_residual_vector_quantizer.layers.3.codebook.embed_sum",
                "quantizer.rvq_rest.vq.layers.3._codebook.embedding_sum",
            ),
            (
                "quantizer.semantic_residual_vector_quantizer.input_proj.weight",
                "quantizer.semantic_residual_vector_quantizer.input_proj.weight",
                "quantizer.rvq_first.input_proj.weight",
            ),
        ] {
            assert_eq!(located(Layout::Transformers, name, &[1]).name, format!("p.{name}"));
            assert_eq!(located(Layout::Transformers5, name, &[1]).name, format!("p.{five}"));
            assert_eq!(located(Layout::Kyutai, name, &[1]).name, format!("p.{kyutai}"));
        }
    }

    #[test]
    fn fused_projection_is_cut_by_rows() {
        let key = located(Layout::Kyutai, "encoder_transformer.layers.1.self_attn.k_proj.weight", &[512, 512]);
        assert_eq!(key.name, "p.encoder_transformer.transformer.layers.1.self_attn.in_proj_weight");
        assert_eq!((key.shape, key.rows, key.deinterleave), (vec![1536, 512], Some(512..1024), true));
        let value = located(Layout::Kyutai, "encoder_transformer.layers.1.self_attn.v_proj.bias", &[512]);
        assert_eq!(value.name, "p.encoder_transformer.transformer.layers.1.self_attn.in_proj_bias");
        assert_eq!((value.shape, value.rows, value.deinterleave), (vec![1536], Some(1024..1536), false));
    }

    #[test]
    fn another_spelling_is_taken_where_present() {
        let config = MimiConfig::default();
        let spec = TensorSpec { name: "decoder.layers.2.conv.bias".into(), shape: vec![512], part: Part::Decoder };
        let location =
            Locator::new(&config, Layout::Kyutai, "").locate(&spec, |name| name == "decoder.model.2.convtr.bias");
        assert_eq!(location.name, "decoder.model.2.convtr.bias");
    }

    #[test]
    fn layout_and_prefix_are_found_by_looking() {
        let find = |names: &[&str]| detect(names.iter().copied()).into_iter().collect::<Vec<_>>();
        let one = |prefix: &str, layout| vec![(prefix.to_string(), layout)];
        assert_eq!(find(&["lm_head.weight", "model.embed.weight"]), []);
        assert_eq!(find(&["encoder.layers.0.conv.weight"]), one("", Layout::Transformers));
        assert_eq!(find(&["x.codec_model.decoder.layers.0.conv.bias"]), one("x.codec_model.", Layout::Transformers));
        assert_eq!(find(&["mimi.encoder.model.0.conv.conv.weight"]), one("mimi.", Layout::Kyutai));
        assert_eq!(find(&["decoder.model.0.conv.weight"]), one("", Layout::Kyutai));
        assert_eq!(find(&["encoder.encoder_seanet.layers.0.conv.weight"]), one("", Layout::Transformers5));
        assert_eq!(find(&["text_encoder.layers.0.conv.weight"]), []);
        let other = ["a.encoder.layers.0.conv.weight", "b.encoder.layers.0.conv.weight"];
        assert_eq!(find(&other).len(), 2);
        let quantizer = "b.quantizer.semantic_residual_vector_quantizer.input_proj.weight";
        assert_eq!(find(&[other[0], other[1], quantizer]), one("b.", Layout::Transformers));
    }
}
