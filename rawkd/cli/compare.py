"""`rawkd compare`: a before / after page of one photo."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.console import Console, print_result
from rawkd.cli.exit_codes import OK
from rawkd.cli.option_groups import SectionedCommand
from rawkd.cli.option_values import PATH, regions
from rawkd.cli.options import DEMOSAIC, EXPOSURE, OVERWRITE, DenoiseChoices, console_options, pixel_options
from rawkd.cli.without_effect import warn_of_options_without_effect

if TYPE_CHECKING:
    from rawkd.compare.compare import CompareOptions
    from rawkd.render.demosaic import Method


@click.command("compare", cls=SectionedCommand)
@click.argument("photo", type=PATH)
@click.option(
    "-o", "--output", metavar="FILE.html", type=PATH, help="Write this page.  [default: photo-compare.html beside it]"
)
@click.option(
    "--crop",
    "crops",
    metavar="X,Y,W,H",
    multiple=True,
    callback=regions,
    help="Show this region of the upright picture; repeatable.",
)
@click.option(
    "--models", metavar="A,B", help="Compare these models, each a tier, a name or a folder.  [default: fast]"
)  # fmt: skip
@click.option("--strip", metavar="FILE.png", type=PATH, help="Also write the crops side by side as a picture.")
@DEMOSAIC
@EXPOSURE
@OVERWRITE
@pixel_options
@console_options
def compare_command(
    photo: Path,
    output: Path | None,
    crops: tuple[tuple[int, int, int, int], ...],
    models: str | None,
    strip: Path | None,
    demosaic: Method | None,
    exposure: float,
    overwrite: bool,
    choices: DenoiseChoices,
    console: Console,
) -> int:
    """Show a raw PHOTO before and after, as one page that works offline.

    Without --crop it shows texture, shadows, skin or a smooth area, and highlights. The page holds no location, no
    serial number and no folder of yours, so you can share it.
    """
    from rawkd.compare.compare import CompareOptions
    from rawkd.photo import Rect

    warn_of_options_without_effect(console)
    options = CompareOptions(
        denoise=choices.options(),
        models=(None,) if models is None else tuple(name for name in models.split(",") if name) or (None,),
        crops=tuple(Rect(top=top, left=left, height=height, width=width) for left, top, width, height in crops),
        demosaic=demosaic,
        exposure_ev=exposure,
    )
    try:
        _compare(photo, output, strip, options, console, overwrite=overwrite)
    except Exception as error:  # printed with the photo's name; the exit code says which kind
        return console.fail(error, photo)
    return OK


def _compare(
    photo: Path, output: Path | None, strip: Path | None, options: CompareOptions, console: Console, *, overwrite: bool
) -> None:
    """Compute, write, and print the names of written files."""
    from rawkd.compare.compare import compare, write_strip
    from rawkd.compare.page import page_beside, refuse_names, write_page

    page = output or page_beside(photo)
    refuse_names(page, strip, photo, overwrite=overwrite)
    with console.progress(photo.name) as progress:
        comparison = compare(photo, options, progress)
    console.warn(photo, comparison.warnings)
    write_page(comparison, page, overwrite=overwrite)
    print_result(os.fsencode(page))
    if strip is not None:
        write_strip(comparison, strip, overwrite=overwrite)
        print_result(os.fsencode(strip))
