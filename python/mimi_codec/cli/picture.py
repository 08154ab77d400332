"""The picture of the demo: both spectrograms, and what the codes do under them. Needs matplotlib."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .._arrays import Float32Array, Int64Array
from .options import DEFAULT_MODEL

WINDOW, HOP = 1024, 240
RANGE_DB = 80.0
SPECTRUM_COLOURS = "magma"
# What a code does, and its colour: the darker, the more often it comes back.
CODE_KINDS = {
    "as in the frame before": "white",
    "used once": "#c6dbef",
    "used twice": "#4292c6",
    "used more often": "#08306b",
}
NOTE = f"The embedded model is a toy that shows how it works. {DEFAULT_MODEL} sounds far better."


def draw(
    file: BinaryIO,
    original: Float32Array,
    decoded: Float32Array,
    codes: Int64Array,
    sample_rate: int,
    frame_rate: float,
    figures: str,
) -> None:
    """Write a PNG: the spectrograms of two clips (L,) on one scale in dB, and the use of their codes (K, T)."""
    spectra = {"original": spectrogram(original), "decoded": spectrogram(decoded)}
    top = max(float(spectrum.max()) for spectrum in spectra.values())
    seconds = len(original) / sample_rate
    shown = highest_band(list(spectra.values()), top - RANGE_DB)
    kilohertz = shown * sample_rate / WINDOW / 1000
    codebooks, frames = codes.shape
    figure = Figure(figsize=(11, 9.5), layout="constrained")
    figure.suptitle(f"Speech through Mimi's codes and back: {figures}\n{NOTE}", fontsize=11)
    grid = figure.add_gridspec(3, 2, width_ratios=[12, 1.1], height_ratios=[3, 3, 2.4])
    first = None
    for row, (name, spectrum) in enumerate(spectra.items()):
        axes = figure.add_subplot(grid[row, 0], sharex=first)
        first = first or axes
        image = axes.imshow(
            spectrum[:shown] - top,
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
        axes.tick_params(labelbottom=False)
    scale = figure.add_subplot(grid[:2, 1])
    scale.axis("off")
    figure.colorbar(image, cax=scale.inset_axes((0, 0, 0.25, 1)), label="level (dB)")

    changes = figure.add_subplot(grid[2, 0], sharex=first)
    changes.imshow(
        kinds_of(codes),
        aspect="auto",
        extent=(0, frames / frame_rate, codebooks - 0.5, -0.5),
        vmin=-0.5,
        vmax=len(CODE_KINDS) - 0.5,
        cmap=ListedColormap(list(CODE_KINDS.values())),
        interpolation="nearest",
    )
    changes.set_title("codes", loc="left")
    patches = [Patch(facecolor=colour, edgecolor="0.6", label=kind) for kind, colour in CODE_KINDS.items()]
    changes.legend(
        handles=patches, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=len(patches), frameon=False, fontsize=9
    )
    changes.set_ylabel("codebook")
    changes.set_yticks(range(0, codebooks, max(1, codebooks // 8)))
    changes.set_xlabel("time (s)")
    changes.set_xlim(0, seconds)
    used = figure.add_subplot(grid[2, 1], sharey=changes)
    counts = [len(np.unique(row)) for row in codes]
    used.barh(range(codebooks), counts, color="0.6")
    for index, count in enumerate(counts):
        used.text(count, index, f" {count}", va="center", fontsize=8)
    used.set_xlim(0, 1.3 * max(counts, default=1) + 1)
    used.set_title(f"different codes\nin {frames} frames", loc="left", fontsize=8)
    used.tick_params(labelleft=False)
    used.set_xticks([])
    figure.savefig(file, format="png", dpi=130)


def kinds_of(codes: Int64Array) -> Int64Array:
    """For codes (K, T): which of `CODE_KINDS` each is, (K, T)."""
    kinds = np.empty_like(codes)
    for row, into in zip(codes, kinds, strict=True):
        _, which, counts = np.unique(row, return_inverse=True, return_counts=True)
        into[:] = np.minimum(counts[which.reshape(-1)], len(CODE_KINDS) - 1)
    kinds[:, 1:][codes[:, 1:] == codes[:, :-1]] = 0
    return kinds


def highest_band(spectra: list[npt.NDArray[np.float32]], floor: float) -> int:
    """How many bands, from the lowest up, hold anything above a level in dB in one of the spectra."""
    loud = np.zeros(spectra[0].shape[0], np.bool_)
    for spectrum in spectra:
        # what only a few frames in a hundred have is the spread of a click, not a band in use
        loud |= np.percentile(spectrum, 98, axis=1) > floor
    return int(np.flatnonzero(loud).max(initial=0)) + 1


def spectrogram(pcm: Float32Array) -> npt.NDArray[np.float32]:
    """Level in dB, (WINDOW / 2 + 1, L / HOP + 1), with frames centred on multiples of HOP."""
    padded = np.pad(pcm, WINDOW // 2)
    padded = np.pad(padded, (0, -(len(padded) - WINDOW) % HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), axis=1)) ** 2
    return (10 * np.log10(power.T + 1e-10)).astype(np.float32)
