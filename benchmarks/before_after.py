"""Draw the before and after pictures of the docs.

    python benchmarks/before_after.py [--output docs/images]

Renders the photos of `examples/` with the default settings and with strength 0, and places 100 % crops side by side.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import rawkd

ROOT = Path(__file__).resolve().parents[1]
HEIGHT, WIDTH, GAP_PX = 260, 400, 8
PICTURES = {
    "made-noisy.png": ("canon-s40-box-made-noisy.dng", ((260, 300), (60, 640))),
    "real.png": ("canon-s40-box.crw", ((700, 980), (1180, 1240))),
}
"""The photo, and top and left of its crops, pixels."""


def rendered(photo: Path, strength: float, folder: Path) -> np.ndarray:
    """The whole photo as an 8-bit picture, (H, W, 3)."""
    output = folder / f"{photo.stem}-{strength}.png"
    options = rawkd.ProcessOptions(denoise=rawkd.DenoiseOptions(strength=strength))
    rawkd.denoise_file(photo, output, options)
    return np.asarray(Image.open(output).convert("RGB"))


def side_by_side(before: np.ndarray, after: np.ndarray, corners: tuple[tuple[int, int], ...]) -> np.ndarray:
    """One row for each crop, before on the left; white gaps."""
    rows = len(corners)
    sheet = np.full((rows * (HEIGHT + GAP_PX) - GAP_PX, 2 * WIDTH + GAP_PX, 3), 255, np.uint8)
    for row, (top, left) in enumerate(corners):
        for column, picture in enumerate((before, after)):
            y, x = row * (HEIGHT + GAP_PX), column * (WIDTH + GAP_PX)
            sheet[y : y + HEIGHT, x : x + WIDTH] = picture[top : top + HEIGHT, left : left + WIDTH]
    return sheet


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        for name, (photo, corners) in PICTURES.items():
            before, after = (rendered(ROOT / "examples" / photo, strength, Path(folder)) for strength in (0.0, 1.0))
            Image.fromarray(side_by_side(before, after, corners)).save(output / name, optimize=True)


if __name__ == "__main__":
    main()
