"""Measure the search for hot pixels: what it finds in photos, what it takes by mistake, which lights it loses.

    python benchmarks/defects_found.py PICTURES [--network NETWORK]

PICTURES is the folder of training photos; every second one is used, 1536 x 1536 pixels at most from its centre, turned
into mosaics, with noise of known parameters and fixed seeds. Nothing here is a test set. Prints

- found: the share of hot pixels that the search finds, by height in standard deviations of the noise, at gains 3e-4 and
  1.5e-3 in turn; one pixel in 40 x 40;
- false: pixels taken in photos without defects, per million, at gains 1e-4, 1e-3 and 6e-3 in turn;
- plain: the share found on flat ground at 20 and at 2 % of white, by height;
- together: with the same hot pixels of 14 deviations in eight photos, how many single photos show on average, and how
  many 2, 3, 5 and 8 photos show together;
- lights: the share of lights that are lost, by colour and width (full width at half maximum), for peaks of 2 to 5, 5 to
  15 and 15 to 100 % of white on a sky of 0.6 %, gain 3e-4;
- left, with --network: the mean part of its height that is left of a pixel that the search missed.

Takes a minute; with a network of 2.4 GMAC/MP two more.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.special import erf
from script_errors import without_traceback
from trained_network import TrainedNetwork, noisy_mosaics

from rawkd.files.read.pictures import read_picture
from rawkd.photo import CFAPattern, DoubleArray, FloatArray, Mosaic, PixelArray
from rawkd.sensor.blind.recurring import Suspects, recurring_defects, view_of
from rawkd.sensor.defect_search import find_defects
from rawkd.training.data.clean import find_pictures
from rawkd.training.data.synthesize import Camera, camera_at
from rawkd.training.data.unprocess import camera_mosaic, linearise, random_look

CELL, SIDE = CFAPattern.RGGB, 1536
HEIGHTS = (10, 15, 20, 30, 45, 60)
PEAKS = (0.02, 0.05, 0.15, 1.0)
LIGHTS = {"white": (0.5, 1, 0.6), "pure red": (1, 0, 0), "red, 13 % green": (1, 0.13, 0.03), "blue": (0.02, 0.2, 1)}
WIDTHS_PX = (1.5, 2.0, 2.2)


def clean_mosaics(folder: Path) -> list[FloatArray]:
    """Return mosaics of every second picture, (H, W) signal."""
    training, held_out = find_pictures([folder], 512)
    rng, mosaics = np.random.default_rng(3), []
    for path in sorted(training.paths + held_out.paths)[::2]:
        picture, look = read_picture(path), random_look(rng)
        side = min(SIDE, *(length // 32 * 32 for length in picture.shape[:2]))
        top, left = ((length - side) // 2 for length in picture.shape[:2])
        linear = linearise(picture[top : top + side, left : left + side])
        mosaics.append(camera_mosaic(linear, look, CELL).astype(np.float32))
    return mosaics


def defects_in(mosaic: FloatArray, camera: Camera) -> PixelArray:
    """Return what the search finds."""
    return find_defects(Mosaic(mosaic, CELL), camera.noise_model(CELL))


def places(clean: FloatArray, rng: np.random.Generator) -> PixelArray:
    """Return one place in every 40 x 40 pixels, (n, 2)."""
    grid = np.stack(np.mgrid[30 : clean.shape[0] - 30 : 40, 30 : clean.shape[1] - 30 : 40], axis=-1).reshape(-1, 2)
    return np.asarray(grid + rng.integers(-12, 12, grid.shape))


def with_hot(clean: FloatArray, camera: Camera, where: PixelArray, heights: DoubleArray, seed: int) -> FloatArray:
    """Return the mosaic with noise and with hot pixels of the given heights, standard deviations."""
    noisy, (row, column) = noisy_mosaics(clean, camera, seed), where.T
    sigma = np.sqrt(camera.gain * np.maximum(clean[row, column], 0) + camera.total_read_variance)
    noisy[row, column] = np.minimum(noisy[row, column] + heights * sigma, 1)
    return noisy


def is_among(where: PixelArray, found: PixelArray) -> np.ndarray:
    """Whether each place was found, (n,)."""
    known = set(map(tuple, found.tolist()))
    return np.array([tuple(place) in known for place in where.tolist()])


def found_in_photos(mosaics: list[FloatArray], network: TrainedNetwork | None) -> None:
    """Print found, false, and left."""
    rng, found, total, left, false, pixels = np.random.default_rng(2), np.zeros(5), np.zeros(5), [], 0, 0
    for number, clean in enumerate(mosaics):
        camera = camera_at((3e-4, 1.5e-3)[number % 2])
        where = places(clean, rng)
        heights = rng.uniform(HEIGHTS[0], HEIGHTS[-1], len(where))
        hot = with_hot(clean, camera, where, heights, 100 + number)
        dark = hot[tuple(where.T)] < 0.98
        where, heights = where[dark], heights[dark]
        hit, part = is_among(where, defects_in(hot, camera)), np.digitize(heights, HEIGHTS) - 1
        found += np.bincount(part, hit, 5)
        total += np.bincount(part, minlength=5)
        if network is not None and camera.gain in network.subrange and number < 12:
            restored, (row, column) = network.restored(hot, camera), where[~hit].T
            raised = hot[row, column] - clean[row, column]
            left += ((restored[row, column] - clean[row, column]) / raised).tolist()
        quiet = camera_at((1e-4, 1e-3, 6e-3)[number % 3])
        false += len(defects_in(noisy_mosaics(clean, quiet, number), quiet))
        pixels += clean.size
    shares = ", ".join(
        f"{a}-{b}: {100 * one:.0f} %" for a, b, one in zip(HEIGHTS, HEIGHTS[1:], found / total, strict=False)
    )
    print(f"found {shares} ({len(mosaics)} photos)")
    print(f"false {false / pixels * 1e6:.2f} per million of {pixels / 1e6:.0f} million", flush=True)
    if left:
        print(f"left of {len(left)} pixels that the search missed: {np.mean(left):.2f}", flush=True)


def found_on_plain_ground() -> None:
    """Print plain."""
    camera = camera_at(1e-3)
    for level in (0.2, 0.02):
        clean = np.full((640, 640), level, np.float32)
        where, cells = places(clean, np.random.default_rng(1)), []
        for height in (12, 15, 20, 25, 30):
            hot = with_hot(clean, camera, where, np.full(len(where), float(height)), 1)
            cells.append(f"{height}: {100 * is_among(where, defects_in(hot, camera)).mean():.0f} %")
        print(f"plain, {level:.0%} of white, {', '.join(cells)}", flush=True)


def found_together(mosaics: list[FloatArray]) -> None:
    """Print together."""
    camera, suspects, alone = camera_at(1e-3), [], []
    alike = [clean[:1024, :1024] for clean in mosaics if min(clean.shape) >= 1024][:8]
    where = places(alike[0], np.random.default_rng(5))
    for number, clean in enumerate(alike):
        hot = with_hot(clean, camera, where, np.full(len(where), 14.0), number)
        alone.append(is_among(where, defects_in(hot, camera)).mean())
        looked = find_defects(Mosaic(hot, CELL), camera.noise_model(CELL), suspects=True)
        suspects.append(Suspects(hot.shape, looked, view_of(hot)))
    cells, others = [], 0
    for count in (2, 3, 5, 8):
        maps = recurring_defects(suspects[:count])
        pixels = maps[0].pixels if maps else np.empty((0, 2), np.int64)
        hit = is_among(where, pixels)
        others = len(pixels) - int(hit.sum())
        cells.append(f"{count} photos {100 * hit.mean():.0f} %")
    print(f"together: one photo {100 * np.mean(alone):.0f} %, {', '.join(cells)}; {others} others in 8", flush=True)


def lost_lights() -> None:
    """Print lights."""
    camera, (y, x) = camera_at(3e-4), np.mgrid[20:880:26, 20:880:26].reshape(2, -1)
    for name, colour in LIGHTS.items():
        for width in WIDTHS_PX:
            rng = np.random.default_rng(5)
            peaks = 10 ** rng.uniform(np.log10(PEAKS[0]), 0, len(y))
            clean = _lights(colour, width, np.stack([y, x], 1) + rng.uniform(0, 1, (len(y), 2)), peaks)
            taken = defects_in(noisy_mosaics(clean, camera, 5), camera)
            lost = np.zeros(len(y), bool)
            for row, column in taken.tolist():
                lost[np.argmin((y - row) ** 2 + (x - column) ** 2)] = True
            parts = [lost[(peaks >= low) & (peaks < high)].mean() for low, high in pairwise(PEAKS)]
            print(f"lights, {name}, {width} px: {', '.join(f'{100 * part:.0f} %' for part in parts)}", flush=True)


def _lights(colour: tuple[float, ...], width_px: float, centres: DoubleArray, peaks: DoubleArray) -> FloatArray:
    """Return a mosaic of lights on a grey sky, their light integrated over pixels, (900, 900) signal."""
    rgb = np.tile(np.array(LIGHTS["white"]) * 0.006, (900, 900, 1))
    edges, scale = np.arange(-9, 11), width_px / 2.3548 * np.sqrt(2)
    for (row, column), peak in zip(centres.tolist(), peaks.tolist(), strict=True):
        top, left = int(row) - 9, int(column) - 9
        down, right = (np.diff(erf((int(at) + edges - at) / scale)) for at in (row, column))
        spread = down[:, None] * right / np.square(2 * erf(0.5 / scale))
        rgb[top : top + 19, left : left + 19] += peak * spread[..., None] * np.array(colour)
    mosaic = rgb[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = rgb[::2, ::2, 0], rgb[1::2, 1::2, 2]
    return np.minimum(mosaic, 1).astype(np.float32)


@without_traceback
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--network", type=TrainedNetwork)
    options = parser.parse_args()
    mosaics = clean_mosaics(options.pictures)
    found_in_photos(mosaics, options.network)
    found_on_plain_ground()
    found_together(mosaics)
    lost_lights()


if __name__ == "__main__":
    main()
