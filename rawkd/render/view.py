"""Render a photo for viewing: white balance, demosaic, camera to sRGB, tone, orientation.

Our choice: exposure, an sRGB curve mixed with smoothstep, and highlights that turn white, never magenta (see
`_Development`). With ``viewing=False`` it follows `rawkd.render.isp`, the minimal ISP of losses and metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rawkd.cores import available_cores
from rawkd.errors import InputError, UsageError
from rawkd.photo import DoubleArray, FloatArray, Mosaic, RawPhoto, Rect
from rawkd.render.color import ProcessMetadata, color_correct, gamma, viewing_curve, white_balance
from rawkd.render.demosaic import HALO_CELLS, METHODS, SITES, Method, sites_to_pixels
from rawkd.render.gain_map import gains_in
from rawkd.sensor.cfa import Unification, pack

BLOWN_FROM = 0.95
"""Fraction of saturation from which a pixel counts as partly blown; at 1 it counts fully (our choice)."""

_CURVE_STEPS = 65535
_BLOCK_PX = 128, 512


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
    development = _Development.of(photo, exposure_ev, viewing, kind)

    def develop(block: Rect) -> None:
        planes, gains, inner = _planes(photo, mosaic, block, HALO_CELLS[demosaic])
        pixels = sites_to_pixels(development.encode(SITES[demosaic](development.balance(planes, gains))))
        inside = Rect(block.top - rect.top, block.left - rect.left, block.height, block.width)
        as_sensor[inside.slices] = pixels[inner.slices]

    with ThreadPoolExecutor(threads or available_cores()) as pool:
        for _ in pool.map(develop, _blocks(rect)):
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
    development = _Development.of(photo, 0.0, True, np.dtype(np.uint8))
    n = max(crop.height, crop.width) // (2 * (max_px + 1)) + 1
    height, width = max(1, crop.height // (2 * n)), max(1, crop.width // (2 * n))
    upright = np.empty((height, width, 3), np.uint8)
    step = max(1, 64 // n)
    for top in range(0, height, step):
        rows = min(step, height - top)
        strip = Rect(crop.top + 2 * n * top, crop.left, min(2 * n * rows, crop.height), min(2 * n * width, crop.width))
        planes, gains, _ = _planes(photo, mosaic, strip, 0)
        planes = development.balance(planes, gains)[:, : n * rows, : n * width]
        cells = np.zeros((4, rows, width), np.float32)
        for row, column in np.ndindex(n, n):
            cells += planes[:, row::n, column::n]
        cells *= np.float32(1 / n**2)
        rgb = np.stack([cells[0], (cells[1] + cells[2]) * np.float32(0.5), cells[3]])
        upright[top : top + rows] = np.moveaxis(development.encode(rgb), 0, -1)
    return np.ascontiguousarray(orient(upright, photo.orientation))


@dataclass(frozen=True, eq=False)
class _Development:
    """Converts white-balanced planes to encoded pixels.

    In viewing mode, signal 1 is the lowest saturation of all planes and the smallest gain is 1. Every channel of a
    neutral blown area therefore reaches 1. A blown pixel gives only a lower limit of the light, so it is raised to the
    brightest white-balanced pixel of its cell; grey stays grey however much of it clips. Colours beyond 1 after the
    matrix keep their hue: the largest component becomes 1, the smallest stays, and the middle one keeps its relative
    position. `saturation` is that of the four planes; `curve` is None in metrics mode.
    """

    metadata: ProcessMetadata
    saturation: DoubleArray
    curve: NDArray[Any] | None
    kind: np.dtype[Any]

    @classmethod
    def of(cls, photo: RawPhoto, exposure_ev: float, viewing: bool, kind: np.dtype[Any]) -> _Development:
        """Return the conversion for a photo; `kind` is the type of the pixels."""
        metadata = ProcessMetadata.of(photo.color)
        if not viewing:
            return cls(metadata, np.ones(4), None, kind)
        exposure = 2.0 ** (exposure_ev + photo.color.baseline_exposure)
        metadata = ProcessMetadata(metadata.gains / metadata.gains.min(), metadata.rgb_from_camera * exposure)
        curve = _quantised(viewing_curve(np.linspace(0.0, 1.0, _CURVE_STEPS + 1)), kind)
        return cls(metadata, photo.levels.plane_saturation(photo.pattern), curve, kind)

    def balance(self, planes: FloatArray, gains: FloatArray | None = None) -> FloatArray:
        """White-balance (4, h, w) signal and reconstruct highlights (metrics mode: clip to 0..1 instead).

        `gains` are the gain maps, in the same shape; they apply in viewing mode only. Blown pixels are found in the
        signal before these gains, since the sensor clips before them.
        """
        balanced: FloatArray = white_balance(planes, self.metadata.gains / self.saturation.min())
        if self.curve is None:
            return np.clip(balanced, 0.0, 1.0, out=balanced)
        if gains is not None:
            balanced *= gains
        if planes.max(initial=0.0) > BLOWN_FROM * self.saturation.min():
            steepness = 1 / (self.saturation * (1 - BLOWN_FROM))
            share = planes * steepness.astype(np.float32)[:, None, None] - np.float32(1 / (1 / BLOWN_FROM - 1))
            np.clip(share, 0.0, 1.0, out=share)
            balanced += share * (balanced.max(axis=0) - balanced)
        return balanced

    def encode(self, rgb: FloatArray) -> NDArray[Any]:
        """Convert (3, ..., w) white-balanced camera colour to encoded values of type `kind`, same shape."""
        linear: FloatArray = color_correct(rgb.reshape(3, 1, -1), self.metadata.rgb_from_camera).reshape(rgb.shape)
        if self.curve is None:
            return _quantised(gamma(linear), self.kind)
        peak = linear.max(axis=0)
        bright = peak > 1
        if bright.any():
            low = np.clip(linear.min(axis=0), 0.0, 1.0)
            compressed = linear - low
            compressed *= (1 - low) / (np.maximum(peak, 1 + 1e-6) - low)
            np.copyto(linear, np.add(compressed, low, out=compressed), where=bright)
        linear *= np.float32(_CURVE_STEPS)
        linear += np.float32(0.5)
        np.clip(linear, 0.0, _CURVE_STEPS, out=linear)
        encoded: NDArray[Any] = self.curve.take(linear.astype(np.intp), mode="clip")
        return encoded


def _quantised(encoded: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    """Convert encoded 0..1 to float32, or round it to the range of an integer type."""
    if kind == np.float32:
        return encoded.astype(np.float32)
    rounded: NDArray[Any] = np.rint(encoded * np.iinfo(kind).max).astype(kind)
    return rounded


def _blocks(rect: Rect) -> Iterator[Rect]:
    """Split the rectangle into blocks that fit into a core's cache."""
    for top in range(rect.top, rect.top + rect.height, _BLOCK_PX[0]):
        for left in range(rect.left, rect.left + rect.width, _BLOCK_PX[1]):
            height = min(_BLOCK_PX[0], rect.top + rect.height - top)
            yield Rect(top, left, height, min(_BLOCK_PX[1], rect.left + rect.width - left))


def _planes(
    photo: RawPhoto, mosaic: Mosaic | None, rect: Rect, halo_cells: int
) -> tuple[FloatArray, FloatArray | None, Rect]:
    """Return RGGB planes that cover `rect` of the active area and a halo; borders are reflected.

    Returns
    -------
    (4, h + 2*halo, w + 2*halo) signal; gain maps of the same shape, or None; the position of `rect` in the (2h, 2w)
    pixels of the inner cells.
    """
    shape = (photo.active_area.height, photo.active_area.width)
    if mosaic is not None and (mosaic.data.shape != shape or mosaic.pattern != photo.pattern):
        raise InputError(
            f"the mosaic {mosaic.data.shape} {mosaic.pattern} does not match the photo's {shape} {photo.pattern}"
        )
    shift = Unification.of(shape, photo.pattern)
    spans = [
        _span(rect.top, rect.height, shift.top, 2 * halo_cells, shape[0]),
        _span(rect.left, rect.width, shift.left, 2 * halo_cells, shape[1]),
    ]
    (rows, row_pad, top), (columns, column_pad, left) = spans
    if mosaic is None:
        signal = photo.levels.to_signal(photo.frame[photo.active_area.slices][rows, columns], rows.start, columns.start)
    else:
        signal = mosaic.data[rows, columns]
    if any(row_pad + column_pad):
        signal = np.pad(signal, (row_pad, column_pad), mode="reflect")
    gains = gains_in(photo, rows, columns)
    if gains is not None:
        gains = pack(np.pad(gains, (row_pad, column_pad), mode="reflect"))
    return pack(signal), gains, Rect(top, left, rect.height, rect.width)


def _span(start: int, length: int, shift: int, halo: int, size: int) -> tuple[slice, tuple[int, int], int]:
    """Return, along one axis: the pixels to cut, how many to reflect on each side, and where `start` lies inside."""
    first = start - (start + shift) % 2
    last = start + length
    last += (last + shift) % 2
    low, high = max(first - halo, 0), min(last + halo, size)
    return slice(low, high), (low - (first - halo), last + halo - high), start - first
