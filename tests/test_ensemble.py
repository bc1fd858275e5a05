"""The self-ensemble shows the student exact views, and the mean comes back in place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawkd.errors import UsageError
from rawkd.inference.self_ensemble import self_ensemble
from rawkd.photo import BAYER_PHASES, CFAPattern, FloatArray, Mosaic
from rawkd.sensor.cfa import SYMMETRIES, pack, unify, unpack

SIZES = st.integers(1, 23)


def random_mosaic(height: int, width: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((height, width)).astype(np.float32)


@pytest.mark.parametrize("members", SYMMETRIES)
@given(height=SIZES, width=SIZES, pattern=st.sampled_from(BAYER_PHASES))
@settings(max_examples=30)
def test_identity_gives_the_mosaic_back(members: int, height: int, width: int, pattern: CFAPattern) -> None:
    mosaic = Mosaic(random_mosaic(height, width), pattern)
    unified, unification = unify(mosaic)
    mean = self_ensemble(lambda view: view, unified, members)
    np.testing.assert_array_equal(unification.undo(mean), mosaic.data)


@pytest.mark.parametrize("members", SYMMETRIES)
def test_every_view_is_rggb(members: int) -> None:
    """Red stays red and blue blue in every view; Gr and Gb may only change places."""
    mosaic = unpack(np.broadcast_to(np.array([0, 1, 2, 3], np.float32)[:, None, None], (4, 5, 7)))
    views: list[FloatArray] = []
    self_ensemble(lambda view: views.append(pack(view)) or view, mosaic, members)
    assert len(views) == members
    for planes in views:
        assert (planes[0] == 0).all()
        assert (planes[3] == 3).all()
        assert np.ptp(planes, axis=(1, 2)).max() == 0


@pytest.mark.parametrize("members", SYMMETRIES)
def test_it_is_the_mean_of_all_members(members: int) -> None:
    """A denoiser that only knows which call it is: the k-th member adds k."""
    mosaic = random_mosaic(1100, 6)
    calls = iter(range(members))
    mean = self_ensemble(lambda view: view + np.float32(next(calls)), mosaic, members)
    np.testing.assert_allclose(mean, mosaic + (members - 1) / 2, rtol=0, atol=1e-5)


def test_a_lopsided_denoiser_is_made_symmetric() -> None:
    """Moved by a whole cell to the right, a dot comes back as eight quarters of a cross."""
    mosaic = np.zeros((20, 20), np.float32)
    mosaic[8, 8] = 1
    mean = self_ensemble(lambda view: np.roll(view, 2, axis=1), mosaic, 8)
    expected = np.zeros_like(mosaic)
    for row, column in ((8, 6), (8, 10), (6, 8), (10, 8)):
        expected[row, column] = 0.25
    np.testing.assert_allclose(mean, expected, atol=1e-7)
    assert np.abs(self_ensemble(lambda view: np.roll(view, 2, axis=1), mosaic, 2) - expected).max() > 0.2


def test_the_mosaic_is_not_changed() -> None:
    mosaic = random_mosaic(12, 10)
    before = mosaic.copy()
    self_ensemble(lambda view: view, mosaic, 1)[...] = 0
    self_ensemble(lambda view: view + 1, mosaic, 8)
    np.testing.assert_array_equal(mosaic, before)


@pytest.mark.parametrize("members", [0, 3, 16])
def test_other_numbers_are_refused(members: int) -> None:
    with pytest.raises(UsageError, match="Choose one of 1, 2, 4, 8"):
        self_ensemble(lambda view: view, random_mosaic(4, 4), members)
