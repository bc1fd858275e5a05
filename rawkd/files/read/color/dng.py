"""Read the colour of a DNG from its tags, and select the tags that stay valid after denoising.

Source: DNG specification 1.4 to 1.7, chapters 4 and 6.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rawkd.files.read.color.fallback import D65_XYZ, NO_WHITE_BALANCE, Fallback, daylight_neutral, positive
from rawkd.files.read.color.matrices import (
    CALIBRATION_SIGNATURES,
    ILLUMINANTS,
    KELVIN,
    Matrices,
    read_matrices,
    valid_white,
)
from rawkd.files.tiff.dng_tags import LINEARIZATION_TABLE, is_valid_version
from rawkd.files.tiff.tags import Ifd, TagTree
from rawkd.photo import ColorCalibration, DoubleArray, Tag

AS_SHOT_NEUTRAL, AS_SHOT_WHITE_XY, BASELINE_EXPOSURE = 50728, 50729, 50730
COLOR_TAGS = frozenset(
    {*range(50721, 50731), *ILLUMINANTS, *CALIBRATION_SIGNATURES, 50964, 50965, 51109, *range(52529, 52539)}
)
"""Colour tags: matrices, calibrations, reduction matrices, analog balance, neutral, exposure, illuminants, signatures,
forward matrices."""

D65 = 21
D65_XY = (float(D65_XYZ[0] / D65_XYZ.sum()), float(D65_XYZ[1] / D65_XYZ.sum()))

OPCODE_LIST_1, BACKWARD_VERSION = 51008, 50707
CAPTIONS = frozenset({700, 18246, 18249, 33723, 34377, *range(40091, 40096)})
"""Fields that users and their programs write: XMP, two ratings, IPTC, Photoshop, titles and keywords of Windows."""
KEPT_TAGS = frozenset(
    CAPTIONS
    | {BACKWARD_VERSION}
    | {50709, *range(50731, 50742), 50780, 50827, 50830, 50879}
    | {50934, 50935, *range(50936, 50943), *range(50981, 50983), 51107, 51108, 51110}  # the camera profile
    | {OPCODE_LIST_1, 51009, 51022, 51043, 51044, 51058, 51081, *range(51089, 51092), 51105, 51125}
    | {52525, 52543, 52544, 52551, 52552}
)
"""Tags that a denoised copy keeps: names, baseline noise and sharpness, noise reduction, serial number, lens, private
data (which has no references to other parts of the file), the flag that maker notes are safe to copy, masked areas,
profiles, opcode lists, film data, original sizes, user crop, gain maps."""
NAMES_OF_DROPPED = {50828: "the embedded original raw file", 50933: "extra camera profiles"}


def read_color(tree: TagTree, raw: Ifd, fallback: Fallback) -> tuple[ColorCalibration, tuple[str, ...]]:
    """Return the colour of a DNG for the light of the photo, and a warning for each value that was replaced.

    The light is AsShotNeutral (50728), else AsShotWhiteXY (50729), else D65 with a warning. It selects the matrix
    between the calibration illuminants (`dng_matrices`). For rendering, colours are adapted to D65 by scaling the
    camera's channels (our choice; the specification recommends the Bradford transform and allows others).

    Parameters
    ----------
    fallback : LibRaw's matrix of the camera, if any.
    """
    fields = Ifd({**tree.main.tags, **{n: tag for n, tag in raw.tags.items() if n in COLOR_TAGS}})
    tags = tuple(fields.tags[number] for number in sorted(COLOR_TAGS & fields.tags.keys()))
    matrices, warnings = read_matrices(fields)
    if matrices is None:
        matrix, warning = fallback.matrix()
        warnings += (warning,)
        matrices = Matrices((1e6 / KELVIN[D65],), (matrix,))
        tags = ()  # the output must not have colour tags without a valid matrix
    matrix, neutral = _light(fields, matrices)
    if neutral is None:
        neutral = daylight_neutral(matrix)
        warnings += (NO_WHITE_BALANCE,)
    exposure, more = _exposure(fields)
    return ColorCalibration(matrix, neutral, exposure, tags), warnings + more


def no_color(tree: TagTree, raw: Ifd) -> tuple[ColorCalibration, tuple[str, ...]]:
    """Return the colour of a monochrome DNG: none but its baseline exposure, and a warning if that is implausible."""
    exposure, warnings = _exposure(Ifd({**tree.main.tags, **raw.tags}))
    return replace(ColorCalibration.none(), baseline_exposure=exposure), warnings


def _exposure(fields: Ifd) -> tuple[float, tuple[str, ...]]:
    """Return BaselineExposure (50730) in stops; 0 with a warning if it is implausible."""
    exposure = fields.number(BASELINE_EXPOSURE) or 0.0
    if abs(exposure) <= 10:
        return exposure, ()
    return 0.0, (f"the file's baseline exposure of {exposure:g} stops is implausible and is not used",)


def _light(fields: Ifd, matrices: Matrices) -> tuple[DoubleArray, DoubleArray | None]:
    """Return XYZ to camera under the light of the photo, and the camera colour of grey in it, None if unknown."""
    neutral = np.array(fields.numbers(AS_SHOT_NEUTRAL), np.float64)
    white = valid_white(fields.numbers(AS_SHOT_WHITE_XY))
    if positive(neutral):
        return matrices.at(matrices.white_of(neutral) or D65_XY), neutral
    if white is not None and positive(seen := matrices.neutral_of(white)):
        return matrices.at(white), seen
    return matrices.at(D65_XY), None


def kept_tags(tree: TagTree, raw: Ifd) -> tuple[tuple[Tag, ...], tuple[str, ...]]:
    """Return the tags of IFD0 and the raw directory that stay valid, and the names of dropped data for a warning."""
    fields = {**tree.main.tags, **raw.tags}
    kept = KEPT_TAGS & fields.keys()
    if BACKWARD_VERSION in kept and not is_valid_version(list(fields[BACKWARD_VERSION].data)):
        kept -= {BACKWARD_VERSION}
    dropped = [name for number, name in NAMES_OF_DROPPED.items() if name and number in fields]
    if LINEARIZATION_TABLE in fields and OPCODE_LIST_1 in kept:
        kept -= {OPCODE_LIST_1}  # it refers to pixels before the linearisation table, which is already applied
        dropped.append("opcode list 1")
    return tuple(fields[number] for number in sorted(kept)), tuple(dropped)


def captions(tree: TagTree) -> tuple[Tag, ...]:
    """Return the user-written tags of IFD0, for a file of any format."""
    return tuple(tree.main.tags[number] for number in sorted(CAPTIONS & tree.main.tags.keys()))
