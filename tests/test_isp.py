"""The minimalist ISP by its definition; pictures for viewing: grey, highlights, crops, orientation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawkd.errors import InputError, UsageError
from rawkd.photo import BAYER_PHASES, Capture, CFAPattern, ColorCalibration, Levels, Mosaic, RawPhoto, Rect
from rawkd.photo.orientation import orient, turned_back
from rawkd.render.blocks import BLOCK_PX
from rawkd.render.color import ProcessMetadata, camera_from_rgb, gamma, tone, viewing_curve
from rawkd.render.development import _raised
from rawkd.render.isp import process
from rawkd.render.preview import render_preview
from rawkd.render.view import render

MATRIX = np.array([[1.0344, -0.421, -0.062], [-0.2315, 1.0625, 0.1948], [0.0093, 0.1058, 0.5541]])
NEUTRAL = np.array([0.5, 1.0, 0.6])
WHITE_DN = 16000.0


def photo_of(
    signal: np.ndarray, pattern: CFAPattern = CFAPattern.RGGB, *, neutral: np.ndarray = NEUTRAL, orientation: int = 1
) -> RawPhoto:
    """A photo whose active area lies within masked pixels and whose crop is the whole of it."""
    height, width = signal.shape
    levels = Levels(np.array([[512.0, 520.0], [516.0, 524.0]]), WHITE_DN, WHITE_DN, 14)
    frame = np.zeros((height + 3, width + 5), np.uint16)
    active = Rect(1, 3, height, width)
    frame[active.slices] = levels.to_dn(signal.astype(np.float32))
    crop = Rect(0, 0, height, width)
    color = ColorCalibration(MATRIX, neutral)
    return RawPhoto(frame, active, crop, pattern, levels, color, Capture(), orientation=orientation)


def mosaic_of(camera: np.ndarray, pattern: CFAPattern = CFAPattern.RGGB) -> np.ndarray:
    """(H, W, 3) camera colour -> (H, W) mosaic."""
    colours = np.array(["RGB".index(c) for c in pattern.colours]).reshape(2, 2)
    height, width, _ = camera.shape
    site = colours[np.arange(height)[:, None] % 2, np.arange(width) % 2]
    return np.take_along_axis(camera, site[..., None], -1)[..., 0]


def noise_photo(height: int, width: int, pattern: CFAPattern, orientation: int = 1) -> RawPhoto:
    return photo_of(np.random.default_rng(3).random((height, width)) * 1.05, pattern, orientation=orientation)


def linear_of(shown: np.ndarray) -> np.ndarray:
    """Linear light of pixels in viewing mode."""
    linear = np.linspace(0, 1, 65536)
    return np.interp(shown, viewing_curve(linear), linear)


# Metrics mode


def test_process_follows_its_definition_step_by_step() -> None:
    rng = np.random.default_rng(0)
    planes = rng.random((4, 5, 6)) * 1.2 - 0.1
    color = ColorCalibration(MATRIX, NEUTRAL)
    metadata = ProcessMetadata.of(color)
    balanced = np.clip(planes * np.array([2.0, 1, 1, 1 / 0.6])[:, None, None], 0, 1)
    full = np.zeros((10, 12, 3))
    for y in range(10):
        for x in range(12):
            for colour in range(3):
                full[y, x, colour] = resized_at(balanced, y, x, colour)
    linear = np.clip(full @ np.linalg.inv(camera_from_rgb(MATRIX)).T, 0, 1)
    expected = np.maximum(linear, 1e-8) ** (1 / 2.2)
    np.testing.assert_allclose(np.moveaxis(process(planes, metadata), 0, -1), expected, atol=1e-12)


def resized_at(planes: np.ndarray, y: int, x: int, colour: int) -> float:
    """One value of the bilinear resize by two of the planes, each laid so that its samples stay where they are."""

    def plane_at(plane: int) -> float:
        row, column = (y - plane // 2) / 2, (x - plane % 2) / 2
        _, h, w = planes.shape
        value = 0.0
        for j in (int(np.floor(row)), int(np.floor(row)) + 1):
            for i in (int(np.floor(column)), int(np.floor(column)) + 1):
                weight = (1 - abs(row - j)) * (1 - abs(column - i))
                value += weight * planes[plane, np.clip(j, 0, h - 1), np.clip(i, 0, w - 1)]
        return value

    if colour != 1:
        return plane_at(0 if colour == 0 else 3)
    greens = {(0, 1): [1], (1, 0): [2]}.get((y % 2, x % 2), [1, 2])
    return float(np.mean([plane_at(plane) for plane in greens]))


def test_process_on_torch_equals_numpy_has_gradients_and_takes_batches() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    planes = rng.random((2, 4, 4, 5))
    metadata = ProcessMetadata(
        np.array([[2.0, 1.0, 1.5], [1.4, 1.0, 2.2]]), np.linalg.inv(np.stack([camera_from_rgb(MATRIX)] * 2))
    )
    expected = process(planes, metadata)
    assert expected.shape == (2, 3, 8, 10)
    for i in range(2):
        single = process(planes[i], ProcessMetadata(metadata.gains[i], metadata.rgb_from_camera[i]))
        np.testing.assert_allclose(expected[i], single, atol=1e-14)
    tensor = torch.from_numpy(planes * 0.3 + 0.1).requires_grad_()
    np.testing.assert_allclose(process(torch.from_numpy(planes), metadata).numpy(), expected, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: process(x, metadata), (tensor,))
    assert process(torch.from_numpy(planes).float(), metadata).dtype == torch.float32


# Viewing mode


@given(
    red=st.floats(0.3, 1.0),
    green=st.floats(0.3, 1.0),
    blue=st.floats(0.3, 1.0),
    light=st.floats(0.0, 5.0),
    exposure_ev=st.floats(-3, 3),
)
@settings(max_examples=80, deadline=None)
def test_grey_stays_grey_from_black_to_blown(
    red: float, green: float, blue: float, light: float, exposure_ev: float
) -> None:
    neutral = np.array([red, green, blue])
    mosaic = mosaic_of(np.broadcast_to(light * neutral / neutral.max(), (8, 8, 3)))
    photo = photo_of(mosaic, neutral=neutral)
    clip = photo.levels.site_saturation  # sites of a higher black clip at a lower signal
    mosaic = np.minimum(mosaic, np.tile(clip, (4, 4))).astype(np.float32)
    rgb = render(photo, mosaic=Mosaic(mosaic, photo.pattern), exposure_ev=exposure_ev)
    assert np.ptp(rgb, axis=-1).max() < 2e-3
    if light * neutral.min() / neutral.max() >= clip.max() and exposure_ev >= 0:
        np.testing.assert_array_equal(rgb, 1)


@pytest.mark.parametrize(("exposure_ev", "tint"), [(0.0, 0.03), (-1.5, 0.05)])
def test_a_blown_lamp_fades_to_white_without_ring_or_tint(exposure_ev: float, tint: float) -> None:
    y, x = np.mgrid[:160, :160]
    light = 4 * np.exp(-((y - 80) ** 2 + (x - 80) ** 2) / (2 * 25.0**2))
    camera = np.minimum(light[..., None] * NEUTRAL, 1.0)
    rgb = render(photo_of(mosaic_of(camera)), exposure_ev=exposure_ev)
    assert np.ptp(rgb, axis=-1).max() < tint
    profile = rgb[80, 80:].mean(axis=-1)
    assert np.diff(profile).max() < 0.02, "brightness falls from the middle outwards"
    assert np.diff(profile).min() > -0.06, "no step"


@pytest.mark.parametrize(("exposure_ev", "swap"), [(0.0, 0.03), (-1.0, 0.08)])
@pytest.mark.parametrize("colour", [(1, 0.6, 0.15), (1, 0.9, 0.2), (1, 0.1, 0.05), (1, 0.3, 0.1), (0.15, 0.2, 1)])
def test_a_coloured_lamp_turns_white_without_another_hue(
    colour: tuple[float, float, float], exposure_ev: float, swap: float
) -> None:
    """From the lamp's edge to its middle one channel clips after the other; their order stays that of the colour."""
    y, x = np.mgrid[:160, :160]
    light = 8 * np.exp(-np.hypot(y - 80, x - 80) / 25)
    camera = np.minimum(light[..., None] * (camera_from_rgb(MATRIX) @ colour) * NEUTRAL, 1.0)
    profile = render(photo_of(mosaic_of(camera)), exposure_ev=exposure_ev)[80, 82:150]
    smallest, middle, largest = profile[:, np.argsort(colour)].T
    assert (middle - smallest).min() > -swap
    assert (largest - middle).min() > -0.02
    assert np.abs(np.diff(profile, axis=0)).max() < 0.12, "no step"
    assert (profile[-1] < 0.8).any()
    assert profile[0].min() > (0.5 if exposure_ev else 0.85), "nearly white"


def test_a_dark_pixel_beside_a_blown_line_does_not_tint_it() -> None:
    """A third of X-Trans, 3 x 3 pixels, whose last row is a neutral line of 1.5 times the saturation of green."""
    colours = CFAPattern.XTRANS.colour_of_class[CFAPattern.XTRANS.class_of_site][:3, :3].ravel()
    gains = np.array([2.0, 1.0, 1.6])[colours]
    light = np.repeat([0.1, 0.1, 1.5], 3)
    measured = np.minimum(light / gains, 1).astype(np.float32)[:, None, None]
    raised = _raised(measured * gains.astype(np.float32)[:, None, None], measured, colours).ravel()
    bright = light > 1
    assert set(colours[bright].tolist()) == {0, 1, 2} or colours[bright].tolist().count(1) >= 1
    assert set(colours[bright].tolist()) == {0, 1, 2}
    assert raised[bright].min() > 1.4
    np.testing.assert_allclose(raised[~bright], 0.1, rtol=1e-6)


def test_a_saturated_sky_keeps_its_hue_and_stays_smooth() -> None:
    ramp = np.linspace(0.3, 3.0, 200)[None, :, None]
    sky = ramp * np.array([0.25, 0.5, 1.0])  # linear sRGB, blue far beyond 1 at the end
    camera = sky @ camera_from_rgb(MATRIX).T * NEUTRAL
    clean = camera.max(axis=-1).ravel() < 0.9
    rgb = render(photo_of(mosaic_of(np.repeat(np.minimum(camera, 1), 16, axis=0))))[8]
    red, green, blue = linear_of(rgb[clean]).T
    assert clean.sum() > 60
    np.testing.assert_allclose((green - red) / (blue - red), (0.5 - 0.25) / (1 - 0.25), atol=0.02)
    assert np.abs(np.diff(rgb, axis=0)).max() < 0.1


def test_exposure_is_in_stops_of_linear_light() -> None:
    photo = photo_of(mosaic_of(np.broadcast_to(0.1 * NEUTRAL, (8, 8, 3))))
    one = render(photo, exposure_ev=1.0)
    baseline = replace(photo, color=replace(photo.color, baseline_exposure=1.0))
    np.testing.assert_array_equal(one, render(baseline))
    np.testing.assert_allclose(one, viewing_curve(np.full((8, 8, 3), 0.2)), atol=1e-3)


def test_saturation_below_white_still_renders_white() -> None:
    photo = photo_of(np.full((8, 8), 0.9))
    photo = replace(photo, levels=replace(photo.levels, saturation_dn=0.89 * WHITE_DN))
    np.testing.assert_array_equal(render(photo), 1)


def test_viewing_curve_grows_from_black_to_white() -> None:
    curve = viewing_curve(np.linspace(0, 1, 65536))
    assert curve[0] == 0
    assert curve[-1] == pytest.approx(1, abs=1e-12)
    assert (np.diff(curve) > 0).all()
    np.testing.assert_allclose(viewing_curve(np.array([-1.0, 2.0])), [0, 1], atol=1e-12)


def test_gamma_and_tone_at_known_points() -> None:
    np.testing.assert_allclose(gamma(np.array([-1.0, 0.0, 0.5, 2.0])), [1e-8 ** (1 / 2.2)] * 2 + [0.5 ** (1 / 2.2), 1])
    np.testing.assert_allclose(tone(np.array([0, 0.25, 0.5, 1])), [0, 0.15625, 0.5, 1])


# Geometry


def test_orientations_are_those_of_exif() -> None:
    from PIL import Image, ImageOps

    image = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    for orientation in range(1, 9):
        picture = Image.fromarray(image)
        picture.getexif()[274] = orientation
        upright = orient(image, orientation)
        np.testing.assert_array_equal(upright, np.asarray(ImageOps.exif_transpose(picture)))
        np.testing.assert_array_equal(turned_back(upright, orientation), image)
    with pytest.raises(InputError):
        orient(image, 9)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_render_is_upright(orientation: int) -> None:
    upright = render(noise_photo(37, 50, CFAPattern.GRBG))
    np.testing.assert_array_equal(
        render(noise_photo(37, 50, CFAPattern.GRBG, orientation)), orient(upright, orientation)
    )
    preview = render_preview(noise_photo(37, 50, CFAPattern.GRBG))
    np.testing.assert_array_equal(
        render_preview(noise_photo(37, 50, CFAPattern.GRBG, orientation)), orient(preview, orientation)
    )


@pytest.mark.parametrize("pattern", BAYER_PHASES)
@pytest.mark.parametrize("method", ["bilinear", "malvar", "menon"])
def test_a_crop_equals_the_same_part_of_the_whole(pattern: CFAPattern, method: str) -> None:
    photo = noise_photo(215, 530, pattern)
    assert (np.array(photo.frame.shape) > BLOCK_PX).all(), "more than one block both ways"
    whole = render(photo, demosaic=method, threads=2)
    for rect in (Rect(0, 0, 1, 1), Rect(13, 500, 195, 30), Rect(3, 2, 5, 7), Rect(214, 529, 1, 1)):
        np.testing.assert_array_equal(render(photo, demosaic=method, rect=rect), whole[rect.slices])
    cropped = replace(photo, default_crop=Rect(5, 7, 20, 21))
    np.testing.assert_array_equal(render(cropped, demosaic=method), whole[5:25, 7:28])
    with pytest.raises(UsageError, match="extends beyond"):
        render(photo, rect=Rect(164, 0, 52, 10))


def test_menon_in_blocks_equals_menon_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = noise_photo(70, 90, CFAPattern.GBRG)
    whole = render(photo, demosaic="menon")
    monkeypatch.setattr("rawkd.render.blocks.BLOCK_PX", (31, 40))
    np.testing.assert_array_equal(render(photo, demosaic="menon"), whole)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (3, 1)])
@pytest.mark.parametrize("pattern", BAYER_PHASES)
def test_tiny_photos(shape: tuple[int, int], pattern: CFAPattern) -> None:
    photo = noise_photo(*shape, pattern)
    assert render(photo).shape == (*shape, 3)
    assert np.isfinite(render(photo)).all()
    assert render_preview(photo).shape == (max(1, shape[0] // 2), max(1, shape[1] // 2), 3)


def test_signal_may_stand_for_the_integers() -> None:
    photo = noise_photo(40, 41, CFAPattern.BGGR)
    np.testing.assert_array_equal(render(photo, mosaic=photo.mosaic), render(photo))
    with pytest.raises(InputError, match="does not match the photo"):
        render(photo, mosaic=Mosaic(photo.mosaic.data, CFAPattern.RGGB))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_integers_are_the_rounded_picture(kind: type) -> None:
    photo = noise_photo(40, 44, CFAPattern.RGGB)
    exact = render(photo) * np.iinfo(kind).max
    shown = render(photo, dtype=kind)
    assert shown.dtype == kind
    assert np.abs(shown - exact).max() <= 0.51
    with pytest.raises(UsageError):
        render(photo, dtype=np.int16)


# Preview and real files


@pytest.mark.parametrize(("max_px", "expected"), [(2048, (99, 130, 3)), (130, (99, 130, 3)), (64, (33, 43, 3))])
def test_preview_fits_and_resembles_the_picture(max_px: int, expected: tuple[int, int, int]) -> None:
    y, x = np.mgrid[:199, :261]
    camera = np.stack([0.3 + 0.2 * np.sin(x / 40), 0.4 + 0.2 * np.cos(y / 30), 0.2 + 0 * x], -1)
    photo = photo_of(mosaic_of(camera, CFAPattern.GRBG), CFAPattern.GRBG)
    preview = render_preview(photo, max_px)
    assert preview.dtype == np.uint8
    assert preview.shape == expected
    step = 199 // expected[0]
    full = render(photo, dtype=np.uint8)[step // 2 :: step, step // 2 :: step][: expected[0], : expected[1]]
    assert np.abs(preview.astype(float) - full).mean() < 4


@pytest.mark.parametrize("name", ["canon-s40-box.crw", "gopro-hero7-chart-noiseprofile.dng"])
def test_colours_are_close_to_those_of_libraw(data: Path, name: str) -> None:
    import rawpy

    from rawkd.files.read.raw import read_raw

    path = data / "raw" / name
    photo = replace(read_raw(path), orientation=1)
    linear = {"gamma": (1, 1), "output_bps": 16, "no_auto_bright": True, "half_size": True, "user_flip": 0}
    with rawpy.imread(str(path)) as raw:
        wanted = raw.postprocess(use_camera_wb=True, **linear).mean(axis=(0, 1)) / 65535
    ours = linear_of(render(photo)[::5, ::5]).mean(axis=(0, 1))
    np.testing.assert_allclose(ours / ours.mean(), wanted / wanted.mean(), rtol=0.06)
