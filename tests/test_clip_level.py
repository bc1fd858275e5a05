"""The clipping level that the pixels show: found where a sensor clips below white, and never made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rawkd.files.read.clip_level import _counts_of, with_measured_clip
from rawkd.photo import CFAPattern, Levels

HEIGHT, WIDTH = 400, 600
WHITE_DN, BLACK_DN = 16383.0, 512.0
NEUTRAL = {"R": 0.5, "G": 1.0, "B": 0.65}
ELECTRONS = 40_000
"""At white, of a camera at its base ISO: little shot noise, which is the hard case."""
READ_DN = 3.0


def levels_of(black: float = BLACK_DN, white: float = WHITE_DN) -> Levels:
    return Levels(np.array([[black]]), white, white, 14)


def smooth_light() -> np.ndarray:
    """Slow waves and a slope, 0.05 to 0.6 of white for green."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return 0.3 + 0.2 * np.sin(x / 40) * np.cos(y / 50) + 0.1 * (x / WIDTH - 0.5)


def exposed(light: np.ndarray, black: float = BLACK_DN, *, white: float = WHITE_DN, seed: int = 0) -> np.ndarray:
    """DN that a sensor without an upper end gives for grey light, float64: shot and read noise."""
    rng = np.random.default_rng(seed)
    colours = np.array([NEUTRAL[colour] for colour in "RGGB"]).reshape(2, 2)
    signal = light * colours[np.arange(HEIGHT)[:, None] % 2, np.arange(WIDTH) % 2]
    noisy = rng.poisson(signal * ELECTRONS) / ELECTRONS
    return black + noisy * (white - black) + rng.normal(0, READ_DN, light.shape)


def in_dn(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 65535).astype(np.uint16)


def measured(frame: np.ndarray, levels: Levels | None = None) -> Levels:
    return with_measured_clip(levels or levels_of(), frame, CFAPattern.RGGB)


def lamp(radius: float, brightness: float = 8.0) -> np.ndarray:
    """A lamp with a soft edge, which the sensor cannot hold."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return brightness / (1 + np.exp((np.hypot(y - 200, x - 300) - radius) / 2))


@pytest.mark.parametrize("clip_dn", [12000, 13000, 15500, 16383])
@pytest.mark.parametrize("black", [0.0, 512.0, 2048.0])
@pytest.mark.parametrize("radius", [10, 100])
def test_the_clipping_level_is_found_to_the_dn(clip_dn: int, black: float, radius: float) -> None:
    frame = in_dn(np.minimum(exposed(smooth_light() + lamp(radius), black), clip_dn))
    found = measured(frame, levels_of(black))
    assert (found.saturation_dn, found.site_saturation_dn) == (clip_dn, None)
    assert found.white_dn == WHITE_DN


@pytest.mark.parametrize("spread", [1.0, 3.0, 8.0])
def test_noise_after_the_clip_leaves_nearly_all_blown_samples_above_it(spread: float) -> None:
    light = smooth_light() + lamp(60)
    blown = np.minimum(exposed(light), 15000)
    frame = in_dn(blown + np.random.default_rng(1).normal(0, spread, blown.shape))
    found = measured(frame).saturation_dn
    # The foot of a Gaussian cut at a hundredth of its samples an eighth of the width lies 2 to 4 deviations below.
    assert 15000 - 4 * spread - 2 <= found <= 15000
    assert (frame[blown == 15000] >= found).mean() > 0.96


@pytest.mark.parametrize(("clip_dn", "spread"), [(15000, 1.0), (15000, 8.0), (9000, 3.0)])
def test_a_clip_in_random_numbers_is_found(clip_dn: int, spread: float) -> None:
    rng = np.random.default_rng(4)
    scene = rng.uniform(300, 20000, (600, 800))
    frame = in_dn(np.minimum(scene, rng.normal(clip_dn, spread, scene.shape)))
    assert clip_dn - 3 * spread <= measured(frame).saturation_dn <= clip_dn


def test_a_few_defects_above_the_clip_do_not_hide_it() -> None:
    frame = in_dn(np.minimum(exposed(smooth_light() + lamp(60)), 15500))
    places = np.random.default_rng(2).integers(0, frame.size, 12)
    frame.ravel()[places] = 65535
    assert measured(frame).saturation_dn == 15500


def test_colours_that_clip_at_different_dn_get_a_level_each() -> None:
    ends = np.tile([[16000.0, 15000.0], [15000.0, 14000.0]], (HEIGHT // 2, WIDTH // 2))
    found = measured(in_dn(np.minimum(exposed(smooth_light() + lamp(60)), ends)))
    assert found.saturation_dn == 14000
    np.testing.assert_array_equal(found.site_saturation_dn, ends[:2, :2])


def test_a_colour_that_does_not_clip_follows_the_others_unless_it_goes_beyond_them() -> None:
    light = smooth_light() + lamp(60, 1.2)  # red and blue end at 0.9 and 1.17 of white
    green_only = np.tile([[60000.0, 12500.0], [12500.0, 60000.0]], (HEIGHT // 2, WIDTH // 2))
    found = measured(in_dn(np.minimum(exposed(light), np.minimum(green_only, 13500.0))))
    assert found.site_saturation_dn is not None
    assert found.site_saturation_dn[0, 1] == 12500
    assert measured(in_dn(np.minimum(exposed(0.75 * light), 12500.0))).site_saturation_dn is None


def test_twelve_bits_and_combed_histograms() -> None:
    fine = np.minimum(exposed(smooth_light() + lamp(60)), 15500)
    coarse = levels_of(BLACK_DN / 4, 4095.75)
    assert measured(in_dn(fine / 4), coarse).saturation_dn == 15500 / 4
    assert measured(4 * in_dn(fine / 4)).saturation_dn == 15500


def test_of_large_frames_a_part_of_the_rows_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawkd.files.read.clip_level.SAMPLES", 20_000)  # every third row of each colour
    frame = in_dn(np.minimum(exposed(smooth_light() + lamp(60)), 15500))
    assert measured(frame).saturation_dn == 15500


def test_the_histogram_is_whole_where_spikes_are_searched_for() -> None:
    frame = in_dn(exposed(1.5 * smooth_light()))
    planes = [frame[::2, ::2], frame[1::2, 1::2]]
    counts = _counts_of(planes, levels_of())
    each = sum(np.bincount(plane.ravel(), minlength=1 << 16) for plane in planes)
    middle = int(BLACK_DN + (WHITE_DN - BLACK_DN) / 2)
    assert np.array_equal(counts[middle // 2 :], each[middle // 2 :])
    assert each[: middle // 2].sum() > 0
    assert counts.sum() == each.sum()


def patches(light: np.ndarray, size: int, brightness: float) -> np.ndarray:
    """Evenly lit squares, sharp at their edges."""
    out = light.copy()
    out[100 : 100 + size, 100 : 100 + size] = brightness
    return out


WITHOUT_CLIPPING = {
    "a scene": lambda: exposed(smooth_light()),
    "a bright scene": lambda: exposed(1.5 * smooth_light()),
    "a flat field": lambda: exposed(np.full((HEIGHT, WIDTH), 0.8)),
    "a bright wall": lambda: exposed(patches(smooth_light(), 250, 0.9)),
    "a small bright patch": lambda: exposed(patches(smooth_light(), 20, 0.9)),
    "a tiny bright patch": lambda: exposed(patches(smooth_light(), 12, 0.9)),
    "no noise": lambda: BLACK_DN + 15871 * patches(smooth_light(), 250, 0.9),
    "patches without noise": lambda: BLACK_DN + 15871 * patches(np.full((HEIGHT, WIDTH), 0.2), 90, 0.8),
    "one number": lambda: np.full((HEIGHT, WIDTH), 14000.0),
    "8 bits": lambda: 64 * np.rint(exposed(patches(smooth_light(), 250, 0.9)) / 64),
    "a dark frame": lambda: exposed(np.zeros((HEIGHT, WIDTH))),
    "a dark frame cut off at 0": lambda: np.maximum(exposed(np.zeros((HEIGHT, WIDTH))) - BLACK_DN, 0),
    "a dark frame and one bright number": lambda: np.where(exposed(np.zeros((HEIGHT, WIDTH))) > 520, 14000.0, 512.0),
    "white all over": lambda: np.full((HEIGHT, WIDTH), WHITE_DN),
    "random numbers": lambda: np.random.default_rng(5).uniform(300, 12000, (HEIGHT, WIDTH)),
}


@pytest.mark.parametrize("kind", WITHOUT_CLIPPING)
def test_no_clipping_is_made_up(kind: str) -> None:
    levels = levels_of()
    assert measured(in_dn(WITHOUT_CLIPPING[kind]()), levels) is levels


def lossy(values: np.ndarray) -> np.ndarray:
    """As lossy curves leave them: steps of 28 DN in the highlights, where shot noise hides them."""
    return np.where(values > 4000, 28 * np.rint(values / 28), values)


def test_lossy_curves() -> None:
    frame = in_dn(lossy(np.minimum(exposed(smooth_light() + lamp(60)), 15500)))
    assert measured(frame).saturation_dn == frame.max()
    levels = levels_of()
    for kind in ("a scene", "a flat field", "a bright wall", "a small bright patch", "a tiny bright patch"):
        assert measured(in_dn(lossy(WITHOUT_CLIPPING[kind]())), levels) is levels, kind


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_bright_patches_of_every_size_are_no_clipping(seed: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    light = smooth_light()
    for _ in range(12):
        size, top, left = int(rng.integers(6, 120)), int(rng.integers(0, 280)), int(rng.integers(0, 480))
        light[top : top + size, left : left + size] = rng.uniform(0.6, 0.95)
    factor = 2 ** (14 - bits)
    levels = levels_of(BLACK_DN / factor, WHITE_DN / factor)
    assert measured(in_dn(exposed(light, seed=seed) / factor), levels) is levels


def test_what_the_file_states_is_never_raised() -> None:
    frame = in_dn(np.minimum(exposed(smooth_light() + lamp(60)), 15500))
    stated = replace(levels_of(), saturation_dn=15000.0)
    assert measured(frame, stated).saturation_dn == 15000
