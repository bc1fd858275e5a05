"""Linear DNGs: LibRaw, exiftool and Adobe's SDK read them, and their colours are those of the mosaic."""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rawpy
import tifffile
from adobe import complaints, needs_dngpy, was_checked
from small_photos import noisy_photo
from test_dng import exiftool, raw_ifd
from test_dng import write as write_default
from test_gain_maps import map_data, tag

from rawkd.cli import main
from rawkd.errors import UsageError
from rawkd.files.read.decode import Decoder
from rawkd.files.tiff.gain_opcodes import gain_maps
from rawkd.files.write.dng import write_dng
from rawkd.photo import BAYER_PHASES, CFAPattern, FloatArray, GainMap, Mosaic, RawPhoto, Rect
from rawkd.process import ProcessOptions, process_file
from rawkd.render.linear import linear_picture
from rawkd.restore.options import DenoiseOptions

NEUTRAL = np.array([0.5, 1.0, 0.6])


def smooth_photo(height: int = 302, width: int = 402, pattern: CFAPattern = CFAPattern.RGGB) -> RawPhoto:
    """A photo without noise of slow colour gradients; at most half of white."""
    photo = noisy_photo(height, width, pattern=pattern)
    photo = photo.cut(Rect(0, 0, height, width), photo.default_crop)
    return photo.with_mosaic(Mosaic(mosaicked(gradients(height, width) * NEUTRAL, pattern), pattern))


def gradients(height: int, width: int) -> FloatArray:
    """Linear colours from 0.1 to 0.5, (height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 60), np.cos(y / 70), np.sin((x + y) / 80)]
    return (0.3 + 0.2 * np.stack(waves, axis=-1)).astype(np.float32)


def mosaicked(rgb: FloatArray, pattern: CFAPattern) -> FloatArray:
    out = np.empty(rgb.shape[:2], np.float32)
    for row in range(2):
        for column in range(2):
            colour = "RGB".index(pattern.colour_at(row, column))
            out[row::2, column::2] = rgb[row::2, column::2, colour]
    return out


def write(folder: Path, photo: RawPhoto, name: str = "linear.dng") -> Path:
    path = folder / name
    write_dng(path, photo, preview=None, linear=linear_picture(photo), overwrite=True, software="test")
    return path


def by_rawpy(path: Path) -> FloatArray:
    """Developed without guesses from the pixels: no automatic brightness and no adjusted white level."""
    with rawpy.imread(str(path)) as raw:
        return raw.postprocess(
            use_camera_wb=True,
            output_bps=16,
            no_auto_bright=True,
            adjust_maximum_thr=0,
            user_flip=0,
            demosaic_algorithm=rawpy.DemosaicAlgorithm.LINEAR,
        ).astype(np.float32)


def by_dcraw_emu(path: Path) -> FloatArray:
    if shutil.which("dcraw_emu") is None:
        pytest.skip("needs dcraw_emu (Debian: libraw-bin)")
    command = ["dcraw_emu", "-w", "-W", "-T", "-6", "-c", "0", "-t", "0", "-q", "0", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return tifffile.imread(f"{path}.tiff").astype(np.float32)


@pytest.mark.parametrize("develop", [by_rawpy, by_dcraw_emu])
@pytest.mark.parametrize("orientation", [1, 6])
def test_colours_are_those_of_the_mosaic(tmp_path: Path, develop: object, orientation: int) -> None:
    """The scene is smooth, so that all demosaicing agrees; one colour taken for another differs by over 10 %."""
    photo = replace(smooth_photo(), orientation=orientation)
    assert callable(develop)
    before, after = (develop(path) for path in (write_default(tmp_path, photo, None), write(tmp_path, photo)))
    assert before.shape == after.shape
    inner = (slice(8, -8), slice(8, -8))
    assert np.abs(after - before)[inner].mean() < 0.01 * before[inner].mean()
    assert np.abs(after - before[..., ::-1])[inner].mean() > 0.1 * before[inner].mean()


@pytest.mark.parametrize("pattern", BAYER_PHASES, ids=str)
def test_the_picture_is_the_scene_in_camera_colour(pattern: CFAPattern) -> None:
    """Away from the edges. Interpolating 0.2 sin(x / 60) linearly is off by at most 0.1 / 60^2; integers round to half
    of 1 / 15488, twice, which Menon's filters amplify at most fivefold."""
    photo = smooth_photo(pattern=pattern)
    picture = linear_picture(photo)
    assert picture.white_dn == 15488
    expected = gradients(302, 402) * NEUTRAL
    inner = (slice(4, -4), slice(4, -4))
    np.testing.assert_allclose((picture.data / picture.white_dn)[inner], expected[inner], atol=4e-4)


def test_values_of_few_bits_are_spread_over_more(tmp_path: Path) -> None:
    photo = noisy_photo(64, 128, bits=10)
    assert linear_picture(photo).white_dn == round(photo.levels.range_dn) * 16 > 2**13


@pytest.mark.parametrize("width", [95, 96, 97, 111, 128, 160, 192, 288, 512, 1025, 1536])
def test_libraw_reads_every_sample(tmp_path: Path, width: int) -> None:
    photo = noisy_photo(40, width)
    path = write(tmp_path, photo)
    with rawpy.imread(str(path)) as raw:
        np.testing.assert_array_equal(raw.raw_image[..., :3], linear_picture(photo).data)
        assert raw.black_level_per_channel == [0, 0, 0, 0]
    with tifffile.TiffFile(path) as file:
        np.testing.assert_array_equal(file.pages[0].asarray(), linear_picture(photo).data)


@pytest.mark.parametrize("orientation", [1, 6])
def test_crop_and_orientation_are_the_mosaics(tmp_path: Path, orientation: int) -> None:
    photo = noisy_photo(203, 301, orientation=orientation)
    fields = raw_ifd(write(tmp_path, photo))
    crop, area = photo.default_crop, photo.active_area
    assert fields.numbers(50719) == (crop.left, crop.top)
    assert fields.numbers(50720) == (crop.width, crop.height)
    assert fields.numbers(50829) == (0, 0, area.height, area.width)
    assert fields.number(274) == orientation


def test_fields_are_those_of_a_linear_picture(tmp_path: Path) -> None:
    fields = raw_ifd(write(tmp_path, noisy_photo()))
    assert fields.number(262) == 34892
    assert fields.numbers(50714) == (0, 0, 0)
    assert not {33421, 33422, 50711, 51041, 51009} & fields.tags.keys()


def test_blown_pixels_stay_blown_beside_others() -> None:
    """Blown green and blue beside unblown red that rises steeply, which pulls interpolated green below its clipping."""
    photo = noisy_photo(64, 96, pattern=CFAPattern.RGGB)
    rgb = np.ones((64, 96, 3), np.float32)
    rgb[..., 0] = np.linspace(0.1, 0.9, 96) ** 3 + 0.1 * np.sin(np.arange(96) * np.pi / 2)
    photo = photo.with_mosaic(Mosaic(mosaicked(rgb, CFAPattern.RGGB), CFAPattern.RGGB))
    picture = linear_picture(photo)
    assert (picture.data[..., 1:] == picture.white_dn).all()
    assert (picture.data[..., 0] < picture.white_dn).any()


def test_signal_below_black_becomes_0() -> None:
    photo = noisy_photo(64, 96, pattern=CFAPattern.RGGB)
    dark = photo.with_mosaic(Mosaic(np.full((64, 96), -0.01, np.float32), CFAPattern.RGGB))
    assert not linear_picture(dark).data.any()


def test_gain_maps_of_the_mosaic_are_applied_and_those_of_the_picture_kept(tmp_path: Path) -> None:
    height, width = 64, 128
    data = map_data(np.full((1, 1, 1), 1.5, np.float32), (0, 0, height, width), planes=(0, 3))
    area = Rect(0, 0, height, width)
    photo = smooth_photo(height, width)
    plain = linear_picture(photo).data.astype(float)
    for number, factor in ((51009, 1.5), (51022, 1.0)):
        opcodes = tag(number, (9, data))
        maps, _ = gain_maps({number: opcodes}, area)
        mapped = replace(photo, tags=(opcodes,), gain_maps=maps)
        np.testing.assert_allclose(linear_picture(mapped).data, factor * plain, atol=1)
        assert (number in raw_ifd(write(tmp_path, mapped)).tags) == (number == 51022)


def test_corrections_that_are_lost_are_named(tmp_path: Path) -> None:
    photo = replace(noisy_photo(), tags=(tag(51009, (8, b"")),))
    linear = linear_picture(photo)
    warnings = write_dng(tmp_path / "a.dng", photo, preview=None, linear=linear, software="test")
    assert warnings == (
        "not applied to the linear DNG: a tone polynomial (MapPolynomial). Write a DNG without --linear to keep them.",
    )


def test_exiftool_finds_nothing_to_say(tmp_path: Path) -> None:
    assert exiftool(write(tmp_path, noisy_photo(140, 200))) == ["OK"]


@needs_dngpy
def test_adobe_finds_nothing_to_say_and_the_digest_right(tmp_path: Path) -> None:
    path = write(tmp_path, noisy_photo(140, 600))
    assert complaints(path) == []
    assert was_checked(path)


def test_known_defects_do_not_spread_if_nothing_is_removed(tmp_path: Path) -> None:
    photo = smooth_photo(64, 128)
    frame = photo.frame.copy()
    frame[20, 30] = 16000
    defect = tag(51008, (5, struct.pack(">5I", 0, 1, 0, 20, 30)))
    source = tmp_path / "hot.dng"
    write_dng(source, replace(photo, frame=frame, tags=(defect,)), preview=None, software="test")
    process_file(source, tmp_path / "out.dng", options(linear=True))
    with rawpy.imread(str(tmp_path / "out.dng")) as raw:
        difference = raw.raw_image[..., :3].astype(int) - linear_picture(photo).data
    assert np.abs(difference).max() <= 15488 * 0.002


def options(*, linear: bool) -> ProcessOptions:
    return ProcessOptions(denoise=DenoiseOptions(strength=0), linear=linear)


def test_only_a_dng_can_be_linear(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_default(tmp_path, noisy_photo(), None)
    with pytest.raises(UsageError, match="only a DNG can be linear"):
        process_file(source, tmp_path / "a.tif", options(linear=True))
    assert main(["denoise", "--linear", "--format", "png", str(source)]) == 2
    assert "--linear and the format png contradict each other" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["denoise", "batch"])
def test_from_the_command_line(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "out.dng"
    write_dng(source, noisy_photo(), preview=None, software="another program")
    options_given = ["--linear", "--demosaic", "bilinear", "--strength", "0", "-o", f"{tmp_path}/to/"]
    assert main([command, *options_given, str(source)]) == 0
    assert "no effect" not in capsys.readouterr().err
    assert raw_ifd(tmp_path / "to" / "out-denoised.dng").number(262) == 34892
    with Decoder() as decoder, pytest.raises(Exception, match="linear"):
        process_file(tmp_path / "to" / "out-denoised.dng", tmp_path / "b.dng", options(linear=True), decoder=decoder)


def test_demosaicing_of_a_mosaic_is_said_to_have_no_effect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_default(tmp_path, noisy_photo(), None)
    assert main(["denoise", "--demosaic", "bilinear", "--strength", "0", str(source)]) == 0
    assert "--demosaic has no effect because a DNG keeps the mosaic. Add --linear" in capsys.readouterr().err


def test_gain_maps_know_when_they_apply() -> None:
    assert not GainMap(np.ones((1, 1), np.float32), (0.0,), (0.0,), 0, 0, 1, 1).after_demosaic
