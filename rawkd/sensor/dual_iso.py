"""Dual ISO: frames whose pairs of rows were read out at two gains in turn (Magic Lantern).

Such a frame is two exposures in one: rows 0 and 1 of every four have one gain, rows 2 and 3 another. As a plain Bayer
mosaic it is striped, and every filter mixes the two. It is told from a striped subject by the ratio of the two groups
of rows, which is the same all over the frame, in bright and dark places and in every colour. Our choice throughout.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import UnsupportedRawError
from rawkd.photo import DoubleArray, RawPhoto

TILE_ROWS, TILE_COLUMNS, MOST_TILES = 32, 32, 10
"""Size of the tiles that are looked at, and the number of rows and of columns of them at most."""
LEAST_TILES = 12
"""Fewest tiles that must be lit."""
LEAST_RATIO = 1.5
"""Ratio of the gains from which a frame counts as dual: Magic Lantern's are whole stops."""
SAME = 0.2
"""Relative difference from the ratio of all within which a tile agrees."""
LEAST_AGREEING = 0.8
"""Share of the lit tiles that must agree."""
LIT_SIGMAS = 5.0
"""Standard errors by which the darker rows of a tile must lie above black."""
LIT, BLOWN = 1e-3, 0.7
"""Signal that both groups of rows of a tile must have at least, and at most, on average."""


def refuse_dual_iso(photo: RawPhoto) -> None:
    """Refuse a frame whose pairs of rows have two gains.

    Raises
    ------
    UnsupportedRawError: if they have.
    """
    ratio = dual_iso_ratio(photo)
    if ratio is not None:
        raise UnsupportedRawError(
            f"this is a dual ISO frame (Magic Lantern; the gains of its row pairs differ by a factor of {ratio:.1f}),"
            " and rawkd denoises frames with one gain only. Convert it with cr2hdr first."
        )


def dual_iso_ratio(photo: RawPhoto) -> float | None:
    """How many times the gain of the brighter pairs of rows is that of the darker, or None for an ordinary frame.

    Looks at 10 x 10 tiles of 32 x 32 pixels at most, whatever the size of the photo. Frames without light, or smaller
    than 12 tiles, count as ordinary. Rows 1 and 2 may also be the pair, where the active area begins at an odd row.
    """
    area = photo.active_area
    if (area.height // TILE_ROWS) * (area.width // TILE_COLUMNS) < LEAST_TILES:
        return None
    mean, error = _tiles(photo).swapaxes(0, 1)
    blown = BLOWN * photo.levels.saturation
    # (n, pair, row of the pair, CFA column): row 2 has the colours of row 0, and row 3 those of row 1
    usual = _ratio(mean[:, 0], mean[:, 1], error, blown)
    if usual is not None:
        return usual
    return _ratio(mean[:, [0, 1], [0, 1]], mean[:, [1, 0], [0, 1]], error, blown)


def _ratio(first: DoubleArray, second: DoubleArray, error: DoubleArray, blown: float) -> float | None:
    """Ratio of two groups of rows or its inverse; None where it is not the same all over.

    Parameters
    ----------
    first, second : (n, 2, 2) mean signal of the colours of n tiles in both groups. error : (n, 2, 2, 2) theirs.
    blown : mean signal above which pixels may be clipped.
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
    """(n, 2, 2, 2, 2) mean and its standard error of n tiles: which of both, pair of rows, row of it, CFA column.

    The mean black level of each colour is taken off; what single rows differ by does not matter here.
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
    """Rows or columns of all tiles, one tile after the other; the first of each is a multiple of four."""
    count = min(extent // size, MOST_TILES)
    firsts = np.linspace(0, max(extent - size, 0), count).astype(int) // 4 * 4
    return np.asarray((firsts[:, None] + np.arange(size)).ravel(), np.intp)
