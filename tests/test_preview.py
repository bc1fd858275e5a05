"""The preview inside the DNG lies as the raw does: readers turn both by the one Orientation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from small_photos import noisy_photo

from rawkd.files.write.dng import write_dng
from rawkd.photo import CFAPattern, Mosaic
from rawkd.process import ProcessOptions, process_file
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
