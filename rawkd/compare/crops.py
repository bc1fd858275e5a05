"""Choose interesting crops of a photo: texture, shadows, skin-like colours or smooth areas, highlights.

The search uses a small rendering of the noisy photo, in which binning averages out most of the noise. The range of skin
colours is from Chai and Ngan 1999 (Cb 77..127, Cr 133..173); everything else is our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import DoubleArray, Rect
from rawkd.render.color import LUMA

CROP_PX = 640, 480
"""Width and height of a crop; smaller if the photo is smaller."""
PREVIEW_PX = 512
"""Longer side of the rendering that is searched."""
LEAST_SKIN = 0.3
"""Least share of skin-like pixels in a crop of skin."""
MOST_OVERLAP = 0.2
NEAR_END = 0.2
"""Windows count as dark (bright) within this part of the range from the darkest (brightest) window to the median."""


@dataclass(frozen=True)
class Crop:
    """A part of the upright picture, shown at 100 %. why : what it shows."""

    why: str
    rect: Rect


@dataclass(frozen=True, eq=False)
class _Windows:
    """Candidate windows and their statistics, (n,) each: luma 0..255, mean gradient of luma, shares of pixels 0..1."""

    left: DoubleArray
    top: DoubleArray
    luma: DoubleArray
    texture: DoubleArray
    clipped: DoubleArray
    crushed: DoubleArray
    skin: DoubleArray


def choose_crops(preview: NDArray[np.uint8], height: int, width: int) -> tuple[Crop, ...]:
    """Return one to four crops that overlap by at most 20 %.

    Parameters
    ----------
    preview : (h, w, 3) sRGB rendering of the whole upright picture. height, width : full size of that picture.
    """
    crop_width, crop_height = min(CROP_PX[0], width), min(CROP_PX[1], height)
    scale = np.array([height / preview.shape[0], width / preview.shape[1]])
    windows = _measure(preview, max(2, int(crop_height / scale[0])), max(2, int(crop_width / scale[1])))
    usable = (windows.clipped < 0.5) & (windows.crushed < 0.5)
    if not usable.any():
        usable[:] = True
    low, middle_luma, high = np.quantile(windows.luma[usable], [0, 0.5, 1])
    dark, bright = low + NEAR_END * (middle_luma - low), high - NEAR_END * (high - middle_luma)
    has_skin = usable & (windows.skin >= LEAST_SKIN)
    middle = usable & (windows.luma > 40) & (windows.luma < 200)
    wishes = (
        ("texture", usable & (windows.clipped < 0.05), windows.texture),
        ("dark", usable & (windows.luma <= dark), windows.texture),
        ("skin-like", has_skin, windows.skin) if has_skin.any() else ("smooth", middle, -windows.texture),
        ("highlights", usable & (windows.luma >= bright), windows.texture),
    )
    crops: list[Crop] = []
    free = np.ones(len(windows.left), bool)
    for why, allowed, score in wishes:
        candidates = np.flatnonzero(allowed & free)
        if not candidates.size:
            continue
        best = candidates[np.argmax(score[candidates])]
        left = min(round(float(windows.left[best] * scale[1])), width - crop_width)
        top = min(round(float(windows.top[best] * scale[0])), height - crop_height)
        crops.append(Crop(why, Rect(top, left, crop_height, crop_width)))
        free &= _overlap(windows, best, crop_width / scale[1], crop_height / scale[0]) <= MOST_OVERLAP
    return tuple(crops) or (Crop("centre", _centred(height, width, crop_height, crop_width)),)


def _measure(preview: NDArray[np.uint8], rows: int, columns: int) -> _Windows:
    """Return the statistics of windows of rows x columns preview pixels, spaced a quarter of a window apart."""
    rgb = preview.astype(np.float64)
    red, _, blue = np.moveaxis(rgb, -1, 0)
    luma = rgb @ np.array(LUMA)
    cb, cr = 128 + 0.564 * (blue - luma), 128 + 0.713 * (red - luma)
    slope = np.zeros_like(luma)
    slope[:, 1:] += np.diff(luma, axis=1) ** 2
    slope[1:] += np.diff(luma, axis=0) ** 2
    slope = np.sqrt(slope)  # many fine edges count more than one hard one
    tops = _steps(luma.shape[0], rows)
    lefts = _steps(luma.shape[1], columns)

    def mean(values: NDArray[np.generic]) -> DoubleArray:
        table = np.pad(values.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
        bottoms, rights = np.minimum(tops + rows, luma.shape[0]), np.minimum(lefts + columns, luma.shape[1])
        down = table[bottoms] - table[tops]
        sums = down[:, rights] - down[:, lefts]
        area = (bottoms - tops)[:, None] * (rights - lefts)[None, :]
        return np.asarray(sums / area).ravel()

    grid = np.meshgrid(tops, lefts, indexing="ij")
    skin = (cb >= 77) & (cb <= 127) & (cr >= 133) & (cr <= 173) & (luma > 50)
    return _Windows(
        left=grid[1].ravel().astype(np.float64),
        top=grid[0].ravel().astype(np.float64),
        luma=mean(luma),
        texture=mean(slope),
        clipped=mean(preview.max(axis=2) >= 253),
        crushed=mean(luma <= 3),
        skin=mean(skin),
    )


def _steps(length: int, window: int) -> NDArray[np.intp]:
    """Return the first pixels of the windows along one axis; the last window ends at the end of the axis."""
    last = max(length - window, 0)
    return np.unique(np.append(np.arange(0, last + 1, max(1, window // 4)), last))


def _overlap(windows: _Windows, chosen: np.intp, width: float, height: float) -> DoubleArray:
    """Return the share of each window that the chosen one covers."""
    across = np.maximum(0, 1 - np.abs(windows.left - windows.left[chosen]) / width)
    down = np.maximum(0, 1 - np.abs(windows.top - windows.top[chosen]) / height)
    return np.asarray(across * down)


def _centred(height: int, width: int, crop_height: int, crop_width: int) -> Rect:
    return Rect((height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width)
