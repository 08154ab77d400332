//! From the kernels' text to code for the device at hand: compiled at first use, and kept in a cache.

pub(crate) mod cache;
mod hash;
pub mod libraries;
mod nvrtc;

use crate::driver::Info;
use crate::{Error, Result, source};
use cache::Cache;
use nvrtc::{Nvrtc, Target};

/// What the compiler is asked for: sums and products as they are written, as the CPU's kernels take them.
const OPTIONS: &[&str] = &["--fmad=false", "--std=c++17"];

/// Gives `load` the code for a device: from the cache, or compiled by the NVRTC that fits best. Code that the driver does
/// not take, such as that of an NVRTC newer than the driver, is followed by that of the next.
///
/// # Errors
/// [`Error::Missing`] without an NVRTC; [`Error::Compile`] or the error of `load`, of the NVRTC that fits best.
pub(crate) fn first_that_loads<K>(info: &Info, mut load: impl FnMut(&[u8]) -> Result<K>) -> Result<K> {
    let (text, cache) = (source::text(), Cache::of_the_user());
    let mut first_error = None;
    for nvrtc in libraries::nvrtcs(info.driver) {
        for target in nvrtc.targets(info.capability) {
            let key = key(&text, &target, info, &nvrtc);
            if let Some(image) = cache.get(key)
                && let Ok(kernels) = load(&image)
            {
                return Ok(kernels);
            }
            let compiled = nvrtc.compile(&text, &target, OPTIONS);
            match compiled.and_then(|image| load(&image).map(|kernels| (image, kernels))) {
                Ok((image, kernels)) => {
                    cache.put(key, &image);
                    return Ok(kernels);
                }
                // With less memory than that the rest would not fit either.
                Err(error @ Error::Memory { .. }) => return Err(error),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
    }
    Err(first_error.unwrap_or_else(|| libraries::missing(info)))
}

/// What the code depends on.
fn key(text: &str, target: &Target, info: &Info, nvrtc: &Nvrtc) -> u128 {
    let (major, minor) = nvrtc.version();
    hash::hash(&format!("{OPTIONS:?} {target} {} {major}.{minor} {}\n{text}", info.name, info.driver))
}
