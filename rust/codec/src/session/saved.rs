//! Rows of streams as bytes: a safetensors file of what their layers remember and of their counters.
//!
//! The form depends on no backend, no batch and no cut of the input: each row has the window of an attention in the order of
//! time, and zeros once it has ended, when it takes no more.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{Row, Stream};
use crate::error::{Error, Result};
use crate::ops::{Attention, Slot};
use crate::values::Direction;

/// Changes with what the bytes mean.
const FORMAT: &str = "mimi-codec stream 3";

/// The one entry of the metadata, so that equal states are equal bytes: a map of several has no order. It is a checksum
/// of eight hexadecimal digits, a space, and the description.
const ENTRY: &str = "mimi_stream";

/// Digits of a checksum.
const SUM_LEN: usize = 8;

/// More than a row will ever see; the steps of so many can still be counted.
const MAX_FRAMES: i64 = 1 << 53;

/// Tensors `(rows,)` of int64.
const COUNTERS: [&str; 3] = ["frames", "ended", "pending_samples"];

impl Stream {
    /// All that the stream remembers of `rows`, of all without them, as safetensors: tensors `slot.N` `(rows, ...)`; `frames`,
    /// `ended` and `pending_samples` `(rows,)` as int64; `pending` with the samples of all rows one after another.
    ///
    /// # Errors
    /// [`Error::Stream`] for a row that is not there, [`Error::Tensor`] if a tensor cannot be read from its device.
    pub fn save(&self, rows: Option<&[usize]>) -> Result<Vec<u8>> {
        let rows = self.chosen(rows)?;
        let frames = rows.iter().map(|&row| self.state.frames()[row]);
        let ended = rows.iter().map(|&row| u64::from(self.rows[row].ended));
        let pending = rows.iter().map(|&row| self.rows[row].pending.len() as u64);
        let counters: [Vec<u64>; 3] = [frames.collect(), ended.collect(), pending.collect()];
        let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (name, values) in COUNTERS.iter().zip(counters) {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensors.push(((*name).to_owned(), Dtype::I64, vec![rows.len()], bytes));
        }
        let pending: Vec<f32> = rows.iter().flat_map(|&row| &self.rows[row].pending).copied().collect();
        tensors.push(("pending".to_owned(), Dtype::F32, vec![pending.len()], float_bytes(&pending)));
        let windows = self.windows()?;
        for (number, slot) in self.state.slots().enumerate() {
            let (window, mut bytes, mut len) = (windows.get(&slot), Vec::new(), 0);
            for &row in &rows {
                let kept = self.state.row(slot, row)?;
                let mut kept = match window {
                    Some(attention) => attention.to_canonical(&kept, self.state.frames()[row])?,
                    None => kept,
                };
                if self.rows[row].ended {
                    kept.fill(0.0);
                }
                len = kept.len();
                bytes.extend(float_bytes(&kept));
            }
            tensors.push((format!("slot.{number}"), Dtype::F32, vec![rows.len(), len], bytes));
        }
        sealed(&tensors, &self.description()?)
    }

    /// Goes on with `rows`, with all without them, from what [`Stream::save`] gave for as many rows of a stream of the same
    /// kind and model. Rows move so between streams of any size.
    ///
    /// # Errors
    /// [`Error::Stream`] where the state is damaged or of another kind of stream; the stream is then as it was.
    pub fn load(&mut self, saved: &[u8], rows: Option<&[usize]>) -> Result<()> {
        let rows = self.chosen(rows)?;
        let file = opened(saved, &self.description()?)?;
        let tensor = |name: &str, dtype: Dtype, shape: Option<&[usize]>| {
            let view = file.tensor(name).map_err(|error| damaged(error.to_string()))?;
            if view.dtype() != dtype || shape.is_some_and(|shape| view.shape() != shape) {
                return Err(damaged(format!("tensor {name} of shape {:?} and type {:?}", view.shape(), view.dtype())));
            }
            Ok(view)
        };
        let mut counters = Vec::new();
        for name in COUNTERS {
            let view = tensor(name, Dtype::I64, Some(&[rows.len()]))?;
            let values = view.data().as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes));
            let most = match name {
                "ended" => 1,
                "frames" => MAX_FRAMES,
                _ => i64::MAX,
            };
            let counter = values.map(|value| match u64::try_from(value) {
                Ok(counter) if value <= most => Ok(counter),
                _ => Err(damaged(format!("{value} in {name}"))),
            });
            counters.push(counter.collect::<Result<Vec<_>>>()?);
        }
        let [frames, ended, pending_samples] = counters.try_into().unwrap_or_default();

        let floats = |name: &str, shape: Option<&[usize]>| {
            let floats = bytes_floats(tensor(name, Dtype::F32, shape)?.data());
            let finite = floats.iter().all(|value| value.is_finite());
            if finite { Ok(floats) } else { Err(damaged(format!("values that are not finite in {name}"))) }
        };
        let all_pending = floats("pending", None)?;
        let mut rest = all_pending.as_slice();
        let mut loaded = Vec::with_capacity(rows.len());
        for (&samples, &ended) in pending_samples.iter().zip(&ended) {
            let samples = usize::try_from(samples).ok().filter(|&samples| samples < self.model.frame_size());
            let Some((own, others)) = samples.and_then(|samples| rest.split_at_checked(samples)) else {
                return Err(damaged(format!("{pending_samples:?} pending samples, and {} of them", all_pending.len())));
            };
            loaded.push(Row { pending: own.to_vec(), ended: ended != 0 });
            rest = others;
        }
        if !rest.is_empty() {
            return Err(damaged(format!("{} pending samples too many", rest.len())));
        }

        let windows = self.windows()?;
        let mut slots = Vec::new();
        for (number, slot) in self.state.slots().enumerate() {
            let shape = self.state.row_shape(slot);
            let len = match windows.get(&slot) {
                Some(attention) => attention.canonical_len(),
                None => shape.iter().product(),
            };
            let values = floats(&format!("slot.{number}"), Some(&[rows.len(), len]))?;
            let parts = (0..rows.len()).map(|i| {
                let own = &values[i * len..][..len];
                match windows.get(&slot) {
                    Some(attention) => attention.of_canonical(own, frames[i]),
                    None => Ok(own.to_vec()),
                }
            });
            slots.push((slot, parts.collect::<Result<Vec<_>>>()?));
        }
        self.state.begin();
        let state = &self.state;
        let written = slots.iter().try_for_each(|(slot, parts)| {
            rows.iter().zip(parts).try_for_each(|(&row, part)| state.set_row(*slot, row, part))
        });
        self.state.settle(written)?;
        for ((&row, loaded), frames) in rows.iter().zip(loaded).zip(frames) {
            self.rows[row] = loaded;
            self.state.set_frames(row, frames);
        }
        Ok(())
    }

    /// The rows that are asked for, each once; all without a choice.
    fn chosen(&self, rows: Option<&[usize]>) -> Result<Vec<usize>> {
        let Some(rows) = rows else {
            return Ok((0..self.rows.len()).collect());
        };
        let mut seen = vec![false; self.rows.len()];
        for &row in rows {
            match seen.get_mut(row) {
                Some(seen) if !*seen => *seen = true,
                _ => {
                    let message = format!("expected different rows of {}, got {rows:?}", self.rows.len());
                    return Err(Error::Stream(message));
                }
            }
        }
        Ok(rows.to_vec())
    }

    /// The attention layers, by the slots that they keep in a form of their own.
    fn windows(&self) -> Result<BTreeMap<Slot, &dyn Attention>> {
        let attentions = self.half()?.attentions();
        Ok(attentions.into_iter().map(|attention| (attention.slot(), attention)).collect())
    }

    /// What a saved state must agree with to be taken up again.
    fn description(&self) -> Result<BTreeMap<&'static str, String>> {
        let (stream, codebooks) = match self.direction {
            Direction::ToCodes(codebooks) => ("encoder", codebooks.to_string()),
            Direction::ToLatents => ("encoder", "none".to_owned()),
            Direction::FromCodes => ("decoder", "any".to_owned()),
            Direction::FromLatents => ("decoder", "none".to_owned()),
        };
        Ok(BTreeMap::from([
            ("format", FORMAT.to_owned()),
            ("codec", self.model.kind().to_string()),
            ("stream", stream.to_owned()),
            ("codebooks", codebooks),
            ("dtype", self.model.options().dtype.to_string()),
            (WEIGHTS, self.model.fingerprints(self.direction)?.join(" ")),
            ("config", self.model.config_json()),
        ]))
    }
}

/// The key of the fingerprints.
const WEIGHTS: &str = "weights";

/// A file of tensors, with the description and a checksum of both.
fn sealed(
    tensors: &[(String, Dtype, Vec<usize>, Vec<u8>)],
    description: &BTreeMap<&'static str, String>,
) -> Result<Vec<u8>> {
    let failed = |error: String| Error::Stream(error);
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes);
        view.map(|view| (name.clone(), view)).map_err(|error| failed(error.to_string()))
    });
    let views: Vec<_> = views.collect::<Result<_>>()?;
    let description = serde_json::to_string(description).map_err(|error| failed(error.to_string()))?;
    // The checksum is put in afterwards: it is as long as what stands in its place.
    let unsealed = ".".repeat(SUM_LEN);
    let entry = HashMap::from([(ENTRY.to_owned(), format!("{unsealed} {description}"))]);
    let mut file = safetensors::serialize(views, Some(entry)).map_err(|error| failed(error.to_string()))?;
    let sum = checksum(&description, data(&file)?);
    let place = file.windows(unsealed.len()).position(|bytes| bytes == unsealed.as_bytes());
    let place = place.ok_or_else(|| failed("expected a place for the checksum, got none".into()))?;
    file[place..place + sum.len()].copy_from_slice(sum.as_bytes());
    Ok(file)
}

/// The tensors of a file whose checksum is right and whose description is the wanted one.
fn opened<'a>(bytes: &'a [u8], wanted: &BTreeMap<&'static str, String>) -> Result<SafeTensors<'a>> {
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
    for (&key, wanted) in wanted {
        let Some(value) = found.get(key) else { return Err(damaged(format!("no \"{key}\""))) };
        // One of the models may have been loaded with fewer codebooks than the other.
        let fits = match key {
            WEIGHTS => value.split(' ').zip(wanted.split(' ')).all(|(value, wanted)| value == wanted),
            _ => value == wanted,
        };
        match key {
            _ if fits => {}
            "config" => return Err(damaged("one of a model with another configuration".into())),
            WEIGHTS => return Err(damaged("one of a model with other weights".into())),
            _ => return Err(damaged(format!("{key} \"{value}\" where \"{wanted}\" belongs"))),
        }
    }
    SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))
}

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

fn float_bytes(floats: &[f32]) -> Vec<u8> {
    floats.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn bytes_floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}
