"""Compare one photo before and after: denoised by one or several models, with crops at 100 %."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rawkd.compare.crops import PREVIEW_PX, Crop, choose_crops
from rawkd.compare.noise_plot import noise_chart
from rawkd.compare.public import public_capture, without_folders
from rawkd.files.read.decode import Decoder
from rawkd.files.read.raw import read_raw
from rawkd.files.write.drawing import Drawing
from rawkd.files.write.rendered import write_image
from rawkd.inference.students import load_family, tier_warnings
from rawkd.photo import Capture, Mosaic, RawPhoto, Rect
from rawkd.photo.region import Window, window_of
from rawkd.process import SOFTWARE
from rawkd.render.demosaic import Method, method_for
from rawkd.render.preview import render_preview
from rawkd.render.stretch import stretched
from rawkd.render.view import render
from rawkd.restore.context import Context
from rawkd.restore.mosaic import Progress, no_progress
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import Restoration, prepare, restore
from rawkd.sensor.noise import NoiseModel

Picture = NDArray[np.uint8]

OVERVIEW_PX = 1280
"""Longer side of the full view."""
STRIP_GAP_PX = 8


@dataclass(frozen=True)
class CompareOptions:
    """Options of a comparison.

    Attributes
    ----------
    denoise : options that change pixel values; its model is replaced by each of `models`.
    models : tiers, names of families or models, or directories; None is the default tier.
    crops : parts of the upright picture; empty chooses interesting ones.
    demosaic, exposure_ev : as for a rendered picture.
    """

    denoise: DenoiseOptions = field(default_factory=DenoiseOptions)
    models: tuple[str | Path | None, ...] = (None,)
    crops: tuple[Rect, ...] = ()
    demosaic: Method | None = None
    exposure_ev: float = 0.0


@dataclass(frozen=True, eq=False)
class Version:
    """The photo denoised by one model, or the original.

    Attributes
    ----------
    name : name of the model, or "original". crops : (h, w, 3) sRGB of each crop at 100 %.
    device, precision : where and how the model ran; None for the original. seconds : wall time of each step.
    defects : number of replaced hot and dead pixels.
    """

    name: str
    crops: tuple[Picture, ...]
    device: str | None = None
    precision: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    defects: int = 0


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything that a page shows. It contains neither location nor serial number.

    Attributes
    ----------
    name : name of the file without its folder.
    capture : only make, model, ISO, exposure, aperture and focal length.
    width, height : size of the upright picture in pixels. demosaic : the method used; None for monochrome.
    overview : small rendering of the whole picture, denoised by the first model.
    versions : the original, then one for each model. chart : noise before and after the first model.
    warnings : one sentence each.
    """

    name: str
    capture: Capture
    width: int
    height: int
    noise: NoiseModel
    options: CompareOptions
    demosaic: Method | None
    crops: tuple[Crop, ...]
    overview: Picture
    versions: tuple[Version, ...]
    chart: Drawing
    warnings: tuple[str, ...]


def compare(path: Path, options: CompareOptions | None = None, progress: Progress = no_progress) -> Comparison:
    """Denoise a photo with every model and render the crops of each.

    Raises
    ------
    UsageError: if a crop is not inside the picture. Other errors as in `rawkd.process.process_file`.
    """
    with Decoder() as decoder:
        return _compared(path, options or CompareOptions(), progress, decoder)


def _compared(path: Path, options: CompareOptions, progress: Progress, decoder: Decoder) -> Comparison:
    begin = time.perf_counter()
    photo = read_raw(path, decoder=decoder, threads=options.denoise.threads)
    read_s = time.perf_counter() - begin
    height, width = photo.upright_size
    if options.crops:
        crops = tuple(Crop(f"crop {number}", rect) for number, rect in enumerate(options.crops, 1))
    else:
        crops = choose_crops(render_preview(photo, PREVIEW_PX), height, width)
    windows = [window_of(photo, one.rect) for one in crops]
    begin = time.perf_counter()
    prepared = prepare(photo, options.denoise)
    noise_s = time.perf_counter() - begin
    begin = time.perf_counter()
    shown = _rendered(photo, None, windows, options, decoder)
    seconds = {"read": read_s, "noise": noise_s, "render": time.perf_counter() - begin}
    versions = [Version("original", shown, seconds=seconds)]
    method, warnings = method_for(photo.pattern.kind, options.demosaic)
    noise, context = prepared.noise, Context()
    overview, first = shown[0], None
    for number, model in enumerate(options.models):
        begin = time.perf_counter()
        share = _Share(progress, number, len(options.models))
        restoration = restore(prepared, replace(options.denoise, model=model), context, share)
        seconds = {"denoise": time.perf_counter() - begin}
        begin = time.perf_counter()
        shown = _rendered(restoration.photo, restoration.mosaic, windows, options, decoder)
        seconds["render"] = time.perf_counter() - begin
        versions.append(_version(restoration, shown, seconds))
        texts = (text for text in restoration.warnings if text not in prepared.warnings + prepared.noise_warnings)
        fallback = tier_warnings(model, load_family(model, photo.pattern.kind)[0]) if restoration.student else ()
        warnings += tuple(text if text in fallback else f"{versions[-1].name}: {text}" for text in texts)
        if number == 0:
            overview = render_preview(restoration.photo, OVERVIEW_PX, mosaic=restoration.mosaic)
            first = restoration.mosaic
    return Comparison(
        name=path.name,
        capture=public_capture(photo.capture),
        width=width,
        height=height,
        noise=noise,
        options=options,
        demosaic=None if photo.pattern.kind == "mono" else method,
        crops=crops,
        overview=overview,
        versions=tuple(versions),
        chart=noise_chart(photo, noise, first),
        warnings=tuple(
            without_folders(text, path)
            for text in dict.fromkeys(prepared.warnings + prepared.noise_warnings + warnings)
        ),
    )


def write_strip(comparison: Comparison, path: Path, *, overwrite: bool = False) -> None:
    """Write a PNG with the crops stacked and the versions side by side, the original at the left.

    Raises
    ------
    UsageError: if the name has no picture suffix. OutputError: if the file exists or cannot be written.
    """
    strip = _stacked([_stacked(version.crops, axis=0) for version in comparison.versions], axis=1)
    write_image(path, strip, Capture(), overwrite=overwrite, software=SOFTWARE)


def _rendered(
    photo: RawPhoto, mosaic: Mosaic | None, windows: Sequence[Window], options: CompareOptions, decoder: Decoder
) -> tuple[Picture, ...]:
    """Render regions of the upright picture, (h, w, 3), also of a monochrome photo."""
    pictures = (
        stretched(
            render(
                photo,
                mosaic=mosaic,
                demosaic=options.demosaic,
                exposure_ev=options.exposure_ev,
                rect=window.rect,
                dtype=np.uint8,
                markesteijn=decoder.demosaic,
                threads=options.denoise.threads,
            ),
            window.rows,
            window.columns,
        )
        for window in windows
    )
    return tuple(one if one.ndim == 3 else np.repeat(one[..., None], 3, axis=2) for one in pictures)


def _version(restoration: Restoration, crops: tuple[Picture, ...], seconds: dict[str, float]) -> Version:
    name = restoration.student or "nothing removed"
    return Version(name, crops, restoration.device, restoration.precision, seconds, restoration.defects)


def _stacked(pictures: Sequence[Picture], axis: int) -> Picture:
    """Place pictures in a row (axis 1) or a column (axis 0) on white, with gaps between them."""
    other = 1 - axis
    across = max(picture.shape[other] for picture in pictures)
    along = sum(picture.shape[axis] for picture in pictures) + STRIP_GAP_PX * (len(pictures) - 1)
    strip = np.full((along, across, 3) if axis == 0 else (across, along, 3), 255, np.uint8)
    start = 0
    for picture in pictures:
        place = (slice(start, start + picture.shape[0]), slice(0, picture.shape[1]))
        strip[place if axis == 0 else (slice(0, picture.shape[0]), slice(start, start + picture.shape[1]))] = picture
        start += picture.shape[axis] + STRIP_GAP_PX
    return strip


@dataclass(frozen=True)
class _Share:
    """Reports the progress of one of several models as a part of the total."""

    progress: Progress
    number: int
    total: int

    def __call__(self, part: float) -> None:
        self.progress((self.number + part) / self.total)
