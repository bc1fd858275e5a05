"""Read the gain maps from a DNG's opcode lists, and name the corrections that rawkd does not apply when rendering.

Source: DNG specification 1.4 to 1.7, chapter 7. List 2 refers to the linearised mosaic and list 3 to the demosaiced
picture, both in pixels of the active area. We apply gain maps of list 3 to the mosaic too, each plane to its colour:
a gain hardly changes over the few pixels that demosaicing mixes (our choice).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

import numpy as np

from rawkd.errors import InputError
from rawkd.files.tiff.opcodes import FIX_BAD_PIXELS_CONSTANT, FIX_BAD_PIXELS_LIST, LIST_1, LIST_2, read_opcodes
from rawkd.photo import GainMap, Rect, Tag

LIST_3 = 51022
GAIN_MAP = 9
HEADER = ">10I4dI"
"""Fields of a GainMap opcode: top, left, bottom, right, first plane, number of planes, row and column pitch, points
down and across; spacing and origin, vertical and horizontal; planes of the map."""
COLOURS = "RGB"
MAX_POINTS, MAX_MAPS = 1 << 20, 64
"""Limits that bound time and memory for damaged files; phones write one map per Bayer site, of a few hundred points."""

NAMES = {
    1: "lens distortion (WarpRectilinear)",
    2: "lens distortion (WarpFisheye)",
    3: "lens vignetting (FixVignetteRadial)",
    4: "bad pixels (FixBadPixelsConstant)",
    5: "bad pixels (FixBadPixelsList)",
    6: "trimmed borders (TrimBounds)",
    7: "a tone table (MapTable)",
    8: "a tone polynomial (MapPolynomial)",
    9: "lens shading (GainMap)",
    10: "offsets of rows (DeltaPerRow)",
    11: "offsets of columns (DeltaPerColumn)",
    12: "gains of rows (ScalePerRow)",
    13: "gains of columns (ScalePerColumn)",
    14: "lens distortion (WarpRectilinear2)",
}
APPLIED = frozenset(
    {
        (LIST_1, FIX_BAD_PIXELS_CONSTANT),
        (LIST_1, FIX_BAD_PIXELS_LIST),
        (LIST_2, FIX_BAD_PIXELS_LIST),
        (LIST_2, GAIN_MAP),
        (LIST_3, GAIN_MAP),
    }
)
"""Lists and opcodes that are applied in rendered pictures."""


def gain_maps(tags: Mapping[int, Tag], area: Rect) -> tuple[tuple[GainMap, ...], tuple[str, ...]]:
    """Return the gain maps of lists 2 and 3, and a warning for each list whose maps cannot be used.

    Parameters
    ----------
    tags : tags of the raw picture. area : its active area.
    """
    found: list[GainMap] = []
    warnings = []
    for number in (LIST_2, LIST_3):
        try:
            found += _maps_of_list(tags[number].data, number, area) if number in tags else []
        except InputError as error:
            warnings.append(f"the file's gain maps are invalid ({error}) and are not used when rendering")
    return tuple(found), tuple(warnings)


def not_rendered(tags: Mapping[int, Tag]) -> tuple[str, ...]:
    """Return the names of the corrections that the lists ask for but rawkd does not apply when rendering, each once."""
    names: dict[str, None] = {}
    for number in (LIST_1, LIST_2, LIST_3):
        try:
            opcodes = read_opcodes(tags[number].data) if number in tags else ()
        except InputError:
            names[f"an opcode list that cannot be read (tag {number})"] = None
            continue
        for opcode in opcodes:
            if (number, opcode.number) not in APPLIED:
                names[NAMES.get(opcode.number, f"opcode {opcode.number}")] = None
    return tuple(names)


def _maps_of_list(data: bytes, number: int, area: Rect) -> list[GainMap]:
    opcodes = [opcode for opcode in read_opcodes(data) if opcode.number == GAIN_MAP]
    if len(opcodes) > MAX_MAPS:
        raise InputError(f"more than {MAX_MAPS} gain maps in one list")
    return [one for opcode in opcodes for one in _maps(opcode.data, number, area)]


def _maps(data: bytes, number: int, area: Rect) -> Iterator[GainMap]:
    """Yield one gain map for each plane of an opcode, or a single one if it treats all colours alike.

    Raises
    ------
    InputError: if the opcode's numbers contradict each other.
    """
    if len(data) < struct.calcsize(HEADER):
        raise InputError("a gain map has the wrong length")
    top, left, bottom, right, plane, planes, *rest = struct.unpack_from(HEADER, data)
    row_pitch, column_pitch, down, across, space_v, space_h, origin_v, origin_h, map_planes = rest
    points = down * across * map_planes
    values = data[struct.calcsize(HEADER) :]
    if not 0 < points <= MAX_POINTS or len(values) != 4 * points:
        raise InputError("a gain map has the wrong length")
    gains = np.frombuffer(values, ">f4").astype(np.float32).reshape(down, across, map_planes)
    point_rows = _points(origin_v, space_v, down, area.height)
    point_columns = _points(origin_h, space_h, across, area.width)
    if min(row_pitch, column_pitch, planes) < 1 or not np.isfinite(gains).all() or gains.min() < 0:
        raise InputError("a gain map has invalid numbers")
    shared = dict(zip(("top", "left", "bottom", "right"), (top, left, bottom, right), strict=True))
    if number == LIST_2:
        wanted: list[tuple[int, str | None]] = [(0, None)] if plane == 0 else []  # a mosaic has one plane
    elif plane == 0 and planes >= len(COLOURS) and map_planes == 1:
        wanted = [(0, None)]
    else:
        wanted = [(min(one - plane, map_planes - 1), COLOURS[one]) for one in range(plane, min(plane + planes, 3))]
    for index, colour in wanted:
        of_plane = np.ascontiguousarray(gains[:, :, index])
        yield GainMap(
            of_plane,
            point_rows,
            point_columns,
            **shared,
            row_pitch=row_pitch,
            column_pitch=column_pitch,
            colour=colour,
            after_demosaic=number == LIST_3,
        )


def _points(origin: float, spacing: float, count: int, size: int) -> tuple[float, ...]:
    """Return the pixel positions of the points along one axis; the opcode gives them as fractions of the size."""
    places = (origin + spacing * np.arange(count)) * size - 0.5
    if not np.isfinite(places).all() or (count > 1 and not spacing * size > 1e-6):
        raise InputError("a gain map has invalid numbers")
    return tuple(places.tolist())
