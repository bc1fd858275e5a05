"""The story of a batch: find what is done, identify the rest, measure each series, denoise, publish."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from rawkd.batch.noise.measuring import Counted, Measuring, in_portions, series_of, uncounted
from rawkd.batch.noise.series import Series, SeriesPool, load_pool, unsaid
from rawkd.batch.outcome import Outcome, Status
from rawkd.batch.record import Record, TaskState, judge, save, source_of
from rawkd.batch.settings import BatchOptions, fingerprint, settings_of
from rawkd.batch.store import LocalStore
from rawkd.batch.task import Folders, Task, collisions
from rawkd.batch.work import Assignment, Staged, WorkerContext, denoise, look
from rawkd.batch.workers import Workers
from rawkd.errors import OutputError, RawkdError
from rawkd.files.read.identify import Identity

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
    alone : photos of an unknown camera or ISO, which belong to no series although the options want series.
    counted : hears of each photo whose noise was measured for its series. warn : called with sentences about the state
        of earlier runs.
    """

    options: BatchOptions
    workers: Workers
    pools: dict[tuple[str, Series], SeriesPool] = field(default_factory=dict)
    left: set[Task] = field(default_factory=set)
    alone: set[Task] = field(default_factory=set)
    counted: Counted = uncounted
    warn: Callable[[str], None] = unsaid

    def __post_init__(self) -> None:
        self.settings = settings_of(self.options)
        self.settings_sha256 = fingerprint(self.settings)

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
        with closing(WorkerContext()) as worker:
            for key in done.keys() - {(root, str(series)) for root, series in self.pools}:
                task = done[key]
                series = Series.of(look(worker, task))  # any photo of a series identifies it
                pool = None if series is None else load_pool(task.target, series, self.settings_sha256, self.warn)
                if series is not None and pool is not None:
                    self.pools[key[0], series] = pool

    def survey(self, tasks: Sequence[Task]) -> Survey:
        """Find out which photos are to be denoised; writes nothing."""
        folders = Folders()
        judged = {task: self._judged(task, folders) for task in tasks}
        ours = {task for task, (_, _, record) in judged.items() if record is not None}
        written = {folders.place(task.target, task.output) for task in ours}
        settled: dict[Task, Outcome] = {}
        todo: dict[Task, Identity] = {}
        rest = []
        for task, one in judged.items():
            if folders.place(task.source, task.name) in written:
                settled[task] = Outcome(task, Status.OWN)
            elif one[0] in (TaskState.DONE, TaskState.KEPT):
                settled[task] = _outcome_of(task, one)
            else:
                rest.append(task)
        rivals = {task for task, outcome in settled.items() if outcome.status is not Status.OWN}
        for task, found in self.workers.each(look, rest):
            identity = Identity() if isinstance(found, Exception) else found
            if identity.is_own_output:
                settled[task] = Outcome(task, Status.OWN)
            else:
                todo[task] = identity
        refused = collisions([task for task in tasks if task in todo or task in rivals], folders)
        for task in todo.keys() | rivals:
            if task in refused and task not in ours:
                settled[task] = Outcome.failed(task, refused[task])
            elif judged[task][0] is TaskState.REFUSED:
                settled[task] = _outcome_of(task, judged[task])
        in_order = {task: todo[task] for task in tasks if task in todo and task not in settled}
        return Survey(in_order, tuple(settled[task] for task in tasks if task in settled))

    def _judged(self, task: Task, folders: Folders) -> tuple[TaskState, str, Record | None]:
        """The state of a photo, see `judge`."""
        overwrite, keep_existing = self.options.process.overwrite, self.options.keep_existing
        return judge(task, self.settings, folders, overwrite=overwrite, keep_existing=keep_existing)

    def _settled_before_the_lock(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Outcomes of photos that another batch wrote, or whose output appeared, between the survey and the lock."""
        folders = Folders()
        for task in tasks:
            judged = self._judged(task, folders)
            if judged[0] is not TaskState.NEW:
                yield _outcome_of(task, judged)

    def _work(self, todo: dict[Task, Identity]) -> Generator[Outcome, None, None]:
        """Outcomes in the order in which photos finish. Closing the iterator stops the work."""
        series = series_of(todo, self.options)
        self.alone |= {task for task in series if Series.of(todo[task]) is None}
        measuring = Measuring(
            self.options, self.settings_sha256, self.workers, self.pools, series, self.counted, self.warn
        )
        for tasks in in_portions(todo):
            unreadable: set[Task] = set()
            for outcome in measuring.measure(tasks):
                unreadable.add(outcome.task)
                yield outcome
            assignments = [self._assigned(task, measuring) for task in tasks if task not in unreadable]
            for assignment, staged in self.workers.each(denoise, assignments):
                yield self._published(assignment, staged)

    def _assigned(self, task: Task, measuring: Measuring) -> Assignment:
        """A photo with the noise and the defects of its series, if that has any."""
        pool = measuring.pool_of(task)
        if pool is None:
            return Assignment(task, self.options.process)
        return Assignment(task, self.options.process, pool.noise, pool.defects, str(measuring.series[task]))

    def _published(self, assignment: Assignment, staged: object) -> Outcome:
        """Rename a work file to its output and record it, in the order that `record` describes."""
        task = assignment.task
        if not isinstance(staged, Staged):
            return Outcome.failed(task, staged)
        written = task.target.state(staged.name)
        record = Record(
            output=task.output,
            settings=self.settings,
            source=source_of(task, Folders()),
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
                if self.options.keep_existing:
                    task.target.discard(staged.name)
                    return Outcome(task, Status.KEPT)
                raise OutputError(f"{task.output_shown} appeared while its photo was denoised; it is left as it is")
            save(task, record)
            task.target.publish(staged.name, task.output)
            save(task, Record(**{**vars(record), "done": True}))
        except RawkdError as error:
            task.target.discard(staged.name)
            return Outcome.failed(task, error)
        return Outcome(task, Status.DONE, staged.report, series=assignment.series)


def _outcome_of(task: Task, judged: tuple[TaskState, str, Record | None]) -> Outcome:
    """The outcome of a photo that is not to be denoised, see `judge`."""
    state, reason, record = judged
    if state is TaskState.REFUSED:
        return Outcome.failed(task, OutputError(reason))
    if state is TaskState.DONE and record is not None:
        return Outcome(task, Status.SKIPPED, record.report, series=str(record.report.get("series", "")))
    return Outcome(task, Status.KEPT)
