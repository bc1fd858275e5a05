"""Rendering X-Trans and monochrome photos: colours, borders, small sizes, highlights, previews, files."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from scenes_of_every_cfa import colours_of_scene, scene_photo

from rawkd.errors import MemoryLimitError, RawkdError, UsageError
from rawkd.files.read.decode import Decoder
from rawkd.files.write.dng import write_dng
from rawkd.files.write.icc import grey_profile
from rawkd.photo import CFAPattern, Kind, Mosaic, RawPhoto, Rect
from rawkd.process import ProcessOptions, process_file
from rawkd.render.demosaic import Method, method_for
from rawkd.render.linear import linear_picture
from rawkd.render.preview import render_preview
from rawkd.render.view import render
from rawkd.render.xtrans import demosaic_xtrans
from rawkd.restore.options import DenoiseOptions

XTRANS, MONO, RGGB = CFAPattern.XTRANS, CFAPattern.MONO, CFAPattern.RGGB
NOTHING = DenoiseOptions(strength=0)


@pytest.mark.parametrize("shift", [(0, 0), (1, 4), (5, 2)])
@pytest.mark.parametrize("area", [Rect(7, 11, 100, 139), Rect(0, 0, 530, 620)])
@pytest.mark.parametrize("demosaic", ["markesteijn", "markesteijn3"])
def test_xtrans_shows_the_scene_like_bayer(decoder: Decoder, shift: tuple[int, int], area: Rect, demosaic: str) -> None:
    """Also at the borders and below the 512 pixels that LibRaw requires."""
    photo = scene_photo(XTRANS.shifted(*shift), area)
    shown = render(photo, demosaic=demosaic, markesteijn=decoder.demosaic)
    expected = render(scene_photo(RGGB, area))
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).mean() < 0.001
    assert np.abs(shown - expected).max() < 0.05  # at the edges, where the slope of the scene breaks off
    assert np.abs(shown[..., ::-1] - expected).mean() > 0.02


def test_a_part_is_rendered_like_the_whole(decoder: Decoder) -> None:
    photo = scene_photo(XTRANS.shifted(2, 3), Rect(6, 6, 600, 640))
    noise = np.random.default_rng(0).normal(0, 0.02, (600, 640)).astype(np.float32)
    mosaic = Mosaic(photo.mosaic.data + noise, photo.pattern)
    rect = Rect(101, 203, 150, 170)
    whole = render(photo, mosaic=mosaic, markesteijn=decoder.demosaic, rect=Rect(0, 0, 600, 640))
    part = render(photo, mosaic=mosaic, markesteijn=decoder.demosaic, rect=rect)
    # LibRaw works in tiles of 512 pixels, whose edges lie elsewhere in the part
    assert np.mean(np.abs(part - whole[rect.slices]) > 2e-3) < 1e-3


@pytest.mark.parametrize("pattern", [XTRANS, MONO], ids=str)
def test_orientation(decoder: Decoder, pattern: CFAPattern) -> None:
    photo = scene_photo(pattern, Rect(6, 6, 60, 90))
    upright = render(photo, markesteijn=decoder.demosaic)
    turned = render(replace(photo, orientation=6), markesteijn=decoder.demosaic)
    np.testing.assert_array_equal(turned, np.rot90(upright, -1))


def test_signal_below_black_comes_back(decoder: Decoder) -> None:
    """A dark flat field whose noise reaches far below black keeps its mean, which clipping at 0 would raise."""
    photo = scene_photo(XTRANS, Rect(6, 6, 200, 240))
    noise = np.random.default_rng(0).normal(0, 0.005, (200, 240)).astype(np.float32)
    dark = Mosaic(noise, XTRANS)

    found = demosaic_xtrans(photo, dark, Rect(0, 0, 200, 240), lambda planes, _: planes, decoder.demosaic, 1, threads=1)
    mean = np.mean([signal.mean() for _, signal in found.strips()])
    assert abs(mean) < 0.0005  # clipping at 0 would raise it by 0.4 standard deviations, 0.002


def test_highlights_of_xtrans_are_white(decoder: Decoder) -> None:
    photo = scene_photo(XTRANS, Rect(6, 6, 120, 120))
    white = np.full((120, 120), 1.0, np.float32)
    shown = render(photo, mosaic=Mosaic(white, XTRANS), markesteijn=decoder.demosaic, dtype=np.uint8)
    np.testing.assert_array_equal(shown, 255)


def test_blown_pixels_stay_blown_in_a_linear_dng_of_xtrans(decoder: Decoder) -> None:
    photo = scene_photo(XTRANS, Rect(0, 0, 120, 150))
    rgb = np.ones((120, 150, 3), np.float32)
    rgb[..., 1] = np.linspace(0.1, 0.9, 150) ** 3 + 0.1 * np.sin(np.arange(150) * np.pi / 2)
    cell = np.array(["RGB".index(letter) for letter in XTRANS.colours]).reshape(6, 6)
    data = np.take_along_axis(rgb, np.tile(cell, (20, 25))[..., None], axis=-1)[..., 0]
    picture = linear_picture(photo, mosaic=Mosaic(np.ascontiguousarray(data), XTRANS), markesteijn=decoder.demosaic)
    assert (picture.data[..., ::2] == picture.white_dn).all()
    assert (picture.data[..., 1] < picture.white_dn).any()


def test_without_libraw_xtrans_is_not_rendered() -> None:
    with pytest.raises(UsageError, match="demosaiced by LibRaw"):
        render(scene_photo(XTRANS, Rect(6, 6, 60, 90)))


def test_libraw_failing_is_no_fault_of_the_file(decoder: Decoder) -> None:
    with pytest.raises(RawkdError) as caught:
        decoder.demosaic(np.zeros((100, 100), np.uint16), XTRANS, 1)  # smaller than LibRaw takes
    assert type(caught.value) is RawkdError
    assert str(caught.value) == "LibRaw cannot demosaic the photo. Write a DNG, and report the photo."
    assert decoder.demosaic(np.full((512, 512), 999, np.uint16), XTRANS, 1)[8:-8, 8:-8].min() == 999  # it goes on


@pytest.mark.parametrize("error", ["MemoryError", "LibRawUnsufficientMemoryError", "LibRawTooBigError"])
def test_too_little_memory_to_demosaic_is_no_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    script = tmp_path / "full.py"
    answer = json.dumps({"error": error, "text": ""})
    script.write_text(
        "import json, sys\n"
        "print('{\"ready\": true}', flush=True)\n"
        "sys.stdin.buffer.read(json.loads(sys.stdin.buffer.readline())['bytes'])\n"
        f"print({answer!r}, flush=True)\n"
    )
    monkeypatch.setattr("rawkd.files.read.decode.CHILD", script)
    with Decoder() as running, pytest.raises(MemoryLimitError, match=r"^the demosaiced picture does not fit into mem"):
        running.demosaic(np.zeros((512, 512), np.uint16), XTRANS, 1)


@pytest.mark.parametrize("max_px", [64, 150])
@pytest.mark.parametrize("pattern", [XTRANS, XTRANS.shifted(1, 4), XTRANS.shifted(3, 5)], ids=["0", "1", "2"])
def test_preview_of_xtrans_shows_the_scene(pattern: CFAPattern, max_px: int) -> None:
    """A pixel is the mean of 3n x 3n pixels, whose colours lie 1 pixel apart: 1.6 % of waves of 60 px / rad."""
    shown = render_preview(scene_photo(pattern, ODD), max_px).astype(int)
    height, width = ODD.height - 4, ODD.width - 8
    side = 3 * (width // (3 * (max_px + 1)) + 1)
    assert shown.shape == (height // side, width // side, 3)
    full = render(scene_photo(RGGB, ODD), dtype=np.uint8)[: len(shown) * side, : shown.shape[1] * side]
    binned = full.reshape(len(shown), side, shown.shape[1], side, 3).mean(axis=(1, 3))
    assert np.abs(shown - binned).mean() < 255 * 0.015
    assert np.abs(shown[..., ::-1] - binned).mean() > 255 * 0.05


ODD = Rect(7, 11, 301, 423)


def test_preview_of_monochrome_is_grey() -> None:
    shown = render_preview(scene_photo(MONO, ODD), 100)
    np.testing.assert_array_equal(shown[..., 0], shown[..., 2])
    assert shown[..., 0].std() > 10


def test_monochrome_shows_the_scene() -> None:
    """The same as the grey of a Bayer photo with that signal at every pixel, white-balanced."""
    photo = scene_photo(MONO, ODD)
    shown = render(photo, dtype=np.uint16)
    assert shown.shape == (ODD.height - 4, ODD.width - 8)
    grey = np.repeat(colours_of_scene(ODD.height, ODD.width)[..., 1:2], 3, axis=2)
    neutral = replace(scene_photo(RGGB, ODD), color=photo.color)
    expected = render(neutral, mosaic=Mosaic(np.ascontiguousarray(grey[..., 0]), RGGB), dtype=np.uint16)
    assert np.abs(shown.astype(int) - expected[..., 1]).max() <= 65535 * 2e-4  # integers round to half of 1/15488


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg"])
def test_files_of_monochrome_are_grey(tmp_path: Path, name: str) -> None:
    photo = scene_photo(MONO, ODD)
    source, path = tmp_path / "in.dng", tmp_path / name
    write_dng(source, photo, preview=None, software="another program")
    report = process_file(source, path, ProcessOptions(NOTHING, jpeg_quality=100))
    assert (report.height, report.width) == (ODD.height - 4, ODD.width - 8)
    expected = render(photo, dtype=np.uint8 if name == "a.jpg" else np.uint16)
    if name == "a.tif":
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            assert page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
            np.testing.assert_array_equal(page.asarray(), expected)
    elif name == "a.png":
        np.testing.assert_array_equal(imagecodecs.png_decode(path.read_bytes()), expected)
    else:
        shown = np.asarray(Image.open(path)).astype(int)
        assert np.abs(shown - expected).max() <= 2
    with Image.open(path) as picture:
        assert picture.mode in ("L", "I;16")
        assert ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"])).profile.xcolor_space == "GRAY"


def test_the_grey_profile_is_the_curve_of_srgb() -> None:
    grey = ImageCms.ImageCmsProfile(io.BytesIO(grey_profile()))
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    shown = ImageCms.profileToProfile(ramp, grey, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert np.abs(np.asarray(shown)[0].astype(int) - np.arange(256)[:, None]).max() <= 1


METHODS = [
    ("bayer", "malvar", "malvar", False),
    ("bayer", "menon", "menon", False),
    ("bayer", "markesteijn3", "menon", True),
    ("bayer", None, "menon", False),
    ("xtrans", None, "markesteijn", False),
    ("xtrans", "malvar", "markesteijn", True),
    ("xtrans", "bilinear", "markesteijn", True),
    ("xtrans", "markesteijn3", "markesteijn3", False),
    ("mono", None, "menon", False),
    ("mono", "malvar", "menon", True),
    ("mono", "bilinear", "menon", True),
]


@pytest.mark.parametrize(("kind", "asked", "used", "warned"), METHODS)
def test_the_method_fits_the_sensor(kind: Kind, asked: Method | None, used: Method, warned: bool) -> None:
    method, warnings = method_for(kind, asked)
    assert method == used
    assert bool(warnings) is warned


@pytest.mark.parametrize("given", ["decoder", None])
def test_a_method_that_does_not_fit_is_a_warning_in_the_report(
    tmp_path: Path, decoder: Decoder, given: str | None
) -> None:
    source = tmp_path / "in.dng"
    write_dng(source, scene_photo(XTRANS, Rect(6, 6, 130, 150)), preview=None, software="another program")
    options = ProcessOptions(NOTHING, demosaic="bilinear")
    report = process_file(source, tmp_path / "a.png", options, decoder=decoder if given else None)
    text = "bilinear demosaics Bayer mosaics only, and this is a photo of another sensor; markesteijn was used"
    assert text in report.warnings


def test_crop(tmp_path: Path, decoder: Decoder) -> None:
    source = tmp_path / "in.dng"
    photo: RawPhoto = scene_photo(XTRANS, Rect(6, 6, 300, 400))
    write_dng(source, photo, preview=None, software="another program")
    for name, crop in (("whole.png", None), ("part.png", Rect(31, 42, 50, 61))):
        process_file(source, tmp_path / name, ProcessOptions(NOTHING, crop=crop), decoder=decoder)
    whole, part = (imagecodecs.png_decode((tmp_path / name).read_bytes()) for name in ("whole.png", "part.png"))
    assert np.abs(part.astype(int) - whole[31:81, 42:103]).max() < 65535 * 1e-3
