//! The weights of an operation, as a layer hands them to its backend, and as the kernels keep them.

use std::borrow::Cow;

use mimi_kernels::Array;

use crate::error::{Error, Result};
use crate::weights::Layer;

/// What an operation is made of.
pub(crate) enum Weights<'a> {
    /// The weight, and the bias if there is one. Of a snake these are the rates and the scales.
    Tensors(Cow<'a, [f32]>, Option<&'a [f32]>),
    /// What the kernels made of them before; and whether there is a bias.
    Packed(Layer<'a>, bool),
}

/// Tensors of one operation.
type WeightAndBias<'a> = (Cow<'a, [f32]>, Option<&'a [f32]>);

impl<'a> Weights<'a> {
    /// Those of tensors.
    pub(crate) fn of(weight: &'a [f32], bias: Option<&'a [f32]>) -> Self {
        Self::Tensors(Cow::Borrowed(weight), bias)
    }

    pub(crate) fn has_bias(&self) -> bool {
        match self {
            Self::Tensors(_, bias) => bias.is_some(),
            Self::Packed(_, bias) => *bias,
        }
    }

    /// The weight and the bias, for a backend that arranges them itself.
    ///
    /// # Errors
    /// [`Error::Device`] where they are arranged for the kernels.
    #[cfg_attr(not(any(feature = "cuda", feature = "composed")), expect(dead_code, reason = "for other backends"))]
    pub(crate) fn tensors(self) -> Result<WeightAndBias<'a>> {
        match self {
            Self::Tensors(weight, bias) => Ok((weight, bias)),
            Self::Packed(..) => Err(Error::Device("expected tensors for this device, got packed weights".into())),
        }
    }
}

impl From<Vec<f32>> for Weights<'_> {
    fn from(weight: Vec<f32>) -> Self {
        Self::Tensors(Cow::Owned(weight), None)
    }
}

/// The entries of each codebook, which are read when their turn comes.
pub(crate) type EachBook<'a, 'w> = &'a mut dyn Iterator<Item = Result<Weights<'w>>>;

/// Arrays that the kernels read, and what each is called in its layer.
pub(crate) type Arrays = Vec<(&'static str, Array)>;

/// Bytes of arrays.
pub(crate) fn bytes_of(arrays: &Arrays) -> usize {
    arrays.iter().map(|(_, array)| array.bytes().len()).sum()
}
