"""`rawkd batch`: a folder, a shoot, an archive."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.batch.conclusion import conclude, foretell
from rawkd.cli.batch.progress import BatchDisplay
from rawkd.cli.console import Console
from rawkd.cli.exit_codes import FAILED, OK
from rawkd.cli.option_groups import SectionedCommand
from rawkd.cli.option_values import PATH
from rawkd.cli.options import (
    DenoiseChoices,
    OutputChoices,
    console_options,
    denoise_options,
    json_option,
    output_options,
)
from rawkd.cli.without_effect import RULES, warn_of_options_without_effect
from rawkd.cores import available_cores
from rawkd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rawkd.batch.queue import Batch
    from rawkd.batch.settings import BatchOptions
    from rawkd.batch.store import FileState, Store
    from rawkd.batch.task import Task
    from rawkd.batch.workers import Workers

MOST_JOBS = 8
"""Most photos at a time unless `--jobs` says more: each takes up to a gigabyte (our choice)."""
SPARE_JOBS = 1
"""Photos at a time beyond the number of cores, to compute while others wait for the disk (our choice)."""


@click.command("batch", cls=SectionedCommand)
@click.argument("inputs", metavar="DIR|FILE...", nargs=-1, required=True, type=click.Path(readable=False))
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    help="Write here, in the same tree as below each DIR.  [default: beside each photo]",
)
@click.option("-r", "--recursive", is_flag=True, help="Search folders below, too.")
@click.option("--include", multiple=True, metavar="GLOB", help="Take only raws of such names or paths; repeatable.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Skip raws of such names or paths; repeatable.")
@click.option("--per-photo-noise", is_flag=True, help="Measure the noise of each photo instead of each series.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Work on N photos at a time; bounds memory.  [default: one more than cores, at most 8]",
)
@click.option("--watch", "watching", is_flag=True, help="Keep going with photos that appear, until Ctrl-C.")
@click.option("--keep-existing", is_flag=True, help="Leave outputs that exist as they are, whatever made them.")
@click.option("--cluster", metavar="ADDRESS", help="Use the workers of a Dask scheduler: tcp://HOST:8786.")
@click.option(
    "--dry-run", is_flag=True, help="Print what would be written, without decoding the photos; write nothing."
)
@click.option("--report", metavar="FILE", type=PATH, help="Write what became of each photo, to .json or .csv.")
@output_options
@denoise_options
@json_option("one JSON object a photo, also for one that failed")
@console_options
def batch_command(
    inputs: tuple[str, ...],
    output: str | None,
    recursive: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    per_photo_noise: bool,
    jobs: int | None,
    watching: bool,
    keep_existing: bool,
    cluster: str | None,
    dry_run: bool,
    report: Path | None,
    result: OutputChoices,
    choices: DenoiseChoices,
    as_json: bool,
    console: Console,
) -> int:
    """Denoise all raw photos of folders, several at a time.

    Photos that are done with the same settings are skipped, so the same command resumes an interrupted run. A photo
    that cannot be denoised is named, and the others are done.
    """
    from rawkd.batch.queue import Batch
    from rawkd.batch.report import check_place
    from rawkd.batch.settings import BatchOptions
    from rawkd.batch.task import Selection, find_tasks, refuse_missing, refuse_picture_name
    from rawkd.batch.watch import poll_interval
    from rawkd.files.naming import ending_of, format_of

    _refuse_contradictions(dry_run=dry_run, watching=watching, reporting=report is not None)
    if keep_existing and result.overwrite:
        raise click.UsageError("--keep-existing and --overwrite contradict each other: leave one out")
    if output is not None:
        refuse_picture_name(output)
    if report is not None:
        check_place(report, None if output is None else Path(output))
    if not watching:
        refuse_missing(inputs)
    ending = ending_of(result.file_format)
    output_format = format_of(Path(ending))
    result.refuse_contradictions(output_format)
    warn_of_options_without_effect(console, output_format)
    process, idle = result.process_options(choices.options()), _idle(output_format)
    options = BatchOptions(process, ending, per_photo_noise, keep_existing, idle)
    selection = Selection(recursive, include, exclude)
    open_store = _stores(absolute=cluster is not None)
    display = BatchDisplay(console, None, as_json)

    def find() -> Mapping[Task, FileState | None]:
        return find_tasks(inputs, output, selection, ending, open_store, display.missed)

    tasks = () if watching else tuple(find())
    display.total = None if watching else len(tasks)
    jobs = jobs or min(available_cores() + SPARE_JOBS, MOST_JOBS)
    options, workers = _workers(cluster, jobs, options, display, computes=not dry_run)
    with closing(workers):
        batch = Batch(options, workers, counted=display.counted, warn=display.warn)
        if dry_run:
            foretell(batch, tasks, display)
            return FAILED if display.failed else OK
        try:
            with display:
                if watching:
                    _watch(find, poll_interval(inputs), batch, display)
                else:
                    batch.run(tasks, display.listen)
        except BaseException as error:
            if display.outcomes or isinstance(error, KeyboardInterrupt):  # else it was refused before any photo
                conclude(batch, display, report, stopped=True)
            raise
        conclude(batch, display, report)
    return FAILED if display.failed else OK


def _refuse_contradictions(*, dry_run: bool, watching: bool, reporting: bool) -> None:
    if dry_run and watching:
        raise click.UsageError("--dry-run and --watch contradict each other: leave one out")
    if dry_run and reporting:
        raise click.UsageError("--dry-run and --report contradict each other: --dry-run writes nothing")


def _idle(output_format: str) -> frozenset[str]:
    """Return the options that change nothing, by the names that the program has for them."""
    values = click.get_current_context().params | {"output_format": output_format}
    found = {name for rule in RULES if rule.when(values) for name in rule.parameters}
    return frozenset("exposure_ev" if name == "exposure" else name for name in found)


def _stores(*, absolute: bool) -> Callable[[str], Store]:
    """Return a function that opens a folder or URL; workers on other machines need the whole path of a folder."""
    from rawkd.batch.store import LocalStore

    def open_store(place: str) -> Store:
        if "://" in place:
            from rawkd.batch.url_store import UrlStore

            return UrlStore.at(place)
        return LocalStore(str(Path(place).absolute()) if absolute else place)

    return open_store


def _workers(
    cluster: str | None, jobs: int, options: BatchOptions, display: BatchDisplay, *, computes: bool
) -> tuple[BatchOptions, Workers]:
    """Return the options fixed for all workers, and the workers, which have the device if they are to compute."""
    if cluster is None:
        from rawkd.batch.workers import LocalWorkers

        local = LocalWorkers(jobs, display.begun)
        if computes:
            local.check_device(options.process.denoise)
        return options, local
    from rawkd.batch.cluster import ClusterWorkers, fixed_for_cluster

    fixed = fixed_for_cluster(options)
    return fixed, ClusterWorkers(cluster, fixed)


def _watch(
    find: Callable[[], Mapping[Task, FileState | None]], poll_s: float, batch: Batch, display: BatchDisplay
) -> None:
    """Work until Ctrl-C, which ends a watch and is no failure. Of a photo that changed, the last outcome counts."""
    from rawkd.batch.watch import watch

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
