//! What a configuration says and may not say.

use serde_json::{Value, json};

use super::{all, open_marked, qwen, tts, voice};
use crate::error::Error;

/// The field that a configuration is refused for.
fn field_of(kind: &str, config: &Value) -> String {
    match open_marked(kind, config) {
        Err(Error::Config { field, .. }) => field,
        Err(other) => panic!("expected an error of a field, got {other}"),
        Ok(_) => panic!("expected an error of a field in {config}"),
    }
}

fn assert_named(kind: &str, config: &Value, at: &str, fields: &[(&str, Value)]) {
    for (field, value) in fields {
        let mut damaged = config.clone();
        *damaged.pointer_mut(at).unwrap().as_object_mut().unwrap().entry(*field).or_insert(json!(0)) = value.clone();
        assert_eq!(&field_of(kind, &damaged), field, "{value}");
    }
}

/// What both of Qwen's decoders refuse.
fn of_a_decoder() -> Vec<(&'static str, Value)> {
    vec![
        ("hidden_size", json!("12")),
        ("hidden_size", json!(null)),
        ("hidden_size", json!(0)),
        ("num_hidden_layers", json!(u64::MAX)),
        ("num_attention_heads", json!(0)),
        ("num_key_value_heads", json!(0)),
        ("num_attention_heads", json!(-1)),
        ("head_dim", json!(3)),
        ("head_dim", json!(1 << 30)),
        ("intermediate_size", json!(0)),
        ("sliding_window", json!(0)),
        ("sliding_window", json!(1 << 28)),
        ("attention_bias", json!(1)),
        ("hidden_act", json!("gelu")),
        ("rms_norm_eps", json!(-1.0)),
        ("rms_norm_eps", json!("1e-5")),
        ("rope_parameters", json!({"rope_type": "yarn"})),
        ("rope_parameters", json!({"partial_rotary_factor": 0.5})),
        ("rope_theta", json!(0)),
        ("upsampling_ratios", json!([0])),
        ("upsampling_ratios", json!(2)),
        ("upsample_rates", json!([3, "2"])),
        ("upsample_rates", json!([1 << 19, 1 << 19])),
        ("decoder_dim", json!(6)),
        ("decoder_dim", json!(0)),
    ]
}

#[test]
fn of_code2wav() {
    assert_named("code2wav", &qwen(), "", &of_a_decoder());
    let own = [("num_quantizers", json!(0)), ("codebook_size", json!(0)), ("codebook_size", json!(1_u64 << 40))];
    assert_named("code2wav", &qwen(), "", &own);
}

#[test]
fn of_qwen3_tts() {
    assert_named("qwen3-tts", &tts(), "/decoder_config", &of_a_decoder());
    let decoder = [
        ("codebook_dim", json!(0)),
        ("codebook_dim", json!(9)),
        ("latent_dim", json!(0)),
        ("num_quantizers", json!(1)),
        ("codebook_size", json!(32)),
    ];
    assert_named("qwen3-tts", &tts(), "/decoder_config", &decoder);
    assert_named("qwen3-tts", &tts(), "/encoder_config", &[("num_filters", json!(0)), ("pad_mode", json!("reflect"))]);
    let whole = [
        ("encoder_config", json!(3)),
        ("decoder_config", json!([])),
        ("encoder_valid_num_quantizers", json!(2)),
        ("input_sample_rate", json!(16000)),
        ("output_sample_rate", json!(48000)),
    ];
    assert_named("qwen3-tts", &tts(), "", &whole);
    let mut other_frames = tts();
    other_frames["decoder_config"]["upsampling_ratios"] = json!([3]);
    assert_eq!(field_of("qwen3-tts", &other_frames), "upsample_rates");
}

#[test]
fn of_vibevoice() {
    for kind in ["vibevoice", "vibevoice-encoder"] {
        let fields = [
            ("channels", json!(2)),
            ("hidden_size", json!(0)),
            ("kernel_size", json!(0)),
            ("kernel_size", json!("7")),
            ("num_filters", json!(0)),
            ("num_filters", json!(1 << 19)),
            ("downsampling_ratios", json!([2, 0])),
            ("downsampling_ratios", json!("2, 3")),
            ("depths", json!([1, 1])),
            ("depths", json!([1, 1, 1_u64 << 40])),
            ("ffn_expansion", json!(0)),
            ("hidden_act", json!("relu")),
            ("rms_norm_eps", json!(-1)),
            ("vae_std", json!(-0.5)),
            ("vae_std", json!("0.625")),
        ];
        assert_named(kind, &voice(), "", &fields);
    }
}

#[test]
fn what_is_not_said_is_the_released_model() {
    for (kind, count, parameters, frame) in [
        ("code2wav", 230, 216_016_577, 1920),
        ("vibevoice", 552, 687_402_000, 3200),
        ("vibevoice-encoder", 276, 343_700_000, 3200),
        ("qwen3-tts", 496, 170_500_000, 1920),
    ] {
        // Of Qwen3-TTS's heads a configuration says how wide they are, or they share the width.
        let plan = open_marked(kind, &json!({"decoder_config": {"head_dim": 64}})).unwrap().description.plan;
        let tensors = plan.tensors();
        let all: usize = tensors.iter().map(|spec| spec.shape.iter().product::<usize>()).sum();
        assert_eq!(tensors.len(), count, "{kind}");
        assert_eq!(all / 1_000_000, parameters / 1_000_000, "{kind}: {all} parameters");
        assert_eq!(plan.frame_size(), frame, "{kind}");
    }
}

#[test]
fn what_is_written_is_read() {
    for (kind, config) in all() {
        let first = open_marked(kind, &config).unwrap().description;
        let again = open_marked(kind, &first.config).unwrap().description;
        assert_eq!(again.config, first.config, "{kind}");
        assert_eq!(again.plan.tensors(), first.plan.tensors(), "{kind}");
    }
}
