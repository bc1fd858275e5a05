"""Night scenes with one true answer: stars, lights, single wrong pixels, walls beside lamps (see `scenes.py`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from trained_network import TrainedNetwork, deviation, floor_of, noisy_mosaics

from rawkd.photo import CFAPattern, DoubleArray, FloatArray, Mosaic
from rawkd.sensor.defect_search import find_defects
from rawkd.sensor.defects import replaced
from rawkd.training.data.synthesize import Camera

SIDE, SKY, WALL = 512, 5e-3, 4e-3
BINS = ((3, 5), (5, 10), (10, 20), (20, 50), (50, 300))
"""Peaks of stars in standard deviations of the sky's noise."""
COLOURS = {"red": (1.0, 0.1, 0.03), "blue": (0.03, 0.2, 1.0), "green": (0.1, 1.0, 0.2), "amber": (1.0, 0.45, 0.03)}
"""Lights of saturated colours: camera values R, G, B, the strongest 1."""
STEP_PX, FAR_PX = 32, 6
STAR_FRAMES, WRONG_FRAMES = 4, 2
FALSE_FRAMES, ALL_FALSE_FRAMES = 8, 38
"""Frames of an empty sky: 2 megapixels by default, 10 with --full."""
RINGS = ((1, 4), (4, 6), (6, 10), (10, 15), (15, 30))
SIGMA_OF_FWHM = 1 / np.sqrt(8 * np.log(2))


def places(rng: np.random.Generator) -> list[tuple[int, int]]:
    """One place in each field of 32 x 32 pixels."""
    fields = range(STEP_PX, SIDE - STEP_PX + 1, STEP_PX)
    return [(row + int(rng.integers(-4, 5)), column + int(rng.integers(-4, 5))) for row in fields for column in fields]


def stars(network: TrainedNetwork, camera: Camera, colour: Sequence[float] = (1, 1, 1)) -> list[float]:
    """The part of their light within 6 px that is left, one a bin; widths (FWHM) of 1.6 to 3.6 px.

    Parameters
    ----------
    colour : camera values R, G, B; peaks are those of the value 1.
    """
    sky, light, left = deviation(camera, SKY), np.zeros(len(BINS)), np.zeros(len(BINS))
    of_site = np.tile(np.asarray(colour)[[[0, 1], [1, 2]]], (SIDE // 2, SIDE // 2))
    y, x = np.mgrid[-FAR_PX - 1 : FAR_PX + 2, -FAR_PX - 1 : FAR_PX + 2]
    for frame in range(STAR_FRAMES):
        rng = np.random.default_rng(7 + frame)
        clean, drawn = np.full((SIDE, SIDE), SKY), []
        for number, (row, column) in enumerate(places(rng)):
            low, high = BINS[number % len(BINS)]
            distance = np.hypot(y - rng.uniform(-0.5, 0.5), x - rng.uniform(-0.5, 0.5))
            sigma = rng.uniform(1.6, 3.6) * SIGMA_OF_FWHM
            peak = np.exp(rng.uniform(np.log(low), np.log(high))) * sky
            box = np.s_[row - FAR_PX - 1 : row + FAR_PX + 2, column - FAR_PX - 1 : column + FAR_PX + 2]
            clean[box] += peak * of_site[box] * np.exp(-((distance / sigma) ** 2) / 2)
            drawn.append((number % len(BINS), box, distance < FAR_PX))
        clean = np.minimum(clean, 1)
        restored = network.restored(noisy_mosaics(clean, camera, frame), camera)
        for number, box, near in drawn:
            light[number] += (clean[box][near] - SKY).sum()
            left[number] += (restored[box][near] - SKY).sum()
    return (left / light).tolist()


def false_points(network: TrainedNetwork, camera: Camera, frames: int) -> int:
    """Pixels of an empty sky that come out more than five raw deviations above it."""
    limit = SKY + 5 * deviation(camera, SKY)
    sky = np.full((SIDE, SIDE), SKY)
    return sum(
        int((network.restored(noisy_mosaics(sky, camera, 100 + frame), camera) > limit).sum())
        for frame in range(frames)
    )


def wrong_pixels(
    network: TrainedNetwork, camera: Camera, kinds: dict[str, tuple[float, float]], *, search: bool
) -> dict[str, str]:
    """The part of single wrong pixels that is left, and the largest mean error of a neighbour within 12 px.

    Parameters
    ----------
    kinds : least and largest distance from the sky by name, standard deviations; one pixel in a field of 32 x 32.
    search : whether defects are searched and replaced before the network, as `rawkd denoise` does.
    """
    noise = camera.noise_model()
    sky = deviation(camera, SKY)
    left: dict[str, list[float]] = {kind: [] for kind in kinds}
    seen: dict[str, list[FloatArray]] = {kind: [] for kind in kinds}
    for frame in range(WRONG_FRAMES):
        noisy = noisy_mosaics(np.full((SIDE, SIDE), SKY), camera, 200 + frame)
        before = network.restored(noisy, camera)
        for kind, (low, high) in kinds.items():
            rng, wrong = np.random.default_rng(frame), noisy.copy()
            chosen = places(rng)
            for row, column in chosen:
                wrong[row, column] = max(SKY + rng.uniform(low, high) * sky, floor_of(camera))
            mosaic = Mosaic(wrong, CFAPattern.RGGB)
            seen_by_network = replaced(mosaic, find_defects(mosaic, noise)).data if search else wrong
            after = network.restored(seen_by_network, camera)
            for row, column in chosen:
                left[kind].append((after[row, column] - SKY) / (wrong[row, column] - SKY))
                window = np.s_[row - 12 : row + 13, column - 12 : column + 13]
                seen[kind].append((after - before)[window] / sky)
    found = {}
    for kind in kinds:
        around = np.mean(seen[kind], axis=0)
        around[12, 12] = 0
        found[kind] = f"{np.mean(left[kind]):.2f}, neighbours {np.abs(around).max():.2f}"
    return found


def rings(network: TrainedNetwork, camera: Camera, *, dims_lights: bool) -> list[float]:
    """Error beside a blown disc, dimmed for the network or not, rms in deviations of the wall's noise, one a ring."""
    distance = _from_centre() - 40
    clean = np.where(distance < 0, 1.0, WALL)
    error = network.restored(noisy_mosaics(clean, camera, 5), camera, dims_lights=dims_lights) - clean
    inside = [(distance >= low) & (distance < high) for low, high in RINGS]
    return [float(np.sqrt((error[ring] ** 2).mean()) / deviation(camera, WALL)) for ring in inside]


def _from_centre() -> DoubleArray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.asarray(np.hypot(y - SIDE / 2, x - SIDE / 2))
