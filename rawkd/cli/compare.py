"""`rawkd compare`: a before / after page of one photo."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.console import Console
from rawkd.cli.exit_codes import OK, exit_code_of
from rawkd.cli.options import PART, STOPS, noise_pair, region

if TYPE_CHECKING:
    from rawkd.compare.compare import CompareOptions
    from rawkd.render.demosaic import Method


def _regions(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[int, int, int, int], ...]:
    """X,Y,WIDTH,HEIGHT, any number of times."""
    return tuple(found for value in values if (found := region(ctx, param, value)) is not None)


@click.command("compare")
@click.argument("photo", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="FILE.html",
    type=click.Path(path_type=Path),
    help="Default: photo-compare.html beside it.",
)
@click.option(
    "--crop",
    "crops",
    metavar="X,Y,W,H",
    multiple=True,
    callback=_regions,
    help="A region of the upright picture; repeatable.",
)
@click.option("--models", metavar="A,B", help="Models to compare, each a tier, a name or a folder; default: fast.")
@click.option(
    "--strip",
    metavar="FILE.png",
    type=click.Path(path_type=Path),
    help="Also write the crops side by side as a picture.",
)
@click.option("--strength", type=PART, default=1.0, show_default=True, help="Part of the noise to remove.")
@click.option("--luma", type=PART, default=1.0, show_default=True, help="Part of the brightness noise to remove.")
@click.option("--chroma", type=PART, default=1.0, show_default=True, help="Part of the colour noise to remove.")
@click.option(
    "--ensemble", type=click.Choice(["1", "2", "4", "8"]), default="1", show_default=True, help="Symmetries to average."
)
@click.option("--noise", metavar="A,B", callback=noise_pair, help="Gain and read variance of the greens.")
@click.option("--calibration", metavar="FILE", type=click.Path(path_type=Path), help="The camera's calibration file.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where the networks run.",
)
@click.option(
    "--demosaic",
    type=click.Choice(["bilinear", "malvar", "menon"]),
    default="malvar",
    show_default=True,
    help="For all.",
)
@click.option("--exposure", type=STOPS, default=0.0, show_default=True, metavar="EV", help="Stops to add.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="CPU threads; default: all.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks.")
def compare_command(
    photo: Path,
    output: Path | None,
    crops: tuple[tuple[int, int, int, int], ...],
    models: str | None,
    strip: Path | None,
    strength: float,
    luma: float,
    chroma: float,
    ensemble: str,
    noise: tuple[float, float] | None,
    calibration: Path | None,
    device: str,
    demosaic: Method,
    exposure: float,
    threads: int | None,
    overwrite: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Show a raw PHOTO before and after, as one page that needs no network.

    Without --crop, interesting parts are found: texture, shadows, skin or a smooth area, highlights. The page holds no
    location, no serial number and no folder of yours, so it can be shared.
    """
    from rawkd.compare.compare import CompareOptions
    from rawkd.photo import Rect
    from rawkd.restore.options import DenoiseOptions

    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose contradict each other")
    options = CompareOptions(
        denoise=DenoiseOptions(
            strength=strength,
            luma=luma,
            chroma=chroma,
            ensemble=int(ensemble),
            noise=noise,
            calibration=calibration,
            device=device,
            threads=threads,
        ),
        models=(None,) if models is None else tuple(name for name in models.split(",") if name) or (None,),
        crops=tuple(Rect(top=top, left=left, height=height, width=width) for left, top, width, height in crops),
        demosaic=demosaic,
        exposure_ev=exposure,
    )
    console = Console(verbosity=verbose - quiet)
    page = output or photo.with_name(f"{photo.stem}-compare.html")
    try:
        _compare(photo, page, strip, options, console, overwrite=overwrite)
    except Exception as error:  # said with the photo's name; the code tells which kind
        console.fail(error, photo)
        return exit_code_of(error)
    return OK


def _compare(
    photo: Path, page: Path, strip: Path | None, options: CompareOptions, console: Console, *, overwrite: bool
) -> None:
    """Compute, write, and name what was written on stdout."""
    from rawkd.compare.compare import compare, write_strip
    from rawkd.compare.page import refuse_names, write_page

    refuse_names(page, strip, overwrite=overwrite)
    with console.progress(photo.name) as progress:
        comparison = compare(photo, options, progress)
    console.warn(photo, comparison.warnings)
    write_page(comparison, page, overwrite=overwrite)
    click.echo(os.fsencode(page))
    if strip is not None:
        write_strip(comparison, strip, overwrite=overwrite)
        click.echo(os.fsencode(strip))
