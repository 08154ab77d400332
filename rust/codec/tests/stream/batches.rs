//! Sessions side by side: each is as it would be alone, whatever the others do.

use mimi_codec::{Codes, MimiConfig};

use crate::fixture::*;

const SESSIONS: usize = 4;

/// Drives sessions with clips of different lengths: each turn each takes a piece, or nothing, or rests.
fn drive(
    random: &mut Random,
    lengths: &[usize],
    longest: usize,
    mut push: impl FnMut(&[Option<std::ops::Range<usize>>]),
) {
    let mut taken = vec![0; lengths.len()];
    while taken.iter().zip(lengths).any(|(taken, length)| taken < length) {
        let pieces: Vec<_> = (0..lengths.len())
            .map(|session| {
                let from = taken[session];
                let piece = random.below(longest).min(lengths[session] - from);
                let active = piece > 0 && random.below(3) > 0;
                active.then(|| {
                    taken[session] += piece;
                    from..from + piece
                })
            })
            .collect();
        push(&pieces);
    }
}

/// Codes all clips in one stream, and ends them.
pub(crate) fn encode(model: &Mimi, clips: &[Vec<f32>], seed: u64, longest: usize) -> Vec<Codes> {
    let all = model.num_codebooks();
    let mut stream = EncoderStream::new(model, clips.len(), all).unwrap();
    let mut codes = vec![Codes { codebooks: all, data: Vec::new() }; clips.len()];
    let lengths: Vec<usize> = clips.iter().map(Vec::len).collect();
    drive(&mut Random::new(seed), &lengths, longest, |pieces| {
        let inputs: Vec<_> =
            pieces.iter().zip(clips).map(|(piece, clip)| piece.clone().map(|range| &clip[range])).collect();
        let new = stream.push(&inputs).unwrap();
        assert_eq!(new.len(), clips.len());
        for ((codes, new), input) in codes.iter_mut().zip(new).zip(&inputs) {
            assert!(input.is_some() || new.data.is_empty(), "a session at rest gives nothing");
            codes.data.extend(new.data);
        }
    });
    // Ended in two goes, the second without a session that is ended.
    let half: Vec<bool> = (0..clips.len()).map(|session| session % 2 == 0).collect();
    let rest: Vec<bool> = half.iter().map(|first| !first).collect();
    for mask in [half, rest] {
        for (codes, last) in codes.iter_mut().zip(stream.flush(Some(&mask)).unwrap()) {
            codes.data.extend(last.data);
        }
    }
    codes
}

/// Decodes all clips in one stream.
pub(crate) fn decode(model: &Mimi, clips: &[Codes], seed: u64, longest: usize) -> Vec<Vec<f32>> {
    let mut stream = DecoderStream::new(model, clips.len()).unwrap();
    let mut pcm = vec![Vec::new(); clips.len()];
    let lengths: Vec<usize> = clips.iter().map(Codes::frames).collect();
    drive(&mut Random::new(seed), &lengths, longest, |pieces| {
        let inputs: Vec<_> =
            pieces.iter().zip(clips).map(|(piece, clip)| piece.clone().map(|range| frames(clip, range))).collect();
        for (pcm, new) in pcm.iter_mut().zip(stream.push(&inputs).unwrap()) {
            pcm.extend(new);
        }
    });
    pcm
}

fn clips(config: &MimiConfig, random: &mut Random) -> Vec<Vec<f32>> {
    let frame = config.frame_size();
    [0, 5 * frame + 1, 17 * frame, 40 * frame - 1].map(|samples| random.clip(samples)).into()
}

#[test]
fn encoder_sessions() {
    for config in tiny_configs() {
        let model = tiny(&config);
        let clips = clips(&config, &mut Random::new(9));
        let alone = |clip: &Vec<f32>| model.encode(clip, model.num_codebooks()).unwrap();
        let expected: Vec<Codes> = clips.iter().map(alone).collect();
        for (seed, frames) in [(1, 1), (2, 3), (3, 8), (4, 30)] {
            assert_eq!(encode(&model, &clips, seed, frames * config.frame_size() + 2), expected);
        }
    }
}

#[test]
fn decoder_sessions_with_codebooks_of_their_own() {
    for config in tiny_configs() {
        let model = tiny(&config);
        let random = &mut Random::new(10);
        let counts = [1, model.num_codebooks(), 2, 1];
        let lengths = [0, 7, 20, 33];
        let clips: Vec<Codes> =
            counts.iter().zip(lengths).map(|(&count, frames)| random.codes(&model, count, frames)).collect();
        let expected: Vec<Vec<u32>> = clips.iter().map(|codes| bits(&model.decode(codes).unwrap())).collect();
        for (seed, longest) in [(1, 2), (2, 5), (3, 40)] {
            let pcm = decode(&model, &clips, seed, longest);
            assert_eq!(pcm.iter().map(|pcm| bits(pcm)).collect::<Vec<_>>(), expected);
        }
    }
}

#[test]
fn the_demo_on_speech() {
    let model = demo("cpu", 2);
    let speech = speech(60_000);
    let clips = vec![speech[..25_000].to_vec(), speech[30_000..].to_vec(), speech[10_000..10_001].to_vec()];
    let codes = encode(&model, &clips, 1, 9000);
    let pcm = decode(&model, &codes, 2, 5);
    let alone = demo("cpu", 1);
    for ((clip, codes), pcm) in clips.iter().zip(&codes).zip(&pcm) {
        assert_eq!(codes, &alone.encode(clip, 16).unwrap());
        assert_eq!(bits(pcm), bits(&alone.decode(codes).unwrap()));
    }
}

#[test]
fn a_reset_session_begins_anew_and_the_others_go_on() {
    for config in tiny_configs() {
        let model = tiny(&config);
        let (frame, all) = (config.frame_size(), model.num_codebooks());
        let clips: Vec<Vec<f32>> = (0..SESSIONS as u64).map(|seed| Random::new(seed).clip(20 * frame + 3)).collect();
        let whole = |clip: &[f32]| model.encode(clip, all).unwrap();
        let mut stream = EncoderStream::new(&model, SESSIONS, all).unwrap();
        let fresh = stream.save().unwrap();
        let cut = 9 * frame + 1;
        let first = stream.push(&clips.iter().map(|clip| Some(&clip[..cut])).collect::<Vec<_>>()).unwrap();
        stream.flush(Some(&[true, false, false, false])).unwrap();
        stream.reset(Some(&[true, true, false, false])).unwrap();
        assert_eq!((stream.frames(), stream.pending()), (vec![0, 0, 9, 9], vec![0, 0, 1, 1]));

        let mut second = stream.push(&clips.iter().map(|clip| Some(&clip[cut..])).collect::<Vec<_>>()).unwrap();
        for (codes, last) in second.iter_mut().zip(stream.flush(None).unwrap()) {
            codes.data.extend(last.data);
        }
        for (session, clip) in clips.iter().enumerate() {
            if session < 2 {
                assert_eq!(second[session], whole(&clip[cut..]));
            } else {
                assert_eq!([&first[session].data[..], &second[session].data].concat(), whole(clip).data);
            }
        }
        stream.reset(None).unwrap();
        assert!(stream.save().unwrap() == fresh);

        let codes = Random::new(11).codes(&model, all, 6);
        let mut stream = DecoderStream::new(&model, 2).unwrap();
        let fresh = stream.save().unwrap();
        stream.push(&[Some(codes.clone()), Some(codes.clone())]).unwrap();
        stream.reset(Some(&[false, true])).unwrap();
        assert_eq!(stream.frames(), [6, 0]);
        let again = stream.push(&[None, Some(codes.clone())]).unwrap();
        assert_eq!(bits(&again[1]), bits(&model.decode(&codes).unwrap()));
        stream.reset(None).unwrap();
        assert!(stream.save().unwrap() == fresh);
    }
}

#[test]
fn a_copy_and_its_original_go_their_own_ways() {
    for config in tiny_configs() {
        let model = tiny(&config);
        let (frame, all) = (config.frame_size(), model.num_codebooks());
        let [start, one, other] = [1, 2, 3].map(|seed| Random::new(seed).clip(10 * frame + 1));
        let mut stream = EncoderStream::new(&model, 1, all).unwrap();
        let begun = stream.push(&[Some(&start)]).unwrap().remove(0);
        let mut copy = stream.copy().unwrap();
        assert_eq!((copy.sessions(), copy.codebooks(), copy.pending()), (1, all, vec![1]));
        // In turns, so that each could spoil the other.
        let mut ends = [begun.data.clone(), begun.data];
        for turn in 0..one.len() {
            for ((stream, clip), end) in [(&mut stream, &one), (&mut copy, &other)].into_iter().zip(&mut ends) {
                end.extend(stream.push(&[Some(&clip[turn..=turn])]).unwrap().remove(0).data);
            }
        }
        for ((stream, clip), mut end) in [(&mut stream, one), (&mut copy, other)].into_iter().zip(ends) {
            end.extend(stream.flush(None).unwrap().remove(0).data);
            let whole = model.encode(&[&start[..], &clip].concat(), all).unwrap();
            assert_eq!(end, whole.data);
        }

        let codes = Random::new(12).codes(&model, all, 20);
        let pcm = model.decode(&codes).unwrap();
        let mut stream = DecoderStream::new(&model, 1).unwrap();
        stream.push(&[Some(frames(&codes, 0..7))]).unwrap();
        let mut copy = stream.copy().unwrap();
        stream.push(&[Some(frames(&codes, 0..5))]).unwrap();
        let rest = copy.push(&[Some(frames(&codes, 7..20))]).unwrap().remove(0);
        assert_eq!(bits(&rest), bits(&pcm[7 * frame..]));
        assert_eq!((stream.frames(), copy.frames()), (vec![12], vec![20]));
    }
}
