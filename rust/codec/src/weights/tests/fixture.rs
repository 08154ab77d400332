//! Small random checkpoints, written in each layout by code of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::codecs::Opened;
use crate::codecs::mimi::MimiConfig;
use crate::error::Result;
use crate::layers::codebook_entries;
use crate::parts::Parts;
use crate::plan::{Kind, TensorSpec};
pub(crate) use crate::temp_dir::TempDir;
use crate::weights::{Checkpoint, Stored};

/// An opened checkpoint, as the tests look at it.
pub(crate) struct Codec(Opened<'static>);

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a codec of kind {}", self.0.family.kind)
    }
}

pub(crate) fn open(path: &Path) -> Result<Codec> {
    Opened::open(path, None).map(Codec)
}

impl Codec {
    fn checkpoint(&self) -> &Checkpoint<'static> {
        match &self.0.weights {
            Stored::Tensors(checkpoint) => checkpoint,
            Stored::Packed(_) => panic!("tensors"),
        }
    }

    pub(crate) fn layout(&self) -> &'static str {
        self.checkpoint().layout().name
    }

    pub(crate) fn prefix(&self) -> &str {
        self.checkpoint().prefix()
    }

    pub(crate) fn parts(&self) -> Parts {
        self.checkpoint().parts()
    }

    pub(crate) fn config(&self) -> MimiConfig {
        MimiConfig::from_json(&self.0.description.config.to_string()).unwrap()
    }

    pub(crate) fn check(&self, parts: Parts, num_codebooks: Option<usize>) -> Result<()> {
        let plan = &self.0.description.plan;
        self.checkpoint().check(&plan.needed(parts, num_codebooks)?.tensors())
    }

    pub(crate) fn read(&self, name: &str) -> Result<Vec<f32>> {
        self.checkpoint().read(name)
    }

    pub(crate) fn read_codebook(&self, name: &str, dim: usize) -> Result<Vec<f32>> {
        codebook_entries(self.checkpoint(), name, "embed_sum", dim)
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        self.0.save(path)
    }
}

/// Shape and values.
pub(crate) type Tensor = (Vec<usize>, Vec<f32>);
/// By name.
pub(crate) type Tensors = BTreeMap<String, Tensor>;

/// A small codec in which every optional tensor is there and no two sizes are equal by chance.
pub(crate) fn small_config() -> MimiConfig {
    MimiConfig {
        hidden_size: 16,
        num_filters: 4,
        num_residual_layers: 2,
        upsampling_ratios: vec![3, 2],
        use_conv_shortcut: true,
        codebook_size: 8,
        codebook_dim: 10,
        vector_quantization_hidden_dimension: 10,
        num_quantizers: 5,
        num_semantic_quantizers: 2,
        upsample_groups: 4,
        num_hidden_layers: 2,
        intermediate_size: 12,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: Some(6),
        attention_bias: true,
        ..Default::default()
    }
}

/// Random tensors of the canonical names. All values are exact in bfloat16 and float16.
pub(crate) fn random_tensors(config: &MimiConfig) -> Tensors {
    let mut state = 1_u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f32::from((state >> 24) as u8) + 1.0) / 64.0
    };
    let random = |spec: TensorSpec| {
        let values = (0..spec.shape.iter().product()).map(|_| next()).collect();
        (spec.name, (spec.shape, values))
    };
    config.tensors().into_iter().filter(|spec| spec.kind != Kind::Flag).map(random).collect()
}

/// The names of a `MimiModel` in memory in Transformers 5.
pub(crate) fn transformers5(tensors: &Tensors) -> Tensors {
    let rename = |name: &str| {
        let (first, rest) = name.split_once('.').unwrap();
        match first {
            "encoder" | "decoder" => format!("{first}.{first}_seanet.{rest}"),
            "encoder_transformer" | "downsample" => format!("encoder.{name}"),
            "decoder_transformer" | "upsample" => format!("decoder.{name}"),
            _ => name.to_string(),
        }
    };
    tensors.iter().map(|(name, tensor)| (rename(name), tensor.clone())).collect()
}

/// Kyutai's names and order of rows; `short` is the spelling without wrappers.
pub(crate) fn kyutai(tensors: &Tensors, head_dim: usize, short: bool) -> Tensors {
    let mut out = Tensors::new();
    for (name, tensor) in tensors {
        if ["k_proj", "v_proj"].iter().any(|part| name.contains(part)) {
            continue;
        }
        if name.contains("q_proj") {
            let part = |part: &str| &tensors[&name.replace("q_proj", part)];
            let mut values = interleaved(tensor, head_dim);
            values.extend(interleaved(part("k_proj"), head_dim));
            values.extend(&part("v_proj").1);
            let mut shape = tensor.0.clone();
            shape[0] += 2 * part("k_proj").0[0];
            let fused = name.replace("q_proj.", "in_proj_");
            out.insert(kyutai_name(&fused, short), (shape, values));
        } else {
            out.insert(kyutai_name(name, short), tensor.clone());
        }
    }
    out
}

/// Rows of each head from (first halves, second halves) to pairs.
fn interleaved((shape, values): &Tensor, head_dim: usize) -> Vec<f32> {
    let row = values.len() / shape[0];
    let source = |at: usize| {
        let (head, within) = (at / head_dim, at % head_dim);
        head * head_dim + within % 2 * (head_dim / 2) + within / 2
    };
    (0..shape[0]).flat_map(|at| values[source(at) * row..][..row].iter().copied()).collect()
}

fn kyutai_name(name: &str, short: bool) -> String {
    let transposed =
        ["decoder.layers.2.", "decoder.layers.6.", "upsample."].iter().any(|start| name.starts_with(start));
    let wrapper = if transposed { "convtr" } else { "conv" };
    let depth = if name.contains("sample.") { 3 } else { 2 };
    let conv = if short { wrapper.to_string() } else { vec![wrapper; depth].join(".") };
    let name = name.replace(".conv.", &format!(".{conv}."));
    let mut renames = vec![
        ("encoder.layers", "encoder.model"),
        ("decoder.layers", "decoder.model"),
        ("o_proj", "out_proj"),
        ("mlp.fc", "linear"),
        ("input_layernorm", "norm1"),
        ("post_attention_layernorm", "norm2"),
        ("self_attn_layer_scale", "layer_scale_1"),
        ("mlp_layer_scale", "layer_scale_2"),
        ("semantic_residual_vector_quantizer", "rvq_first"),
        ("acoustic_residual_vector_quantizer", "rvq_rest"),
    ];
    if !short {
        renames.extend([
            ("_transformer.layers", "_transformer.transformer.layers"),
            ("rvq_first.layers", "rvq_first.vq.layers"),
            ("rvq_rest.layers", "rvq_rest.vq.layers"),
            (".codebook", "._codebook"),
            ("embed_sum", "embedding_sum"),
        ]);
    }
    renames.into_iter().fold(name, |name, (from, to)| name.replace(from, to))
}

pub(crate) fn with_prefix(tensors: &Tensors, prefix: &str) -> Tensors {
    tensors.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone())).collect()
}

/// A safetensors file of one type.
pub(crate) fn write_tensors(path: &Path, tensors: &Tensors, dtype: Dtype) {
    let bytes: BTreeMap<_, _> = tensors.iter().map(|(name, (_, values))| (name, to_bytes(values, dtype))).collect();
    let views =
        tensors.iter().map(|(name, (shape, _))| (name, TensorView::new(dtype, shape.clone(), &bytes[name]).unwrap()));
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn to_bytes(values: &[f32], dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::BF16 => values.iter().flat_map(|&value| half::bf16::from_f32(value).to_le_bytes()).collect(),
        Dtype::F16 => values.iter().flat_map(|&value| half::f16::from_f32(value).to_le_bytes()).collect(),
        Dtype::F64 => values.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
}

/// A directory with the small configuration and these tensors.
pub(crate) fn checkpoint(tensors: &Tensors) -> TempDir {
    let directory = TempDir::new();
    fs::write(directory.join("config.json"), small_config().to_json()).unwrap();
    write_tensors(&directory.join("model.safetensors"), tensors, Dtype::F32);
    directory
}
