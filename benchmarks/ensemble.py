"""Measure what a self-ensemble gains and costs for each student: the table behind the default of `--ensemble`.

    python benchmarks/ensemble.py PICTURES [--model NAME|DIR] [--side 512] [--number 6]

PICTURES is the folder that the students were trained on; only the pictures held out of training (one in twelve) are
used. Each is cropped at its centre, unprocessed with seed 99, made noisy at the middle gain of each student, and
restored with the true noise parameters by 1, 2, 4 and 8 symmetries. Prints the mean PSNR in dB of the mosaic clipped
to 0..1, and the best time in seconds a megapixel.
"""

from __future__ import annotations

import argparse
import math
import time
from functools import partial
from pathlib import Path

import numpy as np
from script_errors import without_traceback

from rawkd.files.read.pictures import read_picture
from rawkd.inference.card import ModelCard
from rawkd.inference.engine import Engine
from rawkd.inference.engines import Engines
from rawkd.inference.self_ensemble import self_ensemble
from rawkd.inference.students import load_family
from rawkd.inference.tiling import denoise_tiled
from rawkd.metrics import psnr
from rawkd.photo import FloatArray
from rawkd.sensor.cfa import pack, unpack
from rawkd.sensor.ksigma import KSigma
from rawkd.training.data.clean import find_pictures
from rawkd.training.data.synthesize import add_noise, camera_at
from rawkd.training.data.unprocess import random_look, unprocess

SIZES = (1, 2, 4, 8)


def clean_mosaics(folder: Path, side: int, number: int) -> list[FloatArray]:
    """Central crops of held-out pictures as RGGB signal."""
    _, held_out = find_pictures([folder], side)
    rng = np.random.default_rng(99)
    mosaics = []
    for path in held_out.paths[:number]:
        picture = read_picture(path)
        top, left = ((size - side) // 2 for size in picture.shape[:2])
        mosaics.append(unprocess(picture[top : top + side, left : left + side], random_look(rng)))
    return mosaics


def _once(rggb: FloatArray, *, engine: Engine, ksigma: KSigma, card: ModelCard) -> FloatArray:
    return denoise_tiled(engine, rggb, ksigma, card)


@without_traceback
def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--number", type=int, default=6)
    options = parser.parse_args()
    clean = clean_mosaics(options.pictures, options.side, options.number)
    print("| student | gain | noisy dB | " + " | ".join(f"x{size} dB (s/MP)" for size in SIZES) + " |")
    print("|---|---|---|" + "---|" * len(SIZES))
    for card in load_family(options.model):
        gain = math.sqrt(card.subrange.low * card.subrange.high)
        camera = camera_at(gain)
        ksigma = KSigma.between(camera.noise_model(), card.anchor)
        engine, _ = Engines().load(card, device="cpu")
        rng = np.random.default_rng(1)
        noisy = [unpack(add_noise(pack(mosaic), camera, rng)) for mosaic in clean]
        before = np.mean([psnr(np.clip(n, 0, 1), c) for n, c in zip(noisy, clean, strict=True)])
        once = partial(_once, engine=engine, ksigma=ksigma, card=card)
        cells = []
        for size in SIZES:
            scores, seconds = [], []
            for mosaic, truth in zip(noisy, clean, strict=True):
                began = time.perf_counter()
                restored = self_ensemble(once, mosaic, size)
                seconds.append((time.perf_counter() - began) / truth.size * 1e6)
                scores.append(psnr(np.clip(restored, 0, 1), truth))
            cells.append(f"{np.mean(scores):.3f} ({min(seconds):.3f})")
        print(f"| {card.name} | {gain:.2e} | {before:.2f} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
