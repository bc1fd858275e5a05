"""X-Trans and monochrome DNGs: LibRaw, exiftool and Adobe's SDK read them, and show the colours of the scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rawpy
import tifffile
from adobe import complaints, needs_dngpy, was_checked
from scenes_of_every_cfa import scene_photo
from test_dng import exiftool, raw_ifd
from test_linear import by_dcraw_emu, by_rawpy

from rawkd.files.read.decode import Decoder
from rawkd.files.read.raw import read_raw
from rawkd.files.tiff.opcodes import Opcode, write_opcodes
from rawkd.files.write.dng import write_dng
from rawkd.photo import CFAPattern, FloatArray, LinearPicture, RawPhoto, Rect, Tag
from rawkd.process import ProcessOptions, process_file
from rawkd.render.linear import linear_picture
from rawkd.restore.options import DenoiseOptions

XTRANS = CFAPattern.XTRANS
PHASES = tuple(dict.fromkeys(XTRANS.shifted(r, c) for r in range(6) for c in range(6)))
ODD = Rect(7, 11, 521, 537)
MASKED_AREA = Tag(50830, 4, 4, np.array([0, 0, 2, 2], "<u4").tobytes())
Develop = Callable[[Path], FloatArray]


def write(folder: Path, photo: RawPhoto, name: str = "out.dng") -> Path:
    path = folder / name
    write_dng(path, photo, preview=None, overwrite=True, software="another program")
    return path


def of_bayer(folder: Path, develop: Develop, area: Rect | None = None) -> FloatArray:
    """The scene through a Bayer sensor, cut to the active area, whose DNG has been read right for long."""
    photo = scene_photo(CFAPattern.RGGB, area)
    whole = Rect(0, 0, photo.active_area.height, photo.active_area.width)
    return develop(write(folder, photo.cut(whole, photo.default_crop), "bayer.dng"))


def difference(one: FloatArray, other: FloatArray) -> float:
    inner = (slice(16, -16), slice(16, -16))
    return float(np.abs(one - other)[inner].mean() / other[inner].mean())


@pytest.mark.parametrize("develop", [by_rawpy, by_dcraw_emu])
@pytest.mark.parametrize("make", ["Rawkd", "FUJIFILM"])
def test_colours_of_xtrans(tmp_path: Path, develop: Develop, make: str) -> None:
    """R and B exchanged differ by over 10 %, and so does a wrong phase."""
    photo = scene_photo(XTRANS)
    photo = replace(photo, capture=replace(photo.capture, make=make, model="X-A0"))
    shown, expected = develop(write(tmp_path, photo)), of_bayer(tmp_path, develop)
    assert shown.shape == expected.shape
    assert difference(shown, expected) < 0.01
    assert difference(shown[..., ::-1], expected) > 0.1


@pytest.mark.parametrize("pattern", PHASES, ids=range(18))
def test_every_phase_and_odd_margins(tmp_path: Path, pattern: CFAPattern) -> None:
    photo = scene_photo(pattern, ODD)
    path = write(tmp_path, photo)
    again = read_raw(path)
    assert again.pattern == pattern
    assert again.active_area == Rect(6, 6, ODD.height, ODD.width)
    assert again.default_crop == photo.default_crop
    np.testing.assert_array_equal(again.frame, photo.frame[1:, 5:])
    np.testing.assert_array_equal(again.mosaic.data, photo.mosaic.data)
    assert difference(by_rawpy(path), of_bayer(tmp_path, by_rawpy, ODD)) < 0.01


def test_a_frame_at_a_multiple_of_the_cell_is_kept_whole(tmp_path: Path) -> None:
    photo = replace(scene_photo(XTRANS), tags=(MASKED_AREA,))
    fields = raw_ifd(write(tmp_path, photo))
    assert fields.numbers(33421) == (6, 6)
    assert fields.numbers(50829) == (6, 12, 526, 552)
    assert fields.numbers(50830) == (0, 0, 2, 2)
    assert "".join("RGB"[int(code)] for code in fields.numbers(33422)) == XTRANS.colours
    np.testing.assert_array_equal(read_raw(tmp_path / "out.dng").frame, photo.frame)


@pytest.mark.parametrize("pattern", [XTRANS, CFAPattern.MONO], ids=str)
def test_fields_that_count_from_the_frame_do_not_survive_its_cut(tmp_path: Path, pattern: CFAPattern) -> None:
    defects = Tag(51008, 7, 4, bytes(4))
    photo = replace(scene_photo(pattern, ODD), tags=(MASKED_AREA, defects))
    (said,) = write_dng(tmp_path / "out.dng", photo, preview=None, software="another program")
    assert said.startswith("not copied to the DNG: masked areas, opcode list 1. They refer to the whole frame")
    assert not {50830, 51008} & raw_ifd(tmp_path / "out.dng").tags.keys()


@pytest.mark.parametrize("area", [ODD, None], ids=["cut", "whole"])
def test_a_linear_dng_of_a_cut_frame_names_its_opcodes(tmp_path: Path, area: Rect | None) -> None:
    polynomial = write_opcodes((Opcode(8, 0x01030000, 0, b""),))
    photo = replace(scene_photo(XTRANS, area), tags=(Tag(51008, 7, len(polynomial), polynomial),))
    linear = LinearPicture(np.zeros((*photo.mosaic.data.shape, 3), np.uint16), 65535)
    (said,) = write_dng(tmp_path / "out.dng", photo, preview=None, linear=linear, software="another program")
    assert said.startswith("not applied to the linear DNG: a tone polynomial (MapPolynomial)")


@pytest.mark.parametrize("pattern", [XTRANS, CFAPattern.RGGB], ids=str)
def test_a_whole_frame_keeps_its_fields_without_a_warning(tmp_path: Path, pattern: CFAPattern) -> None:
    photo = replace(scene_photo(pattern), tags=(MASKED_AREA,))
    assert write_dng(tmp_path / "out.dng", photo, preview=None, software="another program") == ()


def test_blacks_of_36_sites(tmp_path: Path) -> None:
    photo = scene_photo(XTRANS)
    levels = replace(photo.levels, black_dn=np.arange(500.0, 536.0).reshape(6, 6), mean_black_dn=np.nan)
    photo = replace(photo, levels=levels)
    path = write(tmp_path, photo)
    np.testing.assert_array_equal(read_raw(path).levels.black_dn, levels.black_dn)
    with rawpy.imread(str(path)) as raw:
        np.testing.assert_array_equal(raw.raw_image, photo.frame)


CAMERAS = [
    ("FUJIFILM", "X-T3", Rect(0, 0, 60, 120), True),
    ("FUJIFILM", "X-T3", Rect(7, 12, 60, 120), True),
    ("FUJIFILM", "X-T3", Rect(6, 12, 60, 120), False),
    ("FUJIFILM", "X-T5", Rect(0, 0, 60, 120), False),
    ("Rawkd", "X-T3", Rect(0, 0, 60, 120), False),
]


@pytest.mark.parametrize(("make", "model", "area", "warned"), CAMERAS)
def test_cameras_that_rawtherapee_crops(tmp_path: Path, make: str, model: str, area: Rect, warned: bool) -> None:
    photo = scene_photo(XTRANS, area)
    photo = replace(photo, capture=replace(photo.capture, make=make, model=model))
    warnings = write_dng(tmp_path / "a.dng", photo, preview=None, software="test")
    assert any("RawTherapee 5.9 may show wrong colours" in text and model in text for text in warnings) is warned


@pytest.mark.parametrize("develop", [by_rawpy, by_dcraw_emu])
@pytest.mark.parametrize("area", [Rect(0, 0, 300, 400), Rect(7, 11, 301, 399)])
def test_grey_of_monochrome(tmp_path: Path, develop: Develop, area: Rect) -> None:
    """Grey is the scene's green under the curve of BT.709, which LibRaw applies."""
    photo = scene_photo(CFAPattern.MONO, area, margin_px=0)
    shown = develop(write(tmp_path, photo))
    assert shown.shape[:2] == (area.height, area.width)
    shown = shown if shown.ndim == 2 else shown.mean(axis=2)
    signal = photo.mosaic.data
    curve = np.where(signal < 0.018, 4.5 * signal, 1.099 * np.maximum(signal, 0.018) ** 0.45 - 0.099)
    assert np.abs(shown / 65535 - curve).mean() < 0.01 * curve.mean()


@pytest.mark.parametrize("width", [95, 96, 97, 128, 160, 256, 512, 1024, 1025])
def test_libraw_reads_every_monochrome_sample(tmp_path: Path, width: int) -> None:
    photo = scene_photo(CFAPattern.MONO, Rect(0, 0, 40, width), margin_px=0)
    path = write(tmp_path, photo)
    with rawpy.imread(str(path)) as raw:
        np.testing.assert_array_equal(raw.raw_image, photo.frame)
        assert raw.num_colors == 1
    with tifffile.TiffFile(path) as file:
        np.testing.assert_array_equal(file.pages[0].asarray(), photo.frame)


def test_monochrome_comes_back_without_margins_and_colour(tmp_path: Path) -> None:
    photo = replace(scene_photo(CFAPattern.MONO, ODD), noise_profile=(1e-3, 3e-6))
    path = write(tmp_path, photo)
    again, fields = read_raw(path), raw_ifd(path)
    assert again.pattern == CFAPattern.MONO
    assert again.active_area == Rect(0, 0, ODD.height, ODD.width)
    assert again.default_crop == photo.default_crop
    np.testing.assert_array_equal(again.mosaic.data, photo.mosaic.data)
    assert fields.number(262) == 34892
    assert not {33421, 33422, 50710, 50711, 50721, 50728, 50778} & fields.tags.keys()


@pytest.mark.parametrize("pattern", [XTRANS, XTRANS.shifted(2, 5), CFAPattern.MONO], ids=["X-Trans", "phase", "mono"])
def test_exiftool_finds_nothing_to_say(tmp_path: Path, pattern: CFAPattern) -> None:
    assert exiftool(write(tmp_path, scene_photo(pattern, ODD))) == ["OK"]


@needs_dngpy
@pytest.mark.parametrize("pattern", [XTRANS, XTRANS.shifted(2, 5), CFAPattern.MONO], ids=["X-Trans", "phase", "mono"])
def test_adobe_finds_nothing_to_say_and_the_digest_right(tmp_path: Path, pattern: CFAPattern) -> None:
    path = write(tmp_path, scene_photo(pattern, ODD))
    assert complaints(path) == []
    assert was_checked(path)


@pytest.mark.parametrize("pattern", [XTRANS.shifted(1, 4), CFAPattern.MONO], ids=str)
def test_strength_0_is_bit_equal(tmp_path: Path, pattern: CFAPattern) -> None:
    source = write(tmp_path, scene_photo(pattern, Rect(6, 6, 130, 150)), "in.dng")
    report = process_file(source, tmp_path / "out.dng", ProcessOptions(DenoiseOptions(strength=0)))
    before, after = read_raw(source), read_raw(tmp_path / "out.dng")
    np.testing.assert_array_equal(after.frame, before.frame)
    assert after.pattern == before.pattern
    assert report.cfa == pattern.name


@pytest.mark.parametrize("develop", [by_rawpy, by_dcraw_emu])
def test_a_linear_dng_of_xtrans_has_the_colours_of_its_mosaic(tmp_path: Path, develop: Develop) -> None:
    photo = scene_photo(XTRANS.shifted(1, 4), Rect(6, 6, 300, 400))
    with Decoder() as decoder:
        linear = linear_picture(photo, markesteijn=decoder.demosaic)
    write_dng(tmp_path / "linear.dng", photo, preview=None, linear=linear, software="test")
    assert difference(develop(tmp_path / "linear.dng"), of_bayer(tmp_path, develop, Rect(0, 0, 300, 400))) < 0.01


def test_linear_changes_nothing_for_monochrome(tmp_path: Path) -> None:
    source = write(tmp_path, scene_photo(CFAPattern.MONO, Rect(0, 0, 130, 150), margin_px=0), "in.dng")
    process_file(source, tmp_path / "out.dng", ProcessOptions(DenoiseOptions(strength=0), linear=True))
    np.testing.assert_array_equal(read_raw(tmp_path / "out.dng").frame, read_raw(source).frame)
