//! Streams as bytes: a safetensors file of the layers' state and the sessions' counters.

use std::collections::{BTreeMap, HashMap};

use candle_core::Tensor;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::mimi::Mimi;
use crate::state::State;
use crate::{Error, Result};

/// What a saved state must agree with to be taken up again.
pub(super) struct StreamKind<'a> {
    pub(super) name: &'static str,
    pub(super) model: &'a Mimi,
    /// Fingerprints of the weights for one number of codebooks, or for as many as are loaded.
    pub(super) weights: &'a [String],
    pub(super) codebooks: Option<usize>,
}

impl StreamKind<'_> {
    fn description(&self) -> BTreeMap<String, String> {
        let codebooks = self.codebooks.map_or("any".to_owned(), |codebooks| codebooks.to_string());
        BTreeMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("stream".to_owned(), self.name.to_owned()),
            ("codebooks".to_owned(), codebooks),
            ("device".to_owned(), self.model.options().device.clone()),
            ("dtype".to_owned(), self.model.options().dtype.clone()),
            ("weights".to_owned(), self.weights.join(" ")),
            ("config".to_owned(), self.model.config().to_json()),
        ])
    }

    /// Whether a stream of such a description goes on here; else what it is.
    fn check(&self, found: &BTreeMap<String, String>) -> std::result::Result<(), String> {
        for (key, wanted) in self.description() {
            let Some(value) = found.get(&key) else { return Err(format!("no \"{key}\"")) };
            let fits = match key.as_str() {
                // A model may have been loaded with less codebooks than the other.
                "weights" => value.split(' ').zip(self.weights).all(|(value, wanted)| value == wanted),
                _ => *value == wanted,
            };
            match key.as_str() {
                _ if fits => {}
                "config" => return Err("one of a model with another configuration".into()),
                "weights" => return Err("one of a model with other weights".into()),
                _ => return Err(format!("{key} \"{value}\" where \"{wanted}\" belongs")),
            }
        }
        Ok(())
    }
}

/// Changes with what the bytes mean.
const FORMAT: &str = "mimi-codec stream 2";

/// The one entry of the metadata, so that equal states are equal bytes: a map of several has no order. It is a checksum
/// of eight hexadecimal digits, a space, and the description.
const ENTRY: &str = "mimi_stream";

/// Digits of a checksum.
const SUM_LEN: usize = 8;

/// CRC-32 over the description and the tensors' bytes.
fn checksum(description: &str, data: &[u8]) -> String {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(description.as_bytes());
    hasher.update(data);
    format!("{:08x}", hasher.finalize())
}

/// The bytes of the tensors, behind the header.
fn data(file: &[u8]) -> Result<&[u8]> {
    let (header, _) = SafeTensors::read_metadata(file).map_err(|error| damaged(error.to_string()))?;
    Ok(&file[size_of::<u64>() + header..])
}

fn damaged(what: String) -> Error {
    Error::Stream(format!("expected the saved state of this stream, got {what}"))
}

/// The counters of all sessions.
pub(super) struct Saved {
    pub(super) frames: Vec<u64>,
    pub(super) ended: Vec<bool>,
    pub(super) pending: Vec<Vec<f32>>,
}

const COUNTERS: [&str; 4] = ["positions", "frames", "ended", "pending_samples"];

impl Saved {
    /// Tensors `slot.N` `(sessions, ...)`; `positions`, `frames`, `ended`, `pending_samples` `(sessions,)` as int64; `pending` with
    /// the samples of all sessions one after another.
    pub(super) fn write(&self, kind: &StreamKind<'_>, state: &State) -> Result<Vec<u8>> {
        let (slots, positions) = state.parts();
        let sessions = state.sessions();
        let pending_samples: Vec<u64> = self.pending.iter().map(|pending| pending.len() as u64).collect();
        let ended: Vec<u64> = self.ended.iter().map(|&ended| u64::from(ended)).collect();
        let counters = [positions, &self.frames, &ended, &pending_samples];
        let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (name, values) in COUNTERS.iter().zip(counters) {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensors.push(((*name).to_owned(), Dtype::I64, vec![sessions], bytes));
        }
        let pending = self.pending.concat();
        tensors.push(("pending".to_owned(), Dtype::F32, vec![pending.len()], float_bytes(&pending)));
        for (i, slot) in slots.iter().enumerate() {
            let floats = slot.flatten_all()?.to_vec1::<f32>()?;
            tensors.push((format!("slot.{i}"), Dtype::F32, slot.dims().to_vec(), float_bytes(&floats)));
        }
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes);
            view.map(|view| (name.clone(), view)).map_err(|error| Error::Stream(error.to_string()))
        });
        let views: Vec<_> = views.collect::<Result<_>>()?;
        let failed = |error: String| Error::Stream(error);
        let description = serde_json::to_string(&kind.description()).map_err(|error| failed(error.to_string()))?;
        let entry = |sum: &str| HashMap::from([(ENTRY.to_owned(), format!("{sum} {description}"))]);
        // The checksum is put in afterwards: it is as long as what stands in its place.
        let unsealed = ".".repeat(SUM_LEN);
        let mut file =
            safetensors::serialize(views, Some(entry(&unsealed))).map_err(|error| failed(error.to_string()))?;
        let sum = checksum(&description, data(&file)?);
        let place = file.windows(unsealed.len()).position(|bytes| bytes == unsealed.as_bytes());
        let place = place.ok_or_else(|| failed("expected a place for the checksum, got none".into()))?;
        file[place..place + sum.len()].copy_from_slice(sum.as_bytes());
        Ok(file)
    }

    /// Reads a state for a stream that is now in state `like`.
    pub(super) fn read(bytes: &[u8], kind: &StreamKind<'_>, like: &State, frame_size: usize) -> Result<(Self, State)> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(error.to_string()))?;
        let entry = metadata.metadata().as_ref().and_then(|metadata| metadata.get(ENTRY));
        let entry = entry.ok_or_else(|| damaged("no description".into()))?;
        let (sum, text) = entry.split_once(' ').filter(|(sum, _)| sum.len() == SUM_LEN).unwrap_or(("", entry));
        let found: BTreeMap<String, String> =
            serde_json::from_str(text).map_err(|error| damaged(format!("a description with an error: {error}")))?;
        match found.get("format") {
            Some(format) if format == FORMAT => {}
            other => {
                let other = other.map_or("none", String::as_str);
                return Err(damaged(format!("one of another release: format \"{other}\" where \"{FORMAT}\" belongs")));
            }
        }
        if sum != checksum(text, data(bytes)?) {
            return Err(damaged("one that was damaged: its checksum is not that of its content".into()));
        }
        kind.check(&found).map_err(damaged)?;
        let file = SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
        let tensor = |name: &str, dtype: Dtype, shape: Option<&[usize]>| {
            let view = file.tensor(name).map_err(|error| damaged(error.to_string()))?;
            if view.dtype() != dtype || shape.is_some_and(|shape| view.shape() != shape) {
                return Err(damaged(format!("tensor {name} of shape {:?} and type {:?}", view.shape(), view.dtype())));
            }
            Ok(view)
        };
        let sessions = like.sessions();
        let mut counters = Vec::new();
        for name in COUNTERS {
            let view = tensor(name, Dtype::I64, Some(&[sessions]))?;
            let values = view.data().as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes));
            let most = if name == "ended" { 1 } else { i64::MAX };
            let counter = values.map(|value| match u64::try_from(value) {
                Ok(counter) if value <= most => Ok(counter),
                _ => Err(damaged(format!("{value} in {name}"))),
            });
            counters.push(counter.collect::<Result<Vec<_>>>()?);
        }
        let [positions, frames, ended, pending_samples] = counters.try_into().unwrap_or_default();

        let floats = |name: &str, shape: Option<&[usize]>| {
            let floats = bytes_floats(tensor(name, Dtype::F32, shape)?.data());
            let finite = floats.iter().all(|value| value.is_finite());
            if finite { Ok(floats) } else { Err(damaged(format!("values that are not finite in {name}"))) }
        };
        let all_pending = floats("pending", None)?;
        let mut rest = all_pending.as_slice();
        let mut pending = Vec::with_capacity(sessions);
        for &samples in &pending_samples {
            match usize::try_from(samples)
                .ok()
                .filter(|&samples| samples < frame_size)
                .and_then(|at| rest.split_at_checked(at))
            {
                Some((own, others)) => {
                    pending.push(own.to_vec());
                    rest = others;
                }
                None => return Err(damaged(format!("{samples} pending samples"))),
            }
        }
        if !rest.is_empty() {
            return Err(damaged(format!("{} pending samples too many", rest.len())));
        }

        let (like_slots, _) = like.parts();
        let mut slots = Vec::with_capacity(like_slots.len());
        for (i, slot) in like_slots.iter().enumerate() {
            let values = floats(&format!("slot.{i}"), Some(slot.dims()))?;
            slots.push(Tensor::from_vec(values, slot.shape(), slot.device())?);
        }
        let ended = ended.into_iter().map(|ended| ended != 0).collect();
        Ok((Self { frames, ended, pending }, State::from_parts(slots, positions)))
    }
}

fn float_bytes(floats: &[f32]) -> Vec<u8> {
    floats.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn bytes_floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}
