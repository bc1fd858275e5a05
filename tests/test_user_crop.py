"""The crop that the user chose in the camera, in DNGs that are written (DefaultUserCrop)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_photos import noisy_photo
from test_dng import raw_ifd

from rawkd.errors import OutputError
from rawkd.files.read.raw import read_raw
from rawkd.files.tiff.tags import Ifd, read_tiff
from rawkd.files.write.dng import write_dng
from rawkd.photo import CFAPattern, RawPhoto, Rect, Tag
from rawkd.render.linear import linear_picture

USER_CROP = 51125
TENTHS = Tag(USER_CROP, 5, 4, np.array([1, 10, 1, 10, 9, 10, 9, 10], "<u4").tobytes())


def written(path: Path, photo: RawPhoto, *, is_linear: bool = False) -> RawPhoto:
    linear = linear_picture(photo) if is_linear else None
    write_dng(path, photo, preview=None, linear=linear, software="test")
    return read_raw(path) if not is_linear else photo


def directories(path: Path) -> Iterator[Ifd]:
    with path.open("rb") as stream:
        tree = read_tiff(stream)
    assert tree is not None
    return iter(tree.all_ifds())


@pytest.fixture
def source(tmp_path: Path) -> RawPhoto:
    """A DNG of 0.1 to 0.9, as read: the middle of 200 x 296 pixels at 2, 4."""
    crop = Rect(2 + 20, 4 + 30, 160, 236)
    photo = written(tmp_path / "source.dng", replace(noisy_photo(), user_crop=crop, tags=(TENTHS,)))
    assert photo.user_crop == crop
    return photo


@pytest.mark.parametrize("is_linear", [False, True])
def test_the_field_of_the_source_survives_unchanged(source: RawPhoto, tmp_path: Path, is_linear: bool) -> None:
    written(tmp_path / "a.dng", source, is_linear=is_linear)
    assert [one.tags[USER_CROP] for one in directories(tmp_path / "a.dng") if USER_CROP in one.tags] == [TENTHS]


@pytest.mark.parametrize("crop", [Rect(10, 10, 40, 40), Rect(3, 5, 199, 295), Rect(2, 4, 200, 1), None])
def test_a_new_crop_is_written(source: RawPhoto, tmp_path: Path, crop: Rect | None) -> None:
    """Rationals: top, left, bottom, right as parts of the default crop."""
    again = written(tmp_path / "a.dng", replace(source, user_crop=crop))
    assert (again.user_crop, again.default_crop) == (crop, source.default_crop)
    raw = raw_ifd(tmp_path / "a.dng")
    if crop is None:
        assert USER_CROP not in raw.tags
        return
    assert raw.tags[USER_CROP].type == 5
    top, left, bottom, right = raw.numbers(USER_CROP)
    assert (top * 200, bottom * 200) == pytest.approx((crop.top - 2, crop.top - 2 + crop.height))
    assert (left * 296, right * 296) == pytest.approx((crop.left - 4, crop.left - 4 + crop.width))


def test_a_photo_without_the_field_gets_it(tmp_path: Path) -> None:
    crop = Rect(10, 10, 40, 40)
    assert written(tmp_path / "a.dng", replace(noisy_photo(), user_crop=crop)).user_crop == crop


def test_all_of_the_default_crop_is_no_user_crop(source: RawPhoto, tmp_path: Path) -> None:
    again = written(tmp_path / "a.dng", replace(source, user_crop=source.default_crop))
    assert (again.user_crop, again.shown) == (None, source.default_crop)


def test_a_part_shows_what_was_cut(source: RawPhoto, tmp_path: Path) -> None:
    part = source.cut(Rect(20, 30, 100, 120), Rect(25, 35, 80, 90))
    again = written(tmp_path / "a.dng", part)
    assert (again.shown, again.user_crop) == (Rect(5, 5, 80, 90), None)


@pytest.mark.parametrize("tags", [(), (TENTHS,)])
def test_the_crop_survives_the_cut_of_a_monochrome_frame(tmp_path: Path, tags: tuple[Tag, ...]) -> None:
    crop = Rect(2 + 20, 4 + 30, 160, 236)
    photo = replace(noisy_photo(pattern=CFAPattern.MONO), user_crop=crop, tags=tags)
    assert written(tmp_path / "a.dng", photo).user_crop == crop


def test_a_crop_beyond_the_default_crop_is_refused(source: RawPhoto, tmp_path: Path) -> None:
    for crop in (Rect(1, 4, 20, 20), Rect(2, 3, 20, 20), Rect(2, 4, 201, 20), Rect(2, 4, 20, 297)):
        with pytest.raises(OutputError, match="user crop"):
            written(tmp_path / "a.dng", replace(source, user_crop=crop))
    assert not (tmp_path / "a.dng").exists()
