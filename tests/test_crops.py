"""Where crops lie: at two sizes, and rather where there is detail."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from rawkd.training.data.crops import HALVED, detail, draw_window, half_size


def half_flat(side: int = 256) -> np.ndarray:
    """The left half grey, the right half grain."""
    picture = np.full((side, side, 3), 128, np.uint8)
    picture[:, side // 2 :] = np.random.default_rng(1).integers(0, 256, (side, side // 2, 3))
    return picture


def share_of_flat(tries: int) -> float:
    rng, picture = np.random.default_rng(2), half_flat()
    return float(np.mean([detail(draw_window(picture, 8, tries, rng)[0]) == 0 for _ in range(4000)]))


def test_of_several_places_the_most_detailed_is_taken_and_flat_ones_stay() -> None:
    one, three = share_of_flat(1), share_of_flat(3)
    # a window of 8 or 16 lies in the flat half at nearly half of all places, all three of them at its cube
    flat = HALVED[0] * 113 / 241 + (1 - HALVED[0]) * 121 / 249
    cube = HALVED[0] * (113 / 241) ** 3 + (1 - HALVED[0]) * (121 / 249) ** 3
    assert one == pytest.approx(flat, abs=5 * (flat * (1 - flat) / 4000) ** 0.5)
    assert three == pytest.approx(cube, abs=5 * (cube * (1 - cube) / 4000) ** 0.5)


def test_one_try_draws_what_it_always_drew() -> None:
    picture = half_flat(64)
    window, halved = draw_window(picture, 16, 1, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    assert halved == (rng.random() < HALVED[0])
    top, left = rng.integers(0, 64 - len(window) + 1), rng.integers(0, 64 - len(window) + 1)
    np.testing.assert_array_equal(window, picture[top : top + len(window), left : left + len(window)])


def test_pictures_too_small_to_be_halved_are_not() -> None:
    picture = half_flat(20)
    rng = np.random.default_rng(4)
    assert {draw_window(picture, 16, 2, rng)[1] for _ in range(50)} == {0}
    assert {draw_window(picture, 10, 2, rng)[1] for _ in range(50)} == {0, 1}


def test_shares_are_of_crops_halved_so_often_at_least() -> None:
    picture, rng = half_flat(128), np.random.default_rng(6)
    times = [draw_window(picture, 16, 1, rng, (0.75, 0.25))[1] for _ in range(3000)]
    for number, share in enumerate((0.25, 0.5, 0.25)):  # five standard deviations
        assert times.count(number) / 3000 == pytest.approx(share, abs=5 * (share * (1 - share) / 3000) ** 0.5)


def test_half_size_rounds_the_mean_of_four() -> None:
    picture = np.array([[[0], [1]], [[1], [0]]], np.uint8).repeat(3, axis=2)
    assert half_size(picture).tolist() == [[[1, 1, 1]]]  # 0.5 up
    assert half_size(np.full((4, 4, 3), 65535, np.uint16)).tolist() == np.full((2, 2, 3), 65535).tolist()


@pytest.mark.parametrize("factor", [2, 10])
def test_detail_grows_with_contrast(factor: int) -> None:
    grain = np.random.default_rng(5).integers(0, 20, (32, 32, 3)).astype(np.uint16)
    assert detail(grain * factor) == pytest.approx(factor * detail(grain))
