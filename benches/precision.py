"""How far weights in bfloat16 and int8 are from those in float32: signal-to-noise ratios of latents and of audio.

    python benches/precision.py DIRECTORY...

Encoders are given the packaged speech. Decoders are given what the encoder made of it in float32, or without an encoder
random codes.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import mimi_codec
from mimi_codec import read_audio
from mimi_codec.demo_files import demo_clip

SECONDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="DIRECTORY")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    print("| codec | dtype | encoder | decoder |\n|---|---|---|---|")
    for name in args.models:
        codec = mimi_codec.load(name, threads=args.threads)
        pcm = read_audio(demo_clip(), codec.sample_rate)[: SECONDS * codec.sample_rate]
        latents = codec.encode_latents(pcm) if codec.has_encoder else None
        frames = given(codec, pcm, latents)
        audio = decode(codec, frames)
        kind = codec.kind
        del codec
        for dtype in ("bfloat16", "int8"):
            other = mimi_codec.load(name, threads=args.threads, dtype=dtype)
            ratios = [
                "-" if latents is None else f"{snr(latents, other.encode_latents(pcm)):.1f} dB",
                "-" if audio is None else f"{snr(audio, decode(other, frames)):.1f} dB",
            ]
            print(f"| {kind} | {dtype} | {' | '.join(ratios)} |", flush=True)
            del other


def given(codec: Any, pcm: np.ndarray, latents: np.ndarray | None) -> np.ndarray | None:
    """Frames for the decoder."""
    if not hasattr(codec, "decode"):
        return latents
    if codec.has_encoder:
        return codec.encode(pcm)
    frames = len(pcm) // codec.frame_size
    return np.random.default_rng(0).integers(codec.codebook_size, size=(codec.num_codebooks, frames))


def decode(codec: Any, frames: np.ndarray) -> np.ndarray | None:
    if not codec.has_decoder:
        return None
    return codec.decode(frames) if hasattr(codec, "decode") else codec.decode_latents(frames)


def snr(exact: np.ndarray, other: np.ndarray) -> float:
    """Decibels of the signal over the difference."""
    return float(10 * np.log10(np.square(exact).mean() / np.square(other - exact).mean()))


if __name__ == "__main__":
    main()
