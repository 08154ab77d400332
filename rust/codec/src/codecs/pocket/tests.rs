#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::*;
use crate::error::Error;
use crate::parts::Parts;

fn transformers(fields: Value) -> Config {
    Config::from_transformers(&fields).unwrap()
}

/// The names that a plan's tensors have in a layout, each once.
fn names(config: &Config, layout: usize) -> BTreeSet<String> {
    let name = |spec: &TensorSpec| match (FAMILY.layouts[layout].spell)(spec) {
        Spelled::Whole(names) | Spelled::Fused(names) => names[0].clone(),
    };
    config.plan().tensors().iter().map(name).collect()
}

#[test]
fn the_released_model_has_its_tensors() {
    let config = transformers(json!({}));
    let plan = config.plan();
    assert_eq!(plan.tensors().len(), 95);
    let parameters: usize = plan.tensors().iter().map(|spec| spec.shape.iter().product::<usize>()).sum();
    assert_eq!(parameters, 20_054_337);
    assert_eq!((plan.frame_size(), plan.frame_rate), (1920, 12.5));
    assert_eq!((plan.encoder_latent_dim(), plan.decoder_latent_dim()), (Some(32), Some(32)));
    assert_eq!(plan.part(Parts::Decoder, 0).tensors().len(), 48);
    assert!(names(&config, 0).contains("decoder.decoder_transformer.layers.1.self_attn.q_proj.weight"));
    // Kyutai's files fuse three projections of each of four layers.
    assert_eq!(names(&config, KYUTAI).len(), 87);
    assert!(names(&config, KYUTAI).contains("quantizer.output_proj.weight"));
}

#[test]
fn what_is_written_is_read() {
    let same =
        transformers(json!({"hidden_size": 64, "num_attention_heads": 4, "upsample_groups": 64, "latent_dim": 8}));
    assert_eq!(Config::from_transformers(&same.to_value()).unwrap(), same);
    let section = json!({
        "inner_dim": 32, "quantizer": {"dimension": 32},
        "seanet": {"n_filters": 64}, "transformer": {},
        "decoder_seanet": {"n_filters": 32, "kernel_size": 3},
        "decoder_transformer":
            {"d_model": 128, "num_heads": 4, "num_layers": 12, "context": 50, "dim_feedforward": 384},
    });
    let apart = Config::from_kyutai(&section).unwrap();
    assert_eq!((apart.encoder.hidden_size, apart.decoder.hidden_size, apart.decoder.sliding_window), (512, 128, 50));
    let parameters: usize = apart.plan().tensors().iter().map(|spec| spec.shape.iter().product::<usize>()).sum();
    assert_eq!(parameters, 12_366_257);
    assert_eq!(Config::from_transformers(&apart.to_value()).unwrap(), apart);
}

#[test]
fn values_that_are_not_supported_name_their_field() {
    for (field, value) in [
        ("use_causal_conv", json!(false)),
        ("trim_right_ratio", json!(0.5)),
        ("pad_mode", json!("reflect")),
        ("audio_channels", json!(2)),
        ("hidden_act", json!("relu")),
        ("latent_stride", json!(0)),
        ("latent_stride", json!(1 << 20)),
        ("latent_dim", json!(0)),
        ("upsampling_ratios", json!([0])),
        ("upsample_groups", json!(3)),
        ("num_key_value_heads", json!(3)),
        ("head_dim", json!(33)),
        ("compress", json!(65)),
        ("sliding_window", json!(1 << 20)),
        ("num_hidden_layers", json!(u64::MAX)),
        ("num_filters", json!(1 << 20)),
        ("hidden_size", json!("512")),
        ("rope_parameters", json!({"rope_type": "yarn"})),
    ] {
        match Config::from_transformers(&json!({ field: value })) {
            Err(Error::Config { field: named, .. }) => assert_eq!(named, field),
            other => panic!("expected an error of {field}, got {other:?}"),
        }
    }
    for section in [json!(3), json!({}), json!({"quantizer": {}, "seanet": [], "transformer": {}})] {
        assert!(matches!(Config::from_kyutai(&section), Err(Error::Config { .. })), "{section}");
    }
}
