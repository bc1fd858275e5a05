"""What became of each photo of a batch."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rawkd.batch.task import Task
from rawkd.errors import sentence_of


class Status(StrEnum):
    """How a photo ended; `OWN` is an output of rawkd, which is no input."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    OWN = "own output"


@dataclass(frozen=True)
class Failure:
    """Why a photo was not done.

    Attributes
    ----------
    kind : name of the exception's class. sentence : for the user. trace : for who asks for more.
    """

    kind: str
    sentence: str
    trace: str = ""

    @classmethod
    def of(cls, error: Exception, shown: str) -> Failure:
        """The failure of the photo that the user knows as `shown`."""
        return cls(type(error).__name__, sentence_of(error, shown), "".join(traceback.format_exception(error)))


@dataclass(frozen=True)
class Outcome:
    """What became of a photo.

    Attributes
    ----------
    report : `Report.record` of what was done, now or in an earlier run; None where nothing was.
    series : the series whose noise it was given, empty where its own was taken.
    """

    task: Task
    status: Status
    report: dict[str, Any] | None = None
    failure: Failure | None = None
    series: str = ""

    @property
    def megapixels(self) -> float:
        """Size of what was written now."""
        if self.status is not Status.DONE or self.report is None:
            return 0.0
        return float(self.report["width"] * self.report["height"]) / 1e6

    def record(self) -> dict[str, Any]:
        """All of it in plain values."""
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
    """Number of photos of each status, zeros included."""
    found = Counter(outcome.status for outcome in outcomes)
    return {str(status): found[status] for status in Status}
