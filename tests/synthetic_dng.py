"""DNGs with any tag set wrong or right, written with tifffile: a writer of its own, so that no test trusts ours."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

BYTE, ASCII, SHORT, LONG, RATIONAL, SRATIONAL, DOUBLE = 1, 2, 3, 4, 5, 10, 12
LINEAR_RAW = 34892
D65_MATRIX = (0.6722, -0.0635, -0.0963, -0.4287, 1.2460, 0.2028, -0.0908, 0.2162, 0.5668)
TagValue = tuple[int, Any]
"""TIFF type and value(s); rationals as floats."""


def flat_frame(height: int, width: int, *, dn: int = 4000, noise: float = 30.0, seed: int = 0) -> np.ndarray:
    """A (height, width) uint16 frame of noise around `dn`."""
    rng = np.random.default_rng(seed)
    return np.clip(np.rint(rng.normal(dn, noise, (height, width))), 0, 65535).astype(np.uint16)


def write_dng(
    path: Path,
    frame: np.ndarray,
    *,
    pattern: str = "RGGB",
    tags: Mapping[int, TagValue | None] | None = None,
    main_tags: Mapping[int, TagValue] | None = None,
    in_sub_ifd: bool = False,
    photometric: int = 32803,
    copies: int = 1,
    byteorder: str = "<",
) -> Path:
    """Write a DNG of `frame`, black 512 and white 16383 unless `tags` (of the raw directory) says otherwise.

    A tag set to None is left out. `main_tags` are for IFD0 where the raw picture lies in a SubIFD. A frame of one plane
    with photometric 34892 is a monochrome raw; tifffile refuses to write one, so it is marked as such afterwards.
    """
    if photometric == LINEAR_RAW and frame.ndim == 2:
        write_dng(path, frame, pattern=pattern, tags=tags, photometric=1)
        _replace_short(path, 262, 1, LINEAR_RAW)
        return path
    raw: dict[int, TagValue | None] = {
        33421: (SHORT, (2, 2)),
        33422: (BYTE, tuple("RGB".index(c) for c in pattern)),
        50713: (SHORT, (1, 1)),
        50714: (RATIONAL, (512.0,)),
        50717: (LONG, 16383),
    }
    camera: dict[int, TagValue | None] = {
        50706: (BYTE, (1, 4, 0, 0)),
        50707: (BYTE, (1, 1, 0, 0)),
        271: (ASCII, "Maker"),
        272: (ASCII, "Model X"),
        274: (SHORT, 1),
        50708: (ASCII, "Maker Model X"),
        50721: (SRATIONAL, D65_MATRIX),
        50728: (RATIONAL, (0.5, 1.0, 0.6)),
        50778: (SHORT, 21),
    }
    raw |= dict(tags or {})
    if in_sub_ifd:
        camera |= {number: raw.pop(number) for number in list(camera) if number in raw}
        camera |= dict(main_tags or {})
    else:
        raw = camera | raw
    with tifffile.TiffWriter(path, byteorder=byteorder) as tif:
        if in_sub_ifd:
            preview = np.zeros((8, 8, 3), np.uint8)
            tif.write(preview, photometric="rgb", subfiletype=1, subifds=copies, **_written(camera))
        for _ in range(copies):
            tif.write(
                np.ascontiguousarray(frame), photometric=photometric, planarconfig=1, subfiletype=0, **_written(raw)
            )
    return path


def _replace_short(path: Path, number: int, before: int, after: int) -> None:
    """Replace the value of the only entry of a tag with one SHORT of this value, in a little-endian file."""
    data = path.read_bytes()
    entry = number.to_bytes(2, "little") + bytes((3, 0, 1, 0, 0, 0)) + before.to_bytes(2, "little")
    assert data.count(entry) == 1
    path.write_bytes(data.replace(entry, entry[:-2] + after.to_bytes(2, "little")))


def _written(tags: Mapping[int, TagValue | None]) -> dict[str, Any]:
    extra, software = [], None
    for number, tag in tags.items():
        if tag is None:
            continue
        kind, value = tag
        if number == 305:  # tifffile's own to write
            software = value
            continue
        if kind == ASCII:
            extra.append((number, kind, 0, value, True))
            continue
        values = np.ravel(value).tolist()
        flat = _fractions(values) if kind in (RATIONAL, SRATIONAL) else tuple(values)
        extra.append((number, kind, len(values), flat if len(flat) > 1 else flat[0], True))
    return {"extratags": extra, "metadata": None, "software": software}


def _fractions(values: list[float]) -> tuple[int, ...]:
    fractions = [Fraction(value).limit_denominator(1_000_000) for value in values]
    return tuple(part for fraction in fractions for part in (fraction.numerator, fraction.denominator))
