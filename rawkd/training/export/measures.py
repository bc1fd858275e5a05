"""Measure the quality figures of a card: PSNR and SSIM on held-out pictures, and the PSNR that bf16 loses."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from rawkd.errors import InputError, ModelError
from rawkd.inference.card import ModelCard
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.engine import Engine
from rawkd.inference.pictures import WHITE, restore_picture
from rawkd.inference.selftest import check_golden
from rawkd.metrics import psnr, ssim
from rawkd.photo import FloatArray
from rawkd.sensor.ksigma import KSigma
from rawkd.training.data.awgn import crop_of_picture
from rawkd.training.data.clean import CleanSet
from rawkd.training.data.clean_crops import picture_crop
from rawkd.training.data.synthesize import add_noise, camera_at
from rawkd.training.saved.pictures import learnt_of
from rawkd.training.saved.provenance import trained_on

NUM_CROPS, CROP_PX = 24, 128
"""Number of crops, and the side of those of pictures."""
CROP_MOSAIC_PX = 256
"""Side of crops of mosaics, rounded down to what the network takes."""
MEASURE_SEED = 4242
GAINS_A_DECADE = 3.25
"""Number of gains per decade at which we measure: 3 for a student of the shipped family, 12 for its whole range."""


def unlearnt(run: Path, training: CleanSet, held_out: CleanSet) -> CleanSet:
    """Return the held-out pictures that a run has not learnt; if it has learnt them all, the other ones of `training`.

    Raises
    ------
    InputError: if it has learnt all pictures.
    """
    learnt = trained_on(run)
    for pictures in (held_out, training):
        if (left := pictures.without(learnt_of(pictures, learnt))).paths:
            return left
    raise InputError(
        f"{run}: it has learnt all pictures of --data, so none is left to measure it on. Add a folder of others."
    )


def measure(engine: Engine, card: ModelCard, held_out: CleanSet) -> dict[str, dict[str, float]]:
    """Return psnr, psnr_noisy (dB) and ssim by gain, at three or more gains of the model's subrange.

    They are means over held-out crops of the packed signal, clipped to 0..1, peak 1, with true noise parameters. For a
    model for pictures: by sigma, at the lowest and the highest one, of the clipped pictures.
    """
    low, high = card.subrange.low, card.subrange.high
    if card.is_for_pictures:
        return {f"{sigma:g}": _measure_pictures_at(engine, card, held_out, sigma) for sigma in (low, high)}
    count = max(3, round(GAINS_A_DECADE * math.log10(high / low)))
    gains = np.geomspace(low, high, count + 2)[1:-1]
    return {f"{gain:.2e}": measure_at(engine, card, held_out, float(gain)) for gain in gains}


def measure_at(engine: Engine, card: ModelCard, held_out: CleanSet, gain: float) -> dict[str, float]:
    """Return psnr, psnr_noisy (dB) and ssim at one gain, as in `measure`."""
    rng = np.random.default_rng(MEASURE_SEED)
    rows = []
    crop_px = CROP_MOSAIC_PX // (card.cell.side * card.stride) * card.stride
    for _ in range(NUM_CROPS):
        clean = picture_crop(held_out, crop_px, rng, cell=card.cell).planes
        camera = camera_at(gain)
        noisy = add_noise(clean, camera, rng)
        restored = _restore(engine, noisy, KSigma.between(camera.noise_model(card.cell), card.anchor).spread(card.cell))
        rows.append(_scores(restored, noisy, clean))
    return _means(rows)


def _measure_pictures_at(engine: Engine, card: ModelCard, held_out: CleanSet, sigma: float) -> dict[str, float]:
    rng = np.random.default_rng(MEASURE_SEED)
    rows = []
    for _ in range(NUM_CROPS):
        clean = crop_of_picture(held_out, CROP_PX, card.channels, rng)
        noisy = clean + np.float32(sigma / WHITE) * rng.standard_normal(clean.shape, np.float32)
        rows.append(_scores(restore_picture(engine, noisy, card), noisy, clean))
    return _means(rows)


def _scores(restored: FloatArray, noisy: FloatArray, clean: FloatArray) -> tuple[float, float, float]:
    """Return PSNR, PSNR of the noisy planes, and SSIM, clipped to 0..1."""
    out, seen = np.clip(restored, 0, 1), np.clip(noisy, 0, 1)
    similarity = np.mean([ssim(a, b) for a, b in zip(out, clean, strict=True)])
    return psnr(out, clean), psnr(seen, clean), float(similarity)


def _means(rows: list[tuple[float, float, float]]) -> dict[str, float]:
    means = np.mean(rows, axis=0)
    return {
        "psnr": round(float(means[0]), 3),
        "psnr_noisy": round(float(means[1]), 3),
        "ssim": round(float(means[2]), 5),
    }


def _restore(engine: Engine, noisy: FloatArray, ksigma: KSigma) -> FloatArray:
    restored: FloatArray = ksigma.invert(engine.run(ksigma.apply(noisy)[None])[0])
    return restored


def cost_of(precision: str, card: ModelCard, held_out: CleanSet) -> dict[str, float] | None:
    """Return the PSNR that bf16 or int8 loses by gain, dB; None if this machine lacks it or fails the self-test."""
    try:
        engine = OpenVINOEngine(card, precision=precision)
        check_golden(card, engine)
    except ModelError:
        return None
    short = measure(engine, card, held_out)
    return {gain: round(card.metrics[gain]["psnr"] - short[gain]["psnr"], 3) for gain in short}
