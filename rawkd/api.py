"""The functions that `rawkd` offers to other programs. Their names and signatures are stable.

They call what the command line calls; tests/snapshots/python_api.txt holds their signatures.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import ArrayLike

from rawkd import __version__
from rawkd.arguments import (
    A_PHOTO,
    Cancel,
    numbers_of,
    path_of,
    refuse_other_context,
    refuse_other_names,
    refuse_other_options,
    refuse_other_switch,
    seconds_of,
    watched,
)
from rawkd.errors import InputError, refuse_other_type
from rawkd.files.read import raw
from rawkd.files.read.color.fallback import Fallback, daylight_neutral
from rawkd.files.tiff.exif import refuse_other_values
from rawkd.files.write import dng
from rawkd.files.write.stored_frame import refuse_unstorable
from rawkd.photo import Capture, CFAPattern, ColorCalibration, FrameArray, Levels, RawPhoto, Rect
from rawkd.photo.mosaic import WHOLE_NUMBERS, refuse_other_array
from rawkd.process import SOFTWARE, ProcessOptions, process_file
from rawkd.render.preview import render_preview
from rawkd.report import Report
from rawkd.restore import pipeline
from rawkd.restore.context import Context
from rawkd.restore.mosaic import Progress
from rawkd.restore.options import DenoiseOptions, check_noise
from rawkd.restore.pipeline import Restoration
from rawkd.restore.treatment import profile_left, treatment_of
from rawkd.sensor.noise import NoiseModel

_WRITTEN = f"rawkd.write_dng {__version__}"
"""Software tag of a photo that was written as it is: not "rawkd ...", by which `rawkd batch` knows its outputs."""
_CELLS = {"xtrans": CFAPattern.XTRANS, "mono": CFAPattern.MONO}
ABOVE_WHITE = 1e-4
"""Share of pixels above white from which the white level is taken for too low (our choice)."""


def denoise_file(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: ProcessOptions | None = None,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    context: Context | None = None,
    noise: NoiseModel | None = None,
) -> Report:
    """Denoise one raw file, write the result, and return a report: what `rawkd denoise` does.

    Parameters
    ----------
    output : its suffix chooses the format: .dng, .tif, .png or .jpg.
    progress : called in the calling thread with the fraction of the pixels that are done, 0..1.
    cancel : checked after reading, after every tile and before writing.
    context : loaded networks, shared by several calls, also from several threads; None loads them anew.
    noise : the noise if it is known, such as that of an earlier frame; None finds it as the options say.

    Raises
    ------
    CancelledError: if `cancel` stopped the work. RawkdError: for any other expected failure.
    Whatever is raised, also by `progress`, no partial output remains, and an existing file is unchanged.
    """
    refuse_other_options(options)
    refuse_other_context(context)
    check_noise(noise, options.denoise if options else None)
    photo, written, report = path_of(path, "path"), path_of(output, "output"), watched(progress, cancel)
    report(0.0)
    return process_file(photo, written, options, report, context=context, noise=noise)


def read_raw(path: str | os.PathLike[str], *, timeout_s: float = 120.0) -> RawPhoto:
    """Read a raw file.

    Parameters
    ----------
    timeout_s : time limit of decoding, seconds.

    Raises
    ------
    InputError: if the file is missing, unreadable, damaged, or not a raw file.
    UnsupportedRawError: if it is an intact raw file of a kind that rawkd cannot denoise.
    UsageError: if the time limit is no number above 0, or longer than `threading.TIMEOUT_MAX`.
    """
    return raw.read_raw(path_of(path, "path"), timeout_s=seconds_of(timeout_s, "timeout_s"))


def photo_of(
    frame: FrameArray,
    *,
    black: ArrayLike,
    white: float,
    cfa: str = "RGGB",
    iso: float | None = None,
    make: str = "",
    model: str = "",
    camera_from_xyz: ArrayLike | None = None,
    neutral: ArrayLike | None = None,
    exposure_s: float | None = None,
) -> RawPhoto:
    """Return a photo of a raw mosaic in an array, to denoise or write it; the array is neither copied nor changed.

    Parameters
    ----------
    frame : (H, W) uint16, all of it exposed, in DN.
    black : DN of signal 0; one number, or one for each pixel of the cell, row by row. white : DN of signal 1, at which
        pixels clip.
    cfa : a Bayer phase (RGGB, BGGR, GRBG or GBRG), xtrans (36 letters for other phases), or mono.
    iso, make, model : of the camera, if known. An installed calibration is found by them. The ISO is a whole number
        on the photographic scale, since the noise is compared with that of cameras at this ISO.
    camera_from_xyz : (3, 3), XYZ to camera under the light of the photo. neutral : camera colour of neutral grey, three
        positive numbers. None means sRGB and daylight, with a warning.
    exposure_s : exposure time in seconds, if known; `rawkd calibrate` sorts frames by it.

    Raises
    ------
    InputError: if the array has another type or shape, or the numbers are no levels, colours, ISO or exposure time.
    UsageError: if make or model is no text.

    A photo with many pixels above white has a warning: its white level is too low.
    """
    refuse_other_array(frame, "a raw frame", np.uint16, WHOLE_NUMBERS)
    refuse_other_names(make, model)
    try:
        pattern = _CELLS.get(str(cfa).lower()) or CFAPattern(str(cfa).upper())
    except ValueError as error:
        raise InputError(f"cfa {cfa!r}: give RGGB, BGGR, GRBG, GBRG, xtrans or mono.") from error
    whole, side = Rect(0, 0, *frame.shape), pattern.side
    black_dn, white = numbers_of(black, "black"), float(numbers_of(white, "white", ()))
    if black_dn.size not in (1, side**2):
        raise InputError(f"black {black!r}: give one number, or {side**2}, one for each pixel of the cell.")
    black_dn = black_dn.reshape((1, 1) if black_dn.size == 1 else (side, side))
    bits = min(int(max(1, frame.max(), white)), 2**16 - 1).bit_length()
    color, warnings = ColorCalibration.none(), tuple[str, ...]()
    if pattern.kind != "mono":
        color, warnings = _color(camera_from_xyz, neutral)
    refuse_other_values(iso, exposure_s)
    capture = Capture(make, model, iso=iso, exposure_s=exposure_s)
    levels = Levels(black_dn, white, white, bits, cell_side=side)
    above = np.count_nonzero(frame > white) / frame.size
    if above > ABOVE_WHITE:
        told = f"{100 * above:.2g} % of the pixels lie above the white level {white:g} and stay as they are"
        warnings += (f"{told}. Give the number at which pixels clip as white.",)
    return RawPhoto(frame, whole, whole, pattern, levels, color, capture, warnings=warnings)


def denoise(
    photo: RawPhoto,
    options: DenoiseOptions | None = None,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    context: Context | None = None,
    noise: NoiseModel | None = None,
) -> Restoration:
    """Denoise the mosaic of a photo; `photo` itself is not changed.

    Parameters
    ----------
    progress, cancel, context, noise : as in `denoise_file`.

    Raises
    ------
    CancelledError: if `cancel` stopped the work. NoiseError: if no noise parameters can be found.
    ModelError: if no model fits or the device is missing. UsageError: if `noise` and the options contradict.
    """
    refuse_other_type(photo, "photo", RawPhoto, A_PHOTO)
    if options is not None:
        refuse_other_type(options, "options", DenoiseOptions, "Pass rawkd.DenoiseOptions().")
    refuse_other_context(context)
    check_noise(noise, options)
    report = watched(progress, cancel)
    report(0.0)
    restoration = pipeline.denoise(photo, options, report, context=context, noise=noise)
    report(1.0)
    return restoration


def write_dng(
    path: str | os.PathLike[str],
    photo: RawPhoto | Restoration,
    *,
    preview: bool = True,
    overwrite: bool = False,
    strip_location: bool = False,
    strip_private: bool = False,
    software: str | None = None,
) -> tuple[str, ...]:
    """Write a photo as a DNG, its pixels as they are, and return warnings, one sentence each.

    Parameters
    ----------
    photo : a `Restoration` also states what was done: in the XMP history, NoiseReductionApplied and NoiseProfile.
    preview : whether to render a preview, which file managers show. strip_location : whether to leave out GPS fields.
    strip_private : whether to leave out serial numbers, the owner's name and maker notes.
    software : name and version of your program, for the Software tag. None names rawkd, whose outputs `rawkd batch`
        leaves out; for a photo without a restoration it names `rawkd.write_dng`, since that is no output.

    Raises
    ------
    OutputError: if the file exists and `overwrite` is false, or if it cannot be written. No partial file remains. Also
        for what a DNG cannot hold: a black level below 0, a fraction as white, fewer than 22 pixels a side.
    """
    refuse_other_type(photo, "photo", (RawPhoto, Restoration), A_PHOTO)
    if software is not None:
        refuse_other_type(software, "software", str, "Give text, or leave it out.")
    switches = {"preview": preview, "overwrite": overwrite, "strip_location": strip_location}
    for name, value in (switches | {"strip_private": strip_private}).items():
        refuse_other_switch(value, name)
    restoration = photo if isinstance(photo, Restoration) else None
    stored = photo.photo if isinstance(photo, Restoration) else photo
    refuse_unstorable(stored)
    software = software or (_WRITTEN if restoration is None else SOFTWARE)
    return dng.write_dng(
        path_of(path, "path"),
        stored,
        preview=render_preview(stored) if preview else None,
        overwrite=overwrite,
        strip_location=strip_location,
        strip_private=strip_private,
        software=software,
        noise_profile=stored.noise_profile if restoration is None else profile_left(restoration),
        treatment=None if restoration is None else treatment_of(restoration, software),
    )


def _color(camera_from_xyz: ArrayLike | None, neutral: ArrayLike | None) -> tuple[ColorCalibration, tuple[str, ...]]:
    """Return the colours of an array's camera, and a warning for each part that is unknown."""
    warnings: tuple[str, ...] = ()
    if camera_from_xyz is None:
        camera_from_xyz, warning = Fallback(np.zeros((3, 3))).matrix()
        warnings += (warning,)
    matrix = numbers_of(camera_from_xyz, "camera_from_xyz", (3, 3))
    if neutral is None:
        neutral = daylight_neutral(matrix)
        warnings += ("no white balance is known. Daylight is used instead.",)
    return ColorCalibration(matrix, numbers_of(neutral, "neutral", (3,))), warnings
