"""Generate starry skies, and lamps and small lights in dark scenes, which are rare in training photographs.

A network that was never trained on stars removes faint ones as noise. We measured a real static sky (32 frames, gain
2e-4): the number of stars with a peak above S falls as S^-0.75 up to 300 noise standard deviations, the full width at
half maximum is 1.6 to 3.6 px, there are 42 stars per megapixel above 3 standard deviations, and the sky level is 0.002
to 0.012 of white. The ranges around these values, and all of lamps and small lights, are our choice.

Signals, LEDs and neon signs are nearly of one colour, so that a small one is bright in few pixels, as a hot pixel is. A
network that sees hot pixels and no such lights removes them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import CFAPattern, DoubleArray, FloatArray
from rawkd.training.data.clean_crops import Crop, metadata_of
from rawkd.training.data.synthesize import Camera
from rawkd.training.data.unprocess import random_look

RGGB = CFAPattern.RGGB
FAINTEST, BRIGHTEST = 3.0, 300.0
"""Range of the peaks of stars, in standard deviations of the sky's noise."""
SLOPE = 0.75
"""The number of stars with a peak above S is proportional to S^-SLOPE."""
NARROWEST_PX, WIDEST_PX = 1.6, 3.6
"""Range of the full width at half maximum, mosaic pixels."""
MOST_ELONGATED = 1.25
FEWEST_PER_MP, MOST_PER_MP = 20.0, 400.0
DARKEST_SKY, BRIGHTEST_SKY = 0.0008, 0.03
TINT = 0.2
"""Standard deviation, in log, of a star's colour relative to neutral."""
COLOURED, COLOURED_SMALL = 0.3, 0.5
"""Fractions with a saturated colour: of stars and lamps, and of small lights."""
LEAST_OF_OTHERS, MOST_OF_OTHERS = 0.03, 0.6
"""Range of what the other two colours have of the strongest one in a saturated colour; camera values."""
FEWEST_LIGHTS, MOST_LIGHTS = 1, 16
"""Range of the number of small lights in a crop with lamps; log-uniform."""
FAR = 4.0
"""Standard deviations of a star's profile beyond which it is cut off."""
PIXELS_OF_A_MEGAPIXEL = 1e6


def sky_crop(side_px: int, rng: np.random.Generator, cell: CFAPattern = RGGB) -> Crop:
    """Return a sky without stars, (planes, side, side) signal: a level, a slope, and faint clouds."""
    look = random_look(rng)
    level = math.exp(rng.uniform(math.log(DARKEST_SKY), math.log(BRIGHTEST_SKY)))
    y, x = np.mgrid[0:side_px, 0:side_px] / side_px - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    shape = 1 + rng.uniform(0, 0.4) * (x * np.cos(angle) + y * np.sin(angle))
    shape += rng.uniform(0, 0.1) * _clouds(side_px, rng)
    colour = np.exp(rng.normal(0, 0.15, 3)) / look.gains
    planes = level * shape * colour[_colours(cell), None, None]
    return Crop(np.clip(planes, 0, 1).astype(np.float32), metadata_of(look, cell))


def with_stars(crop: Crop, camera: Camera, rng: np.random.Generator, cell: CFAPattern = RGGB) -> Crop:
    """Return the crop with stars whose peaks are multiples of the camera's noise at the mean level of the crop.

    There is at least one star. Some lie slightly outside the crop, so that only their wings are visible.
    """
    planes = crop.planes.copy()
    height, width = planes.shape[1:]
    megapixels = cell.side**2 * height * width / PIXELS_OF_A_MEGAPIXEL
    density = math.exp(rng.uniform(math.log(FEWEST_PER_MP), math.log(MOST_PER_MP)))
    deviation = _deviation(planes, camera, cell)
    seeing = rng.uniform(NARROWEST_PX, WIDEST_PX)
    for peak in _peaks(1 + int(rng.poisson(density * megapixels)), rng):
        _add_star(planes, peak * deviation * _colour(crop, rng, cell), seeing * rng.uniform(0.9, 1.1), rng, cell)
    return Crop(np.minimum(planes, 1, out=planes), crop.metadata)


def with_lamps(crop: Crop, camera: Camera, rng: np.random.Generator, cell: CFAPattern = RGGB) -> Crop:
    """Return the crop darkened, with one to three bright (mostly clipped) discs with soft edges, and small lights.

    The peaks of small lights are multiples of the camera's noise at the mean level of the darkened crop.
    """
    height, width = crop.planes.shape[1:]
    planes = crop.planes * np.float32(math.exp(rng.uniform(math.log(0.01), math.log(0.3))))
    side, colours = cell.side, _colours(cell)
    deviation = _deviation(planes, camera, cell)
    for _ in range(round(math.exp(rng.uniform(math.log(FEWEST_LIGHTS), math.log(MOST_LIGHTS))))):
        peak = math.exp(rng.uniform(math.log(FAINTEST), math.log(BRIGHTEST)))
        colour = _colour(crop, rng, cell, saturated=COLOURED_SMALL)
        _add_star(planes, peak * deviation * colour, rng.uniform(NARROWEST_PX, WIDEST_PX), rng, cell)
    for _ in range(int(rng.integers(1, 4))):
        y, x = rng.uniform(-4, side * height + 4), rng.uniform(-4, side * width + 4)
        radius, edge = math.exp(rng.uniform(math.log(1.5), math.log(30))), rng.uniform(0.5, 1.5)
        glow = rng.choice((0.0, 1.0)) * rng.uniform(0, 0.02)
        brightness = math.exp(rng.uniform(math.log(0.5), math.log(20))) * _colour(crop, rng, cell)
        for plane in range(len(planes)):
            row, column = divmod(plane, side)
            distance = np.hypot(
                (np.arange(height) * side + row - y)[:, None], (np.arange(width) * side + column - x)[None, :]
            )
            disc = 0.5 - 0.5 * np.tanh((distance - radius) / edge)
            halo = glow / (1 + (np.maximum(distance - radius, 0) / radius) ** 2)
            planes[plane] += (brightness[colours[plane]] * np.maximum(disc, halo)).astype(np.float32)
    return Crop(np.minimum(planes, 1, out=planes), crop.metadata)


def _colour(crop: Crop, rng: np.random.Generator, cell: CFAPattern, saturated: float = COLOURED) -> DoubleArray:
    """Return (3,) camera values R, G, B of a light: nearly neutral with green 1, or saturated with the strongest 1."""
    if rng.random() >= saturated or cell.kind == "mono":
        tinted = np.exp(rng.normal(0, TINT, 3)) / np.asarray(crop.metadata.gains, np.float64)
        return np.asarray(tinted / tinted[1])
    colour: DoubleArray = np.exp(rng.uniform(math.log(LEAST_OF_OTHERS), math.log(MOST_OF_OTHERS), 3))
    colour[rng.integers(3)] = 1
    return colour


def _deviation(planes: FloatArray, camera: Camera, cell: CFAPattern) -> float:
    """Return the standard deviation of the camera's noise at the mean of green of (planes, h, w) signal."""
    return math.sqrt(camera.gain * float(planes[_colours(cell) == 1].mean()) + camera.total_read_variance)


def _peaks(count: int, rng: np.random.Generator) -> DoubleArray:
    """Return (count,) random peaks in noise standard deviations, from a power law truncated at both ends."""
    low, high = FAINTEST**-SLOPE, BRIGHTEST**-SLOPE
    peaks: DoubleArray = (low - rng.random(count) * (low - high)) ** (-1 / SLOPE)
    return peaks


def _add_star(
    planes: FloatArray, peaks: DoubleArray, fwhm_px: float, rng: np.random.Generator, cell: CFAPattern = RGGB
) -> None:
    """Add an elongated Gaussian with (3,) peaks R, G, B at a random position of the mosaic; changes `planes`."""
    height, width = planes.shape[1:]
    side, colours = cell.side, _colours(cell)
    y, x = rng.uniform(-2, side * height + 2), rng.uniform(-2, side * width + 2)
    sigma = fwhm_px / math.sqrt(8 * math.log(2))
    stretch, angle = math.sqrt(rng.uniform(1, MOST_ELONGATED)), rng.uniform(0, np.pi)
    reach = FAR * sigma * stretch
    rows = slice(max(int((y - reach) // side), 0), max(int((y + reach) // side) + 1, 0))
    columns = slice(max(int((x - reach) // side), 0), max(int((x + reach) // side) + 1, 0))
    sine, cosine = math.sin(angle), math.cos(angle)
    for plane in range(len(planes)):
        row, column = divmod(plane, side)
        window = planes[plane, rows, columns]
        dy = ((np.arange(rows.start, rows.start + window.shape[0]) * side + row - y) / sigma)[:, None]
        dx = ((np.arange(columns.start, columns.start + window.shape[1]) * side + column - x) / sigma)[None, :]
        along, across = (dx * cosine + dy * sine) / stretch, (dy * cosine - dx * sine) * stretch
        window += (peaks[colours[plane]] * np.exp(-(along**2 + across**2) / 2)).astype(np.float32)


def _colours(cell: CFAPattern) -> NDArray[np.intp]:
    """Return the index of each plane's colour among R, G, B; a monochrome pixel counts as green."""
    return cell.colour_of_class[cell.class_of_site.ravel()]


def _clouds(side_px: int, rng: np.random.Generator) -> DoubleArray:
    """Return smooth (side, side) noise with a standard deviation of about 1: interpolated coarse noise."""
    from scipy.ndimage import zoom

    coarse = rng.standard_normal((4, 4))
    field: DoubleArray = zoom(coarse, side_px / 4, order=3, mode="nearest", grid_mode=True)[:side_px, :side_px]
    return field
