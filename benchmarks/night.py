"""What networks do to stars, single wrong samples, smoothed noise and dark walls beside lamps.

    python benchmarks/night.py NAME|DIR... [--pictures DIR] [--gain 2e-4]

Each argument is a shipped model, or the folder of a model, a run or a snapshot. Noise: read variance 3.4e-7 at gain
2e-4, on the prior line elsewhere; true parameters, float32, seeds fixed. Prints for each network:

- stars: the part of their light that is left, by peak in standard deviations of the sky (widths of 1.6 to 3.6 px);
- false: samples more than 5 raw deviations above a sky without stars, in 10 megapixels;
- hot, cold: the part of a wrong sample's amplitude that is left, and the largest mean error of its neighbours within
  12 px, in deviations;
- ring: what is left of a dark wall's noise 4-6, 6-10 and 10-15 px from the edge of a blown disc, rms in deviations;
- smoothed (with --pictures): PSNR lost when the noise of each plane is smoothed by [0.2 0.6 0.2] in both directions and
  scaled back to its variance; held-out pictures of the folder.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from held_out import clean_planes

from rawkd.metrics import psnr
from rawkd.photo import FloatArray
from rawkd.sensor.cfa import pack, unpack
from rawkd.sensor.ksigma import KSigma
from rawkd.training.data.synthesize import Camera, add_noise, camera_at
from rawkd.training.saved.trained import find_trained, load_trained

SIDE, SKY, WALL = 512, 5e-3, 4e-3
BINS = ((3, 5), (5, 10), (10, 20), (20, 50), (50, 300))
STEP_PX = 32
FAR_PX = 6.0
FALSE_FRAMES = 38
WRONG_ROUNDS = 8
RINGS = ((4, 6), (6, 10), (10, 15))
SMOOTHING = 0.2
SIGMA_OF_FWHM = 1 / np.sqrt(8 * np.log(2))


class Denoiser:
    """A trained network as a function of mosaics."""

    def __init__(self, name: str, camera: Camera) -> None:
        card = find_trained(name)
        self.network, self.camera = load_trained(card).float().eval(), camera
        self.ksigma = KSigma.between(camera.noise_model(), card.anchor)

    def planes(self, noisy: FloatArray) -> FloatArray:
        """(4, h, w) noisy signal -> restored."""
        with torch.no_grad():
            restored = self.network(torch.from_numpy(self.ksigma.apply(noisy)[None]))[0].numpy()
        return self.ksigma.invert(restored)

    def both(self, clean: Any, seed: int) -> tuple[FloatArray, FloatArray]:
        """(H, W) clean mosaic -> noisy and restored mosaics."""
        noisy = add_noise(pack(clean.astype(np.float32)), self.camera, np.random.default_rng(seed))
        return unpack(noisy), unpack(self.planes(noisy))


def deviation(camera: Camera, level: float) -> float:
    """Of the noise at a level, signal."""
    return float(np.sqrt(camera.gain * level + camera.total_read_variance))


def stars(denoise: Denoiser) -> list[float]:
    """The part of their light that is left, one a bin of peaks."""
    y, x = np.mgrid[:SIDE, :SIDE]
    sky, found = deviation(denoise.camera, SKY), []
    for number, (low, high) in enumerate(BINS):
        rng = np.random.default_rng(7 + number)
        clean, near = np.full((SIDE, SIDE), SKY), np.zeros((SIDE, SIDE), bool)
        for row in range(STEP_PX, SIDE - STEP_PX + 1, STEP_PX):
            for column in range(STEP_PX, SIDE - STEP_PX + 1, STEP_PX):
                distance = np.hypot(y - row - rng.uniform(-4, 4), x - column - rng.uniform(-4, 4))
                sigma = rng.uniform(1.6, 3.6) * SIGMA_OF_FWHM
                peak = np.exp(rng.uniform(np.log(low), np.log(high))) * sky
                clean += peak * np.exp(-((distance / sigma) ** 2) / 2)
                near |= distance < FAR_PX
        clean = np.minimum(clean, 1)
        restored = denoise.both(clean, 5)[1]
        found.append(float((restored[near] - SKY).sum() / (clean[near] - SKY).sum()))
    return found


def false_points(denoise: Denoiser) -> int:
    """Samples of an empty sky that come out more than five raw deviations above it, in 10 megapixels."""
    clean, limit = np.full((SIDE, SIDE), SKY), SKY + 5 * deviation(denoise.camera, SKY)
    return sum(int((denoise.both(clean, 100 + seed)[1] > limit).sum()) for seed in range(FALSE_FRAMES))


def wrong_samples(denoise: Denoiser, low: float, high: float) -> tuple[float, float]:
    """The part of single wrong samples that is left, and the largest mean error of a neighbour, deviations.

    Samples lie `low` to `high` deviations from a sky; one in a field of 32 x 32.
    """
    sky, left, seen = deviation(denoise.camera, SKY), [], []
    for seed in range(WRONG_ROUNDS):
        rng = np.random.default_rng(seed)
        noisy, _ = denoise.both(np.full((SIDE, SIDE), SKY), 200 + seed)
        floor = -denoise.camera.black_dn / (denoise.camera.white_dn or 1)
        places = [
            (row + int(rng.integers(-4, 5)), column + int(rng.integers(-4, 5)))
            for row in range(STEP_PX, SIDE - STEP_PX + 1, STEP_PX)
            for column in range(STEP_PX, SIDE - STEP_PX + 1, STEP_PX)
        ]
        before = denoise.planes(pack(noisy))
        for row, column in places:
            noisy[row, column] = max(SKY + rng.uniform(low, high) * sky, floor)
        changed = unpack(denoise.planes(pack(noisy))) - unpack(before)
        restored = unpack(before) + changed
        for row, column in places:
            left.append((restored[row, column] - SKY) / (noisy[row, column] - SKY))
            seen.append(changed[row - 12 : row + 13, column - 12 : column + 13] / sky)
    around = np.mean(seen, axis=0)
    around[12, 12] = 0
    return float(np.mean(left)), float(np.abs(around).max())


def rings(denoise: Denoiser) -> list[float]:
    """Error beside a blown disc, rms in deviations of the wall's noise, one a ring."""
    y, x = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(y - SIDE / 2, x - SIDE / 2) - 40
    clean = np.where(distance < 0, 1.0, WALL)
    error = denoise.both(clean, 5)[1] - clean
    wall = deviation(denoise.camera, WALL)
    return [float(np.sqrt((error[(distance >= a) & (distance < b)] ** 2).mean()) / wall) for a, b in RINGS]


def smoothed_loss(denoise: Denoiser, pictures: list[FloatArray]) -> float:
    """PSNR of white noise less that of smoothed noise of its strength, dB, mean over pictures."""
    smooth, lost = replace(denoise.camera, smoothing=SMOOTHING), []
    for clean in pictures:
        scores = [
            psnr(np.clip(denoise.planes(add_noise(clean, camera, np.random.default_rng(5))), 0, 1), clean)
            for camera in (denoise.camera, smooth)
        ]
        lost.append(scores[0] - scores[1])
    return float(np.mean(lost))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--gain", type=float, default=2e-4)
    options = parser.parse_args()
    camera = camera_at(options.gain)
    if options.gain == 2e-4:
        camera = replace(camera, read_variance=3.4e-7)
    pictures = clean_planes(options.pictures, 512, 0)["half"] if options.pictures else []
    for name in options.networks:
        denoise = Denoiser(name, camera)
        kept = ", ".join(f"{a}-{b}: {part:.2f}" for (a, b), part in zip(BINS, stars(denoise), strict=True))
        print(f"{name}\n  stars {kept}\n  false points {false_points(denoise)}")
        for kind, low, high in (("hot", 6.0, 50.0), ("cold", -12.0, -6.0)):
            left, around = wrong_samples(denoise, low, high)
            print(f"  {kind} {left:.2f}, neighbours {around:.2f}")
        print(
            "  ring " + ", ".join(f"{a}-{b} px: {part:.2f}" for (a, b), part in zip(RINGS, rings(denoise), strict=True))
        )
        if pictures:
            print(f"  smoothed {smoothed_loss(denoise, pictures):.2f} dB", flush=True)


if __name__ == "__main__":
    main()
