"""Denoise one file: read it, run the pipeline, render, write."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import numpy as np

from rawkd import __version__
from rawkd.errors import UsageError
from rawkd.files.naming import format_of, refuse_to_overwrite
from rawkd.files.read.decode import Decoder, demosaic_once
from rawkd.files.read.not_raw import refuse_no_photo
from rawkd.files.read.raw import read_raw
from rawkd.files.read.sidecar import read_sidecar
from rawkd.files.tiff.exif import exposure_warnings
from rawkd.files.write.dng import write_dng
from rawkd.files.write.rendered import write_image
from rawkd.files.xmp.capture import with_sidecar
from rawkd.photo import LinearPicture, Rect, camera_name
from rawkd.photo.region import Window, window_of
from rawkd.render.demosaic import Method, check_method, method_for
from rawkd.render.linear import linear_picture
from rawkd.render.preview import render_preview
from rawkd.render.stretch import stretched
from rawkd.render.view import render
from rawkd.report import Clock, Report
from rawkd.restore.ahead import import_ahead, load_ahead
from rawkd.restore.context import Context
from rawkd.restore.mosaic import Progress, no_progress
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import Restoration, prepare, restore
from rawkd.restore.treatment import profile_left, treatment_of
from rawkd.sensor.defects import DefectMap, replaced
from rawkd.sensor.noise import NoiseModel

SOFTWARE = f"rawkd {__version__}"


@dataclass(frozen=True)
class ProcessOptions:
    """Options for one file.

    Attributes
    ----------
    denoise : options that change pixel values.
    linear : whether a DNG holds the demosaiced picture instead of the mosaic.
    demosaic : for rendered pictures and linear DNGs: menon | malvar | bilinear, or for X-Trans markesteijn |
        markesteijn3. None is the default of the sensor; so is a method that does not fit, with a warning.
    exposure_ev : stops of brightness added when rendering. jpeg_quality : 1..100.
    crop : part to render, in pixels of the whole upright picture; None for all of it.
    overwrite : whether to replace an existing output. strip_location : whether to leave out GPS fields.
    strip_private : whether to leave out serial numbers, the owner's name and maker notes.
    """

    denoise: DenoiseOptions = field(default_factory=DenoiseOptions)
    demosaic: Method | None = None
    exposure_ev: float = 0.0
    jpeg_quality: int = 92
    crop: Rect | None = None
    overwrite: bool = False
    strip_location: bool = False
    linear: bool = False
    strip_private: bool = False


def process_file(
    path: Path,
    output: Path,
    options: ProcessOptions | None = None,
    progress: Progress = no_progress,
    *,
    decoder: Decoder | None = None,
    context: Context | None = None,
    noise: NoiseModel | None = None,
    defects: tuple[DefectMap, ...] = (),
    decode_threads: int | None = None,
) -> Report:
    """Denoise one file and write a DNG or a rendered picture, by the suffix of `output`.

    Parameters
    ----------
    progress : called with the fraction of the pixels that are done, also after reading (0) and before rendering and
        writing (1). If it raises, the work stops and no output is written.
    decoder : running decoder, so that it is not started for every file; None starts one.
    context : engines and calibrations shared by the files of a run.
    noise : noise parameters of the photo's series; None determines them by the options.
    defects : maps of more hot and dead pixels of the camera, besides those that are known otherwise.
    decode_threads : CPU threads that decode; None is those of the options.

    Raises
    ------
    RawkdError: if the photo, a model or the output is invalid; no partial output remains.
    """
    options, context = options or ProcessOptions(), context or Context()
    file_format = format_of(output)
    if file_format == "dng" and options.crop is not None:
        raise UsageError(f"{output}: rawkd cannot write a crop as DNG. Give a name that ends in .tif, .png or .jpg.")
    if file_format != "dng" and options.linear:
        raise UsageError(f"{output}: only a DNG can be linear. Give a name that ends in .dng, or leave --linear out.")
    if options.demosaic is not None and (file_format != "dng" or options.linear):
        check_method(options.demosaic)
    refuse_no_photo(path)
    refuse_to_overwrite(output, overwrite=options.overwrite, photos=[path])
    clock, restoring = Clock(), Event()
    import_ahead(options.denoise)
    with clock.step("read"):
        photo = read_raw(path, decoder=decoder, threads=decode_threads or options.denoise.threads)
    if options.crop is None:
        load_ahead(photo, options.denoise, context, noise, restoring=restoring)
    progress(0.0)
    with clock.step("noise"):
        prepared = prepare(photo, options.denoise, context, noise, defects)
    restoring.set()
    window = window_of(photo, options.crop)
    with clock.step("denoise"):
        if options.crop is not None:
            prepared = prepared.region(options.crop, options.denoise)
        restoration = restore(prepared, options.denoise, context, progress)
    progress(1.0)
    if file_format == "dng":
        size, late_warnings = _write_dng(path, output, restoration, options, clock, decoder)
    else:
        size, late_warnings = _write_picture(path, output, restoration, window, options, clock, decoder)
    if file_format != "dng" or options.linear:
        late_warnings += method_for(photo.pattern.kind, options.demosaic)[1]
    if options.linear and photo.pattern.kind == "mono":
        late_warnings += ("--linear changed nothing: the DNG of a monochrome photo is linear already",)
    return Report(
        input=path,
        output=output,
        camera=camera_name(photo.capture),
        iso=photo.capture.iso,
        cfa=photo.pattern.name,
        width=size[0],
        height=size[1],
        noise=prepared.noise,
        student=restoration.student,
        ensemble=options.denoise.ensemble,
        device=restoration.device,
        precision=restoration.precision,
        seconds=clock.seconds(),
        warnings=restoration.warnings + exposure_warnings(photo.capture) + late_warnings,
        defects=restoration.defects,
    )


def _write_dng(
    path: Path,
    output: Path,
    restoration: Restoration,
    options: ProcessOptions,
    clock: Clock,
    decoder: Decoder | None,
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Write the DNG with its preview and sidecar; return its (width, height) and warnings."""
    photo = restoration.photo
    with clock.step("render"):
        preview = render_preview(photo, mosaic=restoration.mosaic)
        is_linear = options.linear and photo.pattern.kind != "mono"  # a monochrome DNG is linear already
        linear = _linear(restoration, options, decoder) if is_linear else None
    with clock.step("write"):
        xmp, warnings = read_sidecar(path)
        warnings += write_dng(
            output,
            photo,
            preview=preview,
            linear=linear,
            overwrite=options.overwrite,
            strip_location=options.strip_location,
            strip_private=options.strip_private,
            software=SOFTWARE,
            noise_profile=profile_left(restoration),
            xmp=xmp,
            treatment=treatment_of(restoration, SOFTWARE),
            threads=options.denoise.threads,
        )
    return (photo.default_crop.width, photo.default_crop.height), warnings


def _linear(restoration: Restoration, options: ProcessOptions, decoder: Decoder | None) -> LinearPicture:
    """Demosaic a photo; known defects that are still there are replaced before they spread."""
    photo, mosaic = restoration.photo, restoration.mosaic
    if not restoration.defects:
        mosaic = replaced(mosaic, photo.defects)
    return linear_picture(
        photo,
        mosaic=mosaic,
        demosaic=options.demosaic,
        markesteijn=decoder.demosaic if decoder else demosaic_once,
        threads=options.denoise.threads,
    )


def _write_picture(
    path: Path,
    output: Path,
    restoration: Restoration,
    window: Window,
    options: ProcessOptions,
    clock: Clock,
    decoder: Decoder | None,
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Write the rendered picture of a region; return its (width, height) and warnings."""
    photo = restoration.photo
    with clock.step("render"):
        rgb = render(
            photo,
            mosaic=restoration.mosaic,
            demosaic=options.demosaic,
            exposure_ev=options.exposure_ev,
            dtype=np.uint8 if format_of(output) == "jpeg" else np.uint16,
            markesteijn=decoder.demosaic if decoder else demosaic_once,
            threads=options.denoise.threads,
        )
        rgb = stretched(rgb, window.rows, window.columns)
    with clock.step("write"):
        xmp, warnings = read_sidecar(path)
        capture, more = with_sidecar(photo.capture, xmp)
        warnings += more + write_image(
            output,
            rgb,
            capture,
            jpeg_quality=options.jpeg_quality,
            overwrite=options.overwrite,
            strip_location=options.strip_location,
            strip_private=options.strip_private,
            software=SOFTWARE,
            tags=photo.tags,
            xmp=xmp,
            threads=options.denoise.threads,
        )
    if photo.not_rendered:
        names = ", ".join(photo.not_rendered)
        warnings += (f"not applied to the picture: {names}. Write a DNG to apply it in your raw editor.",)
    return (rgb.shape[1], rgb.shape[0]), warnings
