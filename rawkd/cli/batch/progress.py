"""Progress of a batch: a bar where stderr is a terminal, a line a photo elsewhere."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rawkd.cli.console import Console, on_terminal, one_line, print_result, stop_bar
from rawkd.cli.exit_codes import INPUT, exit_code_of_kind

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from rawkd.batch.outcome import Outcome
    from rawkd.batch.task import Task

COUNT_S = 10.0
"""Seconds between two lines about the noise where there is no bar (our choice)."""

SETTLED = {
    "skipped": "done before",
    "kept": "its output exists and was kept",
    "own output": "written by rawkd, no input",
}
"""What is said of photos that need nothing, by status."""


@dataclass
class BatchDisplay:
    """Prints every outcome; a context manager around the work.

    Attributes
    ----------
    total : photos in all, None where nobody knows. as_json : JSON on stdout instead of paths.
    outcomes : the last one of each photo so far. megapixels : written so far.
    left_out : folders that could not be searched, with a sentence about each.
    """

    console: Console
    total: int | None
    as_json: bool
    outcomes: dict[Task, Outcome] = field(default_factory=dict)
    megapixels: float = 0.0
    left_out: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._begin_s = time.monotonic()
        self._counted_s = time.monotonic()
        self._bar: Progress | None = None
        self._bar_task: TaskID | None = None

    def __enter__(self) -> Self:
        if self.console.verbosity >= 0 and on_terminal():
            from rich.console import Console as RichConsole
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn())
            current = TextColumn("{task.description}", markup=False)
            self._bar = Progress(*columns, current, console=RichConsole(stderr=True), redirect_stdout=False)
            self._bar_task = self._bar.add_task("", total=self.total, speed="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            stop_bar(self._bar)

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self._begin_s

    @property
    def failed(self) -> bool:
        """Whether a photo or a folder could not be done."""
        return bool(self.left_out) or any(outcome.failure for outcome in self.outcomes.values())

    def missed(self, folder: str, sentence: str) -> None:
        """Print once that a folder cannot be searched, although a watch searches it again and again."""
        from rawkd.batch.outcome import folder_record

        if folder not in self.left_out:
            self.left_out[folder] = sentence
            self.console.error("error: ", one_line(sentence))
            if self.as_json:
                print_result(json.dumps(folder_record(folder, sentence) | {"exit_code": INPUT}))

    def warn(self, sentence: str) -> None:
        """Print a warning about the state of an earlier run."""
        self.console.say(f"warning: {one_line(sentence)}")

    def begun(self, item: Any) -> None:
        """Show the photo that a worker begins with."""
        if self._bar is not None and self._bar_task is not None:
            self._bar.update(self._bar_task, description=one_line(getattr(item, "task", item).name))

    def counted(self, done: int, total: int) -> None:
        """Show how many of the photos that tell the noise of their series were measured."""
        text = f"measuring the noise: {done} of {total} photos"
        if self._bar is not None and self._bar_task is not None:
            self._bar.update(self._bar_task, speed=text)
        elif time.monotonic() - self._counted_s >= COUNT_S:
            self._counted_s = time.monotonic()
            self.console.say(text)

    def listen(self, outcome: Outcome) -> None:
        """Take the outcome of a photo."""
        self.outcomes[outcome.task] = outcome
        self.megapixels += outcome.megapixels
        if self._bar is not None and self._bar_task is not None:
            speed = f"{self.megapixels / max(self.seconds, 1e-3):.1f} MP/s"
            self._bar.update(self._bar_task, completed=len(self.outcomes), speed=speed)
        self._to_stderr(outcome)
        self._to_stdout(outcome)

    def _to_stderr(self, outcome: Outcome) -> None:
        """Print the photo's line; successes are left to the bar where there is one."""
        from rawkd.report import summary

        task = outcome.task
        count = f"[{len(self.outcomes)}/{self.total}] " if self.total is not None else ""
        if outcome.failure is not None:
            self.console.error(f"{count}error: ", one_line(outcome.failure.sentence))
            self.console.detail(outcome.failure.trace)
        elif outcome.status == "done" and outcome.report is not None:
            for warning in outcome.report["warnings"]:
                self.console.say(f"warning: {one_line(task.input_shown)}: {warning}")
            text = f"{count}{one_line(task.input_shown)} -> {one_line(task.output_shown)}: {summary(outcome.report)}"
            (self.console.detail if self._bar is not None else self.console.say)(text)
        else:
            what = SETTLED[outcome.status]
            self.console.detail(f"{count}{one_line(task.input_shown)}: {what}")

    def _to_stdout(self, outcome: Outcome) -> None:
        if self.as_json:
            failure = outcome.failure
            code = {} if failure is None else {"exit_code": exit_code_of_kind(failure.kind)}
            print_result(json.dumps(outcome.record() | code))
        elif outcome.status == "done":
            print_result(os.fsencode(outcome.task.output_shown))
