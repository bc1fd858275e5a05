"""`rawkd denoise`: options become values, one line a photo goes to stdout."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.console import Console, one_line, print_result
from rawkd.cli.exit_codes import OK, failure_record
from rawkd.cli.option_groups import SectionedCommand
from rawkd.cli.option_values import PATH
from rawkd.cli.options import (
    DenoiseChoices,
    OutputChoices,
    console_options,
    denoise_options,
    json_option,
    output_options_of_photos,
)
from rawkd.cli.without_effect import warn_of_options_without_effect

if TYPE_CHECKING:
    from rawkd.files.read.decode import Decoder
    from rawkd.process import ProcessOptions
    from rawkd.restore.context import Context


@click.command("denoise", cls=SectionedCommand)
@click.argument("photos", metavar="PHOTO...", nargs=-1, required=True, type=PATH)
@click.option(
    "-o",
    "--output",
    metavar="FILE|DIR",
    help="Write here; a name ending in / is a folder.  [default: photo-denoised.dng beside each photo]",
)
@output_options_of_photos
@denoise_options
@json_option("one JSON object a photo, also for one that failed")
@console_options
def denoise_command(
    photos: tuple[Path, ...],
    output: str | None,
    result: OutputChoices,
    choices: DenoiseChoices,
    as_json: bool,
    console: Console,
) -> int:
    """Denoise raw PHOTOs.

    Every photo becomes a DNG with the same colours, crop and metadata, or a rendered picture. Paths of written files go
    to stdout, everything else to stderr.
    """
    from rawkd.files.naming import each_once, format_of, make_folder, plan_outputs
    from rawkd.files.read.decode import Decoder

    options = result.process_options(choices.options())
    photos = each_once(photos)
    cropped = result.crop is not None
    outputs = plan_outputs(photos, output, result.file_format, cropped=cropped, is_own_output=_is_own_output)
    file_format = format_of(next(iter(outputs.values())))
    result.refuse_contradictions(file_format)
    warn_of_options_without_effect(console, file_format)
    for photo in photos:
        if photo not in outputs:
            console.say(one_line(f"{photo}: left out, because it is the output of another of these photos"))
    if any(os.path.exists(photo) for photo in outputs):  # noqa: PTH110 -- no error where a folder may not be entered
        make_folder(output)
    with Decoder() as decoder:
        decoder.start()  # before the slow import
        from rawkd.restore.context import Context

        context = Context()
        codes = [
            _denoise_one(photo, target, options, (decoder, context), console, as_json=as_json)
            for photo, target in outputs.items()
        ]
    return console.code_of_all(codes)


def _denoise_one(
    photo: Path,
    output: Path,
    options: ProcessOptions,
    tools: tuple[Decoder, Context],
    console: Console,
    *,
    as_json: bool,
) -> int:
    """Denoise one photo; an error is printed and becomes its exit code, so that the other photos are done."""
    from rawkd.process import process_file
    from rawkd.report import summary

    try:
        refuse_folder(photo)
        with console.progress(photo.name) as progress:
            report = process_file(photo, output, options, progress, decoder=tools[0], context=tools[1])
    except Exception as error:  # one bad photo must not cost the others
        code = console.fail(error, photo)
        if as_json:
            print_result(json.dumps(failure_record(error, photo)))
        return code
    console.warn(photo, report.warnings)
    console.say(f"{report.input.name} -> {report.output.name}: {summary(report.record())}")
    console.detail("  ".join(f"{step} {value:.2f} s" for step, value in report.seconds.items()))
    print_result(json.dumps(report.record()) if as_json else os.fsencode(output))
    return OK


def _is_own_output(photo: Path) -> bool:
    from rawkd.files.read.identify import identify

    with suppress(Exception):  # a damaged file is refused later, with its name
        return identify(photo).is_own_output
    return False


def refuse_folder(photo: Path) -> None:
    """Point to `rawkd batch` where a folder is given for a photo.

    Raises
    ------
    InputError: if it is a folder.
    """
    from rawkd.errors import InputError

    if os.path.isdir(photo):  # noqa: PTH112 -- Path.is_dir raises where the folder above may not be entered
        raise InputError(f"{photo}: this is a folder. Run: rawkd batch {photo}")
