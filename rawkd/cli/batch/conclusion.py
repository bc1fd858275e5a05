"""What `rawkd batch` says at its end, or with `--dry-run` in place of its work."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rawkd.cli.console import one_line, print_result
from rawkd.errors import OutputError

if TYPE_CHECKING:
    from rawkd.batch.queue import Batch
    from rawkd.batch.task import Task
    from rawkd.cli.batch.progress import BatchDisplay


def foretell(batch: Batch, tasks: Sequence[Task], display: BatchDisplay) -> None:
    """Print what a run would do."""
    from rawkd.batch.outcome import in_words

    survey = batch.survey(tasks)
    for outcome in survey.settled:
        display.listen(outcome)
    for task in survey.todo:
        if display.as_json:
            print_result(json.dumps({"input": task.input_shown, "output": task.output_shown, "status": "to do"}))
        else:
            print_result(os.fsencode(task.output_shown))
    known = in_words(display.outcomes.values(), display.left_out)
    display.console.say(f"{len(survey.todo)} to do, {known}; nothing was written")


def conclude(batch: Batch, display: BatchDisplay, report: Path | None, *, stopped: bool = False) -> None:
    """Print the noise of each series and the counts, and write the report, if possible also of a `stopped` run."""
    from rawkd.batch.outcome import in_words, with_left
    from rawkd.batch.report import write_report

    console = display.console
    outcomes = with_left(display.outcomes.values(), batch.left)
    for (_, series), pool in batch.pools.items():
        console.say(f"{one_line(str(series))}: gain {pool.noise.green_gain:.2g} ({pool.noise.source})")
        for warning in pool.warnings:
            console.say(f"warning: {one_line(str(series))}: {warning}")
    alone = sum(1 for outcome in outcomes if outcome.task in batch.alone and outcome.status == "done")
    if alone:
        photos = "1 photo states" if alone == 1 else f"{alone} photos state"
        console.say(f"{photos} no ISO or no camera, and got the noise of one photo instead of a series")
    speed = ""
    if display.megapixels:
        pace = display.megapixels / max(display.seconds, 1e-3)
        speed = f"; {display.megapixels:.0f} MP in {display.seconds:.0f} s, {pace:.1f} MP/s"
    console.say(in_words(outcomes, display.left_out) + speed)
    if report is not None:
        batch.recall(outcomes)
        try:
            write_report(report, outcomes, batch.pools, display.left_out)
        except OutputError as error:
            if not stopped:
                raise
            console.fail(error)
