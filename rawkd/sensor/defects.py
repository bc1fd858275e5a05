"""Replace hot and dead pixels by values interpolated from surrounding samples of their colour.

Their positions come from the file, a map learned from dark frames, or a search of the frame (`defect_search`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import InputError
from rawkd.photo import CFAPattern, DoubleArray, Mosaic, PixelArray, RawPhoto
from rawkd.sensor.defect_search import find_defects
from rawkd.sensor.noise import NoiseModel

DEFECTS = ("auto", "map")
"""Which pixels are replaced: "map" for the known ones, "auto" also for those found in the photo."""
FEW = 10
"""Number found that is usual whatever the size of the photo."""
STEPS = ((1, 1), (1, -1), (0, 2), (2, 0), (2, 2), (2, -2), (0, 1), (1, 0), (1, 2), (1, -2), (2, 1), (2, -1))
"""Steps to the samples that surround a sample; each is taken in both directions, where a sample has the same colour."""
MANY = 1e-4
"""Largest usual fraction of pixels found in a photo: 100 in a megapixel; real photos had at most 24 (our choice)."""
FARTHEST = 16
"""Largest multiple of those steps at which a sound sample is searched; the middle of wider clusters is not replaced."""


@dataclass(frozen=True, eq=False)
class DefectMap:
    """The defective pixels of a camera's frames of one size.

    Attributes
    ----------
    height, width : size of the whole raw frame. pixels : (n, 2) rows and columns in it.
    """

    height: int
    width: int
    pixels: PixelArray

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.ndim != 2 or pixels.shape[1] != 2 or (pixels < 0).any():
            raise InputError(
                f"the map of defective pixels must be pairs of row and column (>= 0); its shape is {pixels.shape}"
            )
        if (pixels >= (self.height, self.width)).any():
            raise InputError(
                f"a pixel in the map of defective pixels lies outside the {self.width} x {self.height} frame"
            )

    def record(self) -> dict[str, Any]:
        """Return the map as plain values, for JSON."""
        return {"width": self.width, "height": self.height, "pixels": self.pixels.tolist()}

    @classmethod
    def of_record(cls, record: Any) -> DefectMap:
        """Return the map of a record; KeyError, TypeError, ValueError or InputError if it is damaged."""
        width, height, pixels = (record[name] for name in ("width", "height", "pixels"))
        places = [(row, column) for row, column in pixels]
        if any(type(number) is not int for place in ((height, width), *places) for number in place):
            raise ValueError("defects")
        return cls(height, width, np.array(places, np.int64).reshape(-1, 2))


@dataclass(frozen=True)
class DefectCount:
    """Numbers of replaced defective pixels: known ones, those found in the photo, and how many pixels it has."""

    known: int
    found: int
    pixels: int

    @property
    def total(self) -> int:
        """Number of all replaced pixels."""
        return self.known + self.found

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence if unusually many were found, else nothing."""
        if self.found <= max(FEW, MANY * self.pixels):
            return ()
        return (
            f"{self.found} pixels were taken for hot or dead ones and replaced, unusually many; if small lights or"
            " specks are missing, use --defects map",
        )


def with_known_defects(photo: RawPhoto, maps: tuple[DefectMap, ...]) -> RawPhoto:
    """Return the photo with the defects of the maps of its frame size added; the same photo if no map has its size."""
    size, area = photo.frame.shape, photo.active_area
    known = [photo.defects]
    for one in maps:
        if (one.height, one.width) == size:
            pixels = one.pixels - (area.top, area.left)
            known.append(pixels[((pixels >= 0) & (pixels < (area.height, area.width))).all(axis=1)])
    return photo if len(known) == 1 else replace(photo, defects=np.unique(np.concatenate(known), axis=0))


def without_defects(photo: RawPhoto, noise: NoiseModel, *, search: bool) -> tuple[Mosaic, DefectCount]:
    """Return the mosaic of a photo with its defective pixels replaced, and their numbers.

    Parameters
    ----------
    search : whether to also search the photo for unknown defects.
    """
    mosaic = replaced(photo.mosaic, photo.defects)
    found = find_defects(mosaic, noise, photo.levels.saturation) if search else np.empty((0, 2), np.int64)
    return replaced(mosaic, found), DefectCount(len(photo.defects), len(found), mosaic.data.size)


def unknown_defects(photo: RawPhoto, noise: NoiseModel, *, suspects: bool = False) -> PixelArray:
    """Return rows and columns in the frame of the defects that a search finds beside the known ones, (n, 2).

    Parameters
    ----------
    suspects : as in `find_defects`.
    """
    mosaic = replaced(photo.mosaic, photo.defects)
    found = find_defects(mosaic, noise, photo.levels.saturation, suspects=suspects)
    return np.asarray(found + np.array((photo.active_area.top, photo.active_area.left)))


def replaced(mosaic: Mosaic, pixels: PixelArray) -> Mosaic:
    """Return the mosaic with the samples at `pixels` estimated from sound ones of their colour.

    The new value is the mean of the two samples on opposite sides, in the direction in which these and the samples
    between them differ least. If no such pair is sound, it is the mean of the sound samples there are (our choice). A
    pixel without a sound sample within `FARTHEST` steps is not changed.

    Parameters
    ----------
    pixels : (n, 2) rows and columns, within the mosaic.
    """
    if not len(pixels):
        return mosaic
    data = mosaic.data.copy()
    bad = np.zeros(data.shape, bool)
    bad[pixels[:, 0], pixels[:, 1]] = True
    side = mosaic.pattern.side
    site = pixels % side
    for row, column in np.unique(site, axis=0).tolist():
        left = pixels[(site == (row, column)).all(axis=1)]
        steps = np.array(_steps_at(mosaic.pattern, row, column))
        for times in range(1, FARTHEST + 1):
            if not len(left):
                break
            value = _estimate(mosaic, bad, left, steps * times)
            known = np.isfinite(value)
            data[left[known, 0], left[known, 1]] = value[known]
            left = left[~known]
    return Mosaic(data, mosaic.pattern)


def _steps_at(pattern: CFAPattern, row: int, column: int) -> list[tuple[int, int]]:
    """Return the steps that lead to a sample of the same colour on at least one side."""
    own = pattern.colour_at(row, column)
    return [
        (down, right)
        for down, right in STEPS
        if own in (pattern.colour_at(row + down, column + right), pattern.colour_at(row - down, column - right))
    ]


def _estimate(mosaic: Mosaic, bad: NDArray[np.bool_], places: PixelArray, steps: PixelArray) -> DoubleArray:
    """Return estimates from the samples one step away in both directions, (n,); NaN without a sound sample."""
    ahead, behind = (_samples(mosaic, bad, places, sign * steps, same_colour=True) for sign in (1, -1))
    gap = np.abs(ahead - behind) + _change_between(mosaic, bad, places, steps)
    gap[np.isnan(gap)] = np.inf
    best = gap.argmin(axis=1)
    row = np.arange(len(places))
    value = (ahead[row, best] + behind[row, best]) / 2
    lonely = ~np.isfinite(gap[row, best])
    both = np.concatenate([ahead[lonely], behind[lonely]], axis=1)
    count = np.isfinite(both).sum(axis=1)
    value[lonely] = np.where(count, np.nansum(both, axis=1) / np.maximum(count, 1), np.nan)
    return np.asarray(value)


def _change_between(mosaic: Mosaic, bad: NDArray[np.bool_], places: PixelArray, steps: PixelArray) -> DoubleArray:
    """Return how much samples of another colour, half a step away on both sides, differ along each step, (n, steps).

    Sums their differences from each other and from the samples one step farther out. A difference is zero if the step
    cannot be halved or a sample is not sound. All are zero for X-Trans, whose samples there have different colours.
    """
    if mosaic.pattern.side != 2:
        return np.zeros((len(places), len(steps)))
    half = np.where((steps % 2 == 0).all(axis=1, keepdims=True), steps // 2, 0)
    near, far = ([_samples(mosaic, bad, places, sign * times * half) for sign in (1, -1)] for times in (1, 3))
    change = np.nan_to_num(np.abs(near[0] - near[1]))
    for side in (0, 1):
        change += np.nan_to_num(np.abs(near[side] - far[side]))
    return np.asarray(change)


def _samples(
    mosaic: Mosaic, bad: NDArray[np.bool_], places: PixelArray, steps: PixelArray, *, same_colour: bool = False
) -> DoubleArray:
    """Return the samples at steps from places, (n, steps) float64; NaN if outside the mosaic or bad.

    Parameters
    ----------
    same_colour : whether samples of another colour than that of their place are NaN, too.
    """
    height, width = mosaic.data.shape
    row, column = (places[:, None, axis] + steps[None, :, axis] for axis in (0, 1))
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    row, column = np.where(inside, row, 0), np.where(inside, column, 0)
    if same_colour:
        side = mosaic.pattern.side
        colours = np.array(list(mosaic.pattern.colours)).reshape(side, side)
        inside &= colours[row % side, column % side] == colours[places[:, 0] % side, places[:, 1] % side][:, None]
    return np.where(inside & ~bad[row, column], mosaic.data[row, column].astype(np.float64), np.nan)
