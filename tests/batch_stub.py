"""Workers of a batch that denoise nothing, so that tests of its records and its order are fast."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rawkd.batch.outcome import Failure, Outcome
from rawkd.batch.queue import Batch
from rawkd.batch.settings import BatchOptions
from rawkd.batch.store import FileState, LocalStore, Store, work_name
from rawkd.batch.task import Selection, Task, find_tasks
from rawkd.batch.work import Assignment, Measured, Staged
from rawkd.files.read.identify import Identity
from rawkd.process import ProcessOptions
from rawkd.restore.options import DenoiseOptions
from rawkd.sensor.noise import NoiseModel

NOISE = NoiseModel(np.full(4, 1e-3), np.full(4, 1e-6), "blind", 0.5)


class StubWorkers:
    """Every photo is of one series; its output is a text and the bytes of the photo.

    Attributes
    ----------
    measured : what measuring a photo gives. rounds : names of the photos of each call that measured.
    before : called with each photo when it was denoised.
    """

    def __init__(
        self,
        measured: Callable[[Task], Measured | Failure] = lambda _: Measured(NOISE),
        before: Callable[[Task], None] = lambda _: None,
    ) -> None:
        self.measured, self.before = measured, before
        self.rounds: list[list[str]] = []

    def each(self, function: Callable[..., Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Items and results in their order."""
        items = list(items)
        if function.__name__ == "measure":
            self.rounds.append([item.task.name for item in items])
        for item in items:
            if function.__name__ == "look":
                yield item, Identity("Rawkd", "One", 100.0, 14)
            elif function.__name__ == "measure":
                yield item, self.measured(item.task)
            else:
                yield item, self._denoised(item)

    def _denoised(self, assignment: Assignment) -> Staged:
        task = assignment.task
        source = Path(task.source.root, task.name).read_bytes()
        data = (b"rows of" if assignment.options.denoise.rows else b"of") + source
        name = work_name(task.key, ".dng")
        with task.target.staging(name) as work:
            work.write_bytes(data)
        self.before(task)
        hashes = [hashlib.sha256(one).hexdigest() for one in (data, source)]
        state = task.source.state(task.name) or FileState(-1, "")
        return Staged(name, hashes[0], state, hashes[1], {"width": 1, "height": 1, "warnings": []})

    def close(self) -> None:
        """Nothing is open."""


def options(*, overwrite: bool = False, keep_existing: bool = False, **denoise: Any) -> BatchOptions:
    """Options that need no model."""
    process = ProcessOptions(DenoiseOptions(strength=0.0, **denoise), overwrite=overwrite)
    return BatchOptions(process, keep_existing=keep_existing)


def batch(
    source: Path,
    target: Path | str,
    chosen: BatchOptions | None = None,
    workers: StubWorkers | None = None,
    *,
    exclude: Sequence[str] = (),
    open_store: Callable[[str], Store] = LocalStore,
) -> dict[str, Outcome]:
    """The outcome of each photo below a folder, by its name; `open_store` is for the target."""
    selection = Selection(recursive=True, exclude=tuple(exclude))
    tasks = find_tasks(
        [str(source)],
        str(target),
        selection,
        "-denoised.dng",
        lambda root: open_store(root) if root == str(target) else LocalStore(root),
    )
    heard: list[Outcome] = []
    Batch(chosen or options(), workers or StubWorkers()).run(tuple(tasks), heard.append)
    assert len(heard) == len(tasks)
    return {outcome.task.name: outcome for outcome in heard}


def statuses(outcomes: dict[str, Outcome]) -> dict[str, str]:
    """The status of each photo."""
    return {name: str(outcome.status) for name, outcome in outcomes.items()}


def sentence(outcome: Outcome) -> str:
    """Why a photo failed; empty if it did not."""
    return "" if outcome.failure is None else outcome.failure.sentence
