"""Measure demosaicing on clean pictures: how far a picture is from the original after its mosaic is interpolated.

    python benchmarks/demosaicing.py FOLDER... [--limit N]

The centre of each picture, at most 1000 x 1000 pixels, becomes linear light and a mosaic, RGGB or X-Trans. Prints the
mean PSNR in dB of sRGB values for each method of rawkd, and with the interpolation in light instead of roots of light
(`rawkd.render.roots`).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, islice, product
from pathlib import Path
from unittest.mock import patch

import numpy as np
from script_errors import without_traceback

from rawkd.evaluation.datasets.synthetic import clean_pictures
from rawkd.files.read.decode import Decoder
from rawkd.files.read.pictures import read_picture
from rawkd.metrics import psnr
from rawkd.photo import Capture, CFAPattern, ColorCalibration, FloatArray, Levels, Mosaic, RawPhoto, Rect
from rawkd.render import demosaic, xtrans
from rawkd.render.color import XYZ_FROM_RGB
from rawkd.render.demosaic import METHODS, SITES
from rawkd.render.linear import linear_picture

SIDE_PX, EDGE_PX = 1000, 24
WHITE_DN = 65535


def decoded(srgb: FloatArray) -> FloatArray:
    """Convert sRGB 0..1 to linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def encoded(light: FloatArray) -> FloatArray:
    """Convert linear light to sRGB 0..1."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def photo_of(light: FloatArray, pattern: CFAPattern) -> RawPhoto:
    """Return the photo of a picture (H, W, 3) by a sensor whose colours are those of sRGB."""
    height, width = light.shape[:2]
    side = pattern.side
    sites = np.array(["RGB".index(colour) for colour in pattern.colours]).reshape(side, side)
    colours = np.tile(sites, (height // side, width // side))
    signal = np.take_along_axis(light, colours[..., None], 2)[..., 0]
    area = Rect(0, 0, height, width)
    levels = Levels(np.zeros((1, 1)), WHITE_DN, WHITE_DN, 16, cell_side=side)
    color = ColorCalibration(np.linalg.inv(XYZ_FROM_RGB), np.ones(3))
    photo = RawPhoto(np.zeros((height, width), np.uint16), area, area, pattern, levels, color, Capture())
    return photo.with_mosaic(Mosaic(np.ascontiguousarray(signal), pattern))


def scores(path: Path, decoder: Decoder) -> Iterator[tuple[str, float]]:
    """Yield the methods and their PSNR on a picture."""
    srgb = read_picture(path).astype(np.float32) / 255
    top, left = ((length - min(length, SIDE_PX)) // 2 for length in srgb.shape[:2])
    for pattern in (CFAPattern.RGGB, CFAPattern.XTRANS):
        height, width = (min(length, SIDE_PX) // pattern.side * pattern.side for length in srgb.shape[:2])
        truth = srgb[top : top + height, left : left + width]
        photo = photo_of(decoded(truth), pattern)
        for method in METHODS:
            if (method in SITES) is (pattern.kind == "bayer"):
                picture = linear_picture(photo, demosaic=method, markesteijn=decoder.demosaic)
                inner = slice(EDGE_PX, -EDGE_PX)
                found = encoded(picture.data[inner, inner].astype(np.float32) / picture.white_dn)
                yield method, psnr(found, truth[inner, inner])


@contextmanager
def in_light() -> Iterator[None]:
    """Interpolate light itself instead of its roots."""
    with ExitStack() as stack:
        for module, name in product((demosaic, xtrans), ("to_roots", "to_signal")):
            stack.enter_context(patch.object(module, name, np.copy))
        yield


@without_traceback
def main() -> None:
    """Measure and print a line for each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--limit", type=int, help="number of pictures of each folder")
    options = parser.parse_args()
    paths = list(chain.from_iterable(islice(clean_pictures(folder), options.limit) for folder in options.folders))
    found = defaultdict(list)
    with Decoder() as decoder:
        for path in paths:
            for method, value in scores(path, decoder):
                found[method, "light" if method == "bilinear" else "roots"].append(value)
            with in_light():
                for method, value in scores(path, decoder):
                    if method != "bilinear":
                        found[method, "light"].append(value)
    for (method, scale), values in found.items():
        print(f"{method}, in {scale}: {np.mean(values):.2f} dB, {len(values)} pictures")


if __name__ == "__main__":
    main()
