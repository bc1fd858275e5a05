"""Batches for training: clean picture -> mosaic -> noise -> k-sigma, ending in the very transform that inference uses.

Batch `index` of a seed is always the same, whatever was drawn before: so a resumed run sees what it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from rawkd.photo import FloatArray
from rawkd.sensor.bayer import pack
from rawkd.sensor.ksigma import Anchor, KSigma
from rawkd.training.augment import random_exposure, random_symmetry, turn_picture, turn_planes
from rawkd.training.clean import CleanSet
from rawkd.training.config import Recipe
from rawkd.training.leaves import leaves_scene
from rawkd.training.synthesize import add_noise, draw_camera, told_noise
from rawkd.training.unprocess import camera_mosaic, linearise, random_look

HALF_SIZE_SHARE = 0.3
"""Share of picture crops taken at half size: sharper, and finer than 8 bits."""
LEAVES_SCENES = 64
"""Scenes kept by the leaves generator; another set is made every thousand batches."""


class Batch(NamedTuple):
    """One training batch; n crops of h x w packed pixels.

    Attributes
    ----------
    noisy, clean : (n, 4, h, w) float32 anchored values. sigma : (n,) rms noise of each crop, anchored.
    scale, offset : (n, 4) of each crop's `KSigma`, to go back to signal.
    white_balance : (n, 3) gains. rgb_from_camera : (n, 3, 3), for losses after the ISP.
    """

    noisy: Tensor
    clean: Tensor
    sigma: Tensor
    scale: Tensor
    offset: Tensor
    white_balance: Tensor
    rgb_from_camera: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`, pictures channels-last."""
        moved = [tensor.to(device, non_blocking=True) for tensor in self]
        moved[0], moved[1] = (picture.contiguous(memory_format=torch.channels_last) for picture in moved[:2])
        return Batch(*moved)


@dataclass(frozen=True)
class Crop:
    """One clean crop: (4, h, w) signal and how it would be developed."""

    planes: FloatArray
    white_balance: NDArray[np.float64]
    rgb_from_camera: NDArray[np.float64]


class NoisyBatches(Dataset[Batch]):
    """Batch number -> batch.

    Parameters
    ----------
    pictures : where clean crops come from; None for leaves alone. recipe, subrange : what to synthesise.
    seed : of all batches. exact : tell the network the true noise (validation).
    """

    def __init__(self, pictures: CleanSet | None, recipe: Recipe, subrange: int, *, seed: int, length: int, exact: bool = False) -> None:
        self.pictures = pictures
        self.recipe = recipe
        self.anchor: Anchor = recipe.anchor(subrange)
        self.gains = recipe.training_range(subrange)
        self.seed = seed
        self.length = length
        self.exact = exact
        self._scenes: dict[int, FloatArray] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng([self.seed, index])
        return _stack([self._sample(index, rng) for _ in range(self.recipe.batch)])

    def _sample(self, index: int, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        recipe = self.recipe
        use_leaves = self.pictures is None or rng.random() < recipe.leaves
        crop = self._leaves_crop(index, rng) if use_leaves else picture_crop(self.pictures, recipe.crop_px, rng)  # type: ignore[arg-type]
        camera = draw_camera(rng, *self.gains, near_clean=0.0 if self.exact else recipe.noise.near_clean, model=recipe.noise.model)
        noisy = add_noise(crop.planes, camera, rng)
        errors = (0.0, 0.0) if self.exact else (recipe.noise.gain_error, recipe.noise.read_error)
        told = told_noise(camera, rng, gain_error=errors[0], read_error=errors[1])
        ksigma = KSigma.between(told, self.anchor)
        variance = camera.gain * float(crop.planes.mean()) + camera.total_read_variance
        sigma = np.float32(ksigma.scale.mean() * np.sqrt(variance))
        return (
            ksigma.apply(noisy), ksigma.apply(crop.planes), sigma, ksigma.scale, ksigma.offset,
            crop.white_balance, crop.rgb_from_camera,
        )  # fmt: skip

    def _leaves_crop(self, index: int, rng: np.random.Generator) -> Crop:
        # every thousand batches another set of scenes
        number = int(rng.integers(LEAVES_SCENES)) + LEAVES_SCENES * (index // 1000)
        side = 4 * self.recipe.crop_px
        scene = self._scenes.get(number)
        if scene is None:
            self._scenes = {key: kept for key, kept in self._scenes.items() if key // LEAVES_SCENES == index // 1000}
            scene = self._scenes[number] = leaves_scene(side, np.random.default_rng([self.seed, 1 << 30, number]))
        top, left = rng.integers(0, side - 2 * self.recipe.crop_px + 1, 2)
        return _exposed(_window(scene, top, left, 2 * self.recipe.crop_px), rng)


def picture_crop(pictures: CleanSet, side_px: int, rng: np.random.Generator) -> Crop:
    """A random crop of a random picture (by area) as (4, side, side) signal, turned, exposed and seen by a random camera."""
    picture = pictures.draw(rng)
    if picture.dtype == np.float32:  # a binned raw file
        top, left = (int(rng.integers(0, size - side_px)) for size in picture.shape[1:])
        window = picture[:, top : top + side_px + 1, left : left + side_px + 1]
        planes = turn_planes(window, random_symmetry(rng))[:, :side_px, :side_px]
        look = random_look(rng)
        planes = np.clip(planes * np.float32(random_exposure(rng)), 0, 1)
        return Crop(planes, look.gains, np.linalg.inv(look.camera_from_rgb))
    mosaic_px = 2 * side_px
    half_size = rng.random() < HALF_SIZE_SHARE and min(picture.shape[:2]) >= 2 * mosaic_px
    window_px = 2 * mosaic_px if half_size else mosaic_px
    top, left = (int(rng.integers(0, size - window_px + 1)) for size in picture.shape[:2])
    window = _window(picture, top, left, window_px)
    linear = linear_half_size(window) if half_size else linearise(window)
    return _exposed(linear, rng)


def linear_half_size(picture: NDArray[np.uint8] | NDArray[np.uint16]) -> FloatArray:
    """(2H, 2W, 3) sRGB -> (H, W, 3) linear of the picture averaged 2x2, with the averages' finer steps kept."""
    wide = picture.astype(np.uint32 if picture.dtype == np.uint16 else np.uint16)
    total = wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]
    top = 4 * np.iinfo(picture.dtype).max
    table = linearise(np.arange(top + 1, dtype=np.float32) / np.float32(top))
    return table[total]


def _window(picture: NDArray[Any], top: int, left: int, side: int) -> NDArray[Any]:
    return picture[top : top + side, left : left + side]


def _exposed(linear: FloatArray, rng: np.random.Generator) -> Crop:
    look = random_look(rng)
    mosaic = camera_mosaic(turn_picture(linear, random_symmetry(rng)), look)
    planes = pack(mosaic) * np.float32(random_exposure(rng))
    return Crop(np.clip(planes, 0, 1), look.gains, np.linalg.inv(look.camera_from_rgb))


def _stack(samples: list[tuple[NDArray[Any], ...]]) -> Batch:
    return Batch(*(torch.from_numpy(np.stack(column).astype(np.float32, copy=False)) for column in zip(*samples, strict=True)))
