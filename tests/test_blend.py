"""The blend: exact at its ends, luma and chroma parts, and highlights without seam or tint."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawkd.errors import InputError, UsageError
from rawkd.photo import BAYER_PHASES, CFAPattern, Mosaic
from rawkd.restore.blend import blend
from rawkd.sensor.noise import NoiseModel

GAIN, READ = 1e-3, 1e-6
NOISE = NoiseModel(GAIN, READ, "given")
DEVIATION = np.sqrt(GAIN + READ)
NEUTRAL = np.array([0.5, 1.0, 0.6])


def mosaic(data: np.ndarray, pattern: CFAPattern = CFAPattern.RGGB) -> Mosaic:
    return Mosaic(np.ascontiguousarray(data, np.float32), pattern)


def neutral_at(pattern: CFAPattern, height: int, width: int) -> np.ndarray:
    cell = NEUTRAL[np.array(["RGB".index(c) for c in pattern.colours])].reshape(2, 2)
    return cell[np.arange(height)[:, None] % 2, np.arange(width) % 2]


def pair(height: int, width: int, pattern: CFAPattern, seed: int = 0) -> tuple[Mosaic, Mosaic]:
    """A noisy and a restored mosaic, dark enough that nothing is blown, shadows below 0."""
    rng = np.random.default_rng(seed)
    restored = rng.random((height, width)) * 0.5 - 0.05
    return mosaic(restored + 0.02 * rng.standard_normal((height, width)), pattern), mosaic(restored, pattern)


@given(
    height=st.integers(1, 140),
    width=st.integers(1, 9),
    pattern=st.sampled_from(BAYER_PHASES),
    strength=st.floats(0, 1),
)
@settings(max_examples=40, deadline=None)
def test_ends_are_exact_and_the_way_is_straight(height: int, width: int, pattern: CFAPattern, strength: float) -> None:
    noisy, restored = pair(height, width, pattern)
    assert blend(noisy, restored, NOISE, saturation=1.0, strength=0).data is noisy.data
    np.testing.assert_array_equal(blend(noisy, restored, NOISE, saturation=1.0).data, restored.data)
    np.testing.assert_array_equal(blend(noisy, restored, NOISE, saturation=1.0, luma=0, chroma=0).data, noisy.data)
    between = blend(noisy, restored, NOISE, saturation=1.0, strength=strength)
    assert between.pattern == pattern
    straight = noisy.data + strength * (restored.data.astype(np.float64) - noisy.data)
    np.testing.assert_allclose(between.data, straight, atol=1e-6)


@given(luma=st.floats(0, 1), chroma=st.floats(0, 1), strength=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_luma_and_chroma_parts_add_up(luma: float, chroma: float, strength: float) -> None:
    noisy, restored = pair(70, 12, CFAPattern.GBRG)

    def removed(luma: float, chroma: float, strength: float) -> np.ndarray:
        out = blend(
            noisy, restored, NOISE, saturation=1.0, strength=strength, luma=luma, chroma=chroma, neutral=NEUTRAL
        )
        return noisy.data.astype(np.float64) - out.data

    parts = luma * removed(1, 0, 1) + chroma * removed(0, 1, 1)
    np.testing.assert_allclose(removed(luma, chroma, strength), strength * parts, atol=1e-6)


@pytest.mark.parametrize("pattern", BAYER_PHASES)
def test_grey_residual_is_luma_and_coloured_residual_is_chroma(pattern: CFAPattern) -> None:
    height, width = 67, 30
    white = neutral_at(pattern, height, width)
    grey = 0.02 * white
    colour_cell = np.array([0.04, -0.02, 0.0])[np.array(["RGB".index(c) for c in pattern.colours])].reshape(2, 2)
    coloured = colour_cell[np.arange(height)[:, None] % 2, np.arange(width) % 2] * white  # R/4 + G/2 + B/4 = 0
    restored = 0.3 * white
    noisy = mosaic(restored + grey + coloured, pattern)
    factors = {"saturation": 1.0, "neutral": NEUTRAL}
    only_luma = blend(noisy, mosaic(restored, pattern), NOISE, luma=1, chroma=0, **factors)
    only_chroma = blend(noisy, mosaic(restored, pattern), NOISE, luma=0, chroma=1, **factors)
    np.testing.assert_allclose(only_luma.data, restored + coloured, atol=1e-6)
    np.testing.assert_allclose(only_chroma.data, restored + grey, atol=1e-6)


@pytest.mark.parametrize("frequency", [0.05, 0.25, 0.35])
def test_fine_brightness_is_luma_but_for_what_colour_hides(frequency: float) -> None:
    """A grating of brightness, f cycles a pixel across: 1 - sin^6(pi f) of it, where a bilinear mean took cos^2."""
    wave = np.tile(0.02 * np.cos(2 * np.pi * frequency * np.arange(60)), (40, 1)).astype(np.float32)
    flat = np.full_like(wave, 0.3)
    kept = blend(mosaic(flat + wave), mosaic(flat), NOISE, saturation=1.0, luma=0, chroma=1).data - flat
    expected = (1 - np.sin(np.pi * frequency) ** 6) * wave
    np.testing.assert_allclose(kept[:, 4:-4], expected[:, 4:-4], atol=1e-6)


def test_strips_leave_no_seam() -> None:
    noisy, restored = pair(300, 40, CFAPattern.RGGB)
    bright = mosaic(np.minimum(noisy.data + 0.6, 1)), mosaic(np.minimum(restored.data + 0.6, 1))
    whole = blend(*bright, NOISE, saturation=1.0, luma=0.3, chroma=0.8)
    lower = blend(
        *(mosaic(m.data[30:]) for m in bright), NOISE, saturation=1.0, luma=0.3, chroma=0.8
    )  # the strips of this one begin elsewhere
    np.testing.assert_allclose(whole.data[34:], lower.data[4:], atol=1e-6)


def test_nothing_is_clipped_below_black() -> None:
    noisy, restored = pair(20, 20, CFAPattern.RGGB)
    deep = mosaic(restored.data - 0.5)
    np.testing.assert_array_equal(blend(noisy, deep, NOISE, saturation=1.0).data, deep.data)


def flat_at(level: float) -> tuple[np.ndarray, Mosaic, Mosaic]:
    """Clipped noise of a flat field, and what a perfect network makes of it: its mean."""
    noise = np.random.default_rng(1).standard_normal((200, 200))
    clipped = np.minimum(level + DEVIATION * noise, 1).astype(np.float32)
    return clipped, mosaic(clipped), mosaic(np.full_like(clipped, clipped.mean()))


@pytest.mark.parametrize("below", [2, 3, 4])
def test_single_peaks_at_white_are_denoised(below: float) -> None:
    clipped, noisy, restored = flat_at(1 - below * DEVIATION)
    assert (clipped == 1).sum() > (0 if below > 3 else 20), "there are peaks to remove"
    assert blend(noisy, restored, NOISE, saturation=1.0).data.std() < 0.01 * DEVIATION


@pytest.mark.parametrize("above", [-1, -0.5, 0, 0.5, 1, 2])
def test_the_way_to_white_is_calm_and_keeps_its_mean(above: float) -> None:
    clipped, noisy, restored = flat_at(1 + above * DEVIATION)
    result = blend(noisy, restored, NOISE, saturation=1.0).data
    # Measured 0.22 and 0.056 at worst; a sample-wise rule (keep what is at white) leaves 0.5 and 0.2.
    assert result.std() < 0.25 * DEVIATION
    assert abs(result.mean() - clipped.mean()) < 0.07 * DEVIATION
    naive = np.where(clipped >= 1, clipped, clipped.mean())
    assert above != 0 or abs(naive.mean() - clipped.mean()) > 0.15 * DEVIATION


@pytest.mark.parametrize("pattern", BAYER_PHASES)
def test_a_blown_disk_keeps_white_and_has_no_ring(pattern: CFAPattern) -> None:
    height = width = 200
    y, x = np.mgrid[:height, :width]
    light = 0.3 + 3 * np.exp(-((y - 100) ** 2 + (x - 100) ** 2) / (2 * 30.0**2))
    white = neutral_at(pattern, height, width)
    truth = light * white
    noisy = np.minimum(truth + np.sqrt(GAIN * truth + READ) * np.random.default_rng(2).standard_normal(truth.shape), 1)
    # A network that errs at white: 2 % too dark in blown areas, and tinted.
    restored = np.minimum(truth, 1) - 0.02 * (truth > 1.3) * white
    result = blend(mosaic(noisy, pattern), mosaic(restored, pattern), NOISE, saturation=1.0).data
    deep = truth > 1 + 4 * np.sqrt(2 * GAIN)
    np.testing.assert_allclose(result[deep], 1, atol=1e-6)  # blown samples stay blown: the sensor's own white
    np.testing.assert_array_equal(result[truth < 0.8], restored.astype(np.float32)[truth < 0.8])
    error = result - np.minimum(truth, 1)
    radius = np.hypot(y - 100, x - 100)
    for colour in range(3):
        of_colour = white == NEUTRAL[colour]
        for inner in range(0, 90, 2):
            ring = of_colour & (radius >= inner) & (radius < inner + 2)
            assert abs(error[ring].mean()) < 0.4 * DEVIATION
    assert result.max() <= 1


@pytest.mark.parametrize("edge", [62, 63, 64, 65, 66, 67, 100])
def test_the_edge_of_a_blown_area_is_the_same_wherever_strips_lie(edge: int) -> None:
    """Rows just above a blown area look at it, and so they must where it begins in the next strip of 64 rows."""
    noisy = np.full((200, 12), 0.8, np.float32)
    noisy[edge:] = 1
    restored = np.full_like(noisy, 0.7)
    # Half a deviation, 0.173, is more than the mean distance 0.133 where one row of three is blown, and less than 0.2.
    wide = NoiseModel(0.12, READ, "given")
    here = blend(mosaic(noisy), mosaic(restored), wide, saturation=1.0).data
    assert here[edge - 2, 0] > 0.705, "the sample above the edge is not denoised wholly"
    above = 30  # whole cells are left out, and strips begin elsewhere
    there = blend(mosaic(noisy[above:]), mosaic(restored[above:]), wide, saturation=1.0).data
    np.testing.assert_array_equal(here[above + 4 :], there[4:])


@pytest.mark.parametrize("pattern", BAYER_PHASES)
def test_every_site_of_the_cell_has_its_own_saturation(pattern: CFAPattern) -> None:
    saturation = np.array([[0.9, 0.8], [0.8, 1.0]])
    blown = np.tile(saturation, (50, 50)).astype(np.float32)
    grey = mosaic(np.full_like(blown, 0.7), pattern)
    kept = blend(mosaic(blown, pattern), grey, NOISE, saturation=saturation).data
    np.testing.assert_allclose(kept, blown, atol=1e-6)
    below = mosaic(blown - np.float32(0.3), pattern)
    np.testing.assert_array_equal(blend(below, grey, NOISE, saturation=saturation).data, grey.data)
    held = blend(below, mosaic(blown + np.float32(0.1), pattern), NOISE, saturation=saturation).data
    np.testing.assert_array_equal(held, blown)


def test_overshoot_beyond_saturation_is_held_back_but_not_the_input() -> None:
    noisy = np.full((30, 30), 0.97)
    noisy[10, 10] = 1.08
    restored = np.full((30, 30), 1.03)
    result = blend(mosaic(noisy), mosaic(restored), NOISE, saturation=1.0).data
    assert result[10, 10] > 1
    result[10, 10] = 1
    assert result.max() <= 1


def test_wrong_input_is_refused() -> None:
    noisy, restored = pair(4, 4, CFAPattern.RGGB)
    with pytest.raises(UsageError, match=r"strength 1\.5"):
        blend(noisy, restored, NOISE, saturation=1.0, strength=1.5)
    with pytest.raises(UsageError, match="chroma nan"):
        blend(noisy, restored, NOISE, saturation=1.0, chroma=float("nan"))
    with pytest.raises(InputError, match="does not match"):
        blend(noisy, mosaic(restored.data, CFAPattern.BGGR), NOISE, saturation=1.0)


@pytest.mark.parametrize(("strength", "luma", "chroma"), [(1, 1, 1), (0.5, 1, 1), (1, 0.3, 1), (1, 0.5, 0.5)])
def test_memory_and_threads_do_not_change_a_bit(strength: float, luma: float, chroma: float) -> None:
    """Over the memory of the restored mosaic and in one or three threads, also where strips are blown."""
    noisy, restored = pair(300, 40, CFAPattern.GRBG)
    noisy.data[100:180, 5:20] += 0.6
    restored.data[100:180, 5:20] += 0.58
    factors = {"strength": strength, "luma": luma, "chroma": chroma}
    expected = blend(noisy, restored, NOISE, saturation=1.0, **factors, threads=1).data
    kept = restored.data.copy()
    np.testing.assert_array_equal(blend(noisy, restored, NOISE, saturation=1.0, **factors, threads=3).data, expected)
    np.testing.assert_array_equal(restored.data, kept)
    over = blend(noisy, restored, NOISE, saturation=1.0, **factors, overwrite=True, threads=3).data
    np.testing.assert_array_equal(over, expected)
    assert (over is restored.data) == (luma == chroma)
