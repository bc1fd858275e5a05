"""Outcomes: what became of each photo of a batch."""

from __future__ import annotations

import errno
import traceback
from collections import Counter
from collections.abc import Iterable, Set, Sized
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rawkd.batch.task import Task
from rawkd.errors import InputError, OutputError, sentence_of
from rawkd.files.write.atomic import HINTS

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Error numbers of a disk to which no other photo can be written either."""


NOT_READ = "folder not read"
"""The status of a folder that could not be searched; it counts as no photo."""


class Status(StrEnum):
    """How a photo ended.

    `KEPT` is a photo whose output existed, whatever made it, and was left as it is. `OWN` is a file that rawkd wrote,
    which is not denoised again. `NOT_BEGUN` is a photo of a run that was stopped before this photo was finished: no
    worker had begun it, or its work was stopped.
    """

    DONE = "done"
    SKIPPED = "skipped"
    KEPT = "kept"
    FAILED = "failed"
    OWN = "own output"
    NOT_BEGUN = "not begun"


SELDOM = frozenset({Status.KEPT, Status.NOT_BEGUN})
"""Statuses of runs with --keep-existing, and of runs that were stopped."""


@dataclass(frozen=True)
class Failure:
    """Why a photo was not denoised.

    Attributes
    ----------
    kind : name of the exception's class. sentence : for the user. trace : the traceback.
    no_room : why no other photo can be written either (`NO_ROOM`), and what to do; empty if others can.
    """

    kind: str
    sentence: str
    trace: str = ""
    no_room: str = ""

    @classmethod
    def of(cls, error: Exception, shown: str) -> Failure:
        """The failure of the photo that messages call `shown`."""
        trace = "".join(traceback.format_exception(error))
        return cls(type(error).__name__, sentence_of(error, shown), trace, _no_room(error))


def _no_room(error: Exception) -> str:
    """The hint for an output that cannot be written since its disk is full or read-only, else empty."""
    cause: BaseException | None = error if isinstance(error, OutputError) else None
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in NO_ROOM:
            return HINTS[cause.errno]
        cause = cause.__cause__
    return ""


@dataclass(frozen=True)
class Outcome:
    """What became of a photo.

    Attributes
    ----------
    report : `Report.record` of this run or of the earlier one that wrote the output; None if there is no output.
    series : the series whose noise was used; empty if the photo's own was.
    """

    task: Task
    status: Status
    report: dict[str, Any] | None = None
    failure: Failure | None = None
    series: str = ""

    @classmethod
    def failed(cls, task: Task, cause: object) -> Outcome:
        """The outcome of a photo for which a worker returned a failure, an exception, or something else by mistake."""
        if isinstance(cause, Failure):
            return cls(task, Status.FAILED, failure=cause)
        error = cause if isinstance(cause, Exception) else TypeError(f"a worker returned {cause!r}")
        return cls(task, Status.FAILED, failure=Failure.of(error, task.input_shown))

    @property
    def megapixels(self) -> float:
        """Size of what this run wrote, 0 if nothing."""
        if self.status is not Status.DONE or self.report is None:
            return 0.0
        return float(self.report["width"] * self.report["height"]) / 1e6

    def record(self) -> dict[str, Any]:
        """The outcome as plain values, for JSON."""
        known = self.report or {}
        return {
            **known,
            "input": self.task.input_shown,
            "output": self.task.output_shown,
            "status": str(self.status),
            "series": self.series,
            "error": None if self.failure is None else {"kind": self.failure.kind, "sentence": self.failure.sentence},
        }


def counts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Number of photos of each status, zeros included but those of `SELDOM`."""
    found = Counter(outcome.status for outcome in outcomes)
    return {str(status): found[status] for status in Status if found[status] or status not in SELDOM}


def with_left(outcomes: Iterable[Outcome], left: Set[Task]) -> list[Outcome]:
    """The outcomes of a stopped run, with those of the photos that it left; an earlier one of these does not count."""
    known = [outcome for outcome in outcomes if outcome.task not in left]
    return known + [Outcome(task, Status.NOT_BEGUN) for task in left]


def folder_record(folder: str, sentence: str) -> dict[str, Any]:
    """A folder that could not be searched as plain values, for JSON."""
    return {"input": folder, "status": NOT_READ, "error": {"kind": InputError.__name__, "sentence": sentence}}


def in_words(outcomes: Iterable[Outcome], left_out: Sized) -> str:
    """The counts in words, with those of folders that could not be read."""
    found = counts(outcomes)
    kept = f", {found['kept']} kept" if "kept" in found else ""
    own = f", {found['own output']} written by rawkd" if found["own output"] else ""
    left = f", {found['not begun']} not begun" if "not begun" in found else ""
    folders = f", folders not read: {len(left_out)}" if left_out else ""
    return (
        f"{found['done']} denoised, {found['skipped']} done before{kept}, {found['failed']} failed{own}{left}{folders}"
    )
