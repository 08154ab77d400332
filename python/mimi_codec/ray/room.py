"""Whether a cluster has room for all that must run at once. What has not waits for ever, and Ray does not say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _found
from ..errors import ConfigError

TASK = 0.25  # processors of a task that reads ids or writes a table, which are quick
FILTER = 1.0  # processors of the actor that passes over what is done
FILTER_MEMORY = 1 << 28  # bytes that it asks for
OTHERS = FILTER + 2 * TASK


def nodes() -> list[dict[str, float]]:
    """The resources of each node of the cluster."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def actors_that_fit(found: Sequence[dict[str, float]], cpus: float, gpus: float) -> int:
    """How many actors leave room for the rest."""
    count = 0
    while fits(found, count + 1, cpus, gpus):
        count += 1
    return count


def fits(found: Sequence[dict[str, float]], actors: int, cpus: float, gpus: float) -> bool:
    """Whether so many actors, of so many processors and GPUs, leave room for the rest, wherever Ray puts them."""
    for spread in (False, True):
        left = [[node.get("CPU", 0.0), node.get("GPU", 0.0)] for node in found]
        for _ in range(actors):
            able = [node for node in left if node[0] >= cpus and node[1] >= gpus]
            if not able:
                return False
            chosen = max(able) if spread else min(able)
            chosen[0] -= cpus
            chosen[1] -= gpus
        if max((node[0] for node in left), default=0.0) < FILTER or sum(node[0] for node in left) < OTHERS:
            return False
    return True


def plan(actors: int | None, cpus: float | None, gpus: float, found: Sequence[dict[str, Any]]) -> tuple[int, float]:
    """How many actors of how many processors; as many as fit where the caller does not say.

    Raises:
        ConfigError: they would wait for ever.
    """
    size = 1.0 if cpus is None else float(cpus)
    most = actors_that_fit(found, size, gpus)
    if not most and cpus is None and actors is None:  # a machine of two processors
        size = 0.5
        most = actors_that_fit(found, size, gpus)
    wanted = max(1, most) if actors is None else actors
    if wanted > most:
        total = sum(node.get("CPU", 0.0) for node in found)
        each = f"{size:g} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
        raise ConfigError(
            f"{wanted} actors with {each} would wait for ever on this cluster of {_found.counted(len(found), 'node')} "
            f"with {total:g} CPUs, as {OTHERS:g} more are needed to read, to write and to pass over what is done: "
            f"at most {most} of them fit"
        )
    if sum(node.get("memory", 0.0) for node in found) < FILTER_MEMORY:
        raise ConfigError(f"the cluster needs {FILTER_MEMORY} bytes of memory to pass over what is done")
    return wanted, size
