//! Norms, element-wise passes, and entries of codebooks.

use mimi_kernels::{self as kernels, Activation, Threads};

use super::{Device, Fault, Memory, NO_FAULTS, Numbers, States, assert_bits, assert_untouched, in_both_orders, only};
use crate::launch::{Entries, Norm, Normalise, Rows, Runs, entries, norm, pointwise};

const ACTIVATIONS: [Activation; 5] =
    [Activation::Elu, Activation::GeluErf, Activation::GeluTanh, Activation::Silu, Activation::Clamp];

/// Runs what takes `(rows, steps, channels)` to the same, of which a row rests, and holds it against what the CPU makes of
/// all steps.
fn compare<A: Copy>(
    device: &Device,
    (rows, steps, channels): (usize, usize, usize),
    x: &[f32],
    launch: impl Fn(&Rows<'_>, crate::Span<'_>, crate::Span<'_>) -> crate::Result<Option<crate::launch::Launch<A>>>,
    on_cpu: impl Fn(&[f32], &mut [f32]),
    what: &str,
) {
    let length = steps * channels;
    let mut expected = vec![0.0; rows * length];
    on_cpu(x, &mut expected);
    let x = Memory::of(x);
    let out = Memory::new(size_of_val(expected.as_slice()));
    let all = Rows { sessions: None, rows, steps };
    device.run(launch(&all, x.span(), out.span()).unwrap());
    assert_bits(&out.read::<f32>(), &expected, what);

    let states = States::new(rows, 1);
    let (sessions, out) = (states.with_resting(&[rows / 2]), Memory::new(size_of_val(expected.as_slice())));
    let some = Rows { sessions: Some(sessions.span()), rows, steps };
    device.run(launch(&some, x.span(), out.span()).unwrap());
    for (row, (got, expected)) in out.read::<f32>().chunks(length).zip(expected.chunks(length)).enumerate() {
        if row == rows / 2 {
            assert_untouched(got, what);
        } else {
            assert_bits(got, expected, what);
        }
    }
}

#[test]
fn norms() {
    in_both_orders(|device, level| {
        let mut numbers = Numbers(1);
        for (rows, steps, channels) in
            [(1, 1, 1), (2, 3, 7), (3, 1, 16), (1, 5, 33), (5, 2, 64), (2, 2, 100), (1, 2, 512)]
        {
            let x: Vec<f32> = numbers.take(rows * steps * channels).iter().map(|x| x * 3.0 + 0.5).collect();
            let (weight, bias) = (numbers.take(channels), numbers.take(channels));
            let (weights, biases) = (Memory::of(&weight), Memory::of(&bias));
            let (weight_at, bias_at, epsilon) = (weights.span(), biases.span(), 1e-5);
            let layer = Norm::Layer { weight: weight_at, bias: bias_at, epsilon };
            let rms = Norm::Rms { weight: weight_at, epsilon };
            let threads = Threads::new(1);
            compare(
                device,
                (rows, steps, channels),
                &x,
                |rows, x, out| norm::prepare(rows, &Normalise { channels, norm: layer, x, out }),
                |x, out| kernels::layer_norm(level, x, &weight, &bias, epsilon, out, &threads),
                &format!("layer norm of {channels}"),
            );
            compare(
                device,
                (rows, steps, channels),
                &x,
                |rows, x, out| norm::prepare(rows, &Normalise { channels, norm: rms, x, out }),
                |x, out| kernels::rms_norm(level, x, &weight, epsilon, out, &threads),
                &format!("RMS norm of {channels}"),
            );
        }
    });
}

/// Values of every size, zeros of both signs, and what is not finite.
fn values(numbers: &mut Numbers, count: usize) -> Vec<f32> {
    let odd = [0.0, -0.0, 1.0, -1.0, 1e-30, -1e-30, 90.0, -90.0, 1e30, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    (0..count).map(|i| if i % 3 == 2 { odd[i / 3 % odd.len()] } else { numbers.next() * 6.0 }).collect()
}

/// The CPU's NaN may have another sign or payload than the device's.
fn plain(values: &mut [f32]) {
    values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
}

#[test]
fn activations_gates_sums_and_snakes() {
    in_both_orders(|device, level| {
        let (mut numbers, threads) = (Numbers(2), Threads::new(1));
        for (rows, steps, channels) in [(1, 1, 1), (2, 3, 5), (3, 2, 64), (1, 7, 100), (2, 9, 40)] {
            let shape = (rows, steps, channels);
            let mut x = values(&mut numbers, rows * steps * channels);
            plain(&mut x);
            for activation in ACTIVATIONS {
                compare(
                    device,
                    shape,
                    &x,
                    |rows, x, out| pointwise::activation_launch(rows, channels, activation, x, out),
                    |x, out| kernels::activate(level, activation, x, out, &threads),
                    &format!("{activation:?}"),
                );
                let mut pairs = values(&mut numbers, 2 * rows * steps * channels);
                pairs.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = 2.0);
                compare(
                    device,
                    shape,
                    &pairs,
                    |rows, x, out| pointwise::gate_launch(rows, channels, activation, x, out),
                    |x, out| kernels::gated(level, activation, x, out, channels, &threads),
                    &format!("gate with {activation:?}"),
                );
            }
            let second = numbers.take(x.len());
            let second_memory = Memory::of(&second);
            let second_at = second_memory.span();
            compare(
                device,
                shape,
                &x,
                |rows, x, out| pointwise::add_launch(rows, channels, x, second_at, out),
                |x, out| out.iter_mut().zip(x).zip(&second).for_each(|((out, x), y)| *out = x + y),
                "sum",
            );
            x.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = 2.0);
            let (rates, scales) = (numbers.take(channels), numbers.take(channels));
            let parameters = Memory::of(&[rates.clone(), scales.clone()].concat());
            let parameters_at = parameters.span();
            compare(
                device,
                shape,
                &x,
                |rows, x, out| pointwise::snake_launch(rows, channels, parameters_at, x, out),
                |x, out| kernels::snake(level, x, &rates, &scales, out, &threads),
                "snake",
            );
        }
    });
}

#[test]
fn steps_before_a_clip_are_silent() {
    in_both_orders(|device, _| {
        let (rows, steps, channels, per_frame) = (4, 6, 3, 2);
        let x: Vec<f32> = Numbers(3).take(rows * steps * channels);
        let mut states = States::new(rows, 1);
        for (row, frames) in [0, 1, 2, 9].into_iter().enumerate() {
            states.sessions[row].frames = frames;
        }
        let sessions = states.with_resting(&[]);
        let memory = Memory::of(&x);
        // In place, as it may be.
        let of_step = Rows { sessions: Some(sessions.span()), rows, steps };
        let span = memory.span();
        device.run(pointwise::silence_launch(&of_step, channels, (5, per_frame), span, span).unwrap());
        let got = memory.read::<f32>();
        for (i, (&got, &x)) in got.iter().zip(&x).enumerate() {
            let (row, step) = (i / (steps * channels), i / channels % steps);
            let position = [0, 1, 2, 9][row] * per_frame + step;
            assert_eq!(got, if position < 5 { 0.0 } else { x }, "row {row}, step {step}");
        }
    });
}

#[test]
fn runs_are_copied() {
    in_both_orders(|device, _| {
        let (rows, runs, length) = (2, 3, 5);
        let x: Vec<f32> = (0..60).map(|i| i as f32).collect();
        let (from, to) = (Memory::of(&x), Memory::new(40 * 4));
        let copy =
            Runs { rows, runs, length, x: from.span(), x_strides: (30, 7), out: to.span(), out_strides: (20, 6) };
        device.run(pointwise::copy_launch(&copy).unwrap());
        for (i, &got) in to.read::<f32>().iter().enumerate() {
            let (row, run, within) = (i / 20, i % 20 / 6, i % 20 % 6);
            if run < runs && within < length {
                assert_eq!(got, x[row * 30 + run * 7 + within]);
            } else {
                assert_untouched(&[got], "what lies between runs");
            }
        }
        let too_far = Runs { out_strides: (31, 6), ..copy };
        assert!(pointwise::copy_launch(&too_far).is_err());
    });
}

#[test]
fn entries_are_added_in_order() {
    in_both_orders(|device, _| {
        let mut numbers = Numbers(4);
        for (rows, steps, dim, entries_of_table, count) in
            [(1, 1, 1, 1, 1), (2, 3, 8, 5, 3), (3, 2, 70, 16, 2), (1, 4, 256, 32, 7)]
        {
            let table = numbers.take(count * entries_of_table * dim);
            let (columns, first, vectors) = (count + 2, 1, rows * steps);
            let mut codes: Vec<u32> = (0..vectors * columns).map(|i| (i * 7 % entries_of_table) as u32).collect();
            // Codes of other tables, and of a row that rests, may be anything.
            codes.chunks_mut(columns).for_each(|codes| codes[0] = u32::MAX);
            let states = States::new(rows, 1);
            let resting = if rows > 1 { vec![1] } else { vec![] };
            resting.iter().for_each(|&row| codes[row * steps * columns..][..steps * columns].fill(u32::MAX));
            let sessions = states.with_resting(&resting);
            let of_step = Rows { sessions: Some(sessions.span()), rows, steps };
            let (table_memory, codes_memory) = (Memory::of(&table), Memory::of(&codes));
            for mean in [false, true] {
                let out = Memory::new(vectors * dim * 4);
                let own = Entries {
                    dim,
                    entries: entries_of_table,
                    count,
                    table: table_memory.span(),
                    mean,
                    columns,
                    first,
                    codes: codes_memory.span(),
                    out: out.span(),
                    faults: device.faults.span(),
                };
                device.run(entries::prepare(&of_step, &own).unwrap());
                assert_eq!(device.faults(), NO_FAULTS);
                for (vector, got) in out.read::<f32>().chunks(dim).enumerate() {
                    if resting.contains(&(vector / steps)) {
                        assert_untouched(got, "a row that rests");
                        continue;
                    }
                    let mut sum = vec![0.0_f32; dim];
                    for k in 0..count {
                        let entry = k * entries_of_table + codes[vector * columns + first + k] as usize;
                        sum.iter_mut().zip(&table[entry * dim..][..dim]).for_each(|(sum, value)| *sum += value);
                    }
                    if mean {
                        sum.iter_mut().for_each(|sum| *sum /= count as f32);
                    }
                    assert_bits(got, &sum, "entries");
                }
                // A code past the end of its table, which is the end of the memory for the last.
                let mut wrong = codes.clone();
                wrong[first + count - 1] = entries_of_table as u32;
                let wrong = Memory::of(&wrong);
                device.run(entries::prepare(&of_step, &Entries { codes: wrong.span(), ..own }).unwrap());
                assert_eq!(device.faults(), only(Fault::Code, 1));
            }
        }
    });
}
