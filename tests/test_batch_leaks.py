"""A batch of many photos holds no more at its end than at its beginning."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
from small_shoots import write_shoot
from tiny_models import blur, make_model

from rawkd.batch.outcome import Outcome
from rawkd.batch.queue import Batch
from rawkd.batch.settings import BatchOptions
from rawkd.batch.store import LocalStore
from rawkd.batch.task import Task
from rawkd.batch.work import WorkerContext
from rawkd.batch.workers import LocalWorkers
from rawkd.process import ProcessOptions
from rawkd.restore.options import DenoiseOptions

PATIENCE_S = 10.0
"""A worker thread lets go of its result shortly after it has handed it over."""


class Big:
    """A result that can be watched."""


def become(condition: Callable[[], bool]) -> bool:
    """Whether the condition becomes true in time."""
    end = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_results_of_finished_photos_are_not_kept() -> None:
    def work(_worker: WorkerContext, _item: int) -> Big:
        return Big()

    workers, seen = LocalWorkers(2), []
    try:
        for _, result in workers.each(work, range(6)):
            assert become(lambda: all(one() is None for one in seen)), "a result of an earlier photo"
            seen.append(weakref.ref(result))
            del result
    finally:
        workers.close()
    assert len(seen) == 6


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_rounds_leave_no_threads_files_or_processes(tmp_path: Path) -> None:
    """Each round has two good photos and a damaged one; decoders, pipes and threads stay those of the second round."""
    make_model(tmp_path / "models" / "tiny", blur)
    came, went = LocalStore(str(tmp_path / "in")), LocalStore(str(tmp_path / "out"))
    good = write_shoot(tmp_path / "photos", 2)
    statuses: list[str] = []

    def listen(outcome: Outcome) -> None:
        statuses.append(str(outcome.status))

    def held() -> tuple[int, int, int]:
        gc.collect()
        children = [path for path in Path("/proc").glob("[0-9]*/stat") if _parent(path) == os.getpid()]
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), len(children)

    workers = LocalWorkers(1)
    batch = Batch(BatchOptions(ProcessOptions(DenoiseOptions(model=tmp_path / "models"))), workers)
    (tmp_path / "in").mkdir()
    counts = []
    try:
        for number in range(6):
            names = [f"{number}-{index}.dng" for index in range(3)]
            for name, data in zip(
                names, [*(path.read_bytes() for path in good), good[0].read_bytes()[:900]], strict=True
            ):
                (tmp_path / "in" / name).write_bytes(data)
            batch.run([Task(came, name, went, name) for name in names], listen)
            if number:
                before = counts[0] if counts else None
                assert before is None or become(lambda before=before: held() == before), (before, held())
                counts.append(held())
    finally:
        workers.close()
    assert (statuses.count("done"), statuses.count("failed")) == (12, 6)


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0
