"""The story of a batch: find what is done, identify the rest, measure each series, denoise, publish."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from rawkd.batch.noise.series import (
    SAMPLES,
    Series,
    SeriesPool,
    defects_of_cameras,
    load_pool,
    sampling_order,
    save_pool,
)
from rawkd.batch.outcome import Outcome, Status
from rawkd.batch.record import Record, TaskState, judge, save, source_of
from rawkd.batch.settings import BatchOptions, fingerprint
from rawkd.batch.store import LocalStore, Store
from rawkd.batch.task import Task, collisions, place
from rawkd.batch.work import Assignment, Measured, Staged, WorkerContext, denoise, look, measure
from rawkd.batch.workers import Workers
from rawkd.errors import OutputError, RawkdError
from rawkd.files.read.identify import Identity
from rawkd.photo import Capture
from rawkd.restore.installed_calibration import installed_profile

Listener = Callable[[Outcome], None]
"""Called with every outcome, as it comes."""


@dataclass(frozen=True)
class Survey:
    """The photos to denoise and those that need nothing.

    Attributes
    ----------
    todo : photos to denoise, with their camera. settled : outcomes that are known already.
    """

    todo: dict[Task, Identity]
    settled: tuple[Outcome, ...]


@dataclass
class Batch:
    """Denoises photos with workers, by one set of options.

    Attributes
    ----------
    pools : the noise of every series so far, by the root of its outputs and the series.
    left : photos of the last run that have no outcome yet.
    """

    options: BatchOptions
    workers: Workers
    pools: dict[tuple[str, Series], SeriesPool] = field(default_factory=dict)
    left: set[Task] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.settings = fingerprint(self.options)

    def run(self, tasks: Sequence[Task], listen: Listener) -> None:
        """Denoise the photos that are not done yet; `listen` is called once for each photo.

        Raises
        ------
        OutputError: if nothing can be written to a target, at the beginning (then `listen` was not called) or when its
            disk is full.
        """
        self.left = set(tasks)

        def told(outcome: Outcome) -> None:
            self.left.discard(outcome.task)
            listen(outcome)
            on_own_disk = isinstance(outcome.task.target, LocalStore)  # work files of a URL lie on the worker's disk
            if on_own_disk and outcome.failure is not None and outcome.failure.no_room:
                count = len(self.left) + 1
                left = "1 photo is left" if count == 1 else f"{count} photos are left"
                text = f"{outcome.failure.no_room} {left}. Run the command again to resume."
                raise OutputError(f"{outcome.task.target.root}: {text}")

        survey = self.survey(tasks)
        with ExitStack() as stack:
            for store in sorted({task.target for task in survey.todo}, key=lambda store: store.root):
                stack.enter_context(store.session())
            for outcome in survey.settled:
                told(outcome)
            todo = dict(survey.todo)
            for outcome in self._settled_before_the_lock(survey.todo):
                told(outcome)
                del todo[outcome.task]
            for outcome in stack.enter_context(closing(self._work(todo))):
                told(outcome)

    def recall(self, outcomes: Iterable[Outcome]) -> None:
        """Read the pools of photos that an earlier run denoised, so that the report of this run lists them too."""
        done = {(o.task.target.root, o.series): o.task for o in outcomes if o.status is Status.SKIPPED and o.series}
        for key in done.keys() - {(root, str(series)) for root, series in self.pools}:
            task = done[key]
            series = Series.of(look(WorkerContext(), task))  # any photo of a series identifies it
            pool = None if series is None else load_pool(task.target, series, self.settings)
            if series is not None and pool is not None:
                self.pools[key[0], series] = pool

    def survey(self, tasks: Sequence[Task]) -> Survey:
        """Find out which photos are to be denoised; writes nothing."""
        settled, rest = [], []
        overwrite = self.options.process.overwrite
        judged = {task: judge(task, self.settings, overwrite=overwrite) for task in tasks}
        written = {place(task.target, task.output) for task in tasks if judged[task][0] is TaskState.DONE}
        for task, (state, _, record) in judged.items():
            if place(task.source, task.name) in written:
                settled.append(Outcome(task, Status.OWN))
            elif state is TaskState.DONE and record is not None:
                settled.append(_skipped(task, record))
            else:
                rest.append(task)
        todo = {}
        for task, found in self.workers.each(look, rest):
            identity = Identity() if isinstance(found, Exception) else found
            if identity.is_own_output:
                settled.append(Outcome(task, Status.OWN))
            else:
                todo[task] = identity
        refused: dict[Task, RawkdError] = {
            task: OutputError(judged[task][1]) for task in todo if judged[task][0] is TaskState.REFUSED
        }
        refused |= collisions([task for task in tasks if task in todo or judged[task][0] is TaskState.DONE])
        for task in refused.keys() & todo.keys():
            settled.append(Outcome.failed(task, refused[task]))
            del todo[task]
        in_order = {task: todo[task] for task in tasks if task in todo}
        rank = {task: index for index, task in enumerate(tasks)}
        return Survey(in_order, tuple(sorted(settled, key=lambda outcome: rank[outcome.task])))

    def _settled_before_the_lock(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Outcomes of photos that another batch wrote, or whose output appeared, between the survey and the lock."""
        for task in tasks:
            state, reason, record = judge(task, self.settings, overwrite=self.options.process.overwrite)
            if state is TaskState.DONE and record is not None:
                yield _skipped(task, record)
            elif state is TaskState.REFUSED:
                yield Outcome.failed(task, OutputError(reason))

    def _work(self, todo: dict[Task, Identity]) -> Generator[Outcome, None, None]:
        """Outcomes in the order in which photos finish. Closing the iterator stops the work."""
        series = self._series(todo)
        unreadable: set[Task] = set()
        for outcome in self._pool(series):
            unreadable.add(outcome.task)
            yield outcome
        # one camera after another: its photos have few sizes, and a network is compiled for each size
        order = sorted(todo, key=lambda task: (todo[task].make, todo[task].model))
        assignments = [self._assigned(task, series.get(task)) for task in order if task not in unreadable]
        for assignment, staged in self.workers.each(denoise, assignments):
            yield self._published(assignment, staged)

    def _series(self, todo: dict[Task, Identity]) -> dict[Task, Series | None]:
        """The series of each photo, whose noise it shares; None if the photo uses its own or an installed calibration.

        A calibration gives the same noise for all photos of a series, and a better one than their pixels.
        """
        if not self.options.pools_noise:
            return {}
        denoise = self.options.process.denoise
        series = {task: Series.of(identity) for task, identity in todo.items()}
        calibrated = {
            of
            for of in set(series.values())
            if of is not None
            and denoise.noise_source == "auto"
            and installed_profile(Capture(make=of.make, model=of.model, iso=of.iso))[0] is not None
        }
        return {task: None if of in calibrated else of for task, of in series.items()}

    def _assigned(self, task: Task, series: Series | None) -> Assignment:
        """A photo with the noise and the defects of its series, if that has any."""
        pool = None if series is None else self.pools.get((task.target.root, series))
        if pool is None:
            return Assignment(task, self.options.process)
        return Assignment(task, self.options.process, pool.noise, pool.defects, str(series))

    def _pool(self, series: dict[Task, Series | None]) -> Iterator[Outcome]:
        """Load or measure the pools of all series; the outcomes of photos that cannot be read."""
        groups: dict[tuple[str, Series], list[Task]] = {}
        stores: dict[str, Store] = {}
        key_of = {task: (task.target.root, of) for task, of in series.items() if of is not None}
        for task, key in key_of.items():
            groups.setdefault(key, []).append(task)
            stores[task.target.root] = task.target
        waiting: dict[tuple[str, Series], list[Task]] = {}
        for key, members in groups.items():
            known = self.pools.get(key) or load_pool(stores[key[0]], key[1], self.settings)
            if known is None:
                waiting[key] = sampling_order(members)
            else:
                self.pools[key] = known
        measured: dict[Task, Measured] = {}
        while chosen := [task for key in waiting for task in _wanted(waiting[key], measured)]:
            for assignment, found in self.workers.each(measure, [Assignment(t, self.options.process) for t in chosen]):
                if isinstance(found, Measured):
                    measured[assignment.task] = found
                else:
                    waiting[key_of[assignment.task]].remove(assignment.task)
                    yield Outcome.failed(assignment.task, found)
        photos_of = {key: [(t, measured[t]) for t in members if t in measured] for key, members in waiting.items()}
        defects = defects_of_cameras(
            ((root, of.make, of.model), one.suspects) for (root, of), photos in photos_of.items() for _, one in photos
        )
        for (root, of), photos in photos_of.items():
            noises = [(task.name, one.noise, one.warnings) for task, one in photos if one.noise is not None]
            pool = SeriesPool.of(noises, defects.get((root, of.make, of.model), ()))
            if pool is not None:
                save_pool(stores[root], of, self.settings, pool)
                self.pools[root, of] = pool

    def _published(self, assignment: Assignment, staged: object) -> Outcome:
        """Rename a work file to its output and record it, in the order that `record` describes."""
        task = assignment.task
        if not isinstance(staged, Staged):
            return Outcome.failed(task, staged)
        written = task.target.state(staged.name)
        record = Record(
            output=task.output,
            settings=self.settings,
            source=source_of(task),
            size=staged.source.size,
            stamp=staged.source.stamp,
            sha256=staged.source_sha256,
            written=staged.sha256,
            written_bytes=-1 if written is None else written.size,
            done=False,
            report={**staged.report, "series": assignment.series},
        )
        try:
            if not self.options.process.overwrite and task.target.state(task.output) is not None:
                raise OutputError(f"{task.output_shown} appeared while its photo was denoised; it is left as it is")
            save(task, record)
            task.target.publish(staged.name, task.output)
            save(task, Record(**{**vars(record), "done": True}))
        except RawkdError as error:
            return Outcome.failed(task, error)
        return Outcome(task, Status.DONE, staged.report, series=assignment.series)


def _wanted(order: Sequence[Task], measured: dict[Task, Measured]) -> list[Task]:
    """The next photos of a series to measure; none if enough have given their noise or all were measured."""
    useful = sum(1 for task in order if task in measured and measured[task].noise is not None)
    left = [task for task in order if task not in measured]
    return left[: max(SAMPLES - useful, 0)]


def _skipped(task: Task, record: Record) -> Outcome:
    return Outcome(task, Status.SKIPPED, record.report, series=str(record.report.get("series", "")))
