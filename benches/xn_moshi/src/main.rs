//! The crate xn-moshi as a worker of `benches/compare.py`: a line of JSON is asked, and a line answered.
//!
//!     RUSTFLAGS="-C target-cpu=native" cargo build --release --manifest-path benches/xn_moshi/Cargo.toml
//!
//! Started with the weights in Kyutai's layout, the sound (raw float32), and how many codebooks and threads to take.

use std::error::Error;
use std::hint::black_box;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use xn::nn::VB;
use xn::streaming::{StreamMask, StreamTensor};
use xn::{CPU, CpuDevice, Tensor};
use xn_moshi::mimi::{Config, Mimi};

const RATE: usize = 24_000;
const FRAME: usize = 1920;
const FRAMES_A_ROUND: usize = 25;
/// Frames of a round that are not counted.
const FIRST: usize = 5;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What is asked; `seconds` and `codes` as far as the work needs them.
#[derive(Deserialize)]
struct Task {
    #[serde(rename = "do")]
    work: String,
    #[serde(default)]
    seconds: usize,
    #[serde(default)]
    codes: serde_json::Value,
}

#[derive(Default, Serialize)]
struct Answer {
    times: Vec<f64>,
    codes: Option<Vec<Vec<i64>>>,
}

struct Worker {
    model: Arc<Mimi<f32, CpuDevice>>,
    pcm: Vec<f32>,
    codebooks: usize,
}

impl Worker {
    fn load(weights: &Path, pcm: &Path, codebooks: usize) -> Result<Self> {
        let weights = VB::load(&[weights], CPU)?.root();
        let model = Arc::new(Mimi::load(&weights, Config::v0_1(Some(codebooks)))?);
        let bytes = std::fs::read(pcm)?;
        let pcm = bytes.as_chunks().0.iter().map(|&sample| f32::from_le_bytes(sample)).collect();
        Ok(Self { model, pcm, codebooks })
    }

    fn sound(&self, from: usize, length: usize) -> Result<Tensor<f32, CpuDevice>> {
        let samples = self.pcm.get(from..from + length).ok_or("the sound is too short")?;
        Ok(Tensor::from_vec(samples.to_vec(), (1, 1, length), &CPU)?)
    }

    /// The codes given, over and over, as NumPy's `resize` does it: `(1, K, T)`.
    fn codes(&self, task: &Task, frames: usize) -> Result<Tensor<i64, CpuDevice>> {
        let given: Vec<Vec<i64>> = serde_json::from_value(task.codes.clone())?;
        let all: Vec<i64> = given.concat().into_iter().cycle().take(self.codebooks * frames).collect();
        Ok(Tensor::from_vec(all, (1, self.codebooks, frames), &CPU)?)
    }

    fn encode(&self, task: &Task) -> Result<Answer> {
        let sound = self.sound(0, task.seconds * RATE)?;
        let (seconds, codes) = timed(|| self.model.encode(&sound))?;
        let frames = codes.dim(2usize)?;
        let wanted = task.codes.as_bool() == Some(true);
        let codes = wanted.then(|| codes.to_vec()).transpose()?;
        let codes = codes.map(|codes| codes.chunks(frames).map(<[i64]>::to_vec).collect());
        Ok(Answer { times: vec![seconds], codes })
    }

    fn decode(&self, task: &Task) -> Result<Answer> {
        let codes = self.codes(task, task.seconds * RATE / FRAME)?;
        let (seconds, _) = timed(|| self.model.decode(&codes))?;
        Ok(Answer { times: vec![seconds], codes: None })
    }

    /// Times of the frames of a stream, and its codes.
    fn encode_frames(&self, frames: usize) -> Result<Answer> {
        let mut state = self.model.init_encode_state(1)?;
        let mask = StreamMask::all_active(1);
        let mut answer = Answer::default();
        let mut found = vec![Vec::new(); self.codebooks];
        for index in 0..frames {
            let sound = StreamTensor::from_tensor(self.sound(index * FRAME, FRAME)?);
            let (seconds, codes) = timed(|| state.encode_step(&sound, &mask))?;
            answer.times.push(seconds);
            let codes = codes.as_option().ok_or("a frame without codes")?.to_vec()?;
            found.iter_mut().zip(codes).for_each(|(row, code)| row.push(code));
        }
        answer.codes = Some(found);
        Ok(answer)
    }

    fn decode_frames(&self, task: &Task) -> Result<Answer> {
        let given: Vec<Vec<i64>> = serde_json::from_value(task.codes.clone())?;
        let mut state = self.model.init_decode_state(1)?;
        let mask = StreamMask::all_active(1);
        let mut answer = Answer::default();
        for index in 0..FRAMES_A_ROUND {
            let column: Vec<i64> = given.iter().map(|row| row[index]).collect();
            let codes = StreamTensor::from_tensor(Tensor::from_vec(column, (1, self.codebooks, 1), &CPU)?);
            let (seconds, _) = timed(|| state.decode_step(&codes, &mask))?;
            answer.times.push(seconds);
        }
        answer.times.drain(..FIRST);
        Ok(answer)
    }

    fn answer(&self, task: &Task) -> Result<Answer> {
        match task.work.as_str() {
            "encode" => self.encode(task),
            "decode" => self.decode(task),
            "encode frame" => {
                let mut answer = self.encode_frames(FRAMES_A_ROUND)?;
                answer.times.drain(..FIRST);
                Ok(answer)
            }
            "decode frame" => self.decode_frames(task),
            "memory" => Ok(Answer { times: vec![most_memory()?], codes: None }),
            other => Err(format!("no such work: {other}").into()),
        }
    }
}

fn timed<T>(call: impl FnOnce() -> xn::Result<T>) -> Result<(f64, T)> {
    let began = Instant::now();
    let result = black_box(call()?);
    Ok((began.elapsed().as_secs_f64(), result))
}

/// The most memory that this process ever held, in MB.
fn most_memory() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.split_whitespace().next().ok_or("no number")?.parse::<f64>()? / 1024.0)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [weights, pcm, codebooks, threads] = arguments.as_slice() else {
        return Err("expected WEIGHTS PCM CODEBOOKS THREADS".into());
    };
    xn::set_num_threads(threads.parse()?);
    let worker = Worker::load(Path::new(weights), Path::new(pcm), codebooks.parse()?)?;
    worker.encode_frames(1)?;
    let mut out = stdout().lock();
    writeln!(out, "{{}}")?;
    for line in stdin().lock().lines() {
        let answer = worker.answer(&serde_json::from_str(&line?)?)?;
        writeln!(out, "{}", serde_json::to_string(&answer)?)?;
        out.flush()?;
    }
    Ok(())
}
