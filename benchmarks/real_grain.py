"""Measure how much grain is left in flat areas of a real photo.

    python benchmarks/real_grain.py PHOTO X,Y,SIDE... [--model fast --model balanced]

X, Y and SIDE are pixels of the mosaic's active area, a flat square each. From the red, the blue and every second green
pixel a quadratic surface is subtracted; what remains is compared before and after: its standard deviation, and that of
its means over 4 x 4 samples (blotches). Prints both in per cent of the noise before, a line for each square and colour.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from script_errors import without_traceback

from rawkd.files.read.raw import read_raw
from rawkd.photo import FloatArray, Mosaic
from rawkd.restore.context import Context
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import denoise

BLOTCH = 4


def samples(mosaic: Mosaic, colour: str, left: int, top: int, side: int) -> FloatArray:
    """Samples of a colour in every second row and column of a square, less a quadratic surface."""
    row, column = next(
        (row, column)
        for row in (0, 1)
        for column in (0, 1)
        if mosaic.pattern.colour_at(top + row, left + column) == colour
    )
    square = mosaic.data[top + row : top + side : 2, left + column : left + side : 2]
    square = square[: len(square) // BLOTCH * BLOTCH, : square.shape[1] // BLOTCH * BLOTCH].astype(np.float64)
    y, x = (axis.ravel() / square.shape[0] for axis in np.mgrid[: square.shape[0], : square.shape[1]])
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    fitted = terms @ np.linalg.lstsq(terms, square.ravel(), rcond=None)[0]
    return np.asarray(square - fitted.reshape(square.shape), np.float32)


def deviations(rest: FloatArray) -> tuple[float, float]:
    """Standard deviation of the samples, and of their means over squares."""
    height, width = rest.shape
    means = rest.reshape(height // BLOTCH, BLOTCH, width // BLOTCH, BLOTCH).mean(axis=(1, 3))
    return float(rest.std()), float(means.std())


@without_traceback
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("squares", nargs="+", metavar="X,Y,SIDE")
    parser.add_argument("--model", action="append")
    options = parser.parse_args()
    squares = [tuple(map(int, square.split(","))) for square in options.squares]
    photo, context = read_raw(options.photo), Context()
    wanted = [(colour, square) for square in squares for colour in "RGB"]
    before = [deviations(samples(photo.mosaic, colour, *square)) for colour, square in wanted]
    for model in options.model or ["fast", "balanced", "best"]:
        restored = denoise(photo, DenoiseOptions(model=model, device="cpu"), context=context)
        print(f"{restored.student}, gain {restored.noise.green_gain:.2g} ({restored.noise.source})")
        for (colour, square), (noise, blotches) in zip(wanted, before, strict=True):
            left, left_blotches = deviations(samples(restored.mosaic, colour, *square))
            print(
                f"  {','.join(map(str, square))} {colour}: {100 * left / noise:.0f} % of the grain,"
                f" {100 * left_blotches / blotches:.0f} % of the blotches",
                flush=True,
            )


if __name__ == "__main__":
    main()
