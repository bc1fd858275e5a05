"""The MD5 of raw pixels that a DNG states in NewRawImageDigest (tag 51111).

Source: DNG specification 1.4, NewRawImageDigest. The layout of the tiles was found by comparison with files of Adobe's
SDK, which `tests/test_adobe_checks.py` repeats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEW_RAW_IMAGE_DIGEST, RAW_IMAGE_DIGEST = 51111, 50972
"""The second tag is its predecessor (DNG 1.2), which rawkd neither writes nor checks."""
TILE_PX = 256

Map = Callable[[Callable[[int], bytes], Iterable[int]], Iterable[bytes]]


def raw_image_digest(samples: NDArray[Any], run: Map = map) -> bytes:
    """Return the NewRawImageDigest of a raw picture, 16 bytes.

    The picture is cut into tiles of 256 x 256 pixels, row by row; those at the right and at the bottom are smaller. The
    MD5 of each tile's samples is taken, then the MD5 of all these digests in order. A tile of several samples for each
    pixel is hashed plane by plane.

    Parameters
    ----------
    samples : (H, W) or (H, W, samples for each pixel), uint8 or uint16, as stored: before the linearisation table, with
        masked pixels.
    run : a `map`, such as that of a thread pool, which hashes rows of tiles at the same time.
    """
    height, width = samples.shape[:2]
    stored = samples.dtype.newbyteorder("<")

    def digests_of_row(top: int) -> bytes:
        band = samples[top : top + TILE_PX]
        planes = band if band.ndim == 2 else np.moveaxis(band, 2, 0)
        tiles = (planes[..., left : left + TILE_PX].astype(stored, copy=False) for left in range(0, width, TILE_PX))
        return b"".join(hashlib.md5(tile.tobytes(), usedforsecurity=False).digest() for tile in tiles)

    digests = b"".join(run(digests_of_row, range(0, height, TILE_PX)))
    return hashlib.md5(digests, usedforsecurity=False).digest()
