//! Causal convolution.

use super::*;
use crate::ops::{ConvShape, Edge};

fn shape((c_in, c_out): (usize, usize), (kernel, stride, dilation): (usize, usize, usize), edge: Edge) -> ConvShape {
    ConvShape { c_in, c_out, kernel, stride, dilation, groups: 1, edge, rows_per_frame: 16, activation: None }
}

/// What a convolution gives for a whole clip `(steps, c_in)`, by its definition.
fn definition(shape: &ConvShape, weight: &[f32], bias: Option<&[f32]>, x: &[f32]) -> Vec<f32> {
    let ConvShape { c_in, c_out, kernel, stride, dilation, groups, edge, .. } = *shape;
    let (group_in, group_out) = (c_in / groups, c_out / groups);
    let steps = x.len() / c_in;
    let before = ((kernel - 1) * dilation + 1).saturating_sub(stride);
    let at = |step: isize, channel: usize| match (edge, usize::try_from(step)) {
        (_, Ok(step)) if step < steps => x[step * c_in + channel],
        (Edge::Zero, _) => 0.0,
        (Edge::Replicate, Ok(_)) => x[(steps - 1) * c_in + channel],
        (Edge::Replicate, Err(_)) => x[channel],
    };
    let mut out = Vec::new();
    for t in 0..steps.div_ceil(stride) {
        for n in 0..c_out {
            let mut sum = bias.map_or(0.0, |bias| bias[n]);
            for k in 0..kernel {
                let step = (t * stride + k * dilation) as isize - before as isize;
                for channel in 0..group_in {
                    let input = n / group_out * group_in + channel;
                    sum += weight[(n * group_in + channel) * kernel + k] * at(step, input);
                }
            }
            out.push(sum);
        }
    }
    out
}

/// Shapes as the codecs have them, and such as other configurations could.
fn shapes() -> Vec<ConvShape> {
    let zero = |channels, window| shape(channels, window, Edge::Zero);
    let grouped = |channels, window, groups, edge| ConvShape { groups, ..shape(channels, window, edge) };
    vec![
        zero((1, 1), (1, 1, 1)),
        zero((1, 8), (7, 1, 1)),
        zero((5, 7), (1, 1, 1)),
        zero((4, 4), (3, 1, 1)),
        zero((4, 2), (3, 1, 2)),
        zero((3, 5), (3, 1, 9)),
        zero((2, 3), (6, 1, 3)),
        zero((8, 16), (8, 4, 1)),
        zero((3, 2), (6, 3, 1)),
        zero((3, 17), (2, 1, 1)),
        zero((2, 3), (3, 3, 1)),
        zero((2, 3), (2, 3, 1)),
        zero((40, 40), (5, 2, 1)),
        shape((3, 5), (4, 2, 1), Edge::Replicate),
        shape((6, 6), (6, 3, 1), Edge::Replicate),
        shape((1, 2), (7, 2, 1), Edge::Replicate),
        grouped((8, 8), (7, 1, 1), 8, Edge::Zero),
        grouped((17, 17), (3, 1, 3), 17, Edge::Zero),
        grouped((5, 5), (6, 2, 1), 5, Edge::Replicate),
        grouped((3, 3), (1, 1, 1), 3, Edge::Zero),
        grouped((4, 4), (2, 3, 1), 4, Edge::Zero),
        grouped((6, 4), (3, 1, 1), 2, Edge::Zero),
        grouped((3, 6), (4, 2, 2), 3, Edge::Zero),
        // With enough work for two threads.
        zero((64, 64), (7, 1, 1)),
        grouped((300, 300), (7, 1, 1), 300, Edge::Zero),
    ]
}

#[test]
fn blocks_of_all_sessions_are_the_whole_clip() {
    for (seed, shape) in shapes().into_iter().enumerate() {
        // The last block lacks from nothing to all but one step of its last stride.
        for missing in 0..shape.stride {
            let random = &mut Random::new(seed as u64);
            let weight = random.eighths(shape.c_out * shape.c_in / shape.groups * shape.kernel);
            let bias = (seed % 3 > 0).then(|| random.eighths(shape.c_out));
            let mut made =
                made(SESSIONS, |backend, layout| backend.conv(layout, shape, Weights::of(&weight, bias.as_deref())));
            let mut clips: [Vec<f32>; SESSIONS] = Default::default();
            let mut given: [Vec<f32>; SESSIONS] = Default::default();
            for cut in &CUTS {
                let steps = cut.strides * shape.stride - if cut.end { missing } else { 0 };
                let x = random.eighths(cut.rows.len() * steps * shape.c_in);
                let x_tensor = signal(&x, (cut.rows.len(), steps, shape.c_in));
                let outs = made
                    .each_mut()
                    .map(|made| made.run(steps, cut, |conv, block| conv.forward(&x_tensor, None, block)));
                let out = agree(&outs, |_| 0.0, &format!("{shape:?}"));
                for (i, &row) in cut.rows.iter().enumerate() {
                    clips[row].extend(&x[i * steps * shape.c_in..][..steps * shape.c_in]);
                    given[row].extend(&out[i * out.len() / cut.rows.len()..][..out.len() / cut.rows.len()]);
                }
            }
            for (clip, given) in clips.iter().zip(&given) {
                assert_eq!(given, &definition(&shape, &weight, bias.as_deref(), clip), "{shape:?}, {missing} missing");
            }
        }
    }
}

#[test]
fn a_session_that_is_reset_begins_anew() {
    for edge in [Edge::Zero, Edge::Replicate] {
        let shape = shape((3, 4), (6, 2, 1), edge);
        let random = &mut Random::new(41);
        let (weight, bias) = (random.eighths(3 * 4 * 6), random.eighths(4));
        let mut made = made(2, |backend, layout| backend.conv(layout, shape, Weights::of(&weight, Some(&bias))));
        let both = Cut { rows: &[0, 1], strides: 4, end: false };
        let (first, second) = (random.eighths(2 * 8 * 3), random.eighths(2 * 8 * 3));
        for made in &mut made {
            made.run(8, &both, |conv, block| conv.forward(&signal(&first, (2, 8, 3)), None, block));
            made.state.reset(&[1]).unwrap();
            let out = made.run(8, &both, |conv, block| conv.forward(&signal(&second, (2, 8, 3)), None, block));
            let went_on = [&first[..24], &second[..24]].concat();
            let expected = [
                &definition(&shape, &weight, Some(&bias), &went_on)[4 * 4..],
                &definition(&shape, &weight, Some(&bias), &second[24..]),
            ];
            assert_eq!(floats(&out), expected.concat(), "{} {edge:?}", made.name);
        }
    }
}

#[test]
fn residual_and_activation() {
    for activation in dense::ACTIVATIONS {
        for (c_in, c_out, kernel, groups) in [(4, 4, 1, 1), (3, 9, 3, 1), (9, 9, 3, 9)] {
            let shape = shape((c_in, c_out), (kernel, 1, 1), Edge::Zero);
            let shape = ConvShape { activation: Some(activation), groups, ..shape };
            let random = &mut Random::new(42);
            let (weight, bias) = (random.eighths(c_out * c_in / groups * kernel), random.eighths(c_out));
            let mut made =
                made(SESSIONS, |backend, layout| backend.conv(layout, shape, Weights::of(&weight, Some(&bias))));
            for (i, cut) in CUTS.iter().enumerate() {
                let x =
                    signal(&random.eighths(cut.rows.len() * cut.strides * c_in), (cut.rows.len(), cut.strides, c_in));
                let residual = random.eighths(cut.rows.len() * cut.strides * c_out);
                let residual = signal(&residual, (cut.rows.len(), cut.strides, c_out));
                let residual = (i % 2 == 0).then_some(&residual);
                let outs = made
                    .each_mut()
                    .map(|made| made.run(cut.strides, cut, |conv, block| conv.forward(&x, residual, block)));
                agree(&outs, dense::activation_error, &format!("{shape:?}"));
            }
        }
    }
}

#[test]
fn a_block_in_pieces_is_a_block() {
    for shape in shapes().into_iter().filter(|shape| shape.edge == Edge::Replicate) {
        let random = &mut Random::new(14);
        let weight = random.eighths(shape.c_out * shape.c_in / shape.groups * shape.kernel);
        let steps = 9 * shape.stride;
        let x = signal(&random.eighths(2 * steps * shape.c_in), (2, steps, shape.c_in));
        let make = |backend: &dyn Backend, memory: &mut Slots| backend.conv(memory, shape, Weights::of(&weight, None));
        for (whole, cut) in made(2, make).into_iter().zip(made(2, make)) {
            let at_once = whole.operation.forward(&x, None, &Block::new(&whole.state, &[0, 1], false)).unwrap();
            let block = Block::new(&cut.state, &[0, 1], false);
            // The first input is repeated before the first piece alone.
            let pieces = (0..9).step_by(3).map(|frame| {
                let part = x
                    .tensor()
                    .unwrap()
                    .narrow(1, frame * shape.stride, 3 * shape.stride)
                    .unwrap()
                    .contiguous()
                    .unwrap();
                let block = block.piece(0..2, frame, frame == 6);
                cut.operation.forward(&signal_of(&part), None, &block).unwrap()
            });
            let pieces: Vec<Signal> = pieces.collect();
            let pieces: Vec<&Tensor> = pieces.iter().map(|piece| piece.tensor().unwrap()).collect();
            let in_pieces = Tensor::cat(&pieces, 1).unwrap();
            assert_eq!(floats(&signal_of(&in_pieces)), floats(&at_once), "{}: {shape:?}", whole.name);
        }
    }
}
