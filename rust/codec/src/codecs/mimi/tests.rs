#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::parts::Parts;
use crate::plan::{Kind, Node, Part};
use crate::weights::{Spelled, detect};

fn usual(layout: usize, name: &str, kind: Kind) -> String {
    let spec = TensorSpec { name: name.into(), shape: vec![1], part: Part::Encoder, kind };
    let (Spelled::Whole(names) | Spelled::Fused(names)) = (FAMILY.layouts[layout].spell)(&spec);
    names.into_iter().next().unwrap()
}

#[test]
fn the_released_model_has_its_350_tensors() {
    let tensors = MimiConfig::default().tensors();
    assert_eq!(tensors.len(), 350);
    assert_eq!(tensors.iter().filter(|spec| spec.kind == Kind::Flag).count(), 32);
    let elements: usize = tensors.iter().map(|spec| spec.shape.iter().product::<usize>()).sum();
    assert_eq!(elements / 100_000, 961);
    let shapes: BTreeMap<_, _> = tensors.iter().map(|spec| (spec.name.as_str(), spec.shape.as_slice())).collect();
    for (name, shape) in [
        ("encoder.layers.0.conv.weight", &[64, 1, 7][..]),
        ("encoder.layers.10.block.1.conv.weight", &[256, 512, 3]),
        ("encoder.layers.12.conv.weight", &[1024, 512, 16]),
        ("encoder.layers.14.conv.weight", &[512, 1024, 3]),
        ("decoder.layers.2.conv.weight", &[1024, 512, 16]),
        ("decoder.layers.2.conv.bias", &[512]),
        ("decoder.layers.12.block.3.conv.weight", &[64, 32, 1]),
        ("decoder.layers.14.conv.weight", &[1, 64, 3]),
        ("downsample.conv.weight", &[512, 512, 4]),
        ("upsample.conv.weight", &[512, 1, 4]),
    ] {
        assert_eq!(shapes[name], shape, "{name}");
    }
}

#[test]
fn parts_and_codebooks_select() {
    let plan = MimiConfig { num_semantic_quantizers: 2, ..Default::default() }.plan();
    let has = |tensors: &[TensorSpec], part| tensors.iter().any(|spec| spec.part == part);
    let tensors = plan.needed(Parts::Encoder, Some(2)).unwrap().tensors();
    assert!(has(&tensors, Part::Encoder) && !has(&tensors, Part::Decoder));
    assert!(!tensors.iter().any(|spec| spec.name.contains("acoustic")));
    let tensors = plan.needed(Parts::Decoder, Some(5)).unwrap().tensors();
    assert!(!has(&tensors, Part::Encoder) && has(&tensors, Part::Decoder));
    assert_eq!(tensors.iter().filter(|spec| spec.name.ends_with("embed_sum")).count(), 5);
}

#[test]
fn dilation_grows_within_a_stage() {
    let config = MimiConfig { num_residual_layers: 3, dilation_growth_rate: 3, ..Default::default() };
    let mut dilations = Vec::new();
    for node in config.plan().encoder.iter().flatten() {
        if let Node::Residual(residual) = node {
            dilations.extend(residual.branch.iter().filter_map(|node| match node {
                Node::Conv(conv) if conv.kernel == 3 => Some(conv.dilation),
                _ => None,
            }));
        }
    }
    assert_eq!(dilations[..4], [1, 3, 9, 1]);
}

#[test]
fn rates_follow_from_the_chains() {
    for config in [
        MimiConfig::default(),
        MimiConfig::from_value(&json!({"upsampling_ratios": [6, 5, 4], "frame_rate": 12.5})).unwrap(),
        MimiConfig::from_value(&json!({"upsampling_ratios": [7, 3]})).unwrap(),
    ] {
        let plan = config.plan();
        assert_eq!(plan.frame_size(), config.frame_size());
        assert_eq!(plan.needed(Parts::Decoder, Some(1)).unwrap().frame_size(), config.frame_size());
        assert_eq!((plan.encoder_latent_dim(), plan.decoder_latent_dim()), (Some(512), Some(512)));
    }
}

#[test]
fn usual_spellings() {
    for (name, five, kyutai) in [
        ("encoder.layers.0.conv.bias", "encoder.encoder_seanet.layers.0.conv.bias", "encoder.model.0.conv.conv.bias"),
        (
            "decoder.layers.3.block.1.conv.weight",
            "decoder.decoder_seanet.layers.3.block.1.conv.weight",
            "decoder.model.3.block.1.conv.conv.weight",
        ),
        ("downsample.conv.weight", "encoder.downsample.conv.weight", "downsample.conv.conv.conv.weight"),
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
        assert_eq!([0, 1, 2].map(|layout| usual(layout, name, Kind::Plain)), [name, five, kyutai]);
    }
    for (name, kyutai) in [
        ("decoder.layers.2.conv.weight", "decoder.model.2.convtr.convtr.weight"),
        ("upsample.conv.weight", "upsample.convtr.convtr.convtr.weight"),
    ] {
        assert_eq!(usual(2, name, Kind::Transposed), kyutai);
    }
    let key = Kind::Projected { rows: 512..1024, of: 1536, rotary: Some(64) };
    let fused = usual(2, "encoder_transformer.layers.1.self_attn.k_proj.weight", key);
    assert_eq!(fused, "encoder_transformer.transformer.layers.1.self_attn.in_proj_weight");
}

#[test]
fn layout_and_prefix_are_found_by_looking() {
    let find = |names: &[&str]| {
        let found = detect(names.iter().copied(), FAMILY.layouts);
        found.into_iter().map(|found| (found.prefix, found.layout, found.certain)).collect::<Vec<_>>()
    };
    let one = |prefix: &str, layout| vec![(prefix.to_string(), layout, false)];
    assert_eq!(find(&["lm_head.weight", "model.embed.weight"]), []);
    assert_eq!(find(&["encoder.layers.0.conv.weight"]), one("", 0));
    assert_eq!(find(&["x.codec_model.decoder.layers.0.conv.bias"]), one("x.codec_model.", 0));
    assert_eq!(find(&["mimi.encoder.model.0.conv.conv.weight"]), one("mimi.", 2));
    assert_eq!(find(&["decoder.model.0.conv.weight"]), one("", 2));
    assert_eq!(find(&["encoder.encoder_seanet.layers.0.conv.weight"]), one("", 1));
    assert_eq!(find(&["text_encoder.layers.0.conv.weight"]), []);
    let other = ["a.encoder.layers.0.conv.weight", "b.encoder.layers.0.conv.weight"];
    let quantizer = "b.quantizer.semantic_residual_vector_quantizer.input_proj.weight";
    assert_eq!(find(&[other[0], other[1], quantizer]), [("a.".into(), 0, false), ("b.".into(), 0, true)]);
}

#[test]
fn nested_configurations_are_found() {
    let keys = ["codec_config", "audio_encoder_config", "mimi_config"];
    let codec = json!({"model_type": "mimi", "num_quantizers": 8});
    for root in [
        json!({"model_type": "csm", "codec_config": codec}),
        json!({"model_type": "moshi", "audio_encoder_config": {"num_quantizers": 8}}),
        json!({"model_type": "tts", "codec_config": {"model_type": "dac"}, "speech_config": codec}),
        json!({"model_type": "tts", "encoder_config": {"num_quantizers": 8}}),
    ] {
        let prefix = if root.get("encoder_config").is_some() { "encoder." } else { "" };
        let found = nested_config(&root, prefix, MODEL_TYPES, &keys).unwrap();
        assert_eq!(found["num_quantizers"], 8);
    }
    let root: Value = json!({"model_type": "llama", "hidden_size": 4096});
    assert_eq!(nested_config(&root, "", MODEL_TYPES, &keys), None);
}
