"""The extractors with gradients agree with the definitions where those have none, and are finite everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

import reference_extractors as reference  # noqa: E402
from reference_extractors import brisque_features, luma, piqe_of  # noqa: E402

from rawkd.training.losses import blockiness, naturalness, no_reference  # noqa: E402
from rawkd.training.losses.blockiness import block_tests  # noqa: E402
from rawkd.training.losses.mscn import LEAST_VARIANCE, half_size, mscn, standardise, whole_blocks  # noqa: E402
from rawkd.training.losses.naturalness import natural_statistics, statistics  # noqa: E402
from rawkd.training.losses.no_reference import BlockMaps, shape_table  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = [0, 2, 6, 10, 14, 18, 20, 24, 28, 32]
MEANS = [3, 7, 11, 15, 21, 25, 29, 33]
STEP = 1e-3
"""Of the definition's table of shapes."""
PICTURES = ["kodim01.png", "kodim08.png", "kodim13.png", "kodim20.png", "kodim23.png"]


def scenery(height: int = 85, width: int = 96) -> np.ndarray:
    """Waves in noise, a flat area and a saturated one; whole numbers 0..255."""
    y, x = np.mgrid[:height, :width]
    picture = 120 + 60 * np.sin(x / 3 + y / 17) + 50 * np.sin(x * y / 400)
    picture += np.random.default_rng(5).normal(0, 6, picture.shape)
    picture[40:70, 20:50] = 90
    picture[:30, 60:] = 255
    return np.rint(np.clip(picture, 0, 255))


@pytest.fixture(params=["scenery", *PICTURES])
def picture(request: pytest.FixtureRequest) -> np.ndarray:
    if request.param == "scenery":
        return scenery()
    path: Path = request.getfixturevalue("data") / "testsets" / "Kodak24" / request.param
    if not path.is_file():
        pytest.skip("needs the pictures of ../shared/data/testsets/Kodak24")
    return np.rint(luma(iio.imread(path)))


def tensor(values: np.ndarray) -> Any:
    return torch.from_numpy(values)[None, None]


def brisque_of_luma(values: Any) -> Any:
    """(n, 1, H, W) luma 0..255 -> (n, 36), shapes looked up by their ratios of moments."""
    features = statistics(values, 1.0)[:, 0]
    columns = [shape_of(column) if index in SHAPES else column for index, column in enumerate(features.unbind(-1))]
    return torch.stack(columns, -1)


def shape_of(ratio: Any) -> Any:
    """The shape whose E[|x|]^2 / E[x^2] is `ratio`, by linear interpolation; beyond the table its ends."""
    shapes, ratios = (torch.as_tensor(column).to(ratio) for column in shape_table())
    ratio = ratio.clamp(ratios[0], ratios[-1])
    upper = torch.searchsorted(ratios, ratio.detach().contiguous()).clamp(1, len(ratios) - 1)
    share = (ratio - ratios[upper - 1]) / (ratios[upper] - ratios[upper - 1])
    return shapes[upper - 1] + share * (shapes[upper] - shapes[upper - 1])


def block_maps_of_luma(values: Any) -> BlockMaps:
    """(n, 1, H, W) luma 0..255 -> maps of (n, rows, columns)."""
    maps = blockiness.block_maps(values, 1.0, reference.BLOCK_PX, reference.SEGMENT_PX)
    return BlockMaps(*(part[:, 0] for part in maps))


def narrow(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Make every sigmoid so many times steeper: in the limit they are the definitions' tests."""
    monkeypatch.setattr(naturalness, "SIGN_WIDTH", naturalness.SIGN_WIDTH * factor)
    for name in ("VARIANCE_WIDTH", "SEGMENT_WIDTH", "NOISE_WIDTH"):
        monkeypatch.setattr(blockiness, name, getattr(blockiness, name) * factor)


def test_steep_features_are_the_definitions(picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes agree to half a step of the table (and 2 %: it is nearest in moments, not in shapes).

    Everything else only lacks roundings and the floor under local variances, 1e-6 of the constant squared, which
    changes a coefficient by at most sqrt(1 / g - 1) / 2 * 1e-6 = 1.4e-6, g = 0.117 being the window's middle.
    """
    narrow(monkeypatch, 1e-18)  # beside saturated areas stand coefficients as small as 1e-9, and their products
    exact, found = brisque_features(picture), brisque_of_luma(tensor(picture))[0].numpy()
    error = np.abs(found - exact)
    assert error[SHAPES].max() < 0.51 * STEP
    # a mean follows its shape: (r - l) * sqrt(ratio), the ratio's slope is below 0.7 and its root above 0.4 here
    assert error[MEANS].max() < 0.51 * STEP * 0.7 / (2 * 0.4) * 0.3
    others = np.setdiff1d(np.arange(36), [*SHAPES, *MEANS])
    assert error[others].max() < 2e-5


def test_features_as_they_are_used_stay_within_their_bounds(picture: np.ndarray) -> None:
    """A sigmoid differs from the sign by at most itself, so sums over a side err by no more than those of its tails."""
    exact, found = brisque_features(picture), brisque_of_luma(tensor(picture))[0].numpy()
    coefficients = reference.mscn_coefficients(picture, "constant")
    for index, shift in enumerate(no_reference.SHIFTS):
        product = coefficients * np.roll(coefficients, shift, (0, 1))
        product = product[product != 0]
        tail = 1 / (1 + np.exp(np.abs(product) / naturalness.SIGN_WIDTH))
        for side, place in ((product < 0, 4 + 4 * index), (product > 0, 5 + 4 * index)):
            total, count = np.sum(product[side] ** 2), side.sum()
            low = (total - (tail * product**2).sum()) / (count + tail.sum())
            high = (total + (tail * product**2).sum()) / (count - tail.sum())
            assert low < found[place] < high
            assert low < exact[place] < high


def test_features_converge_to_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = brisque_features(scenery())
    sides = [4, 5, 8, 9, 12, 13, 16, 17]
    errors = [np.abs(brisque_of_luma(tensor(scenery()))[0].numpy() - exact)[sides].max()]
    for _ in range(2):
        narrow(monkeypatch, 0.1)
        errors.append(np.abs(brisque_of_luma(tensor(scenery()))[0].numpy() - exact)[sides].max())
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.5 * errors[1]


def test_single_precision_is_enough(picture: np.ndarray) -> None:
    double, single = (brisque_of_luma(tensor(picture).to(kind))[0].numpy() for kind in (torch.float64, torch.float32))
    assert np.abs(single - double).max() < 1e-3


def test_steep_blocks_are_the_definitions(picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch, 1e-4)
    exact, found = reference.block_maps(picture), block_maps_of_luma(tensor(picture))
    for theirs, ours in zip(exact[:3], found[:3], strict=True):
        undecided = np.abs(ours[0].numpy() - 0.5) < 0.49  # within 5e-5 of a threshold
        assert undecided.mean() < 0.01
        np.testing.assert_array_equal(np.rint(ours[0].numpy())[~undecided], theirs[~undecided])
    np.testing.assert_allclose(found.variance[0].numpy(), exact.variance, atol=1e-5)
    assert float(piqe_of(found)) == pytest.approx(piqe_of(exact), abs=0.1)


def test_blocks_as_they_are_used_decide_alike(picture: np.ndarray) -> None:
    """Where a test is decided by more than its width; the soft minimum of 44 lies up to 0.02 log 44 too low."""
    exact, found = reference.block_maps(picture), block_maps_of_luma(tensor(picture))
    ours = [values[0].numpy() for values in found[:3]]
    np.testing.assert_array_equal(ours[0] > 0.5, exact.activity > 0.5)
    active = exact.variance > no_reference.ACTIVE + 3 * blockiness.VARIANCE_WIDTH
    impaired = (ours[1] > 0.5) & active
    assert (impaired >= ((exact.impairment > 0.5) & active)).all()
    assert (impaired != ((exact.impairment > 0.5) & active)).mean() < 0.1
    decided = active & (np.abs(ours[2] - 0.5) > 0.05)
    np.testing.assert_array_equal(ours[2][decided] > 0.5, exact.noise[decided] > 0.5)
    assert decided.any()


FLAT_AND_TINY = [(1, 1, 1, 1), (1, 1, 2, 3), (1, 1, 16, 5), (1, 1, 33, 47)]


@pytest.mark.parametrize("shape", FLAT_AND_TINY)
@pytest.mark.parametrize("level", [0.0, 17.0, 255.0])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_flat_black_saturated_and_tiny_luma(shape: tuple[int, ...], level: float, kind: Any) -> None:
    values = torch.full(shape, level, dtype=kind, requires_grad=True)
    maps = block_maps_of_luma(values)
    total = brisque_of_luma(values).sum() + sum(part.sum() for part in maps)
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(values.grad).all()
    assert float(piqe_of(maps).detach()) > 90


@pytest.mark.parametrize("extract", [natural_statistics, block_tests, standardise])
@pytest.mark.parametrize("level", [0.0, 1.0, -1e4, 1e-4])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 2, 3), (2, 9, 5, 7), (1, 2, 40, 24)])
def test_flat_and_tiny_features(extract: Any, level: float, shape: tuple[int, ...]) -> None:
    features = torch.full(shape, level, requires_grad=True)
    out = extract(features)
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("extract", [natural_statistics, block_tests])
def test_one_wild_sample_leaves_gradients_finite(extract: Any) -> None:
    features = torch.zeros(1, 2, 16, 16)
    features[0, 0, 3, 3] = 1e6
    features.requires_grad_(True)
    out = extract(features)
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("function", [brisque_of_luma, lambda x: torch.stack(block_maps_of_luma(x)[:3])])
def test_gradients_are_those_of_the_values(function: Any) -> None:
    values = torch.from_numpy(np.random.default_rng(2).uniform(60, 200, (1, 1, 16, 16))).requires_grad_(True)
    assert torch.autograd.gradcheck(function, (values,), eps=1e-5, atol=1e-5, rtol=1e-3)


def test_shapes_are_interpolated_on_the_table() -> None:
    shapes, ratios = (torch.from_numpy(column) for column in shape_table())
    assert torch.equal(shape_of(ratios[::500]), shapes[::500])
    between = (ratios[700] + ratios[701]) / 2
    assert float(shape_of(between)) == pytest.approx(float(shapes[700]) + 0.5 * STEP, abs=1e-9)
    ends = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    found = shape_of(ends)
    found.sum().backward()
    assert found.tolist() == pytest.approx([0.2, 1, 10], abs=1e-9)
    assert ends.grad[0] == ends.grad[2] == 0 < ends.grad[1]


def test_half_size_keeps_levels_and_ramps() -> None:
    y, x = torch.meshgrid(torch.arange(21.0), torch.arange(30.0), indexing="ij")
    ramp = (3 * x + 2 * y)[None, None].double()
    half = half_size(ramp)[0, 0]
    assert half.shape == (11, 15)
    torch.testing.assert_close(half[3:-3, 3:-3], ramp[0, 0][6:16:2, 6:24:2] + 2.5)
    for shape in ((1, 1), (2, 5), (3, 1)):
        torch.testing.assert_close(
            half_size(torch.full((1, 1, *shape), 7.0)), torch.full_like(half_size(torch.zeros(1, 1, *shape)), 7.0)
        )


def test_borders() -> None:
    ones = torch.ones(1, 1, 9, 9, dtype=torch.float64)
    assert mscn(ones, 1.0, "edge").abs().max() < 1e-12
    assert mscn(ones, 1.0, "zero")[0, 0, 4, 4].abs() < 1e-12 < mscn(ones, 1.0, "zero")[0, 0, 0, 0]
    assert whole_blocks(torch.arange(3.0)[None, None, None], 8)[0, 0, 0].tolist() == [0, 1, 2, 2, 1, 0, 0, 1]


def test_whole_blocks_are_not_copied() -> None:
    maps = torch.rand(1, 2, 16, 13)
    assert whole_blocks(maps[..., :8], 8).data_ptr() == maps.data_ptr()
    padded = whole_blocks(maps, 8)
    assert padded.shape == (1, 2, 16, 16)
    assert torch.equal(padded[..., 13:], maps[..., 10:].flip(-1))
    assert torch.equal(padded[..., :13], maps)


def test_statistics_halve_once(monkeypatch: pytest.MonkeyPatch) -> None:
    halved: list[Any] = []
    monkeypatch.setattr(naturalness, "half_size", lambda maps: halved.append(maps) or half_size(maps))
    assert statistics(torch.rand(1, 2, 12, 14), 1.0).shape == (1, 2, 36)
    assert len(halved) == 1


def test_channels_are_standardised() -> None:
    features = torch.randn(2, 3, 20, 22, generator=torch.Generator().manual_seed(1))
    scaled = features * torch.tensor([4.0, 30.0, 0.5])[:, None, None] - 7
    for extract in (standardise, natural_statistics, block_tests):
        torch.testing.assert_close(extract(scaled), extract(features), atol=20 * LEAST_VARIANCE, rtol=1e-3)
    flat = torch.cat((features, torch.full((2, 1, 20, 22), 5.0)), 1)
    assert not standardise(flat)[:, 3].any()


def test_channels_are_averaged_in_groups_of_eight() -> None:
    features = torch.randn(2, 11, 12, 12, generator=torch.Generator().manual_seed(1))
    each = torch.cat([natural_statistics(features[:, channel : channel + 1]) for channel in range(11)], 1)
    expected = torch.stack((each[:, :8].mean(1), each[:, 8:].mean(1)), 1)
    torch.testing.assert_close(natural_statistics(features), expected)
    assert block_tests(features).shape == (2, 3, 11, 2, 2)


@pytest.mark.parametrize("extract", [natural_statistics, block_tests])
def test_extractors_tell_structure_from_noise(extract: Any) -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    smooth = torch.exp(-((x - 20) ** 2 + (y - 30) ** 2) / 30).expand(1, 8, 64, 64)
    one, other = torch.randn(2, 1, 8, 64, 64, generator=torch.Generator().manual_seed(4))
    near = (extract(one) - extract(other)).abs().mean()
    far = (extract(one) - extract(smooth)).abs().mean()
    assert float(far) > 3 * float(near)
