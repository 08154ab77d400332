//! What a backend decides by itself: how weights are kept, and in what pieces signals go.

use super::*;
use crate::ops::{Activation, ConvShape, ConvTransposeShape, Edge, LinearShape};

fn kernels(precision: Precision) -> Kernels {
    Kernels::new(1, precision)
}

/// Bytes of the weights of a layer with so many rows in a frame, for each kind of convolution.
fn convolutions(precision: Precision, rows_per_frame: usize) -> [usize; 2] {
    let (c_in, c_out, stride) = (64, 64, 2);
    let weight = vec![0.5; c_in * c_out * 4];
    let memory = &mut Slots::default();
    let conv = ConvShape {
        c_in,
        c_out,
        kernel: 4,
        stride,
        dilation: 1,
        groups: 1,
        edge: Edge::Zero,
        rows_per_frame,
        activation: None,
    };
    let transposed =
        ConvTransposeShape { c_in, c_out, kernel: 2 * stride, stride, groups: 1, rows_per_frame, activation: None };
    let backend = kernels(precision);
    [
        backend.conv(memory, conv, Weights::of(&weight, None)).unwrap().bytes(),
        backend.conv_transpose(memory, transposed, Weights::of(&weight, None)).unwrap().bytes(),
    ]
}

#[test]
fn weights_that_are_read_for_few_rows_are_kept_small() {
    // Mimi's layers have 1 or 2 rows in a frame, or 16 and more. Beside int8 those of 16 are in bfloat16.
    for (rows_per_frame, small, halves) in
        [(1, true, false), (2, true, false), (8, true, false), (9, false, true), (16, false, true), (17, false, false)]
    {
        let [whole, bfloat16, int8] = [Precision::Float32, Precision::Bfloat16, Precision::Int8]
            .map(|precision| convolutions(precision, rows_per_frame));
        for ((whole, bfloat16), int8) in whole.into_iter().zip(bfloat16).zip(int8) {
            assert_eq!(bfloat16 < whole, small, "{rows_per_frame} rows: {bfloat16} of {whole} bytes");
            assert_eq!(int8 < bfloat16, small || halves, "{rows_per_frame} rows: {int8} of {bfloat16} bytes");
            assert_eq!(int8 < whole / 3, small, "{rows_per_frame} rows: {int8} of {whole} bytes");
        }
    }
}

#[test]
fn dense_layers_are_kept_small_unless_they_must_be_exact_or_have_many_rows() {
    let weight = vec![0.5; 64 * 64];
    let bytes = |precision, rows_per_frame, exact| {
        let shape = LinearShape { c_in: 64, c_out: 64, rows_per_frame, activation: None, exact };
        kernels(precision).linear(shape, Weights::of(&weight, None)).unwrap().bytes()
    };
    let whole = bytes(Precision::Float32, 2, false);
    for precision in [Precision::Bfloat16, Precision::Int8] {
        // Pocket TTS has 16 rows in a frame.
        assert!(bytes(precision, 2, false) < whole && bytes(precision, 16, false) < whole, "{precision:?}");
        assert_eq!([bytes(precision, 2, true), bytes(precision, 17, false)], [whole; 2], "{precision:?}");
    }
}

#[test]
fn layers_with_large_activations_go_in_pieces() {
    let backend = kernels(Precision::Float32);
    for few in [1, 2, 8] {
        assert_eq!(backend.piece_frames(few, 1920 * 64), None);
    }
    // Mimi's widest activation in a frame; a piece of it stays in the cache.
    assert_eq!(backend.piece_frames(1920, 1920 * 64), Some(2));
    assert_eq!(backend.piece_frames(16, 1 << 18), Some(1));
    assert_eq!(backend.piece_frames(16, 1 << 30), Some(1));
    assert_eq!(backend.piece_frames(16, 1), Some(1 << 18));
    assert_eq!(composed().piece_frames(1920, 1920 * 64), None);
    assert_eq!(backend.block_frames(), 32);
}

#[test]
fn a_residual_is_refused_where_there_is_no_sum() {
    let x = signal(&[1.0, 2.0], (1, 1, 2));
    for (name, backend) in backends() {
        let operations = [
            backend.activation(Activation::Elu),
            backend.layer_norm(2, Weights::of(&[1.0; 2], Some(&[0.0; 2])), 1e-5),
            backend.rms_norm(2, Weights::of(&[1.0; 2], None), 1e-5),
            backend.snake(2, Weights::of(&[1.0; 2], Some(&[1.0; 2]))),
            backend.gate(Activation::Silu, 1),
        ]
        .map(Result::unwrap);
        for operation in operations {
            let error = operation.forward(&x, Some(&x), &Block::without_state()).err().map(|error| error.to_string());
            assert!(error.is_some_and(|error| error.starts_with("expected no residual for a")), "{name}");
        }
    }
}
