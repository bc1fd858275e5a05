"""Create the training batches for the noise model of a recipe."""

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
    """Return batches of noisy mosaics, or of noisy pictures for "awgn"; the two classes explain the parameters."""
    if recipe.noise.model == AWGN:
        return AwgnBatches(pictures, recipe, subrange, seed=seed, length=length, exact=exact, weaker=weaker)
    return NoisyBatches(pictures, recipe, subrange, seed=seed, length=length, exact=exact, weaker=weaker)
