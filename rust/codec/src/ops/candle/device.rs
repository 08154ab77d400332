//! Devices by their names.

use candle_core::Device;

use super::Composed;
use crate::{Error, Result};

impl Composed {
    /// The device that a name stands for, if it is one of candle's: `cpu-candle`, `cuda-candle` or `metal-candle`, the latter
    /// two with the number of a device after a colon where it is not the first.
    pub(crate) fn on(name: &str) -> Option<Result<Self>> {
        let (kind, number) = match name.split_once(':') {
            Some((kind, number)) => (kind, Some(number)),
            None => (name, None),
        };
        let open = match kind {
            "cpu-candle" if number.is_none() => return Some(Ok(Self { device: Device::Cpu })),
            "cuda-candle" => cuda,
            "metal-candle" => metal,
            _ => return None,
        };
        let number = number.map_or(Ok(0), |number| {
            let message = || format!("expected the number of a device after the colon, got \"{name}\"");
            number.parse().map_err(|_| Error::Device(message()))
        });
        let opened = number.and_then(open);
        Some(opened.map(|device| Self { device }))
    }
}

#[cfg(feature = "candle-cuda")]
fn cuda(number: usize) -> Result<Device> {
    Device::new_cuda(number).map_err(|error| Error::Device(format!("expected a CUDA device {number}, got: {error}")))
}

#[cfg(not(feature = "candle-cuda"))]
fn cuda(_: usize) -> Result<Device> {
    Err(Error::Device("expected a build with the feature candle-cuda for this device, got one without".into()))
}

#[cfg(feature = "metal")]
fn metal(number: usize) -> Result<Device> {
    Device::new_metal(number).map_err(|error| Error::Device(format!("expected a Metal device {number}, got: {error}")))
}

#[cfg(not(feature = "metal"))]
fn metal(_: usize) -> Result<Device> {
    Err(Error::Device("expected a build with the feature metal for this device, got one without".into()))
}
