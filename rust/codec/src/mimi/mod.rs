//! The model: what is loaded once and shared, and the whole-clip calls.

mod builder;
mod clip;
mod decoder;
mod encoder;
mod quantizer;
mod room;
mod seanet;
mod stream;
mod transformer;
mod values;

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mimi_kernels::{Precision, simd::Level};

use crate::config::MimiConfig;
use crate::ops::{Backend, candle::Composed, cpu::Kernels};
use crate::weights::{Checkpoint, Layout, Parts};
use crate::{Error, Result};
use builder::Builder;
use decoder::Decoder;
use encoder::Encoder;
use quantizer::Quantizer;

pub use clip::{Padding, StopFn};
pub use stream::{DecoderStream, EncoderStream};
pub use values::{Codes, Latents};

/// What to load, and how to run it.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The halves of the codec that are wanted.
    pub parts: Parts,
    /// The first so many codebooks; all if none.
    pub num_codebooks: Option<usize>,
    /// Threads that work on one call; no more are used than the process has processors (its affinity, its quota).
    pub threads: usize,
    /// How large weights are kept: `float32`, `bfloat16` or `int8`. Arithmetic is in float32 in any case.
    pub dtype: String,
    /// Where the codec runs: `cpu`, or `cpu-candle` for the plain candle operations that define it (slow).
    pub device: String,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { parts: Parts::Both, num_codebooks: None, threads: 1, dtype: "float32".into(), device: "cpu".into() }
    }
}

/// A loaded codec. It never changes; clones share the weights.
#[derive(Clone)]
pub struct Mimi {
    inner: Arc<Inner>,
}

struct Inner {
    config: MimiConfig,
    source: PathBuf,
    layout: Layout,
    options: LoadOptions,
    backend: Arc<dyn Backend>,
    encoder: Option<Encoder>,
    quantizer: Quantizer,
    decoder: Option<Decoder>,
}

impl Mimi {
    /// Loads a codec from a directory, a safetensors file or the index of a sharded one: see [`Checkpoint::open`].
    ///
    /// # Errors
    /// [`Error::File`] for a missing or corrupt file, an error that names the tensor or the configuration's field
    /// where they do not fit, [`Error::Device`] for a device or data type that is not supported.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self> {
        let options = &LoadOptions { threads: options.threads.clamp(1, processors()), ..options.clone() };
        let backend = backend(options)?;
        let checkpoint = Checkpoint::open(path)?;
        checkpoint.check(options.parts, options.num_codebooks)?;
        let config = checkpoint.config().clone();
        let codebooks = options.num_codebooks.unwrap_or(config.num_quantizers);
        let builder = || Builder::new(&checkpoint, &*backend);
        // Reading and packing take the time of two or three cores while they last, whatever runs afterwards.
        let (encoder, decoder, quantizer) = std::thread::scope(|scope| {
            let encoder = scope.spawn(|| options.parts.encoder().then(|| Encoder::load(builder())).transpose());
            let decoder = scope.spawn(|| options.parts.decoder().then(|| Decoder::load(builder())).transpose());
            // Codes are searched in float32 in any case.
            let quantizer = Quantizer::load(builder().exact(), options.parts, codebooks);
            (join(encoder), join(decoder), quantizer)
        });
        Ok(Self {
            inner: Arc::new(Inner {
                encoder: encoder?,
                quantizer: quantizer?,
                decoder: decoder?,
                config,
                source: path.to_path_buf(),
                layout: checkpoint.layout(),
                options: options.clone(),
                backend: Arc::clone(&backend),
            }),
        })
    }

    /// The configuration of the model.
    pub fn config(&self) -> &MimiConfig {
        &self.inner.config
    }

    /// How it was loaded, with the threads in use.
    pub fn options(&self) -> &LoadOptions {
        &self.inner.options
    }

    /// Which spelling of tensor names the file had.
    pub fn layout(&self) -> Layout {
        self.inner.layout
    }

    /// Codebooks loaded.
    pub fn num_codebooks(&self) -> usize {
        self.inner.quantizer.len()
    }

    /// The instruction set of the kernels, such as `avx2`, or the kind of device.
    pub fn simd(&self) -> &'static str {
        self.inner.backend.name()
    }

    /// Bytes that the weights take in memory.
    pub fn weight_bytes(&self) -> usize {
        let encoder = self.inner.encoder.as_ref().map_or(0, Encoder::bytes);
        let decoder = self.inner.decoder.as_ref().map_or(0, Decoder::bytes);
        encoder + self.inner.quantizer.bytes() + decoder
    }

    /// Writes the codec to the directory `path` in Transformers' layout, read once more from where it was loaded.
    ///
    /// # Errors
    /// [`Error::File`] where the source is gone or the directory cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        Checkpoint::open(&self.inner.source)?.save(path)
    }

    fn encoder(&self) -> Result<&Encoder> {
        self.inner.encoder.as_ref().ok_or_else(|| not_loaded("encoder", "decoder"))
    }

    fn decoder(&self) -> Result<&Decoder> {
        self.inner.decoder.as_ref().ok_or_else(|| not_loaded("decoder", "encoder"))
    }

    /// Whether the encoder is loaded.
    pub fn has_encoder(&self) -> bool {
        self.inner.encoder.is_some()
    }

    /// Whether the decoder is loaded.
    pub fn has_decoder(&self) -> bool {
        self.inner.decoder.is_some()
    }

    /// A number of codebooks to code with.
    fn check_codebooks(&self, count: usize) -> Result<()> {
        if (1..=self.num_codebooks()).contains(&count) {
            return Ok(());
        }
        let loaded = self.num_codebooks();
        Err(Error::Codes(format!("expected between 1 and {loaded} codebooks ({loaded} are loaded), got {count}")))
    }
}

/// The result of a thread; a panic of it goes on here.
fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn not_loaded(wanted: &str, loaded: &str) -> Error {
    Error::config("parts", format!("expected a model with its {wanted}, got one loaded with \"{loaded}\""))
}

fn backend(options: &LoadOptions) -> Result<Arc<dyn Backend>> {
    let precision = match options.dtype.as_str() {
        "float32" => Precision::Float32,
        "bfloat16" => Precision::Bfloat16,
        "int8" => Precision::Int8,
        other => return Err(Error::config("dtype", format!("expected float32, bfloat16 or int8, got {other}"))),
    };
    let device = options.device.as_str();
    if device == "cpu" {
        return Ok(Arc::new(Kernels::new(options.threads, precision)));
    }
    match Composed::on(device) {
        Some(_) if precision != Precision::Float32 => {
            Err(Error::config("dtype", format!("expected float32 on {device}, got {}", options.dtype)))
        }
        Some(composed) => Ok(Arc::new(composed?)),
        None => Err(Error::Device(format!("expected device \"cpu\" or \"cpu-candle\", got \"{device}\""))),
    }
}

/// Processors that this process may use at once; more threads than that would wait for each other.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// The instruction set that the kernels use on this processor.
pub fn simd_name() -> &'static str {
    Level::detect().name()
}
