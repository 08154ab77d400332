//! How near each layer of a streamed frame is to what the machine can do.
//!
//! A product cannot take less than the time to read its weights, nor less than the time for its multiply-adds. Both rates are
//! measured here first: the fastest product, and the fastest reading of weights too large for any cache. Then all layers of
//! a frame run in turn, so that each finds its weights in memory as in a stream.
//!
//! For the model that `MIMI_BENCH_MODEL` names whole frames are measured too; without it the layers are those of
//! `kyutai/mimi`. `MIMI_BENCH_DTYPE` is how weights are stored.

#![allow(clippy::print_stdout, reason = "a report")]

use std::path::Path;
use std::time::Instant;

use mimi_codec::{Direction, Dtype, Input, LoadOptions, MimiConfig, Model, Product, Stream};
use mimi_kernels::simd::Level;
use mimi_kernels::{
    Attention, Epilogue, PackedMatrix, Precision, Rows, Steps, Strided, Threads, attend, cache_len, product,
};

const CODEBOOKS: usize = 8;
const ROUNDS: usize = 60;
/// Rows in a frame up to which the codec may store weights in less than float32.
const FEW_ROWS: usize = 8;

/// The product of a layer in one frame; several layers of a kind are one entry.
struct Layer {
    name: String,
    times: usize,
    rows: usize,
    depth: usize,
    columns: usize,
    /// Floats from row to row of the left matrix.
    stride: usize,
    /// Whether its weights may be stored in less than float32.
    slow: bool,
}

/// The layers of a chain; those of a transformer's layers, which are alike, are one entry.
fn chain(products: &[Product]) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    for Product { name, rows, depth, columns, stride } in products {
        let (rows, depth, columns, stride) = (*rows, *depth, *columns, *stride);
        // Without the numbers of the transformer's layers.
        let name = match name.split_once("_transformer.layers.").and_then(|(_, rest)| rest.split_once('.')) {
            Some((_, rest)) => rest.replace("q_proj", "qkv_proj"),
            None => name.trim_end_matches(".conv").to_owned(),
        };
        match layers.iter_mut().find(|layer| layer.name == name) {
            Some(layer) => layer.times += 1,
            None => layers.push(Layer { name, times: 1, rows, depth, columns, stride, slow: rows <= FEW_ROWS }),
        }
    }
    layers
}

fn quantizer(config: &MimiConfig, encoding: bool) -> Vec<Layer> {
    let (wide, narrow) = (config.hidden_size, config.vector_quantization_hidden_dimension);
    let dense = |name: &str, times, depth, columns| Layer {
        name: name.into(),
        times,
        rows: 1,
        depth,
        columns,
        stride: depth,
        slow: false,
    };
    if encoding {
        let books = dense("codebooks", CODEBOOKS, config.codebook_dim, config.codebook_size);
        vec![dense("quantizer in", 2, wide, narrow), books]
    } else {
        vec![dense("quantizer out", 2, narrow, wide)]
    }
}

fn encoder(config: &MimiConfig) -> Vec<Layer> {
    let mut layers = chain(&config.products()[0]);
    layers.extend(quantizer(config, true));
    layers
}

fn decoder(config: &MimiConfig) -> Vec<Layer> {
    let mut layers = quantizer(config, false);
    layers.extend(chain(&config.products()[1]));
    layers
}

/// A layer with weights of its own for each time that it occurs.
struct Ready {
    weights: Vec<PackedMatrix>,
    x: Vec<f32>,
    out: Vec<f32>,
    seconds: Vec<f64>,
}

impl Layer {
    fn ready(&self, precision: Precision) -> Ready {
        let values: Vec<f32> = (0..self.depth * self.columns).map(|i| (i % 17) as f32 / 17.0 - 0.5).collect();
        let matrix = Strided::row_major(&values, self.columns);
        let precision = if self.slow { precision } else { Precision::Float32 };
        Ready {
            weights: (0..self.times).map(|_| PackedMatrix::new(Level::detect(), precision, &matrix, None)).collect(),
            x: (0..self.rows * self.stride + self.depth).map(|i| (i % 13) as f32 / 13.0 - 0.5).collect(),
            out: vec![0.0; self.rows * self.columns],
            seconds: Vec::new(),
        }
    }

    fn run(&self, ready: &mut Ready, threads: &Threads) {
        let began = Instant::now();
        for weights in &ready.weights {
            let mut left = Rows::new(self.depth);
            left.push(&ready.x, self.stride, self.rows);
            product(&left, (self.depth, 0), weights, Epilogue::default(), &mut ready.out, threads);
        }
        ready.seconds.push(began.elapsed().as_secs_f64());
    }

    fn multiply_adds(&self) -> f64 {
        (self.times * self.rows * self.depth * self.columns) as f64
    }
}

/// What the machine can do: multiply-adds and bytes of weights per second.
struct Machine {
    multiply_adds: f64,
    bytes: f64,
}

impl Machine {
    fn measure() -> Self {
        let best = |rows, depth, columns| {
            let layer = Layer { name: String::new(), times: 1, rows, depth, columns, stride: depth, slow: false };
            let (mut ready, threads) = (layer.ready(Precision::Float32), Threads::new(1));
            (0..20).for_each(|_| layer.run(&mut ready, &threads));
            let seconds = ready.seconds.iter().copied().fold(f64::INFINITY, f64::min);
            (layer.multiply_adds() / seconds, ready.weights[0].bytes() as f64 / seconds)
        };
        let products = [(480, 512, 128), (960, 256, 256), (192, 1280, 256)];
        let multiply_adds = products.map(|(rows, depth, columns)| best(rows, depth, columns).0);
        Self { multiply_adds: multiply_adds.into_iter().fold(0.0, f64::max), bytes: best(1, 8192, 4096).1 }
    }

    fn seconds(&self, multiply_adds: f64, bytes: f64) -> f64 {
        (multiply_adds / self.multiply_adds).max(bytes / self.bytes)
    }
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// All attention layers of a frame with full windows: the least time, and the time taken.
fn attention(config: &MimiConfig, machine: &Machine) -> (f64, f64) {
    let (steps, dim, times) = (config.latent_stride(), config.head_dim(), config.num_hidden_layers);
    let (heads, kv_heads, window) = (config.num_attention_heads, config.num_key_value_heads, config.sliding_window);
    let shape = Attention { heads, kv_heads, head_dim: dim, window };
    let mut caches = vec![vec![0.1; cache_len(&shape)]; times];
    let (rotary, qkv) = (vec![0.5; steps * dim], vec![0.1; steps * (heads + 2 * kv_heads) * dim]);
    let mut out = vec![0.0; steps * heads * dim];
    let others = vec![1.0_f32; 64 << 18];
    let mut seconds = Vec::new();
    for _ in 0..ROUNDS {
        // What the weights do to the caches in a frame.
        std::hint::black_box(others.iter().sum::<f32>());
        let began = Instant::now();
        for cache in &mut caches {
            let new = Steps { position: 1000, rotary: &rotary, qkv: &qkv };
            attend(Level::detect(), &shape, new, cache, &mut out, &Threads::new(1));
        }
        seconds.push(began.elapsed().as_secs_f64());
    }
    let remembered = 2 * window * kv_heads * dim * times;
    let multiply_adds = (remembered / kv_heads * heads * steps) as f64;
    (machine.seconds(multiply_adds, 4.0 * remembered as f64), median(&mut seconds))
}

/// Prints a table and gives the sum of the limits.
fn report(title: &str, layers: &[Layer], attention: (f64, f64), machine: &Machine, precision: Precision) -> f64 {
    let threads = Threads::new(1);
    let mut ready: Vec<Ready> = layers.iter().map(|layer| layer.ready(precision)).collect();
    for _ in 0..ROUNDS {
        for (layer, ready) in layers.iter().zip(&mut ready) {
            layer.run(ready, &threads);
        }
    }
    println!(
        "\n{title:28} {:>6} {:>6} {:>6} {:>3} {:>9} {:>9} {:>6}",
        "rows", "depth", "cols", "x", "limit us", "us", "share"
    );
    let (mut limits, mut times) = attention;
    for (layer, ready) in layers.iter().zip(&mut ready) {
        let bytes: usize = ready.weights.iter().map(PackedMatrix::bytes).sum();
        let (limit, taken) = (machine.seconds(layer.multiply_adds(), bytes as f64), median(&mut ready.seconds));
        println!(
            "{:28} {:6} {:6} {:6} {:3} {:9.1} {:9.1} {:5.0}%",
            layer.name,
            layer.rows,
            layer.depth,
            layer.columns,
            layer.times,
            1e6 * limit,
            1e6 * taken,
            100.0 * limit / taken
        );
        limits += limit;
        times += taken;
    }
    let share = 100.0 * attention.0 / attention.1;
    println!("{:55} {:9.1} {:9.1} {share:5.0}%", "attention", 1e6 * attention.0, 1e6 * attention.1);
    println!("{:55} {:9.1} {:9.1} {:5.0}%", "all", 1e6 * limits, 1e6 * times, 100.0 * limits / times);
    limits
}

/// Medians of whole frames of streams whose windows are full, encoding and decoding.
fn frames(model: &Model, config: &MimiConfig) -> Result<[f64; 2], mimi_codec::Error> {
    let frame_size = model.frame_size();
    let mut encoder = Stream::new(model, Direction::ToCodes(CODEBOOKS), 1)?;
    let mut decoder = Stream::new(model, Direction::FromCodes, 1)?;
    let (mut encoding, mut decoding) = (Vec::new(), Vec::new());
    let full = config.sliding_window / config.latent_stride() + 1;
    for index in 0..full + 4 * ROUNDS {
        let pcm: Vec<f32> = (0..frame_size).map(|i| ((index * frame_size + i) as f32 * 0.05).sin() * 0.3).collect();
        let began = Instant::now();
        let codes = encoder.push(&[Some(Input::Pcm(&pcm))])?;
        encoding.push(began.elapsed().as_secs_f64());
        for codes in codes {
            let codes = codes.into_codes()?;
            let began = Instant::now();
            decoder.push(&[Some(Input::Codes(&codes))])?;
            decoding.push(began.elapsed().as_secs_f64());
        }
    }
    Ok([median(&mut encoding[full..]), median(&mut decoding[full..])])
}

fn main() -> Result<(), mimi_codec::Error> {
    let dtype: Dtype = std::env::var("MIMI_BENCH_DTYPE").map_or(Ok(Dtype::Float32), |dtype| dtype.parse())?;
    let precision = match dtype {
        Dtype::Auto | Dtype::Float32 => Precision::Float32,
        Dtype::Bfloat16 => Precision::Bfloat16,
        Dtype::Int8 => Precision::Int8,
    };
    let options = LoadOptions { num_codebooks: Some(CODEBOOKS), dtype, ..LoadOptions::default() };
    let path = std::env::var_os("MIMI_BENCH_MODEL");
    let model = path.map(|path| Model::load(Path::new(&path), &options)).transpose()?;
    let config =
        model.as_ref().map_or(Ok(MimiConfig::default()), |model| MimiConfig::from_json(&model.config_json()))?;

    let machine = Machine::measure();
    let (rate, bytes) = (machine.multiply_adds / 1e9, machine.bytes / 1e9);
    println!(
        "{}: {rate:.1} thousand million multiply-adds per second, {bytes:.1} GB of weights per second; {dtype}",
        Level::detect().name()
    );
    let attention = attention(&config, &machine);
    let limits = [
        report("encoding a frame", &encoder(&config), attention, &machine, precision),
        report("decoding a frame", &decoder(&config), attention, &machine, precision),
    ];
    if let Some(model) = &model {
        for ((name, limit), taken) in ["encoding", "decoding"].into_iter().zip(limits).zip(frames(model, &config)?) {
            println!("\n{name} a frame of a stream: {:.2} ms, {:.2} times the limit", 1e3 * taken, taken / limit);
        }
    }
    Ok(())
}
