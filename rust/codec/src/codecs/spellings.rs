//! The names of the layers of Mimi and its kin in three layouts, made from the canonical ones: those of `kyutai/mimi` on
//! disk.

use crate::plan::{Kind, TensorSpec};
use crate::weights::Spelled;

/// Beginnings of names that only the first layers of a codec have.
pub(super) const TRANSFORMERS_MARKERS: &[&str] = &["encoder.layers.0.conv.", "decoder.layers.0.conv."];
/// The same in memory.
pub(super) const TRANSFORMERS5_MARKERS: &[&str] =
    &["encoder.encoder_seanet.layers.0.conv.", "decoder.decoder_seanet.layers.0.conv."];
/// The same in Kyutai's files.
pub(super) const KYUTAI_MARKERS: &[&str] = &["encoder.model.0.conv.", "decoder.model.0.conv."];

/// The flat layout of Transformers' files.
pub(super) fn transformers(spec: &TensorSpec) -> Spelled {
    Spelled::Whole(vec![spec.name.clone()])
}

/// The in-memory spelling of Transformers 5, in which each half owns its transformer and resampling.
pub(super) fn transformers5(spec: &TensorSpec) -> Spelled {
    const OWNERS: [(&str, &str); 6] = [
        ("encoder.layers.", "encoder.encoder_seanet.layers."),
        ("encoder_transformer.", "encoder.encoder_transformer."),
        ("downsample.", "encoder.downsample."),
        ("upsample.", "decoder.upsample."),
        ("decoder_transformer.", "decoder.decoder_transformer."),
        ("decoder.layers.", "decoder.decoder_seanet.layers."),
    ];
    let name = &spec.name;
    let owned = OWNERS.iter().find_map(|(flat, owned)| name.strip_prefix(flat).map(|rest| format!("{owned}{rest}")));
    Spelled::Whole(vec![owned.unwrap_or_else(|| name.clone())])
}

/// The layout of Kyutai's files, which fuse the attention's three input projections and order each query and key head for
/// interleaved rotary embedding.
pub(super) fn kyutai(spec: &TensorSpec) -> Spelled {
    let fused = matches!(spec.kind, Kind::Projected { .. }).then(|| {
        let (layer, projection) = spec.name.split_once(".self_attn.")?;
        let (_, parameter) = projection.split_once("_proj.")?;
        let fused = ["in_proj_", "in_projs.0.", "in_proj."].map(|fused| format!(".self_attn.{fused}{parameter}"));
        Some(product(&[kyutai_layer(layer), fused.to_vec()]))
    });
    match fused.flatten() {
        Some(names) => Spelled::Fused(names),
        None => Spelled::Whole(kyutai_whole(&spec.name, spec.kind == Kind::Transposed)),
    }
}

/// The names of one that is not fused, the usual one first. `transposed` tells a transposed convolution.
fn kyutai_whole(name: &str, transposed: bool) -> Vec<String> {
    if let Some(rest) = name.strip_prefix("quantizer.") {
        return kyutai_quantizer(rest);
    }
    let (module, parameter) = name.rsplit_once('.').unwrap_or((name, ""));
    if let Some(owner) = module.strip_suffix(".conv") {
        let owner = owner.replacen("coder.layers.", "coder.model.", 1);
        let wrapper = if transposed { "convtr" } else { "conv" };
        // One module around a convolution pads, one is for its norm; up- and downsampling have one more. Some writers
        // leave the wrappers out.
        let depths = if owner.contains('.') { [2, 3, 1] } else { [3, 2, 1] };
        let conv = |depth| vec![wrapper; depth].join(".");
        return depths.map(|depth| format!("{owner}.{}.{parameter}", conv(depth))).to_vec();
    }
    let rest = module.split_once(".layers.").and_then(|(_, rest)| rest.split_once('.'));
    let Some((_, rest)) = rest else {
        return vec![name.to_string()];
    };
    let modules: &[&str] = match rest {
        "self_attn.o_proj" => &["self_attn.out_proj", "self_attn.out_projs.0"],
        "mlp.fc1" => &["linear1"],
        "mlp.fc2" => &["linear2"],
        "input_layernorm" => &["norm1"],
        "post_attention_layernorm" => &["norm2"],
        "self_attn_layer_scale" => &["layer_scale_1"],
        "mlp_layer_scale" => &["layer_scale_2"],
        other => &[other],
    };
    let layer = &module[..module.len() - rest.len() - 1];
    let modules = modules.iter().map(|module| format!(".{module}.{parameter}"));
    product(&[kyutai_layer(layer), modules.collect()])
}

/// `encoder_transformer.layers.N` in Kyutai's files.
fn kyutai_layer(layer: &str) -> Vec<String> {
    vec![layer.replacen("_transformer.", "_transformer.transformer.", 1), layer.to_string()]
}

/// What follows `quantizer.`, in Kyutai's files.
fn kyutai_quantizer(rest: &str) -> Vec<String> {
    let (kind, rest) = rest.split_once("_residual_vector_quantizer.").unwrap_or(("", rest));
    let quantizer = if kind == "semantic" { "quantizer.rvq_first" } else { "quantizer.rvq_rest" };
    let Some((layer, parameter)) = rest.split_once(".codebook.") else {
        return vec![format!("{quantizer}.{rest}"), format!("{quantizer}.vq.{rest}")];
    };
    let owner = vec![format!("{quantizer}.vq.{layer}"), format!("{quantizer}.{layer}")];
    let codebook = vec!["._codebook.".into(), ".codebook.".into()];
    let parameter = match parameter {
        "embed_sum" => vec!["embedding_sum".into(), "embed_sum".into()],
        "initialized" => vec!["_initialized".into(), "initialized".into()],
        other => vec![other.to_string()],
    };
    product(&[owner, codebook, parameter])
}

/// All strings made of one choice from each list, the first choices first.
fn product(lists: &[Vec<String>]) -> Vec<String> {
    lists.iter().fold(vec![String::new()], |heads, tails| {
        heads.iter().flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}"))).collect()
    })
}
