"""Make a raw photo noisy, to see what a denoiser does where the truth is known.

    python examples/make_noisy.py examples/canon-s40-box.crw examples/canon-s40-box-made-noisy.dng --gain 6e-3

The mosaic is binned 2x2 per colour (its own noise is then small), gets Poisson-Gaussian noise of the gain asked for and
a read variance on the usual line, is quantised to 14 bits and written as a DNG that says in its name, model and
description what it is. Seed 1.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from rawkd.files.read.raw import read_raw
from rawkd.files.write.dng import write_dng
from rawkd.photo import CFAPattern, Levels, Mosaic, RawPhoto, Rect
from rawkd.render.preview import render_preview
from rawkd.sensor.cfa import unpack
from rawkd.training.data.clean import bin_mosaic
from rawkd.training.data.synthesize import add_noise, camera_at

BLACK_DN, WHITE_DN = 512, 16383


def made_noisy(photo: RawPhoto, gain: float, seed: int = 1) -> RawPhoto:
    """A half-size RGGB photo of the same scene with the noise of `gain`."""
    clean = np.clip(bin_mosaic(photo.mosaic), 0, 1)
    noisy = unpack(add_noise(clean, camera_at(gain), np.random.default_rng(seed)))
    height, width = noisy.shape
    area = Rect(0, 0, height, width)
    levels = Levels(np.array([[float(BLACK_DN)]]), float(WHITE_DN), float(WHITE_DN), 14)
    capture = replace(
        photo.capture,
        model=f"{photo.capture.model} made noisy",
        unique_camera_model="rawkd example, made noisy",
        iso=None,
    )
    blank = replace(
        photo, frame=np.zeros((height, width), np.uint16), active_area=area, default_crop=area, pattern=CFAPattern.RGGB,
        levels=levels, capture=capture, noise_profile=(), tags=(), is_dng=False,
    )  # fmt: skip
    return blank.with_mosaic(Mosaic(np.ascontiguousarray(noisy), CFAPattern.RGGB))


def main() -> None:
    """Read, make noisy, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--gain", type=float, default=6e-3)
    options = parser.parse_args()
    noisy = made_noisy(read_raw(options.source), options.gain)
    # a batch takes what "rawkd ..." wrote for its own outputs, and this is to be an input
    write_dng(options.output, noisy, preview=render_preview(noisy), overwrite=True, software="examples/make_noisy.py")


if __name__ == "__main__":
    main()
