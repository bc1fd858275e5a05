"""Demosaic Bayer mosaics, computed on packed planes, and choose the method for a kind of sensor.

Sources: bilinear as in unprocessing's `process` (Brooks et al., CVPR 2019); Malvar, He, Cutler, "High-quality linear
interpolation for demosaicing of Bayer-patterned color images", ICASSP 2004 (the bilinear value plus a gradient
correction from the pixel's own colour); Menon et al. 2007 (`render.menon`). The last two work on roots of signal.

*Sites* are the result of an interpolation: colours R, G, B at the positions R, Gr, Gb, B of every 2x2 cell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import UsageError
from rawkd.photo import FloatArray, Kind
from rawkd.render import menon
from rawkd.render.color import array_module
from rawkd.render.menon import menon_sites
from rawkd.render.roots import to_roots, to_signal

Method = Literal["menon", "malvar", "bilinear", "markesteijn", "markesteijn3"]
METHODS: tuple[Method, ...] = get_args(Method)
PASSES: dict[Method, int] = {"markesteijn": 1, "markesteijn3": 3}
"""Methods for X-Trans and their passes; LibRaw does them (`render.xtrans`)."""
DEFAULTS: dict[Kind, Method] = {"bayer": "menon", "xtrans": "markesteijn", "mono": "menon"}

HALO_CELLS: dict[Method, int] = {"bilinear": 1, "malvar": 1, "menon": menon.HALO_CELLS}
"""Number of 2x2 cells that an interpolation reads beyond each edge of a block."""


def _neighbour(planes: Any, plane: int, row: int = 0, column: int = 0) -> Any:
    """Return a plane of (..., 4, h+2, w+2), shifted by `row` and `column` cells, (..., h, w)."""
    height, width = planes.shape[-2:]
    return planes[..., plane, 1 + row : height - 1 + row, 1 + column : width - 1 + column]


def bilinear_sites(padded: Any) -> Any:
    """Interpolate the colours bilinearly.

    Parameters
    ----------
    padded : (..., 4, h+2, w+2) planes R, Gr, Gb, B with a border of one cell; numpy or torch.

    Returns
    -------
    (..., 3, 4, h, w) colour R, G, B at the sites R, Gr, Gb, B; differentiable.
    """
    r, gr, gb, b = (_neighbour(padded, plane) for plane in range(4))
    right, below = r + _neighbour(padded, 0, 0, 1), _neighbour(padded, 0, 1, 0)
    r_at_b = (right + below + _neighbour(padded, 0, 1, 1)) * 0.25
    left, above = b + _neighbour(padded, 3, 0, -1), _neighbour(padded, 3, -1, 0)
    b_at_r = (left + above + _neighbour(padded, 3, -1, -1)) * 0.25
    greens = gr + gb
    g_at_r = (greens + _neighbour(padded, 1, 0, -1) + _neighbour(padded, 2, -1, 0)) * 0.25
    g_at_b = (greens + _neighbour(padded, 1, 1, 0) + _neighbour(padded, 2, 0, 1)) * 0.25
    stack = array_module(padded).stack
    red = stack([r, right * 0.5, (r + below) * 0.5, r_at_b], axis=-3)
    green = stack([g_at_r, gr, gb, g_at_b], axis=-3)
    blue = stack([b_at_r, (b + above) * 0.5, left * 0.5, b], axis=-3)
    return stack([red, green, blue], axis=-4)


def malvar_sites(padded: FloatArray) -> FloatArray:
    """Apply the 5x5 filters of Malvar, He and Cutler as bilinear plus a correction; shapes as in `bilinear_sites`."""
    sites: FloatArray = bilinear_sites(padded)
    red, green, blue = (sites[..., colour, :, :, :] for colour in range(3))
    for plane, other in ((0, blue), (3, red)):  # at red and blue sites: correct green and the opposite colour
        across, along = _crosses(padded, plane)
        curvature = _neighbour(padded, plane) * np.float32(4)
        curvature -= across
        curvature -= along
        curvature *= np.float32(0.125)
        green[..., plane, :, :] += curvature
        curvature *= np.float32(1.5)
        other[..., plane, :, :] += curvature
    for plane, row_colour, column_colour, diagonal in ((1, red, blue, (-1, 0, 0, 1)), (2, blue, red, (0, 1, -1, 0))):
        top, bottom, left, right = diagonal
        across, along = _crosses(padded, plane)
        base = _neighbour(padded, plane) * np.float32(5)
        for row in (top, bottom):
            for column in (left, right):
                base -= _neighbour(padded, 3 - plane, row, column)
        across *= np.float32(0.5)
        along *= np.float32(0.5)
        base *= np.float32(0.125)
        swing = along - across * np.float32(2)
        swing *= np.float32(0.125)
        swing += base
        row_colour[..., plane, :, :] += swing
        np.subtract(across, along * np.float32(2), out=swing)
        swing *= np.float32(0.125)
        swing += base
        column_colour[..., plane, :, :] += swing
    return sites


def _crosses(padded: FloatArray, plane: int) -> tuple[FloatArray, FloatArray]:
    """Return the sums of a plane's two neighbours along rows, and along columns."""
    across = _neighbour(padded, plane, 0, -1) + _neighbour(padded, plane, 0, 1)
    along = _neighbour(padded, plane, -1, 0) + _neighbour(padded, plane, 1, 0)
    return across, along


def _by_roots(interpolate: Callable[[FloatArray], FloatArray]) -> Callable[[FloatArray], FloatArray]:
    """Return the interpolation that works on roots of its input; measured values keep their float32 rounding."""
    return lambda padded: to_signal(interpolate(to_roots(padded)))


SITES: dict[Method, Callable[[FloatArray], FloatArray]] = {
    "bilinear": bilinear_sites,
    "malvar": _by_roots(malvar_sites),
    "menon": _by_roots(menon_sites),
}
"""Interpolation of each method: (4, h + 2*halo, w + 2*halo) planes -> (3, 4, h, w) sites."""


def check_method(method: str) -> None:
    """Refuse a method that does not exist.

    Raises
    ------
    UsageError: as said.
    """
    if method not in METHODS:
        raise UsageError(f"demosaicing {method!r}: give one of {', '.join(METHODS)}.")


def method_for(kind: Kind, method: Method | None) -> tuple[Method, tuple[str, ...]]:
    """Return the method to use for a kind of sensor, and a warning if it is not the one that was asked for.

    Monochrome pixels need no method, whatever is returned.

    Parameters
    ----------
    method : None for the default of the kind.
    """
    if kind == "mono":
        return DEFAULTS[kind], (f"{method} was not used: a monochrome photo needs no demosaicing",) if method else ()
    if method is None or method in (PASSES if kind == "xtrans" else SITES):
        return method or DEFAULTS[kind], ()
    other = f"{method} demosaics {'X-Trans' if method in PASSES else 'Bayer'} mosaics only"
    return DEFAULTS[kind], (f"{other}, and this is a photo of another sensor; {DEFAULTS[kind]} was used",)


def interleave(sites: Any) -> Any:
    """Convert (..., 4, h, w) sites to (..., 2h, 2w) pixels; numpy or torch."""
    *lead, _, h, w = sites.shape
    cells = sites.reshape(*lead, 2, 2, h, w)
    return array_module(sites).moveaxis(cells, (-4, -3), (-3, -1)).reshape(*lead, 2 * h, 2 * w)


def sites_to_pixels(sites: NDArray[Any]) -> NDArray[Any]:
    """Convert (3, 4, h, w) sites to (2h, 2w, 3) pixels of the same type; numpy only, faster than `interleave`."""
    colours, _, h, w = sites.shape
    pixels = np.empty((2 * h, 2 * w, colours), sites.dtype)
    for site in range(4):
        for colour in range(colours):
            pixels[site // 2 :: 2, site % 2 :: 2, colour] = sites[colour, site]
    return pixels


def pad_edge(planes: Any) -> Any:
    """Pad (..., 4, h, w) to (..., 4, h+2, w+2) by repeating the outermost cells; numpy or torch.

    For bilinear interpolation this equals reflecting the mosaic about its outermost pixels.
    """
    join = array_module(planes).concatenate
    rows = join([planes[..., :1, :], planes, planes[..., -1:, :]], axis=-2)
    return join([rows[..., :1], rows, rows[..., -1:]], axis=-1)
