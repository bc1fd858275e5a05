"""Measure the soft blotches of colour that stay in a smooth sky, with and without the look at the small photo.

    python benchmarks/blotches.py NETWORK... [--gain 2.5e-2]... [--pictures DIR]

NETWORK is a shipped model, or the folder of a model, a run or a snapshot. Draws a sky of 1152 x 1152 pixels, 15 to 35 %
of white and brighter towards the lower right, with Poisson-Gaussian noise (seed 1), restores it with the true noise
parameters, and prints for red, green and blue what is left after a Gaussian of 16 px, in per cent of the level and in
parts of the noise that such a Gaussian leaves of the input. Then prints what is left of faint waves of 96 and 192 px,
such as clouds or nebulae, at 2 % of white, by their height in deviations of a pixel, and the rms error in deviations.
With --pictures, the folder of the training photos, also prints the mean PSNR in dB of those held out, 1024 packed
pixels at full size.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from held_out import clean_planes
from scipy.ndimage import gaussian_filter
from script_errors import without_traceback
from trained_network import TrainedNetwork, deviation, noisy_mosaics

from rawkd.metrics import psnr
from rawkd.photo import CFAPattern, FloatArray
from rawkd.sensor.cfa import unpack
from rawkd.training.data.synthesize import Camera, camera_at

GAINS = (1.5e-3, 6e-3, 2.5e-2)
SIDE_PX, EDGE_PX, WIDTH_PX = 1152, 96, 16
DARK = 0.02
"""Level of the waves, signal."""
COLOURS = {"R": 0.45, "G": 1.0, "B": 1.3, "W": 1.0}


def sky(cell: CFAPattern) -> FloatArray:
    """(H, W) clean signal."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] / SIDE_PX
    colours = np.array([[COLOURS[name] for name in row] for row in colours_of_sites(cell)])
    return ((0.15 + 0.15 * y + 0.05 * x) * np.tile(colours, [SIDE_PX // cell.side] * 2)).astype(np.float32)


def colours_of_sites(cell: CFAPattern) -> list[list[str]]:
    """The colour of each site of the cell; W of a sensor without filters."""
    sites = range(cell.side)
    return [[cell.colour_at(y, x) if cell.kind != "mono" else "W" for x in sites] for y in sites]


def softly(error: FloatArray, chosen: FloatArray) -> float:
    """Rms of the mean of the chosen pixels under a Gaussian."""
    mean = gaussian_filter(error * chosen, WIDTH_PX) / gaussian_filter(chosen, WIDTH_PX)
    return float(np.sqrt(np.square(mean[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX]).mean()))


def of_sky(network: TrainedNetwork, camera: Camera, *, removes_blotches: bool) -> str:
    """What is left of a sky, by colour."""
    cell = network.cell
    clean = sky(cell)
    rng = np.random.default_rng(1)
    noise = camera.gain * rng.poisson(clean / camera.gain) - clean
    noise = noise + rng.normal(0, np.sqrt(camera.total_read_variance), clean.shape)
    restored = network.restored((clean + noise).astype(np.float32), camera, removes_blotches=removes_blotches)
    sites, found = np.array(colours_of_sites(cell)), []
    for name in dict.fromkeys(sites.ravel()):
        chosen = np.tile(sites == name, [SIDE_PX // cell.side] * 2).astype(np.float64)
        level, left, before = clean[chosen > 0].mean(), softly(restored - clean, chosen), softly(noise, chosen)
        found.append(f"{name} {100 * left / level:.2f} % ({left / before:.2f})")
    return ", ".join(found)


def of_waves(network: TrainedNetwork, camera: Camera, *, removes_blotches: bool) -> str:
    """What is left of faint waves, and the error."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    inside, sigma = np.s_[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX], deviation(camera, DARK)
    found = []
    for height in (0.05, 0.1, 0.2, 0.4):
        for period in (96, 192):
            wave = np.sin(2 * np.pi * x / period) * np.sin(2 * np.pi * y / period)
            clean = (DARK + height * sigma * wave).astype(np.float32)
            noisy = noisy_mosaics(clean, camera, 2)
            restored = network.restored(noisy, camera, removes_blotches=removes_blotches)
            left = ((restored - DARK) * wave)[inside].sum() / (height * sigma * np.square(wave)[inside].sum())
            error = np.sqrt(np.square(restored - clean)[inside].mean()) / sigma
            found.append(f"{height} {period} px {left:.2f} ({error:.3f})")
    return ", ".join(found)


def of_pictures(network: TrainedNetwork, pictures: list[FloatArray], camera: Camera) -> str:
    """Mean PSNR without and with the look at the small photo."""
    scores = []
    for number, planes in enumerate(pictures):
        clean = unpack(planes)
        noisy = noisy_mosaics(clean, camera, number)
        both = (network.restored(noisy, camera, removes_blotches=removes) for removes in (False, True))
        scores.append([psnr(np.clip(restored, 0, 1), clean) for restored in both])
    return " -> ".join(f"{score:.3f}" for score in np.mean(scores, axis=0)) + " dB"


@without_traceback
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--gain", type=float, action="append")
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.networks:
        network = TrainedNetwork(name)
        where = options.pictures
        pictures = clean_planes(where, 1024, 0, network.cell, options.networks)["full"] if where else []
        for gain in options.gain or [gain for gain in GAINS if gain in network.subrange]:
            camera = camera_at(gain)
            for removes in (False, True):
                print(f"{name} {gain:g} {'with' if removes else 'without'}: ", end="")
                print(of_sky(network, camera, removes_blotches=removes))
                print("  waves", of_waves(network, camera, removes_blotches=removes), flush=True)
            if pictures:
                print(f"{name} {gain:g} pictures: {of_pictures(network, pictures, camera)}", flush=True)


if __name__ == "__main__":
    main()
