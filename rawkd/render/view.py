"""Render a photo for viewing: white balance, demosaic, camera -> sRGB, tone, orientation.

Our choice: exposure, an sRGB curve with a share of smoothstep, and highlights that go to white, never to magenta (see
`_Development`). `rawkd.render.isp` is the plain ISP of losses and scores; `render` follows it with ``viewing=False``.
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
from rawkd.sensor.bayer import Unification, pack

BLOWN_FROM = 0.95
"""Share of saturation from which a sample counts as blown more and more, wholly so at 1 (our choice)."""

_CURVE_STEPS = 65535
_BLOCK_PX = 128, 512


def orient(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(H, W, ...) as the sensor has it -> a view of it upright, for EXIF orientation 1..8 (tag 274)."""
    if orientation not in range(1, 9):
        raise InputError(f"orientation {orientation} is none of 1 to 8")
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
    """The photo as an upright sRGB picture, block by block: beside the result some 20 MiB a thread, a pixel a sample.

    Parameters
    ----------
    mosaic : (H, W) signal of the active area to show instead of the photo's integers, which spares their rounding.
    demosaic : "bilinear", "malvar" or "menon".
    exposure_ev : stops on top of the photo's baseline exposure; viewing mode only.
    viewing : tone for the eye; otherwise metrics mode, with the given demosaicing.
    rect : what to show, in pixels of the active area as the sensor has them; None is the default crop.
    dtype : float32 in 0..1, or uint8 or uint16, rounded, over their whole range.
    threads : None is one for each core that the process may use.

    Returns
    -------
    (height, width, 3), turned by the photo's orientation.

    Raises
    ------
    UsageError: for an unknown method or type, exposure in metrics mode, or a rectangle that leaves the active area.
    """
    rect = rect or photo.default_crop
    kind = np.dtype(dtype)
    if demosaic not in SITES or kind not in (np.float32, np.uint8, np.uint16):
        raise UsageError(f"demosaicing {demosaic!r} to {kind} is not offered; methods are {', '.join(METHODS)}")
    if exposure_ev and not viewing:
        raise UsageError("an exposure can be given in viewing mode only")
    if not rect.inside(photo.active_area.height, photo.active_area.width):
        raise UsageError(f"{rect} leaves the photo's {photo.active_area.width} x {photo.active_area.height} pixels")
    size = (rect.height, rect.width) if photo.orientation < 5 else (rect.width, rect.height)
    upright = np.empty((*size, 3), kind)
    # An orientation is its own inverse, but for the two quarter turns.
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
    """A small upright picture of the default crop in viewing mode, binned instead of demosaiced.

    Returns
    -------
    (height, width, 3) uint8, the longer side at most `max_px` (>= 1). A pixel is the mean of n x n cells of 2x2
    samples, n the smallest that fits; what does not fill the last pixels is left out.
    """
    if max_px < 1:
        raise UsageError(f"a preview of {max_px} pixels a side")
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
    """How white-balanced planes become encoded pixels.

    In viewing mode signal 1 is the lowest saturation of all planes and the smallest gain is 1, so that every channel of
    a neutral blown area reaches 1. A blown sample says only that the light was at least this much: it is raised to the
    brightest white-balanced sample of its cell, and grey stays grey through every clipping. Colours beyond 1 after the
    matrix keep their hue: their largest component becomes 1, the smallest stays, the middle one keeps its place.
    `saturation` is that of the four planes; without a `curve` it is metrics mode.
    """

    metadata: ProcessMetadata
    saturation: DoubleArray
    curve: NDArray[Any] | None
    kind: np.dtype[Any]

    @classmethod
    def of(cls, photo: RawPhoto, exposure_ev: float, viewing: bool, kind: np.dtype[Any]) -> _Development:
        """For a photo. `kind` is the pixels' type."""
        metadata = ProcessMetadata.of(photo.color)
        if not viewing:
            return cls(metadata, np.ones(4), None, kind)
        exposure = 2.0 ** (exposure_ev + photo.color.baseline_exposure)
        metadata = ProcessMetadata(metadata.gains / metadata.gains.min(), metadata.rgb_from_camera * exposure)
        curve = _quantised(viewing_curve(np.linspace(0.0, 1.0, _CURVE_STEPS + 1)), kind)
        return cls(metadata, photo.levels.plane_saturation(photo.pattern), curve, kind)

    def balance(self, planes: FloatArray, gains: FloatArray | None = None) -> FloatArray:
        """(4, h, w) signal -> white-balanced planes, highlights mended (or clipped to 0..1 in metrics mode).

        `gains` (gain maps, of the same shape) count in viewing mode, after the sensor has clipped.
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
        """(3, ..., w) white-balanced camera colour -> encoded values of the wanted type, same shape."""
        linear: FloatArray = color_correct(rgb.reshape(3, 1, -1), self.metadata.rgb_from_camera).reshape(rgb.shape)
        if self.curve is None:
            return _quantised(gamma(linear), self.kind)
        peak = linear.max(axis=0)
        bright = peak > 1
        if bright.any():
            low = np.clip(linear.min(axis=0), 0.0, 1.0)
            mended = linear - low
            mended *= (1 - low) / (np.maximum(peak, 1 + 1e-6) - low)
            np.copyto(linear, np.add(mended, low, out=mended), where=bright)
        linear *= np.float32(_CURVE_STEPS)
        linear += np.float32(0.5)
        np.clip(linear, 0.0, _CURVE_STEPS, out=linear)
        encoded: NDArray[Any] = self.curve.take(linear.astype(np.intp), mode="clip")
        return encoded


def _quantised(encoded: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    """Encoded 0..1 as float32, or rounded to an integer type's range."""
    if kind == np.float32:
        return encoded.astype(np.float32)
    rounded: NDArray[Any] = np.rint(encoded * np.iinfo(kind).max).astype(kind)
    return rounded


def _blocks(rect: Rect) -> Iterator[Rect]:
    """The rectangle in pieces small enough for a core's cache."""
    for top in range(rect.top, rect.top + rect.height, _BLOCK_PX[0]):
        for left in range(rect.left, rect.left + rect.width, _BLOCK_PX[1]):
            height = min(_BLOCK_PX[0], rect.top + rect.height - top)
            yield Rect(top, left, height, min(_BLOCK_PX[1], rect.left + rect.width - left))


def _planes(
    photo: RawPhoto, mosaic: Mosaic | None, rect: Rect, halo_cells: int
) -> tuple[FloatArray, FloatArray | None, Rect]:
    """RGGB planes that hold `rect` of the active area and a halo, borders reflected.

    Returns
    -------
    (4, h + 2*halo, w + 2*halo) signal; the gains of its samples or None; the place of `rect` in the (2h, 2w) pixels of
    the inner cells.
    """
    shape = (photo.active_area.height, photo.active_area.width)
    if mosaic is not None and (mosaic.data.shape != shape or mosaic.pattern != photo.pattern):
        raise InputError(f"a mosaic of {mosaic.data.shape} {mosaic.pattern} is not of this photo")
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
    """Along one axis: the samples to cut, how many to reflect on either side, and where `start` comes to lie inside."""
    first = start - (start + shift) % 2
    last = start + length
    last += (last + shift) % 2
    low, high = max(first - halo, 0), min(last + halo, size)
    return slice(low, high), (low - (first - halo), last + halo - high), start - first
