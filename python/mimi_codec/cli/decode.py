"""`mimi decode`: token files to sound files."""

from __future__ import annotations

import argparse
import dataclasses
import io
import threading
from typing import Any

import numpy as np

from .._arrays import AnyArray, Float32Array
from ..errors import CodesError, LatentsError
from ..latent_codec import LatentCodec
from ..token_codec import TokenCodec
from ..token_files import KYUTAI, Codec, Latents, Tokens, read_latents, read_tokens
from ..token_files.formats import READ_SUFFIXES
from ..token_files.latents import holds_latents
from . import sounds
from .console import PIPE, UsageError, binary_input
from .facts import sizes
from .inputs import named
from .options import Verbs, add_command, add_file_options, add_input_options, add_model_options, load_codec, positive
from .output import is_stream, writing
from .plan import Job, plan
from .progress import Clip
from .work import Run

BLOCK_FRAMES = 64

EXAMPLES = """\
  mimi decode talk.safetensors -o talk.wav
  mimi decode tokens/ -o sounds/ --format flac --jobs 2
  mimi decode codes.npy -o talk.wav --model kyutai/mimi        bare codes do not say which model made them
  mimi decode talk.mcs -o - --raw s16le | ffplay -f s16le -ar 24000 -"""


def add_parser(verbs: Verbs) -> None:
    """Describe the command."""
    parser = add_command(
        verbs,
        "decode",
        "token files to sound files",
        "Turn codes or latents into sound, as long as the clip was before its padding. Directories are searched, and "
        "their folders are made again in the output. Files that are there already are kept. Each file is decoded by "
        "the model that it names, or by --model. Formats other than WAV need the extra [audio].",
        EXAMPLES,
    )
    add_input_options(parser, f"token files ({', '.join(READ_SUFFIXES)})")
    parser.add_argument(
        "-k", "--codebooks", type=positive, metavar="K", help="decode only the first K codebooks (default: all)"
    )
    parser.add_argument("-o", "--output", metavar="OUT", help=f"sound file, directory, or {PIPE}")
    parser.add_argument(
        "--format",
        choices=[suffix[1:] for suffix in sounds.WRITTEN_SUFFIXES],
        help=f"format of files in a directory and of {PIPE} (default: wav)",
    )
    parser.add_argument("--float", action="store_true", help="write WAV with float32 samples instead of 16 bits")
    parser.add_argument(
        "--raw", choices=list(sounds.RAW_FORMATS), help=f"write bare samples to {PIPE}, not a sound file"
    )
    add_file_options(parser, jobs=True)
    add_model_options(parser, default=None, default_text="the one that the token file names")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Decode all inputs; the exit code."""
    wanted = f".{args.format or 'wav'}"
    what = plan(named(args.inputs, args.list_file), args.output, READ_SUFFIXES, wanted)
    suffixes = {
        job: wanted if job.target is None or is_stream(job.target) else job.target.suffix.lower() for job in what.jobs
    }
    for job, suffix in suffixes.items():
        if args.format and suffix != wanted:
            raise UsageError(f"--format {args.format} and the suffix of {job.target} do not go together")
        if args.raw and job.target is not None and not is_stream(job.target):
            raise UsageError(f"--raw is for the output {PIPE}")
    sounds.check_writable(sorted(set(suffixes.values())), wide=args.float)
    work_list = Run("decode", "decoded", what, args)
    models = _Models(args)

    def work(job: Job, clip: Clip) -> dict[str, Any]:
        data = binary_input().read() if job.source is None else job.source.read_bytes()
        content = _first(_read(data, models.named(args.model, None) if args.model else None), args.codebooks)
        model = models.named(args.model or content.model, None if args.model else content.revision)
        _check_fit(content, model)
        clip.length(content.seconds)
        pcm = _decode(model, content, clip)[: content.num_samples]
        with writing(job.target) as file:
            if args.raw:
                sounds.write_raw(file, pcm, args.raw)
            else:
                sounds.write(file, pcm, model.sample_rate, suffixes[job], wide=args.float)
        facts = {"seconds": len(pcm) / model.sample_rate, "frames": content.num_frames, **sizes(content)}
        late = [f"the last samples are missing, at most {model.delay}, as the decoder looks so far ahead"]
        return {**facts, "done": late} if len(pcm) < content.num_samples else facts

    if args.model and work_list.todo:
        models.named(args.model, None)  # what is wrong with it is wrong with no file
    return work_list.do(work)


class _Models:
    """The models that files name, each loaded once."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._lock = threading.Lock()
        self._loaded: dict[tuple[str, str | None], TokenCodec | LatentCodec] = {}

    def named(self, name: str, revision: str | None) -> TokenCodec | LatentCodec:
        """The model of a name and revision, --revision first."""
        key = (name, self._args.revision or revision)
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = load_codec(self._args, *key, parts="decoder")
            return self._loaded[key]


def _read(data: bytes, model: TokenCodec | LatentCodec | None) -> Tokens | Latents:
    """The content of a file; bare codes are taken for those of `model`."""
    if holds_latents(data):
        return read_latents(io.BytesIO(data))
    if model is None:
        return read_tokens(io.BytesIO(data))
    # Of a model without codes any codec will do: the check of what fits says what is wrong.
    return read_tokens(io.BytesIO(data), codec=Codec.of(model) if isinstance(model, TokenCodec) else KYUTAI)


def _first(content: Tokens | Latents, codebooks: int | None) -> Tokens | Latents:
    """The first codebooks that were asked for."""
    if codebooks is None:
        return content
    if isinstance(content, Latents):
        raise LatentsError(f"a file of latents has no codebooks, asked for {codebooks}")
    if codebooks > content.num_codebooks:
        raise CodesError(f"the file has {content.num_codebooks} codebooks, asked for {codebooks}")
    return dataclasses.replace(content, codes=np.ascontiguousarray(content.codes[:codebooks]))


def _check_fit(content: Tokens | Latents, model: TokenCodec | LatentCodec) -> None:
    """Codes or latents of another codec would decode to noise, so they are refused."""
    rates, names = (model.sample_rate, model.frame_rate), "sample rate, frame rate"
    if isinstance(content, Latents):
        expected = (*rates, model.decoder_latent_dim)
        found = (content.sample_rate, content.frame_rate, content.latent_dim)
        if expected != found:
            raise LatentsError(
                f"{model.name} cannot decode the latents: expected ({names}, width) {expected}, got {found}"
            )
        return
    if not isinstance(model, TokenCodec):
        raise CodesError(f"{model.name} has latents and no codes, got a file of codes")
    expected = (*rates, model.codebook_size)
    found = (content.sample_rate, content.frame_rate, content.codebook_size)
    if expected != found:
        raise CodesError(
            f"the codes are not of {model.name}: expected ({names}, codebook size) {expected}, got {found}"
        )
    own, theirs = Codec.of(model).codebooks_of, content.codec.codebooks_of
    if theirs not in (None, own):
        raise CodesError(f"the codes are not of {model.name}: expected codes of the kind {own!r}, got {theirs!r}")
    if content.num_codebooks > model.num_codebooks:
        most = model.num_codebooks
        raise CodesError(
            f"{model.name} has {most} codebooks, the file {content.num_codebooks}; -k {most} takes the first"
        )


def _decode(model: TokenCodec | LatentCodec, content: Tokens | Latents, clip: Clip) -> Float32Array:
    """The audio of a clip, in blocks, so that it can tell how far it is and be stopped; the audio is the same."""
    frames: AnyArray
    if isinstance(content, Tokens):
        stream, frames = model.decoder_stream(), content.codes
    else:
        stream = model.decoder_stream(latents=True) if isinstance(model, TokenCodec) else model.decoder_stream()
        frames = content.latents
    pcm = [np.zeros(0, np.float32)]
    for start in range(0, content.num_frames, BLOCK_FRAMES):
        part = frames[:, start : start + BLOCK_FRAMES]
        pcm.append(stream.push(part))
        clip.advance(part.shape[1] / model.frame_rate)
    return np.concatenate(pcm)
