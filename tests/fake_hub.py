"""A hub without a network: repositories with commits and branches, and a record of what was asked of them."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub


@dataclass
class Hub:
    """Stands in for `HfApi` and `hf_hub_download`; `install` puts it into place."""

    cache: Path
    """Where files are downloaded to, in the layout of the true cache."""
    commits: dict[str, dict[str, Path]] = field(default_factory=dict)
    """Of each commit the files by name."""
    refs: dict[str, str] = field(default_factory=dict)
    """Branches and tags."""
    moves: dict[str, str] = field(default_factory=dict)
    """Where refs point to as soon as the repository has been listed: somebody pushes meanwhile."""
    failure: Exception | None = None
    """What listing the repository ends in."""
    names_commits: bool = True
    """Whether a listing says which commit it is of."""
    listed: list[dict[str, Any]] = field(default_factory=list)
    downloaded: list[dict[str, Any]] = field(default_factory=list)

    def install(self, monkeypatch) -> "Hub":
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda token=None: _Api(self, token))
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", self.download)
        return self

    def commit(self, name: str | None) -> str:
        return self.refs.get(name or "main", name or "main")

    def download(self, repo_id, filename, *, revision, cache_dir, token, local_files_only) -> str:
        asked = {"file": filename, "revision": revision, "cache_dir": cache_dir, "token": token}
        self.downloaded.append(asked | {"repo": repo_id, "local_files_only": local_files_only})
        commit = self.commit(revision)
        if filename not in self.commits.get(commit, {}):
            raise FileNotFoundError(f"404 for {filename} at {revision}")
        target = self.cache / f"models--{repo_id.replace('/', '--')}" / "snapshots" / commit / filename
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.commits[commit][filename], target)
        return str(target)

    @property
    def files(self) -> list[str]:
        """What was downloaded, by name."""
        return sorted(asked["file"] for asked in self.downloaded)


@dataclass
class _Api:
    hub: Hub
    token: str | bool | None

    def model_info(self, repo_id, *, revision) -> SimpleNamespace:
        hub = self.hub
        hub.listed.append({"repo": repo_id, "revision": revision, "token": self.token})
        if hub.failure is not None:
            raise hub.failure
        commit = hub.commit(revision)
        siblings = [SimpleNamespace(rfilename=name) for name in hub.commits[commit]]
        hub.refs.update(hub.moves)
        return SimpleNamespace(sha=commit if hub.names_commits else None, siblings=siblings)
