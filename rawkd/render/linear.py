"""Demosaic a photo to a linear picture: camera colour without white balance, for a linear DNG."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawkd.cores import available_cores
from rawkd.errors import InputError
from rawkd.photo import DoubleArray, FloatArray, FrameArray, GainMap, LinearPicture, Mosaic, RawPhoto, Rect
from rawkd.render.blocks import blocks_of, planes_in
from rawkd.render.color import ProcessMetadata
from rawkd.render.demosaic import HALO_CELLS, PASSES, SITES, Method, bilinear_sites, method_for, sites_to_pixels
from rawkd.render.xtrans import Markesteijn, demosaic_xtrans

BITS = 14
"""Bits of the smallest range of values, so that means of pixels are not rounded to coarse steps. More bits would store
noise of the rounding (our choice)."""
FULLY_BLOWN = 0.999
"""Part of its saturation from which a pixel is blown: it leaves room for rounding (our choice)."""
AROUND_PX = 2
"""Every square of X-Trans with so many pixels on each side of its centre holds all colours."""


def linear_picture(
    photo: RawPhoto,
    *,
    mosaic: Mosaic | None = None,
    demosaic: Method | None = None,
    markesteijn: Markesteijn | None = None,
    threads: int | None = None,
) -> LinearPicture:
    """Demosaic the active area of a photo of a Bayer or X-Trans sensor.

    Interpolation works on white-balanced signal, since it assumes that colours rise and fall together; the balance is
    then undone. Gain maps that the file applies to the mosaic are applied. A colour whose measured neighbours are all
    blown is blown too, so that a raw editor finds highlights clipped where they are. Signal below 0 becomes 0.

    Parameters
    ----------
    mosaic : (H, W) signal of the active area to use instead of the photo's rounded integers.
    demosaic : one of `METHODS`; None, or one for another sensor, is the sensor's default (`method_for`).
    markesteijn : demosaics X-Trans mosaics; Bayer does not need it.
    threads : number of threads; None is one for each core that the process may use.

    Raises
    ------
    UsageError: for X-Trans without `markesteijn`. InputError: for a monochrome photo, which has one colour.
    """
    if photo.pattern.kind == "mono":
        raise InputError("a monochrome photo has no colours to interpolate: its DNG is linear already.")
    method, _ = method_for(photo.pattern.kind, demosaic)
    threads = threads or available_cores()
    scales = _Scales.of(photo)
    if photo.pattern.kind == "xtrans":
        data = _of_xtrans(photo, mosaic, scales, markesteijn, PASSES[method], threads)
    else:
        data = _of_bayer(photo, mosaic, scales, method, threads)
    return LinearPicture(data, scales.white_dn)


@dataclass(frozen=True, eq=False)
class _Scales:
    """How signal becomes white-balanced planes, and colours become integers.

    Attributes
    ----------
    white_dn : value of signal 1. balance : (planes,) gains of the sites of the canonical cell.
    steps : (3,) integer steps of white-balanced 1. blown_dn : (3,) integers at which R, G, B clip.
    maps : gain maps to apply.
    """

    white_dn: int
    balance: FloatArray
    steps: FloatArray
    blown_dn: FloatArray
    maps: tuple[GainMap, ...]

    @classmethod
    def of(cls, photo: RawPhoto) -> _Scales:
        cell = photo.pattern.canonical
        white_dn, gains = white_of(photo), ProcessMetadata.of(photo.color).gains
        clips = photo.levels.plane_saturation(photo.pattern)
        blown = [clips[cell.colour_of_class == colour].min() for colour in range(3)]
        return cls(
            white_dn,
            gains[cell.colour_of_class[cell.class_of_site].ravel()].astype(np.float32),
            (white_dn / gains).astype(np.float32),
            (white_dn * np.array(blown)).astype(np.float32),
            tuple(one for one in photo.gain_maps if not one.after_demosaic),
        )

    def balanced(self, planes: FloatArray, shading: FloatArray | None) -> FloatArray:
        """White-balance planes of signal and apply gain maps."""
        out: FloatArray = planes * self.balance[:, None, None]
        if shading is not None:
            out *= shading
        return out

    def integers(self, colours: FloatArray) -> FrameArray:
        """Round and clip values in integer steps, in place."""
        return np.clip(np.rint(colours, out=colours), 0, self.white_dn, out=colours).astype(np.uint16)


def white_of(photo: RawPhoto) -> int:
    """Return the value of signal 1: the range of the photo's integers, doubled until it has `BITS` bits."""
    white_dn = round(photo.levels.range_dn)
    while white_dn < 1 << (BITS - 1):
        white_dn *= 2
    return white_dn


def _whole(photo: RawPhoto) -> tuple[Rect, FrameArray]:
    area = Rect(0, 0, photo.active_area.height, photo.active_area.width)
    return area, np.empty((area.height, area.width, 3), np.uint16)


def _of_bayer(photo: RawPhoto, mosaic: Mosaic | None, scales: _Scales, demosaic: Method, threads: int) -> FrameArray:
    area, data = _whole(photo)
    halo = HALO_CELLS[demosaic]
    saturation = photo.levels.plane_saturation(photo.pattern)

    def develop(block: Rect) -> None:
        planes, shading, inner = planes_in(photo, mosaic, block, halo, scales.maps)
        sites = SITES[demosaic](scales.balanced(planes, shading))
        sites *= scales.steps[:, None, None, None]
        _keep_blown_sites(sites, planes, saturation, scales, halo)
        data[block.slices] = sites_to_pixels(scales.integers(sites))[inner.slices]

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(develop, blocks_of(area)):
            pass
    return data


def _keep_blown_sites(
    sites: FloatArray, planes: FloatArray, saturation: DoubleArray, scales: _Scales, halo_cells: int
) -> None:
    """Raise colours of Bayer whose measured neighbours are all blown to the saturation of their colour, in place.

    Parameters
    ----------
    sites : (3, 4, h, w) interpolated integers. planes : (4, h + 2 halo, w + 2 halo) signal.
    """
    blown = planes >= (FULLY_BLOWN * saturation).astype(np.float32)[:, None, None]
    if blown.any():
        cut = slice(halo_cells - 1, 1 - halo_cells or None)
        around = bilinear_sites(blown[:, cut, cut].astype(np.float32)) == 1
        np.maximum(sites, scales.blown_dn[:, None, None, None], out=sites, where=around)


def _of_xtrans(
    photo: RawPhoto,
    mosaic: Mosaic | None,
    scales: _Scales,
    markesteijn: Markesteijn | None,
    passes: int,
    threads: int,
) -> FrameArray:
    area, data = _whole(photo)
    demosaiced = demosaic_xtrans(
        photo, mosaic, area, scales.balanced, markesteijn, passes, maps=scales.maps, threads=threads
    )
    signal = photo.mosaic.data if mosaic is None else mosaic.data
    side, clips = photo.pattern.side, photo.levels.plane_saturation(photo.pattern)
    classes = np.tile(photo.pattern.class_of_site, (-(-area.height // side), -(-area.width // side)))
    classes = classes[: area.height, : area.width]
    unblown = signal < (FULLY_BLOWN * clips).astype(np.float32)[classes]
    of_class = photo.pattern.colour_of_class
    measured = () if unblown.all() else tuple(unblown & (of_class[classes] == colour) for colour in range(3))
    for rows, balanced in demosaiced.strips():
        colours = balanced * scales.steps[:, None, None]
        for colour, unblown_of_colour in enumerate(measured):
            around = _none_near(unblown_of_colour, rows)
            np.maximum(colours[colour], scales.blown_dn[colour], out=colours[colour], where=around)
        data[rows] = np.moveaxis(scales.integers(colours), 0, -1)
    return data


def _none_near(marked: NDArray[np.bool_], rows: slice) -> NDArray[np.bool_]:
    """Return where no marked pixel is within `AROUND_PX`, for some rows of (H, W)."""
    top, bottom = max(rows.start - AROUND_PX, 0), min(rows.stop + AROUND_PX, len(marked))
    above, below = AROUND_PX - (rows.start - top), AROUND_PX - (bottom - rows.stop)
    near = np.pad(marked[top:bottom], ((above, below), (AROUND_PX, AROUND_PX)))
    count = rows.stop - rows.start
    near = np.logical_or.reduce([near[step : step + count] for step in range(2 * AROUND_PX + 1)])
    width = marked.shape[1]
    found: NDArray[np.bool_] = np.logical_or.reduce([near[:, step : step + width] for step in range(2 * AROUND_PX + 1)])
    return ~found
