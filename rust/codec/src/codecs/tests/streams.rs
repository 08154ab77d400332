//! Streams of each codec in any pieces against whole clips, and the kernels against candle's operations.

use super::{all, checkpoint};
use crate::fixture::{Random, bits, load};
use crate::{Codes, Direction, Error, Input, Latents, Model, Output, Padding, Stream};

/// A clip, as a direction takes it.
enum Clip {
    Pcm(Vec<f32>),
    Codes(Codes),
    Latents(Latents),
}

impl Clip {
    fn of(model: &Model, direction: Direction, frames: usize, random: &mut Random) -> Self {
        let width = |dim: Option<usize>| dim.unwrap();
        match direction {
            Direction::FromCodes => {
                let codebooks = model.num_codebooks();
                let data = (0..frames * codebooks).map(|_| random.below(model.codebook_size()) as u32).collect();
                Self::Codes(Codes { codebooks, data })
            }
            Direction::FromLatents => {
                let dim = width(model.decoder_latent_dim());
                Self::Latents(Latents { dim, data: (0..frames * dim).map(|_| 2.0 * random.float()).collect() })
            }
            _ => Self::Pcm(random.clip(frames * model.frame_size())),
        }
    }

    /// The part from one of its frames to another.
    fn part(&self, frame: usize, from: usize, to: usize) -> Self {
        match self {
            Self::Pcm(pcm) => Self::Pcm(pcm[from * frame..to * frame].to_vec()),
            Self::Codes(codes) => {
                let count = codes.codebooks;
                Self::Codes(Codes { codebooks: count, data: codes.data[from * count..to * count].to_vec() })
            }
            Self::Latents(latents) => {
                let dim = latents.dim;
                Self::Latents(Latents { dim, data: latents.data[from * dim..to * dim].to_vec() })
            }
        }
    }

    fn input(&self) -> Input<'_> {
        match self {
            Self::Pcm(pcm) => Input::Pcm(pcm),
            Self::Codes(codes) => Input::Codes(codes),
            Self::Latents(latents) => Input::Latents(latents),
        }
    }
}

/// What all numbers of an output are, to the bit.
fn numbers(output: Output) -> Vec<u32> {
    match output {
        Output::Pcm(pcm) => bits(&pcm),
        Output::Codes(codes) => codes.data,
        Output::Latents(latents) => bits(&latents.data),
    }
}

/// What a whole clip gives at once.
fn whole(model: &Model, direction: Direction, clip: &Clip) -> Vec<u32> {
    match (clip, direction) {
        (Clip::Codes(codes), _) => bits(&model.decode(codes).unwrap()),
        (Clip::Latents(latents), _) => bits(&model.decode_latents(latents).unwrap()),
        (Clip::Pcm(pcm), Direction::ToCodes(count)) => model.encode(pcm, count).unwrap().data,
        (Clip::Pcm(pcm), _) => bits(&model.encode_latents(pcm).unwrap().data),
    }
}

fn directions(model: &Model) -> Vec<Direction> {
    let mut directions = Vec::new();
    if model.has_encoder() {
        directions.push(Direction::ToLatents);
        if model.gives_codes() {
            directions.push(Direction::ToCodes(2));
        }
    }
    if model.has_decoder() {
        directions.push(if model.num_codebooks() > 0 { Direction::FromCodes } else { Direction::FromLatents });
    }
    directions
}

/// Each tiny codec, on the kernels with one and with two threads, and each direction that it has.
fn for_each(mut check: impl FnMut(&Model, Direction)) {
    for (kind, config) in all() {
        let directory = checkpoint(kind, &config);
        for threads in [1, 2] {
            let model = load(directory.path(), "cpu", threads);
            for direction in directions(&model) {
                check(&model, direction);
            }
        }
    }
}

#[test]
fn in_any_pieces() {
    for_each(|model, direction| {
        let (random, frame) = (&mut Random::new(70), model.frame_size());
        for frames in [1, 2, 7, 32, 33, 70] {
            let clip = Clip::of(model, direction, frames, random);
            let expected = whole(model, direction, &clip);
            for longest in [1, 2, 5, 40] {
                let mut stream = Stream::new(model, direction, 1).unwrap();
                let (mut given, mut at) = (Vec::new(), 0);
                while at < frames {
                    let to = frames.min(at + 1 + random.below(longest));
                    let part = clip.part(frame, at, to);
                    given.extend(numbers(stream.push(&[Some(part.input())]).unwrap().remove(0)));
                    at = to;
                    if matches!(direction, Direction::FromCodes | Direction::FromLatents) {
                        assert_eq!(given.len(), (at * frame).saturating_sub(model.delay()), "what is settled is given");
                    }
                }
                given.extend(numbers(stream.flush(None, Padding::Transformers).unwrap().remove(0)));
                assert_eq!(given, expected, "{} {direction:?}, {frames} frames", model.kind());
            }
        }
    });
}

#[test]
fn rows_of_their_own_ages() {
    for_each(|model, direction| {
        let (random, frame) = (&mut Random::new(71), model.frame_size());
        let clips: Vec<Clip> = (0..3).map(|_| Clip::of(model, direction, 40, random)).collect();
        let expected: Vec<_> = clips.iter().map(|clip| whole(model, direction, clip)).collect();
        let mut stream = Stream::new(model, direction, 3).unwrap();
        let (mut at, mut given) = ([0; 3], [const { Vec::new() }; 3]);
        let mut turns = 0;
        while at.iter().any(|&at| at < 40) {
            let parts: Vec<Option<Clip>> = (0..3)
                .map(|row| {
                    let to = (at[row] + random.below(6)).min(40);
                    let part = clips[row].part(frame, at[row], to);
                    let moves = random.below(3) > 0;
                    at[row] = if moves { to } else { at[row] };
                    moves.then_some(part)
                })
                .collect();
            let inputs: Vec<_> = parts.iter().map(|part| part.as_ref().map(Clip::input)).collect();
            for (given, output) in given.iter_mut().zip(stream.push(&inputs).unwrap()) {
                given.extend(numbers(output));
            }
            turns += 1;
            if turns % 5 == 0 {
                // Some row begins anew.
                let row = turns / 5 % 3;
                stream.reset(Some(&[0, 1, 2].map(|other| other == row))).unwrap();
                (at[row], given[row]) = (0, Vec::new());
            }
            if turns % 4 == 0 {
                // All go on in another stream, and each in another's place.
                let state = stream.save(Some(&[2, 0, 1])).unwrap();
                stream = Stream::new(model, direction, 3).unwrap();
                stream.load(&state, Some(&[2, 0, 1])).unwrap();
            }
            if turns > 60 {
                break; // resets must not go on for ever
            }
        }
        let rest: Vec<Clip> = (0..3).map(|row| clips[row].part(frame, at[row], 40)).collect();
        let inputs: Vec<_> = rest.iter().map(|part| Some(part.input())).collect();
        for (given, output) in given.iter_mut().zip(stream.push(&inputs).unwrap()) {
            given.extend(numbers(output));
        }
        for (given, output) in given.iter_mut().zip(stream.flush(None, Padding::Transformers).unwrap()) {
            given.extend(numbers(output));
        }
        assert_eq!(given.to_vec(), expected, "{} {direction:?}", model.kind());
    });
}

#[test]
fn both_backends() {
    for (kind, config) in all() {
        let directory = checkpoint(kind, &config);
        let [fast, plain] = ["cpu", "cpu-candle"].map(|device| load(directory.path(), device, 1));
        for direction in directions(&fast) {
            let random = &mut Random::new(72);
            for frames in [1, 9, 45] {
                let clip = Clip::of(&fast, direction, frames, random);
                let [got, expected] = [&fast, &plain].map(|model| {
                    let mut stream = Stream::new(model, direction, 1).unwrap();
                    let mut outputs = stream.push(&[Some(clip.input())]).unwrap();
                    outputs.extend(stream.flush(None, Padding::Transformers).unwrap());
                    outputs
                });
                for (got, expected) in got.into_iter().zip(expected) {
                    assert_near(got, expected, kind);
                }
            }
        }
    }
}

/// Equal codes, and floats within a hundred-thousandth of the largest: a few roundings in each of some dozens of layers.
fn assert_near(got: Output, expected: Output, kind: &str) {
    let (got, expected) = match (got, expected) {
        (Output::Pcm(got), Output::Pcm(expected)) => (got, expected),
        (Output::Latents(got), Output::Latents(expected)) => (got.data, expected.data),
        (got, expected) => return assert_eq!(got, expected),
    };
    assert_eq!(got.len(), expected.len(), "{kind}");
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() <= 1e-5 * largest, "{kind}: {got} is not {expected}");
    }
}

#[test]
fn stopped_or_refused_they_are_as_they_were() {
    for_each(|model, direction| {
        let (random, frame) = (&mut Random::new(73), model.frame_size());
        let clip = Clip::of(model, direction, 100, random);
        let expected = whole(model, direction, &clip);
        let mut stream = Stream::new(model, direction, 1).unwrap();
        let mut given = numbers(stream.push(&[Some(clip.part(frame, 0, 3).input())]).unwrap().remove(0));
        let (before, rest) = (stream.save(None).unwrap(), clip.part(frame, 3, 100));
        for nth in 0..2 {
            let asked = std::sync::atomic::AtomicUsize::new(0);
            let stop = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == nth;
            assert!(matches!(stream.push_until(&[Some(rest.input())], &stop), Err(Error::Interrupted)));
            assert!(stream.save(None).unwrap() == before);
        }
        assert!(matches!(stream.push(&[None, None]), Err(Error::Stream(_))));
        assert!(stream.save(None).unwrap() == before);
        given.extend(numbers(stream.push(&[Some(rest.input())]).unwrap().remove(0)));
        given.extend(numbers(stream.flush(None, Padding::Transformers).unwrap().remove(0)));
        assert_eq!(given, expected);
    });
}

#[test]
fn states_of_other_weights() {
    for (kind, config) in all() {
        let (one, other) = (checkpoint(kind, &config), super::TempDir::new());
        super::write(other.path(), &config, &[("model.safetensors", &super::tensors(kind, &config, 2))]);
        let [one, other] = [one, other].map(|directory| load(directory.path(), "cpu", 1));
        for direction in directions(&one) {
            let state = Stream::new(&one, direction, 1).unwrap().save(None).unwrap();
            match Stream::new(&other, direction, 1).unwrap().load(&state, None) {
                Err(Error::Stream(message)) => assert!(message.contains("other weights"), "{message}"),
                result => panic!("expected other weights to be noticed, got {result:?}"),
            }
        }
    }
}
