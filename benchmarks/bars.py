"""Measure what networks do to bars and checks as fine as the pixels, the strongest patterns that a sensor records.

    python benchmarks/bars.py NETWORK... [--gain 5e-5]...

NETWORK is a shipped model, or the folder of a model, a run or a snapshot. Columns, rows and checks of 1, 2 and 3 pixels
between 1 % and 90 % of white get noise (seed 3) and are restored in float32 with the true noise parameters. Prints the
rms error in units of the noise: 1 for a network that changes nothing. At low gains such bars are hundreds of
deviations of the noise high.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from script_errors import without_traceback
from trained_network import TrainedNetwork

from rawkd.photo import FloatArray
from rawkd.sensor.cfa import pack
from rawkd.training.data.synthesize import add_noise, camera_at

GAINS = (8.4e-6, 5e-5, 3e-4, 1.5e-3, 1e-2)
DARK, BRIGHT = 0.01, 0.9
SIDE_PX, EDGE_PX = 192, 36


def patterns() -> dict[str, FloatArray]:
    """Mosaics by name."""
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX]
    found = {}
    for width in (1, 2, 3):
        row, column = y // width, x // width
        for name, odd in (("columns", column), ("rows", row), ("checks", row + column)):
            found[f"{name} {width}"] = np.where(odd % 2, BRIGHT, DARK).astype(np.float32)
    return found


def error_left(network: TrainedNetwork, mosaic: FloatArray, gain: float) -> float:
    """Rms error after over that before, away from the edges."""
    side, camera = network.cell.side, camera_at(gain)
    clean = pack(mosaic, side)
    noisy = add_noise(clean, camera, np.random.default_rng(3))
    inside = np.s_[:, EDGE_PX // side : -EDGE_PX // side, EDGE_PX // side : -EDGE_PX // side]
    after, before = (np.square(one - clean)[inside].mean() for one in (network.planes(noisy, camera), noisy))
    return float(np.sqrt(after / before))


@without_traceback
def main() -> None:
    """Measure and print a line for each network and gain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--gain", type=float, action="append")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.networks:
        network = TrainedNetwork(name)
        for gain in options.gain or [gain for gain in GAINS if gain in network.subrange]:
            left = {kind: error_left(network, mosaic, gain) for kind, mosaic in patterns().items()}
            print(
                f"{name}, gain {gain:g}: {', '.join(f'{kind} {error:.2f}' for kind, error in left.items())}", flush=True
            )


if __name__ == "__main__":
    main()
