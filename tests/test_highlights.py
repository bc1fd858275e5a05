"""Blown areas from file to file: white or grey and never tinted, whatever the file says of black and white."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rawpy
import tifffile
from synthetic_dng import LONG, RATIONAL, SHORT, SRATIONAL, write_dng
from tiny_models import even_blur, make_model

from rawkd.files.read.decode import Decoder
from rawkd.files.read.raw import read_raw
from rawkd.photo import RawPhoto
from rawkd.process import ProcessOptions, process_file
from rawkd.render.preview import render_preview
from rawkd.render.view import render
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import denoise
from rawkd.sensor.choose_noise import noise_model_of

HEIGHT, WIDTH = 192, 256
PATCH = (slice(48, 144), slice(64, 192))
INSIDE = (slice(64, 128), slice(80, 176))
"""The blown patch, and what of it no demosaicing mixes with its surroundings."""
NEUTRAL = np.array([[0.5, 1.0], [1.0, 0.6]])
"""Of `synthetic_dng`, RGGB."""
GAIN, READ = 2e-4, 4e-7


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def blurring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("blur")
    make_model(directory / "blur", even_blur, subrange=[1e-6, 1e-1], tile=64)
    return directory


def scene(black: float, white: float, clip: float, *, spread: float = 0.0) -> np.ndarray:
    """Grey waves with a patch of eight times white in the middle, with noise, as a sensor that clips at `clip` DN."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    light = 0.3 + 0.2 * np.sin(x / 30) * np.cos(y / 40)
    light[PATCH] = 8
    signal = light * np.tile(NEUTRAL, (HEIGHT // 2, WIDTH // 2))
    noisy = GAIN * rng.poisson(signal / GAIN) + np.sqrt(READ) * rng.standard_normal(signal.shape)
    clipped = np.minimum(black + (white - black) * noisy, clip) + rng.normal(0, spread, signal.shape)
    return np.clip(np.rint(clipped), 0, 65535).astype(np.uint16)


def levels_tags(black: float, white: float) -> dict[int, Any]:
    return {50714: (RATIONAL, (black,)), 50717: (LONG, int(white))}


@pytest.mark.parametrize("black", [0.0, 512.0, 2048.0])
@pytest.mark.parametrize(("clip", "spread"), [(12000, 0), (13000, 0), (14000, 3), (15500, 0), (16200, 0), (16383, 0)])
def test_a_blown_patch_is_neutral_at_every_exposure(
    tmp_path: Path, decoder: Decoder, black: float, clip: float, spread: float
) -> None:
    frame = scene(black, 16383, clip, spread=spread)
    photo = read_raw(write_dng(tmp_path / "made.dng", frame, tags=levels_tags(black, 16383)), decoder=decoder)
    assert clip - 4 * spread - 2 <= photo.levels.saturation_dn <= clip
    assert photo.levels.white_dn == 16383
    before = 65536.0
    for exposure_ev in (10, 3, 1, 0, -0.5, -1, -2, -5, -10):
        patch = render(photo, exposure_ev=exposure_ev, dtype=np.uint16, threads=1)[INSIDE].astype(int)
        # The foot of a spread clip leaves out a hundredth of its samples: at most a quarter of an 8-bit step of tint.
        tint = np.ptp(patch.mean(axis=(0, 1)))
        assert tint <= (1 if spread == 0 else 65), exposure_ev
        assert spread or np.ptp(patch, axis=-1).max() <= 1
        assert exposure_ev < 0 or patch.min() == 65535
        assert patch.mean() <= before
        before = patch.mean()
    assert before < 6000, "ten stops less leave a dark grey"
    preview = render_preview(photo, max_px=WIDTH)
    assert preview[preview.shape[0] // 2, preview.shape[1] // 2].tolist() == [255, 255, 255]


UNEVEN = {
    "a black for each site": {50713: (SHORT, (2, 2)), 50714: (RATIONAL, (500.0, 516.0, 508.0, 524.0))},
    "a black for each row and column": {
        50715: (SRATIONAL, tuple(np.round(np.random.default_rng(0).normal(0, 3, WIDTH), 3))),
        50716: (SRATIONAL, tuple(np.round(np.random.default_rng(1).normal(0, 3, HEIGHT), 3))),
    },
}


@pytest.mark.parametrize("clips", [(16383, 16383, 16383), (15500, 15500, 15500), (16383, 15500, 14000)])
@pytest.mark.parametrize("kind", UNEVEN)
def test_uneven_blacks_and_clips_leave_no_tint(
    tmp_path: Path, decoder: Decoder, blurring: Path, clips: tuple[int, int, int], kind: str
) -> None:
    """The integers of the blown patch come back as they are, whatever black each of them lies above."""
    red, green, blue = clips
    ends = np.tile([[red, green], [green, blue]], (HEIGHT // 2, WIDTH // 2))
    frame = np.minimum(scene(512, 16383, 16383), ends).astype(np.uint16)
    photo = read_raw(write_dng(tmp_path / "made.dng", frame, tags=UNEVEN[kind]), decoder=decoder)
    assert photo.levels.saturation_dn == min(clips)
    restoration = denoise(photo, DenoiseOptions(model=blurring, noise=(GAIN, READ), device="cpu"))
    np.testing.assert_array_equal(restoration.photo.frame[INSIDE], ends[INSIDE])
    for exposure_ev in (0.0, -1.0, -3.0):
        picture = render(photo, mosaic=restoration.mosaic, exposure_ev=exposure_ev, dtype=np.uint16, threads=1)
        patch = picture[INSIDE].astype(int)
        # Grey may vary from cell to cell as the black levels do; the patch as a whole has no tint.
        assert np.ptp(patch.mean(axis=(0, 1))) <= 1
        assert exposure_ev < 0 or patch.min() == 65535


def photos_of_both_blacks(tmp_path: Path, decoder: Decoder, numbers: tuple[int, ...]) -> tuple[RawPhoto, RawPhoto]:
    """One frame whose black 256 stands in deltas of rows or columns, and one where it stands in BlackLevel."""
    frame = scene(256, 4056, 4056)
    plain = read_raw(write_dng(tmp_path / "plain.dng", frame, tags=levels_tags(256, 4056)), decoder=decoder)
    share = 256 / len(numbers)
    sizes = {50715: WIDTH, 50716: HEIGHT}
    deltas = {number: (SRATIONAL, (share,) * sizes[number]) for number in numbers}
    path = write_dng(tmp_path / "deltas.dng", frame, tags=levels_tags(0, 4056) | deltas)
    return read_raw(path, decoder=decoder), plain


@pytest.mark.parametrize("numbers", [(50716,), (50715,), (50715, 50716)])
def test_black_in_deltas_gives_the_picture_of_black_in_the_pattern(
    tmp_path: Path, decoder: Decoder, blurring: Path, numbers: tuple[int, ...]
) -> None:
    deltas, plain = photos_of_both_blacks(tmp_path, decoder, numbers)
    np.testing.assert_array_equal(deltas.levels.effective_black_dn, np.full((2, 2), 256.0))
    np.testing.assert_array_equal(deltas.mosaic.data, plain.mosaic.data)
    for one, other in zip(noise_model_of(deltas)[0].gain, noise_model_of(plain)[0].gain, strict=True):
        assert one == other
    for exposure_ev in (0.0, -1.0):
        pictures = [render(photo, exposure_ev=exposure_ev, dtype=np.uint16, threads=1) for photo in (deltas, plain)]
        np.testing.assert_array_equal(*pictures)
    assert render(deltas, dtype=np.uint16, threads=1)[INSIDE].min() == 65535
    options = DenoiseOptions(model=blurring, noise=(GAIN, READ), device="cpu")
    one, other = denoise(deltas, options), denoise(plain, options)
    np.testing.assert_array_equal(one.photo.frame, other.photo.frame)
    assert set(one.photo.frame[INSIDE].ravel()) == {4 * 4056}


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_a_written_dng_keeps_its_deltas_and_libraw_develops_it_alike(
    tmp_path: Path, decoder: Decoder, blurring: Path, strength: float
) -> None:
    photos_of_both_blacks(tmp_path, decoder, (50716,))
    options = DenoiseOptions(model=blurring, noise=(GAIN, READ), device="cpu", strength=strength)
    developed = []
    for name in ("deltas", "plain"):
        output = tmp_path / f"{name}-out.dng"
        process_file(tmp_path / f"{name}.dng", output, ProcessOptions(options), decoder=decoder)
        with rawpy.imread(str(output)) as raw:
            developed.append(raw.postprocess(output_bps=16, no_auto_bright=True, use_camera_wb=True))
    np.testing.assert_array_equal(*developed)
    source = read_raw(tmp_path / "deltas.dng", decoder=decoder)
    copy = read_raw(tmp_path / "deltas-out.dng", decoder=decoder)
    factor = 4 if strength else 1
    np.testing.assert_array_equal(copy.levels.row_delta_dn, factor * source.levels.row_delta_dn)
    if not strength:
        np.testing.assert_array_equal(copy.frame, source.frame)


@pytest.mark.parametrize(("clip", "white"), [(15500, 16383), (13000, 16383), (3900, 4095)])
def test_a_dng_and_a_picture_agree_on_highlights(
    tmp_path: Path, decoder: Decoder, blurring: Path, clip: int, white: int
) -> None:
    """The denoised DNG clips where the source does, so that it is read and rendered as the picture was."""
    source = write_dng(tmp_path / "in.dng", scene(256, white, clip), tags=levels_tags(256, white))
    options = DenoiseOptions(model=blurring, noise=(GAIN, READ), device="cpu")
    for exposure_ev in (0.0, -1.0):
        given = ProcessOptions(options, exposure_ev=exposure_ev, overwrite=True)
        process_file(source, tmp_path / "out.tif", given, decoder=decoder)
        process_file(source, tmp_path / "out.dng", ProcessOptions(options, overwrite=True), decoder=decoder)
        photo = read_raw(tmp_path / "out.dng", decoder=decoder)
        factor = 2 ** (photo.levels.bits - white.bit_length())
        assert photo.levels.white_dn == factor * white
        assert photo.levels.saturation_dn == factor * clip
        assert set(photo.frame[INSIDE].ravel()) == {factor * clip}
        picture = tifffile.imread(tmp_path / "out.tif")[INSIDE].astype(int)
        assert np.ptp(picture, axis=-1).max() <= 1
        again = render(photo, exposure_ev=exposure_ev, dtype=np.uint16, threads=1)[INSIDE].astype(int)
        assert np.abs(picture - again).max() <= 1
