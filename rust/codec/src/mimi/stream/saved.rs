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
    pub(super) codebooks: Option<usize>,
}

impl StreamKind<'_> {
    fn description(&self) -> BTreeMap<String, String> {
        let codebooks = self.codebooks.map_or("any".to_owned(), |codebooks| codebooks.to_string());
        BTreeMap::from([
            ("format".to_owned(), "mimi-codec stream 1".to_owned()),
            ("stream".to_owned(), self.name.to_owned()),
            ("codebooks".to_owned(), codebooks),
            ("device".to_owned(), self.model.options().device.clone()),
            ("config".to_owned(), self.model.config().to_json()),
        ])
    }
}

/// The one entry of the metadata, so that equal states are equal bytes: a map of several has no order.
const DESCRIPTION: &str = "mimi_stream";

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
        let metadata = HashMap::from([(DESCRIPTION.to_owned(), description)]);
        safetensors::serialize(views, Some(metadata)).map_err(|error| failed(error.to_string()))
    }

    /// Reads a state for a stream that is now in state `like`.
    pub(super) fn read(bytes: &[u8], kind: &StreamKind<'_>, like: &State, frame_size: usize) -> Result<(Self, State)> {
        let damaged = |what: String| Error::Stream(format!("expected the saved state of this stream, got {what}"));
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(error.to_string()))?;
        let found = metadata.metadata().as_ref().and_then(|metadata| metadata.get(DESCRIPTION));
        let found: BTreeMap<String, String> =
            found.and_then(|text| serde_json::from_str(text).ok()).ok_or_else(|| damaged("no description".into()))?;
        for (key, wanted) in kind.description() {
            match found.get(&key) {
                Some(value) if *value == wanted => {}
                Some(_) if key == "config" => return Err(damaged("one of a model with another configuration".into())),
                Some(value) => return Err(damaged(format!("{key} \"{value}\" where \"{wanted}\" belongs"))),
                None => return Err(damaged(format!("no \"{key}\""))),
            }
        }
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
