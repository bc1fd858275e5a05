"""Batches of finished pictures with additive white Gaussian noise. There is no unprocessing, mosaic or k-sigma.

Source: the usual protocol since DnCNN (Zhang et al., TIP 2017): clean 8-bit pictures, random crops in eight symmetries,
noise of a known standard deviation, neither clipped nor rounded. Pictures are drawn in proportion to their area and
stay decoded in memory.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset

from rawkd.errors import UsageError
from rawkd.inference.card import channels_of
from rawkd.inference.pictures import WHITE, turned, values_of
from rawkd.photo import FloatArray
from rawkd.training.config import Recipe
from rawkd.training.data.augment import random_symmetry
from rawkd.training.data.clean import CleanSet
from rawkd.training.data.crops import draw_window, half_size
from rawkd.training.data.dataset import SECOND_NOISE, Batch
from rawkd.training.data.synthesize import NoiseShare

HALVED = (2 / 3, 1 / 3)
"""Fractions of crops whose picture is halved at least once and at least twice. Halved pictures are sharp, like the
small pictures of the usual test sets."""
WITHOUT_GAIN = 1e6
"""Value of `Batch.black` for noise that does not depend on the signal. It is far above any signal, so that all samples
have equal weight."""


class AwgnBatches(Dataset[Batch]):
    """Batches of noisy pictures by index, white 1. A batch depends only on the seed and its index.

    Parameters
    ----------
    pictures : source of the crops. recipe, subrange : number and size of the crops, and sigma (uniform in a range).
    seed : of the batches. length : number of batches. exact : crop at any position (validation).
    weaker : fraction of the variance for the second noise in `Batch.weaker` (the gain does not apply); None for no
        second noise. It does not change the first noise.
    """

    def __init__(
        self,
        pictures: CleanSet | None,
        recipe: Recipe,
        subrange: int,
        *,
        seed: int,
        length: int,
        exact: bool = False,
        weaker: NoiseShare | None = None,
    ) -> None:
        if pictures is None or recipe.leaves:
            raise UsageError(f"recipe {recipe.name} needs pictures: name their folder with --data")
        self.pictures = pictures
        self.recipe = recipe
        self.channels = channels_of(recipe.input)
        self.sigmas = recipe.training_range(subrange)
        self.seed = seed
        self.length = length
        self.exact = exact
        self.weaker = weaker

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng([self.seed, index])
        recipe, tries = self.recipe, 1 if self.exact else self.recipe.tries
        crops = [crop_of_picture(self.pictures, recipe.crop_px, self.channels, rng, tries) for _ in range(recipe.batch)]
        clean = np.stack(crops)
        sigma = rng.uniform(*self.sigmas, len(clean)).astype(np.float32) / np.float32(WHITE)
        batch = _batch(clean, sigma, rng)
        if self.weaker is None:
            return batch
        second = np.random.default_rng([self.seed, index, SECOND_NOISE])
        share = np.float32(np.sqrt(self.weaker.read_variance))
        return batch._replace(weaker=_batch(clean, sigma * share, second))


def _batch(clean: FloatArray, sigma: FloatArray, rng: np.random.Generator) -> Batch:
    """Return a batch of (n, c, h, w) crops with new noise of (n,) standard deviations; scale 1 and offset 0."""
    count, channels = clean.shape[:2]
    noise = rng.standard_normal(clean.shape, np.float32)
    return Batch(
        noisy=torch.from_numpy(clean + sigma[:, None, None, None] * noise),
        clean=torch.from_numpy(clean),
        sigma=torch.from_numpy(sigma),
        black=torch.full((count,), WITHOUT_GAIN),
        scale=torch.ones(count, channels),
        offset=torch.zeros(count, channels),
        white_balance=torch.ones(count, 3),
        rgb_from_camera=torch.eye(3).repeat(count, 1, 1),
    )


def crop_of_picture(
    pictures: CleanSet, side_px: int, channels: int, rng: np.random.Generator, tries: int = 1
) -> FloatArray:
    """Return a random crop in a random symmetry, (channels, side, side) float32, white 1.

    Parameters
    ----------
    pictures : one is drawn, with probability proportional to its area. side_px : side of the crop.
    tries : random positions; the most detailed one is used (`crops.draw_window`).
    """
    window, halvings = draw_window(pictures.draw(rng), side_px, tries, rng, HALVED)
    for _ in range(halvings):
        window = half_size(window)
    return np.ascontiguousarray(turned(values_of(window, channels), random_symmetry(rng)))
