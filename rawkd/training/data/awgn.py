"""Batches of finished pictures with additive white Gaussian noise: neither unprocessing, nor a mosaic, nor k-sigma.

Source: the field's protocol since DnCNN (Zhang et al., TIP 2017): clean 8-bit pictures, random crops in the eight
symmetries, noise of a known standard deviation that is neither clipped nor rounded. Crops are drawn by area from
pictures that are kept decoded, so nothing is read in between.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset

from rawkd.errors import UsageError
from rawkd.inference.card import CHANNELS
from rawkd.inference.pictures import WHITE, turned, values_of
from rawkd.photo import FloatArray
from rawkd.training.config import Recipe
from rawkd.training.data.augment import random_symmetry
from rawkd.training.data.clean import CleanSet
from rawkd.training.data.crops import draw_window, half_size
from rawkd.training.data.dataset import SECOND_NOISE, Batch
from rawkd.training.data.synthesize import NoiseShare

HALVED = (2 / 3, 1 / 3)
"""Shares of crops whose picture is halved once and twice at least: the pictures of this field are small and sharp."""
WITHOUT_GAIN = 1e6
"""`Batch.black` of noise that does not grow with the signal: far below any value, so that all count alike."""


class AwgnBatches(Dataset[Batch]):
    """Batch number -> batch of pictures, white 1; the same whatever was drawn before.

    Parameters
    ----------
    pictures : where crops come from. recipe, subrange : how many, how large, and at what sigma; uniform in a range.
    seed, length : of the batches. exact : crop anywhere (validation).
    weaker : shares of the variance that the second noise of `Batch.weaker` has (of gains there is nothing to share);
        None for no second. The first is the same with or without it.
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
        self.channels = CHANNELS[recipe.input]
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
    """(n, c, h, w) crops with fresh noise of (n,) standard deviations; scale 1, offset 0: the values are signal."""
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
    """A random crop of a random picture (by area) in a random symmetry, (channels, side, side), white 1.

    Parameters
    ----------
    tries : places that are drawn in the picture; the most detailed is taken (`crops.draw_window`).
    """
    window, halvings = draw_window(pictures.draw(rng), side_px, tries, rng, HALVED)
    for _ in range(halvings):
        window = half_size(window)
    return np.ascontiguousarray(turned(values_of(window, channels), random_symmetry(rng)))
