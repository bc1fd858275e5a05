"""Demosaic a photo to a linear picture: camera colour without white balance, for a linear DNG."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from rawkd.cores import available_cores
from rawkd.photo import DoubleArray, FloatArray, LinearPicture, Mosaic, RawPhoto, Rect
from rawkd.render.blocks import blocks_of, planes_in
from rawkd.render.color import ProcessMetadata, white_balance
from rawkd.render.demosaic import HALO_CELLS, SITES, Method, bilinear_sites, sites_to_pixels

BITS = 14
"""Bits of the smallest range of values, so that means of pixels are not rounded to coarse steps. More bits would store
noise of the rounding (our choice)."""
FULLY_BLOWN = 0.999
"""Part of its saturation from which a pixel is blown: it leaves room for rounding (our choice)."""


def linear_picture(
    photo: RawPhoto, *, mosaic: Mosaic | None = None, demosaic: Method = "malvar", threads: int | None = None
) -> LinearPicture:
    """Demosaic the active area of a photo of a Bayer sensor.

    Interpolation works on white-balanced signal, since it assumes that colours rise and fall together; the balance is
    then undone. Gain maps that the file applies to the mosaic are applied. A colour whose measured neighbours are all
    blown is blown too, so that a raw editor finds highlights clipped where they are. Signal below 0 becomes 0.

    Parameters
    ----------
    mosaic : (H, W) signal of the active area to use instead of the photo's rounded integers.
    demosaic : "bilinear", "malvar" or "menon".
    threads : number of threads; None is one for each core that the process may use.
    """
    area = Rect(0, 0, photo.active_area.height, photo.active_area.width)
    data = np.empty((area.height, area.width, 3), np.uint16)
    white_dn = white_of(photo)
    gains = ProcessMetadata.of(photo.color).gains
    saturation = photo.levels.plane_saturation(photo.pattern)
    maps = tuple(one for one in photo.gain_maps if not one.after_demosaic)

    def develop(block: Rect) -> None:
        planes, shading, inner = planes_in(photo, mosaic, block, HALO_CELLS[demosaic], maps)
        balanced: FloatArray = white_balance(planes, gains)
        if shading is not None:
            balanced *= shading
        sites = SITES[demosaic](balanced)
        sites *= (white_dn / gains).astype(np.float32)[:, None, None, None]
        _keep_blown(sites, planes, saturation, white_dn, HALO_CELLS[demosaic])
        pixels = np.clip(np.rint(sites, out=sites), 0, white_dn, out=sites).astype(np.uint16)
        data[block.slices] = sites_to_pixels(pixels)[inner.slices]

    with ThreadPoolExecutor(threads or available_cores()) as pool:
        for _ in pool.map(develop, blocks_of(area)):
            pass
    return LinearPicture(data, white_dn)


def white_of(photo: RawPhoto) -> int:
    """Return the value of signal 1: the range of the photo's integers, doubled until it has `BITS` bits."""
    white_dn = round(photo.levels.range_dn)
    while white_dn < 1 << (BITS - 1):
        white_dn *= 2
    return white_dn


def _keep_blown(sites: FloatArray, planes: FloatArray, saturation: DoubleArray, white_dn: int, halo_cells: int) -> None:
    """Raise colours whose measured neighbours are all blown to the saturation of their colour, in place.

    Parameters
    ----------
    sites : (3, 4, h, w) interpolated values in units of the picture. planes : (4, h + 2 halo, w + 2 halo) signal.
    """
    blown = planes >= (FULLY_BLOWN * saturation).astype(np.float32)[:, None, None]
    if not blown.any():
        return
    cut = slice(halo_cells - 1, 1 - halo_cells or None)
    around = bilinear_sites(blown[:, cut, cut].astype(np.float32)) == 1
    of_colour = np.array([saturation[0], min(saturation[1], saturation[2]), saturation[3]]) * white_dn
    np.maximum(sites, of_colour.astype(np.float32)[:, None, None, None], out=sites, where=around)
