"""`mimi encode`: sound files to token files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .._arrays import AnyArray, Float32Array
from .._found import counted
from .._options import PADDINGS, Padding
from ..audio import AUDIO_SUFFIXES, Sound, readable_suffixes
from ..errors import CodesError
from ..latent_codec import LatentCodec
from ..token_codec import TokenCodec
from ..token_files import SUFFIXES, Codec, FileFormat, Tokens, format_by_suffix, write_tokens
from ..token_files.formats import check_format
from ..token_files.latents import LATENT_SUFFIXES, Latents, write_latents
from . import sounds
from .console import PIPE, STANDARD_INPUT, UsageError
from .facts import sizes
from .inputs import named
from .options import (
    DEFAULT_MODEL,
    Verbs,
    add_command,
    add_file_options,
    add_input_options,
    add_model_options,
    load_codec,
    positive,
)
from .output import is_stream, writing
from .plan import Job, Plan, plan
from .progress import Clip
from .work import Run

BLOCK_FRAMES = 64  # two of the codec's own blocks: 5 s between two signs of life

EXAMPLES = """\
  mimi encode talk.wav -o talk.safetensors -k 8
  mimi encode recordings/ -o tokens/ --format mcs --jobs 4    the same command again does what is left
  mimi encode speaker1/ speaker2/ -o tokens/                  to tokens/speaker1/, tokens/speaker2/
  mimi encode dialogue.wav -o dialogue.npz --channels separate
                                                              to dialogue.1.npz, dialogue.2.npz
  find . -name '*.wav' | mimi encode --from - -o tokens/
  ffmpeg -i talk.mp4 -ac 1 -ar 24000 -f s16le - | mimi encode - --raw s16le -o talk.npz"""


def add_parser(verbs: Verbs) -> None:
    """Describe the command."""
    parser = add_command(
        verbs,
        "encode",
        "sound files to token files",
        "Turn sound into codes, or into latents if the codec has no codes. Directories are searched, and their folders "
        "are made again in the output. Files that are there already are kept. To resample, and to read other files "
        "than WAV, install the extra [audio]; for m4a, webm and video, the extra [av].",
        EXAMPLES,
    )
    add_input_options(parser, "sound files")
    parser.add_argument("-o", "--output", metavar="OUT", help=f"token file, directory, or {PIPE}")
    parser.add_argument("-k", "--codebooks", type=positive, metavar="K", help="codebooks (default: all of the model)")
    parser.add_argument(
        "--format",
        choices=list(SUFFIXES.values()),
        help=f"format of files in a directory and of {PIPE} (default: safetensors)",
    )
    parser.add_argument(
        "--channels",
        type=sounds.channels_option,
        default="mix",
        metavar="C",
        help="what to make of several channels: mix (their average, the default), first, a number from 1 up, or "
        "separate (a token file per channel: name.1, name.2)",
    )
    parser.add_argument("--strict", action="store_true", help="files that are damaged or cut short fail as a whole")
    parser.add_argument(
        "--raw",
        choices=list(sounds.RAW_FORMATS),
        help=f"the input {PIPE} is bare mono samples at the model's rate, not a file",
    )
    parser.add_argument(
        "--padding",
        choices=PADDINGS,
        default=PADDINGS[0],
        help="how the last frame is filled up if the clip ends within it: as Transformers does (the default), or with "
        "zeros as moshi does. Only the last frame's codes can differ: choose only to compare with the other program. "
        "A VibeVoice leaves out what is less than a frame, unless it is moshi",
    )
    add_file_options(parser, jobs=True)
    add_model_options(parser, default=DEFAULT_MODEL, default_text=DEFAULT_MODEL)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Encode all inputs; the exit code."""
    if args.raw and not (len(args.inputs) == 1 and args.inputs[0] in STANDARD_INPUT):
        raise UsageError(f"--raw is for the input {PIPE}")
    suffix = f".{args.format or 'safetensors'}"
    accepted = [known for known in AUDIO_SUFFIXES if known in readable_suffixes()]
    what = plan(named(args.inputs, args.list_file), args.output, accepted, suffix)
    unread = [name for name in what.inputs.passed_over if Path(name).suffix.lower() in AUDIO_SUFFIXES]
    if unread:
        what.notes.append(
            f"{counted(len(unread), 'sound file')} passed over: pip install 'mimi-codec[audio,av]' reads all"
        )
    formats = _formats(what, args.format)
    separate = args.channels == "separate"
    if separate and any(job.target is None or is_stream(job.target) for job in what.jobs):
        raise UsageError("--channels separate makes several files, which need names: -o FILE or a directory")
    work_list = Run("encode", "encoded", what, args, (lambda target: channel_target(target, 1)) if separate else None)
    if not work_list.todo:
        return work_list.do(lambda job, clip: {})
    model = load_codec(args, args.model, args.revision, parts="encoder", num_codebooks=args.codebooks)
    _check_formats(set(formats.values()), model)

    def work(job: Job, clip: Clip) -> dict[str, Any]:
        sound = sounds.read(job.source, model.sample_rate, raw=args.raw, channels=args.channels, strict=args.strict)
        for warning in sound.warnings:
            clip.say(warning)
        clip.length(sound.seconds)
        rows = sound.samples if separate else sound.samples[np.newaxis]
        left_over = model.left_over(rows.shape[1], padding=args.padding)
        held = rows.shape[1] - left_over
        made = [_content(model, _encode(model, pcm, args.padding, clip, len(rows)), held) for pcm in rows]
        targets = [
            channel_target(job.target, index + 1) if separate and job.target else job.target
            for index in range(len(made))
        ]
        for target, content in reversed(list(zip(targets, made, strict=True))):  # the first says that all are there
            with writing(target) as file:
                _write(file, content, formats[job])
        facts = {"seconds": sound.seconds, "frames": made[0].num_frames, **sizes(made[0])}
        outputs = {"outputs": [str(target) for target in targets]} if separate else {}
        rest = {"left_over": left_over} if left_over else {}
        return {**facts, **rest, **outputs, **_notes(sound)}

    return work_list.do(work)


def channel_target(target: Path, number: int) -> Path:
    """The file of one channel: name.1.npz for name.npz."""
    return target.with_suffix(f".{number}{target.suffix}")


def _formats(what: Plan, wanted: FileFormat | None) -> dict[Job, FileFormat]:
    """The format of each file. Raises `UsageError` for a suffix that is not that of the format wanted."""
    formats: dict[Job, FileFormat] = {}
    for job in what.jobs:
        if job.target is None or is_stream(job.target):
            formats[job] = wanted or "safetensors"
            continue
        suffix = job.target.suffix.lower()
        if suffix not in SUFFIXES or (wanted is not None and suffix != f".{wanted}"):
            expected = f".{wanted}" if wanted else ", ".join(SUFFIXES)
            raise UsageError(f"a token file ends in {expected}, got {job.target}")
        formats[job] = format_by_suffix(job.target)
    return formats


def _check_formats(formats: set[FileFormat], model: TokenCodec | LatentCodec) -> None:
    """Raise `UsageError` for a format that cannot hold what the model gives."""
    for file_format in formats:
        if not isinstance(model, TokenCodec):
            if file_format not in LATENT_SUFFIXES.values():
                raise UsageError(
                    f"{model.name} gives latents, which go into {', '.join(LATENT_SUFFIXES)} files, got .{file_format}"
                )
            continue
        try:
            check_format(file_format, Codec.of(model), model.num_codebooks)
        except CodesError as error:
            raise UsageError(str(error)) from error


def _content(model: TokenCodec | LatentCodec, frames: AnyArray, num_samples: int) -> Tokens | Latents:
    """What the file of a clip is to hold."""
    return (
        Tokens.of(model, frames, num_samples)
        if isinstance(model, TokenCodec)
        else Latents.of(model, frames, num_samples)
    )


def _write(file: BinaryIO, content: Tokens | Latents, file_format: FileFormat) -> None:
    if isinstance(content, Tokens):
        write_tokens(file, content, file_format)
    else:
        write_latents(file, content, LATENT_SUFFIXES[f".{file_format}"])


def _encode(model: TokenCodec | LatentCodec, pcm: Float32Array, padding: Padding, clip: Clip, share: int) -> AnyArray:
    """The frames of a clip, in blocks, so that it can tell how far it is and be stopped; they are the same."""
    stream, block = model.encoder_stream(), BLOCK_FRAMES * model.frame_size
    frames = []
    for start in range(0, len(pcm), block):
        part = pcm[start : start + block]
        frames.append(stream.push(part))
        clip.advance(len(part) / model.sample_rate / share)
    return np.concatenate([*frames, stream.flush(padding=padding)], axis=1)


def _notes(sound: Sound) -> dict[str, list[str]]:
    """What was done to a sound and what was wrong with it."""
    notes = {"done": list(sound.done), "warnings": list(sound.warnings)}
    return {name: found for name, found in notes.items() if found}
