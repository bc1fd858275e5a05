"""The preview inside the DNG lies as the raw does: readers turn both by the one Orientation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from scenes_of_every_cfa import scene_photo
from small_photos import noisy_photo

from rawkd.files.write.dng import write_dng
from rawkd.photo import CFAPattern, Mosaic, Rect
from rawkd.process import ProcessOptions, process_file
from rawkd.render.preview import _binned, render_preview
from rawkd.restore.options import DenoiseOptions


@pytest.mark.parametrize("orientation", range(1, 9))
def test_preview_and_raw_lie_alike(tmp_path: Path, orientation: int) -> None:
    photo = noisy_photo(240, 360, pattern=CFAPattern.RGGB, orientation=orientation)
    data = np.full((240, 360), 0.1, np.float32)
    data[:60, :60] = 0.9  # a bright corner at the sensor's origin
    bright = replace(photo, orientation=orientation).with_mosaic(Mosaic(data, CFAPattern.RGGB))
    write_dng(tmp_path / "in.dng", bright, preview=None, software="test")
    process_file(
        tmp_path / "in.dng", tmp_path / "out.dng", ProcessOptions(DenoiseOptions(strength=0, noise=(1e-3, 1e-6)))
    )
    with tifffile.TiffFile(tmp_path / "out.dng") as tif:
        page = tif.pages[0]
        assert page.tags[274].value == orientation
        start, count = page.dataoffsets[0], page.databytecounts[0]
        preview = iio.imread((tmp_path / "out.dng").read_bytes()[start : start + count])
    assert preview.shape[0] < preview.shape[1], "the preview was turned, the raw was not"
    grey = preview.mean(axis=2)
    h, w = grey.shape[0] // 8, grey.shape[1] // 8
    corners = [grey[:h, :w].mean(), grey[:h, -w:].mean(), grey[-h:, :w].mean(), grey[-h:, -w:].mean()]
    assert int(np.argmax(corners)) == 0


@pytest.mark.parametrize(("aspect", "size"), [(1.5346, (98, 227)), (0.25, (392, 148)), (10.0, (8, 120))])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_preview_has_square_pixels(aspect: float, size: tuple[int, int], orientation: int) -> None:
    """The limit holds for the stretched side."""
    photo = replace(noisy_photo(199, 301, orientation=orientation), pixel_aspect=aspect)  # 196 x 296 are shown
    picture = render_preview(photo, 400 if aspect < 10 else 130)
    assert (picture.shape[:2] if orientation == 1 else picture.shape[1::-1]) == size


@pytest.mark.parametrize("pattern", [CFAPattern.GBRG, CFAPattern.XTRANS.shifted(1, 4), CFAPattern.MONO], ids=str)
@pytest.mark.parametrize("short", [1, 2, 3, 5])
@pytest.mark.parametrize("is_tall", [False, True])
def test_a_crop_thinner_than_a_pixel_of_the_preview(pattern: CFAPattern, short: int, is_tall: bool) -> None:
    """A step along the crop, which all pixels of the preview show but those in the middle."""
    long, max_px = 480, 50
    unit = 3 if pattern.kind == "xtrans" else 2
    signal = np.full((20, long + 20), 0.1, np.float32)
    signal[:, 10 + long // 2 :] = 0.4
    crop = Rect(7, 10, short, long)
    if is_tall:
        signal, crop = np.ascontiguousarray(signal.T), Rect(10, 7, long, short)
    photo = scene_photo(pattern, Rect(0, 0, *signal.shape))
    shown = render_preview(replace(photo, default_crop=crop), max_px, mosaic=Mosaic(signal, pattern)).astype(int)
    if is_tall:
        shown = shown.swapaxes(0, 1)
    side = unit * (long // (unit * (max_px + 1)) + 1)
    assert side > short
    assert shown.shape == (1, long // side, 3)
    half = shown.shape[1] // 2
    for flat in (shown[0, : half - 1], shown[0, half + 1 :]):
        assert np.ptp(flat, axis=0).max() <= 1  # of 8 bits: means of equal values differ by rounding
    assert (shown[0, -1] - shown[0, 0]).min() > 20


@pytest.mark.parametrize(("down", "across"), [(1, 1), (2, 2), (3, 1), (1, 4)])
def test_bins_are_means_of_squares(down: int, across: int) -> None:
    units = np.random.default_rng(0).random((4, 12, 12), np.float32)
    before = units.copy()
    means = units.reshape(4, 12 // down, down, 12 // across, across).mean(axis=(2, 4))
    assert np.allclose(_binned(units, down, across), means, rtol=1e-6)
    assert np.array_equal(units, before)
