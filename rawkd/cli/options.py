"""Every option that several commands have, defined once, and the groups of them that become one argument."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.console import Console
from rawkd.cli.option_groups import Decorator, gathered
from rawkd.cli.option_values import FORMAT, PART, PATH, STOPS, format_name, noise_pair, region
from rawkd.inference.gpu.ways import DEVICES

if TYPE_CHECKING:
    from rawkd.process import ProcessOptions
    from rawkd.render.demosaic import Method
    from rawkd.restore.options import DenoiseOptions

ENSEMBLES = ("1", "2", "4", "8")
NOISE_SOURCES = ("auto", "calibration", "profile", "blind", "iso")
"""As `rawkd.sensor.choose_noise.SOURCES`, which is too heavy to import for a help text."""
METHODS = ("menon", "malvar", "bilinear", "markesteijn", "markesteijn3")
"""As `rawkd.render.demosaic.Method`."""

MODEL = click.option(
    "--model", metavar="TIER|NAME|DIR", help="Choose a tier (fast, balanced, best) or another model.  [default: fast]"
)
STRENGTH = click.option(
    "--strength", type=PART, default=1.0, show_default=True, help="Remove this part of the noise: 0 none, 1 all."
)
LUMA = click.option(
    "--luma",
    type=PART,
    default=1.0,
    show_default=True,
    help="Remove this part of the luminance noise: 0 keeps the grain.",
)
CHROMA = click.option(
    "--chroma", type=PART, default=1.0, show_default=True, help="Remove this part of the colour noise."
)
ENSEMBLE = click.option(
    "--ensemble",
    type=click.Choice(ENSEMBLES),
    default="1",
    show_default=True,
    help="Average this many flipped and turned copies: slightly better, that many times slower.",
)
NOISE = click.option(
    "--noise", metavar="A,B", callback=noise_pair, help="Set gain and read variance of the greens yourself."
)  # fmt: skip
NOISE_SOURCE = click.option(
    "--noise-source",
    type=click.Choice(NOISE_SOURCES),
    default="auto",
    show_default=True,
    help="Choose where noise parameters come from.",
)
CALIBRATION = click.option(
    "--calibration", metavar="FILE", type=PATH, help="Use the noise and hot pixels of this calibration file."
)  # fmt: skip
DEFECTS = click.option(
    "--defects",
    type=click.Choice(["auto", "map"]),
    default="auto",
    show_default=True,
    help="Fix hot and dead pixels: listed ones and those found in the photo (auto), or listed ones only (map).",
)
ROWS = click.option("--rows", is_flag=True, help="Remove the offset of each row where masked pixels show it.")
THREADS = click.option("--threads", type=click.IntRange(1), metavar="N", help="Use N CPU threads.  [default: all]")
DEMOSAIC = click.option(
    "--demosaic",
    type=click.Choice(METHODS),
    help="Choose the demosaicing of a rendered picture or a linear DNG.  [default: menon; X-Trans: markesteijn]",
)
EXPOSURE = click.option(
    "--exposure",
    type=STOPS,
    default=0.0,
    show_default=True,
    metavar="EV",
    help="Brighten a rendered picture by this many stops.",
)
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
VERBOSE = click.option("-v", "--verbose", is_flag=True, help="Print more, and tracebacks of errors.")


def device_option(default: str = "auto") -> Decorator:
    """The option that chooses the device: auto for photos, cpu where numbers are compared."""
    return click.option(
        "--device",
        type=click.Choice(DEVICES),
        default=default,
        show_default=True,
        help="Choose the device that runs the network. gpu: the first GPU that works. auto: an NVIDIA or Apple GPU, "
        "else the CPU.",
    )


def json_option(what: str) -> Decorator:
    """The option that asks for JSON on stdout; `what` is the object of "Print"."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what}.")


@dataclass(frozen=True)
class DenoiseChoices:
    """Values of the options that change pixels, as click gives them; `denoise`, `batch` and `compare` share them."""

    strength: float
    luma: float
    chroma: float
    ensemble: str
    noise: tuple[float, float] | None
    noise_source: str
    calibration: Path | None
    defects: str
    rows: bool
    device: str
    threads: int | None
    model: str | None = None

    def options(self) -> DenoiseOptions:
        """The values that the program works with."""
        from rawkd.restore.options import DenoiseOptions

        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return DenoiseOptions(**{**given, "ensemble": int(self.ensemble)})


@dataclass(frozen=True)
class OutputChoices:
    """Values of the options about the written file, as click gives them; `denoise` and `batch` share them."""

    file_format: str | None
    demosaic: Method | None
    exposure: float
    jpeg_quality: int
    strip_location: bool
    strip_private: bool
    overwrite: bool
    linear: bool
    crop: tuple[int, int, int, int] | None = None

    def refuse_contradictions(self, output_format: str) -> None:
        """Refuse `--linear` for a picture that is not a DNG.

        Raises
        ------
        UsageError: of click.
        """
        if self.linear and output_format != "dng":
            raise click.UsageError(f"--linear and the format {output_format} contradict each other: leave one out")

    def process_options(self, denoise: DenoiseOptions) -> ProcessOptions:
        """The values that the program works with."""
        from rawkd.photo import Rect
        from rawkd.process import ProcessOptions

        crop = self.crop
        return ProcessOptions(
            denoise=denoise,
            demosaic=self.demosaic,
            exposure_ev=self.exposure,
            jpeg_quality=self.jpeg_quality,
            crop=None if crop is None else Rect(top=crop[1], left=crop[0], height=crop[3], width=crop[2]),
            overwrite=self.overwrite,
            strip_location=self.strip_location,
            strip_private=self.strip_private,
            linear=self.linear,
        )


def _format_option(default: str) -> Decorator:
    return click.option(
        "--format",
        "file_format",
        type=FORMAT,
        callback=format_name,
        help=f"Choose the output format.  [default: {default}]",
    )


_PIXELS = {
    "strength": STRENGTH,
    "luma": LUMA,
    "chroma": CHROMA,
    "ensemble": ENSEMBLE,
    "noise": NOISE,
    "noise_source": NOISE_SOURCE,
    "calibration": CALIBRATION,
    "defects": DEFECTS,
    "rows": ROWS,
    "device": device_option(),
    "threads": THREADS,
}
_WITH_MODEL = {"model": MODEL} | _PIXELS
_OUTPUT = {
    "file_format": _format_option("dng"),
    "linear": click.option("--linear", is_flag=True, help="Write a linear (demosaiced) DNG, about 2.5 times as large."),
    "demosaic": DEMOSAIC,
    "exposure": EXPOSURE,
    "jpeg_quality": click.option(
        "--jpeg-quality", type=click.IntRange(1, 100), default=92, show_default=True, help="Set the quality of a JPEG."
    ),
    "strip_location": click.option(
        "--strip-location", is_flag=True, help="Leave out GPS, place names and maker notes, which may repeat them."
    ),
    "strip_private": click.option(
        "--strip-private", is_flag=True, help="Leave out serial numbers, the owner's name and maker notes."
    ),
    "overwrite": OVERWRITE,
}
_CROP = click.option(
    "--crop",
    metavar="X,Y,W,H",
    callback=region,
    help="Denoise only this region of the upright picture, to a rendered file.",
)


def _console(*, quiet: bool, verbose: bool) -> Console:
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose contradict each other: leave one out")
    return Console(verbosity=verbose - quiet)


denoise_options = gathered("choices", tuple(_WITH_MODEL.values()), _WITH_MODEL, DenoiseChoices)
"""Give a command the options that change pixels; it receives them as one argument `choices`."""

pixel_options = gathered("choices", tuple(_PIXELS.values()), _PIXELS, DenoiseChoices)
"""The same without `--model`."""

output_options = gathered("result", tuple(_OUTPUT.values()), _OUTPUT, OutputChoices)
"""Give a command the options about the written file; it receives them as one argument `result`."""

_OUTPUT_OF_PHOTOS = _OUTPUT | {"file_format": _format_option("by the name of the output, else dng"), "crop": _CROP}

output_options_of_photos = gathered("result", tuple(_OUTPUT_OF_PHOTOS.values()), _OUTPUT_OF_PHOTOS, OutputChoices)
"""The same for commands that take single photos: the format also by the name of the output, and `--crop`."""

console_options = gathered("console", (QUIET, VERBOSE), ("quiet", "verbose"), _console)
"""Give a command `-q` and `-v`; it receives a `Console` as its argument `console`."""
