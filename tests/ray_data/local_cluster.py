"""A cluster of Ray's on this machine."""

import os

os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


def start(cpus: int) -> None:
    """Of so many processors, whatever the machine has."""
    import ray
    from ray.data import DataContext

    ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False, object_store_memory=10**8)
    DataContext.get_current().enable_progress_bars = False
