"""Detect dual ISO frames (Magic Lantern), in which row pairs alternate between two gains.

Rows 0 and 1 of every four have one gain, rows 2 and 3 another. Read as a plain Bayer mosaic, such a frame is striped,
and every filter mixes the two gains. What separates it from a striped subject: the ratio of the two groups of rows is
the same everywhere in the frame, at all brightnesses and in all colours. Our choice throughout.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import UnsupportedRawError
from rawkd.photo import DoubleArray, RawPhoto

TILE_ROWS, TILE_COLUMNS, MOST_TILES = 32, 32, 10
"""Size of a measured tile in pixels, and largest number of tiles per row and per column."""
LEAST_TILES = 12
"""Least number of lit tiles."""
LEAST_RATIO = 1.5
"""Least ratio of the gains of a dual ISO frame; Magic Lantern's gains differ by whole stops."""
SAME = 0.2
"""Largest relative difference from the median ratio at which a tile agrees with it."""
LEAST_AGREEING = 0.8
"""Least share of the lit tiles that must agree."""
LIT_SIGMAS = 5.0
"""A lit tile's darker rows lie at least this many standard errors above black."""
LIT, BLOWN = 1e-3, 0.7
"""A lit tile's mean signal is above the first in its darker rows, and below the second, as a part of saturation, in its
brighter rows."""


def refuse_dual_iso(photo: RawPhoto) -> None:
    """Raise an error if the photo is a dual ISO frame.

    Raises
    ------
    UnsupportedRawError: if it is.
    """
    ratio = dual_iso_ratio(photo)
    if ratio is not None:
        raise UnsupportedRawError(
            f"this is a dual ISO frame (Magic Lantern; the gains of its row pairs differ by a factor of {ratio:.1f}),"
            " and rawkd denoises frames with one gain only. Convert it with cr2hdr first."
        )


def dual_iso_ratio(photo: RawPhoto) -> float | None:
    """Return the ratio of the gains of brighter and darker row pairs, or None for an ordinary frame.

    Only Bayer sensors have such frames. Measures at most 10 x 10 tiles of 32 x 32 pixels, for photos of any size. Dark
    frames, and frames smaller than 12 tiles, count as ordinary. Rows 1 and 2 may be a pair too: an active area can
    begin at an odd row.
    """
    area = photo.active_area
    if photo.pattern.kind != "bayer" or (area.height // TILE_ROWS) * (area.width // TILE_COLUMNS) < LEAST_TILES:
        return None
    mean, error = _tiles(photo).swapaxes(0, 1)
    blown = BLOWN * photo.levels.saturation
    # (n, pair, row of the pair, CFA column): row 2 has the colours of row 0, and row 3 those of row 1
    usual = _ratio(mean[:, 0], mean[:, 1], error, blown)
    if usual is not None:
        return usual
    return _ratio(mean[:, [0, 1], [0, 1]], mean[:, [1, 0], [0, 1]], error, blown)


def _ratio(first: DoubleArray, second: DoubleArray, error: DoubleArray, blown: float) -> float | None:
    """Return the ratio, >= 1, of two groups of rows; None if it is close to 1 or not the same everywhere.

    Parameters
    ----------
    first, second : (n, 2, 2) mean signal of the colours of n tiles in the two groups of rows.
    error : (n, 2, 2, 2) standard errors of these means. blown : mean signal above which pixels may be clipped.
    """
    darker, brighter = np.minimum(first, second), np.maximum(first, second)
    lit = (darker > np.maximum(LIT, LIT_SIGMAS * error.min(axis=1))) & (brighter < blown)
    if lit.any(axis=(1, 2)).sum() < LEAST_TILES:
        return None
    ratios = np.log(second[lit] / first[lit])
    middle = float(np.median(ratios))
    agreeing = float((np.abs(ratios - middle) < np.log1p(SAME)).mean())
    if abs(middle) < np.log(LEAST_RATIO) or agreeing < LEAST_AGREEING:
        return None
    return float(np.exp(abs(middle)))


def _tiles(photo: RawPhoto) -> DoubleArray:
    """Return mean signal and standard error of n tiles, (n, 2, 2, 2, 2).

    Axes: tile; mean or error; row pair; row in the pair; CFA column. Only the mean black level of each colour is
    subtracted, not that of each row.
    """
    area, levels = photo.active_area, photo.levels
    rows, columns = _places(area.height, TILE_ROWS), _places(area.width, TILE_COLUMNS)
    picked = photo.frame[area.slices][np.ix_(rows, columns)].astype(np.float32)
    cells = picked.reshape(-1, TILE_ROWS // 4, 2, 2, len(columns) // TILE_COLUMNS, TILE_COLUMNS // 2, 2)
    count = cells.shape[1] * cells.shape[5]
    mean = cells.mean(axis=(1, 5))
    error = np.sqrt(np.maximum(np.square(cells).mean(axis=(1, 5)) - mean**2, 0) / count)
    mean = (mean - levels.effective_black_dn[:, None].astype(np.float32)) / levels.range_dn
    both = np.stack([mean, error / levels.range_dn]).astype(np.float64)
    return both.transpose(1, 4, 0, 2, 3, 5).reshape(-1, 2, 2, 2, 2)


def _places(extent: int, size: int) -> NDArray[np.intp]:
    """Return the rows or columns of all tiles, one tile after another; each tile begins at a multiple of four."""
    count = min(extent // size, MOST_TILES)
    firsts = np.linspace(0, max(extent - size, 0), count).astype(int) // 4 * 4
    return np.asarray((firsts[:, None] + np.arange(size)).ravel(), np.intp)
