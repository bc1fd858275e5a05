"""Demosaic packed Bayer planes by Menon's method.

Source: Menon, Andriani, Calvagno, "Demosaicing with directional filtering and a posteriori decision", IEEE Transactions
on Image Processing 2007. Green is interpolated along rows and along columns. Every red and blue pixel keeps the
direction along which the differences of colours change less, and all later steps follow it. The result is that of
colour-demosaicing to the rounding of float32; on planes it takes a twentieth of the time, and no scipy.

A *difference* is red or blue less green. `Sites` are arrays by site of the 2x2 cell. Every step reads one cell beyond
its result, so arrays shrink by one cell on each side.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import FloatArray

R, GR, GB, B = range(4)
ROW, COLUMN = (0, 1), (1, 0)
"""Steps to the next pixel along a row and along a column."""
HALO_CELLS = 8
"""Number of steps, each of which reads one cell beyond its result."""
HALF, THIRD = np.float32(0.5), np.float32(1 / 3)

Sites = dict[int, FloatArray]
BoolSites = dict[int, NDArray[np.bool_]]
AnyArray = TypeVar("AnyArray", FloatArray, NDArray[np.bool_])


def menon_sites(padded: FloatArray) -> FloatArray:
    """Interpolate (4, h + 16, w + 16) planes R, Gr, Gb, B -> (3, 4, h, w) colour R, G, B at the sites R, Gr, Gb, B."""
    planes = dict(enumerate(padded))
    of_rows, of_columns = ({site: _difference(planes, site, step) for site in (R, B)} for step in (ROW, COLUMN))
    change_of_rows, change_of_columns = _changes(of_rows, ROW), _changes(of_columns, COLUMN)
    by_row = {site: change_of_columns[site] >= change_of_rows[site] for site in (R, B)}
    # differences at the sites of their own colour, at both greens, and at the site of the opposite colour
    of_rows, of_columns = _inner(of_rows, 2), _inner(of_columns, 2)
    own = {site: np.where(by_row[site], of_rows[site], of_columns[site]) for site in (R, B)}
    red, blue = _at_greens(own)
    own, by_row = _inner(own), _inner(by_row, 2)
    red_less_blue = {green: red[green] - blue[green] for green in (GR, GB)}
    red_at_blue = own[B][1:-1, 1:-1] + _mean(red_less_blue, B, by_row)
    blue_at_red = own[R][1:-1, 1:-1] - _mean(red_less_blue, R, by_row)
    # refined: means of three along the direction
    red = _inner({R: own[R], **red}) | {B: red_at_blue}
    blue = _inner({B: own[B], **blue}) | {R: blue_at_red}
    by_row = _inner(by_row)
    own = {R: _mean(red, R, by_row, with_own=True), B: _mean(blue, B, by_row, with_own=True)}
    opposite = _inner({site: red[site] - blue[site] for site in (R, B)}, 2)
    red, blue = _at_greens(own)
    red_less_blue = opposite | {green: red[green] - blue[green] for green in (GR, GB)}
    by_row = _inner(by_row, 2)
    across = {site: _mean(red_less_blue, site, by_row, with_own=True) for site in (R, B)}
    red, blue = _inner({R: own[R][1:-1, 1:-1], **red}), _inner({B: own[B][1:-1, 1:-1], **blue})

    measured = padded[:, HALO_CELLS:-HALO_CELLS, HALO_CELLS:-HALO_CELLS]
    sites = np.empty((3, *measured.shape), np.float32)
    sites[0, R], sites[1, GR], sites[1, GB], sites[2, B] = measured
    np.subtract(measured[R], red[R], out=sites[1, R])
    np.subtract(measured[B], blue[B], out=sites[1, B])
    np.subtract(measured[R], across[R], out=sites[2, R])
    np.add(measured[B], across[B], out=sites[0, B])
    for green in (GR, GB):
        np.add(measured[green], red[green], out=sites[0, green])
        np.add(measured[green], blue[green], out=sites[2, green])
    return sites


def _near(arrays: Sites, site: int, dy: int = 0, dx: int = 0) -> FloatArray:
    """Return the values at `dy` rows and `dx` columns, in pixels, from the pixels of a site, without the outer cell."""
    y, x = site // 2 + dy, site % 2 + dx
    array = arrays[2 * (y % 2) + x % 2]
    height, width = array.shape
    return array[1 + y // 2 : height - 1 + y // 2, 1 + x // 2 : width - 1 + x // 2]


def _both(arrays: Sites, site: int, step: tuple[int, int], times: int = 1) -> FloatArray:
    """Return the sum of the two values at `times` steps before and after the pixels of a site."""
    dy, dx = (times * one for one in step)
    return _near(arrays, site, dy, dx) + _near(arrays, site, -dy, -dx)


def _inner(arrays: dict[int, AnyArray], cells: int = 1) -> dict[int, AnyArray]:
    """Return arrays without their outer cells."""
    return {site: array[cells:-cells, cells:-cells] for site, array in arrays.items()}


def _difference(planes: Sites, site: int, step: tuple[int, int]) -> FloatArray:
    """Return red or blue less the green that five pixels along one direction give (section III of the paper)."""
    difference = _both(planes, site, step, 2)
    difference *= HALF
    difference += _near(planes, site)
    difference -= _both(planes, site, step)
    difference *= HALF
    return difference


def _changes(differences: Sites, step: tuple[int, int]) -> Sites:
    """Return how much differences change along one direction, summed over 5x5 pixels (section IV)."""
    dy, dx = step
    change = {site: np.abs(_near(differences, site) - _near(differences, site, 2 * dy, 2 * dx)) for site in (R, B)}
    sums = {}
    for site in (R, B):
        total = _near(change, site) + _near(change, site, -2 * dy, -2 * dx)
        total *= np.float32(3)
        for side in (-2, 2):
            total += _near(change, site, side * dx, side * dy)
            total += _near(change, site, side * dx - 2 * dy, side * dy - 2 * dx)
        for side in (-1, 1):
            total += _near(change, site, side * dx - dy, side * dy - dx)
        sums[site] = total
    return sums


def _at_greens(own: Sites) -> tuple[Sites, Sites]:
    """Return the differences of red and of blue at both greens: means of the two neighbours of that colour."""
    red = {GR: _both(own, GR, ROW) * HALF, GB: _both(own, GB, COLUMN) * HALF}
    blue = {GR: _both(own, GR, COLUMN) * HALF, GB: _both(own, GB, ROW) * HALF}
    return red, blue


def _mean(arrays: Sites, site: int, by_row: BoolSites, *, with_own: bool = False) -> FloatArray:
    """Return the mean of the two neighbours along the direction of each pixel, with its own value if asked for."""
    mean = np.where(by_row[site], _both(arrays, site, ROW), _both(arrays, site, COLUMN))
    if with_own:
        mean += _near(arrays, site)
    mean *= THIRD if with_own else HALF
    return mean
