"""Read and describe calibration files: gain and read variance of a camera as functions of ISO, per noise class.

A JSON object (our choice; the forms of gain and variance are those of PMRID, ECCV 2020, and of Android's noise model):

    {"format": "rawkd-camera-noise", "version": 1, "make": "Canon", "model": "Canon EOS 6D", "iso_range": [100, 25600],
     "planes": {"R": {"gain": [g1, g0], "read_variance": [r2, r1, r0]}, "Gr": {...}, "Gb": {...}, "B": {...}},
     "defects": [{"width": 5568, "height": 3708, "pixels": [[row, column], ...]}]}

X-Trans has the planes R, G and B, a monochrome sensor has W. Everywhere gain = g1 * ISO + g0 and read_variance =
r2 * ISO^2 + r1 * ISO + r0 in signal units. `defects` is optional. It has one entry per frame size (masked pixels
included); rows and columns count from 0 at the corner of the frame.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rawkd.errors import InputError, NoiseError
from rawkd.photo import DoubleArray
from rawkd.photo.cfa import CLASSES
from rawkd.sensor.defects import DefectMap
from rawkd.sensor.noise import NOISE_LIMITS, NoiseModel, is_possible

FORMAT, VERSION = "rawkd-camera-noise", 1
PLANES = CLASSES["bayer"]
_CLASSES_BY_COUNT = {len(names): names for names in CLASSES.values()}
ADVICE = "Give a file that `rawkd calibrate` wrote."
ROUNDING = 1e-12
"""Largest relative rounding error of a sum of three terms."""


@dataclass(frozen=True, eq=False)
class CameraProfile:
    """The calibrated noise of one camera.

    Attributes
    ----------
    make, model : as the camera writes them.
    iso_range : lowest and highest measured ISO.
    gain : (classes, 2) float64, coefficients of ISO and 1 for R, Gr, Gb, B of Bayer, R, G, B of X-Trans, or the one
        class of a monochrome sensor; signal units.
    read_variance : (classes, 3) float64, coefficients of ISO^2, ISO and 1, squared signal units.
    defects : maps of defective pixels, one per frame size.
    """

    make: str
    model: str
    iso_range: tuple[float, float]
    gain: DoubleArray
    read_variance: DoubleArray
    defects: tuple[DefectMap, ...] = ()

    def noise_at(self, iso: float) -> NoiseModel:
        """Return the noise at an ISO; a negative read variance of the fit becomes zero.

        Raises
        ------
        NoiseError: if the gain or the read variance at this ISO is out of `NOISE_LIMITS`.
        """
        gain, read = self._laws_at(iso)
        if not is_possible(gain, np.maximum(read, 0)):
            raise NoiseError(f"its noise is impossible there: {NOISE_LIMITS}")
        return NoiseModel(gain, np.maximum(read, 0), "calibration")

    @property
    def impossible_iso(self) -> float | None:
        """The end of the measured range at which gain or read variance is out of `NOISE_LIMITS`; None if sound."""
        return next((iso for iso in self.iso_range if not is_possible(*self._laws_at(iso))), None)

    def covers(self, iso: float) -> bool:
        """Whether the ISO lies within the measured range."""
        return self.iso_range[0] <= iso <= self.iso_range[1]

    def is_of(self, make: str, model: str) -> bool:
        """Whether make and model are this camera's; case and surrounding spaces are ignored."""
        return (make.strip().lower(), model.strip().lower()) == (self.make.strip().lower(), self.model.strip().lower())

    def _laws_at(self, iso: float) -> tuple[DoubleArray, DoubleArray]:
        """Return gain and read variance of the classes; a read variance that is zero but for rounding is zero."""
        with np.errstate(over="ignore", invalid="ignore"):  # infinity and NaN are impossible, as their callers find
            terms = self.read_variance * np.array([iso**2, iso, 1.0])
            read = terms.sum(axis=1)
            read[np.abs(read) < ROUNDING * np.abs(terms).sum(axis=1)] = 0
            return self.gain @ np.array([iso, 1.0]), read


def read_profile(path: Path) -> CameraProfile:
    """Read a calibration file.

    Raises
    ------
    NoiseError: if it cannot be read or is not a valid calibration file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoiseError(f"{path}: the calibration file cannot be read ({error.strerror}). {ADVICE}") from error
    except (ValueError, RecursionError) as error:
        raise NoiseError(f"{path}: this is not a calibration file. {ADVICE}") from error
    if not isinstance(content, dict):
        raise NoiseError(f"{path}: this is not a calibration file. {ADVICE}")
    try:
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            raise NoiseError(f"{path}: this is not a calibration file of version {VERSION}. {ADVICE}")
        profile = CameraProfile(
            make=str(content["make"]),
            model=str(content["model"]),
            iso_range=_iso_range(content["iso_range"]),
            gain=_coefficients(content["planes"], "gain", 2),
            read_variance=_coefficients(content["planes"], "read_variance", 3),
            defects=_defect_maps(content.get("defects", [])),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, InputError) as error:
        raise NoiseError(
            f"{path}: the calibration file is damaged (missing or invalid: {error}). Calibrate the camera again."
        ) from error
    if profile.impossible_iso is not None:
        raise NoiseError(
            f"{path}: the calibration file states an impossible noise at ISO {profile.impossible_iso:g}"
            f" ({NOISE_LIMITS}). Calibrate the camera again."
        )
    return profile


def profile_record(profile: CameraProfile) -> dict[str, object]:
    """Return the content of the calibration file of a profile as JSON values; `read_profile` reads it back."""
    planes = {
        name: {"gain": profile.gain[k].tolist(), "read_variance": profile.read_variance[k].tolist()}
        for k, name in enumerate(_CLASSES_BY_COUNT[len(profile.gain)])
    }
    return {
        "format": FORMAT,
        "version": VERSION,
        "make": profile.make,
        "model": profile.model,
        "iso_range": list(profile.iso_range),
        "planes": planes,
        "defects": [one.record() for one in profile.defects],
    }


def _numbers(values: Any, name: str, count: int) -> list[float]:
    """Return a list of `count` numbers of a file; ValueError with its name for anything else, booleans too."""
    if not isinstance(values, list) or len(values) != count or not all(type(one) in (int, float) for one in values):
        raise ValueError(f"{name}, which must be {count} numbers")
    try:
        numbers = [float(one) for one in values]
    except OverflowError:
        numbers = [math.inf]
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{name}, which has an impossible number")
    return numbers


def _iso_range(values: Any) -> tuple[float, float]:
    """Return the lowest and the highest ISO; ValueError if they are not positive and in this order."""
    low, high = _numbers(values, "iso_range", 2)
    if not 0 < low <= high:
        raise ValueError("iso_range, which must be the lowest and the highest ISO")
    return low, high


def _coefficients(planes: Any, name: str, count: int) -> DoubleArray:
    """Return the coefficients of the noise classes, (classes, count).

    The names of the planes tell the kind of sensor; Bayer if they fit none. ValueError if a plane is missing, the shape
    is wrong or a coefficient is not a finite number.
    """
    if not isinstance(planes, dict) or not all(isinstance(one, dict) for one in planes.values()):
        raise ValueError("planes")
    names = next((known for known in CLASSES.values() if set(known) <= set(planes)), PLANES)
    return np.array([_numbers(planes[plane][name], f"{name} of {plane}", count) for plane in names], np.float64)


def _defect_maps(entries: Any) -> tuple[DefectMap, ...]:
    """Return the defect maps; ValueError if one is damaged or two have the same frame size."""
    try:
        maps = tuple(DefectMap.of_record(entry) for entry in entries)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError("defects") from error
    if len({(one.height, one.width) for one in maps}) != len(maps):
        raise ValueError("defects")
    return maps
