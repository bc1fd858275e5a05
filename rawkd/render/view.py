"""Render a photo for viewing: white balance, demosaic, camera to sRGB, tone, orientation.

Our choice: exposure, an sRGB curve mixed with smoothstep, and highlights that turn white, never magenta (see
`Development`). Losses and scores use `rawkd.render.isp` instead.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rawkd.cores import available_cores
from rawkd.errors import UsageError
from rawkd.photo import Mosaic, RawPhoto, Rect
from rawkd.photo.orientation import turned_back
from rawkd.render.blocks import blocks_of, planes_in
from rawkd.render.demosaic import HALO_CELLS, METHODS, PASSES, SITES, Method, method_for, sites_to_pixels
from rawkd.render.development import Development
from rawkd.render.xtrans import Markesteijn, demosaic_xtrans
from rawkd.sensor.cfa import unpack

MOST_STOPS = 10
"""Largest change of exposure, either way (our choice)."""


def render(
    photo: RawPhoto,
    *,
    mosaic: Mosaic | None = None,
    demosaic: Method | None = None,
    exposure_ev: float = 0.0,
    rect: Rect | None = None,
    dtype: DTypeLike = np.float32,
    markesteijn: Markesteijn | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Render the photo as an upright sRGB picture; grey for a monochrome sensor.

    Every pixel of the sensor becomes one pixel; if they are not square, `stretched` has to follow. It works block by
    block: besides the result it needs 30 MiB per thread, and for X-Trans 6 bytes per pixel.

    Parameters
    ----------
    mosaic : (H, W) signal of the active area to render instead of the photo's rounded integers.
    demosaic : one of `METHODS`; None, or one for another sensor, is the sensor's default (`method_for`).
    exposure_ev : stops added to the photo's baseline exposure, -10 to 10.
    rect : part to render, in pixels of the active area in sensor orientation; None is what is shown.
    dtype : float32 in 0..1, or uint8 or uint16, rounded, over their full range.
    markesteijn : demosaics X-Trans mosaics; other sensors do not need it.
    threads : number of threads; None is one for each core that the process may use.

    Returns
    -------
    (height, width, 3), or (height, width) of a monochrome sensor, turned upright by the photo's orientation.

    Raises
    ------
    UsageError: for X-Trans without `markesteijn`, an unknown method or type, another exposure, or a rectangle beyond
        the active area.
    """
    rect = rect or photo.shown
    kind = np.dtype(dtype)
    if demosaic not in (None, *METHODS) or kind not in (np.float32, np.uint8, np.uint16):
        raise UsageError(f"demosaicing {demosaic!r} to {kind} is not supported. Give one of {', '.join(METHODS)}.")
    if not abs(exposure_ev) <= MOST_STOPS:
        raise UsageError(f"exposure {exposure_ev:g}: give a number between {-MOST_STOPS} and {MOST_STOPS}.")
    area = photo.active_area
    if not rect.inside(area.height, area.width):
        raise UsageError(f"{rect} extends beyond the active area of {area.width} x {area.height} pixels")
    cell, threads = photo.pattern.kind, threads or available_cores()
    method, _ = method_for(cell, demosaic)
    size = (rect.height, rect.width) if photo.orientation < 5 else (rect.width, rect.height)
    upright = np.empty(size if cell == "mono" else (*size, 3), kind)
    as_sensor = turned_back(upright, photo.orientation)
    development = Development.of(photo, exposure_ev, kind)
    if cell == "xtrans":
        colours = demosaic_xtrans(
            photo, mosaic, rect, development.balance, markesteijn, PASSES[method], threads=threads
        )
        with ThreadPoolExecutor(threads) as pool:
            for rows, encoded in pool.map(lambda strip: (strip[0], development.encode(strip[1])), colours.strips()):
                as_sensor[rows] = np.moveaxis(encoded, 0, -1)
        return upright

    def develop(block: Rect) -> None:
        planes, gains, inner = planes_in(photo, mosaic, block, 0 if cell == "mono" else HALO_CELLS[method])
        balanced = development.balance(planes, gains)
        if cell == "mono":
            pixels = development.encode_grey(unpack(balanced))
        else:
            pixels = sites_to_pixels(development.encode(SITES[method](balanced)))
        inside = Rect(block.top - rect.top, block.left - rect.left, block.height, block.width)
        as_sensor[inside.slices] = pixels[inner.slices]

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(develop, blocks_of(rect)):
            pass
    return upright
