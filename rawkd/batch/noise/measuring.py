"""Measure the noise of series: a few cameras at a time, so that results are kept early and denoising begins early."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from rawkd.batch.noise.series import (
    SAMPLES,
    Camera,
    Series,
    SeriesPool,
    defects_of_cameras,
    load_pool,
    sampling_order,
    save_pool,
    unsaid,
)
from rawkd.batch.outcome import Outcome
from rawkd.batch.settings import BatchOptions
from rawkd.batch.store import Store
from rawkd.batch.task import Task
from rawkd.batch.work import Assignment, Measured, measure
from rawkd.batch.workers import Workers
from rawkd.files.read.identify import Identity
from rawkd.photo import Capture
from rawkd.restore.installed_calibration import installed_profile

AT_A_TIME = 100
"""Least photos of the cameras that are measured and then denoised together, so that few workers wait for others at the
end of either (our choice)."""
IN_VAIN = 3 * SAMPLES
"""Photos in a row that give no noise after which a series is measured no further (our choice)."""

Key = tuple[str, Series]
"""Root of the outputs, and series."""
Counted = Callable[[int, int], None]
"""Called with the number of measured photos and of those to measure."""


def uncounted(_done: int, _total: int) -> None:
    """Ignore the numbers."""


def camera_of(identity: Identity) -> tuple[str, str]:
    """Make and model of a photo's camera, by which photos are sorted."""
    return identity.make, identity.model


def in_portions(todo: Mapping[Task, Identity]) -> Iterator[list[Task]]:
    """The photos of a few cameras at a time; all photos of a camera stand together, in their order.

    They have few sizes, and a network is compiled for each size.
    """
    portion: list[Task] = []
    for _, photos in groupby(sorted(todo, key=lambda task: camera_of(todo[task])), lambda task: camera_of(todo[task])):
        portion += photos
        if len(portion) >= AT_A_TIME:
            yield portion
            portion = []
    if portion:
        yield portion


def series_of(todo: Mapping[Task, Identity], options: BatchOptions) -> dict[Task, Series | None]:
    """The series of each photo, whose noise it shares; None if the photo uses its own or an installed calibration.

    A calibration gives the same noise for all photos of a series, and a better one than their pixels.
    """
    if not options.pools_noise:
        return {}
    series = {task: Series.of(identity) for task, identity in todo.items()}
    calibrated = {
        of
        for of in set(series.values())
        if of is not None
        and options.process.denoise.noise_source == "auto"
        and installed_profile(Capture(make=of.make, model=of.model, iso=of.iso))[0] is not None
    }
    return {task: None if of in calibrated else of for task, of in series.items()}


@dataclass
class Sample:
    """The photos of a series that are measured.

    Attributes
    ----------
    order : all photos of the series, in the order of measuring. begun : number of those that are measured or in work.
    found : of those that were read.
    """

    order: Sequence[Task]
    begun: int = 0
    found: dict[Task, Measured] = field(default_factory=dict)

    def wanted(self) -> Sequence[Task]:
        """The next photos to measure, when none is in work.

        None if enough have given their noise, `IN_VAIN` in a row have not, or all were measured.
        """
        gave = [task in self.found and self.found[task].noise is not None for task in self.order[: self.begun]]
        if len(gave) >= IN_VAIN and not any(gave[-IN_VAIN:]):
            return ()
        return self.order[self.begun : self.begun + max(SAMPLES - sum(gave), 0)]

    def begin(self) -> Sequence[Task]:
        """The same, which are in work from now on."""
        wanted = self.wanted()
        self.begun += len(wanted)
        return wanted


@dataclass
class Measuring:
    """The pools of the series of one run, loaded or measured.

    Attributes
    ----------
    pools : of all series so far; new ones are added as soon as they are known.
    series : of each photo that shares its noise. counted : hears of each measured photo.
    warn : called with a sentence for each saved pool that is damaged.
    """

    options: BatchOptions
    settings: str
    workers: Workers
    pools: dict[Key, SeriesPool]
    series: Mapping[Task, Series | None]
    counted: Counted = uncounted
    warn: Callable[[str], None] = unsaid
    _samples: dict[Key, Sample] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._key_of = {task: (task.target.root, of) for task, of in self.series.items() if of is not None}
        self._stores: dict[str, Store] = {task.target.root: task.target for task in self._key_of}
        groups: dict[Key, list[Task]] = {}
        for task, key in self._key_of.items():
            groups.setdefault(key, []).append(task)
        for key, members in groups.items():
            known = self.pools.get(key) or load_pool(self._stores[key[0]], key[1], self.settings, self.warn)
            if known is None:
                self._samples[key] = Sample(sampling_order(members))
            else:
                self.pools[key] = known
        self._done, self._total = 0, sum(min(SAMPLES, len(one.order)) for one in self._samples.values())

    def pool_of(self, task: Task) -> SeriesPool | None:
        """What the photo shares with its series; None if it is measured alone or nothing could be measured."""
        key = self._key_of.get(task)
        return None if key is None else self.pools.get(key)

    def measure(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Measure the series of some photos, and save the pools of each camera; outcomes of photos that cannot be read.

        Parameters
        ----------
        tasks : all photos of the cameras among them.
        """
        keys = {self._key_of[task]: None for task in tasks if task in self._key_of}
        cameras: dict[Camera, list[Key]] = {}
        for key in (key for key in keys if key in self._samples):
            cameras.setdefault(_camera(key), []).append(key)
        if cameras:
            self.counted(self._done, self._total)
        while chosen := {camera: photos for camera, of in cameras.items() if (photos := self._begin(of))}:
            for camera in cameras.keys() - chosen.keys():
                self._pool(camera, cameras.pop(camera))
            left = {camera: len(photos) for camera, photos in chosen.items()}
            assignments = [Assignment(task, self.options.process) for photos in chosen.values() for task in photos]
            for assignment, found in self.workers.each(measure, assignments):
                task, camera = assignment.task, _camera(self._key_of[assignment.task])
                self._count()
                left[camera] -= 1
                if isinstance(found, Measured):
                    self._samples[self._key_of[task]].found[task] = found
                else:
                    yield Outcome.failed(task, found)
                if not left[camera] and not any(self._samples[key].wanted() for key in cameras[camera]):
                    self._pool(camera, cameras.pop(camera))
        for camera, of_camera in cameras.items():
            self._pool(camera, of_camera)

    def _count(self) -> None:
        """Tell of one more measured photo; photos that give no noise are replaced by others, beyond the total."""
        self._done += 1
        self._total = max(self._total, self._done)
        self.counted(self._done, self._total)

    def _begin(self, keys: Sequence[Key]) -> list[Task]:
        """The next photos to measure of some series."""
        return [task for key in keys for task in self._samples[key].begin()]

    def _pool(self, camera: Camera, keys: Sequence[Key]) -> None:
        """Save the pools of all series of a camera, which share its defects."""
        photos = {key: self._samples.pop(key) for key in keys}
        suspects = [(camera, one.suspects) for sample in photos.values() for one in sample.found.values()]
        defects = defects_of_cameras(suspects).get(camera, ())
        for key, sample in photos.items():
            found = sample.found.items()
            noises = [(task.name, one.noise, one.warnings) for task, one in found if one.noise is not None]
            pool = SeriesPool.of(noises, defects)
            if pool is not None:
                save_pool(self._stores[key[0]], key[1], self.settings, pool)
                self.pools[key] = pool


def _camera(key: Key) -> Camera:
    return key[0], key[1].make, key[1].model
