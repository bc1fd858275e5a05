"""Hot and dead pixels in a single frame: found, and neither stars nor texture nor noise taken for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from defect_pictures import mosaic_of, noisy, places_of
from PIL import Image
from scenes_of_every_cfa import mosaicked
from small_photos import GAIN, READ_VARIANCE

from rawkd.files.read.raw import read_raw
from rawkd.photo import BAYER_PHASES, CFAPattern, Mosaic
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import prepare
from rawkd.sensor.defect_proof import STRICT
from rawkd.sensor.defect_search import REACH_PX, find_defects
from rawkd.sensor.defects import without_defects
from rawkd.sensor.noise import NoiseModel

BORDER_PX = REACH_PX + 2
NOISE = NoiseModel(np.array(GAIN), np.array(READ_VARIANCE), "given")
COLOURS = np.array([0.5, 1.0, 0.7])


def star_field(fwhm_px: float, noise: NoiseModel, seed: int) -> tuple[Mosaic, np.ndarray]:
    """400 stars of four colours between the noise and ten times saturation, their light integrated over samples."""
    from scipy.special import erf

    rng = np.random.default_rng(seed)
    size, reach, scale = 500, 9, fwhm_px / 2.3548 * np.sqrt(2)
    sky = np.full((size, size, 3), 0.01)
    colours = np.array([(0.45, 1, 0.75), (0.8, 1, 0.4), (0.6, 1, 0.5), (0.35, 1, 0.9)])
    centres = rng.uniform(12, size - 12, (400, 2))
    for y, x in centres:
        top, left = int(y) - reach, int(x) - reach
        edges = np.arange(2 * reach + 2)
        across, along = (np.diff(erf((first + edges - centre) / scale)) for first, centre in ((top, y), (left, x)))
        spread = across[:, None] * along / np.square(2 * erf(0.5 / scale))
        peak = 10 ** rng.uniform(-2, 1)
        light = spread[..., None] * peak * colours[rng.integers(4)]
        sky[top : top + 2 * reach + 1, left : left + 2 * reach + 1] += light
    return noisy(mosaic_of(sky, CFAPattern.GRBG), noise, seed), centres


@pytest.mark.parametrize("fwhm_px", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("gain", [1e-5, 1e-4, 1e-3, 6e-3])
def test_no_star_is_lost(fwhm_px: float, gain: float) -> None:
    noise = NoiseModel(np.array(gain), np.array(gain / 1000), "given")
    field, _ = star_field(fwhm_px, noise, seed=int(1 / gain))
    assert len(find_defects(field, noise)) == 0


def test_a_star_of_one_sample_would_be_lost() -> None:
    """The twin: what spreads over less than a sample is no star but a defect."""
    noise = NoiseModel(np.array(1e-4), np.array(1e-7), "given")
    field, _ = star_field(0.4, noise, seed=1)
    assert len(find_defects(field, noise)) > 20


def test_hot_and_dead_pixels_among_stars_and_waves_are_found() -> None:
    rng = np.random.default_rng(3)
    noise = NoiseModel(np.array(1e-4), np.array(1e-6), "given")
    field, centres = star_field(2.0, noise, seed=4)
    y, x = np.mgrid[0:500, 0:500]
    data = field.data + (0.2 + 0.1 * np.sin(x / 30) * np.cos(y / 20)).astype(np.float32)
    pixels = rng.integers(BORDER_PX, 500 - BORDER_PX, (60, 2))
    far = np.abs(pixels[:, None] - centres[None]).max(axis=2).min(axis=1) > 12
    crowd = (np.abs(pixels[:, None] - pixels[None]).max(axis=2) <= 12).sum(axis=1) > 1
    wanted = pixels[far & ~crowd]
    assert len(wanted) > 15
    data[wanted[::2, 0], wanted[::2, 1]] += 0.3
    data[wanted[1::2, 0], wanted[1::2, 1]] = 0.0
    found = places_of(find_defects(Mosaic(data, field.pattern), noise))
    assert found == places_of(wanted)


def test_noise_alone_shows_none_even_if_it_is_understated() -> None:
    """Nine deviations, of noise that is sqrt(2) times what it is said to be: 6.4 true ones above eight samples."""
    flat = Mosaic(np.full((1000, 1000), 0.05, np.float32), CFAPattern.BGGR)
    half = NoiseModel(np.array(GAIN / 2), np.array(READ_VARIANCE / 2), "given")
    assert len(find_defects(noisy(flat, NOISE), half)) == 0
    assert STRICT.sigmas == 9
    tenth = NoiseModel(np.array(GAIN / 30), np.array(READ_VARIANCE / 30), "given")
    assert len(find_defects(noisy(flat, NOISE), tenth)) < 20


@pytest.mark.parametrize("gain", [1e-4, 1e-3, 6e-3])
def test_clean_pictures_have_less_than_one_in_a_million(data: Path, gain: float) -> None:
    noise = NoiseModel(np.array(gain), np.array(gain / 1000), "given")
    found = samples = 0
    for number, path in enumerate(sorted((data / "testsets" / "Kodak24").glob("*.png"))):
        pattern = BAYER_PHASES[number % 4]
        with Image.open(path) as picture:
            rgb = (np.asarray(picture.convert("RGB"), np.float32) / 255) ** 2.2 * COLOURS
        mosaic = mosaic_of(rgb, pattern)
        found += len(find_defects(mosaic, noise))
        samples += mosaic.data.size
    assert samples > 5e6
    assert found < samples / 1e6


def test_cold_pixels_are_found_in_the_dark() -> None:
    """Seven deviations and more below a night sky; nothing else is taken for one."""
    noise = NoiseModel(np.array(2e-4), np.array(3.4e-7), "given")
    sky = noisy(Mosaic(np.full((640, 640), 0.005, np.float32), CFAPattern.GBRG), noise, seed=5)
    y, x = (side.ravel() for side in np.mgrid[20:620:24, 20:620:24])
    sky.data[y, x] -= np.linspace(7, 14, len(y)).astype(np.float32) * np.float32(np.sqrt(2e-4 * 0.005 + 3.4e-7))
    found = places_of(find_defects(sky, noise))
    wanted = set(zip(y.tolist(), x.tolist(), strict=True))
    assert found <= wanted
    assert len(found) > 0.8 * len(wanted)


@pytest.mark.parametrize(("level", "share"), [(0.2, 0.9), (0.02, 0.6)])
def test_hot_pixels_of_twenty_deviations_are_found_on_plain_ground(level: float, share: float) -> None:
    """In the dark fewer, because a sharp red light looks the same (`test_lights_of_one_colour_stay`)."""
    noise = NoiseModel(np.array(1e-3), np.array(1e-6), "given")
    ground = noisy(Mosaic(np.full((640, 640), level, np.float32), CFAPattern.RGGB), noise, seed=1)
    y, x = (side.ravel() for side in np.mgrid[20:620:25, 20:620:25])
    ground.data[y, x] += np.float32(20 * np.sqrt(1e-3 * level + 1e-6))
    found = places_of(find_defects(ground, noise))
    wanted = set(zip(y.tolist(), x.tolist(), strict=True))
    assert found <= wanted
    assert share * len(wanted) < len(found) < (share + 0.15) * len(wanted)


@pytest.mark.parametrize(
    ("level", "left", "found"), [(1.0, 0.0, 1), (1.0, 0.3, 1), (1.0, 0.6, 0), (0.5, 0.6, 1), (0.5, 0.8, 1)]
)
def test_weak_pixels_and_dust(level: float, left: float, found: int) -> None:
    """A dark speck next to clipped pixels is dust, unless it lost half of its light."""
    data = np.full((64, 64), level, np.float32)
    data[30, 31] = left * level
    noise = NoiseModel(np.array(1e-5), np.array(1e-8), "given")
    assert len(find_defects(Mosaic(data, CFAPattern.RGGB), noise)) == found


@pytest.mark.parametrize("colour", [(1, 0.05, 0.02), (0.05, 1, 0.05), (0.02, 0.05, 1)])
@pytest.mark.parametrize("peak", [0.1, 0.5])
@pytest.mark.parametrize(("pattern", "lost"), [(CFAPattern.RGGB, 0), (CFAPattern.XTRANS, 8)])
def test_lights_of_one_colour_stay(
    colour: tuple[float, float, float], peak: float, pattern: CFAPattern, lost: int
) -> None:
    """225 red lamps of two pixels show in no pixel beside them but green and blue ones, which hardly see them."""
    noise = NoiseModel(np.array(2e-4), np.array(3.4e-7), "given")
    rgb, rng = np.full((402, 402, 3), 0.01), np.random.default_rng(8)
    y, x = np.mgrid[-9:10, -9:10]
    for row in range(25, 376, 25):
        for column in range(25, 376, 25):
            apart = np.hypot(y - rng.uniform(-0.5, 0.5), x - rng.uniform(-0.5, 0.5))
            light = peak * np.exp(-4 * np.log(2) * np.square(apart / 2))
            rgb[row - 9 : row + 10, column - 9 : column + 10] += light[..., None] * colour
    field = noisy(Mosaic(mosaicked(rgb, pattern), pattern), noise)
    assert len(find_defects(field, noise.for_cfa(pattern))) <= lost


@pytest.mark.parametrize(("saturation", "found"), [(0.8, 0), (1.0, 1)])
def test_dust_beside_clipped_pixels_stays_where_the_sensor_clips_below_white(saturation: float, found: int) -> None:
    data = np.full((64, 64), 0.8, np.float32)
    data[30, 31] = 0.6 * 0.8
    noise = NoiseModel(np.array(1e-5), np.array(1e-8), "given")
    assert len(find_defects(Mosaic(data, CFAPattern.RGGB), noise, saturation)) == found


@pytest.mark.parametrize(
    ("name", "known"),
    [
        (
            "canon-kiss-x4-hotpixels.dng",  # the last three are cold
            {(235, 1362), (573, 1273), (676, 468), (868, 671), (376, 656), (505, 1048), (996, 1009)},
        ),
        ("canon-s40-box.crw", {(36, 1006), (222, 938)}),
        (  # the last four stand on texture; the other photo of this camera shows them on plain ground
            "canon-s40-box-wide.crw",
            {(36, 1006), (222, 938), (1468, 206), (1030, 328), (76, 810), (428, 2048)},
        ),
    ],
)
def test_real_ones(data: Path, name: str, known: set[tuple[int, int]]) -> None:
    """Looked at one by one; the second camera has the same ones in both of its photos."""
    photo = read_raw(data / "raw" / name)
    noise = prepare(photo, DenoiseOptions()).noise
    found = find_defects(photo.mosaic, noise)
    assert known <= places_of(found)
    assert len(found) < 60
    mended, count = without_defects(photo, noise, search=True)
    assert (count.known, count.found) == (0, len(found))
    assert len(find_defects(mended, noise)) <= 0.1 * len(found)


@pytest.mark.parametrize("size", [(1, 1), (2, 40), (20, 20), (21, 23)])
def test_small_pictures_are_searched_as_far_as_they_go(size: tuple[int, int]) -> None:
    data = np.full(size, 0.1, np.float32)
    inside = min(size) > 2 * BORDER_PX
    data[size[0] // 2, size[1] // 2] = 0.9
    assert len(find_defects(Mosaic(data, CFAPattern.RGGB), NOISE)) == inside
