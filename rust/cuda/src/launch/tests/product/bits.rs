//! The kernels' bits are those of the CPU.

use mimi_kernels::{Activation, Precision};

use super::case::{Case, Data, Normed, Random, conv};
use crate::launch::tests::in_both_orders;
use crate::{Edge, FAULTS, Fault, Window};

const PRECISIONS: [Precision; 3] = [Precision::Float32, Precision::Bfloat16, Precision::Int8];
const ACTIVATIONS: [Option<Activation>; 6] = [
    None,
    Some(Activation::Elu),
    Some(Activation::GeluErf),
    Some(Activation::GeluTanh),
    Some(Activation::Silu),
    Some(Activation::Clamp),
];

fn check(case: &Case) {
    in_both_orders(|device, level| case.check(device, level));
}

#[test]
fn dense_layers() {
    for precision in PRECISIONS {
        for (rows, steps, channels, columns) in [(1, 1, 512, 512), (2, 2, 192, 36), (1, 3, 1300, 7), (3, 13, 70, 9)] {
            check(&Case { precision, ..Case::new(rows, steps, Window::dense(channels), columns) });
        }
    }
}

#[test]
fn many_rows() {
    for precision in PRECISIONS {
        for (rows, steps, channels, columns) in [(3, 50, 160, 70), (1, 140, 1100, 40), (1, 65, 33, 131)] {
            check(&Case { precision, ..Case::new(rows, steps, Window::dense(channels), columns) });
        }
    }
}

#[test]
fn convolutions() {
    for precision in PRECISIONS {
        for (channels, taps, stride, dilation, columns) in [
            (1, 7, 1, 1, 64),
            (64, 3, 1, 1, 32),
            (48, 16, 8, 1, 12),
            (12, 7, 1, 3, 20),
            (7, 5, 2, 2, 5),
            (130, 7, 1, 9, 6),
        ] {
            for edge in [Edge::Zero, Edge::Replicate] {
                // Steps that are no multiple of the stride: the end of a clip.
                for steps in [stride, 4 * stride, 3 * stride + 1] {
                    let window = conv(channels, taps, stride, dilation, edge);
                    check(&Case { precision, residual: true, ..Case::new(3, steps, window, columns) });
                }
            }
        }
    }
}

/// Fewer inputs than the history, which is copied over.
#[test]
fn short_steps_move_the_history() {
    for steps in 1..4 {
        check(&Case::new(4, steps, conv(8, 4, 1, 3, Edge::Replicate), 4));
    }
}

#[test]
fn transposed_convolutions() {
    let window = Window { history: 1, taps: 2, ..conv(96, 2, 1, 1, Edge::Zero) };
    check(&Case::new(3, 2, window, 8 * 48));
    check(&Case::new(2, 40, Window { history: 2, taps: 3, ..window }, 20));
}

#[test]
fn whole_clips_without_sessions() {
    for edge in [Edge::Zero, Edge::Replicate] {
        let case = Case::new(2, 45, conv(16, 4, 2, 1, edge), 24);
        check(&Case { sessions: false, activation: Some(Activation::Elu), ..case });
    }
}

#[test]
fn one_column() {
    for (channels, taps, dilation, steps) in [(64, 3, 1, 70), (5, 7, 3, 9), (21, 2, 1, 200), (1, 1, 1, 3)] {
        let case = Case::new(3, steps, conv(channels, taps, 1, dilation, Edge::Zero), 1);
        check(&Case { activation: Some(Activation::Clamp), ..case });
        check(&Case { residual: true, ..case });
    }
    for precision in [Precision::Bfloat16, Precision::Int8] {
        check(&Case { precision, ..Case::new(3, 40, conv(40, 3, 1, 1, Edge::Zero), 1) });
    }
}

#[test]
fn activations_and_residuals() {
    for activation in ACTIVATIONS {
        for residual in [false, true] {
            check(&Case { activation, residual, ..Case::new(2, 3, Window::dense(40), 24) });
            check(&Case { activation, residual, ..Case::new(1, 70, Window::dense(40), 24) });
        }
    }
}

#[test]
fn norms_before_dense_layers() {
    for norm in [Normed::Layer, Normed::Rms] {
        for (rows, steps, channels, columns) in
            [(1, 1, 512, 64), (1, 2, 512, 40), (3, 2, 96, 24), (4, 5, 70, 9), (1, 4, 1030, 8), (1, 3, 2048, 4)]
        {
            for precision in PRECISIONS {
                check(&Case { norm, precision, ..Case::new(rows, steps, Window::dense(channels), columns) });
            }
        }
    }
}

#[test]
fn random_shapes() {
    let mut random = Random(20_260_711);
    for seed in 0..60 {
        let (channels, taps) = (1 + random.below(90), 1 + random.below(8));
        let (stride, dilation) = (1 + random.below(taps), random.pick(&[1, 1, 1, 2, 3]));
        let window = conv(channels, taps, stride, dilation, random.pick(&[Edge::Zero, Edge::Replicate]));
        let steps = 1 + random.below(20 * stride);
        let case = Case::new(1 + random.below(4), steps, window, 2 + random.below(80));
        check(&Case {
            precision: random.pick(&PRECISIONS),
            activation: random.pick(&ACTIVATIONS),
            residual: random.pick(&[false, true]),
            seed,
            ..case
        });
    }
}

/// An input that is remembered and is not finite is reported, one that is not remembered is not, and one of a row that rests
/// is not either.
#[test]
fn inputs_that_are_not_finite_are_reported() {
    let case = Case::new(3, 5, conv(4, 3, 1, 1, Edge::Zero), 4);
    in_both_orders(|device, _| {
        for (row, step, fault) in [(0, 3, 1), (2, 4, 1), (0, 2, 0), (1, 4, 0)] {
            let mut data = Data::new(&case);
            data.x_mut()[(row * 5 + step) * 4 + 1] = f32::INFINITY;
            for (way, plan) in case.ways(&data) {
                let (.., faults) = case.by_kernels(device, &data, &plan);
                let mut expected = [0; FAULTS];
                expected[Fault::Convolution as usize] = fault;
                assert_eq!(faults, expected, "{way}, row {row}, step {step}");
            }
        }
    });
}
