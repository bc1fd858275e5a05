"""How many threads make sense here."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Cores that this process may use: those of its affinity where the system tells it, else all; at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
