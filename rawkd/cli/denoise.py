"""`rawkd denoise`: options become values, one line a photo goes to stdout."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.console import Console
from rawkd.cli.exit_codes import FAILED, OK, exit_code_of
from rawkd.cli.options import Choices, shared_options

if TYPE_CHECKING:
    from rawkd.files.read.decode import Decoder
    from rawkd.process import ProcessOptions
    from rawkd.report import Report
    from rawkd.restore.pipeline import Context


@click.command("denoise")
@click.argument("photos", metavar="PHOTO...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", metavar="FILE|DIR", help="Where to write; default: photo-denoised.dng beside each photo."
)
@shared_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a photo on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("-v", "--verbose", is_flag=True, help="Say more, and show tracebacks.")
def denoise_command(
    photos: tuple[Path, ...],
    output: str | None,
    choices: Choices,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Denoise raw PHOTOs.

    Every photo becomes a DNG with the same colours, crop and metadata, or a finished picture. Paths of what was written
    go to stdout, everything else to stderr.
    """
    from rawkd.files.naming import make_folder, plan_outputs
    from rawkd.files.read.decode import Decoder
    from rawkd.restore.pipeline import Context

    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose contradict each other")
    options = choices.process_options()
    outputs = plan_outputs(photos, output, choices.file_format, cropped=choices.crop is not None)
    make_folder(output)
    console = Console(verbosity=verbose - quiet)
    context = Context()
    with Decoder() as decoder:
        codes = [
            _denoise_one(photo, target, options, (decoder, context), console, as_json=as_json)
            for photo, target in zip(photos, outputs, strict=True)
        ]
    failed = [code for code in codes if code != OK]
    if len(codes) > 1 and failed:
        console.say(f"{len(failed)} of {len(codes)} photos failed")
        return FAILED
    return failed[0] if failed else OK


def _denoise_one(
    photo: Path,
    output: Path,
    options: ProcessOptions,
    tools: tuple[Decoder, Context],
    console: Console,
    *,
    as_json: bool,
) -> int:
    """One photo; its errors are said and become its exit code, so that the other photos are done."""
    from rawkd.process import process_file

    try:
        with console.progress(photo.name) as progress:
            report = process_file(photo, output, options, progress, decoder=tools[0], context=tools[1])
    except Exception as error:  # one bad photo must not cost the others
        console.fail(error, photo)
        return exit_code_of(error)
    console.warn(photo, report.warnings)
    console.say(_summary(report))
    console.detail("  ".join(f"{step} {value:.2f} s" for step, value in report.seconds.items()))
    click.echo(json.dumps(report.record()) if as_json else os.fsencode(output))
    return OK


def _summary(report: Report) -> str:
    """One line: what became of a photo, and how."""
    noise = f"gain {report.noise.green_gain:.2g} ({report.noise.source})"
    network = "nothing removed" if report.student is None else f"{report.student} on {report.device} {report.precision}"
    return f"{report.input.name} -> {report.output.name}: {noise}, {network}, {report.seconds['total']:.1f} s"
