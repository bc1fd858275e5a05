"""Make a raw photo noisy, to see what a denoiser does where the truth is known.

    python examples/make_noisy.py examples/canon-s40-box.crw examples/canon-s40-box-made-noisy.dng --gain 6e-3
    python examples/make_noisy.py examples/canon-s40-box.crw xtrans.dng --cfa xtrans

The mosaic is binned 2x2 per colour (its own noise is then small), gets Poisson-Gaussian noise of the gain asked for and
a read variance on the usual line, is quantised to 14 bits and written as a DNG that says in its name, model and
description what it is. Seed 1. --cfa demosaics the binned mosaic first and samples it like an X-Trans or a monochrome
sensor.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from rawkd.files.read.raw import read_raw
from rawkd.files.write.dng import write_dng
from rawkd.photo import CFAPattern, ColorCalibration, DoubleArray, FloatArray, Levels, Mosaic, RawPhoto, Rect
from rawkd.render.demosaic import HALO_CELLS, SITES, sites_to_pixels
from rawkd.render.preview import render_preview
from rawkd.sensor.cfa import pack, unpack
from rawkd.training.data.clean import bin_mosaic
from rawkd.training.data.synthesize import add_noise, camera_at

BLACK_DN, WHITE_DN = 512, 16383


SENSITIVITY = (34855, *range(34864, 34870))
"""EXIF tags that state the ISO. The picture has more noise than the camera has at that ISO."""
CELLS = {"bayer": CFAPattern.RGGB, "xtrans": CFAPattern.XTRANS, "mono": CFAPattern.MONO}


def made_noisy(photo: RawPhoto, gain: float, seed: int = 1, cfa: str = "bayer") -> RawPhoto:
    """A half-size photo of the same scene, in the canonical phase of a CFA, with the noise of `gain`."""
    pattern = CELLS[cfa]
    clean = np.clip(bin_mosaic(photo.mosaic), 0, 1)
    if cfa != "bayer":
        clean = pack(sampled(unpack(clean), pattern, photo.color.as_shot_neutral), pattern.side)
    noisy = unpack(add_noise(clean, camera_at(gain), np.random.default_rng(seed)))
    height, width = noisy.shape
    area = Rect(0, 0, height, width)
    levels = Levels(np.array([[float(BLACK_DN)]]), float(WHITE_DN), float(WHITE_DN), 14, cell_side=pattern.side)
    capture = replace(
        photo.capture,
        model=f"{photo.capture.model} made noisy",
        unique_camera_model="rawkd example, made noisy",
        iso=None,
        exif=tuple(tag for tag in photo.capture.exif if tag.number not in SENSITIVITY),
    )
    color = ColorCalibration.none() if cfa == "mono" else photo.color
    blank = replace(
        photo, frame=np.zeros((height, width), np.uint16), active_area=area, default_crop=area, pattern=pattern,
        levels=levels, color=color, capture=capture, noise_profile=(), tags=(), is_dng=False,
    )  # fmt: skip
    return blank.with_mosaic(Mosaic(np.ascontiguousarray(noisy), pattern))


def sampled(rggb: FloatArray, pattern: CFAPattern, neutral: DoubleArray) -> FloatArray:
    """Demosaic an RGGB mosaic and sample it again, whole cells; monochrome is the mean of white-balanced colours."""
    gains = neutral[1] / neutral
    cells = np.tile([[gains[0], 1], [1, gains[2]]], (rggb.shape[0] // 2, rggb.shape[1] // 2))
    balanced = (rggb * cells).astype(np.float32)
    around = np.pad(balanced, 2 * HALO_CELLS["menon"], mode="reflect")
    rgb = np.clip(sites_to_pixels(SITES["menon"](pack(around))), 0, None)
    if pattern.kind == "mono":
        return np.clip(rgb.mean(axis=2), 0, 1)
    side = pattern.side
    height, width = (size // side * side for size in rggb.shape)
    cell = np.array(["RGB".index(letter) for letter in pattern.colours]).reshape(side, side)
    colours = np.tile(cell, (height // side, width // side))[..., None]
    values = np.take_along_axis((rgb / gains)[:height, :width], colours, axis=2)[..., 0]
    return np.clip(values, 0, 1).astype(np.float32)


def main() -> None:
    """Read, make noisy, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--gain", type=float, default=6e-3)
    parser.add_argument("--cfa", choices=CELLS, default="bayer")
    options = parser.parse_args()
    noisy = made_noisy(read_raw(options.source), options.gain, cfa=options.cfa)
    # a batch takes what "rawkd ..." wrote for its own outputs, and this is to be an input
    write_dng(options.output, noisy, preview=render_preview(noisy), overwrite=True, software="examples/make_noisy.py")


if __name__ == "__main__":
    main()
