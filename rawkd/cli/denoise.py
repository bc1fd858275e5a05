"""`rawkd denoise`: options become values, one line a photo goes to stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.console import Console
from rawkd.cli.exit_codes import FAILED, OK, exit_code_of
from rawkd.cli.options import noise_pair, region

if TYPE_CHECKING:
    from rawkd.demosaic import Method
    from rawkd.files.decode import Decoder
    from rawkd.process import ProcessOptions
    from rawkd.report import Report

PART = click.FloatRange(0, 1)


@click.command("denoise")
@click.argument("photos", metavar="PHOTO...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", metavar="FILE|DIR", help="Where to write; default: photo-denoised.dng beside each photo."
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["dng", "tiff", "png", "jpeg"]),
    help="Default: by the name of the output, else dng.",
)
@click.option("--strength", type=PART, default=1.0, show_default=True, help="Part of the noise to remove.")
@click.option("--luma", type=PART, default=1.0, show_default=True, help="Part of the brightness noise to remove.")
@click.option("--chroma", type=PART, default=1.0, show_default=True, help="Part of the colour noise to remove.")
@click.option(
    "--ensemble",
    type=click.Choice(["1", "2", "4", "8"]),
    default="1",
    show_default=True,
    help="Symmetries to average: a little better, so many times slower.",
)
@click.option(
    "--noise", metavar="A,B", callback=noise_pair, help="Gain and read variance of the greens, if you know them."
)
@click.option(
    "--noise-source",
    type=click.Choice(["auto", "calibration", "profile", "blind", "iso"]),
    default="auto",
    show_default=True,
    help="Where noise parameters come from.",
)
@click.option(
    "--calibration",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The camera's calibration file, for its noise.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where the network runs.",
)
@click.option(
    "--demosaic",
    type=click.Choice(["bilinear", "malvar", "menon"]),
    default="malvar",
    show_default=True,
    help="For tiff, png and jpeg.",
)
@click.option(
    "--exposure",
    type=click.FloatRange(-10, 10),
    default=0.0,
    show_default=True,
    metavar="EV",
    help="Stops to add; for tiff, png and jpeg.",
)
@click.option("--jpeg-quality", type=click.IntRange(1, 100), default=92, show_default=True, help="For jpeg.")
@click.option("--strip-location", is_flag=True, help="Leave GPS fields out of the output.")
@click.option("--model", metavar="NAME|DIR", help="Another model than the built-in family.")
@click.option(
    "--crop",
    metavar="X,Y,W,H",
    callback=region,
    help="Denoise only this region of the upright picture, to a rendered file.",
)
@click.option("--threads", type=click.IntRange(1), metavar="N", help="CPU threads; default: all.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a photo on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("-v", "--verbose", is_flag=True, help="Say more, and show tracebacks.")
def denoise_command(
    photos: tuple[Path, ...],
    output: str | None,
    file_format: str | None,
    strength: float,
    luma: float,
    chroma: float,
    ensemble: str,
    noise: tuple[float, float] | None,
    noise_source: str,
    calibration: Path | None,
    device: str,
    demosaic: Method,
    exposure: float,
    jpeg_quality: int,
    strip_location: bool,
    model: str | None,
    crop: tuple[int, int, int, int] | None,
    threads: int | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Denoise raw PHOTOs.

    Every photo becomes a DNG with the same colours, crop and metadata, or a finished picture. Paths of what was written
    go to stdout, everything else to stderr.
    """
    from rawkd.files.decode import Decoder
    from rawkd.files.naming import make_folder, plan_outputs
    from rawkd.photo import Rect
    from rawkd.pipeline import DenoiseOptions
    from rawkd.process import ProcessOptions

    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose contradict each other")
    options = ProcessOptions(
        denoise=DenoiseOptions(
            strength=strength,
            luma=luma,
            chroma=chroma,
            ensemble=int(ensemble),
            noise=noise,
            noise_source=noise_source,
            calibration=calibration,
            model=model,
            device=device,
            threads=threads,
        ),
        demosaic=demosaic,
        exposure_ev=exposure,
        jpeg_quality=jpeg_quality,
        crop=None if crop is None else Rect(top=crop[1], left=crop[0], height=crop[3], width=crop[2]),
        overwrite=overwrite,
        strip_location=strip_location,
    )
    outputs = plan_outputs(photos, output, file_format, cropped=crop is not None)
    make_folder(output)
    console = Console(verbosity=verbose - quiet)
    with Decoder() as decoder:
        codes = [
            _denoise_one(photo, target, options, decoder, console, as_json=as_json)
            for photo, target in zip(photos, outputs, strict=True)
        ]
    failed = [code for code in codes if code != OK]
    if len(codes) > 1 and failed:
        console.say(f"{len(failed)} of {len(codes)} photos failed")
        return FAILED
    return failed[0] if failed else OK


def _denoise_one(
    photo: Path, output: Path, options: ProcessOptions, decoder: Decoder, console: Console, *, as_json: bool
) -> int:
    """One photo; its errors are said and become its exit code, so that the other photos are done."""
    from rawkd.process import process_file

    try:
        with console.progress(photo.name) as progress:
            report = process_file(photo, output, options, progress, decoder=decoder)
    except Exception as error:  # one bad photo must not cost the others
        console.fail(error, photo)
        return exit_code_of(error)
    console.warn(photo, report.warnings)
    console.say(_summary(report))
    console.detail("  ".join(f"{step} {value:.2f} s" for step, value in report.seconds.items()))
    click.echo(json.dumps(report.record()) if as_json else _as_typed(output))
    return OK


def _as_typed(path: Path) -> bytes:
    """The path in the bytes of the terminal, those that are no text included."""
    return str(path).encode(sys.stdout.encoding, "surrogateescape")


def _summary(report: Report) -> str:
    """One line: what became of a photo, and how."""
    noise = f"gain {report.noise.green_gain:.2g} ({report.noise.source})"
    network = "nothing removed" if report.student is None else f"{report.student} on {report.device} {report.precision}"
    return f"{report.input.name} -> {report.output.name}: {noise}, {network}, {report.seconds['total']:.1f} s"
