"""Find defective pixels in dark frames: pixels that differ from their surroundings in most frames.

Our choice throughout.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

import numpy as np

from rawkd.photo import FloatArray, PixelArray, RawPhoto
from rawkd.sensor.defects import DefectMap
from rawkd.sensor.noise import SIGMA_OF_MAD

DARK_SIGMAS = 6.0
"""Noise standard deviations by which an outlier differs; by chance, one pixel in 500 million does."""
LEAST_FRAMES = 2
SIDE_PX = 64
"""Side of the area whose median, over the pixels at one site of the cell, is the dark level around a pixel."""
MOST_BAD = 0.01
"""Largest share of defective pixels in a frame; with more, no map is made."""


class DarkFrames:
    """Collects the outliers of dark frames and makes defect maps of them."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], dict[Hashable, list[PixelArray]]] = defaultdict(lambda: defaultdict(list))

    def add(self, photo: RawPhoto, setting: Hashable) -> None:
        """Add the outliers of a dark frame, taken with the exposure setting `setting`."""
        height, width = photo.frame.shape
        self._found[height, width][setting].append(outstanding(photo) @ (width, 1))

    def maps(self) -> tuple[tuple[DefectMap, ...], tuple[str, ...]]:
        """Return a defect map for each frame size, and a warning for each size with too many outliers for a map.

        A defect is an outlier in more than half of the frames of a setting, and in at least two: a cosmic ray hits only
        one frame.
        """
        made, warnings = [], []
        for (height, width), by_setting in sorted(self._found.items()):
            places = [_repeated(frames) for frames in by_setting.values() if len(frames) >= LEAST_FRAMES]
            found = np.unique(np.concatenate([np.empty(0, np.int64), *places]))
            if len(found) > MOST_BAD * height * width:
                warnings.append(
                    f"no map of defective pixels was made: {len(found)} of {height * width} pixels are outliers in the"
                    " dark frames, too many for defects"
                )
            elif len(found):
                made.append(DefectMap(height, width, np.stack(np.divmod(found, width), axis=1)))
        return tuple(made), tuple(warnings)


def outstanding(photo: RawPhoto) -> PixelArray:
    """Return rows and columns, in the whole frame, of the outliers of a dark frame, (n, 2)."""
    area, data = photo.active_area, photo.mosaic.data
    found = []
    period = photo.pattern.side
    for row in range(period):
        for column in range(period):
            plane = data[row::period, column::period]
            height = np.abs(plane - _surroundings(plane, SIDE_PX // period))
            # most pixels are sound, so the median deviation is that of the noise
            sigma = max(SIGMA_OF_MAD * float(np.median(height)), 0.5 / photo.levels.range_dn)
            places = np.argwhere(height > DARK_SIGMAS * sigma)
            found.append(period * places + (row + area.top, column + area.left))
    return np.concatenate(found)


def _surroundings(plane: FloatArray, side: int) -> FloatArray:
    """Return the median of each sample's block, (h, w); the last blocks overlap so that all have the same size."""
    tops, lefts = (_starts(size, side) for size in plane.shape)
    windows = np.lib.stride_tricks.sliding_window_view(plane, [min(side, size) for size in plane.shape])
    medians = np.stack([np.median(windows[top, lefts], axis=(1, 2)) for top in tops])
    rows, columns = (
        np.searchsorted(starts, np.arange(size), side="right") - 1
        for starts, size in zip((tops, lefts), plane.shape, strict=True)
    )
    return np.asarray(medians[rows][:, columns])


def _starts(size: int, side: int) -> list[int]:
    return [min(start, max(size - side, 0)) for start in range(0, size, side)]


def _repeated(frames: list[PixelArray]) -> PixelArray:
    """Return the flat indices that occur in more than half of the frames, and in at least two."""
    places, counts = np.unique(np.concatenate(frames), return_counts=True)
    return np.asarray(places[(counts >= LEAST_FRAMES) & (counts > len(frames) / 2)])
