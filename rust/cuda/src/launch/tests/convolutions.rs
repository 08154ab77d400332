//! Convolutions of each channel by itself, step by step, with rows that rest, begin and end.

use mimi_kernels::{self as kernels, Activation, Epilogue, Threads, simd::Level};

use super::{Device, Fault, Memory, NO_FAULTS, Numbers, States, assert_bits, assert_untouched, in_both_orders, only};
use crate::launch::{Depthwise, Edge, Rows, Upsample, depthwise, upsample};

/// A depthwise convolution to be tried.
#[derive(Clone, Copy, Debug)]
struct Shape {
    channels: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    edge: Edge,
    extras: bool,
}

/// Where the history lies in a row's state: other layers have theirs before.
const AT: usize = 3;

/// Appends to each row's clip, in steps of different lengths of which some rows rest, and holds the outputs and what is
/// remembered against one convolution of each clip so far.
fn stream(device: &Device, level: Level, shape: Shape, seed: u64) {
    let Shape { channels, kernel, stride, dilation, edge, extras } = shape;
    let mut numbers = Numbers(seed);
    let taps = numbers.take(kernel * channels);
    let bias = extras.then(|| numbers.take(channels));
    let activation = extras.then_some(Activation::Elu);
    let weights = kernels::Depthwise { taps: &taps, bias: bias.as_deref(), channels, stride, dilation };
    let history = weights.history();
    let (taps_memory, bias_memory) = (Memory::of(&taps), bias.as_ref().map(|bias| Memory::of(bias)));
    let rows = 3;
    let mut states = States::new(rows, AT + 2 * history * channels);
    let mut clips: Vec<Vec<f32>> = vec![Vec::new(); rows];
    // The last one is the end of the clips, with a part of a stride.
    for (number, units) in [1, 2, 1, 5, 1, 3].into_iter().enumerate() {
        let resting: &[usize] = [&[][..], &[1], &[0, 2], &[], &[1], &[]][number];
        let steps = if number == 5 && stride > 1 { units * stride - 1 } else { units * stride };
        let outputs = steps.div_ceil(stride);
        let x = numbers.take(rows * steps * channels);
        let residual = extras.then(|| numbers.take(rows * outputs * channels));
        let (x_memory, out) = (Memory::of(&x), Memory::new(rows * outputs * channels * 4));
        let residual_memory = residual.as_ref().map(|residual| Memory::of(residual));
        let sessions = states.with_resting(resting);
        let own = Depthwise {
            channels,
            kernel,
            stride,
            dilation,
            edge,
            activation,
            taps: taps_memory.span(),
            bias: bias_memory.as_ref().map(Memory::span),
            history_at: AT,
            x: x_memory.span(),
            residual: residual_memory.as_ref().map(Memory::span),
            out: out.span(),
            faults: device.faults.span(),
        };
        assert_eq!(own.history(), history);
        device.run(depthwise::prepare(&Rows { sessions: Some(sessions.span()), rows, steps }, &own).unwrap());
        assert_eq!(device.faults(), NO_FAULTS, "{shape:?}");
        let got = out.read::<f32>();
        for row in 0..rows {
            let got = &got[row * outputs * channels..][..outputs * channels];
            if resting.contains(&row) {
                assert_untouched(got, "a row that rests");
                continue;
            }
            let clip = &mut clips[row];
            let before = clip.len() / channels / stride;
            clip.extend_from_slice(&x[row * steps * channels..][..steps * channels]);
            let mut filled = clip.clone();
            let last = clip[clip.len() - channels..].to_vec();
            while !(filled.len() / channels).is_multiple_of(stride) {
                filled.extend(last.iter().map(|&last| if edge == Edge::Replicate { last } else { 0.0 }));
            }
            let first = if edge == Edge::Replicate { clip[..channels].to_vec() } else { vec![0.0; channels] };
            let all = filled.len() / channels / stride;
            let mut expected = vec![0.0; all * channels];
            let mut all_residual = vec![0.0; before * channels];
            if let Some(residual) = &residual {
                all_residual.extend_from_slice(&residual[row * outputs * channels..][..outputs * channels]);
            }
            let epilogue = Epilogue { residual: residual.as_ref().map(|_| all_residual.as_slice()), activation };
            let threads = Threads::new(1);
            kernels::depthwise(level, &weights, &first.repeat(history), &filled, epilogue, &mut expected, &threads);
            assert_bits(got, &expected[before * channels..], &format!("{shape:?}, step {number}, row {row}"));
            let kept = &states.memory[row].read::<f32>()[AT..]
                [(1 - states.sessions[row].parity) as usize * history * channels..];
            let mut seen = first.repeat(history);
            seen.extend_from_slice(&filled);
            assert_bits(&kept[..history * channels], &seen[seen.len() - history * channels..], "what is remembered");
        }
        states.advance(resting, 1);
    }
    for (memory, clip) in states.memory.iter().zip(&clips) {
        assert!(!clip.is_empty());
        assert_untouched(&memory.read::<f32>()[..AT], "another layer's history");
    }
}

#[test]
fn depthwise_convolutions() {
    in_both_orders(|device, level| {
        let shapes = [
            (1, 1, 1, 1),
            (3, 3, 1, 1),
            (16, 7, 1, 1),
            (17, 4, 2, 1),
            (5, 3, 1, 3),
            (4, 3, 2, 2),
            (8, 2, 4, 1),
            (40, 7, 1, 2),
            (64, 16, 8, 1),
        ];
        for (seed, (channels, kernel, stride, dilation)) in shapes.into_iter().enumerate() {
            for edge in [Edge::Zero, Edge::Replicate] {
                for extras in [false, true] {
                    let shape = Shape { channels, kernel, stride, dilation, edge, extras };
                    stream(device, level, shape, seed as u64);
                }
            }
        }
    });
}

#[test]
fn without_sessions_nothing_lies_before_a_clip() {
    in_both_orders(|device, level| {
        let (channels, kernel, steps) = (6, 5, 9);
        let mut numbers = Numbers(9);
        let (taps, x) = (numbers.take(kernel * channels), numbers.take(2 * steps * channels));
        let (taps_memory, x_memory, out) = (Memory::of(&taps), Memory::of(&x), Memory::new(2 * steps * channels * 4));
        let own = Depthwise {
            channels,
            kernel,
            stride: 1,
            dilation: 1,
            edge: Edge::Zero,
            activation: None,
            taps: taps_memory.span(),
            bias: None,
            history_at: 0,
            x: x_memory.span(),
            residual: None,
            out: out.span(),
            faults: device.faults.span(),
        };
        device.run(depthwise::prepare(&Rows { sessions: None, rows: 2, steps }, &own).unwrap());
        let weights = kernels::Depthwise { taps: &taps, bias: None, channels, stride: 1, dilation: 1 };
        for (x, got) in x.chunks(steps * channels).zip(out.read::<f32>().chunks(steps * channels)) {
            let mut expected = vec![0.0; steps * channels];
            let zeros = vec![0.0; (kernel - 1) * channels];
            kernels::depthwise(level, &weights, &zeros, x, Epilogue::default(), &mut expected, &Threads::new(1));
            assert_bits(got, &expected, "a clip");
        }
    });
}

#[test]
fn inputs_that_would_be_remembered_must_be_finite() {
    in_both_orders(|device, _| {
        let (channels, kernel, steps, rows) = (4, 3, 5, 2);
        let taps = Memory::of(&vec![1.0_f32; kernel * channels]);
        let states = States::new(rows, 2 * (kernel - 1) * channels);
        let out = Memory::new(rows * steps * channels * 4);
        let up_taps = Memory::of(&vec![1.0_f32; 3 * channels]);
        // (step, whether it is among the last two, which are remembered)
        for (step, remembered) in [(0, false), (2, false), (3, true), (4, true)] {
            for value in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
                let mut x = vec![0.5_f32; rows * steps * channels];
                x[(steps + step) * channels + 3] = value;
                let x = Memory::of(&x);
                let own = Depthwise {
                    channels,
                    kernel,
                    stride: 1,
                    dilation: 1,
                    edge: Edge::Zero,
                    activation: None,
                    taps: taps.span(),
                    bias: None,
                    history_at: 0,
                    x: x.span(),
                    residual: None,
                    out: out.span(),
                    faults: device.faults.span(),
                };
                let up = Upsample {
                    channels,
                    stride: 1,
                    history: 2,
                    taps: up_taps.span(),
                    history_at: 0,
                    x: x.span(),
                    residual: None,
                    out: out.span(),
                    faults: device.faults.span(),
                };
                for (resting, expected) in [(&[][..], remembered), (&[1][..], false)] {
                    let sessions = states.with_resting(resting);
                    let of_step = Rows { sessions: Some(sessions.span()), rows, steps };
                    device.run(depthwise::prepare(&of_step, &own).unwrap());
                    assert_eq!(device.faults(), only(Fault::Convolution, expected.into()), "{value} at {step}");
                    device.run(upsample::prepare(&of_step, &up).unwrap());
                    assert_eq!(
                        device.faults(),
                        only(Fault::Convolution, expected.into()),
                        "{value} at {step}, upsampled"
                    );
                }
            }
        }
    });
}

#[test]
fn upsampling() {
    in_both_orders(|device, level| {
        for (channels, stride, history) in [(1, 1, 0), (5, 2, 1), (16, 2, 1), (33, 3, 2), (64, 4, 3)] {
            let mut numbers = Numbers(7);
            let taps = numbers.take((history + 1) * stride * channels);
            let weights = kernels::DepthwiseUpsample { taps: &taps, channels, stride };
            let taps_memory = Memory::of(&taps);
            let rows = 3;
            let mut states = States::new(rows, AT + 2 * history * channels);
            let mut clips: Vec<Vec<f32>> = vec![Vec::new(); rows];
            for (number, steps) in [1, 1, 2, 7, 1].into_iter().enumerate() {
                let resting: &[usize] = [&[][..], &[1], &[], &[0], &[]][number];
                let (x, width) = (numbers.take(rows * steps * channels), steps * stride * channels);
                let residual = (number % 2 == 0).then(|| numbers.take(rows * width));
                let residual_memory = residual.as_ref().map(|residual| Memory::of(residual));
                let (x_memory, out) = (Memory::of(&x), Memory::new(rows * width * 4));
                let sessions = states.with_resting(resting);
                let own = Upsample {
                    channels,
                    stride,
                    history,
                    taps: taps_memory.span(),
                    history_at: AT,
                    x: x_memory.span(),
                    residual: residual_memory.as_ref().map(Memory::span),
                    out: out.span(),
                    faults: device.faults.span(),
                };
                device.run(upsample::prepare(&Rows { sessions: Some(sessions.span()), rows, steps }, &own).unwrap());
                assert_eq!(device.faults(), NO_FAULTS);
                let got = out.read::<f32>();
                for row in 0..rows {
                    let got = &got[row * width..][..width];
                    if resting.contains(&row) {
                        assert_untouched(got, "a row that rests");
                        continue;
                    }
                    clips[row].extend_from_slice(&x[row * steps * channels..][..steps * channels]);
                    let mut all = vec![0.0; clips[row].len() * stride];
                    kernels::upsample(level, &weights, &vec![0.0; history * channels], &clips[row], &mut all);
                    let mut expected = all[all.len() - width..].to_vec();
                    if let Some(residual) = &residual {
                        expected.iter_mut().zip(&residual[row * width..]).for_each(|(sum, residual)| *sum += residual);
                    }
                    assert_bits(got, &expected, &format!("{channels} channels, stride {stride}, step {number}"));
                }
                states.advance(resting, 1);
            }
        }
    });
}
