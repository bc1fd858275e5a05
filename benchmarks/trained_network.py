"""A trained network that restores clean scenes after making them noisy, for the scripts of this folder."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from rawkd.inference.lights import find_lights
from rawkd.photo import CFAPattern, FloatArray
from rawkd.restore.local_mean import keep_local_mean
from rawkd.restore.mosaic import correct_means
from rawkd.sensor.cfa import pack, padded, unpack
from rawkd.sensor.ksigma import KSigma
from rawkd.sensor.noise import NoiseModel
from rawkd.training.data.synthesize import Camera, add_noise
from rawkd.training.saved.trained import find_trained, load_trained

MOST_PIXELS = 1 << 20
"""Pixels that a network restores at a time."""
WHOLE_CELLS = 16
"""A multiple of the strides of every network, cells."""
WHOLE = (slice(None), slice(None))


class TrainedNetwork:
    """A shipped model by name, or the folder of a model, a run or a snapshot, in float32."""

    def __init__(self, name: str) -> None:
        self._card = find_trained(name)
        self._network = load_trained(self._card).float().eval()
        self.subrange = self._card.subrange
        self.cell = CFAPattern.of_kind(self._card.cfa)

    def planes(self, noisy: FloatArray, camera: Camera) -> FloatArray:
        """Noisy signal (..., planes, h, w) -> restored, with the true noise parameters; the network alone."""
        ksigma = KSigma.between(camera.noise_model(self.cell), self._card.anchor).spread(self.cell)
        pictures = noisy.reshape(-1, *noisy.shape[-3:])
        number = max(1, MOST_PIXELS // pictures[0].size)
        parts = [self._run(ksigma.apply(pictures[first : first + number])) for first in range(0, len(pictures), number)]
        return np.asarray(ksigma.invert(np.concatenate(parts)), np.float32).reshape(noisy.shape)

    def restored(
        self, noisy: FloatArray, camera: Camera, *, dims_lights: bool = True, removes_blotches: bool = True
    ) -> FloatArray:
        """Noisy mosaics (..., H, W) -> restored as by `rawkd denoise`: dimmed lights, no blotches, local means."""
        mosaics = noisy.reshape(-1, *noisy.shape[-2:])
        noise = camera.noise_model(self.cell)
        ksigma = KSigma.between(noise, self._card.anchor)
        of_planes = ksigma.spread(self.cell)
        found = []
        for before in mosaics:
            seen = of_planes.apply(pack(before, self.cell.side))
            lights = find_lights(before, ksigma, self._card.anchor, self.cell) if dims_lights else None
            clean = lights.restore(self._run, seen, 0, 0, WHOLE) if lights else self._run(seen[None])[0]
            after = unpack(np.asarray(of_planes.invert(clean), np.float32))
            limits = {"floor": floor_of(camera), "saturation": 1.0}
            if removes_blotches:
                correct_means(before, after, noise, self._small, **limits, cell=self.cell)
            else:
                keep_local_mean(before, after, noise, **limits, cell=self.cell)
            found.append(after)
        return np.stack(found).reshape(noisy.shape)

    def _small(self, mosaic: FloatArray, noise: NoiseModel) -> FloatArray:
        """A mosaic of any number of whole cells with the given noise, without dimmed lights."""
        height, width = mosaic.shape
        whole = WHOLE_CELLS * self.cell.side
        wide = padded(mosaic, self.cell, (0, -height % whole), (0, -width % whole))
        ksigma = KSigma.between(noise, self._card.anchor).spread(self.cell)
        clean = self._run(ksigma.apply(pack(wide, self.cell.side))[None])[0]
        return unpack(np.asarray(ksigma.invert(clean), np.float32))[:height, :width]

    def _run(self, planes: FloatArray) -> FloatArray:
        with torch.no_grad():
            return np.asarray(self._network(torch.from_numpy(planes)).numpy())


def noisy_mosaics(clean: Any, camera: Camera, seed: int) -> FloatArray:
    """Clean mosaics (..., H, W) with noise."""
    mosaics = np.asarray(clean, np.float32).reshape(-1, *np.shape(clean)[-2:])
    planes = add_noise(np.stack([pack(one) for one in mosaics]), camera, np.random.default_rng(seed))
    return np.stack([unpack(one) for one in planes]).reshape(np.shape(clean))


def floor_of(camera: Camera) -> float:
    """Signal of the smallest integer."""
    return -camera.black_dn / (camera.white_dn or 1)


def deviation(camera: Camera, level: float) -> float:
    """Standard deviation of the noise at a level, signal."""
    return float(np.sqrt(camera.gain * level + camera.total_read_variance))
