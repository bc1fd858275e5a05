"""Clean pictures: what is found, what is held out, what is skipped and why, and binned raw files."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from hypothesis import given
from hypothesis import strategies as st
from small_photos import noisy_photo

from rawkd.errors import InputError
from rawkd.files.read.pictures import read_picture
from rawkd.files.write.dng import write_dng
from rawkd.photo import BAYER_PHASES, CFAPattern, Mosaic
from rawkd.training.data.clean import bin_mosaic, find_pictures
from rawkd.training.data.clean_crops import picture_crop


def write_pictures(folder: Path, count: int, side: int = 40) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        iio.imwrite(folder / f"{number:02}.png", np.full((side, side, 3), number, np.uint8))


def test_one_picture_of_twelve_is_held_out(tmp_path: Path) -> None:
    write_pictures(tmp_path / "a" / "deep", 20)
    write_pictures(tmp_path / "b", 5)
    training, held_out = find_pictures([tmp_path / "a", tmp_path / "b"], 32)
    assert len(training.paths) == 22
    assert [path.name for path in held_out.paths] == ["00.png", "12.png", "04.png"]
    assert not set(training.paths) & set(held_out.paths)
    assert training.skipped == held_out.skipped == []
    again, _ = find_pictures([tmp_path / "a", tmp_path / "b"], 32)
    assert again.paths == training.paths


@pytest.mark.parametrize("count", [1, 2])
def test_few_pictures_serve_as_far_as_they_go(tmp_path: Path, count: int) -> None:
    write_pictures(tmp_path, count)
    training, held_out = find_pictures([tmp_path], 32)
    assert len(held_out.paths) == 1
    assert len(training.paths) == 1
    assert (training is held_out) == (count == 1)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(InputError, match=r"no usable picture \(0 skipped\)\. Add pictures of at least 32 pixels"):
        find_pictures([tmp_path], 32)
    with pytest.raises(InputError, match=r"nowhere: not a folder\. Give a folder of pictures with --data"):
        find_pictures([tmp_path / "nowhere"], 32)


def test_what_cannot_be_used_is_named_once_and_skipped(tmp_path: Path) -> None:
    write_pictures(tmp_path, 3)
    iio.imwrite(tmp_path / "00-tiny.png", np.zeros((31, 200, 3), np.uint8))
    (tmp_path / "000-empty.jpg").touch()
    (tmp_path / "cut.png").write_bytes((tmp_path / "01.png").read_bytes()[:60])
    (tmp_path / "text.tif").write_text("no picture")
    (tmp_path / "noise.dng").write_bytes(bytes(range(256)))
    training, held_out = find_pictures([tmp_path], 32)
    skipped = training.skipped
    assert held_out.skipped == skipped
    assert sorted(path.name for path in {*training.paths, *held_out.paths}) == ["00.png", "01.png", "02.png"]
    assert len(skipped) == 5
    for name in ("000-empty.jpg", "cut.png", "text.tif", "noise.dng"):
        assert sum(name in line for line in skipped) == 1
    assert any("00-tiny.png: 200 x 31 pixels are smaller than a crop of 32" in line for line in skipped)


def test_nothing_but_damage_is_refused_and_named(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_text("no picture")
    with pytest.raises(InputError, match=r"\(3 skipped, first .*0\.png: cannot be read as a picture"):
        find_pictures([tmp_path], 32)


def test_grey_and_transparent_pictures_become_colour(tmp_path: Path) -> None:
    grey, alpha = tmp_path / "grey.png", tmp_path / "alpha.png"
    iio.imwrite(grey, np.full((8, 9), 77, np.uint8))
    iio.imwrite(alpha, np.dstack([np.full((8, 9, 3), 50, np.uint8), np.zeros((8, 9), np.uint8)]))
    np.testing.assert_array_equal(read_picture(grey), np.full((8, 9, 3), 77))
    np.testing.assert_array_equal(read_picture(alpha), np.full((8, 9, 3), 50))


@pytest.mark.parametrize(("side", "usable"), [(64, False), (68, True)])
def test_a_raw_file_must_leave_room_to_be_turned(tmp_path: Path, side: int, usable: bool) -> None:
    write_dng(tmp_path / "photo.dng", noisy_photo(side, side, pattern=CFAPattern.RGGB), preview=None, software="test")
    if not usable:
        with pytest.raises(InputError, match="30 x 30 pixels are smaller than a crop of 32"):
            find_pictures([tmp_path], 32)
        return
    training, _ = find_pictures([tmp_path], 32)
    assert training.draw(np.random.default_rng(0)).shape == (4, 17, 17)
    for seed in range(8):
        assert picture_crop(training, 16, np.random.default_rng(seed)).planes.shape == (4, 16, 16)


def test_memory_is_shared_by_both_sets(tmp_path: Path) -> None:
    write_pictures(tmp_path, 24)
    one = 40 * 40 * 3
    training, held_out = find_pictures([tmp_path], 32, memory_limit=12 * one)
    assert (len(training._decoded), len(held_out._decoded)) == (11, 1)


@pytest.mark.parametrize("pattern", BAYER_PHASES)
@given(height=st.integers(6, 17), width=st.integers(6, 17))
def test_binning_averages_four_samples_of_one_colour(pattern: CFAPattern, height: int, width: int) -> None:
    data = np.random.default_rng(0).random((height, width), np.float32)
    planes = bin_mosaic(Mosaic(data, pattern))
    top, left = {"RGGB": (0, 0), "GBRG": (1, 0), "GRBG": (0, 1), "BGGR": (1, 1)}[pattern.name]
    assert planes.shape == (4, (height - top) // 4, (width - left) // 4)
    for plane in range(4):
        row, column = divmod(plane, 2)
        assert pattern.class_of_site.ravel()[2 * ((top + row) % 2) + (left + column) % 2] == plane
        samples = data[top + row :: 2, left + column :: 2]
        for i, j in np.ndindex(planes.shape[1:]):
            assert planes[plane, i, j] == pytest.approx(samples[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean(), rel=1e-5)


def test_binning_halves_the_noise() -> None:
    data = np.random.default_rng(0).standard_normal((400, 400)).astype(np.float32)
    planes = bin_mosaic(Mosaic(data, CFAPattern.RGGB))
    # 40,000 samples: the deviation of a sample deviation is 0.35 %
    assert planes.std() == pytest.approx(0.5, rel=0.018)
