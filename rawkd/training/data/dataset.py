"""Training batches: clean picture -> mosaic -> noise -> k-sigma, the same transform as in inference.

A batch depends only on the seed and its index, so a resumed run sees the same batches as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rawkd.photo import CFAPattern, FloatArray, Kind
from rawkd.render.color import ProcessMetadata
from rawkd.sensor.ksigma import Anchor, KSigma
from rawkd.sensor.noise import NoiseModel
from rawkd.training.config import Recipe
from rawkd.training.data.clean import CleanSet
from rawkd.training.data.clean_crops import Crop, exposed, picture_crop, window_of
from rawkd.training.data.leaves import bars_scene, leaves_scene
from rawkd.training.data.night_sky import sky_crop, with_lamps, with_stars
from rawkd.training.data.synthesize import Camera, NoiseShare, add_noise, draw_camera, estimated_noise
from rawkd.training.data.wrong_samples import with_wrong_samples

SECOND_NOISE = 1
"""Extra seed of the random generator of a batch's second noise."""
LEAVES_SCENES, LEAVES_BATCHES = 16, 4
"""Number of generated scenes that a batch draws from, and number of batches after which a new scene replaces the
oldest."""
BARS_EVERY = 14
"""One of so many generated scenes is of bars."""


class Batch(NamedTuple):
    """One training batch of n crops of h x w packed pixels.

    Attributes
    ----------
    noisy, clean : (n, planes, h, w) float32 anchored values. sigma : (n,) rms noise of each crop, anchored values.
    black : (n,) v / k of the anchor; the noise variance of an anchored value y is proportional to y + black.
    scale, offset : (n, planes) of each crop's `KSigma`, to convert back to signal.
    white_balance : (n, 3) gains. rgb_from_camera : (n, 3, 3), for losses after the ISP.
    weaker : the same crops with other, weaker noise, if the strategy uses it.
    cfa : kind of sensor of the mosaics; without meaning for pictures.
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
    cfa: Kind = "bayer"

    def to(self, device: torch.device) -> Batch:
        """Return the batch on `device`, pictures in channels-last format."""

        def moved(tensor: Tensor) -> Tensor:
            there = tensor.to(device, non_blocking=True)
            return there.contiguous(memory_format=torch.channels_last) if there.ndim == 4 else there

        return self._each(moved)

    def first(self, count: int) -> Batch:
        """Return a batch of the first `count` crops."""
        return self._each(lambda tensor: tensor[:count])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Return the batch with every tensor changed, including those of `weaker`."""
        *tensors, weaker, cfa = self
        return Batch._make([*map(change, tensors), None if weaker is None else weaker._each(change), cfa])

    @property
    def metadata(self) -> ProcessMetadata:
        """White balance and colour matrices to develop the crops."""
        return ProcessMetadata(self.white_balance, self.rgb_from_camera)


@dataclass(frozen=True)
class View:
    """One crop as a camera recorded it.

    Attributes
    ----------
    crop : the clean crop. camera : its noise. noisy : (planes, h, w) signal.
    estimate : noise parameters with the errors of an estimator. cell : the CFA.
    """

    crop: Crop
    camera: Camera
    noisy: FloatArray
    estimate: NoiseModel
    cell: CFAPattern = CFAPattern.RGGB

    def weaker(self, share: NoiseShare, rng: np.random.Generator) -> View:
        """Return the crop with new noise, a fraction of the camera's; the estimate has the same relative errors."""
        camera = self.camera.with_noise(share)
        own = self.estimate
        estimate = NoiseModel(own.gain * share.gain, own.read_variance * share.read_variance, "synthetic")
        return View(self.crop, camera, add_noise(self.crop.planes, camera, rng), estimate, self.cell)

    def values(self, anchor: Anchor) -> tuple[Any, ...]:
        """Return this crop's values of the tensors of a `Batch`."""
        ksigma = KSigma.between(self.estimate, anchor).spread(self.cell)
        variance = self.camera.gain * float(self.crop.planes.mean()) + self.camera.total_read_variance
        sigma = ksigma.scale.mean() * np.sqrt(variance)
        black = np.float32(anchor.read_variance / anchor.gain)
        anchored = ksigma.apply(self.noisy), ksigma.apply(self.crop.planes), sigma, black, ksigma.scale, ksigma.offset
        return *anchored, self.crop.metadata.gains, self.crop.metadata.rgb_from_camera


class NoisyBatches(Dataset[Batch]):
    """Batches of noisy mosaics by index.

    Parameters
    ----------
    pictures : source of the clean crops; None for dead leaves only. recipe, subrange : what to synthesise.
    seed : of the batches. length : number of batches.
    exact : for validation: the true noise parameters, crops at any position, no generated scenes if there are pictures.
    weaker : fractions of gain and read variance for the second noise in `Batch.weaker`; None for no second noise. It
        does not change the first noise.
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
        self.cell = recipe.cell
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
        batch = self._stacked(views)
        if self.weaker is None:
            return batch
        second = np.random.default_rng([self.seed, index, SECOND_NOISE])
        return batch._replace(weaker=self._stacked([view.weaker(self.weaker, second) for view in views]))

    def _stacked(self, views: list[View]) -> Batch:
        columns = zip(*(view.values(self.anchor) for view in views), strict=True)
        tensors: Any = [torch.from_numpy(np.stack(column).astype(np.float32, copy=False)) for column in columns]
        return Batch(*tensors)._replace(cfa=self.cell.kind)

    def _sample(self, index: int, rng: np.random.Generator) -> View:
        noise = self.recipe.noise
        is_sky = self._draws(self.recipe.skies, rng)
        crop = sky_crop(self.recipe.crop_px, rng, self.cell) if is_sky else self._crop(index, rng)
        near_clean, smoothed = (0.0, 0.0) if self.exact else (noise.near_clean, noise.smoothed)
        camera = draw_camera(rng, *self.gains, near_clean=near_clean, smoothed=smoothed, model=noise.model)
        if is_sky:
            crop = with_stars(crop, camera, rng, self.cell)
        elif self._draws(self.recipe.lamps, rng):
            crop = with_lamps(crop, camera, rng, self.cell)
        noisy = add_noise(crop.planes, camera, rng)
        if self._draws(noise.wrong_samples, rng):
            noisy = with_wrong_samples(noisy, crop.planes, camera, rng, noise.hottest)
        gain_error, read_error = (0.0, 0.0) if self.exact else (noise.gain_error, noise.read_error)
        estimate = estimated_noise(camera, rng, gain_error=gain_error, read_error=read_error, cell=self.cell)
        return View(crop, camera, noisy, estimate, self.cell)

    def _draws(self, share: float, rng: np.random.Generator) -> bool:
        """Return True with probability `share`, never in validation.

        A share of 0 draws no random number, so that recipes without it keep their batches.
        """
        return share > 0 and not self.exact and rng.random() < share

    def _crop(self, index: int, rng: np.random.Generator) -> Crop:
        if self.pictures is None or (not self.exact and rng.random() < self.recipe.leaves):
            return self._leaves_crop(index, rng)
        tries = 1 if self.exact else self.recipe.tries
        return picture_crop(self.pictures, self.recipe.crop_px, rng, tries, cell=self.cell)

    def _leaves_crop(self, index: int, rng: np.random.Generator) -> Crop:
        oldest = index // LEAVES_BATCHES
        scene = self._scene(oldest + int(rng.integers(LEAVES_SCENES)), oldest)
        side = self.recipe.crop_side_px
        top, left = rng.integers(0, len(scene) - side + 1, 2)
        return exposed(window_of(scene, top, left, side), rng, self.cell)

    def _scene(self, number: int, oldest: int) -> FloatArray:
        if number not in self._scenes:
            self._scenes = {key: kept for key, kept in self._scenes.items() if oldest <= key < oldest + LEAVES_SCENES}
            generator = np.random.default_rng([self.seed, 1 << 30, number])
            draw = bars_scene if number % BARS_EVERY == BARS_EVERY - 1 else leaves_scene
            self._scenes[number] = draw(2 * self.recipe.crop_side_px, generator)
        return self._scenes[number]
