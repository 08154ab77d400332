//! Reading the fields of a `config.json` one by one, so that an error can name the field.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Rotary embedding of the transformers' queries and keys.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RopeParameters {
    /// Kind of frequencies. Only `"default"` is supported.
    pub rope_type: String,
    /// Base of the frequencies.
    pub rope_theta: f64,
    /// Share of each head that is rotated. Only 1 is supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial_rotary_factor: Option<f64>,
}

impl Default for RopeParameters {
    fn default() -> Self {
        Self { rope_type: "default".into(), rope_theta: 10_000.0, partial_rotary_factor: None }
    }
}

/// Typed access to the keys of a JSON object.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

impl Fields<'_> {
    pub(super) fn size(&self, key: &str, default: usize) -> Result<usize> {
        self.0.get(key).map_or(Ok(default), |value| size(key, value))
    }

    /// A list of sizes; null means the default, as in Transformers.
    pub(super) fn sizes(&self, key: &str, default: Vec<usize>) -> Result<Vec<usize>> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Array(list)) => list.iter().map(|value| size(key, value)).collect(),
            Some(value) => Err(wrong(key, "a list of integers", value)),
        }
    }

    /// A list of which Transformers takes an empty one for one that is not there, as it does in a Mimi.
    pub(super) fn sizes_if_any(&self, key: &str, default: Vec<usize>) -> Result<Vec<usize>> {
        let sizes = self.sizes(key, Vec::new())?;
        Ok(if sizes.is_empty() { default } else { sizes })
    }

    pub(super) fn number(&self, key: &str, default: f64) -> Result<f64> {
        match self.0.get(key) {
            None => Ok(default),
            Some(value) => value.as_f64().ok_or_else(|| wrong(key, "a number", value)),
        }
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.0.get(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| wrong(key, "true or false", value)),
        }
    }

    pub(super) fn text(&self, key: &str, default: &str) -> Result<String> {
        match self.0.get(key) {
            None => Ok(default.into()),
            Some(value) => value.as_str().map(String::from).ok_or_else(|| wrong(key, "a string", value)),
        }
    }

    /// A field that may be absent or null.
    pub(super) fn optional<T: Default>(
        &self,
        key: &str,
        read: impl Fn(&Self, &str, T) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => read(self, key, T::default()).map(Some),
        }
    }

    /// The rotary embedding, as an object or with the top-level keys of older files.
    pub(super) fn rope(&self) -> Result<RopeParameters> {
        let default = RopeParameters::default();
        let theta = self.number("rope_theta", default.rope_theta)?;
        let factor = self.optional("partial_rotary_factor", Self::number)?;
        let given = ["rope_parameters", "rope_scaling"]
            .into_iter()
            .find_map(|key| self.0.get(key).filter(|value| !value.is_null()).map(|value| (key, value)));
        let Some((key, value)) = given else {
            return Ok(RopeParameters { rope_theta: theta, partial_rotary_factor: factor, ..default });
        };
        let Value::Object(map) = value else {
            return Err(wrong(key, "an object", value));
        };
        if map.values().any(Value::is_object) {
            return Err(wrong(key, "one set of parameters for all layers", value));
        }
        let rope = Fields(map);
        let rope_type = rope.text("type", &default.rope_type)?;
        Ok(RopeParameters {
            rope_type: rope.text("rope_type", &rope_type)?,
            rope_theta: rope.number("rope_theta", theta)?,
            partial_rotary_factor: rope.optional("partial_rotary_factor", Self::number)?.or(factor),
        })
    }
}

fn size(key: &str, value: &Value) -> Result<usize> {
    value
        .as_u64()
        .and_then(|value| usize::try_from(value).ok())
        .ok_or_else(|| wrong(key, "an integer of at least 0", value))
}

/// The error of a field with a value of the wrong type.
pub(super) fn wrong(field: &str, expected: &str, got: &Value) -> Error {
    const SHOWN: usize = 80;
    let got = got.to_string();
    let shown: String = got.chars().take(SHOWN).collect();
    let dots = if shown.len() < got.len() { "..." } else { "" };
    Error::config(field, format!("expected {expected}, got {shown}{dots}"))
}

/// Largest size of one dimension, and of a frame.
pub(super) const MAX_SIZE: usize = 1 << 20;
/// Largest number of layers or of codebooks.
pub(super) const MAX_COUNT: usize = 1 << 10;

/// Blames a field for what does not hold.
pub(super) fn require(holds: bool, field: &str, expected: &str, got: impl std::fmt::Display) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::config(field, format!("expected {expected}, got {got}"))) }
}

/// Checks what the configurations of all attention layers have in common.
pub(super) fn check_heads(heads: usize, kv_heads: usize, head_dim: usize) -> Result<()> {
    require(heads.is_multiple_of(kv_heads), "num_key_value_heads", &format!("a divisor of {heads}"), kv_heads)?;
    require(head_dim.is_multiple_of(2), "head_dim", "an even number", head_dim)?;
    let together = heads.saturating_mul(head_dim);
    require(together <= MAX_SIZE, "head_dim", &format!("all heads together at most {MAX_SIZE} wide"), together)
}

/// A number that is not negative, such as the epsilon of a norm.
pub(super) fn check_not_negative(field: &str, value: f64) -> Result<()> {
    require(value.is_finite() && value >= 0.0, field, "a number >= 0", value)
}

/// The base of rotary frequencies.
pub(super) fn check_theta(theta: f64) -> Result<()> {
    require(theta.is_finite() && theta > 0.0, "rope_theta", "a positive number", theta)
}
