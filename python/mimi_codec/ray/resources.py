"""What Ray gave the actor that this runs in."""

from __future__ import annotations

from typing import Any

from .._options import Parts
from ..loading import load


def assigned() -> tuple[int, bool]:
    """Threads, at least one, and whether there is a GPU. Outside of a worker of Ray's: one thread and none."""
    try:
        import ray
    except ImportError:
        return 1, False
    if not ray.is_initialized():
        return 1, False
    try:
        found = ray.get_runtime_context().get_assigned_resources()
    except AssertionError:  # the driver has none
        return 1, False
    return max(1, int(found.get("CPU", 1))), found.get("GPU", 0) > 0


def loaded(codec: Any, part: Parts, gpu: bool, num_codebooks: int | None, options: dict[str, Any]) -> Any:
    """A codec by its name on the device that Ray gave, or one that is loaded, where it is.

    Raises:
        DeviceError: there is a GPU, and something is missing that would be needed to use it.
    """
    if hasattr(codec, "sample_rate"):
        return codec
    options = {"device": "cuda" if gpu else "cpu", **options}
    return load(codec, parts=part, num_codebooks=num_codebooks, threads=1, **options)
