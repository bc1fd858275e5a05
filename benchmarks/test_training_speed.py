"""Measure what training data costs: `pytest benchmarks/test_training_speed.py --benchmark-enable`.

Data must not be slower than the trainer, whose step takes about 0.1 s on two cores.
"""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from rawkd.training.data.dataset import NoisyBatches
from rawkd.training.data.leaves import leaves_scene
from rawkd.training.recipes import FANET_FAST, RECIPES


def test_scene_of_leaves(benchmark: BenchmarkFixture) -> None:
    """One supersampled scene of 384 pixels: about 0.03 s."""
    seeds = iter(range(10**6))
    benchmark(lambda: leaves_scene(384, np.random.default_rng(next(seeds))))


def test_batch_of_leaves(benchmark: BenchmarkFixture) -> None:
    """A batch of the shipped recipe, scenes included."""
    batches = NoisyBatches(None, RECIPES["fanet-fast-leaves"], 1, seed=1, length=10**6)
    indices = iter(range(10**6))
    benchmark(lambda: batches[next(indices)])
    assert batches.recipe.batch == FANET_FAST.batch
