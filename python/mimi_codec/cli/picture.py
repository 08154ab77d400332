"""The picture of the demo: both spectrograms and the codes under them. Needs matplotlib."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from .._arrays import Float32Array, Int64Array

WINDOW, HOP = 1024, 240
RANGE_DB = 80.0
SPECTRUM_COLOURS, CODE_COLOURS = "magma", "viridis"


def draw(
    file: BinaryIO,
    original: Float32Array,
    decoded: Float32Array,
    codes: Int64Array,
    sample_rate: int,
    frame_rate: float,
    codebook_size: int,
    title: str,
) -> None:
    """Write a PNG: the spectrograms of two clips (L,) on one scale in dB, and the codes (K, T) as an image."""
    spectra = {"original": spectrogram(original), "decoded": spectrogram(decoded)}
    top = max(float(spectrum.max()) for spectrum in spectra.values())
    seconds, kilohertz = len(original) / sample_rate, sample_rate / 2000
    codebooks, frames = codes.shape

    figure = Figure(figsize=(11, 8.5), layout="constrained")
    upper, middle, lower = figure.subplots(3, 1, sharex=True, height_ratios=[3, 3, 2])
    figure.suptitle(title)
    for axes, name in ((upper, "original"), (middle, "decoded")):
        image = axes.imshow(
            spectra[name] - top,
            origin="lower",
            aspect="auto",
            extent=(0, seconds, 0, kilohertz),
            vmin=-RANGE_DB,
            vmax=0,
            cmap=SPECTRUM_COLOURS,
            interpolation="bilinear",
        )
        axes.set_ylabel("frequency (kHz)")
        axes.set_title(name, loc="left")
    figure.colorbar(image, ax=[upper, middle], label="level (dB)", pad=0.01)
    image = lower.imshow(
        codes,
        aspect="auto",
        extent=(0, frames / frame_rate, codebooks - 0.5, -0.5),
        vmin=0,
        vmax=codebook_size - 1,
        cmap=CODE_COLOURS,
        interpolation="nearest",
    )
    figure.colorbar(image, ax=lower, label="code", pad=0.01)
    lower.set_title("codes", loc="left")
    lower.set_ylabel("codebook")
    lower.set_yticks(range(0, codebooks, max(1, codebooks // 8)))
    lower.set_xlabel("time (s)")
    lower.set_xlim(0, seconds)
    figure.savefig(file, format="png", dpi=130)


def spectrogram(pcm: Float32Array) -> npt.NDArray[np.float32]:
    """Level in dB, (WINDOW / 2 + 1, L / HOP + 1), with frames centred on multiples of HOP."""
    padded = np.pad(pcm, WINDOW // 2)
    padded = np.pad(padded, (0, -(len(padded) - WINDOW) % HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), axis=1)) ** 2
    return (10 * np.log10(power.T + 1e-10)).astype(np.float32)
