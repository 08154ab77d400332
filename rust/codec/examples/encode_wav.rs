//! Prints the codes of a WAV file, a line for each codebook.
//!
//! ```text
//! encode_wav kyutai-mimi speech.wav 8
//! ```

use std::error::Error;
use std::io::Write;
use std::num::NonZero;

use hound::{SampleFormat, WavReader};
use mimi_codec::{LoadOptions, Model, Parts};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, sound, codebooks] = arguments.as_slice() else {
        return Err("usage: encode_wav MODEL SOUND.wav CODEBOOKS".into());
    };
    let codebooks = codebooks.parse()?;
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let options =
        LoadOptions { parts: Parts::Encoder, num_codebooks: Some(codebooks), threads, ..LoadOptions::default() };
    let model = Model::load(model.as_ref(), &options)?;

    let pcm = read_mono(sound, model.sample_rate())?;
    let codes = model.encode(&pcm, codebooks)?;
    let mut out = std::io::stdout().lock();
    for codebook in 0..codebooks {
        let line: Vec<String> = codes.codebook(codebook).map(|code| code.to_string()).collect();
        writeln!(out, "{}", line.join(" "))?;
    }
    Ok(())
}

/// The mean of a file's channels. The codec does not resample, so the file must have the model's rate.
fn read_mono(path: &str, rate: usize) -> Result<Vec<f32>, Box<dyn Error>> {
    let mut file = WavReader::open(path)?;
    let spec = file.spec();
    if spec.sample_rate as usize != rate {
        return Err(format!("expected {rate} samples per second, got {}", spec.sample_rate).into());
    }
    let samples: Vec<f32> = match spec.sample_format {
        SampleFormat::Float => file.samples().collect::<Result<_, _>>()?,
        SampleFormat::Int => {
            let full = f32::from(2_u8).powi(i32::from(spec.bits_per_sample) - 1);
            file.samples::<i32>().map(|sample| Ok(sample? as f32 / full)).collect::<Result<_, hound::Error>>()?
        }
    };
    let channels = usize::from(spec.channels);
    Ok(samples.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32).collect())
}
