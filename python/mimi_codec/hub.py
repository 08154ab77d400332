"""From the name of a model to files on this machine.

An existing path wins. Anything else is the name of a repository on the Hugging Face hub, and only then is
`huggingface_hub` imported. It honours `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`, `HF_ENDPOINT` and `HF_TOKEN`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from . import _core
from .errors import InputTypeError, LoadError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
# Kyutai's own files, next to the language model they belong to: tokenizer-e351c8d8-checkpoint125.safetensors,
# mimi-pytorch-e351c8d8@125.safetensors
KYUTAI_WEIGHTS = re.compile(r"(tokenizer-[0-9a-f]+-checkpoint\d+|mimi-pytorch-[0-9a-f]+@\d+)\.safetensors")
# The hub's own rule: each part begins and ends with a letter, a digit or an underscore.
REPOSITORY = re.compile(r"(?!.*(\.\.|--))(\w([\w.-]*\w)?/)?\w([\w.-]{0,94}\w)?", re.ASCII)
URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
HUB_URL = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Source:
    """Where a model comes from."""

    kind: Literal["path", "hub", "demo"]
    name: str
    """As the caller gave it: a path, a repository, or "demo"."""
    path: Path
    """The directory or file to load, absolute."""
    revision: str | None = None
    """The commit of the repository; None for a path."""


def resolve(
    name_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    module: str | None = None,
    local_files_only: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
) -> Source:
    """Find a model, downloading what is not in the cache.

    Args:
        name_or_path: an existing file or directory, or the name of a repository such as "kyutai/mimi".
        revision: branch, tag or commit of the repository; None takes its main branch.
        module: the module of a larger model that is meant, where it has several codecs.
        local_files_only: never use the network.
        cache_dir: the cache of the hub, if not the usual one.
        token: access token of the hub, if not the stored one.

    Returns:
        Where the files are, and the commit they are from.

    Raises:
        LoadError: there is no such path or repository, no such revision, no Mimi weights in it, or no network for what
            the cache does not hold. A URL is refused.
        InputTypeError: `name_or_path` or `revision` is not text.

    Example:
        >>> from mimi_codec.demo_files import demo_directory
        >>> from mimi_codec.hub import resolve
        >>> resolve(demo_directory()).kind
        'path'
    """
    name = _text(name_or_path, "name_or_path")
    if revision is not None:
        revision = _text(revision, "revision")
    if not name:
        raise LoadError("expected the path or the name of a model, got an empty text")
    if URL.match(name):
        known = HUB_URL.match(name)
        instead = f"the name of the repository, {known[1]!r}" if known else "download it and pass the path of the file"
        raise LoadError(f"a model is not loaded from a URL, got {name}; use {instead}")
    try:
        path = Path(name).expanduser()
        exists = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise LoadError(f"cannot read {name!r}: {error}") from error
    if exists:
        if revision is not None:
            raise LoadError(f"{name} is a local path, which has no revision {revision!r}")
        return Source("path", name, path.resolve())
    if isinstance(name_or_path, os.PathLike) or not _is_repository(name):
        raise LoadError(f"no such file or directory: {name}")
    cache = Path(cache_dir) if cache_dir else None
    return _Repository(name, revision, module, local_files_only, cache, token).fetch()


def _text(value: object, what: str) -> str:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise InputTypeError(f"{what} must be text, got {type(value).__name__}")
    return text


def _is_repository(name: str) -> bool:
    """Whether the hub could have a repository of this name. Paths that begin or end in `./` or `/` are none."""
    looks_like_a_file = name.endswith((".safetensors", ".json", ".git"))
    return not looks_like_a_file and REPOSITORY.fullmatch(name) is not None


@dataclass(frozen=True)
class _Repository:
    """A repository of the hub, seen through its cache."""

    name: str
    revision: str | None
    module: str | None
    local_files_only: bool
    cache_dir: str | Path | None
    token: str | bool | None

    def fetch(self) -> Source:
        """Download the files of the codec and no others."""
        listing, commit, reason = None, self.revision, None
        if not self.local_files_only:
            listing, commit, reason = self._list_online()
        if listing is None:
            listing, commit = self._list_cache(reason)
            return replace(self, local_files_only=True)._fetch(listing, commit)
        return self._fetch(listing, commit)

    def _fetch(self, listing: Sequence[str], commit: str | None) -> Source:
        config = _fields(self._download(CONFIG, commit)) if CONFIG in listing else {}
        is_mimi = config.get("model_type") == "mimi"
        own = _own_file(listing, config)
        folders = [f"{name}/" for name in _core.codec_folders()]
        folder = next((name for name in folders if _holds_weights(listing, name)), "")
        if own and not is_mimi:
            path = self._download(own, commit)
        elif folder and not is_mimi:
            # A model with a codec in a folder has none in its own weights, and they may be large.
            path = self._checkpoint(listing, commit, folder)
        elif _holds_weights(listing):
            path = self._checkpoint(listing, commit)
        else:
            raise LoadError(
                f"{self.name} does not hold Mimi weights: expected {WEIGHTS}, {INDEX} or Kyutai's "
                f"tokenizer-*.safetensors, found {', '.join(sorted(listing)) or 'nothing'}"
            )
        return Source("hub", self.name, path, commit or self.revision)

    def _checkpoint(self, listing: Sequence[str], commit: str | None, folder: str = "") -> Path:
        """Fetch the codec's weights, and the configuration beside them; the directory in which they lie."""
        if folder and folder + CONFIG in listing:
            self._download(folder + CONFIG, commit)
        if folder + WEIGHTS in listing:
            return self._download(folder + WEIGHTS, commit).parent
        index = self._download(folder + INDEX, commit)
        for shard in _shards(index, self.module):
            self._download(folder + shard, commit)
        return index.parent

    def _list_online(self) -> tuple[Sequence[str] | None, str | None, Exception | None]:
        """The files of the repository and its commit; no files where the hub cannot be reached."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

        try:
            info = HfApi(token=self.token).model_info(self.name, revision=self.revision)
        except GatedRepoError as error:
            raise LoadError(f"{self.name} needs a login, and its terms must be accepted on the hub: {error}") from error
        except RepositoryNotFoundError as error:
            raise LoadError(f"{self.name} is neither a path nor a repository on the hub: {error}") from error
        except RevisionNotFoundError as error:
            raise LoadError(f"{self.name} has no revision {self.revision!r}: {error}") from error
        except Exception as error:  # no network, offline mode, a server in trouble: the cache may have it all
            return None, self.revision, error
        return [file.rfilename for file in info.siblings or []], info.sha, None

    def _list_cache(self, reason: Exception | None) -> tuple[Sequence[str], str]:
        """The cached files of the repository and their commit."""
        from huggingface_hub import snapshot_download

        try:
            folder = Path(
                snapshot_download(
                    self.name,
                    revision=self.revision,
                    cache_dir=self.cache_dir,
                    local_files_only=True,
                    allow_patterns=[CONFIG],  # otherwise a snapshot with only the codec counts as incomplete
                )
            )
        except Exception as error:
            at = f" at revision {self.revision!r}" if self.revision else ""
            why = f"the hub cannot be reached ({reason})" if reason else "only local files were asked for"
            raise LoadError(
                f"{self.name}{at} is neither a path nor in the local cache of the hub, and {why}; "
                "download it once with a network, or pass the path of a directory"
            ) from (reason or error)
        return [file.relative_to(folder).as_posix() for file in folder.rglob("*")], folder.name

    def _download(self, file: str, commit: str | None) -> Path:
        from huggingface_hub import hf_hub_download

        try:
            path = hf_hub_download(
                self.name,
                file,
                revision=commit or self.revision,
                cache_dir=self.cache_dir,
                token=self.token,
                local_files_only=self.local_files_only,
            )
        except Exception as error:
            raise LoadError(f"cannot fetch {file} of {self.name}: {error}") from error
        return Path(path)


def _fields(path: Path) -> dict[str, Any]:
    """What is in a `config.json`; nothing where it cannot be read, which is told when the model is loaded."""
    try:
        fields = json.loads(path.read_bytes())
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _holds_weights(listing: Sequence[str], folder: str = "") -> bool:
    return folder + WEIGHTS in listing or folder + INDEX in listing


def _own_file(listing: Sequence[str], config: Mapping[str, Any]) -> str | None:
    """The codec's own file beside a language model: the one that its configuration names, or one of Kyutai's names."""
    named = config.get("mimi_name")
    if isinstance(named, str) and named in listing and named.endswith(".safetensors") and "/" not in named:
        return named
    return next((file for file in sorted(listing) if KYUTAI_WEIGHTS.fullmatch(file)), None)


def _shards(index: Path, module: str | None) -> list[str]:
    """The files of a sharded checkpoint that hold tensors of the codec; all of them where none is known by its name."""
    try:
        weight_map = dict(json.loads(index.read_bytes())["weight_map"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LoadError(f"{index.name} is not the index of a sharded checkpoint: {error!r}") from error
    for file in weight_map.values():
        if not isinstance(file, str) or file in ("", ".", "..") or set(file) & {"/", "\\", "\0"}:
            raise LoadError(f"{index.name} must name files beside it, got {file!r:.100}")
    prefixes = tuple(_core.codec_prefixes(list(weight_map), module))
    of_codec = {file for name, file in weight_map.items() if name.startswith(prefixes)}
    return sorted(of_codec or set(weight_map.values()))
