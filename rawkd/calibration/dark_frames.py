"""Defective pixels learned from dark frames: what stands out of its surroundings again and again where no light falls.

Our choice throughout.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

import numpy as np

from rawkd.photo import FloatArray, PixelArray, RawPhoto
from rawkd.sensor.defects import DefectMap

DARK_SIGMAS = 6.0
"""Noise by which a sample stands out: one in 500 million does by chance, and not in the next frame."""
LEAST_FRAMES = 2
SIDE_PX = 32
"""Side of the blocks of a plane whose median is the dark level around a sample."""
MOST_BAD = 0.01
"""Part of the frame that may be defective; more is no map of defects."""


class DarkFrames:
    """What stands out in dark frames, frame by frame, and the maps that this makes."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], dict[Hashable, list[PixelArray]]] = defaultdict(lambda: defaultdict(list))

    def add(self, photo: RawPhoto, setting: Hashable) -> None:
        """Look at a dark frame, taken with the ISO and exposure time `setting`."""
        height, width = photo.frame.shape
        self._found[height, width][setting].append(outstanding(photo) @ (width, 1))

    def maps(self) -> tuple[tuple[DefectMap, ...], tuple[str, ...]]:
        """A map for every size of frame, and why there is none: pixels that stand out in most frames of a setting.

        Two frames at least: a cosmic ray strikes only one.
        """
        made, warnings = [], []
        for (height, width), by_setting in sorted(self._found.items()):
            places = [_repeated(frames) for frames in by_setting.values() if len(frames) >= LEAST_FRAMES]
            found = np.unique(np.concatenate([np.empty(0, np.int64), *places]))
            if len(found) > MOST_BAD * height * width:
                warnings.append(f"{len(found)} of {height * width} pixels stand out in the dark: no defects were noted")
            elif len(found):
                made.append(DefectMap(height, width, np.stack(np.divmod(found, width), axis=1)))
        return tuple(made), tuple(warnings)


def outstanding(photo: RawPhoto) -> PixelArray:
    """Rows and columns in the whole frame of the samples of a dark frame that stand out of their surroundings."""
    area, data = photo.active_area, photo.mosaic.data
    found = []
    for row in (0, 1):
        for column in (0, 1):
            plane = data[row::2, column::2]
            height = np.abs(plane - _surroundings(plane))
            # most samples are sound, so the median of what they deviate by is that of the noise
            sigma = max(1.4826 * float(np.median(height)), 0.5 / photo.levels.range_dn)
            places = np.argwhere(height > DARK_SIGMAS * sigma)
            found.append(2 * places + (row + area.top, column + area.left))
    return np.concatenate(found)


def _surroundings(plane: FloatArray) -> FloatArray:
    """(h, w) median of the block of each sample; blocks at the end are as large as the others, and overlap them."""
    tops, lefts = (_starts(size) for size in plane.shape)
    level = np.empty_like(plane)
    for top in tops:
        for left in lefts:
            block = (slice(top, top + SIDE_PX), slice(left, left + SIDE_PX))
            level[block] = np.median(plane[block])
    return level


def _starts(size: int) -> list[int]:
    return [min(start, max(size - SIDE_PX, 0)) for start in range(0, size, SIDE_PX)]


def _repeated(frames: list[PixelArray]) -> PixelArray:
    """Flat indices that occur in more than half of the frames, and in two at least."""
    places, counts = np.unique(np.concatenate(frames), return_counts=True)
    return np.asarray(places[(counts >= LEAST_FRAMES) & (counts > len(frames) / 2)])
