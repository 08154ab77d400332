"""`mimi demo`: real speech through the embedded model, there and back."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ..audio import read_audio, write_wav
from ..demo_files import demo_clip
from ..model import Mimi
from ..token_files import Tokens, write_tokens
from ._common import positive, say, writing

DEFAULT_CODEBOOKS = 8


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = verbs.add_parser(
        "demo",
        help="encode and decode a packaged clip with the embedded model",
        description="Encode a packaged speech clip with the embedded model, decode it, and write the codes, both "
        "sounds and, with the extra [plot], a picture. Files of an earlier demo are replaced.",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("mimi-demo"), metavar="DIR", help="(default: mimi-demo)"
    )
    parser.add_argument("-k", "--codebooks", type=positive, default=DEFAULT_CODEBOOKS, metavar="K", help="(default: 8)")
    parser.add_argument("--threads", type=positive, metavar="N", help="threads (default: MIMI_NUM_THREADS, or 1)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; the exit code."""
    model = Mimi.demo(threads=args.threads)
    original = read_audio(demo_clip(), model.sample_rate)
    seconds = len(original) / model.sample_rate

    began = time.perf_counter()
    codes = model.encode(original, args.codebooks)
    encoded = time.perf_counter()
    decoded = model.decode(codes)[: len(original)]
    finished = time.perf_counter()

    codebooks, frames = codes.shape
    bits = model.bits_per_second(codebooks)
    print(f"model   {model.name}: {model.num_codebooks} codebooks of {model.codebook_size}, {model.simd}, ", end="")
    print(f"{model.threads} thread{'s' if model.threads > 1 else ''}")
    print(f"clip    {seconds:.2f} s of speech at {model.sample_rate} Hz")
    print(f"codes   {codebooks} codebooks x {frames} frames at {model.frame_rate:g} Hz, {bits:g} bits per second")
    print(f"encode  {_speed(encoded - began, seconds)}")
    print(f"decode  {_speed(finished - encoded, seconds)}")

    with writing(args.output / "codes.safetensors") as file:
        write_tokens(file, Tokens.of(model, codes, len(original)))
    for name, pcm in (("original.wav", original), ("decoded.wav", decoded)):
        with writing(args.output / name) as file:
            write_wav(file, pcm, model.sample_rate)
    made = ["codes.safetensors", "original.wav", "decoded.wav"]
    try:
        from .picture import draw
    except ImportError:
        say("no picture: it needs matplotlib (pip install 'mimi-codec[plot]')")
    else:
        title = f"Mimi, embedded model: {codebooks} codebooks, {bits:g} bits per second"
        with writing(args.output / "picture.png") as file:
            draw(file, original, decoded, codes, model.sample_rate, model.frame_rate, model.codebook_size, title)
        made.append("picture.png")
    print(f"wrote   {', '.join(made)} in {args.output}")
    return 0


def _speed(taken: float, seconds: float) -> str:
    return f"{taken * 1000:.1f} ms, {seconds / taken:.0f} times real time"
