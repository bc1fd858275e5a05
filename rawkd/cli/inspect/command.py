"""`rawkd inspect`: options, and one photo after the other."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.console import Console, print_result
from rawkd.cli.exit_codes import OK, failure_record
from rawkd.cli.option_values import PATH
from rawkd.cli.options import MODEL, OVERWRITE, VERBOSE, json_option
from rawkd.cli.without_effect import warn_of_options_without_effect

if TYPE_CHECKING:
    from rawkd.files.read.decode import Decoder


@click.command("inspect")
@click.argument("photos", metavar="PHOTO...", nargs=-1, required=True, type=PATH)
@MODEL
@click.option("--plot", metavar="FILE", type=PATH, help="Plot the noise of one PHOTO, to .svg or .png.")
@OVERWRITE
@json_option("one JSON object a photo, also for one that failed")
@VERBOSE
def inspect_command(
    photos: tuple[Path, ...], model: str | None, plot: Path | None, overwrite: bool, as_json: bool, verbose: bool
) -> int:
    """Show what is known about raw PHOTOs: camera, exposure, sensor, colour, noise, and the model to be used."""
    from rawkd.files.read.decode import Decoder

    if plot is not None and len(photos) > 1:
        raise click.UsageError(f"--plot draws one photo, and {len(photos)} are given: inspect them one at a time")
    console = Console(verbosity=int(verbose))
    warn_of_options_without_effect(console)
    with Decoder() as decoder:
        codes = [
            _inspect(photo, model, (plot, overwrite), decoder, console, is_first=number == 0, as_json=as_json)
            for number, photo in enumerate(photos)
        ]
    return console.code_of_all(codes)


def _inspect(
    photo: Path,
    model: str | None,
    plot: tuple[Path | None, bool],
    decoder: Decoder,
    console: Console,
    *,
    is_first: bool,
    as_json: bool,
) -> int:
    """Show one photo; an error is printed and becomes its exit code, so that the other photos are shown."""
    from rawkd.cli.inspect.facts import facts_of
    from rawkd.cli.inspect.text import text_of

    try:
        record, warnings = facts_of(photo, model, decoder, plot=plot[0], overwrite=plot[1])
        shown = b"" if as_json else os.fsencode(("" if is_first else "\n") + text_of(record))
    except Exception as error:  # one bad photo must not cost the others
        code = console.fail(error, photo)
        if as_json:
            print_result(json.dumps(failure_record(error, photo)))
        return code
    print_result(json.dumps(record | {"warnings": warnings}) if as_json else shown)
    console.warn(photo, warnings)
    return OK
