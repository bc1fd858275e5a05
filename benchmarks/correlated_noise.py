"""Measure what the estimator finds in noise that is smoothed in each colour plane, and what that is worth.

    python benchmarks/correlated_noise.py PICTURES [NETWORK...] [--smoothing 0.2]... [--learnt]

PICTURES is the folder of the training photos. Those held out of training are used, with --learnt all others, halved.
Each is unprocessed with seed 99 and made noisy at the gains of docs/accuracy.md. NETWORK is a shipped model, or the
folder of a model, a run or a snapshot.

Prints for each smoothing (weight of each neighbour; 0: white noise) and gain:

- how often correlation was found, and the mean of both directions where it was;
- estimated variance over the true one, at the median level of each photo: median and range, with the correlation and
  without ("unknown": as if no correlation had been measured);
- for each network: mean PSNR in dB of centre crops of 320 x 320 pixels, with the true noise parameters, with the
  estimate, and with the one without the correlation.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from held_out import unlearnt
from script_errors import without_traceback
from torch import nn

from rawkd.files.read.pictures import read_picture
from rawkd.metrics import psnr
from rawkd.photo import CFAPattern, FloatArray, Mosaic
from rawkd.sensor.blind import estimate
from rawkd.sensor.blind.correlation import WHITE, measure_correlation
from rawkd.sensor.cfa import pack, unpack
from rawkd.sensor.ksigma import Anchor, KSigma
from rawkd.sensor.noise import NoiseModel
from rawkd.training.data.clean import find_pictures
from rawkd.training.data.clean_crops import linear_half_size
from rawkd.training.data.synthesize import add_noise, camera_at
from rawkd.training.data.unprocess import camera_mosaic, random_look
from rawkd.training.saved.trained import find_trained, load_trained

GAINS = (5e-5, 3e-4, 1.5e-3, 6e-3, 2.5e-2)
SMOOTHINGS = (0.0, 0.1, 0.2, 0.25)
FLOOR, STEP = -512 / 15871, 1 / 15871
SIDE = 160
"""Side of a crop, packed pixels."""

Network = tuple[str, nn.Module, Anchor]


def clean_photos(folder: Path, networks: Sequence[str], *, learnt: bool) -> list[FloatArray]:
    """Whole halved pictures as signal, (4, h, w): those that the networks have learnt, or have not."""
    training, held_out = find_pictures([folder], 2 * 2 * SIDE)
    rng, found = np.random.default_rng(99), []
    for path in (training if learnt else unlearnt(held_out, networks)).paths:
        picture, look = read_picture(path), random_look(rng)
        height, width = (length // 4 * 4 for length in picture.shape[:2])
        found.append(pack(camera_mosaic(linear_half_size(picture[:height, :width]), look)))
    return found


def estimated(mosaic: Mosaic, *, knows: bool) -> estimate.NoiseEstimate:
    """The estimate, which knows of correlation or not."""
    estimate.measure_correlation = measure_correlation if knows else lambda *_args, **_options: WHITE
    return estimate.estimate_noise(mosaic, saturation=1.0, floor=FLOOR, step=STEP)


def restored(network: Network, noisy: FloatArray, noise: NoiseModel) -> FloatArray:
    """The centre of a noisy picture, restored."""
    _, module, anchor = network
    ksigma = KSigma.between(noise, anchor)
    with torch.no_grad():
        planes = torch.from_numpy(ksigma.apply(centre(noisy))[None])
        return np.clip(ksigma.invert(module(planes)[0].numpy()), 0, 1)


def centre(planes: FloatArray) -> FloatArray:
    """The middle of a picture, (4, SIDE, SIDE)."""
    top, left = ((length - SIDE) // 2 for length in planes.shape[1:])
    return np.ascontiguousarray(planes[:, top : top + SIDE, left : left + SIDE])


def measure(photos: list[FloatArray], networks: list[Network], gain: float, smoothing: float) -> str:
    """One line of the output."""
    camera = replace(camera_at(gain), smoothing=smoothing)
    found, ratios = [], {"known": list[float](), "unknown": list[float]()}
    scores = np.zeros((len(networks), 3))
    for number, clean in enumerate(photos):
        noisy = add_noise(clean, camera, np.random.default_rng(number))
        models = [camera.noise_model()]
        for name, values in ratios.items():
            one = estimated(Mosaic(unpack(noisy), CFAPattern.RGGB), knows=name == "known")
            at_level = one.gain * one.level + one.read_variance
            values.append(at_level / (gain * one.level + camera.total_read_variance))
            models.append(one.model("blind"))
            if one.correlation.significant:
                found.append((one.correlation.horizontal + one.correlation.vertical) / 2)
        for row, network in enumerate(networks):
            scores[row] += [psnr(restored(network, noisy, model), centre(clean)) for model in models]
    cells = [f"{gain:g} smoothing {smoothing:g}: found in {len(found)} of {len(photos)}"]
    cells += [f"by {np.mean(found):.2f}"] if found else []
    cells += [f"{k} {np.median(v):.2f} ({np.min(v):.2f} to {np.max(v):.2f})" for k, v in ratios.items()]
    for (name, _, _), (true, known, unknown) in zip(networks, scores / len(photos), strict=True):
        cells.append(f"{name} {true:.2f} {known:.2f} {unknown:.2f}")
    return ", ".join(cells)


@without_traceback
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--smoothing", type=float, action="append", help="default: 0, 0.1, 0.2 and 0.25")
    parser.add_argument("--learnt", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    networks = []
    for name in options.networks:
        card = find_trained(name)
        networks.append((Path(name).name, load_trained(card).float().eval(), card.anchor))
    photos = clean_photos(options.pictures, options.networks, learnt=options.learnt)
    for gain in GAINS:
        for smoothing in options.smoothing or SMOOTHINGS:
            print(measure(photos, networks, gain, smoothing), flush=True)


if __name__ == "__main__":
    main()
