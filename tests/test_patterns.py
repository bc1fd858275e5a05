"""Regular patterns for generated scenes."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from rawkd.photo import FloatArray
from rawkd.training.data.dataset import BARS_EVERY, NoisyBatches
from rawkd.training.data.leaves import bars_scene
from rawkd.training.data.patterns import WIDEST_BAR_PX, bars, stripes, weave
from rawkd.training.recipes import RECIPES

SIDE_PX = 48
SEEDS = st.integers(0, 2**31)


def inner_runs(line: FloatArray) -> list[int]:
    """Lengths of runs of equal values, without the first and the last, which an edge may cut."""
    return [len(list(run)) for _, run in groupby(line.tolist())][1:-1]


@given(SEEDS, st.sampled_from([bars, stripes, weave]))
def test_patterns_lie_between_two_colours(seed: int, pattern: object) -> None:
    field = pattern(SIDE_PX, np.random.default_rng(seed))  # type: ignore[operator]
    assert field.shape == (SIDE_PX, SIDE_PX)
    assert field.dtype == np.float32
    assert 0 <= field.min() <= field.max() <= 1


@given(SEEDS)
def test_bars_are_hard_and_a_few_pixels_wide(seed: int) -> None:
    field = bars(SIDE_PX, np.random.default_rng(seed))
    assert set(np.unique(field)) == {0, 1}
    inside = field[np.ix_(field.any(1), field.any(0))]  # rows or columns without a bar are outside or between bars
    for lines in (inside, inside.T):
        bright = {length for line in lines for length in inner_runs(line)}
        assert not bright or min(bright) <= 2 * WIDEST_BAR_PX


def test_bars_have_every_width_and_both_directions() -> None:
    found = set()
    for seed in range(200):
        field = bars(SIDE_PX, np.random.default_rng(seed))
        for name, lines in (("columns", field), ("rows", field.T)):
            varying = [line for line in lines if 0 < line.mean() < 1]
            runs = inner_runs(varying[0]) if varying else []
            if len(runs) > SIDE_PX // 2 // (WIDEST_BAR_PX + 1) and len(set(runs)) == 1:
                found.add((name, runs[0]))
    assert found == {(name, width) for name in ("columns", "rows") for width in (1, 2, 3)}


def test_half_of_the_scenes_of_bars_are_black_and_white() -> None:
    scenes = [bars_scene(SIDE_PX, np.random.default_rng(seed)) for seed in range(150)]
    assert all(0 <= scene.min() < scene.max() <= 1 for scene in scenes)
    black_and_white = sum(np.ptp(scene) > 0.99 for scene in scenes)
    assert black_and_white == pytest.approx(75, abs=4 * np.sqrt(150) / 2)


def test_some_crops_of_a_training_show_bars() -> None:
    recipe = replace(RECIPES["fanet-fast-leaves"], batch=8, crop_px=16)
    batches = NoisyBatches(None, recipe, 0, seed=1, length=28)
    hardest = [np.ptp(batches._scene(number, 0)[:, :, 1]) for number in range(2 * BARS_EVERY)]
    drawn = [hardest[number] for number in (BARS_EVERY - 1, 2 * BARS_EVERY - 1)]
    expected = [
        np.ptp(bars_scene(2 * recipe.crop_side_px, np.random.default_rng([1, 1 << 30, number]))[:, :, 1])
        for number in (BARS_EVERY - 1, 2 * BARS_EVERY - 1)
    ]
    assert drawn == expected
