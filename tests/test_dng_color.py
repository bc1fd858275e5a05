"""Colour of a DNG by its specification: the light of the photo chooses the matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_dng import BYTE, RATIONAL, SHORT, SRATIONAL, flat_frame, write_dng

from rawkd.files.read.color.fallback import D65_XYZ, SRGB_FROM_XYZ
from rawkd.files.read.color.matrices import mired_of
from rawkd.files.read.decode import Decoder
from rawkd.files.read.raw import read_raw
from rawkd.files.write.dng import write_dng as write_ours
from rawkd.photo import RawPhoto
from rawkd.render.color import camera_from_rgb
from rawkd.render.view import render

FAULTS = Path(__file__).parents[2] / "shared" / "faults"
WARM = np.array([[0.7422, -0.1235, -0.0463], [-0.4087, 1.2060, 0.2428], [-0.1108, 0.2462, 0.4668]])
COOL = np.array([[0.6722, -0.0635, -0.0963], [-0.4287, 1.2460, 0.2028], [-0.0908, 0.2162, 0.5668]])
MIDDLE = np.array([[0.7022, -0.0935, -0.0663], [-0.4187, 1.2160, 0.2228], [-0.1008, 0.2362, 0.5068]])
A_XY, D50_XY, D65_XY, D75_XY = (0.44757, 0.40745), (0.34567, 0.35850), (0.31272, 0.32903), (0.29902, 0.31485)
A, D65, D50, OTHER = 17, 21, 23, 255
KELVIN_OF = {A: 2856.0, D65: 6504.0, D50: 5003.0}
TWO = {50721: (SRATIONAL, WARM), 50722: (SRATIONAL, COOL), 50778: (SHORT, A), 50779: (SHORT, D65)}


@pytest.fixture
def read(tmp_path: Path, decoder: Decoder):
    def reader(tags: dict, frame: np.ndarray | None = None) -> RawPhoto:
        frame = flat_frame(64, 64) if frame is None else frame
        return read_raw(write_dng(tmp_path / "made.dng", frame, tags=tags), decoder=decoder)

    return reader


def xyz_of(xy: tuple[float, float]) -> np.ndarray:
    return np.array([xy[0] / xy[1], 1.0, (1 - xy[0] - xy[1]) / xy[1]])


def mixed(kelvin: float, warm: np.ndarray, cool: np.ndarray, ends: tuple[int, int] = (A, D65)) -> np.ndarray:
    """The specification's interpolation, written anew: linear in 1 / T."""
    low, high = (1 / KELVIN_OF[code] for code in ends)
    share = np.clip((1 / kelvin - high) / (low - high), 0, 1)
    return share * warm + (1 - share) * cool


@pytest.mark.parametrize(("xy", "kelvin"), [(A_XY, 2856), (D50_XY, 5003), (D65_XY, 6504), (D75_XY, 7504)])
def test_standard_illuminants_have_their_temperature(xy: tuple[float, float], kelvin: float) -> None:
    """Within 0.2 %: definitions differ by 0.06 % in the second radiation constant, the locus' formula by as much."""
    assert 1e6 / mired_of(xy) == pytest.approx(kelvin, rel=2e-3)


@pytest.mark.parametrize(("xy", "kelvin"), [(A_XY, 2856), (D50_XY, 5003), (D65_XY, 6504), (D75_XY, 7504)])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_white_point_chooses_between_two_matrices(read, xy, kelvin: float, swapped: bool) -> None:
    tags = {**TWO, 50728: None, 50729: (RATIONAL, xy)}
    if swapped:
        tags |= {50721: TWO[50722], 50722: TWO[50721], 50778: TWO[50779], 50779: TWO[50778]}
    photo = read(tags)
    expected = mixed(kelvin, WARM, COOL)
    # 0.2 % of the temperature moves a matrix by less than 0.002 of the largest difference of the two, 0.1.
    np.testing.assert_allclose(photo.color.camera_from_xyz, expected, atol=4e-4)
    neutral = expected @ xyz_of(xy)
    np.testing.assert_allclose(photo.color.as_shot_neutral, neutral / neutral.max(), atol=1e-3)
    assert photo.warnings == ()


@pytest.mark.parametrize("xy", [A_XY, (0.40, 0.39), D50_XY, D65_XY, (0.37, 0.40)])
def test_a_neutral_chooses_the_same_matrix_as_its_white_point(read, xy: tuple[float, float]) -> None:
    by_white = read({**TWO, 50728: None, 50729: (RATIONAL, xy)}).color
    by_neutral = read({**TWO, 50728: (RATIONAL, by_white.as_shot_neutral)}).color
    np.testing.assert_allclose(by_neutral.camera_from_xyz, by_white.camera_from_xyz, atol=1e-5)


def test_three_illuminants_are_interpolated_between_neighbours(read) -> None:
    tags = {**TWO, 52529: (SHORT, D50), 52531: (SRATIONAL, MIDDLE), 50706: (BYTE, (1, 6, 0, 0)), 50728: None}
    for xy in (A_XY, (0.40, 0.39), D50_XY, (0.3279, 0.3426), D65_XY):
        found = read({**tags, 50729: (RATIONAL, xy)}).color.camera_from_xyz
        kelvin = 1e6 / mired_of(xy)
        warmer = kelvin < KELVIN_OF[D50]
        expected = mixed(kelvin, WARM, MIDDLE, (A, D50)) if warmer else mixed(kelvin, MIDDLE, COOL, (D50, D65))
        np.testing.assert_allclose(found, expected, atol=4e-4)


def test_gains_of_the_camera_count_in_the_neutral_of_a_white_point(read) -> None:
    calibrations = {50723: (SRATIONAL, np.diag([1.1, 1.0, 0.9])), 50724: (SRATIONAL, np.diag([1.2, 1.0, 0.8]))}
    tags = {**TWO, **calibrations, 50727: (RATIONAL, (1.0, 0.5, 1.0)), 50728: None, 50729: (RATIONAL, D65_XY)}
    neutral = np.diag([1.2, 0.5, 0.8]) @ COOL @ xyz_of(D65_XY)
    np.testing.assert_allclose(read(tags).color.as_shot_neutral, neutral / neutral.max(), atol=1e-3)
    foreign = {**tags, 50931: (BYTE, tuple(b"com.maker\0")), 50932: (BYTE, tuple(b"com.other\0"))}
    neutral = np.diag([1.0, 0.5, 1.0]) @ COOL @ xyz_of(D65_XY)
    np.testing.assert_allclose(read(foreign).color.as_shot_neutral, neutral / neutral.max(), atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "expected", "sentence"),
    [
        ({50778: (SHORT, OTHER)}, COOL, "illuminant 255 is unknown"),
        ({50779: (SHORT, OTHER)}, WARM, "illuminant 255 is unknown"),
        ({50778: (SHORT, 0), 50779: (SHORT, 0)}, WARM, "illuminant 0 is unknown"),
        ({50721: (SRATIONAL, np.ones((3, 3)))}, COOL, "ColorMatrix1 cannot be inverted"),
        ({50722: (SRATIONAL, np.zeros((3, 3)))}, WARM, "ColorMatrix2 cannot be inverted"),
        ({50724: (SRATIONAL, np.zeros((3, 3)))}, WARM, "ColorMatrix2 cannot be inverted"),
    ],
)
def test_what_cannot_be_interpolated_is_named_and_left_out(read, changes: dict, expected, sentence: str) -> None:
    photo = read({**TWO, 50728: None, 50729: (RATIONAL, D50_XY), **changes})
    np.testing.assert_allclose(photo.color.camera_from_xyz, expected, atol=1e-6)
    assert len(photo.warnings) == 1
    assert sentence in photo.warnings[0]


def test_a_single_matrix_needs_no_illuminant(read) -> None:
    photo = read({50721: (SRATIONAL, WARM), 50778: None})
    np.testing.assert_allclose(photo.color.camera_from_xyz, WARM, atol=1e-6)
    assert photo.warnings == ()


@pytest.mark.parametrize("neutral", [(1e-3, 1.0, 1e-3), (1.0, 0.01, 1.0)])
def test_a_neutral_that_is_no_colour_of_light_still_gives_a_matrix(read, neutral: tuple[float, ...]) -> None:
    color = read({**TWO, 50728: (RATIONAL, neutral)}).color
    assert np.isfinite(color.camera_from_xyz).all()
    np.testing.assert_allclose(color.as_shot_neutral, np.array(neutral) / max(neutral), rtol=1e-5)


def test_a_grey_card_in_tungsten_light_is_rendered_grey(read) -> None:
    """Within 1/255: the frame's integers are rounded to half a DN of 3,000."""
    neutral = mixed(2856, WARM, COOL) @ xyz_of(A_XY)
    neutral /= neutral.max()
    frame = np.empty((64, 64))
    for row, column, plane in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        frame[row::2, column::2] = 512 + 0.2 * neutral[plane] * (16383 - 512)
    photo = read({**TWO, 50728: None, 50729: (RATIONAL, A_XY)}, np.rint(frame).astype(np.uint16))
    assert np.ptp(render(photo), axis=2).max() < 1 / 255


def test_colour_tags_stay_in_the_copy(read, tmp_path: Path) -> None:
    photo = read({**TWO, 50728: None, 50729: (RATIONAL, A_XY)})
    write_ours(tmp_path / "copy.dng", photo, preview=None, software="test")
    copy = read_raw(tmp_path / "copy.dng")
    assert copy.color.tags == photo.color.tags
    assert {tag.number for tag in copy.color.tags} == {50721, 50722, 50729, 50778, 50779}


def test_the_srgb_matrix_has_one_source() -> None:
    """Unknown cameras are taken for sRGB: their colours then pass unchanged, to the last digit of a double."""
    np.testing.assert_allclose(camera_from_rgb(SRGB_FROM_XYZ), np.eye(3), atol=1e-13)
    np.testing.assert_allclose(SRGB_FROM_XYZ @ D65_XYZ, 1, atol=1e-13)


def test_the_photo_of_the_fault() -> None:
    path = FAULTS / "white-xy-two-illuminants.dng"
    if not path.exists():
        pytest.skip("needs ../shared/faults")
    np.testing.assert_allclose(read_raw(path).color.as_shot_neutral, (0.801, 1, 0.345), atol=1e-3)
