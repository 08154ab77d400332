//! A loaded codec: what is shared between threads and streams.

mod packing;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::codecs::{CodecKind, Family, Opened};
use crate::error::{Error, Result};
use crate::layers::{Builder, Chain, Embedding, Held, Quantizer};
use crate::ops::{Attention, Backend, Block, Flow, Given, Indices, Layers, Route, Signal, Slots, Step};
use crate::options::{Device, LoadOptions};
use crate::parts::Parts;
use crate::plan::{self, Plan, Rest};
use crate::values::{Codes, Direction, check_codes};
use crate::weights::{Files, Fingerprints, Mapped, PackedDescription, Stored};

/// A loaded codec. It never changes; clones share the weights.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    family: &'static Family,
    /// What was loaded of the codec's plan.
    plan: Plan,
    config: Value,
    /// Where it was loaded from, if not from memory.
    source: Option<PathBuf>,
    layout: &'static str,
    module: String,
    options: LoadOptions,
    backend: Arc<dyn Backend>,
    encoder: Option<Half>,
    quantizer: Option<Quantizer>,
    embedding: Option<Embedding>,
    decoder: Option<Half>,
    held: Held,
    /// The packed file that the weights are read from, if they are.
    mapped: Option<Mapped>,
    fingerprints: Fingerprints,
}

impl Inner {
    /// Asked before weights are read: those of a packed file may have been changed, or be gone.
    fn check_mapped(&self) -> Result<()> {
        self.mapped.as_ref().map_or(Ok(()), Mapped::check)
    }
}

/// A chain of a codec, and what a stream through it remembers.
pub(crate) struct Half {
    pub(crate) chain: Chain,
    pub(crate) memory: Slots,
}

impl Model {
    /// Loads a codec from a directory (`config.json` and `model.safetensors`, an index of several, or the only
    /// `.safetensors` file), a `.safetensors` file, or an index. Which codec it is, its files tell.
    ///
    /// # Errors
    /// [`Error::File`] for a missing or corrupt file or one without a codec, an error that names the tensor or the
    /// configuration's field where they do not fit, [`Error::Device`] for a device that is not there.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self> {
        Self::of(Opened::open(path, options.module.as_deref())?, Some(path), options)
    }

    /// Loads a codec from the bytes of a `.safetensors` file, and of the `config.json` beside it where there is one. The bytes
    /// are copied into the form in which the kernels read them, and not needed afterwards.
    ///
    /// # Errors
    /// Those of [`Model::load`].
    pub fn from_bytes(weights: &[u8], config: Option<&[u8]>, options: &LoadOptions) -> Result<Self> {
        Self::of(Opened::of(Files::in_memory(weights, config)?, options.module.as_deref())?, None, options)
    }

    fn of(opened: Opened<'_>, source: Option<&Path>, options: &LoadOptions) -> Result<Self> {
        let mut options = options.within_processors();
        if let (Stored::Packed(_), Device::Auto) = (&opened.weights, options.device) {
            options.device = Device::Cpu;
        }
        options.dtype = opened.dtype(options.dtype)?;
        let backend;
        (backend, options.device) = options.backend()?;
        Self::on(backend, opened, source, options)
    }

    /// A model on a backend.
    fn on(backend: Arc<dyn Backend>, opened: Opened<'_>, source: Option<&Path>, options: LoadOptions) -> Result<Self> {
        let plan = opened.description.plan.needed(options.parts, options.num_codebooks)?;
        match &opened.weights {
            Stored::Tensors(checkpoint) => checkpoint.check(&plan.tensors())?,
            Stored::Packed(packed) => packed.check(&options)?,
        }
        let builder = || Builder::new(&opened.weights, &*backend);
        let half = |chain: &plan::Chain, steps| Half::load(builder(), chain, steps);
        // Reading and packing take the time of two or three cores while they last, whatever runs afterwards.
        let (encoder, decoder, quantizer, embedding) = std::thread::scope(|scope| {
            let encoder = scope.spawn(|| plan.encoder.as_ref().map(|chain| half(chain, plan.frame_size())).transpose());
            let decoder = scope.spawn(|| plan.decoder.as_ref().map(|chain| half(chain, 1)).transpose());
            let quantizer = plan.quantizer.as_ref().map(|quantizer| -> Result<_> {
                // Where the decoder has its own, this one is for the encoder alone.
                let parts = if plan.embedding.is_some() { Parts::Encoder } else { options.parts };
                let mut builder = builder();
                Ok((Quantizer::load(&mut builder, quantizer, parts)?, builder.held))
            });
            let embedding = plan.embedding.as_ref().map(|embedding| -> Result<_> {
                let mut builder = builder();
                Ok((Embedding::load(&mut builder, embedding)?, builder.held))
            });
            (join(encoder), join(decoder), quantizer.transpose(), embedding.transpose())
        });
        let mut held = Held::default();
        let encoder = held.part(encoder?);
        let quantizer = held.part(quantizer?);
        let embedding = held.part(embedding?);
        let decoder = held.part(decoder?);
        mimi_kernels::give_back_freed_memory();
        let Opened { family, module, description, weights } = opened;
        let (layout, fingerprints, mapped) = match weights {
            Stored::Tensors(checkpoint) => (checkpoint.layout().name, checkpoint.into_fingerprints(), None),
            Stored::Packed(packed) => {
                let (mapped, PackedDescription { compact, fingerprints, .. }) = (packed.mapped(), packed.description);
                (if compact { "compact" } else { "packed" }, Fingerprints(fingerprints), mapped)
            }
        };
        Ok(Self {
            inner: Arc::new(Inner {
                family,
                config: description.config,
                source: source.map(Path::to_path_buf),
                layout,
                module,
                fingerprints,
                encoder,
                quantizer,
                embedding,
                decoder,
                held,
                mapped,
                plan,
                options,
                backend,
            }),
        })
    }

    /// Which codec it is.
    pub fn kind(&self) -> CodecKind {
        self.inner.family.kind
    }

    /// The text of its `config.json`, with every field.
    pub fn config_json(&self) -> String {
        format!("{:#}", self.inner.config)
    }

    /// Samples per second.
    pub fn sample_rate(&self) -> usize {
        self.inner.plan.sample_rate
    }

    /// Frames per second.
    pub fn frame_rate(&self) -> f64 {
        self.inner.plan.frame_rate
    }

    /// Samples in a frame.
    pub fn frame_size(&self) -> usize {
        self.inner.plan.frame_size()
    }

    /// Samples by which a decoded clip is shorter than its frames: the decoder gives a sample so much later than a causal
    /// one, as it looks ahead.
    pub fn delay(&self) -> usize {
        self.inner.plan.delay()
    }

    /// Whether the samples after the last whole frame of a clip are left out, unless they are filled up with zeros.
    pub fn leaves_rest_out(&self) -> bool {
        self.inner.plan.rest == Rest::LeftOut
    }

    /// Codebooks loaded; none for a codec of continuous latents.
    pub fn num_codebooks(&self) -> usize {
        self.inner.plan.num_codebooks
    }

    /// Codebooks that are semantic; the first ones.
    pub fn num_semantic_codebooks(&self) -> usize {
        self.inner.plan.num_semantic()
    }

    /// Entries of a codebook.
    pub fn codebook_size(&self) -> usize {
        self.inner.plan.entries()
    }

    /// Floats of a latent that the encoder gives; none where it is not loaded.
    pub fn encoder_latent_dim(&self) -> Option<usize> {
        self.inner.plan.encoder_latent_dim()
    }

    /// Floats of a latent that the decoder takes; none where it is not loaded.
    pub fn decoder_latent_dim(&self) -> Option<usize> {
        self.inner.plan.decoder_latent_dim()
    }

    /// How it was loaded, with the threads in use.
    pub fn options(&self) -> &LoadOptions {
        &self.inner.options
    }

    /// Which spelling of tensor names the file had.
    pub fn layout(&self) -> &'static str {
        self.inner.layout
    }

    /// The module of a larger model in whose files it was found; nothing for a codec's own files.
    pub fn module(&self) -> &str {
        &self.inner.module
    }

    /// The instruction set of the kernels, or the kind of device.
    pub fn backend_name(&self) -> &'static str {
        self.inner.backend.name()
    }

    /// How often the model has asked its device for what so far: launches, copies and waits, by name. Nothing on the CPU.
    pub fn device_counts(&self) -> Vec<(&'static str, u64)> {
        self.inner.backend.device_counts()
    }

    /// Bytes that the weights take in memory.
    pub fn weight_bytes(&self) -> usize {
        self.inner.held.bytes
    }

    /// Whether it can make codes of samples: there is an encoder with a quantizer.
    pub fn gives_codes(&self) -> bool {
        self.inner.plan.gives_codes()
    }

    /// The GPU that it runs on, where tensors for it lie; none if it does not run on one.
    #[cfg(feature = "cuda")]
    pub fn gpu(&self) -> Option<&mimi_cuda::Gpu> {
        self.backend().cuda().map(crate::ops::cuda::Cuda::gpu)
    }

    /// Whether the encoder is loaded.
    pub fn has_encoder(&self) -> bool {
        self.inner.encoder.is_some()
    }

    /// Whether the decoder is loaded.
    pub fn has_decoder(&self) -> bool {
        self.inner.decoder.is_some()
    }

    /// Writes the codec to the directory `path` in Transformers' layout, read once more from where it was loaded.
    ///
    /// # Errors
    /// [`Error::File`] where the source is gone, the model was loaded from memory, or the directory cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.opened_again(path)?.save(path)
    }

    /// What it was loaded from, to write it to `path`.
    fn opened_again(&self, path: &Path) -> Result<Opened<'static>> {
        let Some(source) = &self.inner.source else {
            let message = "expected a model that was loaded from a file, got one from memory: save its bytes instead";
            return Err(Error::file(path, message));
        };
        Opened::open(source, self.inner.options.module.as_deref())
    }

    /// Sums of the weights that a stream in a direction goes through; from codes for each number of codebooks from 1 on.
    pub(crate) fn fingerprints(&self, direction: Direction) -> Result<Vec<String>> {
        let whole = &self.inner.plan;
        let of = |parts, codebooks| {
            let needed = whole.part(parts, codebooks);
            self.inner.fingerprints.of(&needed.tensors())
        };
        Ok(match direction {
            Direction::ToCodes(codebooks) => vec![of(Parts::Encoder, codebooks)],
            Direction::ToLatents => vec![of(Parts::Encoder, 0)],
            Direction::FromCodes => (1..=self.num_codebooks()).map(|codebooks| of(Parts::Decoder, codebooks)).collect(),
            Direction::FromLatents => vec![of(Parts::Decoder, 0)],
        })
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.inner.backend
    }

    pub(crate) fn encoder(&self) -> Result<&Half> {
        self.inner.encoder.as_ref().ok_or_else(|| not_loaded("encoder", "decoder"))
    }

    pub(crate) fn decoder(&self) -> Result<&Half> {
        self.inner.decoder.as_ref().ok_or_else(|| not_loaded("decoder", "encoder"))
    }

    /// What makes codes of latents.
    pub(crate) fn quantizer(&self) -> Result<&Quantizer> {
        self.inner.quantizer.as_ref().ok_or_else(|| {
            let wanted = if self.num_codebooks() > 0 { "a quantizer" } else { "codebooks" };
            Error::Codes(format!("expected a codec with {wanted}, got {}, which has none", self.kind()))
        })
    }

    /// Latents `(1, frames, latent_dim)` for the decoder, of codes `(frames, count)` that are
    /// [checked](Self::check_codes).
    pub(crate) fn embed(&self, codes: &Indices) -> Result<Signal> {
        match &self.inner.embedding {
            Some(embedding) => embedding.decode(codes),
            None => self.quantizer()?.decode(codes),
        }
    }

    /// Takes a step through layers of the model, whose weights are as they were loaded.
    pub(crate) fn run(&self, step: Step<'_>, layers: Layers<'_>) -> Result<Given> {
        self.inner.check_mapped()?;
        self.backend().run(step, layers)
    }

    /// Takes a block through the layers of a half, and those between codes and latents.
    pub(crate) fn through(
        &self,
        half: &Half,
        flow: Flow,
        route: Route,
        block: &Block<'_>,
        frames: usize,
    ) -> Result<Flow> {
        let x = match flow {
            Flow::Signal(x) => x,
            Flow::Codes(codes) => self.embed(&codes)?.in_rows(codes.vectors / frames)?,
        };
        let y = half.chain.forward(x, block)?;
        Ok(match route {
            Route::ToCodes(codebooks) => {
                self.backend().check_finite(&y, "latents")?;
                Flow::Codes(self.quantizer()?.encode(&y, codebooks, block)?)
            }
            _ => Flow::Signal(y),
        })
    }

    /// Whether codes can be decoded at all.
    pub(crate) fn takes_codes(&self) -> Result<()> {
        if self.inner.embedding.is_some() { Ok(()) } else { self.quantizer().map(drop) }
    }

    /// Codes that can be decoded.
    pub(crate) fn check_codes(&self, codes: &Codes) -> Result<()> {
        self.takes_codes()?;
        check_codes(codes, self.inner.plan.fewest_codes(), self.num_codebooks(), self.codebook_size())
    }

    /// A number of codebooks to decode from.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "for codes that the host does not see"))]
    pub(crate) fn check_count(&self, codebooks: usize) -> Result<()> {
        self.check_codes(&Codes { codebooks, data: Vec::new() })
    }

    /// A number of codebooks to code with.
    pub(crate) fn check_codebooks(&self, count: usize) -> Result<()> {
        self.quantizer()?;
        if (1..=self.num_codebooks()).contains(&count) {
            return Ok(());
        }
        let loaded = self.num_codebooks();
        Err(Error::Codes(format!("expected between 1 and {loaded} codebooks ({loaded} are loaded), got {count}")))
    }
}

impl Half {
    /// A chain whose frames have `steps` inputs, and its weights.
    fn load(mut builder: Builder<'_>, chain: &plan::Chain, steps: usize) -> Result<(Self, Held)> {
        let chain = Chain::load(&mut builder, chain, steps)?;
        Ok((Self { chain, memory: builder.memory }, builder.held))
    }

    /// The attention layers, whose memory has a form of its own.
    pub(crate) fn attentions(&self) -> Vec<&dyn Attention> {
        self.chain.attentions()
    }
}

/// The result of a thread; a panic of it goes on here.
fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn not_loaded(wanted: &str, loaded: &str) -> Error {
    Error::config("parts", format!("expected a model with its {wanted}, got one loaded with \"{loaded}\""))
}
