"""Measure what PSNR of photos hides: fine lines, weaves, stars, flat fields and blown edges.

    python benchmarks/scenes.py [--models DIR]

DIR is a model or a folder of models; default: the shipped ones. Scenes are grey, 256 x 256 or 512 x 512 pixels (RGGB,
black at DN 512 of 16383, noise of seed 5), at the middle gain of each model, with the true noise parameters. Prints

- lines and weaves, five noise standard deviations high (or as much as fits above black): the part of their amplitude
  that is left;
- stars (Gaussian of standard deviation 0.85 px, 240 on a sky of 0.1 % of white), by the height of their peak in
  standard deviations of the sky's noise: the part of their light within four pixels that is left;
- a flat field at 15 % of white: the standard deviation that is left, and that of Gr - Gb smoothed over 4 pixels, both
  in per cent of the level, after and before;
- blown discs and bars on black at very low gains, with the first model of DIR: PSNR in dB after and before.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from rawkd.inference.card import ModelCard
from rawkd.inference.engines import load_engine
from rawkd.inference.students import load_cards
from rawkd.metrics import psnr
from rawkd.photo import CFAPattern, DoubleArray, FloatArray, Mosaic
from rawkd.restore.mosaic import restore_mosaic
from rawkd.restore.options import DenoiseOptions
from rawkd.sensor.cfa import pack, unpack
from rawkd.training.data.synthesize import add_noise, camera_at

FLOOR = -512 / 15871
GREY, SKY, FLAT = 0.18, 1e-3, 0.15
PERIODS_PX = (2.3, 2.5, 2.7, 3.0, 3.7, 5.0)
PEAKS = (5, 7, 11, 18, 43, 105)
BELOW = (1e-7, 5e-7, 1e-6, 2e-6, 8e-6)


def noisy_and_restored(card: ModelCard, clean: DoubleArray, gain: float) -> tuple[FloatArray, FloatArray]:
    """Return the noisy and the restored signal, (H, W) each."""
    camera = camera_at(gain)
    noisy = unpack(add_noise(pack(clean.astype(np.float32)), camera, np.random.default_rng(5)))
    restored = restore_mosaic(
        Mosaic(noisy, CFAPattern.RGGB),
        camera.noise_model(),
        card,
        load_engine(card, precision="f32")[0],
        DenoiseOptions(),
        floor=FLOOR,
        saturation=1.0,
    )
    return noisy, restored.data


def deviation(gain: float, level: float) -> float:
    """Standard deviation of the noise at a level, signal units."""
    return float(np.sqrt(gain * level + camera_at(gain).total_read_variance))


def kept_of_patterns(card: ModelCard, gain: float) -> dict[str, list[float]]:
    """Part of the amplitude that is left, by kind of pattern, one value a period."""
    y, x = np.mgrid[:256, :256].astype(float)
    height = min(5 * deviation(gain, GREY), 0.16)
    inside = np.s_[32:-32, 32:-32]
    kept: dict[str, list[float]] = {"upright lines": [], "lines at 45 degrees": [], "weave": []}
    for period in PERIODS_PX:
        upright = np.sin(2 * np.pi * x / period)
        slanted = np.sin(2 * np.pi * (x + y) / period / np.sqrt(2))
        weave = upright * np.sin(2 * np.pi * y / (1.2 * period))
        for found, pattern in zip(kept.values(), (upright, slanted, weave), strict=True):
            left = noisy_and_restored(card, GREY + height * pattern, gain)[1][inside] - GREY
            found.append(float((left * pattern[inside]).sum() / (height * (pattern[inside] ** 2).sum())))
    return kept


def kept_of_stars(card: ModelCard, gain: float) -> list[float]:
    """Part of the light that is left, one value a peak height; peaks that would clip are left out."""
    rng, found = np.random.default_rng(7), []
    y, x = np.mgrid[:512, :512]
    sky = deviation(gain, SKY)
    for peak in (peak for peak in PEAKS if peak * sky < 0.9):
        rows, columns = (16 + 32 * np.divmod(np.arange(240), 16)[axis] + rng.uniform(-4, 4, 240) for axis in (0, 1))
        clean, near = np.full((512, 512), SKY), np.zeros((512, 512), bool)
        for row, column in zip(rows, columns, strict=True):
            distance = (y - row) ** 2 + (x - column) ** 2
            clean += peak * sky * np.exp(-distance / (2 * 0.85**2))
            near |= distance < 16
        restored = noisy_and_restored(card, clean, gain)[1]
        found.append(float((restored[near] - SKY).sum() / (clean[near] - SKY).sum()))
    return found


def flat_field(card: ModelCard, gain: float) -> list[float]:
    """Standard deviations of field and smoothed Gr - Gb, per cent of the level: both after, then both before."""
    noisy, restored = noisy_and_restored(card, np.full((512, 512), FLAT), gain)
    found = []
    for mosaic in (restored, noisy):
        planes = pack(mosaic)[:, 16:-16, 16:-16] / FLAT
        found += [float(planes.std()), float(gaussian_filter(planes[1] - planes[2], 2).std())]
    return [100 * value for value in found]


def blown_edges(card: ModelCard, gain: float) -> list[float]:
    """PSNR in dB after and before."""
    y, x = np.mgrid[:512, :512]
    scene = np.full((512, 512), 0.01)
    for row, column, radius in ((100, 100, 60), (120, 330, 15), (330, 120, 4), (300, 200, 2)):
        scene[np.hypot(y - row, x - column) < radius] = 1.0
    scene[(y > 250) & (np.abs((x + 0.5 * y) % 40 - 20) < 3)] = 1.0
    noisy, restored = noisy_and_restored(card, scene, gain)
    return [psnr(np.clip(mosaic, 0, 1), scene.astype(np.float32)) for mosaic in (restored, noisy)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path)
    cards = load_cards(parser.parse_args().models)
    for card in cards:
        gain = card.anchor.gain
        print(f"{card.name} at gain {gain:.2e}")
        for kind, kept in kept_of_patterns(card, gain).items():
            print(f"  {kind} of {PERIODS_PX} px: " + " ".join(f"{part:.2f}" for part in kept))
        print(f"  stars of {PEAKS} deviations: " + " ".join(f"{part:.2f}" for part in kept_of_stars(card, gain)))
        after, greens, before, greens_before = flat_field(card, gain)
        print(f"  flat field: {after:.2f} % ({before:.2f}), Gr - Gb {greens:.2f} % ({greens_before:.2f})", flush=True)
    lowest = min(cards, key=lambda card: (card.tier != "fast", card.subrange.low))
    for gain in BELOW:
        after, before = blown_edges(lowest, gain)
        print(f"blown edges, {lowest.name} at gain {gain:g}: {after:.1f} dB ({before:.1f})", flush=True)


if __name__ == "__main__":
    main()
