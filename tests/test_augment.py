"""Augmentation: whatever is turned is still an RGGB mosaic of the same picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawkd.sensor.cfa import SYMMETRIES, Symmetry, pack, unpack
from rawkd.training.data.augment import EXPOSURE_STOPS, random_exposure, random_symmetry, turn_picture, turn_planes

ALL = SYMMETRIES[8]


def mosaicked(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (H, W) RGGB samples."""
    mosaic = picture[..., 1].copy()
    mosaic[::2, ::2] = picture[::2, ::2, 0]
    mosaic[1::2, 1::2] = picture[1::2, 1::2, 2]
    return mosaic


def cropped(symmetry: Symmetry, picture: np.ndarray) -> np.ndarray:
    """The turned picture without the rows and columns that a turned mosaic loses."""
    rows = slice(1, -1) if symmetry.flip_rows else slice(None)
    columns = slice(1, -1) if symmetry.flip_columns else slice(None)
    return turn_picture(picture, symmetry)[rows, columns]


@pytest.mark.parametrize("symmetry", ALL)
@given(height=st.integers(2, 7), width=st.integers(2, 7))
def test_turned_planes_are_the_mosaic_of_the_turned_picture(symmetry: Symmetry, height: int, width: int) -> None:
    picture = np.random.default_rng(0).random((2 * height, 2 * width, 3), np.float32)
    turned = turn_planes(pack(mosaicked(picture)), symmetry)
    np.testing.assert_array_equal(unpack(turned), mosaicked(cropped(symmetry, picture)))


def test_flipping_packed_planes_would_be_wrong() -> None:
    picture = np.random.default_rng(0).random((8, 8, 3), np.float32)
    flip = Symmetry(flip_rows=True)
    wrong = pack(mosaicked(picture))[:, ::-1]
    right = turn_planes(pack(mosaicked(picture)), flip)
    assert not np.array_equal(wrong[:, : right.shape[1]], right)
    assert not np.array_equal(wrong[:, -right.shape[1] :], right)


def test_the_eight_turns_differ_and_are_drawn_alike() -> None:
    picture = np.random.default_rng(0).random((6, 6, 3))
    assert len({turn_picture(picture, symmetry).tobytes() for symmetry in ALL}) == 8
    rng = np.random.default_rng(1)
    counts = dict.fromkeys(ALL, 0)
    for _ in range(800):
        counts[random_symmetry(rng)] += 1
    # binomial(800, 1/8): mean 100, deviation 9.4; five of them
    assert all(53 < count < 147 for count in counts.values())


def test_exposures_fill_their_range_in_stops() -> None:
    rng = np.random.default_rng(2)
    stops = np.log2([random_exposure(rng) for _ in range(2000)])
    low, high = EXPOSURE_STOPS
    assert (low, high) == (-3.0, 0.3)
    assert low <= stops.min() < low + 0.02
    assert high - 0.02 < stops.max() <= high
    # uniform of width 3.3: the mean of 2000 has a deviation of 0.021
    assert stops.mean() == pytest.approx((low + high) / 2, abs=0.11)
