"""Outcomes: what became of each photo of a batch."""

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
    """How a photo ended. `OWN` is a file that rawkd wrote, which is not denoised again."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    OWN = "own output"


@dataclass(frozen=True)
class Failure:
    """Why a photo was not denoised.

    Attributes
    ----------
    kind : name of the exception's class. sentence : for the user. trace : the traceback.
    """

    kind: str
    sentence: str
    trace: str = ""

    @classmethod
    def of(cls, error: Exception, shown: str) -> Failure:
        """The failure of the photo that messages call `shown`."""
        return cls(type(error).__name__, sentence_of(error, shown), "".join(traceback.format_exception(error)))


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
    """Number of photos of each status, zeros included."""
    found = Counter(outcome.status for outcome in outcomes)
    return {str(status): found[status] for status in Status}
