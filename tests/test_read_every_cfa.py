"""Reading X-Trans and monochrome raws, and the sentences for those that rawkd cannot denoise."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from synthetic_dng import ASCII, BYTE, DOUBLE, LONG, RATIONAL, SHORT, SRATIONAL, flat_frame

from rawkd.cli.exit_codes import INPUT, exit_code_of
from rawkd.errors import InputError, UnsupportedRawError
from rawkd.files.read.decoded import DecodedFrame
from rawkd.files.read.maker.fuji_ifd import black_levels_of_raf, with_blacks_of_raf
from rawkd.files.read.raw import _pattern_of, libraw_levels, read_raw
from rawkd.photo import Capture, CFAPattern, ColorCalibration, Levels, RawPhoto, Rect

NO_CFA = {33421: None, 33422: None, 50721: None, 50728: None, 50778: None}
LINEAR = 34892
PHASES = tuple(dict.fromkeys(CFAPattern.XTRANS.shifted(r, c) for r in range(6) for c in range(6)))


def xtrans_tags(pattern: CFAPattern) -> dict:
    return {33421: (SHORT, (6, 6)), 33422: (BYTE, tuple("RGB".index(letter) for letter in pattern.colours))}


@pytest.mark.parametrize("pattern", PHASES, ids=range(18))
def test_xtrans_dng(read, pattern: CFAPattern) -> None:
    """Every phase, with margins that are no multiple of the cell: samples and colours as the tags say."""
    frame = flat_frame(120, 150)
    colours = np.array(list(pattern.colours)).reshape(6, 6)
    area = Rect(7, 11, 100, 130)
    red = np.tile(colours == "R", (17, 22))[: area.height, : area.width]
    frame[area.slices][red] += 2000
    photo = read(frame, tags={**xtrans_tags(pattern), 50829: (LONG, (7, 11, 107, 141))})
    assert photo.pattern == pattern
    assert photo.active_area == area
    assert photo.levels.cell_side == 6
    np.testing.assert_array_equal(photo.frame, frame)
    means = [photo.mosaic.data[r::6, c::6].mean() for r in range(6) for c in range(6)]
    brighter = [mean > 0.28 for mean in means]  # others are at (4000 - 512) / 15871 = 0.22, reds at 0.35
    assert brighter == [letter == "R" for letter in pattern.colours]
    np.testing.assert_array_equal(photo.levels.to_dn(photo.mosaic.data), frame[area.slices])


@pytest.mark.parametrize("make", ["Maker", "FUJIFILM"])
def test_xtrans_dng_of_fujifilm(read, make: str) -> None:
    frame = flat_frame(132, 150)
    tags = {**xtrans_tags(CFAPattern.XTRANS), 271: (ASCII, make), 50829: (LONG, (6, 12, 126, 144))}
    photo = read(frame, tags=tags)
    assert photo.pattern == CFAPattern.XTRANS
    assert photo.capture.make == make
    np.testing.assert_array_equal(photo.frame, frame)


def test_xtrans_with_36_blacks(read) -> None:
    """Black levels of their own at every site become one signal, also where the pattern is cut at another phase."""
    black = 500 + np.arange(36).reshape(6, 6)
    frame = (np.tile(black, (20, 20)) + 1000).astype(np.uint16)
    frame += (flat_frame(120, 120, dn=100, noise=3)).astype(np.uint16)
    tags = {
        **xtrans_tags(CFAPattern.XTRANS),
        50713: (SHORT, (6, 6)),
        50714: (RATIONAL, tuple(map(float, black.ravel()))),
    }
    photo = read(frame, tags=tags)
    signal = photo.mosaic.data
    assert abs(float(signal.mean()) * photo.levels.range_dn - 1100) < 1
    sites = [signal[r::6, c::6].mean() * photo.levels.range_dn for r in range(6) for c in range(6)]
    assert np.ptp(sites) < 3  # 400 samples a site with a noise of 3: a standard error of 0.15
    part = photo.cut(Rect(2, 5, 60, 60))
    assert part.pattern == CFAPattern.XTRANS.shifted(2, 5)
    np.testing.assert_array_equal(part.mosaic.data, signal[2:62, 5:65])


def test_clipping_of_an_xtrans_colour_is_measured(read) -> None:
    """Greens clip at 14000 of 16383; the sites of green get that level, others the one that the file states."""
    rng = np.random.default_rng(0)
    colours = np.tile(np.array(list(CFAPattern.XTRANS.colours)).reshape(6, 6), (60, 60))
    light = np.linspace(2000, 18000, 360)[None, :] + rng.normal(0, 60, (360, 360))
    frame = np.where(colours == "G", np.minimum(light, 14000 + rng.normal(0, 1, light.shape)), light * 0.4)
    photo = read(np.clip(np.rint(frame), 0, 16383).astype(np.uint16), tags=xtrans_tags(CFAPattern.XTRANS))
    sites = photo.levels.site_saturation_dn
    saturation = np.full((6, 6), photo.levels.saturation_dn) if sites is None else sites
    assert abs(saturation[0, 0] - 14000) < 10


@pytest.mark.parametrize("area", [None, (LONG, (4, 6, 104, 146))])
def test_monochrome_dng(read, area) -> None:
    frame = flat_frame(120, 150)
    tags = {**NO_CFA, 50829: area, 51041: (DOUBLE, (2e-4, 3e-6))}
    photo = read(frame, photometric=LINEAR, tags=tags)
    assert photo.pattern == CFAPattern.MONO
    np.testing.assert_array_equal(photo.frame, frame)
    assert photo.active_area == (Rect(0, 0, 120, 150) if area is None else Rect(4, 6, 100, 140))
    assert photo.levels.mean_black_dn == 512
    assert photo.noise_profile == (2e-4, 3e-6)
    assert photo.color.tags == ()
    assert not any("matrix" in warning or "white balance" in warning for warning in photo.warnings)


REFUSED = {
    "a 6x6 cell of another kind": (
        {"tags": {33421: (SHORT, (6, 6)), 33422: (BYTE, (1, 0, 2) * 12)}},
        "6 x 6 pixels that is not",
    ),
    "quad Bayer": ({"tags": {33421: (SHORT, (4, 4)), 33422: (BYTE, (0, 0, 1, 1) * 4)}}, "quad Bayer"),
    "one colour": ({"tags": {33422: (BYTE, (1, 1, 1, 1))}}, "single colour"),
    "linear": ({"photometric": LINEAR, "tags": NO_CFA}, "linear"),
    "grey": ({"photometric": 1, "tags": NO_CFA}, "monochrome picture that is not marked as raw"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_sensors_are_refused_by_name(read, kind: str) -> None:
    options, words = REFUSED[kind]
    frame = flat_frame(66, 66)
    frame = np.repeat(frame[..., None], 3, axis=2) if kind == "linear" else frame
    with pytest.raises(UnsupportedRawError, match=words) as caught:
        read(frame, **options)
    assert exit_code_of(caught.value) == INPUT
    assert "\n" not in str(caught.value)


DAMAGED = {
    "a cell of 6x6 with four filters": ({"tags": {33421: (SHORT, (6, 6))}}, "4 colour filters"),
    "a cell of 2x2 with 36": ({"tags": {33422: xtrans_tags(CFAPattern.XTRANS)[33422]}}, "36 colour filters"),
    "mono with a matrix": (
        {"photometric": LINEAR, "tags": {**NO_CFA, 50721: (SRATIONAL, (1, 0, 0, 0, 1, 0, 0, 0, 1))}},
        "monochrome raw picture and a colour matrix",
    ),
    "too small": ({"tags": xtrans_tags(CFAPattern.XTRANS), "size": (12, 12)}, "smaller than the 22"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_contradictions_get_a_sentence(read, kind: str) -> None:
    options, words = DAMAGED[kind]
    options = dict(options)
    with pytest.raises(InputError, match=words) as caught:
        read(flat_frame(*options.pop("size", (66, 66))), **options)
    assert exit_code_of(caught.value) == INPUT
    assert "\n" not in str(caught.value)


def test_a_raf_that_is_cut_short_gets_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "short.raf"
    header = (
        b"FUJIFILMCCD-RAW 0201FF389501"
        + b"X-T1".ljust(32, b"\0")
        + b"0100"
        + bytes(20)
        + struct.pack(">6I", 160, 0, 160, 64, 400, 9000)
    )
    path.write_bytes(header.ljust(300, b"\0"))
    with pytest.raises(InputError, match=r"damaged|raw") as caught:
        read_raw(path)
    assert exit_code_of(caught.value) == INPUT


def header(sites: list[int], **changes) -> dict:
    base = {
        "colors": 3,
        "color_desc": "RGBG",
        "sites": sites,
        "black": [10, 20, 30, 40],
        "white": 16383,
        "camera_white": None,
    }
    return base | changes


def test_the_cell_of_a_raf_comes_from_the_colours_at_the_visible_origin() -> None:
    """LibRaw gives a colour index at each of the 36 sites of the picture's origin."""
    for pattern in PHASES:
        assert _pattern_of(header(["RGB".index(letter) for letter in pattern.colours])) == pattern


def test_a_raf_whose_cell_cannot_be_read_gets_a_sentence() -> None:
    with pytest.raises(InputError, match="X-Trans cell cannot be read"):
        _pattern_of(header([1] * 36))
    with pytest.raises(InputError, match="X-Trans cell cannot be read"):
        _pattern_of(header([9] * 36))


def test_what_libraw_calls_monochrome() -> None:
    mono = header([], colors=1, color_desc="GMCY")
    assert _pattern_of(mono) == CFAPattern.MONO
    decoded = DecodedFrame(np.full((30, 30), 900, np.uint16), mono)
    levels = libraw_levels(decoded, CFAPattern.MONO)
    np.testing.assert_array_equal(levels.black_dn, [[10]])


def test_blacks_of_an_xtrans_raf_are_those_of_its_colours() -> None:
    sites = ["RGB".index(letter) for letter in CFAPattern.XTRANS.colours]
    decoded = DecodedFrame(np.full((30, 30), 900, np.uint16), header(sites))
    levels = libraw_levels(decoded, CFAPattern.XTRANS)
    wanted = [10 * (1 + site) for site in sites]
    np.testing.assert_array_equal(levels.black_dn.ravel(), wanted)
    assert levels.cell_side == 6


def written_raf(path: Path, blacks: tuple[int, ...]) -> Path:
    """Only what the reader of black levels looks at: the header, and Fujifilm's directory in front of the raw data."""
    start = 160
    header = b"FUJIFILMCCD-RAW 0201FF389501".ljust(100, b"\0") + struct.pack(">I", start)
    values = struct.pack(f"<{len(blacks)}I", *blacks)
    main = struct.pack("<2sHIH", b"II", 42, 8, 1) + struct.pack("<HHII", 0xF000, 4, 1, 26) + struct.pack("<I", 0)
    own = (
        struct.pack("<H", 2)
        + struct.pack("<HHII", 0xF001, 4, 1, 6000)
        + struct.pack("<HHII", 0xF00A, 4, len(blacks), 60)
    )
    path.write_bytes(header.ljust(start, b"\0") + (main + own).ljust(60, b"\0") + values)
    return path


def test_all_black_levels_of_a_raf(tmp_path: Path) -> None:
    """36 that differ become the levels of the cell; equal or fewer ones leave what LibRaw says."""
    differing = tuple(range(1000, 1036))
    path = written_raf(tmp_path / "a.raf", differing)
    assert black_levels_of_raf(path) == differing
    frame = flat_frame(60, 60)
    levels = Levels(np.full((1, 1), 1022.0), 16383, 16383, 14, cell_side=6)
    area = Rect(0, 0, 60, 60)
    photo = RawPhoto(frame, area, area, CFAPattern.XTRANS, levels, ColorCalibration.none(), Capture())
    found = with_blacks_of_raf(photo, path).levels
    np.testing.assert_array_equal(found.black_dn.ravel(), differing)
    assert found.mean_black_dn == np.mean(differing)
    assert with_blacks_of_raf(photo, written_raf(tmp_path / "b.raf", (1022,) * 36)) is photo
    assert with_blacks_of_raf(photo, written_raf(tmp_path / "c.raf", (1, 2, 3, 4))) is photo


@pytest.mark.parametrize("length", range(0, 300, 17))
def test_black_levels_of_a_raf_that_is_cut_short(tmp_path: Path, length: int) -> None:
    path = written_raf(tmp_path / "a.raf", tuple(range(1000, 1036)))
    path.write_bytes(path.read_bytes()[:length])
    assert black_levels_of_raf(path) == ()
