"""Which photos of a series are measured if some of them give no noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from batch_stub import NOISE, StubWorkers, batch, statuses

from rawkd.batch.noise.measuring import IN_VAIN, Sample
from rawkd.batch.noise.series import SAMPLES, sampling_order
from rawkd.batch.outcome import Failure
from rawkd.batch.store import LocalStore
from rawkd.batch.task import Task
from rawkd.batch.work import Measured

BAD = Failure("InputError", "bad")


def shoot(folder: Path, count: int) -> list[str]:
    """Photos, and their names in the order of measuring."""
    folder.mkdir()
    store = LocalStore(str(folder))
    for index in range(count):
        (folder / f"{index}.CR2").write_bytes(b"%d" % index)
    tasks = [Task(store, f"{index}.CR2", store, f"{index}-denoised.dng") for index in range(count)]
    return [task.name for task in sampling_order(tasks)]


@pytest.mark.parametrize("useless", [BAD, Measured(None)])
def test_a_series_without_noise_is_given_up(useless: Measured | Failure, tmp_path: Path) -> None:
    order = shoot(tmp_path / "in", 100)
    workers = StubWorkers(lambda _: useless)
    found = statuses(batch(tmp_path / "in", tmp_path / "out", workers=workers))
    measured = [name for one in workers.rounds for name in one]
    assert measured == order[:IN_VAIN]
    assert len(workers.rounds) == IN_VAIN / SAMPLES
    assert [found[name] for name in measured] == (["failed"] if useless is BAD else ["done"]) * IN_VAIN
    assert {found[name] for name in order[IN_VAIN:]} == {"done"}  # `denoise` says what is wrong with them
    assert not list((tmp_path / "out" / ".rawkd").glob("series/*"))


@pytest.mark.parametrize("useless", [BAD, Measured(None)])
def test_useless_photos_are_replaced_by_the_next(useless: Measured | Failure, tmp_path: Path) -> None:
    order = shoot(tmp_path / "in", 60)
    useful = {*order[5:9], order[9 + IN_VAIN - 1], order[45]}
    workers = StubWorkers(lambda task: Measured(NOISE) if task.name in useful else useless)
    batch(tmp_path / "in", tmp_path / "out", workers=workers)
    measured = [name for one in workers.rounds for name in one]
    assert measured == order[: len(measured)]
    assert len(measured) == 60  # never so many in vain in a row
    first = StubWorkers(lambda task: useless if task.name in order[:IN_VAIN] else Measured(NOISE))
    batch(tmp_path / "in", tmp_path / "twin", workers=first)
    assert sum(len(one) for one in first.rounds) == IN_VAIN
    enough = StubWorkers(lambda task: useless if task.name in order[:3] else Measured(NOISE))
    batch(tmp_path / "in", tmp_path / "enough", workers=enough)
    assert [len(one) for one in enough.rounds] == [SAMPLES, 3]


class Counting(list[Any]):
    """Counts the elements that are read."""

    seen = 0

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        self.seen += len(found) if isinstance(index, slice) else 1
        return found


@pytest.mark.parametrize("gives", [lambda _: False, lambda index: index % 20 == 0])
def test_the_work_of_choosing_does_not_grow_with_the_series(gives: Callable[[int], bool], tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    seen = []
    for count in (1_000, 4_000):
        order = Counting(Task(store, f"{index}.CR2", store, f"{index}.dng") for index in range(count))
        sample, index = Sample(order), 0
        while begun := sample.begin():
            for task in begun:
                sample.found[task] = Measured(NOISE if gives(index) else None)
                index += 1
        assert index <= SAMPLES * IN_VAIN
        seen.append(order.seen)
    assert seen[0] == seen[1]
