"""`mimi demo`: real speech through the embedded model, there and back."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from .._arrays import Float32Array
from ..audio import read_audio, write_wav
from ..demo_files import demo_clip
from ..model import Mimi
from ..token_files import Tokens, write_tokens
from .console import say, show
from .options import DEFAULT_MODEL, Verbs, add_command, add_computing_options, check_codebooks, positive
from .output import check_place, writing

DEFAULT_CODEBOOKS = 8
SAMPLE_BITS = 16

EXAMPLES = """\
  mimi demo
  mimi demo -k 1 -o one-codebook"""


def add_parser(verbs: Verbs) -> None:
    """Describe the command."""
    parser = add_command(
        verbs,
        "demo",
        "encode and decode a packaged clip with the embedded model",
        "Encode a packaged speech clip with the embedded model, decode it, and write the codes, both sounds and, with "
        f"the extra [plot], a picture. The embedded model is a toy: {DEFAULT_MODEL} sounds far better. Files of an "
        "earlier demo are replaced.",
        EXAMPLES,
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("mimi-demo"),
        metavar="DIR",
        help="where to write (default: mimi-demo)",
    )
    parser.add_argument(
        "-k", "--codebooks", type=positive, default=DEFAULT_CODEBOOKS, metavar="K", help="codebooks (default: 8)"
    )
    add_computing_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; the exit code."""
    model = Mimi.demo(threads=args.threads, dtype=args.dtype, device=args.device)
    check_codebooks(model, args.codebooks)
    check_place(args.output)
    original = read_audio(demo_clip(), model.sample_rate)
    seconds = len(original) / model.sample_rate

    began = time.perf_counter()
    codes = model.encode(original, args.codebooks)
    encoded = time.perf_counter()
    decoded = model.decode(codes)[: len(original)]
    finished = time.perf_counter()

    codebooks, frames = codes.shape
    bits = model.bits_per_second(codebooks)
    times = SAMPLE_BITS * model.sample_rate / bits
    score = intelligibility(original, decoded, model.sample_rate)
    threads = f"{model.threads} thread{'s' if model.threads > 1 else ''}"
    show(f"model   {model.name}: {model.num_codebooks} codebooks of {model.codebook_size}, {model.simd}, {threads}")
    show(f"clip    {seconds:.2f} s of speech at {model.sample_rate} Hz")
    show(f"codes   {codebooks} codebooks x {frames} frames at {model.frame_rate:g} Hz, {bits:g} bits per second")
    show(f"encode  {_speed(encoded - began, seconds)}")
    show(f"decode  {_speed(finished - encoded, seconds)}")
    if score is not None:
        show(f"STOI    {score:.2f} (intelligibility of the decoded speech, between 0 and 1)")

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
        figures = f"{bits:g} bits per second, {times:.0f} times less than 16-bit samples"
        figures += "" if score is None else f"; intelligibility (STOI) {score:.2f} of 1"
        with writing(args.output / "picture.png") as file:
            draw(file, original, decoded, codes, model.sample_rate, model.frame_rate, figures)
        made.append("picture.png")
    show(f"wrote   {', '.join(made)} in {args.output}")
    show(f"note    the embedded model is a toy; {DEFAULT_MODEL} sounds far better (mimi encode, without --model)")
    return 0


def intelligibility(original: Float32Array, decoded: Float32Array, sample_rate: int) -> float | None:
    """Short-time objective intelligibility, between 0 and 1, if the package pystoi is there."""
    try:
        from pystoi import stoi
    except ImportError:
        return None
    return float(stoi(original, decoded, sample_rate))


def _speed(taken: float, seconds: float) -> str:
    return f"{taken * 1000:.1f} ms, {seconds / taken:.0f} times real time"
