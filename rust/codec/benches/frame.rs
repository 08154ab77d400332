//! One frame of a stream whose windows are full, for a program that counts instructions: see `benches/instructions.py`.
//!
//! `frame encode FILE` runs a stream until its windows are full and saves it; run once more with the same file, it goes on
//! from there with a single frame, in [`counted`].

use std::path::{Path, PathBuf};

use mimi_codec::{Codes, Direction, Dtype, Error, Input, LoadOptions, MimiConfig, Model, Result, Stream};

const CODEBOOKS: usize = 8;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [what, file] = arguments.as_slice() else {
        // `cargo bench` runs all benches: there is nothing to time here.
        return Ok(());
    };
    let file = Path::new(file);
    let embedded = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../python/mimi_codec/demo"));
    let path = std::env::var_os("MIMI_BENCH_MODEL").map_or(embedded, PathBuf::from);
    let dtype = std::env::var("MIMI_BENCH_DTYPE").map_or(Ok(Dtype::Float32), |dtype| dtype.parse())?;
    let model = Model::load(&path, &LoadOptions { num_codebooks: Some(CODEBOOKS), dtype, ..LoadOptions::default() })?;
    let config = MimiConfig::from_json(&model.config_json())?;
    let full = config.sliding_window / config.latent_stride() + 1;
    match what.as_str() {
        "encode" => {
            let frame_size = model.frame_size();
            let sample = |i: usize| (i as f32 * 0.05).sin() * 0.3;
            let pcm: Vec<f32> = (0..(full + 2) * frame_size).map(sample).collect();
            let mut stream = Stream::new(&model, Direction::ToCodes(CODEBOOKS), 1)?;
            run(file, full, &mut stream, |stream, index| {
                stream.push(&[Some(Input::Pcm(&pcm[index * frame_size..][..frame_size]))]).map(drop)
            })
        }
        "decode" => {
            let mut stream = Stream::new(&model, Direction::FromCodes, 1)?;
            run(file, full, &mut stream, |stream, index| {
                let entries = model.codebook_size();
                let data = (0..CODEBOOKS).map(|k| ((index * 31 + k * 7) % entries) as u32).collect();
                let codes = Codes { codebooks: CODEBOOKS, data };
                stream.push(&[Some(Input::Codes(&codes))]).map(drop)
            })
        }
        other => Err(Error::Stream(format!("expected encode or decode, got {other}"))),
    }
}

/// Goes on from the saved stream with one frame, or makes it.
fn run(file: &Path, full: usize, stream: &mut Stream, push: impl Fn(&mut Stream, usize) -> Result<()>) -> Result<()> {
    let failed = |error| Error::Stream(format!("expected a file at {}, got {error}", file.display()));
    if file.exists() {
        stream.load(&std::fs::read(file).map_err(failed)?, None)?;
        // The first frame finds no memory of signals yet.
        push(stream, full)?;
        return counted(|| push(stream, full + 1));
    }
    (0..full).try_for_each(|index| push(stream, index))?;
    std::fs::write(file, stream.save(None)?).map_err(failed)
}

/// The frame that is counted.
#[inline(never)]
fn counted(frame: impl FnOnce() -> Result<()>) -> Result<()> {
    std::hint::black_box(frame())
}
