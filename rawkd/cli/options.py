"""The options that `denoise` and `batch` share, and values that click does not know: noise parameters, a rectangle."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import BadParameter, Context, Parameter

from rawkd.cli.option_groups import gathered

if TYPE_CHECKING:
    from rawkd.process import ProcessOptions
    from rawkd.render.demosaic import Method

PART = click.FloatRange(0, 1)


class Stops(click.FloatRange):
    """Exposure in stops, a number: click's range lets "nan" through."""

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> float:
        """The number, or a complaint."""
        stops = float(super().convert(value, param, ctx))
        if math.isnan(stops):
            self.fail(f"{value!r} is no number", param, ctx)
        return stops


STOPS = Stops(-10, 10)


def noise_pair(ctx: Context, param: Parameter, value: str | None) -> tuple[float, float] | None:
    """GAIN,READ_VARIANCE in signal units: the first positive, the second not negative."""
    if value is None:
        return None
    try:
        gain, read_variance = (float(part) for part in value.split(","))
    except ValueError:
        raise BadParameter(f"{value!r} is no pair of numbers such as 1e-3,2e-6", ctx, param) from None
    if not (0 < gain < 1 and 0 <= read_variance < 1):
        text = f"{value!r} is no noise: the gain lies between 0 and 1, the read variance from 0 up to 1"
        raise BadParameter(text, ctx, param)
    return gain, read_variance


def region(ctx: Context, param: Parameter, value: str | None) -> tuple[int, int, int, int] | None:
    """X,Y,WIDTH,HEIGHT in pixels of the upright picture."""
    if value is None:
        return None
    try:
        left, top, width, height = (int(part) for part in value.split(","))
    except ValueError:
        raise BadParameter(f"{value!r} is no region such as 1200,800,640,480", ctx, param) from None
    if min(left, top) < 0 or min(width, height) < 1:
        text = f"{value!r} is no region: x and y are not negative, width and height at least 1"
        raise BadParameter(text, ctx, param)
    return left, top, width, height


@dataclass(frozen=True)
class Choices:
    """What was chosen of the options that `denoise` and `batch` share, as click gives it."""

    file_format: str | None
    strength: float
    luma: float
    chroma: float
    ensemble: str
    noise: tuple[float, float] | None
    noise_source: str
    calibration: Path | None
    device: str
    demosaic: Method
    exposure: float
    jpeg_quality: int
    strip_location: bool
    model: str | None
    crop: tuple[int, int, int, int] | None
    threads: int | None
    overwrite: bool
    defects: str
    rows: bool

    def process_options(self) -> ProcessOptions:
        """The values that the program works with."""
        from rawkd.photo import Rect
        from rawkd.process import ProcessOptions
        from rawkd.restore.options import DenoiseOptions

        crop = self.crop
        return ProcessOptions(
            denoise=DenoiseOptions(
                strength=self.strength,
                luma=self.luma,
                chroma=self.chroma,
                ensemble=int(self.ensemble),
                noise=self.noise,
                noise_source=self.noise_source,
                calibration=self.calibration,
                model=self.model,
                device=self.device,
                threads=self.threads,
                defects=self.defects,
                rows=self.rows,
            ),
            demosaic=self.demosaic,
            exposure_ev=self.exposure,
            jpeg_quality=self.jpeg_quality,
            crop=None if crop is None else Rect(top=crop[1], left=crop[0], height=crop[3], width=crop[2]),
            overwrite=self.overwrite,
            strip_location=self.strip_location,
        )


_OPTIONS = (
    click.option(
        "--format",
        "file_format",
        type=click.Choice(["dng", "tiff", "png", "jpeg"]),
        help="Default: by the name of the output, else dng.",
    ),
    click.option("--strength", type=PART, default=1.0, show_default=True, help="Part of the noise to remove."),
    click.option("--luma", type=PART, default=1.0, show_default=True, help="Part of the brightness noise to remove."),
    click.option("--chroma", type=PART, default=1.0, show_default=True, help="Part of the colour noise to remove."),
    click.option(
        "--ensemble",
        type=click.Choice(["1", "2", "4", "8"]),
        default="1",
        show_default=True,
        help="Symmetries to average: a little better, so many times slower.",
    ),
    click.option(
        "--noise", metavar="A,B", callback=noise_pair, help="Gain and read variance of the greens, if you know them."
    ),
    click.option(
        "--noise-source",
        type=click.Choice(["auto", "calibration", "profile", "blind", "iso"]),
        default="auto",
        show_default=True,
        help="Where noise parameters come from.",
    ),
    click.option(
        "--calibration",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="The camera's calibration file, for its noise.",
    ),
    click.option(
        "--defects",
        type=click.Choice(["map", "auto"]),
        default="map",
        show_default=True,
        help="Hot and dead pixels: replace those that the file or the calibration names, or find others, too.",
    ),
    click.option("--rows", is_flag=True, help="Remove the offset of each row where masked pixels show it."),
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda", "mps"]),
        default="auto",
        show_default=True,
        help="Where the network runs.",
    ),
    click.option(
        "--demosaic",
        type=click.Choice(["bilinear", "malvar", "menon"]),
        default="malvar",
        show_default=True,
        help="For tiff, png and jpeg.",
    ),
    click.option(
        "--exposure",
        type=STOPS,
        default=0.0,
        show_default=True,
        metavar="EV",
        help="Stops to add; for tiff, png and jpeg.",
    ),
    click.option("--jpeg-quality", type=click.IntRange(1, 100), default=92, show_default=True, help="For jpeg."),
    click.option("--strip-location", is_flag=True, help="Leave GPS and named places out of the output."),
    click.option(
        "--model", metavar="TIER|NAME|DIR", help="Tier fast, balanced or best, or another model; default: fast."
    ),
    click.option(
        "--crop",
        metavar="X,Y,W,H",
        callback=region,
        help="Denoise only this region of the upright picture, to a rendered file.",
    ),
    click.option("--threads", type=click.IntRange(1), metavar="N", help="CPU threads; default: all."),
    click.option("--overwrite", is_flag=True, help="Replace outputs that exist."),
)


shared_options = gathered("choices", _OPTIONS, (field.name for field in fields(Choices)), Choices)
"""Give a command all options of a denoise; it receives them as one argument `choices`."""
