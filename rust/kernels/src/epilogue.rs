//! What is done with the sums of a product before they are stored.

use crate::math;
use crate::simd::Simd;

/// What is applied to a product before it is stored: the residual is added, then the activation taken.
#[derive(Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// A matrix of the product's shape, added to it.
    pub residual: Option<&'a [f32]>,
    /// A function of each element.
    pub activation: Option<Activation>,
}

/// An element-wise function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x` above zero, `e^x - 1` below.
    Elu,
    /// GELU with the exact normal distribution.
    GeluErf,
    /// GELU with its tanh approximation.
    GeluTanh,
    /// `x sigmoid(x)`.
    Silu,
    /// The nearest value in [-1, 1]; what is not a number stays so.
    Clamp,
}

impl Activation {
    /// The function of each lane. It is chosen here and not handed on as a function, which the compiler may call out of line
    /// and compile for the base processor.
    #[inline(always)]
    pub(crate) fn of<S: Simd>(self, s: S, x: S::Vector) -> S::Vector {
        match self {
            Self::Elu => math::elu(s, x),
            Self::GeluErf => math::gelu_erf(s, x),
            Self::GeluTanh => math::gelu_tanh(s, x),
            Self::Silu => math::silu(s, x),
            Self::Clamp => math::clamp(s, x),
        }
    }
}

/// The residual and the activation, for the `left` elements from `at` on.
#[inline(always)]
pub(crate) fn finish<S: Simd>(s: S, epilogue: &Epilogue<'_>, sum: S::Vector, at: usize, left: usize) -> S::Vector {
    let sum = match epilogue.residual {
        Some(residual) => s.add(sum, s.load_partial(&residual[at..at + left], 0.0)),
        None => sum,
    };
    match epilogue.activation {
        Some(activation) => activation.of(s, sum),
        None => sum,
    }
}
