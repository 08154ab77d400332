//! Streams saved as bytes and taken up again.

use mimi_codec::{Codes, Direction, Error, Input, Output, Padding, Stream};
use safetensors::SafeTensors;

use crate::fixture::*;

/// An encoder stream of two sessions in the middle of a frame, the second of them flushed.
pub(crate) fn encoder(model: &Mimi) -> EncoderStream {
    let frame = model.frame_size();
    let mut stream = EncoderStream::new(model, 2, 2).unwrap();
    let clip = Random::new(20).clip(7 * frame + 3);
    stream.push(&[Some(&clip), Some(&clip[..2 * frame + 1])]).unwrap();
    stream.flush(Some(&[false, true])).unwrap();
    stream
}

pub(crate) fn decoder(model: &Mimi) -> DecoderStream {
    let mut stream = DecoderStream::new(model, 2).unwrap();
    let codes = Random::new(21).codes(model, 2, 9);
    stream.push(&[Some(codes.clone()), Some(frames(&codes, 3..4))]).unwrap();
    stream
}

#[test]
fn a_loaded_stream_goes_on_where_the_saved_one_was() {
    for config in tiny_configs() {
        let model = tiny(&config);
        let frame = config.frame_size();
        let clip = Random::new(22).clip(30 * frame + 2);
        let whole = model.encode(&clip, 2).unwrap();
        for cut in [0, 1, frame, 7 * frame + 3, 30 * frame] {
            let mut first = EncoderStream::new(&model, 1, 2).unwrap();
            let mut codes = first.push(&[Some(&clip[..cut])]).unwrap().remove(0);
            let state = first.save().unwrap();
            let mut second = EncoderStream::new(&model, 1, 2).unwrap();
            // What it did before does not matter.
            second.push(&[Some(&clip[..5 * frame])]).unwrap();
            second.flush(None).unwrap();
            second.load(&state).unwrap();
            assert!(second.save().unwrap() == state);
            assert_eq!((second.frames(), second.pending()), (first.frames(), first.pending()));
            codes.data.extend(second.push(&[Some(&clip[cut..])]).unwrap().remove(0).data);
            codes.data.extend(second.flush(None).unwrap().remove(0).data);
            assert_eq!(codes, whole);
        }

        let pcm = model.decode(&whole).unwrap();
        for cut in [0, 1, 12, 25] {
            let mut first = DecoderStream::new(&model, 1).unwrap();
            first.push(&[Some(frames(&whole, 0..cut))]).unwrap();
            let state = first.save().unwrap();
            let mut second = DecoderStream::new(&model, 1).unwrap();
            second.load(&state).unwrap();
            assert!(second.save().unwrap() == state);
            assert_eq!(second.frames(), [cut as u64]);
            let rest = second.push(&[Some(frames(&whole, cut..whole.frames()))]).unwrap().remove(0);
            assert_eq!(bits(&rest), bits(&pcm[cut * frame..]));
        }
    }
}

#[test]
fn an_ended_session_is_ended_when_loaded() {
    let model = tiny(&tiny_configs()[0]);
    let mut stream = EncoderStream::new(&model, 2, 2).unwrap();
    stream.load(&encoder(&model).save().unwrap()).unwrap();
    assert!(stream.push(&[Some(&[0.0]), None]).is_ok());
    assert!(matches!(stream.push(&[None, Some(&[0.0])]), Err(Error::Stream(_))));
}

/// A call that must be refused with words, and leave the stream as it was.
fn refused(stream: &mut EncoderStream, state: &[u8], words: &str) {
    let before = stream.save().unwrap();
    match stream.load(state) {
        Err(Error::Stream(message)) => assert!(message.contains(words), "expected {words:?} in {message:?}"),
        other => panic!("expected a stream error with {words:?}, got {other:?}"),
    }
    assert!(stream.save().unwrap() == before);
}

#[test]
fn states_of_other_streams() {
    let configs = tiny_configs();
    let directory = checkpoint(&configs[0]);
    let model = load(directory.path(), "cpu", 1);
    let mut stream = encoder(&model);
    let state =
        |model: &Mimi, sessions, codebooks| EncoderStream::new(model, sessions, codebooks).unwrap().save().unwrap();
    refused(&mut stream, &decoder(&model).save().unwrap(), "codebooks \"any\" where \"2\" belongs");
    refused(&mut stream, &state(&model, 2, 3), "codebooks \"3\" where \"2\" belongs");
    refused(&mut stream, &state(&model, 3, 2), "[3]");
    refused(&mut stream, &state(&tiny(&configs[1]), 2, 2), "another configuration");
    let saved = encoder(&model).save().unwrap();
    assert!(matches!(decoder(&model).load(&saved), Err(Error::Stream(_))));
}

#[test]
fn states_of_an_older_release() {
    let model = tiny(&tiny_configs()[0]);
    let mut stream = encoder(&model);
    let state = stream.save().unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&state).unwrap();
    let entry = &metadata.metadata().as_ref().unwrap()["mimi_stream"];
    let old = entry.replace("mimi-codec stream 3", "mimi-codec stream 2");
    let tensors = SafeTensors::deserialize(&state).unwrap().tensors();
    let old = safetensors::serialize(tensors, Some([("mimi_stream".to_owned(), old)].into())).unwrap();
    refused(&mut stream, &old, "another release: format \"mimi-codec stream 2\" where \"mimi-codec stream 3\"");
}

#[test]
fn every_truncation() {
    let model = tiny(&tiny_configs()[0]);
    let (mut encoder, mut decoder) = (encoder(&model), decoder(&model));
    let (encoder_state, decoder_state) = (encoder.save().unwrap(), decoder.save().unwrap());
    for length in 0..encoder_state.len() {
        assert!(matches!(encoder.load(&encoder_state[..length]), Err(Error::Stream(_))), "{length} bytes");
    }
    for length in 0..decoder_state.len() {
        assert!(matches!(decoder.load(&decoder_state[..length]), Err(Error::Stream(_))), "{length} bytes");
    }
    refused(&mut encoder, &[&encoder_state[..], &[0]].concat(), "");
    assert!(encoder.save().unwrap() == encoder_state && decoder.save().unwrap() == decoder_state);
}

#[test]
fn flipped_bits_are_noticed() {
    let model = tiny(&tiny_configs()[0]);
    let state = encoder(&model).save().unwrap();
    let header = 8 + u64::from_le_bytes(state[..8].try_into().unwrap()) as usize;
    let random = &mut Random::new(23);
    let places: Vec<usize> =
        (0..header).chain((0..1500).map(|_| header + random.below(state.len() - header))).collect();
    for &at in &places {
        let mut damaged = state.clone();
        damaged[at] ^= 1 << random.below(8);
        let mut stream = EncoderStream::new(&model, 2, 2).unwrap();
        match stream.load(&damaged) {
            // What says the same in other words, such as a space in the header.
            Ok(()) => assert!(stream.save().unwrap() == state, "byte {at}"),
            Err(Error::Stream(_)) => {}
            Err(error) => panic!("expected a stream error, got {error}"),
        }
    }
}

/// A saved state with its checksum made anew.
fn sealed(mut state: Vec<u8>) -> Vec<u8> {
    let (header, metadata) = SafeTensors::read_metadata(&state).unwrap();
    let entry = &metadata.metadata().as_ref().unwrap()["mimi_stream"];
    let (old, description) = entry.split_once(' ').unwrap();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(description.as_bytes());
    hasher.update(&state[8 + header..]);
    let place = state.windows(old.len()).position(|bytes| bytes == old.as_bytes()).unwrap();
    state[place..place + old.len()].copy_from_slice(format!("{:08x}", hasher.finalize()).as_bytes());
    state
}

/// A saved state with other values in place of the last of a tensor's.
fn with_bytes(state: &[u8], name: &str, bytes: &[u8]) -> Vec<u8> {
    let (header, metadata) = SafeTensors::read_metadata(state).unwrap();
    let end = 8 + header + metadata.info(name).unwrap().data_offsets.1;
    let mut changed = state.to_vec();
    changed[end - bytes.len()..end].copy_from_slice(bytes);
    sealed(changed)
}

#[test]
fn values_that_cannot_be() {
    let model = tiny(&tiny_configs()[0]);
    let mut stream = encoder(&model);
    let state = stream.save().unwrap();
    for value in [f32::NAN, f32::INFINITY] {
        for name in ["slot.0", "slot.3", "pending"] {
            refused(&mut stream, &with_bytes(&state, name, &value.to_le_bytes()), "not finite");
        }
    }
    for name in ["frames", "ended", "pending_samples"] {
        refused(&mut stream, &with_bytes(&state, name, &(-1_i64).to_le_bytes()), name);
    }
    for samples in [1, model.frame_size() as i64, i64::MAX] {
        refused(&mut stream, &with_bytes(&state, "pending_samples", &samples.to_le_bytes()), "pending");
    }
    let fewer = with_bytes(&state, "pending_samples", &[2_i64.to_le_bytes(), 0_i64.to_le_bytes()].concat());
    refused(&mut stream, &fewer, "pending");
    refused(&mut stream, &with_bytes(&state, "ended", &2_i64.to_le_bytes()), "ended");
    refused(&mut stream, &with_bytes(&state, "frames", &i64::MAX.to_le_bytes()), "frames");
    stream.load(&state).unwrap();
}

#[test]
fn years_in_a_stream() {
    // The position is only a number: a stream goes on after more steps than will ever be.
    let model = tiny(&tiny_configs()[0]);
    let state = encoder(&model).save().unwrap();
    for position in [1_i64 << 31, 1 << 33, 1 << 53] {
        let mut stream = EncoderStream::new(&model, 2, 2).unwrap();
        stream.load(&with_bytes(&state, "frames", &[position.to_le_bytes(), position.to_le_bytes()].concat())).unwrap();
        let clip = Random::new(24).clip(40 * model.frame_size());
        let codes: Vec<Codes> = stream.push(&[Some(&clip), None]).unwrap();
        assert_eq!(codes[0].frames(), 40);
    }
}

/// Streams of four rows at positions of their own, some of them ended.
fn rows_of_their_own(model: &Mimi) -> [Stream; 2] {
    let (frame, all) = (model.frame_size(), model.num_codebooks());
    let (clip, codes) = (Random::new(25).clip(40 * frame), Random::new(26).codes(model, all, 40));
    let mut encoder = Stream::new(model, Direction::ToCodes(all), 4).unwrap();
    let mut decoder = Stream::new(model, Direction::FromCodes, 4).unwrap();
    for (row, length) in [3, 17, 0, 31].into_iter().enumerate() {
        let only = |input| (0..4).map(|other| if other == row { Some(input) } else { None }).collect::<Vec<_>>();
        encoder.push(&only(Input::Pcm(&clip[..length * frame + row]))).unwrap();
        let own = frames(&codes, 0..length);
        decoder.push(&only(Input::Codes(&own))).unwrap();
    }
    encoder.flush(Some(&[true, false, false, false]), Padding::Transformers).unwrap();
    [encoder, decoder]
}

/// What a stream goes on with, and what all its rows then are.
fn gone_on(stream: &mut Stream, rows: &[usize]) -> (Vec<Output>, Vec<u8>) {
    let (clip, codes) = (Random::new(27).clip(1000), Random::new(28).codes(stream.model(), 2, 9));
    let input = match stream.direction() {
        Direction::FromCodes => Input::Codes(&codes),
        _ => Input::Pcm(&clip),
    };
    let inputs: Vec<_> = (0..stream.rows()).map(|row| rows.contains(&row).then_some(input)).collect();
    let given = stream.push(&inputs).unwrap();
    (rows.iter().map(|&row| given[row].clone()).collect(), stream.save(Some(rows)).unwrap())
}

#[test]
fn rows_move_between_streams_of_any_size() {
    for config in tiny_configs() {
        let model = tiny(&config);
        for mut stream in rows_of_their_own(&model) {
            let moved = stream.save(Some(&[3, 1])).unwrap();
            let mut other = Stream::new(&model, stream.direction(), 3).unwrap();
            let untouched = other.save(Some(&[1])).unwrap();
            other.load(&moved, Some(&[0, 2])).unwrap();
            assert!(other.save(Some(&[0, 2])).unwrap() == moved);
            assert!(other.save(Some(&[1])).unwrap() == untouched);
            assert_eq!(other.frames(), [31, 0, 17]);
            assert_eq!(gone_on(&mut other, &[0, 2]), gone_on(&mut stream, &[3, 1]));

            // A row saved by itself is that row of all.
            let (one, all) = (stream.save(Some(&[2])).unwrap(), stream.save(None).unwrap());
            let mut copy = Stream::new(&model, stream.direction(), 4).unwrap();
            copy.load(&all, None).unwrap();
            assert!(copy.save(Some(&[2])).unwrap() == one);
            for rows in [&[4][..], &[0, 0], &[0, 9]] {
                assert!(matches!(copy.save(Some(rows)), Err(Error::Stream(_))), "{rows:?}");
                assert!(matches!(copy.load(&moved, Some(rows)), Err(Error::Stream(_))), "{rows:?}");
            }
            assert!(matches!(copy.load(&moved, Some(&[0])), Err(Error::Stream(_))));
            assert!(copy.save(None).unwrap() == all);
        }
    }
}

#[test]
fn the_saved_form_is_one_for_all_backends() {
    for config in tiny_configs() {
        let directory = checkpoint(&config);
        let [fast, plain] = ["cpu", "cpu-candle"].map(|device| load(directory.path(), device, 1));
        for mut stream in rows_of_their_own(&fast) {
            let state = stream.save(None).unwrap();
            let mut other = Stream::new(&plain, stream.direction(), 4).unwrap();
            other.load(&state, None).unwrap();
            assert!(other.save(None).unwrap() == state, "what is loaded is what is saved");
            // Rounding differs from here on: codes of frames are equal, samples nearly.
            for (got, expected) in gone_on(&mut other, &[1, 3]).0.iter().zip(&gone_on(&mut stream, &[1, 3]).0) {
                match (got, expected) {
                    (Output::Pcm(got), Output::Pcm(expected)) => crate::backends::assert_near(got, expected),
                    _ => assert_eq!(got, expected),
                }
            }
        }
    }
}
