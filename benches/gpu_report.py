"""What `gpu.py` prints: tables of what each part found, and why there are none."""

from __future__ import annotations

import csv
from collections import defaultdict
from typing import Any

# Share of the peak of memory or of arithmetic, whichever is larger, of each kernel that is launched.
SHARE = "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed"
TIME = "gpu__time_duration.sum"
NCU = ["--csv", "--metrics", f"{TIME},{SHARE}"]


def brief(found: dict[str, Any]) -> str:
    """A line for whoever waits."""
    why = next((f"{word}: {found[word]}" for word in ("skipped", "failed") if word in found), "done")
    return f"{why} ({found['took_seconds']} s)"


def of_ncu(lines: list[str]) -> dict[str, Any]:
    """The three kernels that use the least of what the card can do, of those that take a hundredth of the time."""
    start = next((number for number, line in enumerate(lines) if line.startswith('"ID"')), None)
    if start is None:
        return {}
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in csv.DictReader(line for line in lines[start:] if line.startswith('"')):
        if row.get("Metric Name") in (TIME, SHARE):
            values[row["Kernel Name"]][row["Metric Name"]].append(float(row["Metric Value"].replace(",", "")))
    whole = sum(sum(metrics[TIME]) for metrics in values.values())
    found = {
        name: {
            "share_of_limit_percent": sum(metrics[SHARE]) / len(metrics[SHARE]),
            "share_of_time_percent": 100 * sum(metrics[TIME]) / whole,
        }
        for name, metrics in values.items()
        if metrics[SHARE] and sum(metrics[TIME]) > whole / 100
    }
    slowest = sorted(found, key=lambda name: found[name]["share_of_limit_percent"])[:3]
    return {name: found[name] for name in slowest}


NOT_SHOWN = ("skipped", "failed", "took_seconds")


def markdown(results: dict[str, dict[str, Any]]) -> str:
    """All parts."""
    text = ["# A CUDA device", ""]
    for name, found in results.items():
        text += [f"## {name.replace('_', ' ').capitalize()} ({found['took_seconds']} s)", ""]
        for word in ("skipped", "failed"):
            if word in found:
                text += [f"{word.capitalize()}: {found[word]}", ""]
        rows = [row for key, value in found.items() if key not in NOT_SHOWN for row in flat(key, value)]
        if rows:
            text += ["| what | found |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows), ""]
    return "\n".join(text)


def flat(name: str, value: Any) -> list[tuple[str, str]]:
    """A value under its name, or those inside it under theirs."""
    if isinstance(value, dict):
        if all(not isinstance(inner, dict | list) for inner in value.values()):
            return [(name, ", ".join(f"{key} {shown(inner)}" for key, inner in value.items()))]
        return [row for key, inner in value.items() for row in flat(f"{name}: {key}", inner)]
    if isinstance(value, list) and all(not isinstance(inner, dict | list) for inner in value):
        return [(name, ", ".join(map(shown, value)))]
    if isinstance(value, list):
        return [row for number, inner in enumerate(value) for row in flat(f"{name} {number}", inner)]
    return [(name, shown(value))]


def shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")
