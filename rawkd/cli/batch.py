"""`rawkd batch`: a folder, a shoot, an archive."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.batch_progress import BatchDisplay
from rawkd.cli.console import Console, one_line
from rawkd.cli.exit_codes import FAILED, OK
from rawkd.cli.options import Choices, shared_options
from rawkd.cores import available_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rawkd.batch.queue import Batch
    from rawkd.batch.settings import BatchOptions
    from rawkd.batch.store import FileState, Store
    from rawkd.batch.task import Task
    from rawkd.batch.workers import Workers

MOST_JOBS = 8
"""Most photos at a time unless `--jobs` says more: each takes up to a gigabyte (our choice)."""
SPARE_JOBS = 1
"""Photos at a time beyond the number of cores, to compute while others wait for the disk (our choice)."""


@click.command("batch")
@click.argument("inputs", metavar="DIR|FILE...", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", metavar="DIR", help="Mirror the tree of each DIR below this one; default: beside.")
@click.option("-r", "--recursive", is_flag=True, help="Search folders below, too.")
@click.option("--include", multiple=True, metavar="GLOB", help="Only raws of such names or paths; repeatable.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="No raws of such names or paths; repeatable.")
@click.option("--per-photo-noise", is_flag=True, help="Let each photo have its own noise, not that of its series.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Photos at a time; bounds memory. Default: one more than cores, at most 8.",
)
@click.option("--watch", "watching", is_flag=True, help="Go on with what appears, until Ctrl-C.")
@click.option("--cluster", metavar="ADDRESS", help="A Dask scheduler that has the work done: tcp://HOST:8786.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@click.option("--report", metavar="FILE", type=click.Path(path_type=Path), help="What became of each: .json or .csv.")
@shared_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a photo on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("-v", "--verbose", is_flag=True, help="Say more, and show tracebacks.")
def batch_command(
    inputs: tuple[str, ...],
    output: str | None,
    recursive: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    per_photo_noise: bool,
    jobs: int | None,
    watching: bool,
    cluster: str | None,
    dry_run: bool,
    report: Path | None,
    choices: Choices,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Denoise all raw photos of folders, several at a time.

    What is done already with the same settings is skipped, so the same command resumes a run that was interrupted. A
    file that cannot be denoised is named and costs nothing but itself.
    """
    from rawkd.batch.queue import Batch
    from rawkd.batch.report import check_place
    from rawkd.batch.settings import BatchOptions
    from rawkd.batch.task import Selection, find_states, refuse_missing
    from rawkd.batch.watch import poll_interval
    from rawkd.files.naming import ending_of

    _check(quiet=quiet, verbose=verbose, dry_run=dry_run, watching=watching, reporting=report is not None)
    if report is not None:
        check_place(report, None if output is None else Path(output))
    if not watching:
        refuse_missing(inputs)
    ending = ending_of(choices.file_format, cropped=choices.crop is not None)
    options = BatchOptions(choices.process_options(), ending, per_photo_noise)
    selection = Selection(recursive, include, exclude)
    open_store = _stores(absolute=cluster is not None)
    display = BatchDisplay(Console(verbosity=verbose - quiet), None, as_json)

    def find() -> Mapping[Task, FileState | None]:
        return find_states(inputs, output, selection, ending, open_store, display.missed)

    tasks = () if watching else tuple(find())
    display.total = None if watching else len(tasks)
    options, workers = _workers(cluster, jobs or min(available_cores() + SPARE_JOBS, MOST_JOBS), options, display)
    with closing(workers):
        batch = Batch(options, workers)
        if dry_run:
            _foretell(batch, tasks, display)
            return FAILED if display.failed else OK
        try:
            with display:
                if watching:
                    _watch(find, poll_interval(inputs), batch, display)
                else:
                    batch.run(tasks, display.listen)
        finally:
            _conclude(batch, display, report)
    return FAILED if display.failed else OK


def _check(*, quiet: bool, verbose: bool, dry_run: bool, watching: bool, reporting: bool) -> None:
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose contradict each other")
    if dry_run and watching:
        raise click.UsageError("--dry-run and --watch contradict each other")
    if dry_run and reporting:
        raise click.UsageError("--dry-run and --report contradict each other: --dry-run writes nothing")


def _stores(*, absolute: bool) -> Callable[[str], Store]:
    """What opens a folder or URL; workers elsewhere need the whole path of a folder."""
    from rawkd.batch.store import LocalStore

    def open_store(place: str) -> Store:
        if "://" in place:
            from rawkd.batch.url_store import UrlStore

            return UrlStore.at(place)
        return LocalStore(str(Path(place).absolute()) if absolute else place)

    return open_store


def _workers(
    cluster: str | None, jobs: int, options: BatchOptions, display: BatchDisplay
) -> tuple[BatchOptions, Workers]:
    """Who does the work, and the options fixed for all of them."""
    if cluster is None:
        from rawkd.batch.workers import LocalWorkers

        return options, LocalWorkers(jobs, display.begun)
    from rawkd.batch.cluster import ClusterWorkers, fixed_for_cluster

    fixed = fixed_for_cluster(options)
    return fixed, ClusterWorkers(cluster, fixed)


def _watch(
    find: Callable[[], Mapping[Task, FileState | None]], poll_s: float, batch: Batch, display: BatchDisplay
) -> None:
    """Until Ctrl-C, which is how a watch ends and no failure."""
    from rawkd.batch.watch import watch
    from rawkd.errors import InputError

    def found() -> Mapping[Task, FileState | None]:
        try:
            return find()
        except InputError:  # none yet
            return {}

    display.console.say("watching; Ctrl-C ends it")
    try:
        watch(found, batch, display.listen, poll_s=poll_s)
    except KeyboardInterrupt:
        display.console.say("the watch has ended")


def _foretell(batch: Batch, tasks: Sequence[Task], display: BatchDisplay) -> None:
    """Say what a run would do."""
    survey = batch.survey(tasks)
    for outcome in survey.settled:
        display.listen(outcome)
    for task in survey.todo:
        if display.as_json:
            click.echo(json.dumps({"input": task.input_shown, "output": task.output_shown, "status": "to do"}))
        else:
            click.echo(os.fsencode(task.output_shown))
    display.console.say(f"{len(survey.todo)} to do, {_counted(display)}; nothing was written")


def _conclude(batch: Batch, display: BatchDisplay, report: Path | None) -> None:
    """The pools, the count and the report, of an interrupted run too."""
    from rawkd.batch.report import write_report

    console = display.console
    for (_, series), pool in batch.pools.items():
        console.say(f"{one_line(str(series))}: gain {pool.noise.green_gain:.2g} ({pool.noise.source})")
        for warning in pool.warnings:
            console.say(f"warning: {one_line(str(series))}: {warning}")
    speed = f"{display.megapixels:.0f} MP in {display.seconds:.0f} s, "
    speed += f"{display.megapixels / max(display.seconds, 1e-3):.1f} MP/s"
    console.say(f"{_counted(display)}; {speed}")
    if report is not None:
        batch.recall(display.outcomes)
        write_report(report, display.outcomes, batch.pools)


def _counted(display: BatchDisplay) -> str:
    from rawkd.batch.outcome import counts

    found = counts(display.outcomes)
    own = f", {found['own output']} written by rawkd" if found["own output"] else ""
    left = f", folders not read: {len(display.left_out)}" if display.left_out else ""
    return f"{found['done']} denoised, {found['skipped']} done before, {found['failed']} failed{own}{left}"
