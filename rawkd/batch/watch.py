"""Denoise what appears in a folder, as a tethered camera fills it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rawkd.batch.queue import Batch, Listener
from rawkd.batch.store import FileState
from rawkd.batch.task import Task

SETTLE_S = 2.0
"""A file that has not changed for so long is there (our choice)."""
POLL_S = 0.5


@dataclass
class Arrivals:
    """Which files have stopped growing, each named once for every state that it comes to rest in.

    Attributes
    ----------
    settle_s : how long a file has to stay as it is, seconds.
    """

    settle_s: float = SETTLE_S
    _seen: dict[Task, tuple[FileState, float]] = field(default_factory=dict)
    _given: dict[Task, FileState] = field(default_factory=dict)

    def settled(self, tasks: Sequence[Task], now_s: float) -> list[Task]:
        """Those of `tasks` that have not changed since `settle_s`, without those that were given out before."""
        ready = []
        for task in tasks:
            state = task.source.state(task.name)
            if state is None or self._given.get(task) == state:
                continue
            before = self._seen.get(task)
            if before is None or before[0] != state:
                self._seen[task] = (state, now_s)
            elif now_s - before[1] >= self.settle_s:
                ready.append(task)
                self._given[task] = state
        return ready


def watch(
    find: Callable[[], Sequence[Task]],
    batch: Batch,
    listen: Listener,
    *,
    arrivals: Arrivals | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Do every photo that `find` finds once it has stopped growing, until `stopped` says so or a KeyboardInterrupt."""
    arrivals = arrivals or Arrivals()
    while not stopped():
        ready = arrivals.settled(find(), time.monotonic())
        if ready:
            batch.run(ready, listen)
        else:
            time.sleep(POLL_S)
