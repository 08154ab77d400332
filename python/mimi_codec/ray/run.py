"""A corpus to Parquet on a cluster of Ray's, each clip once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _found
from .._arrays import to_count
from .._options import PADDINGS, Padding, choice
from ..audio import Channels
from ..corpora.coding import Coder, content_of
from ..corpora.items import Corpus, corpus_of
from ..corpora.plan import BY_RAY, NAME, Plan, describe, hash_of_ids, write_or_check
from ..corpora.shards import DATA, kind_of
from ..corpora.summary import failed_text
from ..errors import ConfigError, InputTypeError
from ..loading import load
from . import room
from .encode import MimiEncode
from .items import datasource

if TYPE_CHECKING:
    from ..latent_codec import LatentCodec
    from ..token_codec import TokenCodec

CHECKPOINT = "checkpoint"
PENDING = ".pending.parquet"  # Ray's sign for ids whose rows are being written


@dataclass(frozen=True)
class Tokenized:
    """What is in the directory of a corpus after a run.

    Example:
        >>> from mimi_codec.ray import Tokenized
        >>> str(Tokenized(clips=100, failures={"empty": 1}, seconds_of_audio=7200.0))
        '100 clips; 2.00 h of audio; 1 failed (1 empty)'
    """

    clips: int
    """Clips, with those that failed."""
    failures: dict[str, int]
    """How many clips failed, by kind."""
    seconds_of_audio: float
    """Sound that was encoded."""

    def __str__(self) -> str:
        parts = [_found.counted(self.clips, "clip"), f"{self.seconds_of_audio / 3600:.2f} h of audio"]
        return "; ".join([*parts, *failed_text(self.failures)])


def tokenize(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str] | tuple[str, str | os.PathLike[str]]],
    out: str | os.PathLike[str],
    codec: TokenCodec | LatentCodec | str | os.PathLike[str] = "kyutai/mimi",
    *,
    num_codebooks: int | None = None,
    latents: bool = False,
    channels: Channels = "mix",
    padding: Padding = "transformers",
    strict: bool = False,
    actors: int | None = None,
    cpus_per_actor: float | None = None,
    gpus_per_actor: float = 0.0,
    batch_size: int = 32,
    rows_per_file: int = 256,
    autoscaling: bool = False,
) -> Tokenized:
    """Turn a corpus into Parquet files of codes or latents on a cluster, each clip once.

    The same call again does what is left: Ray Data writes down the ids of what is done. `out` and the clips must be
    where all nodes see them. Without a cluster, one starts on this machine.

    Args:
        paths: what `mimi_codec.corpora.tokenize` takes, as far as it is files: paths, patterns, lists, (id, path).
        out: the directory for `plan.json`, the files, in `data/`, and the ids that are done, in `checkpoint/`.
        codec: what `mimi_codec.load` takes; each actor loads its own.
        num_codebooks: codebooks K; None takes all.
        latents: keep latents (T, D) in place of codes (K, T).
        channels: "mix", "first" or a number from 1.
        padding: as in `Mimi.encode`.
        strict: sounds that are damaged or cut short fail.
        actors: processes that encode; None takes as many as the cluster has room for.
        cpus_per_actor: processors of each, which are clips that it works on at once; None takes 1.
        gpus_per_actor: GPUs of each.
        batch_size: clips that an actor takes at once. They are done again if it is killed.
        rows_per_file: clips of a file, at least. They are done again if the run is killed before it is written.
        autoscaling: the cluster grows when it is asked to, so that its room today says nothing.

    Returns:
        What is in `out` now.

    Raises:
        ConfigError: an option outside its range, a `plan.json` of another run, no clips, or actors that would wait for
            ever as the cluster has no room for them beside what reads and writes.
        InputTypeError: a clip that is not a file of its own.
        LoadError: the model or a list cannot be read.
        OSError: a directory cannot be read or written.

    Example:
        >>> from mimi_codec.ray import tokenize
        >>> tokenize("recordings", "out", channels="separate")
        Traceback (most recent call last):
        mimi_codec.errors.ConfigError: channels must be 'mix', 'first' or a number for Ray, got 'separate'
    """
    root, batch_size = Path(out).absolute(), to_count(batch_size, "batch_size")
    rows_per_file = to_count(rows_per_file, "rows_per_file")
    if channels == "separate":  # a clip is done when its id is written: its rows must not be apart
        raise ConfigError("channels must be 'mix', 'first' or a number for Ray, got 'separate'")
    choice("padding", padding, PADDINGS)
    import ray
    from ray.data import ActorPoolStrategy, DataContext
    from ray.data.checkpoint import CheckpointConfig

    if isinstance(codec, (str, os.PathLike)) and Path(codec).exists():
        codec = os.path.abspath(codec)  # actors work elsewhere
    corpus = corpus_of(paths, root)
    clips = _clips(corpus)
    plan = _plan(codec, corpus, num_codebooks, latents, channels=channels, padding=padding, strict=strict)
    if (root / NAME).exists():
        write_or_check(plan, root)
        if _all_done(root, plan):
            return _what_is_there(root, plan)
    if not ray.is_initialized():
        ray.init()
    count, cpus = (
        (actors or 1, cpus_per_actor or 1.0)
        if autoscaling
        else room.plan(
            None if actors is None else to_count(actors, "actors"), cpus_per_actor, gpus_per_actor, room.nodes()
        )
    )
    (root / DATA).mkdir(parents=True, exist_ok=True)
    write_or_check(plan, root)
    options = {"num_codebooks": num_codebooks, "latents": latents, "channels": channels}
    given = {"codec": codec, "padding": padding, "strict": strict, **options}
    context = DataContext.get_current()
    before, context.checkpoint_config = context.checkpoint_config, _checkpoint(CheckpointConfig, root)
    try:
        (
            ray.data.read_datasource(datasource(clips, batch_size), num_cpus=room.TASK)
            .map_batches(
                MimiEncode,
                fn_constructor_kwargs=given,
                batch_format="pyarrow",
                batch_size=batch_size,
                compute=ActorPoolStrategy(size=count),
                num_cpus=cpus,
                num_gpus=gpus_per_actor or None,
            )
            .write_parquet(
                str(root / DATA),
                min_rows_per_file=rows_per_file,
                ray_remote_args={"num_cpus": room.TASK},
                compression="zstd",
            )
        )
    finally:
        context.checkpoint_config = before
    return _what_is_there(root, plan)


def _checkpoint(make: Any, root: Path) -> Any:
    """Ids that are done, which stay, so that another run does nothing twice."""
    config = make(id_column="id", checkpoint_path=str(root / CHECKPOINT), delete_checkpoint_on_success=False)
    config.checkpoint_actor_pool_max_size = 1
    config.checkpoint_actor_memory_bytes = room.FILTER_MEMORY
    return config


def _clips(corpus: Corpus) -> list[tuple[str, str]]:
    clips = []
    for item in corpus.items:
        if not isinstance(item.source, str):
            raise InputTypeError(f"clip {item.id!r} must be a file of its own, got {type(item.source).__name__}")
        try:
            item.source.encode()
        except UnicodeEncodeError as error:
            raise InputTypeError(f"the path of clip {item.id!r} must be Unicode text: {error}") from error
        clips.append((item.id, item.source))
    return clips


def _plan(codec: Any, corpus: Corpus, num_codebooks: int | None, latents: bool, **options: Any) -> Plan:
    loaded = codec if hasattr(codec, "sample_rate") else load(codec, parts="encoder")
    content = content_of(loaded, num_codebooks, latents)
    stream = Coder(loaded, content, options["padding"]).stream(1)
    ids = [item.id for item in corpus.items]
    known = {"shards": 0, "clips": len(ids), "ids": hash_of_ids(ids), "clips_in_shards": list[int]()}
    return describe(loaded, content, stream, format=BY_RAY, **known, **options)


def _all_done(root: Path, plan: Plan) -> bool:
    """Whether all ids are written down as done. A file that is being written has an id of its own, which is not."""
    import pyarrow.parquet

    files = list((root / CHECKPOINT).glob("*.parquet"))
    if any(path.name.endswith(PENDING) for path in files):
        return False
    done: int = sum(pyarrow.parquet.read_metadata(path).num_rows for path in files)
    return done == plan.clips


def _what_is_there(root: Path, plan: Plan) -> Tokenized:
    import pyarrow.dataset

    clips, samples, failures = 0, 0, Counter[str]()
    for batch in pyarrow.dataset.dataset(str(root / DATA)).to_batches(columns=["num_samples", "error"]):
        clips += batch.num_rows
        samples += sum(batch.column("num_samples").to_pylist())
        failures.update(kind_of(error) for error in batch.column("error").to_pylist() if error is not None)
    return Tokenized(clips, dict(sorted(failures.items())), samples / plan.sample_rate)
