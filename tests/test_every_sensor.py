"""Noise, defects and rows of X-Trans and monochrome sensors, measured on mosaics of known noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rawkd.batch.noise.series import pool_noise
from rawkd.photo import Capture, CFAPattern, ColorCalibration, Levels, Mosaic, RawPhoto, Rect
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import prepare
from rawkd.sensor.blind.blocks import NOISE, dct_basis, sampled_planes
from rawkd.sensor.blind.estimate import estimate_noise
from rawkd.sensor.cfa import lattices_of
from rawkd.sensor.choose_noise import noise_model_of
from rawkd.sensor.defect_search import find_defects
from rawkd.sensor.defects import replaced
from rawkd.sensor.dual_iso import dual_iso_ratio
from rawkd.sensor.masked import masked_read_variance
from rawkd.sensor.noise import NoiseModel
from rawkd.sensor.rows import measure_rows
from rawkd.training.data.leaves import leaves_scene
from rawkd.training.data.unprocess import camera_mosaic, random_look

PATTERNS = pytest.mark.parametrize(
    "pattern", [CFAPattern.XTRANS, CFAPattern.XTRANS.shifted(1, 4), CFAPattern.MONO], ids=["xtrans", "shifted", "mono"]
)
GAIN, READ = 1e-3, 4e-6
RANGE_DN = 16383 - 512


def colours(shape: tuple[int, int], pattern: CFAPattern) -> np.ndarray:
    """Index of each pixel's colour among R, G, B, W."""
    side = pattern.side
    cell = np.array(["RGBW".index(letter) for letter in pattern.colours]).reshape(side, side)
    return np.tile(cell, (shape[0] // side + 1, shape[1] // side + 1))[: shape[0], : shape[1]]


def noisy(clean: np.ndarray, seed: int = 0, gain: float = GAIN, read: float = READ) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.poisson(clean / gain) * gain + rng.normal(0, np.sqrt(read), clean.shape)).astype(np.float32)


def photo_of(frame: np.ndarray, pattern: CFAPattern, area: Rect | None = None) -> RawPhoto:
    area = area or Rect(0, 0, *frame.shape)
    levels = Levels(np.full((1, 1), 512.0), 16383, 16383, 14, cell_side=pattern.side)
    color = ColorCalibration(np.eye(3), np.ones(3))
    return RawPhoto(frame, area, Rect(0, 0, area.height, area.width), pattern, levels, color, Capture())


@PATTERNS
def test_every_lattice_has_one_colour(pattern: CFAPattern) -> None:
    canonical = pattern.canonical
    pitch, sites = lattices_of(canonical)
    found = [
        {
            canonical.colour_at(pitch * r + sites[plane, r, c, 0], pitch * c + sites[plane, r, c, 1])
            for r in (0, 1)
            for c in (0, 1)
        }
        for plane in range(len(sites))
    ]
    assert all(len(letters) == 1 for letters in found)
    wanted = ["G"] * 5 + ["R"] * 2 + ["B"] * 2 if pattern.kind == "xtrans" else ["W"] * 4
    assert [letter for letters in found for letter in letters] == wanted
    places = {
        (pitch * r + site[0], pitch * c + site[1])
        for plane in sites
        for r in (0, 1)
        for c in (0, 1)
        for site in [plane[r, c]]
    }
    assert len(places) == (2 * pitch) ** 2  # every pixel of two by two lattice cells once


@pytest.mark.parametrize("pattern", dict.fromkeys(CFAPattern.XTRANS.shifted(r, c) for r in range(6) for c in range(6)))
def test_planes_of_blocks_have_one_colour_in_every_phase(pattern: CFAPattern) -> None:
    """A mosaic of flat colours with noise of 0.001: planes that mix two colours would deviate by 0.05 and more."""
    clean = np.array([0.2, 0.5, 0.3])[colours((96, 102), pattern)]
    noise = np.random.default_rng(0).normal(0, 1e-3, clean.shape)
    planes = sampled_planes(Mosaic((clean + noise).astype(np.float32), pattern), saturation=1.0, num_blocks=100)
    assert len(planes) >= 9
    assert planes.std(axis=2).max() < 2e-3
    np.testing.assert_allclose(planes.mean(axis=(0, 2)), [0.5] * 5 + [0.2] * 2 + [0.3] * 2, atol=1e-3)


@PATTERNS
@pytest.mark.parametrize("levels", [(0.3, 0.3, 0.3, 0.3), (0.02, 0.3, 0.1, 0.05), (0.4, 0.05, 0.01, 0.4)])
def test_flat_fields_of_any_colour(pattern: CFAPattern, levels: tuple[float, ...]) -> None:
    """A gradient down from these levels. The variance at the median level is within 3 % of the truth.

    2000 blocks of at least four planes with 25 coefficients each: a standard error of 1 %.
    """
    size = (960, 960)
    ramp = np.linspace(1, 0.2, size[1])
    clean = np.array(levels)[colours(size, pattern)] * ramp
    found = estimate_noise(Mosaic(noisy(clean), pattern), saturation=1.0)
    wanted = GAIN * found.level + READ
    assert abs((found.gain * found.level + found.read_variance) / wanted - 1) < 0.03
    assert found.confidence > 0.8


def test_fine_texture_of_a_monochrome_picture_is_no_noise() -> None:
    """A weave of 0.12 cycles a pixel along rows and columns; its variance is half of the noise's.

    Of it (2 sin^2(0.12 pi))^2 = 7 % is in the diagonal detail: 4 % of the noise. The bands of the planes hold it all.
    """
    row, column = np.mgrid[:960, :960] * 2 * np.pi * 0.12
    clean = 0.2 + 0.02 * np.sin(row) * np.sin(column)
    mosaic = Mosaic(noisy(clean), CFAPattern.MONO)
    found = estimate_noise(mosaic, saturation=1.0)
    wanted = GAIN * 0.2 + READ
    assert abs((found.gain * 0.2 + found.read_variance) / wanted - 1.04) < 0.03
    bands = sampled_planes(mosaic, saturation=1.0, num_blocks=2000) @ dct_basis()[:, NOISE]
    assert np.square(bands).mean() > 1.3 * wanted  # the twin: as for other sensors


@PATTERNS
def test_scenes_of_leaves(pattern: CFAPattern) -> None:
    """Pictures full of edges and texture: within 20 % of the true variance, like Bayer."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        scene = leaves_scene(1152, rng)
        clean = camera_mosaic(scene, random_look(rng, wide=False), pattern) * np.float32(0.5)
        found = estimate_noise(Mosaic(noisy(clean, seed), pattern), saturation=1.0)
        ratio = (found.gain * found.level + found.read_variance) / (GAIN * found.level + READ)
        assert 0.8 < ratio < 1.2, seed


@PATTERNS
def test_the_chosen_noise_has_the_classes_of_the_sensor(pattern: CFAPattern) -> None:
    frame = np.clip(np.rint(noisy(np.full((600, 600), 0.2)) * RANGE_DN + 512), 0, 16383).astype(np.uint16)
    photo = photo_of(frame, pattern)
    for source, given in (("blind", None), ("auto", (2e-3, 1e-6))):
        model, _ = noise_model_of(photo, given=given, source=source)
        assert len(model.gain) == len(pattern.classes)
    tagged = replace(photo, noise_profile=(1e-3, 1e-6, 2e-3, 2e-6, 3e-3, 3e-6))
    model, _ = noise_model_of(tagged, source="profile")
    np.testing.assert_array_equal(model.gain, [1e-3, 2e-3, 3e-3] if pattern.kind == "xtrans" else [2e-3])


@PATTERNS
def test_masked_pixels_tell_the_read_noise_of_every_class(pattern: CFAPattern) -> None:
    rng = np.random.default_rng(1)
    frame = np.rint(rng.normal(512, 8, (600, 700))).astype(np.uint16)
    area = Rect(0, 60, 600, 640)
    frame[area.slices] += 3000
    found = masked_read_variance(photo_of(frame, pattern.shifted(0, 60), area))
    assert found is not None
    assert found.shape == (len(pattern.classes),)
    # 1950 groups of four samples: a standard error of 3 %; rounding adds 1/12 DN^2
    np.testing.assert_allclose(found * RANGE_DN**2, 64 + 1 / 12, rtol=0.12)


@PATTERNS
def test_defects_are_found_and_replaced_and_stars_are_not(pattern: CFAPattern) -> None:
    size = (240, 264)
    level = np.array([0.05, 0.1, 0.03, 0.1])[colours(size, pattern)]
    y, x = np.mgrid[: size[0], : size[1]]
    stars = sum(
        np.exp(-((y - r) ** 2 + (x - c) ** 2) / 2 / 0.68**2) for r, c in ((60.0, 180.3), (151.2, 50.0), (200.5, 100.5))
    )
    truth = level * (1 + 8 * stars)
    model = NoiseModel(np.array(GAIN), np.array(READ), "given").for_cfa(pattern)
    data = noisy(truth, 3)
    bad = np.array([[r, c] for r, c in zip(range(30, 210, 12), range(25, 240, 14), strict=False)])
    data[bad[:, 0], bad[:, 1]] += np.where(np.arange(len(bad)) % 3 == 0, 0.6, 0.9).astype(np.float32)
    mosaic = Mosaic(data, pattern)
    found = find_defects(mosaic, model)
    np.testing.assert_array_equal(found, bad[np.lexsort((bad[:, 1], bad[:, 0]))])
    fixed = replaced(mosaic, found).data
    # a mean of at least two samples: within five standard deviations of the noise of one
    allowed = 5 * np.sqrt(GAIN * truth + READ)
    assert (np.abs(fixed - truth)[bad[:, 0], bad[:, 1]] < allowed[bad[:, 0], bad[:, 1]]).all()
    untouched = np.ones(size, bool)
    untouched[bad[:, 0], bad[:, 1]] = False
    np.testing.assert_array_equal(fixed[untouched], data[untouched])


@PATTERNS
def test_a_replaced_sample_takes_its_value_from_its_own_colour(pattern: CFAPattern) -> None:
    """A mosaic that is flat in each colour comes back exactly, whichever samples are lost."""
    size = (60, 66)
    data = np.array([0.2, 0.5, 0.3, 0.4], np.float32)[colours(size, pattern)]
    rng = np.random.default_rng(0)
    bad = np.unique(rng.integers(0, size, (200, 2)), axis=0)
    broken = data.copy()
    broken[bad[:, 0], bad[:, 1]] = 9
    np.testing.assert_allclose(replaced(Mosaic(broken, pattern), bad).data, data, atol=1e-6)


@PATTERNS
def test_row_noise_is_measured_between_rows_of_the_same_colours(pattern: CFAPattern) -> None:
    size = (480, 720)
    level = np.array([0.05, 0.1, 0.03, 0.1])[colours(size, pattern)]
    rng = np.random.default_rng(2)
    dn = noisy(level, 4) * RANGE_DN + 512
    plain = photo_of(np.rint(dn).astype(np.uint16), pattern)
    striped = photo_of(np.rint(dn + rng.normal(0, 20, (size[0], 1))).astype(np.uint16), pattern)
    quiet, loud = measure_rows(plain), measure_rows(striped)
    assert quiet is not None
    assert not quiet.shown
    assert loud is not None
    assert loud.shown
    assert abs(loud.row_sd_dn / 20 - 1) < 0.3  # the darkest quarter: 120 rows


@PATTERNS
def test_a_series_pools_every_class(pattern: CFAPattern) -> None:
    count = len(pattern.classes)
    models = [NoiseModel(np.full(count, gain), np.full(count, 1e-6), "blind", 1.0) for gain in (1e-3, 1.2e-3)]
    pooled, used = pool_noise(models)
    assert used == 2
    np.testing.assert_allclose(pooled.gain, [1.1e-3] * count)


@PATTERNS
def test_given_noise_of_bayer_is_prepared_for_the_sensor(pattern: CFAPattern) -> None:
    photo = photo_of(np.full((60, 60), 600, np.uint16), pattern)
    noise = prepare(photo, DenoiseOptions(), noise=NoiseModel(np.array(GAIN), np.array(READ), "blind")).noise
    np.testing.assert_array_equal(noise.gain, [GAIN] * len(pattern.classes))


@PATTERNS
def test_the_planes_of_an_estimate_are_those_of_the_sensor(pattern: CFAPattern) -> None:
    mosaic = Mosaic(noisy(np.full((240, 240), 0.1)), pattern)
    estimate = estimate_noise(mosaic, saturation=1.0)
    assert estimate.read_of_planes.shape == (len(pattern.classes),)
    assert len(estimate.model("blind").gain) == len(pattern.classes)


def test_an_xtrans_frame_is_no_dual_iso_frame() -> None:
    """Rows 0 and 1 of every four are brighter: that is a dual ISO frame of a Bayer sensor only."""
    bright = np.repeat([[3000.0], [1000.0]], 2, axis=0)
    frame = np.tile(bright, (120, 400)).astype(np.uint16)
    assert dual_iso_ratio(photo_of(frame, CFAPattern.RGGB)) is not None
    assert dual_iso_ratio(photo_of(frame, CFAPattern.XTRANS)) is None
