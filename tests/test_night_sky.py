"""Skies, lamps and single wrong samples: their numbers are those that they are drawn by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from rawkd.photo import CFAPattern  # noqa: E402
from rawkd.render.color import ProcessMetadata  # noqa: E402
from rawkd.training.data.batches import batches_of  # noqa: E402
from rawkd.training.data.clean_crops import Crop  # noqa: E402
from rawkd.training.data.night_sky import (  # noqa: E402
    BRIGHTEST,
    BRIGHTEST_SKY,
    COLOURED,
    FAINTEST,
    LEAST_OF_OTHERS,
    MOST_OF_OTHERS,
    MOST_PER_MP,
    NARROWEST_PX,
    SLOPE,
    TINT,
    WIDEST_PX,
    _add_star,
    _colour,
    _peaks,
    sky_crop,
    with_lamps,
    with_stars,
)
from rawkd.training.data.synthesize import Camera, camera_at  # noqa: E402
from rawkd.training.data.wrong_samples import MOST, with_wrong_samples  # noqa: E402
from rawkd.training.noise_recipe import NoiseRecipe  # noqa: E402
from rawkd.training.recipes import FANET_FAST  # noqa: E402

SIDE = 64


def flat(level: float, side: int = SIDE) -> Crop:
    return Crop(np.full((4, side, side), level, np.float32), ProcessMetadata(np.ones(3), np.eye(3)))


def test_peaks_fall_by_their_power_law() -> None:
    count = 40_000
    peaks = _peaks(count, np.random.default_rng(1))
    assert peaks.min() >= FAINTEST
    assert peaks.max() <= BRIGHTEST
    low, high = FAINTEST**-SLOPE, BRIGHTEST**-SLOPE
    for threshold in (5.0, 20.0, 100.0):
        expected = (threshold**-SLOPE - high) / (low - high)
        spread = np.sqrt(expected * (1 - expected) / count)
        assert abs((peaks > threshold).mean() - expected) < 5 * spread
        wrong = threshold**-1.5 / FAINTEST**-1.5  # a steeper law
        assert abs((peaks > threshold).mean() - wrong) > 5 * spread


@pytest.mark.parametrize("fwhm", [NARROWEST_PX, 2.5, WIDEST_PX])
def test_a_star_holds_the_light_of_its_profile(fwhm: float) -> None:
    """A Gaussian of peak P holds P * 2 pi sigma^2: each colour samples it, the greens together on half the sites."""
    fluxes = []
    for seed in range(200):
        planes = np.zeros((4, SIDE, SIDE), np.float32)
        _add_star(planes, np.array([2.0, 1.0, 0.5]), fwhm, np.random.default_rng(seed))
        place = np.unravel_index(int(planes.sum(0).argmax()), (SIDE, SIDE))
        if all(6 < index < SIDE - 7 for index in place):
            fluxes.append(planes.sum(axis=(1, 2)))
    light = 2 * np.pi * (fwhm / np.sqrt(8 * np.log(2))) ** 2 / 4
    # sampled at every second pixel, a profile this narrow depends on its place; the mean over places does not
    standard_error = np.std(fluxes, axis=0) / np.sqrt(len(fluxes)) + 1e-3 * light
    assert (np.abs(np.mean(fluxes, axis=0) - light * np.array([2.0, 1.0, 1.0, 0.5])) < 5 * standard_error).all()


def test_stars_stand_in_units_of_the_noise_and_never_too_many() -> None:
    quiet, loud = Camera(1e-5, 1e-8), Camera(1e-3, 1e-5)
    crop = flat(0.01)
    heights = [
        (with_stars(crop, camera, np.random.default_rng(7)).planes - crop.planes)[1:3].max() for camera in (quiet, loud)
    ]
    deviations = [np.sqrt(camera.gain * 0.01 + camera.total_read_variance) for camera in (quiet, loud)]
    assert heights[1] / heights[0] == pytest.approx(deviations[1] / deviations[0], rel=1e-3)
    pixels = 4 * SIDE**2 / 1e6
    for seed in range(20):
        added = with_stars(crop, quiet, np.random.default_rng(seed)).planes - crop.planes
        assert (added >= 0).all()
        most = 1 + MOST_PER_MP * pixels + 6 * np.sqrt(MOST_PER_MP * pixels)
        assert (added > 0).mean() <= most * (4 * WIDEST_PX) ** 2 / (4 * SIDE**2)


def test_a_sky_is_dark_and_smooth() -> None:
    for seed in range(30):
        planes = sky_crop(32, np.random.default_rng(seed)).planes
        assert planes.dtype == np.float32
        assert 0 <= planes.min() <= planes.max() < 3 * BRIGHTEST_SKY
        steps = np.abs(np.diff(planes, axis=2)).max() / planes.mean()
        assert steps < 0.15


def test_lamps_are_blown_and_walls_are_dark() -> None:
    blown = 0
    for seed in range(20):
        planes = with_lamps(flat(0.5), camera_at(1e-3), np.random.default_rng(seed)).planes
        assert planes.max() <= 1
        assert np.median(planes) < 0.5
        blown += planes.max() == 1
    assert blown > 10


def test_some_lights_have_one_colour() -> None:
    """Their share is that of the constant, and the strongest colour is each of the three as often as the others."""
    count, rng = 4000, np.random.default_rng(3)
    colours = np.array([_colour(flat(0.5), rng, CFAPattern.RGGB) for _ in range(count)])
    saturated = colours[(colours.max(axis=1) == 1) & (np.sort(colours, axis=1)[:, 1] <= MOST_OF_OTHERS)]
    assert abs(len(saturated) / count - COLOURED) < 5 * np.sqrt(COLOURED * (1 - COLOURED) / count)
    assert np.sort(saturated, axis=1)[:, 0].min() >= LEAST_OF_OTHERS
    strongest = np.bincount(saturated.argmax(axis=1), minlength=3) / len(saturated)
    assert np.abs(strongest - 1 / 3).max() < 5 * np.sqrt(2 / 9 / len(saturated))
    neutral = np.array([_colour(flat(0.5), rng, CFAPattern.RGGB, saturated=0) for _ in range(count)])
    assert np.std(np.log(neutral[:, 0])) == pytest.approx(TINT * np.sqrt(2), rel=0.1)  # of a ratio
    assert {_colour(flat(0.5), rng, CFAPattern.MONO)[1] for _ in range(50)} == {1.0}


@pytest.mark.parametrize("hottest", [50.0, 500.0])
def test_wrong_samples_are_single_and_stay_in_the_file(hottest: float) -> None:
    camera = camera_at(2e-4)
    clean = flat(0.02).planes
    floor = -camera.black_dn / (camera.white_dn or 1)
    counts, highest = [], 0.0
    for seed in range(50):
        changed = with_wrong_samples(clean.copy(), clean, camera, np.random.default_rng(seed), hottest)
        wrong = changed[changed != clean]
        counts.append(len(wrong))
        assert floor <= wrong.min() <= wrong.max() <= 1
        deviation = np.sqrt(2e-4 * 0.02 + camera.total_read_variance)
        assert (np.abs(wrong - 0.02) > 5.99 * deviation).all()
        highest = max(highest, float(((wrong - 0.02) / deviation).max()))
    assert 0.8 * hottest < highest < 1.001 * hottest
    assert 1 <= min(counts) <= max(counts) <= MOST


def test_each_share_changes_batches_but_not_those_of_validation() -> None:
    plain = replace(FANET_FAST, leaves=1.0, skies=0.0, lamps=0.0, noise=NoiseRecipe(), batch=2, crop_px=16)
    noise = replace(plain.noise, wrong_samples=1.0)
    first = batches_of(None, plain, 2, seed=3, length=1)[0]
    for other in (replace(plain, skies=1.0), replace(plain, lamps=1.0), replace(plain, noise=noise)):
        assert not torch.equal(first.noisy, batches_of(None, other, 2, seed=3, length=1)[0].noisy)
        exact = batches_of(None, other, 2, seed=3, length=1, exact=True)[0]
        assert torch.equal(exact.noisy, batches_of(None, plain, 2, seed=3, length=1, exact=True)[0].noisy)
