//! The whole codec: clips, and frames of a stream, of one session and of several.
//!
//! On the model that `MIMI_BENCH_MODEL` names, else on the small embedded one. Rates are in samples ("elem/s"): 24,000
//! a second is real time.

use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mimi_codec::{Codes, Direction, Dtype, Input, LoadOptions, Model, Stream};

fn codec(criterion: &mut Criterion) {
    let embedded = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../python/mimi_codec/demo"));
    let path = std::env::var_os("MIMI_BENCH_MODEL").map_or(embedded, PathBuf::from);
    for dtype in [Dtype::Float32, Dtype::Bfloat16, Dtype::Int8] {
        let options = LoadOptions { num_codebooks: Some(8), dtype, ..LoadOptions::default() };
        let mimi = match Model::load(&path, &options) {
            Ok(mimi) => mimi,
            Err(error) => panic!("{error}"),
        };
        let mut group = criterion.benchmark_group(format!("{dtype} {}", mimi.backend_name()));
        group.sample_size(10);

        let frame_size = mimi.frame_size();
        let pcm: Vec<f32> = (0..50 * frame_size).map(|i| (i as f32 * 0.05).sin() * 0.3).collect();
        let codes = mimi.encode(&pcm, 8).unwrap_or_default();
        group.throughput(Throughput::Elements(pcm.len() as u64));
        group.bench_function("encode 50 frames", |bencher| {
            bencher.iter(|| mimi.encode(&pcm, 8));
        });
        group.bench_function("decode 50 frames", |bencher| bencher.iter(|| mimi.decode(&codes)));

        for sessions in [1, 2, 4, 8, 16, 32] {
            group.throughput(Throughput::Elements((sessions * frame_size) as u64));
            if let Ok(mut stream) = Stream::new(&mimi, Direction::ToCodes(8), sessions) {
                let inputs = vec![Some(Input::Pcm(&pcm[..frame_size])); sessions];
                let name = format!("encode a frame of {sessions} sessions");
                group.bench_function(name, |bencher| bencher.iter(|| stream.push(&inputs)));
            }
            if let Ok(mut stream) = Stream::new(&mimi, Direction::FromCodes, sessions) {
                let first = Codes { codebooks: 8, data: codes.data[..8].to_vec() };
                let inputs = vec![Some(Input::Codes(&first)); sessions];
                let name = format!("decode a frame of {sessions} sessions");
                group.bench_function(name, |bencher| bencher.iter(|| stream.push(&inputs)));
            }
        }
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
