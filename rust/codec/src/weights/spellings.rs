//! A tensor's name in the other two layouts, made from its canonical one.

/// The spellings of Kyutai's files, the usual one first. `transposed` tells a transposed convolution.
pub(super) fn kyutai(name: &str, transposed: bool) -> Vec<String> {
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

/// The spellings of Kyutai's fused input projection of one layer, the usual one first.
pub(super) fn kyutai_fused(layer: &str, parameter: &str) -> Vec<String> {
    let fused = ["in_proj_", "in_projs.0.", "in_proj."].map(|fused| format!(".self_attn.{fused}{parameter}"));
    product(&[kyutai_layer(layer), fused.to_vec()])
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
        other => vec![other.to_string()],
    };
    product(&[owner, codebook, parameter])
}

/// The in-memory spelling of Transformers 5, in which each half owns its transformer and resampling.
pub(super) fn transformers5(name: &str) -> String {
    const OWNERS: [(&str, &str); 6] = [
        ("encoder.layers.", "encoder.encoder_seanet.layers."),
        ("encoder_transformer.", "encoder.encoder_transformer."),
        ("downsample.", "encoder.downsample."),
        ("upsample.", "decoder.upsample."),
        ("decoder_transformer.", "decoder.decoder_transformer."),
        ("decoder.layers.", "decoder.decoder_seanet.layers."),
    ];
    let owned = OWNERS.iter().find_map(|(flat, owned)| name.strip_prefix(flat).map(|rest| format!("{owned}{rest}")));
    owned.unwrap_or_else(|| name.to_string())
}

/// All strings made of one choice from each list, the first choices first.
fn product(lists: &[Vec<String>]) -> Vec<String> {
    lists.iter().fold(vec![String::new()], |heads, tails| {
        heads.iter().flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}"))).collect()
    })
}
