//! A product of random numbers, taken on the CPU and by the kernels.

use mimi_kernels::simd::Level;
use mimi_kernels::{Activation, Epilogue, PackedMatrix, Precision, Rows, Strided, Threads, layer_norm, rms_norm};

use crate::launch::product::plan::{LARGE, Plan, SMALL};
use crate::launch::product::prepare;
use crate::launch::tests::{Device, Memory};
use crate::{Edge, FAULTS, Norm, Product, Session, Weights, Window};

/// Floats before the history in the sessions' states, and behind it.
const BEFORE: usize = 12;
const BEHIND: usize = 5;

const EPSILON: f32 = 1e-5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Normed {
    Not,
    Layer,
    Rms,
}

/// What a product is of. Numbers come from the seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) rows: usize,
    pub(super) steps: usize,
    pub(super) columns: usize,
    pub(super) window: Window,
    pub(super) precision: Precision,
    pub(super) activation: Option<Activation>,
    pub(super) residual: bool,
    pub(super) norm: Normed,
    /// Whether rows are sessions, of which the second rests and the third begins.
    pub(super) sessions: bool,
    pub(super) seed: u64,
}

/// A convolution's window.
pub(super) fn conv(channels: usize, taps: usize, stride: usize, dilation: usize, edge: Edge) -> Window {
    let history = ((taps - 1) * dilation + 1).saturating_sub(stride);
    Window { channels, taps, stride, dilation, history, history_at: BEFORE, edge }
}

impl Case {
    pub(super) fn new(rows: usize, steps: usize, window: Window, columns: usize) -> Self {
        Self {
            rows,
            steps,
            columns,
            window,
            precision: Precision::Float32,
            activation: None,
            residual: false,
            norm: Normed::Not,
            sessions: window.history > 0,
            seed: 1,
        }
    }

    pub(super) fn outputs(&self) -> usize {
        self.steps.div_ceil(self.window.stride)
    }

    /// The outputs and the histories afterwards: as the CPU has them, and by the kernels in each way of sharing them out.
    pub(super) fn check(&self, device: &Device, level: Level) {
        let data = Data::new(self);
        let (out, histories) = self.on_the_cpu(level, &data);
        for (way, plan) in self.ways(&data) {
            let (got, states, faults) = self.by_kernels(device, &data, &plan);
            for (i, (got, want)) in got.iter().zip(&out).enumerate() {
                let (row, at) = (i / (self.outputs() * self.columns), i % (self.outputs() * self.columns));
                let want = if self.rests(row) { f32::from_bits(u32::MAX) } else { *want };
                let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan() && !self.rests(row);
                assert!(same, "{way}, row {row}, output {at}: {got:?} is not {want:?}\n{plan:?}\n{self:?}");
            }
            assert_eq!(faults, [0; FAULTS], "{way}: {self:?}");
            for (row, state) in states.iter().enumerate() {
                let length = self.window.history * self.window.channels;
                let mut want = data.states[row].clone();
                let new = BEFORE + (1 - data.sessions[row].parity as usize) * length;
                want[new..new + length].copy_from_slice(&histories[row]);
                if self.rests(row) || !self.sessions {
                    want.clone_from(&data.states[row]);
                }
                let bits = |state: &[f32]| state.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(state), bits(&want), "{way}, state of row {row}: {self:?}");
            }
        }
    }

    /// Each way in which the product can be shared out.
    pub(super) fn ways(&self, data: &Data) -> Vec<(&'static str, Plan)> {
        let mut ways = Vec::new();
        self.with_product(data, |product, _, _| {
            product.check().unwrap();
            let task = product.task().unwrap();
            let takes_norm = self.norm == Normed::Not || task.takes_norm();
            assert!(takes_norm, "a norm apart: {self:?}");
            ways.push(("as chosen", Plan::of(&task, 4)));
            if !task.column {
                for (name, blocks) in [("few", 1), ("few, many blocks", 1000)] {
                    if task.outputs <= 64 {
                        ways.push((name, Plan::few(&task, blocks)));
                    }
                }
                if self.norm == Normed::Not {
                    for (name, tile) in [("small", SMALL), ("large", LARGE)] {
                        ways.push((name, Plan::many(&task, tile, 1)));
                        ways.push((name, Plan::many(&task, tile, 60)));
                        ways.push((name, Plan::many(&task, tile, 1000)));
                    }
                }
            }
        });
        ways.dedup_by(|a, b| a.1 == b.1);
        ways
    }

    fn rests(&self, row: usize) -> bool {
        self.sessions && row == 1
    }

    /// The row's history, its inputs, and what fills them up at the end.
    fn whole_row(&self, data: &Data, row: usize) -> Vec<f32> {
        let Window { channels, stride, history, edge, .. } = self.window;
        let x = &data.x[row * self.steps * channels..][..self.steps * channels];
        let repeat = |step: &[f32], times: usize| match edge {
            Edge::Zero => vec![0.0; times * channels],
            Edge::Replicate => step.repeat(times),
        };
        let mut whole = if self.sessions && data.sessions[row].frames > 0 {
            let from = BEFORE + data.sessions[row].parity as usize * history * channels;
            data.states[row][from..from + history * channels].to_vec()
        } else {
            repeat(&x[..channels], history)
        };
        whole.extend_from_slice(x);
        whole.extend(repeat(&x[x.len() - channels..], self.outputs() * stride - self.steps));
        whole
    }

    /// The outputs, and each row's history afterwards.
    fn on_the_cpu(&self, level: Level, data: &Data) -> (Vec<f32>, Vec<Vec<f32>>) {
        let Window { channels, taps, stride, dilation, history, .. } = self.window;
        let threads = Threads::new(1);
        let x = self.normalised(level, data);
        let data = &Data { x, ..data.clone() };
        let weights = PackedMatrix::new(level, self.precision, &self.matrix(data), Some(&data.bias));
        let wholes: Vec<_> = (0..self.rows).map(|row| self.whole_row(data, row)).collect();
        let span = ((taps - 1) * dilation + 1) * channels;
        let mut left = Rows::new(span);
        wholes.iter().for_each(|whole| left.push(whole, stride * channels, self.outputs()));
        let runs = if dilation == 1 { (span, 0) } else { (channels, dilation * channels) };
        let epilogue = Epilogue { residual: self.residual.then_some(&data.residual[..]), activation: self.activation };
        let mut out = vec![0.0; self.rows * self.outputs() * self.columns];
        mimi_kernels::product(&left, runs, &weights, epilogue, &mut out, &threads);
        let histories = wholes.iter().map(|whole| whole[whole.len() - history * channels..].to_vec()).collect();
        (out, histories)
    }

    fn normalised(&self, level: Level, data: &Data) -> Vec<f32> {
        let threads = Threads::new(1);
        let mut out = data.x.clone();
        match self.norm {
            Normed::Not => {}
            Normed::Layer => {
                layer_norm(level, &data.x, &data.norm_weight, &data.norm_bias, EPSILON, &mut out, &threads);
            }
            Normed::Rms => rms_norm(level, &data.x, &data.norm_weight, EPSILON, &mut out, &threads),
        }
        out
    }

    fn matrix<'a>(&self, data: &'a Data) -> Strided<'a> {
        Strided::row_major(&data.weights, self.columns)
    }

    /// The outputs, the states and the faults after the kernels have run, which must be the same a second time: the counters
    /// of blocks are as they were.
    pub(super) fn by_kernels(&self, device: &Device, data: &Data, plan: &Plan) -> (Vec<f32>, Vec<Vec<f32>>, Vec<u32>) {
        let mut result = (Vec::new(), Vec::new(), Vec::new());
        self.with_product(data, |product, out, states| {
            let sums = Memory::new(if plan.splits { product.sums(plan).unwrap() } else { 0 });
            let product = Product { faults: device.faults.span(), ..*product };
            let run = || {
                for memory in [out, &sums] {
                    memory.write(&vec![u32::MAX; memory.span().bytes() / 4]);
                }
                device.run(Some(prepare(&product, plan, sums.span().address()).unwrap()));
                (out.read::<f32>(), states.iter().map(Memory::read).collect::<Vec<_>>(), device.faults())
            };
            result = run();
            let again = run();
            let bits = |floats: &[f32]| floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&again.0), bits(&result.0), "the second time: {plan:?}\n{self:?}");
            assert_eq!(again.2, result.2, "faults of the second time");
        });
        result
    }

    /// Hands on the product with everything in memory, its output and the states of its rows.
    pub(super) fn with_product(&self, data: &Data, work: impl FnOnce(&Product<'_>, &Memory, &[Memory])) {
        let (mut packed, matrix) = (None, self.matrix(data));
        let put = |image: &[u8]| packed.insert(Memory::of(image)).span().address();
        let weights = Weights::in_memory(self.precision, &matrix, Some(&data.bias), put).unwrap();
        let (x, residual) = (Memory::of(&data.x), Memory::of(&data.residual));
        let (norm_weight, norm_bias) = (Memory::of(&data.norm_weight), Memory::of(&data.norm_bias));
        let out = Memory::new(self.rows * self.outputs() * self.columns * size_of::<f32>());
        let states: Vec<_> = data.states.iter().map(|state| Memory::of(state)).collect();
        let mut sessions = data.sessions.clone();
        for (row, (session, state)) in sessions.iter_mut().zip(&states).enumerate() {
            session.state = if self.rests(row) { 0 } else { state.span().address() };
        }
        let sessions = Memory::of(&sessions);
        let faults = Memory::of(&[0_u32; FAULTS]);
        let norm = match self.norm {
            Normed::Not => None,
            Normed::Layer => Some(Norm::Layer { weight: norm_weight.span(), bias: norm_bias.span(), epsilon: EPSILON }),
            Normed::Rms => Some(Norm::Rms { weight: norm_weight.span(), epsilon: EPSILON }),
        };
        let product = Product {
            weights: &weights,
            input: x.span(),
            output: out.span(),
            residual: self.residual.then(|| residual.span()),
            rows: self.rows,
            steps: self.steps,
            outputs: self.outputs(),
            window: self.window,
            norm,
            activation: self.activation,
            sessions: self.sessions.then(|| sessions.span()),
            faults: faults.span(),
        };
        work(&product, &out, &states);
    }
}

/// The numbers of a case.
#[derive(Clone)]
pub(super) struct Data {
    x: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    residual: Vec<f32>,
    norm_weight: Vec<f32>,
    norm_bias: Vec<f32>,
    /// Without addresses.
    sessions: Vec<Session>,
    states: Vec<Vec<f32>>,
}

impl Data {
    pub(super) fn new(case: &Case) -> Self {
        let mut random = Random(case.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let Window { channels, taps, history, .. } = case.window;
        let out = case.rows * case.outputs() * case.columns;
        let states = (0..case.rows).map(|_| {
            let mut state = random.floats(BEFORE + 2 * history * channels + BEHIND);
            state[..BEFORE].fill(f32::NAN);
            state
        });
        let mut states: Vec<_> = states.collect();
        let sessions: Vec<_> = (0..case.rows)
            .map(|row| {
                let frames = if row == 2 { 0 } else { 3 + row as u64 };
                Session { state: 0, frames, parity: (random.next() >> 40 & 1) as u32, padding: 0 }
            })
            .collect();
        for (state, session) in states.iter_mut().zip(&sessions) {
            // What a new session's state holds is not read, and what is overwritten neither.
            if session.frames == 0 {
                state.fill(f32::NAN);
            } else {
                state[BEFORE + (1 - session.parity as usize) * history * channels..][..history * channels]
                    .fill(f32::NAN);
            }
        }
        Self {
            x: random.floats(case.rows * case.steps * channels),
            weights: random.floats(taps * channels * case.columns),
            bias: random.floats(case.columns),
            residual: random.floats(out),
            norm_weight: random.floats(channels),
            norm_bias: random.floats(channels),
            sessions,
            states,
        }
    }

    pub(super) fn x_mut(&mut self) -> &mut [f32] {
        &mut self.x
    }
}

/// Numbers of a xorshift generator.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 20) as usize % limit
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Numbers of several sizes, some of them zero.
    fn floats(&mut self, count: usize) -> Vec<f32> {
        let number = |random: &mut Self| {
            let bits = random.next();
            let unit = (bits >> 40) as f32 / (1 << 23) as f32 - 1.0;
            match bits & 31 {
                0 => 0.0,
                1 => -0.0,
                2 => unit * 1e-3,
                3 => unit * 16.0,
                4 => unit * 1e-39,
                _ => unit,
            }
        };
        (0..count).map(|_| number(self)).collect()
    }
}
