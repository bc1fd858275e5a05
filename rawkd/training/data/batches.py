"""The batches that a recipe's noise model asks for."""

from __future__ import annotations

from rawkd.training.config import Recipe
from rawkd.training.data.awgn import AwgnBatches
from rawkd.training.data.clean import CleanSet
from rawkd.training.data.dataset import NoisyBatches
from rawkd.training.data.synthesize import NoiseShare
from rawkd.training.noise_recipe import AWGN

Batches = NoisyBatches | AwgnBatches


def batches_of(
    pictures: CleanSet | None,
    recipe: Recipe,
    subrange: int,
    *,
    seed: int,
    length: int,
    exact: bool = False,
    weaker: NoiseShare | None = None,
) -> Batches:
    """Batch number -> batch: noisy mosaics, or with "awgn" noisy pictures; see the two classes for the parameters."""
    if recipe.noise.model == AWGN:
        return AwgnBatches(pictures, recipe, subrange, seed=seed, length=length, exact=exact, weaker=weaker)
    return NoisyBatches(pictures, recipe, subrange, seed=seed, length=length, exact=exact, weaker=weaker)
