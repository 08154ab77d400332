//! Conversations that come and go in the rows of one stream, which reads the weights once for all of them.
//!
//! ```text
//! many_sessions kyutai-mimi 32
//! ```

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use mimi_codec::{Direction, Input, LoadOptions, Model, Parts, Stream};

const CODEBOOKS: usize = 8;
/// Frames in which conversations come and go.
const TICKS: usize = 50;

/// A conversation: a tone of its own, for so many frames.
struct Conversation {
    pitch: f32,
    said: usize,
    length: usize,
}

impl Conversation {
    fn new(number: usize) -> Self {
        Self { pitch: 0.02 + 0.001 * number as f32, said: 0, length: 5 + number * 7 % 20 }
    }

    /// Its next frame of samples.
    fn speak(&mut self, frame_size: usize) -> Vec<f32> {
        let from = self.said * frame_size;
        self.said += 1;
        (from..from + frame_size).map(|i| 0.3 * (self.pitch * i as f32).sin()).collect()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, rows] = arguments.as_slice() else {
        return Err("usage: many_sessions MODEL ROWS".into());
    };
    let rows: usize = rows.parse()?;
    let options = LoadOptions { parts: Parts::Encoder, num_codebooks: Some(CODEBOOKS), ..LoadOptions::default() };
    let model = Model::load(path.as_ref(), &options)?;
    let mut stream = Stream::new(&model, Direction::ToCodes(CODEBOOKS), rows)?;

    let mut conversations: Vec<Option<Conversation>> = (0..rows).map(|_| None).collect();
    let (mut begun, mut frames, start) = (0, 0, Instant::now());
    for _ in 0..TICKS {
        // One may begin in each tick: the first free row is made new for it.
        if let Some(free) = conversations.iter().position(Option::is_none) {
            let mask: Vec<bool> = (0..rows).map(|row| row == free).collect();
            stream.reset(Some(&mask))?;
            conversations[free] = Some(Conversation::new(begun));
            begun += 1;
        }
        let speak = |conversation: &mut Option<Conversation>| Some(conversation.as_mut()?.speak(model.frame_size()));
        let spoken: Vec<Option<Vec<f32>>> = conversations.iter_mut().map(speak).collect();
        let inputs: Vec<_> = spoken.iter().map(|pcm| pcm.as_deref().map(Input::Pcm)).collect();
        for (conversation, output) in conversations.iter_mut().zip(stream.push(&inputs)?) {
            frames += output.into_codes()?.frames();
            if conversation.as_ref().is_some_and(|conversation| conversation.said == conversation.length) {
                *conversation = None;
            }
        }
    }
    let seconds = frames as f64 / model.frame_rate();
    let took = start.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "{begun} conversations, {seconds:.1} s of sound encoded in {took:.2} s")?;
    Ok(())
}
