"""Compare networks on whole held-out pictures, at full and at half size, without a look at a test set.

    python benchmarks/held_out.py PICTURES NETWORK... [--side 512] [--gain 7e-3]... [--learnt 24]

NETWORK is a shipped model, or the folder of a model, a run or a snapshot; A+B is the mean of the answers of A and B.
PICTURES is the folder of their training data.
Only the pictures held out of training (one in twelve) are used, without those that one of the networks is known to have
learnt; with --learnt N, N of the training pictures instead, to see whether a gain holds for new pictures.

Each picture is cropped at its centre at full size, and from twice the side and halved; unprocessed with seed 99; made
noisy at the five gains of docs/accuracy.md that the network's subrange holds, or at --gain; and restored by the network
in float32 with the true noise parameters, on mosaics of its kind of sensor (X-Trans takes the 480 pixels in the middle
of 512, a multiple of its strides). Prints the mean PSNR in dB of the mosaic clipped to 0..1. Validation during training
averages over small crops, most of them smooth; here the error of a picture is that of its details.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from script_errors import without_traceback
from trained_network import TrainedNetwork

from rawkd.errors import InputError
from rawkd.files.read.pictures import read_picture
from rawkd.metrics import psnr
from rawkd.photo import CFAPattern, FloatArray
from rawkd.sensor.cfa import pack
from rawkd.training.data.clean import CleanSet, find_pictures
from rawkd.training.data.clean_crops import linear_half_size
from rawkd.training.data.synthesize import Camera, add_noise, camera_at
from rawkd.training.data.unprocess import camera_mosaic, linearise, random_look
from rawkd.training.saved.pictures import Named, learnt_of
from rawkd.training.saved.provenance import learnt_by

GAINS = (5e-5, 3e-4, 1.5e-3, 6e-3, 2.5e-2)
SIZES = {"full": 1, "half": 2}


def clean_planes(
    folder: Path, side: int, learnt: int, cell: CFAPattern, networks: Sequence[str] = ()
) -> dict[str, list[FloatArray]]:
    """Packed signal of the centres of held-out pictures, or of `learnt` training pictures, by size.

    Held-out pictures that one of the networks has learnt are left out, with a warning. InputError: if none is left.
    """
    training, held_out = find_pictures([folder], side)
    held_out = held_out if learnt else unlearnt(held_out, networks)
    paths = training.paths[:: max(1, len(training.paths) // learnt)][:learnt] if learnt else held_out.paths
    rng = np.random.default_rng(99)
    found: dict[str, list[FloatArray]] = {size: [] for size in SIZES}
    for path in paths:
        picture, look = read_picture(path), random_look(rng)
        for size, factor in SIZES.items():
            whole = 32 * factor  # of every network's stride
            edge = min(factor * side, min(picture.shape[:2]) // whole * whole)
            top, left = ((length - edge) // 2 for length in picture.shape[:2])
            window = picture[top : top + edge, left : left + edge]
            linear = linearise(window) if factor == 1 else linear_half_size(window)
            if cell.side == 6:
                height, width = (length // 96 * 96 for length in linear.shape[:2])
                top, left = (linear.shape[0] - height) // 2, (linear.shape[1] - width) // 2
                linear = linear[top : top + height, left : left + width]
            found[size].append(pack(camera_mosaic(linear, look, cell), cell.side))
    return found


def unlearnt(held_out: CleanSet, networks: Sequence[str]) -> CleanSet:
    """Held-out pictures that none of the networks, whose names may be joined by +, is known to have learnt."""
    known = set[Named]().union(*(learnt_by(name) for names in networks for name in names.split("+")))
    left = held_out.without(learnt_of(held_out, known))
    if not left.paths:
        raise InputError(f"{held_out.folders[0]}: the networks have learnt all held-out pictures: give other PICTURES")
    if dropped := len(held_out.paths) - len(left.paths):
        print(f"warning: {dropped} held-out pictures are left out, which a network has learnt", file=sys.stderr)
    return left


class MeanOfNetworks:
    """Networks for one kind of sensor, whose answers are averaged; names joined by +."""

    def __init__(self, names: str) -> None:
        self._networks = [TrainedNetwork(name) for name in names.split("+")]
        self.cell = self._networks[0].cell

    def holds(self, gain: float) -> bool:
        """Whether every network was trained for a gain."""
        return all(gain in network.subrange for network in self._networks)

    def planes(self, noisy: FloatArray, camera: Camera) -> FloatArray:
        """Noisy signal (planes, h, w) -> restored, with the true noise parameters."""
        return np.mean([network.planes(noisy, camera) for network in self._networks], axis=0, dtype=np.float32)


def mean_psnr(network: MeanOfNetworks, planes: list[FloatArray], gain: float) -> float:
    """Mean PSNR in dB of pictures made noisy at a gain; the noise is the same for every run."""
    rng, camera, scores = np.random.default_rng(5), camera_at(gain), []
    for clean in planes:
        restored = network.planes(add_noise(clean, camera, rng), camera)
        scores.append(psnr(np.clip(restored, 0, 1), clean))
    return float(np.mean(scores))


@without_traceback
def main() -> None:
    """Measure and print a line a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--gain", type=float, action="append", help="within the network's subrange or not")
    parser.add_argument("--learnt", type=int, default=0, metavar="N", help="pictures that were trained on instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.networks:
        network = MeanOfNetworks(name)
        clean = clean_planes(options.pictures, options.side, options.learnt, network.cell, options.networks)
        cells = [
            f"{gain:g} {size} {mean_psnr(network, planes, gain):.3f}"
            for gain in options.gain or [gain for gain in GAINS if network.holds(gain)]
            for size, planes in clean.items()
        ]
        print(f"{name}: {', '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
