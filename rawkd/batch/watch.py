"""Denoise photos as they appear in a folder, such as that of a tethered camera."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rawkd.batch.queue import Batch, Listener
from rawkd.batch.store import FileState
from rawkd.batch.task import Task

SETTLE_S = 2.0
"""A file that has not changed for so long is complete (our choice)."""
POLL_S, URL_POLL_S = 0.5, 10.0
"""Seconds between two listings, of folders and where an input is a URL, whose every listing is a request (our choice).
"""


@dataclass
class Arrivals:
    """Tells which files have stopped changing; each is returned once, and again after it has changed.

    Attributes
    ----------
    settle_s : how long a file must stay unchanged, seconds.
    """

    settle_s: float = SETTLE_S
    _seen: dict[Task, tuple[FileState, float]] = field(default_factory=dict)
    _given: dict[Task, FileState] = field(default_factory=dict)

    def settled(self, states: Mapping[Task, FileState | None], now_s: float) -> list[Task]:
        """The photos that have not changed for `settle_s`, without those that were returned before.

        Parameters
        ----------
        states : from `find_tasks`. For a photo without a state the store is asked until it is returned, and not
            after, so a later change of it is missed.
        """
        ready = []
        for task, listed in states.items():
            if listed is None and task in self._given:
                continue
            state = listed or task.source.state(task.name)
            if state is None or self._given.get(task) == state:
                continue
            before = self._seen.get(task)
            if before is None or before[0] != state:
                self._seen[task] = (state, now_s)
            elif now_s - before[1] >= self.settle_s:
                ready.append(task)
                self._given[task] = state
        return ready


def poll_interval(inputs: Sequence[str]) -> float:
    """Seconds between two listings of folders, files and URLs."""
    return URL_POLL_S if any("://" in given for given in inputs) else POLL_S


def watch(
    find: Callable[[], Mapping[Task, FileState | None]],
    batch: Batch,
    listen: Listener,
    *,
    poll_s: float = POLL_S,
    arrivals: Arrivals | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Denoise every photo that `find` returns once it has stopped growing, until `stopped` or a KeyboardInterrupt.

    Parameters
    ----------
    find : `find_tasks` of the inputs; called every `poll_s` seconds.
    """
    arrivals = arrivals or Arrivals()
    while not stopped():
        ready = arrivals.settled(find(), time.monotonic())
        if ready:
            batch.run(ready, listen)
        else:
            time.sleep(poll_s)
