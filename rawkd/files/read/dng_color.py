"""Colour of a DNG from its own tags, and which other tags of a source DNG still hold once its pixels are denoised.

Source: DNG specification 1.4 to 1.7, chapters 4 and 6
(camera_from_xyz = AnalogBalance x CameraCalibration x ColorMatrix).
"""

from __future__ import annotations

import math

import numpy as np

from rawkd.files.read.camera_color import Fallback, invertible, neutral_of_daylight
from rawkd.files.tiff.dng_tags import LINEARIZATION_TABLE, sound_version
from rawkd.files.tiff.tags import Ifd, TagTree
from rawkd.photo import ColorCalibration, DoubleArray, Tag

COLOR_MATRICES, CAMERA_CALIBRATIONS, ILLUMINANTS = (50721, 50722, 52531), (50723, 50724, 52530), (50778, 50779, 52529)
ANALOG_BALANCE, AS_SHOT_NEUTRAL, AS_SHOT_WHITE_XY, BASELINE_EXPOSURE = 50727, 50728, 50729, 50730
CALIBRATION_SIGNATURES = (50931, 50932)
COLOR_TAGS = frozenset(
    {*range(50721, 50731), *ILLUMINANTS, *CALIBRATION_SIGNATURES, 50964, 50965, 51109, *range(52529, 52539)}
)
"""Matrices, calibrations, reductions, balance, neutral, exposure, illuminants, signatures, forward matrices."""

KELVIN = {1: 5500, 2: 4230, 3: 2850, 4: 5500, 9: 5500, 10: 6500, 11: 7500, 12: 6430, 13: 5000, 14: 4150, 15: 3450}
KELVIN |= {16: 2940, 17: 2850, 18: 4874, 19: 6774, 20: 5500, 21: 6504, 22: 7500, 23: 5000, 24: 3200}
"""Colour temperature of EXIF's LightSource codes, by the standard illuminants' definitions (21 is D65)."""
D65, D65_KELVIN = 21, 6504

OPCODE_LIST_1, BACKWARD_VERSION = 51008, 50707
CAPTIONS = frozenset({700, 18246, 18249, 33723, 34377, *range(40091, 40096)})
"""What people and their programs write of a photo: XMP, two ratings, IPTC, Photoshop, Windows' titles and keywords."""
KEPT_TAGS = frozenset(
    CAPTIONS
    | {BACKWARD_VERSION}
    | {50709, *range(50731, 50741), 50780, 50827, 50830, 50879}
    | {50934, *range(50936, 50943), *range(50981, 50983), 51107, 51108, 51110}  # the camera profile
    | {OPCODE_LIST_1, 51009, 51022, 51043, 51044, 51058, 51081, *range(51089, 51092), 51105, 51125}
    | {52525, 52543, 52544, 52551, 52552}
)
"""What a denoised copy keeps: names, baseline noise and sharpness, serial number, lens, private data (which refers to
nothing outside itself), masked areas, profiles, opcode lists, film data, original sizes, user crop, gain maps."""
NAMES_OF_DROPPED = {50828: "the embedded original raw file", 50933: "extra camera profiles"}


def read_color(tree: TagTree, raw: Ifd, fallback: Fallback) -> tuple[ColorCalibration, tuple[str, ...]]:
    """The colour of a DNG and a warning for everything that had to be replaced.

    Parameters
    ----------
    fallback : the matrix that LibRaw knows of the camera, if any.
    """
    fields = Ifd({**tree.main.tags, **{n: tag for n, tag in raw.tags.items() if n in COLOR_TAGS}})
    tags = tuple(fields.tags[number] for number in sorted(COLOR_TAGS & fields.tags.keys()))
    matrix, warnings = camera_from_xyz(fields), []
    if matrix is None:
        matrix, warning = fallback.matrix()
        warnings.append(warning)
        tags = ()  # the writer must not repeat colour tags that lack their matrix
    neutral = _neutral(fields, matrix)
    if neutral is None:
        neutral = neutral_of_daylight(matrix)
        warnings.append("the file has no usable white balance: daylight is taken for its white")
    exposure = fields.number(BASELINE_EXPOSURE) or 0.0
    if not abs(exposure) <= 10:
        warnings.append(f"the file's baseline exposure of {exposure:g} stops makes no sense and is not used")
        exposure = 0.0
    return ColorCalibration(matrix, neutral, exposure, tags), tuple(warnings)


def camera_from_xyz(fields: Ifd) -> DoubleArray | None:
    """XYZ to camera under the illuminant nearest to D65, (3, 3), or None where no usable ColorMatrix is there."""
    known = []
    for slot, number in enumerate(COLOR_MATRICES):
        matrix = _matrix(fields, number)
        if matrix is not None and invertible(matrix):
            code = int(fields.number(ILLUMINANTS[slot]) or 0)
            distance = 0.0 if code == D65 else abs(KELVIN.get(code, 1000) - D65_KELVIN)
            known.append((distance, slot, matrix))
    if not known:
        return None
    _, slot, matrix = min(known, key=lambda entry: entry[:2])
    calibration = _matrix(fields, CAMERA_CALIBRATIONS[slot])
    signatures = [fields.text(number) for number in CALIBRATION_SIGNATURES]
    if calibration is not None and signatures[0] == signatures[1]:
        matrix = calibration @ matrix
    balance = fields.numbers(ANALOG_BALANCE)
    if len(balance) == 3 and all(math.isfinite(value) and value > 0 for value in balance):
        matrix = np.array(balance)[:, None] * matrix
    return matrix if invertible(matrix) else None


def kept_tags(tree: TagTree, raw: Ifd) -> tuple[tuple[Tag, ...], tuple[str, ...]]:
    """Tags of IFD0 and the raw directory that still hold, and the names of those a photographer may miss."""
    fields = {**tree.main.tags, **raw.tags}
    kept = KEPT_TAGS & fields.keys()
    if BACKWARD_VERSION in kept and not sound_version(list(fields[BACKWARD_VERSION].data)):
        kept -= {BACKWARD_VERSION}
    dropped = [name for number, name in NAMES_OF_DROPPED.items() if name and number in fields]
    if LINEARIZATION_TABLE in fields and OPCODE_LIST_1 in kept:
        kept -= {OPCODE_LIST_1}  # it speaks of samples before the table, which is applied already
        dropped.append("opcode list 1")
    return tuple(fields[number] for number in sorted(kept)), tuple(dropped)


def captions(tree: TagTree) -> tuple[Tag, ...]:
    """Tags of IFD0 that say what people wrote of a photo, whatever its format."""
    return tuple(tree.main.tags[number] for number in sorted(CAPTIONS & tree.main.tags.keys()))


def _matrix(fields: Ifd, number: int) -> DoubleArray | None:
    values = fields.numbers(number)
    return np.array(values, np.float64).reshape(3, 3) if len(values) == 9 and all(map(math.isfinite, values)) else None


def _neutral(fields: Ifd, matrix: DoubleArray) -> DoubleArray | None:
    """AsShotNeutral, or the camera's colour of AsShotWhiteXY; None where neither is a positive colour."""
    values = fields.numbers(AS_SHOT_NEUTRAL)
    white = fields.numbers(AS_SHOT_WHITE_XY)
    if len(values) != 3 and len(white) == 2 and white[1] > 0:
        x, y = white
        values = tuple(matrix @ np.array([x / y, 1.0, (1 - x - y) / y]))
    neutral = np.array(values, np.float64)
    if (
        neutral.shape != (3,)
        or not np.isfinite(neutral).all()
        or neutral.min() <= 0
        or neutral.max() > 1e3 * neutral.min()
    ):
        return None
    return neutral
