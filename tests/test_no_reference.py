"""BRISQUE's features and PIQE's score by definition: cases worked by hand, drawn samples, frozen pictures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from conftest import ROOT
from reference_extractors import block_maps, brisque_features, fit_asymmetric, fit_symmetric, luma, piqe, piqe_of

from rawkd.training.losses.no_reference import BlockMaps, gaussian_window, shape_table

GOLDEN = json.loads((ROOT / "tests" / "golden" / "no_reference.json").read_text(encoding="utf-8"))
STEP = 1e-3
"""Of the table of shapes."""
DRAWN = 200_000


def synthetic(name: str, height: int = 75, width: int = 90) -> np.ndarray:
    """Pictures without a file, 0..255, whole numbers: waves, or waves in noise."""
    y, x = np.mgrid[:height, :width]
    waves = 120 + 60 * np.sin(x / 3 + y / 17) + 50 * np.sin(x * y / 400)
    if name == "waves":
        return np.rint(waves)
    scatter = (x * 7919 + y * 104729 + x * y * 31) % 101  # no generator: the same on every machine for ever
    return np.rint(np.clip(waves + 0.6 * (scatter - 50), 0, 255))


def drawn(shape: float, left: float, right: float, seed: int) -> np.ndarray:
    """Samples of an asymmetric generalised Gaussian with these deviations of its sides."""
    rng = np.random.default_rng(seed)
    size = rng.gamma(1 / shape, 1.0, DRAWN) ** (1 / shape) * math.sqrt(math.gamma(1 / shape) / math.gamma(3 / shape))
    negative = rng.random(DRAWN) < left / (left + right)
    return np.where(negative, -left * size, right * size)


def errors_of(fit: object, values: np.ndarray) -> np.ndarray:
    """Standard errors of a fit's numbers, from fits to forty parts of the samples."""
    parts = np.array([fit(part) for part in values.reshape(40, -1)])  # type: ignore[operator]
    return parts.std(0, ddof=1) / math.sqrt(len(parts))


def test_the_table_holds_known_shapes() -> None:
    shapes, ratios = shape_table()
    assert (len(shapes), shapes[0], shapes[-1]) == (9801, 0.2, 10)
    assert (np.diff(ratios) > 0).all()
    assert ratios[shapes == 1] == pytest.approx(0.5, abs=1e-12)
    assert ratios[shapes == 2] == pytest.approx(2 / math.pi, abs=1e-12)


def test_a_fit_by_hand() -> None:
    # as many zeros as ones: E|x| = E x^2 = 1/2, so E[|x|]^2 / E[x^2] = 1/2, a Laplace shape
    assert fit_symmetric(np.array([0.0, 1.0])) == pytest.approx((1.0, 0.5), abs=1e-12)
    # sides of deviation 1 and 3, E|x| = 1, E x^2 = 5/2: ratio 2/5 * (27 + 1) (3 + 1) / (9 + 1)^2 = 0.448
    shape, mean, left, right = fit_asymmetric(np.array([-1.0, 0.0, 0.0, 3.0]))
    around = [math.gamma(2 / a) ** 2 / (math.gamma(1 / a) * math.gamma(3 / a)) for a in (shape - STEP, shape + STEP)]
    assert around[0] < 0.448 < around[1]
    expected = 2 * math.gamma(2 / shape) / math.sqrt(math.gamma(1 / shape) * math.gamma(3 / shape))
    assert (mean, left, right) == pytest.approx((expected, 1, 9), abs=1e-12)


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0, 4.0])
def test_a_fit_recovers_the_shape_of_drawn_samples(shape: float) -> None:
    values = drawn(shape, 0.7, 0.7, 1)
    found = np.array(fit_symmetric(values))
    error = 5 * errors_of(fit_symmetric, values) + [STEP / 2, 0]
    assert (np.abs(found - [shape, 0.49]) < error).all()
    assert error[0] < 0.2 * shape
    other = np.array(fit_symmetric(drawn(1.3 * shape, 0.7, 0.7, 1)))  # the twin: another shape is told apart
    assert np.abs(other - [shape, 0.49])[0] > error[0]


@pytest.mark.parametrize("shape", [0.6, 1.0, 2.0])
def test_a_fit_recovers_sides_of_drawn_samples(shape: float) -> None:
    values = drawn(shape, 0.4, 0.6, 2)
    found = np.array(fit_asymmetric(values))
    mean = 0.2 * math.gamma(2 / shape) / math.sqrt(math.gamma(1 / shape) * math.gamma(3 / shape))
    expected = np.array([shape, mean, 0.16, 0.36])
    error = 5 * errors_of(fit_asymmetric, values) + [STEP / 2, STEP, 0, 0]
    assert (np.abs(found - expected) < error).all()
    assert values.mean() == pytest.approx(mean, abs=5 * values.std() / math.sqrt(DRAWN))
    mirrored = np.array(fit_asymmetric(-values))  # the twin
    assert (np.abs(mirrored - expected) > error)[1:].all()


def checks(size: int = 48) -> np.ndarray:
    """A board of 128 +- 100, of which the edges do not reach the middle block."""
    y, x = np.mgrid[:size, :size]
    return 128 + 100.0 * (1 - 2 * ((x + y) % 2))


def middle(maps: BlockMaps) -> tuple[float, ...]:
    return tuple(float(values[1, 1]) for values in maps)


def test_a_block_by_hand() -> None:
    # what the window leaves of alternating signs along one axis; its square along both
    left = float((gaussian_window() * [-1, 1, -1, 1, -1, 1, -1]).sum()) ** 2
    size = 100 * (1 - left) / (100 * math.sqrt(1 - left**2) + 1)
    activity, impairment, noise, variance = middle(block_maps(checks()))
    assert variance == pytest.approx(size**2 * 256 / 255, rel=1e-9)
    # any six neighbours deviate by size * sqrt(6/5), far above 0.1; centre and surround differ by 1 % only
    assert (activity, impairment, noise) == (1, 0, 1)


def test_a_flat_edge_impairs_a_block() -> None:
    board = checks()
    board[10:23, 10:41] = 128  # holds the windows around the middle block's upper edge
    activity, impairment, _, variance = middle(block_maps(board))
    assert (activity, impairment) == (1, 1)
    assert 0.1 < variance < 1
    assert middle(block_maps(np.roll(board, (5, 0), (0, 1))))[1] == 1  # its side edges still cross the flat area
    assert middle(block_maps(checks()))[1] == 0


def test_a_ramp_is_no_active_block() -> None:
    y, x = np.mgrid[:48, :48]
    assert middle(block_maps(2.0 * x + y)) == (0, 0, 0, 0)


def test_a_strip_beside_quiet_surroundings_is_no_noise() -> None:
    board = np.full((48, 48), 128.0)
    board[:, 21:27] = checks()[:, 21:27]
    activity, _, noise, variance = middle(block_maps(board))
    assert activity == 1
    # the middle columns deviate by so much more than the rest that the difference exceeds half the block's deviation
    assert noise == 0
    assert variance < 0.7


def test_a_score_by_hand() -> None:
    activity = np.array([[1.0, 1.0], [1.0, 0.0]])
    maps = BlockMaps(activity, np.array([[1.0, 0], [1, 0]]), np.array([[0, 1.0], [1, 0]]), np.full((2, 2), 0.25))
    # 0.75 impaired, 0.25 noisy, 1 both: (2 + 1) / (3 + 1)
    assert piqe_of(maps) == pytest.approx(75)


@pytest.mark.parametrize("level", [0, 17, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (5, 3), (40, 33)])
def test_flat_and_tiny_pictures_are_finite(level: int, shape: tuple[int, int]) -> None:
    flat = np.full(shape, level, np.uint8)
    assert np.isfinite(brisque_features(flat)).all()
    assert piqe(flat) == 100
    if level == 0:
        assert brisque_features(flat).tolist() == [10, 0, *[10, 0, 0, 0] * 4] * 2


def test_what_cannot_be_scored_is_refused() -> None:
    for function in (brisque_features, piqe):
        with pytest.raises(ValueError, match=r"an array of \(4, 4, 3\) is no grey picture"):
            function(np.zeros((4, 4, 3)))
        with pytest.raises(ValueError, match="not finite"):
            function(np.full((4, 4), np.nan))
    with pytest.raises(ValueError, match="negative"):
        piqe(np.full((4, 4), -1.0))


@pytest.mark.parametrize("name", ["waves", "noisy"])
def test_frozen_pictures(name: str) -> None:
    picture = synthetic(name)
    np.testing.assert_allclose(brisque_features(picture), GOLDEN[name]["features"], atol=1e-9)
    assert piqe(picture) == pytest.approx(GOLDEN[name]["piqe"], abs=1e-9)


@pytest.fixture(scope="module")
def kodak(data: Path) -> Path:
    folder = data / "testsets" / "Kodak24"
    if not folder.is_dir():
        pytest.skip("needs the pictures of ../shared/data/testsets/Kodak24")
    return folder


def test_scores_of_kodak(kodak: Path) -> None:
    for name, expected in GOLDEN["kodak_piqe"].items():
        assert piqe(luma(iio.imread(kodak / name))) == pytest.approx(expected, abs=1e-6)
    for name, features in GOLDEN["kodak_features"].items():
        np.testing.assert_allclose(brisque_features(luma(iio.imread(kodak / name))), features, atol=1e-6)


def test_noise_and_blocks_cost_score(kodak: Path) -> None:
    clean = luma(iio.imread(kodak / "kodim23.png"))
    noisy = np.clip(clean + np.random.default_rng(3).normal(0, 25, clean.shape), 0, 255)
    blocks = np.repeat(np.repeat(clean[::8, ::8], 8, 0), 8, 1)
    assert piqe(noisy) > piqe(clean) + 20
    assert piqe(blocks) > piqe(clean) + 20
