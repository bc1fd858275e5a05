"""DNGs whose raw picture is stored in tiles of lossless JPEG, in every form; tifffile makes the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tifffile
from synthetic_dng import ASCII, BYTE, LINEAR_RAW, LONG, SHORT, TagValue, _replace_short, _written

from rawkd.files.write.ljpeg import encode_components
from rawkd.photo import CFAPattern


def random_frame(height: int, width: int, top: int = 16383) -> np.ndarray:
    """A frame with a different number at nearly every pixel, 1 to `top`: a misplaced tile shows."""
    return np.random.default_rng(height * width).integers(1, top + 1, (height, width)).astype(np.uint16)


def write_tiled_dng(
    path: Path,
    frame: np.ndarray,
    tile: tuple[int, int],
    *,
    pattern: CFAPattern = CFAPattern.RGGB,
    components: int = 2,
    tags: Mapping[int, TagValue] | None = None,
    main_tags: Mapping[int, TagValue] | None = None,
    byteorder: str = "<",
    in_sub_ifd: bool = False,
) -> Path:
    """Write `frame`, (H, W) uint8 or uint16, in tiles of (height, width) pixels, padded at the edges.

    The JPEG of a tile has its rows, and `components` neighbouring pixels are those of one place. `main_tags` are for
    IFD0 where the raw picture lies in a SubIFD.
    """
    height, width = frame.shape
    padded = np.pad(frame, ((0, -height % tile[0]), (0, -width % tile[1])), mode="edge")
    blocks = [
        _encoded(padded[top : top + tile[0], left : left + tile[1]].reshape(tile[0], -1, components))
        for top in range(0, height, tile[0])
        for left in range(0, width, tile[1])
    ]
    camera: dict[int, TagValue | None] = {
        50706: (BYTE, (1, 4, 0, 0)),
        271: (ASCII, "Maker"),
        272: (ASCII, "Model X"),
        50708: (ASCII, "Maker Model X"),
    }
    is_mono = pattern is CFAPattern.MONO
    cell = () if is_mono else ((33421, (SHORT, (pattern.side,) * 2)), (33422, (BYTE, _codes(pattern))))
    raw: dict[int, TagValue | None] = {50717: (LONG, 16383), **dict(cell), **dict(tags or {})}
    if in_sub_ifd:
        camera |= dict(main_tags or {})
    else:
        raw = camera | raw
    with tifffile.TiffWriter(path, byteorder=byteorder) as tif:
        if in_sub_ifd:
            tif.write(np.zeros((8, 8, 3), np.uint8), photometric="rgb", subfiletype=1, subifds=1, **_written(camera))
        tif.write(
            iter(blocks),
            shape=frame.shape,
            dtype=frame.dtype,
            photometric=1 if is_mono else 32803,
            planarconfig=1,
            subfiletype=0,
            compression=7,
            tile=tile,
            **_written(raw),
        )
    if is_mono:
        _replace_short(path, 262, 1, LINEAR_RAW)
    return path


def _encoded(tile: np.ndarray) -> bytes:
    if tile.dtype == np.uint16:
        return encode_components(tile)
    import imagecodecs

    encoded: bytes = imagecodecs.jpeg8_encode(tile, lossless=True, predictor=1, colorspace="unknown")
    return encoded


def _codes(pattern: CFAPattern) -> tuple[int, ...]:
    return tuple("RGB".index(colour) for colour in pattern.colours)
