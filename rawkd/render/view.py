"""Render a photo for viewing: white balance, demosaic, camera to sRGB, tone, orientation.

Our choice: exposure, an sRGB curve mixed with smoothstep, and highlights that turn white, never magenta (see
`Development`). With ``viewing=False`` it follows `rawkd.render.isp`, the minimal ISP of losses and metrics.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rawkd.cores import available_cores
from rawkd.errors import InputError, UsageError
from rawkd.photo import Mosaic, RawPhoto, Rect
from rawkd.render.blocks import blocks_of, planes_in
from rawkd.render.demosaic import HALO_CELLS, METHODS, SITES, Method, sites_to_pixels
from rawkd.render.development import Development


def orient(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return an upright view of (H, W, ...) in sensor orientation, for EXIF orientation 1..8 (tag 274)."""
    if orientation not in range(1, 9):
        raise InputError(f"the orientation {orientation} is not in the range 1 to 8")
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return image[::rows, ::columns]


def render(
    photo: RawPhoto,
    *,
    mosaic: Mosaic | None = None,
    demosaic: Method = "malvar",
    exposure_ev: float = 0.0,
    viewing: bool = True,
    rect: Rect | None = None,
    dtype: DTypeLike = np.float32,
    threads: int | None = None,
) -> NDArray[Any]:
    """Render the photo as an upright sRGB picture, block by block: besides the result it needs 20 MiB per thread.

    Parameters
    ----------
    mosaic : (H, W) signal of the active area to render instead of the photo's rounded integers.
    demosaic : "bilinear", "malvar" or "menon".
    exposure_ev : stops added to the photo's baseline exposure; viewing mode only.
    viewing : True for the viewing tone; False for metrics mode with the given demosaicing.
    rect : part to render, in pixels of the active area in sensor orientation; None is the default crop.
    dtype : float32 in 0..1, or uint8 or uint16, rounded, over their full range.
    threads : number of threads; None is one for each core that the process may use.

    Returns
    -------
    (height, width, 3), turned upright by the photo's orientation.

    Raises
    ------
    UsageError: for an unknown method or type, exposure in metrics mode, or a rectangle beyond the active area.
    """
    photo.pattern.require_bayer("rendering")
    rect = rect or photo.default_crop
    kind = np.dtype(dtype)
    if demosaic not in SITES or kind not in (np.float32, np.uint8, np.uint16):
        raise UsageError(f"demosaicing {demosaic!r} to {kind} is not supported. Give one of {', '.join(METHODS)}.")
    if exposure_ev and not viewing:
        raise UsageError("exposure works in viewing mode only: leave it out in metrics mode.")
    area = photo.active_area
    if not rect.inside(area.height, area.width):
        raise UsageError(f"{rect} extends beyond the active area of {area.width} x {area.height} pixels")
    size = (rect.height, rect.width) if photo.orientation < 5 else (rect.width, rect.height)
    upright = np.empty((*size, 3), kind)
    # Every orientation is its own inverse, except for the two quarter turns.
    as_sensor = orient(upright, {6: 8, 8: 6}.get(photo.orientation, photo.orientation))
    development = Development.of(photo, exposure_ev, viewing, kind)

    def develop(block: Rect) -> None:
        planes, gains, inner = planes_in(photo, mosaic, block, HALO_CELLS[demosaic])
        pixels = sites_to_pixels(development.encode(SITES[demosaic](development.balance(planes, gains))))
        inside = Rect(block.top - rect.top, block.left - rect.left, block.height, block.width)
        as_sensor[inside.slices] = pixels[inner.slices]

    with ThreadPoolExecutor(threads or available_cores()) as pool:
        for _ in pool.map(develop, blocks_of(rect)):
            pass
    return upright


def render_preview(photo: RawPhoto, max_px: int = 2048, *, mosaic: Mosaic | None = None) -> NDArray[np.uint8]:
    """Render a small upright picture of the default crop in viewing mode, binned instead of demosaiced.

    Returns
    -------
    (height, width, 3) uint8, the longer side at most `max_px` (>= 1). Each pixel is the mean of n x n cells of the
    mosaic, with the smallest n that fits. Cells at the end that do not fill a pixel are left out.
    """
    if max_px < 1:
        raise UsageError(f"preview size {max_px}: give 1 pixel or more.")
    photo.pattern.require_bayer("rendering")
    crop = photo.default_crop
    development = Development.of(photo, 0.0, True, np.dtype(np.uint8))
    n = max(crop.height, crop.width) // (2 * (max_px + 1)) + 1
    height, width = max(1, crop.height // (2 * n)), max(1, crop.width // (2 * n))
    upright = np.empty((height, width, 3), np.uint8)
    step = max(1, 64 // n)
    for top in range(0, height, step):
        rows = min(step, height - top)
        strip = Rect(crop.top + 2 * n * top, crop.left, min(2 * n * rows, crop.height), min(2 * n * width, crop.width))
        planes, gains, _ = planes_in(photo, mosaic, strip, 0)
        planes = development.balance(planes, gains)[:, : n * rows, : n * width]
        cells = np.zeros((4, rows, width), np.float32)
        for row, column in np.ndindex(n, n):
            cells += planes[:, row::n, column::n]
        cells *= np.float32(1 / n**2)
        rgb = np.stack([cells[0], (cells[1] + cells[2]) * np.float32(0.5), cells[3]])
        upright[top : top + rows] = np.moveaxis(development.encode(rgb), 0, -1)
    return np.ascontiguousarray(orient(upright, photo.orientation))
