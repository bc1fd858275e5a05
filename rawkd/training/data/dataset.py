"""Batches for training: clean picture -> mosaic -> noise -> k-sigma, ending in the very transform that inference uses.

Batch `index` of a seed is always the same, whatever was drawn before: so a resumed run sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rawkd.photo import FloatArray
from rawkd.render.color import ProcessMetadata
from rawkd.sensor.ksigma import Anchor, KSigma
from rawkd.sensor.noise import NoiseModel
from rawkd.training.config import Recipe
from rawkd.training.data.clean import CleanSet
from rawkd.training.data.clean_crops import Crop, exposed, picture_crop, window_of
from rawkd.training.data.leaves import leaves_scene
from rawkd.training.data.night_sky import sky_crop, with_lamps, with_stars
from rawkd.training.data.synthesize import Camera, NoiseShare, add_noise, draw_camera, told_noise
from rawkd.training.data.wrong_samples import with_wrong_samples

SECOND_NOISE = 1
"""Tells the generator of a batch's second noise from that of all else."""
LEAVES_SCENES, LEAVES_BATCHES = 16, 4
"""Generated scenes that a batch draws from; after so many batches a new scene takes the oldest one's place."""


class Batch(NamedTuple):
    """One training batch; n crops of h x w packed pixels.

    Attributes
    ----------
    noisy, clean : (n, 4, h, w) float32 anchored values. sigma : (n,) rms noise of each crop, anchored.
    black : (n,) the anchor's v / k: anchored values above -black have noise, its variance proportional to the distance.
    scale, offset : (n, 4) of each crop's `KSigma`, to go back to signal.
    white_balance : (n, 3) gains. rgb_from_camera : (n, 3, 3), for losses after the ISP.
    weaker : the same crops with a noise of their own that is weaker, where the strategy asks for it.
    """

    noisy: Tensor
    clean: Tensor
    sigma: Tensor
    black: Tensor
    scale: Tensor
    offset: Tensor
    white_balance: Tensor
    rgb_from_camera: Tensor
    weaker: Batch | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`, pictures channels-last."""

        def moved(tensor: Tensor) -> Tensor:
            there = tensor.to(device, non_blocking=True)
            return there.contiguous(memory_format=torch.channels_last) if there.ndim == 4 else there

        return self._each(moved)

    def first(self, count: int) -> Batch:
        """Its first crops."""
        return self._each(lambda tensor: tensor[:count])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with every tensor changed, those of the weaker noise too."""
        weaker = None if self.weaker is None else self.weaker._each(change)
        return Batch._make([*map(change, self[:-1]), weaker])

    @property
    def metadata(self) -> ProcessMetadata:
        """How the crops are developed."""
        return ProcessMetadata(self.white_balance, self.rgb_from_camera)


@dataclass(frozen=True)
class View:
    """One clean crop, the camera that saw it, what it saw, (4, h, w) signal, and what is told of its noise."""

    crop: Crop
    camera: Camera
    noisy: FloatArray
    told: NoiseModel

    def weaker(self, share: NoiseShare, rng: np.random.Generator) -> View:
        """The same crop with fresh noise of a share of the camera's; what is told errs by the same factors."""
        camera = self.camera.with_noise(share)
        told = NoiseModel(self.told.gain * share.gain, self.told.read_variance * share.read_variance, "synthetic")
        return View(self.crop, camera, add_noise(self.crop.planes, camera, rng), told)

    def values(self, anchor: Anchor) -> tuple[Any, ...]:
        """One crop's values of a `Batch`."""
        ksigma = KSigma.between(self.told, anchor)
        variance = self.camera.gain * float(self.crop.planes.mean()) + self.camera.total_read_variance
        sigma = ksigma.scale.mean() * np.sqrt(variance)
        black = np.float32(anchor.read_variance / anchor.gain)
        anchored = ksigma.apply(self.noisy), ksigma.apply(self.crop.planes), sigma, black, ksigma.scale, ksigma.offset
        return *anchored, self.crop.metadata.gains, self.crop.metadata.rgb_from_camera


class NoisyBatches(Dataset[Batch]):
    """Batch number -> batch.

    Parameters
    ----------
    pictures : where clean crops come from; None for leaves alone. recipe, subrange : what to synthesise.
    seed, length : of the batches. exact : tell the network the true noise, crop anywhere, and no leaves beside pictures
        (validation).
    weaker : shares of gain and read variance of the second noise that `Batch.weaker` is to have; None for no second.
        The first is the same with or without it.
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
        self.pictures = pictures
        self.recipe = recipe
        self.anchor: Anchor = recipe.anchor(subrange)
        self.gains = recipe.training_range(subrange)
        self.seed = seed
        self.length = length
        self.exact = exact
        self.weaker = weaker
        self._scenes: dict[int, FloatArray] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng([self.seed, index])
        views = [self._sample(index, rng) for _ in range(self.recipe.batch)]
        batch = _stack([view.values(self.anchor) for view in views])
        if self.weaker is None:
            return batch
        second = np.random.default_rng([self.seed, index, SECOND_NOISE])
        return batch._replace(weaker=_stack([view.weaker(self.weaker, second).values(self.anchor) for view in views]))

    def _sample(self, index: int, rng: np.random.Generator) -> View:
        noise = self.recipe.noise
        is_sky = self._draws(self.recipe.skies, rng)
        crop = sky_crop(self.recipe.crop_px, rng) if is_sky else self._crop(index, rng)
        near_clean, smoothed = (0.0, 0.0) if self.exact else (noise.near_clean, noise.smoothed)
        camera = draw_camera(rng, *self.gains, near_clean=near_clean, smoothed=smoothed, model=noise.model)
        if is_sky:
            crop = with_stars(crop, camera, rng)
        elif self._draws(self.recipe.lamps, rng):
            crop = with_lamps(crop, rng)
        noisy = add_noise(crop.planes, camera, rng)
        if self._draws(noise.wrong_samples, rng):
            noisy = with_wrong_samples(noisy, crop.planes, camera, rng)
        gain_error, read_error = (0.0, 0.0) if self.exact else (noise.gain_error, noise.read_error)
        told = told_noise(camera, rng, gain_error=gain_error, read_error=read_error)
        return View(crop, camera, noisy, told)

    def _draws(self, share: float, rng: np.random.Generator) -> bool:
        """Whether a crop is one of a share; nothing is drawn for none, so that older recipes keep their batches."""
        return share > 0 and not self.exact and rng.random() < share

    def _crop(self, index: int, rng: np.random.Generator) -> Crop:
        if self.pictures is None or (not self.exact and rng.random() < self.recipe.leaves):
            return self._leaves_crop(index, rng)
        return picture_crop(self.pictures, self.recipe.crop_px, rng, 1 if self.exact else self.recipe.tries)

    def _leaves_crop(self, index: int, rng: np.random.Generator) -> Crop:
        oldest = index // LEAVES_BATCHES
        scene = self._scene(oldest + int(rng.integers(LEAVES_SCENES)), oldest)
        side = 2 * self.recipe.crop_px
        top, left = rng.integers(0, len(scene) - side + 1, 2)
        return exposed(window_of(scene, top, left, side), rng)

    def _scene(self, number: int, oldest: int) -> FloatArray:
        if number not in self._scenes:
            self._scenes = {key: kept for key, kept in self._scenes.items() if oldest <= key < oldest + LEAVES_SCENES}
            generator = np.random.default_rng([self.seed, 1 << 30, number])
            self._scenes[number] = leaves_scene(4 * self.recipe.crop_px, generator)
        return self._scenes[number]


def _stack(samples: list[tuple[Any, ...]]) -> Batch:
    columns = (np.stack(column).astype(np.float32, copy=False) for column in zip(*samples, strict=True))
    tensors: Any = map(torch.from_numpy, columns)
    return Batch(*tensors)
