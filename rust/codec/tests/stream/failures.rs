//! Calls that fail: the error says why, and the stream is as it was.

use mimi_codec::{Codes, Device, Dtype, Error, Latents, LoadOptions, Parts};

use crate::fixture::*;

/// Calls that must fail, each with the error's kind and words of its message.
macro_rules! fails {
    ($stream:ident, $($call:expr => $kind:ident, $words:expr;)*) => {
        let before = $stream.save().unwrap();
        $(
            match $call {
                Err(Error::$kind(message)) => assert!(message.contains($words), "{message:?} without {:?}", $words),
                Err(other) => panic!("expected {} with {:?}, got {other:?}", stringify!($kind), $words),
                Ok(_) => panic!("expected {} with {:?}", stringify!($kind), $words),
            }
            assert!($stream.save().unwrap() == before, "changed by {}", stringify!($call));
        )*
    };
}

#[test]
fn encoder_stream() {
    for config in tiny_configs() {
        let model = tiny(&config);
        let frame = config.frame_size();
        let clip = Random::new(30).clip(20 * frame + 1);
        let mut stream = EncoderStream::new(&model, 3, 2).unwrap();
        let cut = 5 * frame + 2;
        let first = stream.push(&[Some(&clip[..cut]), Some(&clip[..3 * frame]), None]).unwrap();
        stream.flush(Some(&[false, false, true])).unwrap();

        let mut bad = clip.clone();
        bad[20 * frame] = f32::NAN;
        let mut infinite = clip.clone();
        infinite[7] = f32::NEG_INFINITY;
        fails!(stream,
            stream.push(&[Some(&clip), Some(&bad), None]) => Audio, &format!("NaN at sample {}", 20 * frame);
            stream.push(&[None, Some(&infinite), None]) => Audio, "-inf at sample 7";
            stream.push(&[Some(&clip), None]) => Stream, "input for 3 sessions, got 2";
            stream.push(&[]) => Stream, "got 0";
            stream.push(&[Some(&clip), None, Some(&clip)]) => Stream, "session 2 after its flush";
            stream.push(&[None, None, Some(&[])]) => Stream, "reset";
            stream.flush(None) => Stream, "session 2 after its flush";
            stream.flush(Some(&[true, false, true])) => Stream, "session 2";
            stream.flush(Some(&[true])) => Stream, "a mask of 3 sessions, got 1";
            stream.reset(Some(&[true; 4])) => Stream, "a mask of 3 sessions, got 4";
            stream.load(b"") => Stream, "saved state";
        );
        // And calls that do nothing.
        let before = stream.save().unwrap();
        stream.push(&[None, None, None]).unwrap();
        stream.push(&[Some(&[]), None, None]).unwrap();
        stream.flush(Some(&[false; 3])).unwrap();
        stream.reset(Some(&[false; 3])).unwrap();
        assert!(stream.save().unwrap() == before);

        let second = stream.push(&[Some(&clip[cut..]), None, None]).unwrap();
        let last = stream.flush(Some(&[true, false, false])).unwrap();
        let codes = [&first[0].data[..], &second[0].data, &last[0].data].concat();
        assert_eq!(codes, model.encode(&clip, 2).unwrap().data);
    }
}

#[test]
fn decoder_stream() {
    for config in tiny_configs() {
        let model = tiny(&config);
        let (random, all) = (&mut Random::new(31), model.num_codebooks());
        let codes = random.codes(&model, 2, 20);
        let with = |at: usize, code| {
            let mut data = codes.data.clone();
            data[at] = code;
            Some(Codes { codebooks: 2, data })
        };
        let (entries, good) = (config.codebook_size as u32, || Some(codes.clone()));
        let mut stream = DecoderStream::new(&model, 2).unwrap();
        stream.push(&[Some(frames(&codes, 0..3)), None]).unwrap();
        fails!(stream,
            stream.push(&[good(), with(31, entries)]) => Codes, "in codebook 1, frame 15";
            stream.push(&[with(0, u32::MAX), None]) => Codes, "got 4294967295 in codebook 0, frame 0";
            stream.push(&[good(), Some(Codes { codebooks: 2, data: vec![0; 3] })]) => Codes, "got 3 codes";
            stream.push(&[good(), Some(Codes { codebooks: 0, data: vec![] })]) => Codes, "got 0";
            stream.push(&[good(), Some(random.codes(&model, all, 1)).map(|codes| Codes { codebooks: all + 1, ..codes })]) => Codes, &format!("got {}", all + 1);
            stream.push(&[good()]) => Stream, "input for 2 sessions, got 1";
            stream.reset(Some(&[])) => Stream, "a mask of 2 sessions, got 0";
            stream.load(&[1, 2, 3]) => Stream, "saved state";
        );
        let rest = stream.push(&[Some(frames(&codes, 3..20)), None]).unwrap();
        let whole = model.decode(&codes).unwrap();
        assert_eq!(bits(&rest[0]), bits(&whole[3 * config.frame_size()..]));
        assert!(rest[1].is_empty());
    }
}

/// The message of an error of one kind.
macro_rules! message {
    ($kind:ident, $call:expr) => {
        match $call {
            Err(Error::$kind(message)) => message,
            Err(other) => panic!("expected {}, got {other:?}", stringify!($kind)),
            Ok(_) => panic!("expected {}", stringify!($kind)),
        }
    };
}

#[test]
fn whole_clips() {
    let config = &tiny_configs()[0];
    let model = tiny(config);
    let (clip, all) = (Random::new(32).clip(100), model.num_codebooks());
    let nan = [0.0, f32::NAN];
    assert!(message!(Audio, model.encode(&nan, 1)).contains("NaN at sample 1"));
    assert!(message!(Audio, model.encode_latents(&nan)).contains("sample 1"));
    for count in [0, all + 1] {
        let words = format!("expected between 1 and {all} codebooks ({all} are loaded), got {count}");
        assert_eq!(message!(Codes, model.encode(&clip, count)), words);
        assert_eq!(message!(Codes, model.latents_to_codes(&Latents { dim: 16, data: vec![0.0; 16] }, count)), words);
        assert_eq!(message!(Codes, EncoderStream::new(&model, 1, count)), words);
        let codes = Codes { codebooks: count, data: vec![0; count] };
        assert_eq!(message!(Codes, model.decode(&codes)), words);
        assert_eq!(message!(Codes, model.codes_to_latents(&codes)), words);
    }
    let latents = |dim: usize, data: &[f32]| Latents { dim, data: data.to_vec() };
    for wrong in [latents(15, &[0.0; 15]), latents(16, &[0.0; 17]), latents(16, &[f32::NAN; 16])] {
        message!(Latents, model.decode_latents(&wrong));
        message!(Latents, model.latents_to_codes(&wrong, 1));
    }
    message!(Stream, EncoderStream::new(&model, 0, 1));
    message!(Stream, DecoderStream::new(&model, 0));

    // Nothing is a clip, too.
    assert_eq!(model.encode(&[], 3).unwrap(), Codes { codebooks: 3, data: vec![] });
    assert!(model.decode(&Codes { codebooks: 3, data: vec![] }).unwrap().is_empty());
    assert_eq!(model.encode_latents(&[]).unwrap(), latents(16, &[]));
    assert!(model.decode_latents(&latents(16, &[])).unwrap().is_empty());
    assert_eq!(model.latents_to_codes(&latents(16, &[]), 2).unwrap().frames(), 0);
    assert_eq!(model.codes_to_latents(&Codes { codebooks: 1, data: vec![] }).unwrap(), latents(16, &[]));
}

#[test]
fn halves_of_a_codec() {
    let directory = checkpoint(&tiny_configs()[0]);
    let load = |parts| {
        Mimi::load(directory.path(), &LoadOptions { parts, num_codebooks: Some(3), ..Default::default() }).unwrap()
    };
    let (both, encoder, decoder) = (load(Parts::Both), load(Parts::Encoder), load(Parts::Decoder));
    assert_eq!((encoder.has_encoder(), encoder.has_decoder(), encoder.num_codebooks()), (true, false, 3));
    assert_eq!((decoder.has_encoder(), decoder.has_decoder(), decoder.num_codebooks()), (false, true, 3));
    assert!(encoder.weight_bytes() < both.weight_bytes() && decoder.weight_bytes() < both.weight_bytes());

    let clip = Random::new(33).clip(333);
    let codes = both.encode(&clip, 3).unwrap();
    assert_eq!(encoder.encode(&clip, 3).unwrap(), codes);
    assert_eq!(bits(&decoder.decode(&codes).unwrap()), bits(&both.decode(&codes).unwrap()));

    fn refused<T>(result: mimi_codec::Result<T>) -> bool {
        matches!(result, Err(Error::Config { field, .. }) if field == "parts")
    }
    assert!(refused(encoder.decode(&codes)));
    assert!(refused(encoder.codes_to_latents(&codes)));
    assert!(refused(DecoderStream::new(&encoder, 1)));
    assert!(refused(decoder.encode(&clip, 3)));
    assert!(refused(decoder.latents_to_codes(&Latents { dim: 16, data: vec![0.0; 16] }, 1)));
    assert!(refused(EncoderStream::new(&decoder, 1, 1)));
}

#[test]
fn options_that_are_not_supported() {
    let directory = checkpoint(&tiny_configs()[2]);
    let load = |options| Mimi::load(directory.path(), &options);
    assert!(matches!("int3".parse::<Dtype>(), Err(Error::Config { field, .. }) if field == "dtype"));
    for device in ["abacus", "cpu:0", "cuda-candle:", "metal-candle:x"] {
        assert!(message!(Device, device.parse::<Device>()).contains(device));
    }
    let error = load(LoadOptions { dtype: Dtype::Int8, device: Device::CandleCpu, ..Default::default() });
    assert!(matches!(error, Err(Error::Config { field, .. }) if field == "dtype"));
    for count in [0, 3] {
        assert!(load(LoadOptions { num_codebooks: Some(count), ..Default::default() }).is_err(), "{count} codebooks");
    }
}
