"""Find the hot and dead pixels of a camera in several of its photos, without dark frames.

A defect is at the same place of the sensor in every photo; texture and lights are not, if the scenes differ. So a pixel
that looks like a defect in several scenes is one, even where a single photo would not prove it: weak ones, those on
texture, and clusters. Photos of one scene, as from a tripod, count as one. Our choice.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rawkd.photo import DoubleArray, FloatArray, PixelArray, RawPhoto
from rawkd.sensor.defects import DefectMap, unknown_defects
from rawkd.sensor.noise import NoiseModel

VIEW_CELLS = 16
"""Height and width of a view, in cells."""
LEAST_VIEW_SIGNAL = 1e-3
"""Darker cells count as this, so that noise does not decide about views of dark photos."""
SAME_SCENE = 0.7
"""Correlation of two views from which they show the same scene."""
LEAST_SCENES = 2
"""A defect is suspected in at least so many scenes."""
FALSE_SHARE = 0.02
"""Largest share of the defects that chance may have made. Texture recurs a little more often than chance has it."""


@dataclass(frozen=True, eq=False)
class Suspects:
    """What one photo tells about the defects of its camera.

    Attributes
    ----------
    frame : height and width of the whole raw frame. pixels : (n, 2) rows and columns in it that may be defects.
    view : (16, 16) logarithms of the mean signal of a grid of cells, to recognise the scene.
    """

    frame: tuple[int, int]
    pixels: PixelArray
    view: DoubleArray

    @classmethod
    def of(cls, photo: RawPhoto, noise: NoiseModel) -> Suspects:
        """Search a photo, whose known defects need no proof and are left out."""
        height, width = photo.frame.shape
        return cls((height, width), unknown_defects(photo, noise, suspects=True), view_of(photo.mosaic.data))


def recurring_defects(photos: Iterable[Suspects]) -> tuple[DefectMap, ...]:
    """Return the pixels that several scenes suspect, a map for each frame size that has some, smallest frame first.

    The result does not depend on the order of `photos`.
    """
    by_size: dict[tuple[int, int], list[Suspects]] = defaultdict(list)
    for one in photos:
        by_size[one.frame].append(one)
    maps = []
    for (height, width), alike in sorted(by_size.items()):
        seen: dict[int, set[int]] = defaultdict(set)
        for scene, one in zip(_scenes([one.view for one in alike]), alike, strict=True):
            for place in (one.pixels[:, 0] * width + one.pixels[:, 1]).tolist():
                seen[place].add(scene)
        least = _least_scenes([len(where) for where in seen.values()], height * width)
        places = sorted(place for place, where in seen.items() if len(where) >= least)
        if places:
            maps.append(DefectMap(height, width, np.stack(np.divmod(np.array(places, np.int64), width), axis=1)))
    return tuple(maps)


def _least_scenes(times: Sequence[int], pixels: int) -> int:
    """Return in how many scenes a pixel must be suspected to be a defect, so that chance makes few of the defects.

    Parameters
    ----------
    times : in how many scenes each suspect was seen. pixels : of a frame. By chance, the scenes that suspect a pixel
        are a Poisson number.
    """
    mean, least = sum(times) / pixels, LEAST_SCENES
    while (number := sum(one >= least for one in times)) and pixels * mean**least / math.factorial(least) > (
        FALSE_SHARE * number
    ):
        least += 1
    return least


def view_of(data: FloatArray) -> DoubleArray:
    """Return the view of a mosaic, or of its part that divides into cells."""
    height, width = (length // VIEW_CELLS for length in data.shape)
    if not (height and width):
        return np.zeros((VIEW_CELLS, VIEW_CELLS))
    cells = data[: VIEW_CELLS * height, : VIEW_CELLS * width].reshape(VIEW_CELLS, height, VIEW_CELLS, width)
    view: DoubleArray = np.log(np.maximum(cells.mean(axis=(1, 3), dtype=np.float64), LEAST_VIEW_SIGNAL))
    return view


def _scenes(views: Sequence[DoubleArray]) -> list[int]:
    """Return the number of the scene of each view: the lowest index of those that it is linked to by likeness."""
    scene = list(range(len(views)))
    for one in range(len(views)):
        for other in range(one):
            if scene[one] != scene[other] and _alike(views[one], views[other]):
                old, new = max(scene[one], scene[other]), min(scene[one], scene[other])
                scene = [new if each == old else each for each in scene]
    return scene


def _alike(first: DoubleArray, second: DoubleArray) -> bool:
    """Whether two views correlate, or one of them shows nothing that could tell scenes apart."""
    first, second = first - first.mean(), second - second.mean()
    product = math.sqrt(float((first**2).sum() * (second**2).sum()))
    return product == 0 or float((first * second).sum()) > SAME_SCENE * product
