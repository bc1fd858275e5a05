"""Measure what networks leave of the noise in flat fields, and the lattice of their CFA that they leave with it.

    python benchmarks/flat_fields.py NETWORK... [--gain 1.5e-3]... [--level 0.1]...

NETWORK is a shipped model, or the folder of a model, a run or a snapshot. Makes fields of 480 x 480 pixels of its kind
of sensor with Poisson-Gaussian noise (seed 1) and restores them with the true noise parameters. Prints the variance
that is left over that of the noise, in dB, and the lattice: the standard deviation, over the pixels of a colour in a
cell, of the error averaged over blocks of 24 x 24 pixels, in per cent of the noise of a pixel. A lattice shows as a
fine grid in smooth areas.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from script_errors import without_traceback
from trained_network import TrainedNetwork

from rawkd.photo import CFAPattern, FloatArray
from rawkd.training.data.synthesize import add_noise, camera_at

SIDE_PX, BLOCK_PX, EDGE_PX = 480, 24, 48


def errors(network: TrainedNetwork, gain: float, level: float) -> tuple[FloatArray, FloatArray]:
    """Error of the restored and of the noisy planes, (planes, h, w) signal, without the edges of the field."""
    cell, camera = network.cell, camera_at(gain)
    size = SIDE_PX // cell.side
    noisy = add_noise(np.full((cell.side**2, size, size), level, np.float32), camera, np.random.default_rng(1))
    restored = network.planes(noisy, camera)
    inside = slice(EDGE_PX // cell.side, -EDGE_PX // cell.side)
    return restored[:, inside, inside] - level, noisy[:, inside, inside] - level


def lattice(error: FloatArray, cell: CFAPattern) -> float:
    """Standard deviation of block means over the planes of a colour, mean over colours and blocks."""
    block = BLOCK_PX // cell.side
    count = error.shape[1] // block
    means = error.reshape(len(error), count, block, count, block).mean((2, 4))
    colours = np.array([cell.colours.index(letter) for letter in cell.colours])
    variances = [means[colours == one].var(0).mean() for one in set(colours.tolist()) if (colours == one).sum() > 1]
    return float(np.sqrt(np.mean(variances)))


@without_traceback
def main() -> None:
    """Measure and print a line for each run, gain and level."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--gain", type=float, action="append")
    parser.add_argument("--level", type=float, action="append")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.networks:
        network = TrainedNetwork(name)
        for gain in options.gain or (1.5e-3, 2.5e-2):
            for level in options.level or (0.1,):
                left, noise = errors(network, gain, level)
                print(
                    f"{name}, gain {gain:g}, level {level:g}: "
                    f"{10 * np.log10(np.mean(left**2) / np.mean(noise**2)):.1f} dB, "
                    f"lattice {100 * lattice(left, network.cell) / noise.std():.2f} %",
                    flush=True,
                )


if __name__ == "__main__":
    main()
