"""Scenes of fine detail, flat fields and strong edges, and the mean of photographs at high gain (see `scenes.py`)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter
from trained_network import TrainedNetwork, deviation, noisy_mosaics

from rawkd.metrics import psnr
from rawkd.photo import DoubleArray, FloatArray
from rawkd.sensor.cfa import pack, unpack
from rawkd.training.data.synthesize import Camera, add_noise, camera_at

GREY, FLAT, DARK, BRIGHT = 0.18, 0.15, 0.02, 0.9
PERIODS_PX = (2.3, 2.5, 2.7, 3.0, 3.7, 5.0)
SIDE, EDGE_PX = 256, 32
INSIDE = np.s_[..., EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX]
BESIDE_EDGES = 4, 24
"""Distance in pixels from a bright edge within which the greens are compared."""
SMOOTHING = 0.2
SHADOW, RADII_PX = 0.006, (6, 12, 24, 48)
GROUNDS = (0.25, 0.2, 0.05), (0.04, 0.12, 0.25)
"""R, G and B of warm and of blue ground, signal."""
CLIPPED_GAIN = 2.5e-2


def shadow_casts(network: TrainedNetwork, gain: float) -> dict[int, float]:
    """Largest error of the mean of R, G or B in black discs on warm and on blue ground, in levels of the disc.

    The discs are neutral, 0.6 % of white, about one deviation of the noise above black, like pupils. By radius, pixels.
    """
    camera = replace(camera_at(gain), read_variance=gain / 300)
    y, x = np.mgrid[: 2 * SIDE, : 2 * SIDE]
    parity = 2 * (y % 2) + x % 2
    casts = {}
    for radius in RADII_PX:
        step, errors = max(64, 4 * radius), []
        apart = np.hypot(*((side - 0.3) % step - step / 2 for side in (y, x)))
        light = np.clip((apart - radius) / 1.5 + 0.5, 0, 1)
        for ground in GROUNDS:
            of_colour = SHADOW + light * (np.array(ground)[:, None, None] - SHADOW)
            clean = np.choose(parity, of_colour[[0, 1, 1, 2]])
            error = network.restored(noisy_mosaics(np.stack([clean] * 4), camera, 7), camera) - clean
            inside = apart < radius - 3
            errors += [error[:, inside & np.isin(parity, sites)].mean() for sites in ((0,), (1, 2), (3,))]
        casts[radius] = max(errors, key=abs) / SHADOW
    return casts


def kept_of_patterns(network: TrainedNetwork, camera: Camera) -> dict[str, list[float]]:
    """Part of the amplitude that is left, by kind, one value a period (print: one); 5 deviations high, or 0.16."""
    height = min(5 * deviation(camera, GREY), 0.16)
    kept = {}
    for kind, patterns in _patterns().items():
        restored = network.restored(noisy_mosaics(GREY + height * patterns, camera, 5), camera)
        left, pattern = (restored - GREY)[INSIDE], patterns[INSIDE]
        kept[kind] = ((left * pattern).sum(axis=(1, 2)) / (height * (pattern**2).sum(axis=(1, 2)))).tolist()
    return kept


def _patterns() -> dict[str, DoubleArray]:
    """(periods, 256, 256) patterns of amplitude 1 and mean 0."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    upright = np.stack([np.sin(2 * np.pi * x / period) for period in PERIODS_PX])
    across = np.stack([np.sin(2 * np.pi * y / (1.2 * period)) for period in PERIODS_PX])
    slanted = np.stack([np.sin(2 * np.pi * (x + y) / period / np.sqrt(2)) for period in PERIODS_PX])
    return {
        "upright lines": upright,
        "lines at 45 degrees": slanted,
        "weave": upright * across,
        "print": _print()[None],
    }


def _print() -> DoubleArray:
    """Lines of random letters, strokes of 2 px in boxes of 8 x 12 px, edges 1 px wide."""
    rng, ink = np.random.default_rng(3), np.zeros((SIDE, SIDE))
    for top in range(2, SIDE - 12, 14):
        for left in range(2, SIDE - 8, 9):
            for _ in range(3):
                if rng.random() < 0.5:
                    row = top + 2 * int(rng.integers(0, 5))
                    ink[row : row + 2, left : left + 6] = -1
                else:
                    column = left + 2 * int(rng.integers(0, 3))
                    ink[top : top + 10, column : column + 2] = -1
    ink = gaussian_filter(ink, 0.5)
    return ink - ink[INSIDE].mean()


def flat_field(network: TrainedNetwork, camera: Camera) -> list[float]:
    """Standard deviations of field and smoothed Gr - Gb, per cent of the level: both after, then both before."""
    noisy = noisy_mosaics(np.full((2 * SIDE, 2 * SIDE), FLAT), camera, 5)
    found = []
    for mosaic in (network.restored(noisy, camera), noisy):
        planes = pack(mosaic)[:, 16:-16, 16:-16] / FLAT
        found += [float(planes.std()), float(gaussian_filter(planes[1] - planes[2], 2).std())]
    return [100 * value for value in found]


def greens_beside_edges(network: TrainedNetwork, camera: Camera) -> tuple[float, float]:
    """Rms of Gr - Gb, smoothed over 4 px, on the dark side of strong edges, and far from them; deviations."""
    y, x = np.mgrid[: 2 * SIDE, : 2 * SIDE]
    bright = np.zeros(y.shape, bool)
    for row, column, radius in ((90, 110, 60), (140, 380, 25), (390, 110, 12)):
        bright |= np.hypot(y - row, x - column) < radius
    bright |= (y > 260) & (np.abs((x + 0.5 * y) - 560) < 20)
    clean = np.where(bright, BRIGHT, DARK)
    restored = pack(network.restored(noisy_mosaics(clean, camera, 5), camera) - clean.astype(np.float32))
    greens = gaussian_filter(restored[1] - restored[2], 2) / deviation(camera, DARK)
    distance = distance_transform_edt(~bright)[::2, ::2]
    near = (distance >= BESIDE_EDGES[0]) & (distance < BESIDE_EDGES[1])
    return float(np.sqrt((greens[near] ** 2).mean())), float(np.sqrt((greens[distance > 60] ** 2).mean()))


def smoothed_loss(network: TrainedNetwork, camera: Camera, pictures: list[FloatArray]) -> float:
    """PSNR of white noise less that of smoothed noise of its strength, dB, mean over pictures."""
    lost = []
    for clean in pictures:
        scores = [
            psnr(np.clip(network.planes(add_noise(clean, one, np.random.default_rng(5)), one), 0, 1), clean)
            for one in (camera, replace(camera, smoothing=SMOOTHING))
        ]
        lost.append(scores[0] - scores[1])
    return float(np.mean(lost))


def clipped_bias(network: TrainedNetwork, pictures: list[FloatArray]) -> list[float]:
    """Mean error in thousandths of the mean signal at gain 2.5e-2, where DN 0 is a deviation below black.

    That of the network alone, with the local means put right, and of the noisy pictures.
    """
    camera = camera_at(CLIPPED_GAIN)
    error, signal = np.zeros(3), 0.0
    for number, clean in enumerate(pictures):
        noisy = add_noise(clean, camera, np.random.default_rng(number))
        means = network.restored(unpack(noisy), camera)
        error += [
            float((one - clean).sum(dtype=np.float64)) for one in (network.planes(noisy, camera), pack(means), noisy)
        ]
        signal += float(clean.sum(dtype=np.float64))
    return (1000 * error / signal).tolist()


def blown_edges(network: TrainedNetwork, gain: float) -> tuple[float, float]:
    """PSNR in dB of blown discs and bars, after and before."""
    y, x = np.mgrid[: 2 * SIDE, : 2 * SIDE]
    scene = np.full(y.shape, 0.01)
    for row, column, radius in ((100, 100, 60), (120, 330, 15), (330, 120, 4), (300, 200, 2)):
        scene[np.hypot(y - row, x - column) < radius] = 1.0
    scene[(y > 250) & (np.abs((x + 0.5 * y) % 40 - 20) < 3)] = 1.0
    noisy = noisy_mosaics(scene, camera_at(gain), 5)
    restored = network.restored(noisy, camera_at(gain))
    return psnr(np.clip(restored, 0, 1), scene.astype(np.float32)), psnr(np.clip(noisy, 0, 1), scene.astype(np.float32))
