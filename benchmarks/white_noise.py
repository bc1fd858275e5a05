"""Score runs on pictures with white Gaussian noise, by the rules of `rawkd bench awgn`, without exporting them.

    python benchmarks/white_noise.py NETWORK... --set SET... [--sigma 50] [--ensemble 1]

NETWORK is a run, a snapshot or a model of grey or colour pictures; SET a folder of clean pictures. rawkd exports
weights only if the licence of each training picture is known, so networks for tables alone (trained on
`../shared/data/train400`) stay runs. --sigma: by default the middle of what the network was trained for. --ensemble 8
averages the eight symmetries. Prints the mean PSNR in dB and SSIM of each set.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from script_errors import without_traceback

from rawkd.evaluation.awgn import clean_pictures, clean_values, score
from rawkd.inference.pictures import SYMMETRIES, WHITE, restore_picture
from rawkd.inference.torch_engine import TorchEngine
from rawkd.training.saved.trained import find_trained, load_trained


def mean_scores(name: str, folder: Path, sigma: float | None, members: int) -> tuple[float, dict[str, float]]:
    """Sigma, and mean PSNR and SSIM of a network on a folder; noise of seed 0."""
    card: Any = find_trained(name)
    engine = TorchEngine(load_trained(card).float(), "cpu")
    sigma = sigma or (card.subrange.low + card.subrange.high) / 2
    scores = []
    for number, path in enumerate(clean_pictures(folder)):
        clean = clean_values(path, card.input)
        field = np.random.default_rng([0, number]).standard_normal(clean.shape)
        noisy = (clean + sigma / WHITE * field).astype(np.float32)
        scores.append(score(restore_picture(engine, noisy, card, members), clean))
    return sigma, {key: float(np.mean([one[key] for one in scores])) for key in scores[0]}


@without_traceback
def main() -> None:
    """Score and print a line for each network and set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--set", dest="sets", type=Path, nargs="+", required=True)
    parser.add_argument("--sigma", type=float)
    parser.add_argument("--ensemble", type=int, default=1, choices=sorted(SYMMETRIES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.networks:
        for folder in options.sets:
            sigma, means = mean_scores(name, folder, options.sigma, options.ensemble)
            print(
                f"{name} {folder.name} sigma {sigma:g}: {means['psnr_db']:.3f} dB, SSIM {means['ssim']:.4f}", flush=True
            )


if __name__ == "__main__":
    main()
