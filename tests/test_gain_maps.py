"""Gain maps of DNG opcode lists, and the names of opcodes that a rendered picture lacks."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_dng import flat_frame, write_dng

from rawkd.files.read.decode import Decoder
from rawkd.files.read.raw import read_raw
from rawkd.files.tiff.gain_opcodes import gain_maps, not_rendered
from rawkd.files.tiff.opcodes import Opcode, write_opcodes
from rawkd.photo import GainMap, RawPhoto, Rect, Tag
from rawkd.process import ProcessOptions, process_file
from rawkd.render.gain_map import gains_in
from rawkd.render.preview import render_preview
from rawkd.render.view import render
from rawkd.restore.options import DenoiseOptions

FAULTS = Path(__file__).parents[2] / "shared" / "faults"
BLACK, WHITE = 512, 16383
NEUTRAL = np.array([0.5, 1.0, 0.6])
VERSION = 0x01030000


def map_data(
    gains: np.ndarray,
    rect: tuple[int, int, int, int],
    *,
    pitch: tuple[int, int] = (1, 1),
    planes: tuple[int, int] = (0, 1),
    spacing: tuple[float, float] | None = None,
    origin: tuple[float, float] = (0.0, 0.0),
) -> bytes:
    """Parameters of a GainMap opcode, gains of shape (points down, points across, planes of the map)."""
    down, across, map_planes = gains.shape
    spacing = spacing or (1 / max(down - 1, 1), 1 / max(across - 1, 1))
    head = struct.pack(">10I", *rect, *planes, *pitch, down, across)
    return head + struct.pack(">4dI", *spacing, *origin, map_planes) + gains.astype(">f4").tobytes()


def opcode_list(*opcodes: tuple[int, bytes]) -> bytes:
    return write_opcodes(tuple(Opcode(number, VERSION, 1, data) for number, data in opcodes))


def tag(number: int, *opcodes: tuple[int, bytes]) -> Tag:
    data = opcode_list(*opcodes)
    return Tag(number, 7, len(data), data)


def byte_tag(*opcodes: tuple[int, bytes]) -> tuple[int, bytes]:
    return 7, np.frombuffer(opcode_list(*opcodes), np.uint8)


def by_the_book(
    gains: np.ndarray, place: float, other: float, spacing: Sequence[float], origin: Sequence[float]
) -> float:
    """The specification's gain at a place given in parts of the picture: clamped, bilinear, written anew."""

    def ends(value: float, count: int) -> tuple[int, int, float]:
        value = min(max(value, 0.0), count - 1.0)
        low = int(value)
        return low, min(low + 1, count - 1), value - low

    top, bottom, down = ends((place - origin[0]) / spacing[0], gains.shape[0])
    left, right, across = ends((other - origin[1]) / spacing[1], gains.shape[1])
    upper = gains[top, left] * (1 - across) + gains[top, right] * across
    lower = gains[bottom, left] * (1 - across) + gains[bottom, right] * across
    return float(upper * (1 - down) + lower * down)


def photo_of(frame: np.ndarray, decoder: Decoder, folder: Path, **tags: Any) -> RawPhoto:
    numbered = {int(name[1:]): value for name, value in tags.items()}
    return read_raw(write_dng(folder / "made.dng", frame, tags=numbered), decoder=decoder)


@pytest.mark.parametrize("window", [Rect(0, 0, 30, 44), Rect(7, 11, 13, 20), Rect(29, 43, 1, 1)])
@pytest.mark.parametrize(
    ("rect", "pitch", "shape", "spacing", "origin"),
    [
        ((0, 0, 30, 44), (1, 1), (3, 4), (0.5, 1 / 3), (0.0, 0.0)),
        ((1, 0, 30, 44), (2, 2), (3, 4), (0.5, 1 / 3), (0.0, 0.0)),
        ((4, 9, 25, 40), (2, 3), (2, 2), (0.3, 0.2), (0.2, 0.4)),
        ((0, 0, 900, 900), (1, 1), (1, 1), (0.0, 0.0), (0.5, 0.5)),
    ],
)
def test_gains_follow_the_specification(window: Rect, rect, pitch, shape, spacing, origin, tmp_path, decoder) -> None:
    """float32 arithmetic: relative error below 1e-6."""
    gains = np.random.default_rng(5).uniform(1, 3, (*shape, 1)).astype(np.float32)
    data = map_data(gains, rect, pitch=pitch, spacing=spacing, origin=origin)
    maps, warnings = gain_maps({51009: tag(51009, (9, data))}, Rect(0, 0, 30, 44))
    photo = replace(photo_of(flat_frame(30, 44), decoder, tmp_path), gain_maps=maps)
    expected = np.ones((30, 44))
    spacing = tuple(value or 1.0 for value in spacing)
    for row in range(rect[0], min(rect[2], 30), pitch[0]):
        for column in range(rect[1], min(rect[3], 44), pitch[1]):
            expected[row, column] = by_the_book(gains[..., 0], (row + 0.5) / 30, (column + 0.5) / 44, spacing, origin)
    found = gains_in(photo, *window.slices)
    assert warnings == ()
    np.testing.assert_allclose(found, expected[window.slices], rtol=1e-6)
    part = photo.cut(Rect(3, 5, 20, 30))
    np.testing.assert_allclose(gains_in(part, slice(0, 20), slice(0, 30)), expected[3:23, 5:35], rtol=1e-5)


def test_no_map_no_gains(tmp_path: Path, decoder: Decoder) -> None:
    assert gains_in(photo_of(flat_frame(30, 44), decoder, tmp_path), slice(0, 30), slice(0, 44)) is None


def shaded(height: int, width: int, brightness: float) -> tuple[np.ndarray, np.ndarray, tuple[int, bytes]]:
    """A grey card, the same card through a lens that darkens each colour otherwise, and the opcodes that undo it."""
    sites = ((0, 0, 0, 2.0), (0, 1, 1, 1.6), (1, 0, 1, 1.6), (1, 1, 2, 1.3))
    rows = (np.arange(height)[:, None] + 0.5) / height
    columns = (np.arange(width)[None] + 0.5) / width
    plain, dark, opcodes = np.empty((height, width)), np.empty((height, width)), []
    for row, column, plane, corner in sites:
        gain = 1 + (corner - 1) * columns * np.ones_like(rows)
        light = brightness * NEUTRAL[plane] * np.ones((height, width))
        here = slice(row, None, 2), slice(column, None, 2)
        plain[here], dark[here] = light[here], (light / gain)[here]
        gains = np.array([[[1.0], [corner]], [[1.0], [corner]]])
        opcodes.append((9, map_data(gains, (row, column, height, width), pitch=(2, 2))))

    def frame(signal: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(BLACK + signal * (WHITE - BLACK)), 0, WHITE).astype(np.uint16)

    return frame(plain), frame(dark), byte_tag(*opcodes)


def test_shading_is_taken_out_of_every_rendered_picture(tmp_path: Path, decoder: Decoder) -> None:
    """Half a DN of 300 or more, twofold: 0.4 % of light, 0.2 % of the encoded value, and the mixing of demosaicing."""
    plain, dark, opcodes = shaded(64, 600, 0.3)
    reference = photo_of(plain, decoder, tmp_path)
    photo = photo_of(dark, decoder, tmp_path, _51009=opcodes)
    for picture in (render, lambda one: render_preview(one, 128) / 255):
        wanted, seen = picture(reference), picture(photo)
        assert np.abs(picture(photo_of(dark, decoder, tmp_path)) - wanted).max() > 0.1
        np.testing.assert_allclose(seen, wanted, atol=0.008)


def test_blown_highlights_stay_neutral_under_a_map(tmp_path: Path, decoder: Decoder) -> None:
    """Light of three times the clipping level: after the map every pixel is white, wherever the lens was how dark."""
    _, dark, opcodes = shaded(64, 600, 6.0)
    assert dark.min() == WHITE
    np.testing.assert_array_equal(render(photo_of(dark, decoder, tmp_path, _51009=opcodes)), 1)
    _, some, opcodes = shaded(64, 600, 1.2)  # green clips, red and blue do not
    seen = render(photo_of(some, decoder, tmp_path, _51009=opcodes))
    assert np.ptp(seen, axis=2).max() < 0.01


def test_a_region_is_rendered_as_in_the_whole_picture(tmp_path: Path, decoder: Decoder) -> None:
    _, dark, opcodes = shaded(64, 600, 0.3)
    photo = photo_of(dark, decoder, tmp_path, _51009=opcodes)
    part = photo.cut(Rect(3, 201, 50, 300), Rect(13, 221, 20, 200))
    np.testing.assert_allclose(render(part), render(photo)[13:33, 221:421], atol=1e-5)


def test_a_map_of_the_demosaiced_picture_holds_for_its_colours(tmp_path: Path, decoder: Decoder) -> None:
    photo = photo_of(flat_frame(30, 44), decoder, tmp_path)
    colours = np.broadcast_to(np.array([2.0, 3.0, 4.0]), (1, 1, 3))
    area = Rect(0, 0, 30, 44)
    for planes, gains, expected in (
        ((0, 3), colours, [[2, 3], [3, 4]]),
        ((1, 1), colours[..., :1], [[1, 2], [2, 1]]),
        ((2, 1), colours[..., 1:], [[1, 1], [1, 3]]),
        ((0, 3), colours[..., 2:], [[4, 4], [4, 4]]),
        ((1, 9), colours[..., :2], [[1, 2], [2, 3]]),
    ):
        maps, _ = gain_maps({51022: tag(51022, (9, map_data(gains, (0, 0, 30, 44), planes=planes)))}, area)
        found = gains_in(replace(photo, gain_maps=maps), slice(0, 30), slice(0, 44))
        np.testing.assert_array_equal(found, np.tile(expected, (15, 22)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(76),
        map_data(np.ones((2, 2, 1)), (0, 0, 9, 9))[:-1],
        map_data(np.ones((2, 2, 1)), (0, 0, 9, 9)) + b"\0",
        map_data(np.full((2, 2, 1), np.nan), (0, 0, 9, 9)),
        map_data(-np.ones((2, 2, 1)), (0, 0, 9, 9)),
        map_data(np.ones((2, 2, 1)), (0, 0, 9, 9), pitch=(0, 1)),
        map_data(np.ones((2, 2, 1)), (0, 0, 9, 9), spacing=(0.0, 1.0)),
        map_data(np.ones((2, 2, 1)), (0, 0, 9, 9), origin=(np.inf, 0.0)),
    ],
)
def test_a_damaged_map_is_a_warning(data: bytes) -> None:
    maps, warnings = gain_maps({51009: tag(51009, (9, data))}, Rect(0, 0, 30, 44))
    assert maps == ()
    assert len(warnings) == 1
    assert "gain map" in warnings[0]


def test_a_list_of_countless_maps_costs_no_time() -> None:
    one = map_data(np.ones((1, 1, 1)), (0, 0, 9, 9))
    assert len(gain_maps({51009: tag(51009, *[(9, one)] * 64)}, Rect(0, 0, 30, 44))[0]) == 64
    maps, warnings = gain_maps({51009: tag(51009, *[(9, one)] * 65)}, Rect(0, 0, 30, 44))
    assert maps == ()
    assert "more than 64" in warnings[0]


def test_what_is_not_applied_is_named_once() -> None:
    lists = {
        51008: tag(51008, (5, b""), (10, b"")),
        51009: tag(51009, (9, b""), (3, b"")),
        51022: tag(51022, (1, b""), (9, b""), (3, b""), (99, b"")),
    }
    names = not_rendered(lists)
    assert [name for name in names if "Warp" in name] == ["lens distortion (WarpRectilinear)"]
    assert sum("FixVignetteRadial" in name for name in names) == 1
    assert "opcode 99" in names
    assert any("DeltaPerRow" in name for name in names)
    assert not any("GainMap" in name or "FixBadPixels" in name for name in names)
    assert not_rendered({51009: Tag(51009, 7, 4, b"\0\0\0\1")}) == ("an opcode list that cannot be read (tag 51009)",)
    assert not_rendered({}) == ()


@pytest.mark.parametrize("ending", [".tif", ".png", ".jpg", ".dng"])
def test_a_rendered_picture_says_what_it_lacks_and_a_dng_keeps_it(tmp_path: Path, ending: str) -> None:
    _, dark, opcodes = shaded(64, 96, 0.3)
    warp = byte_tag((1, bytes(68)))
    source = write_dng(tmp_path / "in.dng", dark, tags={51009: opcodes, 51022: warp})
    options = ProcessOptions(DenoiseOptions(strength=0, noise=(1e-3, 1e-6)))
    report = process_file(source, tmp_path / f"out{ending}", options)
    said = [line for line in report.warnings if "WarpRectilinear" in line]
    assert len(said) == (ending != ".dng")
    if ending == ".dng":
        copy = read_raw(tmp_path / "out.dng")
        kept = {one.number: one.data for one in copy.tags if one.number in (51009, 51022)}
        assert kept == {51009: opcodes[1].tobytes(), 51022: warp[1].tobytes()}
        assert len(copy.gain_maps) == 4


def test_the_photo_of_the_fault() -> None:
    path = FAULTS / "gain-map-shading.dng"
    if not path.exists():
        pytest.skip("needs ../shared/faults")
    photo = read_raw(path)
    assert [one.gains.max() for one in photo.gain_maps] == [2.0] * 4
    bare = replace(photo, gain_maps=())
    linear = [one[:, -8:].mean() for one in (render(photo), render(bare))]
    assert linear[1] < 0.75 * linear[0]


def test_a_map_moves_with_the_part() -> None:
    one = GainMap(np.ones((1, 2), np.float32), (4.5,), (1.0, 9.0), 0, 2, 8, 10)
    part = one.cut(3, 4)
    assert (part.point_rows, part.point_columns) == ((1.5,), (-3.0, 5.0))
    assert (part.top, part.left, part.bottom, part.right) == (-3, -2, 5, 6)
