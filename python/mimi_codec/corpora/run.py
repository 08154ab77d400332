"""A run: the clips, the plan, the work and what came of it."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._arrays import to_count
from .._devices import Device
from .._options import PADDINGS, Padding, Stop, choice, to_limits
from ..audio import Channels
from ..audio.mixer import check_channels
from ..errors import ConfigError, InputTypeError
from ..loading import load
from . import plan as plans
from .coding import Coder, content_of
from .engine import Engine
from .formats import FormatName, format_of
from .formats.parquet import Parquet
from .items import Item, ItemsInput, corpus_of
from .plan import Plan, describe, hash_of_ids, write_or_check
from .progress import Progress, Tally
from .rows import Row
from .schedule import Schedule
from .shards import DATA, path_of, shard_of
from .summary import Summary, summed

if TYPE_CHECKING:
    from ..latent_codec import LatentCodec
    from ..token_codec import TokenCodec

DEFAULT_MODEL = "kyutai/mimi"
SHARDS = 256


class Run:
    """One run over the shards of a rank, from a checked plan to its summary."""

    def __init__(
        self,
        items: ItemsInput,
        out: str | os.PathLike[str],
        codec: Any,
        *,
        num_codebooks: int | None,
        latents: bool,
        shards: int,
        jobs: int,
        rank: int,
        world: int,
        channels: Channels,
        file_format: str,
        padding: Padding,
        strict: bool,
        retry_failed: bool,
    ) -> None:
        """Find the clips, and write the plan or hold it against the one that is there."""
        shards, jobs = to_count(shards, "shards"), to_count(jobs, "jobs")
        _check_rank(rank, world, shards)
        channels = check_channels(channels)
        choice("padding", padding, PADDINGS)
        form = format_of(file_format)
        content = content_of(codec, num_codebooks, latents)
        coder = Coder(codec, content, padding)
        root = Path(out)
        corpus = corpus_of(items, root)
        self._notes = tuple(corpus.notes)
        counts, mine = [0] * shards, defaultdict[int, list[Item]](list)
        for item in corpus.items:
            shard = shard_of(item.id, shards)
            counts[shard] += 1
            if shard % world == rank:
                mine[shard].append(item)
        plan = describe(
            codec,
            content,
            coder.stream(1),
            padding=padding,
            channels=channels,
            strict=bool(strict),
            format=file_format,
            shards=shards,
            clips=len(corpus.items),
            ids=hash_of_ids([item.id for item in corpus.items]),
            clips_in_shards=counts,
        )
        (root / DATA).mkdir(parents=True, exist_ok=True)
        self.plan = write_or_check(plan, root)
        self._schedule = Schedule(root, self.plan, form, mine, retry=retry_failed)
        clips, size = self._schedule.planned
        self._tally = Tally(clips, size)
        self._engine = Engine(self._schedule, codec, content, self._tally, min(jobs, max(1, clips)))
        self._began, self._cpu = time.perf_counter(), time.process_time()

    def go(self, progress: Callable[[Progress], object] | None = None, stop: Stop | None = None) -> Summary:
        """Do the work."""
        asked, _ = to_limits(stop, None)
        stopped = False

        def tick() -> bool:
            nonlocal stopped
            if progress is not None:
                progress(self._tally.now())
            stopped = stopped or bool(asked is not None and asked())
            return stopped

        self._engine.run(tick)
        return self.summary()

    def summary(self) -> Summary:
        """What came of it so far."""
        return summed(
            self._engine.outcome.committed,
            self._schedule.kept,
            self._engine.outcome.failed,
            seconds_of_audio=self._tally.now().seconds_of_audio,
            shards_by_others=self._schedule.by_others,
            shards_left=self._schedule.unfinished,
            seconds_taken=time.perf_counter() - self._began,
            cpu_seconds=time.process_time() - self._cpu,
            interrupted=self._schedule.unfinished > 0,
            notes=self._notes,
        )


def _check_rank(rank: int, world: int, shards: int) -> None:
    to_count(world, "world")
    if isinstance(rank, bool) or not isinstance(rank, int):
        raise InputTypeError(f"rank must be an integer, got {type(rank).__name__}")
    if not 0 <= rank < world:
        raise ConfigError(f"rank must be between 0 and world - 1 = {world - 1}, got {rank}")
    if world > shards:
        raise ConfigError(
            f"world must be at most the {shards} shards, got {world}: some ranks would have nothing to do"
        )


def tokenize(
    items: ItemsInput,
    out: str | os.PathLike[str],
    codec: TokenCodec | LatentCodec | str | os.PathLike[str] = DEFAULT_MODEL,
    *,
    num_codebooks: int | None = None,
    latents: bool = False,
    shards: int = SHARDS,
    jobs: int = 1,
    rank: int = 0,
    world: int = 1,
    channels: Channels = "mix",
    file_format: FormatName = "parquet",
    padding: Padding = "transformers",
    strict: bool = False,
    retry_failed: bool = False,
    device: Device = "cpu",
    progress: Callable[[Progress], object] | None = None,
    stop: Stop | None = None,
) -> Summary:
    """Turn a corpus into shards of codes or latents, each clip once, however often the run is interrupted.

    The same call again does what is left. A clip that fails does not stop the others: its shard says why it failed.

    Args:
        items: what to tokenize: a sound file, a directory, a pattern such as `clips/**/*.flac`, a tar of sound files, a
            list (JSON Lines, CSV or tab-separated) with a path in each line; or any number of these and of (id, sound).
            A sound is a path, the bytes of a file, samples (L,) or (C, L) at the codec's rate, a mapping with "array"
            and "sampling_rate", "bytes" or "path" as the package `datasets` gives it, a `Sound`, or a function that
            gives one of these. Ids of files are their paths below what was named.
        out: the directory for `plan.json` and the shards, in `data/`.
        codec: a model, or what `mimi_codec.load` takes.
        num_codebooks: codebooks K; None takes all that are loaded.
        latents: keep the encoder's latents (T, D) in place of codes.
        shards: files that the clips are spread over, by a hash of their ids.
        jobs: clips that are encoded at once, in threads over one copy of the weights.
        rank: which part of the work this process does, from 0: the shards that are `rank` modulo `world`.
        world: how many processes there are.
        channels: "mix", "first", a number from 1, or "separate", which gives a row for each channel.
        file_format: "parquet", "webdataset" or "files".
        padding: as in `Mimi.encode`.
        strict: sounds that are damaged or cut short fail as a whole, instead of a warning in their row.
        retry_failed: make those shards again that have failures. Their other clips are kept.
        device: where the codec runs, as in `mimi_codec.load`; not for a model, which is where it was loaded.
        progress: a function that is called ten times per second with the `Progress`.
        stop: a `threading.Event`, or a function without arguments, that is asked as often whether to stop.

    Returns:
        What came of it. `complete` says whether all shards of this rank are there.

    Raises:
        ConfigError: an option outside its range, ids that are not unique, no clips, or a `plan.json` of another run.
        DeviceError: the device is not there, or something that it needs is missing.
        InputTypeError: an item that is neither a path nor (id, sound).
        LoadError: the model, a list or an archive cannot be read.
        OSError: a directory cannot be read, or a shard cannot be written.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.corpora import read_rows, tokenize
        >>> clips = [("hum", np.zeros(48_000, np.float32)), ("hiss", np.zeros(24_000, np.float32))]
        >>> summary = tokenize(clips, "out", Mimi.demo(), num_codebooks=8, shards=2, file_format="webdataset")
        >>> sorted((row.id, row.frames.shape) for row in read_rows("out"))
        [('hiss', (8, 13)), ('hum', (8, 25))]
    """
    to_limits(stop, None)  # what cannot be asked is refused before any work
    if isinstance(codec, (str, os.PathLike)):
        codec = load(codec, parts="encoder", num_codebooks=None if latents else num_codebooks, device=device)
    run = Run(
        items,
        out,
        codec,
        num_codebooks=num_codebooks,
        latents=latents,
        shards=shards,
        jobs=jobs,
        rank=rank,
        world=world,
        channels=channels,
        file_format=file_format,
        padding=padding,
        strict=strict,
        retry_failed=retry_failed,
    )
    return run.go(progress, stop)


def read_rows(out: str | os.PathLike[str]) -> Iterator[Row]:
    """The clips of all shards that are there, whatever their format, shard by shard and in the order of their ids.

    Args:
        out: the directory of `tokenize`, this one or that of `mimi_codec.ray`.

    Yields:
        A `Row` for each clip, or for each channel of a clip whose channels are kept separate.

    Raises:
        ConfigError: a package is missing that reads the shards.
        LoadError: there is no plan, or a file is not a shard.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.corpora import read_rows, tokenize
        >>> summary = tokenize([("hum", np.zeros(48_000, np.float32))], "out", Mimi.demo(), file_format="files")
        >>> [(row.id, row.num_samples) for row in read_rows("out")]
        [('hum', 48000)]
    """
    root = Path(out)
    plan: Plan = plans.read(root)
    if plan.format == plans.BY_RAY:
        yield from Parquet().read_loose(root / DATA, plan.what)
        return
    form = format_of(plan.format)
    for number in range(plan.shards):
        path = path_of(root, number, plan.shards, form.suffix)
        if path.exists():
            yield from form.read(path)
