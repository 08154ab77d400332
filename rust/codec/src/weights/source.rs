//! Finds a checkpoint's files from the path that a user gives, and the codec's configuration beside them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::file::{is_file_name, read_json};
use super::names::Layout;
use crate::config::MimiConfig;
use crate::{Error, Result};

/// Where a checkpoint's weights lie, and the `config.json` beside them.
pub(super) struct Source {
    /// A `.safetensors` file or the index of several.
    pub(super) weights: PathBuf,
    config: Option<Value>,
}

impl Source {
    /// From a directory, a `.safetensors` file or an index.
    pub(super) fn find(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path)
            .map_err(|error| Error::file(path, format!("cannot open the checkpoint: {error}")))?;
        let directory = if metadata.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
        let config = directory.join("config.json");
        let config = if config.is_file() { Some(read_json(&config)?) } else { None };
        let weights = if metadata.is_dir() { weights_in(path, config.as_ref())? } else { path.to_path_buf() };
        Ok(Self { weights, config })
    }

    /// The codec's configuration: the whole `config.json`, or the part of a larger model's that is the codec's. Without
    /// one, and for Kyutai's files, whose `config.json` is of another kind, it is the released configuration.
    pub(super) fn config(&self, layout: Layout, prefix: &str) -> Result<MimiConfig> {
        let Some(root) = &self.config else {
            return Ok(MimiConfig::default());
        };
        if is_mimi(root) == Some(true) {
            return MimiConfig::from_value(root);
        }
        if let Some(nested) = nested_config(root, prefix) {
            return MimiConfig::from_value(nested);
        }
        if layout == Layout::Kyutai {
            return Ok(MimiConfig::default());
        }
        if is_mimi(root).is_none() && prefix.is_empty() {
            return MimiConfig::from_value(root);
        }
        let got = root.get("model_type").cloned().unwrap_or_default();
        Err(Error::config(
            "model_type",
            format!("expected \"mimi\" at the top level or in a part such as `codec_config`, got {got}"),
        ))
    }
}

/// Whether a configuration says that it is Mimi's, or a half of it; nothing if it does not say what it is.
fn is_mimi(config: &Value) -> Option<bool> {
    let model_type = config.get("model_type")?.as_str()?;
    Some(matches!(model_type, "mimi" | "mimi_encoder" | "mimi_decoder"))
}

/// The codec's part of a larger model's configuration: under a usual key, or wherever something says that it is Mimi's.
fn nested_config<'a>(root: &'a Value, prefix: &str) -> Option<&'a Value> {
    let module = prefix.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let module = module.strip_suffix("_model").unwrap_or(module);
    let of_module = format!("{module}_config");
    let usual = [of_module.as_str(), "codec_config", "audio_encoder_config", "mimi_config"]
        .into_iter()
        .filter_map(|key| root.get(key).filter(|value| value.is_object()))
        .find(|value| is_mimi(value) != Some(false));
    usual.or_else(|| root.as_object()?.values().find(|value| is_mimi(value) == Some(true)))
}

/// The weights in a directory.
fn weights_in(directory: &Path, config: Option<&Value>) -> Result<PathBuf> {
    // Kyutai's repositories hold the codec beside a language model and name it in their configuration.
    let named = config.and_then(|config| config.get("mimi_name")).and_then(Value::as_str);
    let usual = ["model.safetensors", "model.safetensors.index.json"];
    let known = named.filter(|name| is_file_name(name)).into_iter().chain(usual).map(|name| directory.join(name));
    if let Some(path) = known.into_iter().find(|path| path.is_file()) {
        return Ok(path);
    }
    let failed = |error: std::io::Error| Error::file(directory, format!("cannot read the directory: {error}"));
    let entries: Vec<_> = std::fs::read_dir(directory).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    let with = |extensions: &[&str]| {
        let mut paths: Vec<_> = entries
            .iter()
            .map(|entry| entry.path())
            .filter(|path| {
                path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted))
            })
            .collect();
        paths.sort();
        paths
    };
    let found = with(&["safetensors"]);
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] if !with(&["bin", "pt", "pth", "ckpt"]).is_empty() => Err(Error::file(
            directory,
            "expected model.safetensors, found only PyTorch pickles; load them in PyTorch and save them with safetensors",
        )),
        [] => Err(Error::file(directory, "expected model.safetensors or model.safetensors.index.json, found neither")),
        several => {
            let message =
                format!("expected model.safetensors or one other .safetensors file, found {} files", several.len());
            Err(Error::file(directory, format!("{message}; give the path of the file instead")))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(root: Value, layout: Layout, prefix: &str) -> Result<MimiConfig> {
        Source { weights: PathBuf::new(), config: Some(root) }.config(layout, prefix)
    }

    #[test]
    fn nested_configurations_are_found() {
        let codec = json!({"model_type": "mimi", "num_quantizers": 8});
        for root in [
            codec.clone(),
            json!({"model_type": "csm", "codec_config": codec}),
            json!({"model_type": "moshi", "audio_encoder_config": {"num_quantizers": 8}}),
            json!({"model_type": "tts", "codec_config": {"model_type": "dac"}, "speech_config": codec}),
            json!({"model_type": "tts", "encoder_config": {"num_quantizers": 8}}),
            json!({"num_quantizers": 8}),
        ] {
            let prefix = if root.get("encoder_config").is_some() { "encoder." } else { "" };
            assert_eq!(config(root, Layout::Transformers, prefix).unwrap().num_quantizers, 8);
        }
    }

    #[test]
    fn a_language_models_configuration_is_not_the_codecs() {
        let root = json!({"model_type": "llama", "hidden_size": 4096});
        assert_eq!(config(root.clone(), Layout::Kyutai, "").unwrap(), MimiConfig::default());
        let error = config(root, Layout::Transformers, "").unwrap_err().to_string();
        assert!(error.contains("model_type") && error.contains("llama"), "{error}");
    }
}
