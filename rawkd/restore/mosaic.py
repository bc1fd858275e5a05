"""Run one mosaic through a network: CFA phase, k-sigma, tiles, local means, and the blend with the noisy mosaic."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from rawkd.inference.card import ModelCard
from rawkd.inference.engine import Engine
from rawkd.inference.self_ensemble import self_ensemble
from rawkd.inference.tile_grid import TileGrid
from rawkd.inference.tiling import denoise_tiled
from rawkd.photo import CFAPattern, DoubleArray, FloatArray, Mosaic
from rawkd.restore.blend import blend
from rawkd.restore.blotches import remove_blotches
from rawkd.restore.local_mean import keep_local_mean
from rawkd.restore.options import DenoiseOptions
from rawkd.sensor.cfa import Unification, unify
from rawkd.sensor.ksigma import KSigma
from rawkd.sensor.noise import NoiseModel

Progress = Callable[[float], None]
"""Called with the fraction of the work that is done, 0..1."""


SMALL_SHARE = 0.1
"""Time of the look at the small photo, as a part of that at the large one (24 MP: one or two tiles of 12 to 24)."""


def no_progress(_part: float) -> None:
    """Do nothing."""


def restore_mosaic(
    noisy: Mosaic,
    noise: NoiseModel,
    card: ModelCard,
    engine: Engine,
    options: DenoiseOptions,
    progress: Progress = no_progress,
    *,
    floor: float,
    saturation: float | DoubleArray,
    neutral: DoubleArray | None = None,
) -> Mosaic:
    """Denoise a mosaic with a student and blend the result with the noisy mosaic as the options ask.

    Parameters
    ----------
    noisy : (H, W) signal of any CFA phase and size. noise : its noise model.
    card, engine : the student's model card and the engine that runs it.
    floor : signal of the file's smallest integer.
    saturation : signal at which the sensor clips; (side, side), one per site of the CFA cell, where sites differ.
    neutral : (3,) as-shot neutral, for luma and chroma; None uses the channels as they are.

    Returns
    -------
    Mosaic of the same shape and phase.
    """
    unified, unification = unify(noisy)
    ksigma = KSigma.between(noise, card.anchor)
    cell = unification.cell
    rounds = _Rounds(progress, [1.0] * options.ensemble + [SMALL_SHARE])

    def denoise_once(mosaic: FloatArray, ksigma: KSigma = ksigma) -> FloatArray:
        return denoise_tiled(engine, mosaic, ksigma, card, rounds.next_round())

    exchanged = partial(denoise_once, ksigma=ksigma.exchanged())
    clean = self_ensemble(denoise_once, unified, options.ensemble, cell, exchanged)

    def denoise_small(mosaic: FloatArray, noise: NoiseModel) -> FloatArray:
        return denoise_tiled(
            engine, mosaic, KSigma.between(noise, card.anchor), card, rounds.next_round(), large=unified.shape
        )

    lowest, threads = float(np.min(saturation)), options.threads
    correct_means(unified, clean, noise, denoise_small, floor=floor, saturation=lowest, cell=cell, threads=threads)
    progress(1.0)
    restored = Mosaic(np.ascontiguousarray(unification.undo(clean)), noisy.pattern)
    return blend(
        noisy,
        restored,
        noise,
        saturation=saturation,
        strength=options.strength,
        luma=options.luma,
        chroma=options.chroma,
        neutral=neutral,
        overwrite=True,
        threads=threads,
    )


def correct_means(
    noisy: FloatArray,
    restored: FloatArray,
    noise: NoiseModel,
    denoise: Callable[[FloatArray, NoiseModel], FloatArray],
    *,
    floor: float,
    saturation: float,
    cell: CFAPattern,
    threads: int | None = None,
) -> FloatArray:
    """Correct what is larger than a network can see, in place: blotches of noise, then the means of large areas.

    Parameters
    ----------
    noisy, restored : (H, W) float32 signal, whole cells of the canonical pattern `cell`. noise : of `noisy`.
    denoise : runs the network on a mosaic with the given noise.
    floor : signal of the file's smallest integer. saturation : signal at which the sensor clips.
    threads : number of threads; None is one for each core that the process may use.

    Returns
    -------
    `restored`, changed.
    """
    remove_blotches(noisy, restored, noise, denoise, floor=floor, saturation=saturation, cell=cell, threads=threads)
    return keep_local_mean(noisy, restored, noise, floor=floor, saturation=saturation, cell=cell, threads=threads)


def tile_shape(shape: tuple[int, int], pattern: CFAPattern, card: ModelCard) -> tuple[int, int, int, int]:
    """Return the shape of the tiles that a student sees of an (H, W) mosaic, (1, channels, h, w) packed pixels.

    Those of a self-ensemble may differ where a symmetry shifts the CFA phase.
    """
    padding = Unification.of(shape, pattern)
    height, width = shape[0] + padding.top + padding.bottom, shape[1] + padding.left + padding.right
    side = padding.cell.side
    grid = TileGrid.of(height // side, width // side, card)
    return 1, card.channels, grid.rows.size, grid.columns.size


class _Rounds:
    """Combines the progress of several looks at a photo into one that rises from 0 to 1."""

    def __init__(self, progress: Progress, shares: list[float]) -> None:
        self._progress = progress
        self._shares = shares
        self._begun = 0

    def next_round(self) -> Callable[[int, int], None]:
        """Return the callback of the next look; it takes the number of finished tiles and of all tiles."""
        before, share = sum(self._shares[: self._begun]), self._shares[self._begun]
        self._begun += 1
        return lambda done, total: self._progress((before + share * done / total) / sum(self._shares))
