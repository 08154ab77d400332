//! What to load, and how to run it.

use std::fmt;
use std::num::NonZero;
use std::str::FromStr;
use std::sync::Arc;

use mimi_kernels::Precision;

use crate::error::{Error, Result};
use crate::ops::{Backend, cpu};
use crate::parts::Parts;

/// How large weights are kept in memory. Arithmetic is in float32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dtype {
    /// As they are in a packed or compact file; of tensors float32, whatever type these are stored in.
    #[default]
    Auto,
    /// As they are.
    Float32,
    /// The upper half of each float32.
    Bfloat16,
    /// Eight bits, with a scale for each column of 128 depths. Codebooks and middle layers are kept smaller too.
    Int8,
}

/// Where a codec runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The kernels of this processor.
    #[default]
    Cpu,
    /// Our own kernels on the CUDA device of this number; with the feature `cuda`.
    Cuda(usize),
    /// The first CUDA device if there is one that works, else the processor.
    Auto,
    /// The plain candle operations that define each layer, on the CPU: slow.
    CandleCpu,
    /// The same on a CUDA device of this number; with the feature `candle-cuda`.
    CandleCuda(usize),
    /// The same on a Metal device of this number; with the feature `metal`.
    Metal(usize),
}

/// What to load, and how to run it.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The halves of the codec that are wanted.
    pub parts: Parts,
    /// The first so many codebooks; all if none.
    pub num_codebooks: Option<usize>,
    /// Threads that work on one call; no more are used than the process has processors (its affinity, its quota).
    pub threads: usize,
    /// How large weights are kept.
    pub dtype: Dtype,
    /// Where the codec runs.
    pub device: Device,
    /// Which module of a larger model is meant, such as `"semantic_tokenizer_encoder"`, where its files hold several codecs.
    pub module: Option<String>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            parts: Parts::Both,
            num_codebooks: None,
            threads: 1,
            dtype: Dtype::Auto,
            device: Device::Cpu,
            module: None,
        }
    }
}

impl LoadOptions {
    /// The same with no more threads than can run at once: more would wait for each other.
    pub(crate) fn within_processors(&self) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { threads: self.threads.clamp(1, processors), ..self.clone() }
    }

    /// The backend, and the device that it is on: [`Device::Auto`] finds one.
    pub(crate) fn backend(&self) -> Result<(Arc<dyn Backend>, Device)> {
        if self.device != Device::Auto {
            return Ok((self.backend_on(self.device)?, self.device));
        }
        let first = Device::Cuda(0);
        match self.backend_on(first) {
            Ok(backend) => Ok((backend, first)),
            Err(Error::Device(_)) => Ok((self.backend_on(Device::Cpu)?, Device::Cpu)),
            Err(error) => Err(error),
        }
    }

    fn backend_on(&self, device: Device) -> Result<Arc<dyn Backend>> {
        match device {
            Device::Cpu => return Ok(Arc::new(cpu::Kernels::new(self.threads, self.dtype.precision()))),
            Device::Cuda(index) => return cuda(index, self.dtype.precision()),
            _ => {}
        }
        if self.dtype.precision() != Precision::Float32 {
            let message = format!("expected float32 on {}, got {}", self.device, self.dtype);
            return Err(Error::config("dtype", message));
        }
        self.device.composed()
    }
}

#[cfg(feature = "cuda")]
fn cuda(index: usize, precision: Precision) -> Result<Arc<dyn Backend>> {
    /// Set to `0`, steps are not recorded as graphs: for measuring what graphs are good for, and for looking at kernels.
    const GRAPHS: &str = "MIMI_CODEC_CUDA_GRAPHS";
    let record = std::env::var_os(GRAPHS).is_none_or(|value| value != "0");
    Ok(Arc::new(crate::ops::cuda::Cuda::open(index, precision, record)?))
}

#[cfg(not(feature = "cuda"))]
fn cuda(index: usize, _: Precision) -> Result<Arc<dyn Backend>> {
    let device = Device::Cuda(index);
    Err(Error::Device(format!("expected a build with the feature `cuda` for device {device}, got one without")))
}

impl Device {
    #[cfg(not(feature = "composed"))]
    fn composed(self) -> Result<Arc<dyn Backend>> {
        let feature = match self {
            Self::CandleCuda(_) => "candle-cuda",
            Self::Metal(_) => "metal",
            _ => "composed",
        };
        Err(Error::Device(format!("expected a build with the feature `{feature}` for device {self}, got one without")))
    }

    #[cfg(feature = "composed")]
    fn composed(self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(crate::ops::candle::Composed::new(self.candle()?)))
    }

    #[cfg(feature = "composed")]
    fn candle(self) -> Result<candle_core::Device> {
        let failed =
            |error: candle_core::Error| Error::Device(format!("expected device {self}, got an error: {error}"));
        match self {
            Self::Cpu | Self::CandleCpu | Self::Cuda(_) | Self::Auto => Ok(candle_core::Device::Cpu),
            // One stream for all threads: a tensor made on one may be used on another.
            Self::CandleCuda(index) => candle_core::Device::new_cuda_with_stream(index).map_err(failed),
            Self::Metal(index) => candle_core::Device::new_metal(index).map_err(failed),
        }
    }
}

impl Dtype {
    pub(crate) fn precision(self) -> Precision {
        match self {
            Self::Auto | Self::Float32 => Precision::Float32,
            Self::Bfloat16 => Precision::Bfloat16,
            Self::Int8 => Precision::Int8,
        }
    }

    /// `"auto"`, `"float32"`, `"bfloat16"` or `"int8"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
            Self::Int8 => "int8",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Dtype {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = [Self::Auto, Self::Float32, Self::Bfloat16, Self::Int8];
        known
            .into_iter()
            .find(|dtype| dtype.as_str() == text)
            .ok_or_else(|| Error::config("dtype", format!("expected auto, float32, bfloat16 or int8, got {text}")))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Auto => f.write_str("auto"),
            Self::CandleCpu => f.write_str("cpu-candle"),
            Self::CandleCuda(index) => write!(f, "cuda-candle:{index}"),
            Self::Metal(index) => write!(f, "metal:{index}"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    /// `"cpu"`, `"cuda"`, `"auto"`, `"cpu-candle"`, `"cuda-candle"` or `"metal"`; a GPU may have a number, as in `"cuda:1"`.
    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            let expected = "expected device \"cpu\", \"cuda\", \"auto\", \"cpu-candle\", \"cuda-candle\" or \"metal\"";
            Error::Device(format!("{expected}, got {text:?}"))
        };
        let (kind, index) = match text.split_once(':') {
            Some((kind, index)) => (kind, Some(index.parse().map_err(|_| unknown())?)),
            None => (text, None),
        };
        match (kind, index) {
            ("cpu", None) => Ok(Self::Cpu),
            ("auto", None) => Ok(Self::Auto),
            ("cuda", index) => Ok(Self::Cuda(index.unwrap_or(0))),
            ("cpu-candle", None) => Ok(Self::CandleCpu),
            ("cuda-candle", index) => Ok(Self::CandleCuda(index.unwrap_or(0))),
            ("metal", index) => Ok(Self::Metal(index.unwrap_or(0))),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_and_types() {
        for device in
            [Device::Cpu, Device::Cuda(2), Device::Auto, Device::CandleCpu, Device::CandleCuda(0), Device::Metal(3)]
        {
            assert_eq!(device.to_string().parse::<Device>().unwrap(), device);
        }
        assert_eq!("cuda-candle".parse::<Device>().unwrap(), Device::CandleCuda(0));
        assert_eq!("cuda".parse::<Device>().unwrap(), Device::Cuda(0));
        for other in ["", "candle", "gpu", "cpu:0", "auto:1", "cuda:", "cpu-candle:0", "cuda-candle:first", "metal:"] {
            assert!(matches!(other.parse::<Device>(), Err(Error::Device(_))), "{other}");
        }
        for dtype in [Dtype::Auto, Dtype::Float32, Dtype::Bfloat16, Dtype::Int8] {
            assert_eq!(dtype.to_string().parse::<Dtype>().unwrap(), dtype);
        }
        assert!("int4".parse::<Dtype>().is_err());
    }

    #[test]
    fn a_device_that_is_not_built_in_is_an_error() {
        for (device, there) in
            [(Device::CandleCuda(0), cfg!(feature = "candle-cuda")), (Device::Metal(0), cfg!(feature = "metal"))]
        {
            let backend = LoadOptions { device, ..LoadOptions::default() }.backend();
            assert!(there || matches!(backend.err(), Some(Error::Device(_))), "{device}");
        }
    }
}
