//! Prints the codes of speech from standard input as it comes: 16 bit samples, little-endian, mono, at the model's rate.
//!
//! ```text
//! ffmpeg -i speech.flac -ac 1 -ar 24000 -f s16le - | stream_stdin kyutai-mimi 8
//! ```

use std::error::Error;
use std::io::{Read, Write};

use mimi_codec::{Codes, Direction, Input, LoadOptions, Model, Padding, Parts, Stream};

/// Bytes that are read at once, at most.
const BLOCK: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, codebooks] = arguments.as_slice() else {
        return Err("usage: stream_stdin MODEL CODEBOOKS < SAMPLES".into());
    };
    let codebooks = codebooks.parse()?;
    let options = LoadOptions { parts: Parts::Encoder, num_codebooks: Some(codebooks), ..LoadOptions::default() };
    let model = Model::load(path.as_ref(), &options)?;
    let mut stream = Stream::new(&model, Direction::ToCodes(codebooks), 1)?;

    let (mut input, mut bytes) = (std::io::stdin().lock(), Vec::with_capacity(2 * BLOCK));
    let mut block = [0; BLOCK];
    loop {
        let length = input.read(&mut block)?;
        if length == 0 {
            break;
        }
        bytes.extend_from_slice(&block[..length]);
        let (pairs, half) = bytes.as_chunks();
        let pcm: Vec<f32> = pairs.iter().map(|&pair| f32::from(i16::from_le_bytes(pair)) / 32768.0).collect();
        // A sample may be cut between two reads.
        bytes = half.to_vec();
        for output in stream.push(&[Some(Input::Pcm(&pcm))])? {
            print(&output.into_codes()?)?;
        }
    }
    for output in stream.flush(None, Padding::default())? {
        print(&output.into_codes()?)?;
    }
    Ok(())
}

/// A line for each frame.
fn print(codes: &Codes) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for frame in codes.data.chunks_exact(codes.codebooks) {
        let frame: Vec<String> = frame.iter().map(u32::to_string).collect();
        writeln!(out, "{}", frame.join(" "))?;
    }
    out.flush()
}
