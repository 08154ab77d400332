"""`plan.json`: all that decides what the shards hold, written once before any work."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _core
from .._text import shown
from ..audio import Channels
from ..errors import ConfigError, LoadError
from .commit import create
from .rows import Content, ContentName

if TYPE_CHECKING:
    from ..codec import Codec
    from ..streams import EncoderStream

NAME = "plan.json"
VERSION = 1
BY_RAY = "ray-parquet"
"""The format of what `mimi_codec.ray.tokenize` makes: Parquet too, but the files are named and divided by Ray."""
FOR_INFORMATION = ("model",)
"""What a run may have another value of: one model may lie in two places."""


@dataclass(frozen=True)
class Plan:
    """What a corpus is made of and how."""

    version: int
    package: str
    codec: str
    model: str
    revision: str | None
    weights: str
    config: str
    dtype: str
    content: ContentName
    codebooks: int | None
    codebook_size: int | None
    latent_dim: int | None
    sample_rate: int
    frame_rate: float
    frame_size: int
    padding: str
    channels: Channels
    strict: bool
    resampler: str | None
    format: str
    shards: int
    clips: int
    ids: str
    clips_in_shards: list[int]

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)

    @property
    def what(self) -> Content:
        """What is kept of a clip."""
        if self.content == "codes":
            return Content.codes(self.codebooks or 0, self.codebook_size or 0)
        return Content.latents(self.latent_dim or 0)

    def differences(self, other: Plan) -> list[str]:
        """In words, where another plan is not this one."""
        names = [field.name for field in fields(self) if field.name not in FOR_INFORMATION]
        return [
            f"{name} is {shown(getattr(other, name), 60)} there and {shown(getattr(self, name), 60)} here"
            for name in names
            if getattr(self, name) != getattr(other, name)
        ]


def write_or_check(plan: Plan, root: Path) -> Plan:
    """Write the plan of a new run, or hold it against the one that is there, which is given.

    Raises:
        ConfigError: the run that is there is another one.
        OSError: it cannot be written.
    """
    path = root / NAME
    if not path.exists():
        data = json.dumps(plan.as_dict(), indent=2, ensure_ascii=False).encode() + b"\n"
        with contextlib.suppress(FileExistsError):  # another process was first: it is compared with
            create(path, lambda file: file.write(data))
    there = read(root)
    if found := plan.differences(there):
        raise ConfigError(f"{path} is the plan of another run, which needs a directory of its own: {'; '.join(found)}")
    return there


def read(root: Path) -> Plan:
    """The plan of a run.

    Raises:
        LoadError: there is none, or it is not one of this release.
    """
    path = root / NAME
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise LoadError(f"there is no {NAME} in {root}: nothing was tokenized there") from None
    except ValueError as error:
        raise LoadError(f"{path} is not JSON: {error}") from error
    return of_dict(found, str(path))


def of_dict(found: Any, name: str) -> Plan:
    """The plan that was read from `name`. Raises `LoadError` for what is not one of this release."""
    expected = {field.name for field in fields(Plan)}
    if not isinstance(found, dict) or found.get("version") != VERSION:
        version = found.get("version") if isinstance(found, dict) else None
        raise LoadError(f"{name} is not a plan of version {VERSION}, got version {shown(version)}")
    if expected != set(found):
        raise LoadError(f"{name} is not a plan: it differs in the keys {sorted(expected ^ set(found))}")
    return Plan(**found)


def hash_of_ids(ids: Sequence[str]) -> str:
    """Of all ids in their order."""
    found = hashlib.sha256()
    for name in ids:
        found.update(json.dumps(name).encode())
    return found.hexdigest()


def weights_of(stream: EncoderStream) -> tuple[str, str]:
    """Fingerprint of the weights that a stream goes through, and a hash of their configuration.

    A saved state carries both, as it must not be loaded into another model either.
    """
    (text,) = _core.safetensors_entries(stream.save())[0].values()
    described = json.loads(text[text.index("{") :])
    return described["weights"], hashlib.sha256(described["config"].encode()).hexdigest()[:16]


def resampler() -> str | None:
    """What resamples."""
    try:
        import soxr
    except ImportError:
        return None
    return f"soxr {soxr.__version__} HQ"


def describe(codec: Codec, content: Content, stream: EncoderStream, **given: Any) -> Plan:
    """The plan of a run with a codec; `given` is what the caller chose."""
    weights, config = weights_of(stream)
    codes = content.name == "codes"
    return Plan(
        version=VERSION,
        package=_core.__version__,
        codec=codec.kind,
        model=os.fspath(codec.name),
        revision=codec.revision,
        weights=weights,
        config=config,
        dtype=codec.dtype,
        content=content.name,
        codebooks=content.width if codes else None,
        codebook_size=codec.codebook_size if codes else None,  # type: ignore[attr-defined]
        latent_dim=None if codes else content.width,
        sample_rate=codec.sample_rate,
        frame_rate=codec.frame_rate,
        frame_size=codec.frame_size,
        resampler=resampler(),
        **given,
    )
