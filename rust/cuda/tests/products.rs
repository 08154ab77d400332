//! Products as a caller asks for them: weights brought to the device, launches, and graphs of them.

#![allow(clippy::unwrap_used)]

mod common;

use common::bench;
use mimi_cuda::{Counts, FAULTS, Gpu, Norm, Piece, Product, Result, Weights, Window, product};
use mimi_kernels::simd::Level;
use mimi_kernels::{Activation, Epilogue, PackedMatrix, Precision, Rows, Strided, Threads, layer_norm};

const EPSILON: f32 = 1e-5;

/// A dense layer with a norm before it and a residual, on both sides.
struct Layer {
    depth: usize,
    columns: usize,
    matrix: Vec<f32>,
    bias: Vec<f32>,
    norm: [Vec<f32>; 2],
    x: Vec<f32>,
    residual: Vec<f32>,
    rows: usize,
}

impl Layer {
    fn new(rows: usize, depth: usize, columns: usize) -> Self {
        let mut state = 7_u32;
        let mut take = |count: usize| -> Vec<f32> {
            let number = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            };
            (0..count).map(number).collect()
        };
        Self {
            depth,
            columns,
            matrix: take(depth * columns),
            bias: take(columns),
            norm: [take(depth), take(depth)],
            x: take(rows * depth),
            residual: take(rows * columns),
            rows,
        }
    }

    fn matrix(&self) -> Strided<'_> {
        Strided::row_major(&self.matrix, self.columns)
    }

    fn on_the_cpu(&self, level: Level, normed: bool) -> Vec<f32> {
        let (threads, mut x) = (Threads::new(1), self.x.clone());
        if normed {
            layer_norm(level, &self.x, &self.norm[0], &self.norm[1], EPSILON, &mut x, &threads);
        }
        let weights = PackedMatrix::new(level, Precision::Float32, &self.matrix(), Some(&self.bias));
        let mut out = vec![0.0; self.rows * self.columns];
        let epilogue = Epilogue { residual: Some(&self.residual), activation: Some(Activation::GeluErf) };
        let left = Rows::contiguous(&x, self.depth);
        mimi_kernels::product(&left, (self.depth, 0), &weights, epilogue, &mut out, &threads);
        out
    }

    /// Everything on a device, with the residual in the memory of the output.
    fn on(&self, gpu: &Gpu) -> Result<OnDevice> {
        let put = |floats: &[f32]| {
            let piece = gpu.piece(size_of_val(floats))?;
            gpu.upload(piece.span(), bytemuck::cast_slice(floats))?;
            Ok(piece)
        };
        Ok(OnDevice {
            weights: Weights::new(gpu, Precision::Float32, &self.matrix(), Some(&self.bias))?,
            x: put(&self.x)?,
            norm: [put(&self.norm[0])?, put(&self.norm[1])?],
            out: put(&self.residual)?,
            faults: put(&[0.0; FAULTS])?,
        })
    }
}

struct OnDevice {
    weights: Weights,
    x: Piece,
    norm: [Piece; 2],
    out: Piece,
    faults: Piece,
}

impl OnDevice {
    fn run(&self, gpu: &Gpu, rows: usize, normed: bool) -> Result<()> {
        let norm = Norm::Layer { weight: self.norm[0].span(), bias: self.norm[1].span(), epsilon: EPSILON };
        let own = Product {
            weights: &self.weights,
            input: self.x.span(),
            output: self.out.span(),
            residual: Some(self.out.span()),
            rows: 1,
            steps: rows,
            outputs: rows,
            window: Window::dense(self.weights.depth()),
            norm: normed.then_some(norm),
            activation: Some(Activation::GeluErf),
            sessions: None,
            faults: self.faults.span(),
        };
        product(gpu, &own)
    }

    fn out(&self, gpu: &Gpu) -> Vec<u32> {
        common::words(gpu, self.out.span()).unwrap()
    }
}

fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|float| float.to_bits()).collect()
}

/// In the launch of the product where few rows see the norm, in one before it where many do, or where rows are long.
#[test]
fn norms_before_products() {
    let Some(level) = Level::available().into_iter().find(|level| level.lanes() == 16) else { return };
    let (_alone, _, gpu) = bench();
    for (rows, depth, columns, launches) in [(3, 512, 40, 1), (40, 512, 40, 2), (2, 2050, 12, 2)] {
        let layer = Layer::new(rows, depth, columns);
        let there = layer.on(&gpu).unwrap();
        let before = gpu.counts();
        there.run(&gpu, rows, true).unwrap();
        assert_eq!(gpu.counts() - before, Counts { launches, ..Counts::default() }, "{rows} rows of {depth}");
        assert_eq!(there.out(&gpu), bits(&layer.on_the_cpu(level, true)), "{rows} rows of {depth}");
    }
}

/// Sums whose parts are in several blocks leave no trace, also where a graph keeps the room for them.
#[test]
fn a_graph_of_a_product_gives_the_same_again_and_again() {
    let Some(level) = Level::available().into_iter().find(|level| level.lanes() == 16) else { return };
    let (_alone, _, gpu) = bench();
    let layer = Layer::new(2, 2600, 20);
    let there = layer.on(&gpu).unwrap();
    let expected = bits(&layer.on_the_cpu(level, false));
    let residual = bytemuck::cast_slice(&layer.residual);
    // Once before it is recorded, so that the arena has room.
    there.run(&gpu, 2, false).unwrap();
    assert_eq!(there.out(&gpu), expected);
    let ((), graph) = gpu.record(|| there.run(&gpu, 2, false)).unwrap();
    for _ in 0..3 {
        gpu.upload(there.out.span(), residual).unwrap();
        gpu.replay(&graph).unwrap();
        assert_eq!(there.out(&gpu), expected);
    }
}

#[test]
fn weights_in_less() {
    let (_alone, _, gpu) = bench();
    let layer = Layer::new(1, 256, 64);
    let bytes = |precision| Weights::new(&gpu, precision, &layer.matrix(), None).unwrap().bytes();
    // Beside the values: scales of int8, a bias, and counters.
    let (float32, bfloat16, int8) = (bytes(Precision::Float32), bytes(Precision::Bfloat16), bytes(Precision::Int8));
    assert_eq!(float32 - bfloat16, 256 * 64 * 2);
    assert_eq!(bfloat16 - int8, 256 * 64 - 2 * 64 * 4);
    let wrong = Weights::new(&gpu, Precision::Float32, &layer.matrix(), Some(&[0.0; 63]));
    assert!(wrong.is_err_and(|error| error.to_string() == "expected a bias of 64, got 63"));
}
