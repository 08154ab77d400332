"""What Ray gave the actor that this runs in."""

from __future__ import annotations

from typing import Any

from .._options import DEVICES
from ..errors import ConfigError
from ..loading import load

PARTS = "encoder", "decoder"


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


def loaded(codec: Any, part: str, gpu: bool, num_codebooks: int | None, options: dict[str, Any]) -> Any:
    """A codec by its name, or one that is loaded, on the device that Ray gave.

    Raises:
        ConfigError: there is a GPU, and nothing here that could use it.
    """
    device = next((device for device in DEVICES if device != "cpu"), None) if gpu else "cpu"
    if device is None:
        raise ConfigError("Ray gave this actor a GPU, but this build runs on the CPU alone: use num_gpus=0")
    if hasattr(codec, "sample_rate"):
        return codec
    return load(codec, parts=part, num_codebooks=num_codebooks, threads=1, device=device, **options)  # type: ignore[arg-type]
