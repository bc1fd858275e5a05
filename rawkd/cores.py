"""Number of CPU cores for worker threads."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Return the number of cores that this process may use, at least 1: its CPU affinity if known, else all cores."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
