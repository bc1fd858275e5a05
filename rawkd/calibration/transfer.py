"""Photon transfer: measure the noise of a still scene from differences between frames.

Source: PMRID, Wang et al., ECCV 2020, section 3.1 (temporal mean and variance of a burst). Our additions make it robust
against drifting light, row noise and fixed patterns: variances are measured in small blocks, after the frames are
matched in brightness and the row and column means of each block are removed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawkd.calibration.frame_sample import (
    FrameSample,
    is_dark,
    of_classes,
    planes_of_classes,
    rows_of_classes,
    without_lines,
)
from rawkd.photo import CFAPattern, DoubleArray, FloatArray

LARGEST_DRIFT = 0.05
"""Largest relative brightness change within a burst; a frame with a larger change belongs to another burst."""
SAME_SCENE = 0.01
"""Largest median relative change of the block levels, after brightness matching and beyond noise, in one scene."""
ODD_NOISE = 0.15
"""Relative difference of a frame's noise from its burst above which the frame counts as having another ISO."""
MOVED_BLOCK, MOVED_SHARE = 1.6, 0.03
"""Something moved in a frame if more than this share of its blocks have more than 1.6 times the usual noise energy."""
CLIP_SIGMAS = 5.0


@dataclass(frozen=True, eq=False)
class TransferPoints:
    """Levels and noise variances measured in one burst.

    Attributes
    ----------
    cell : canonical pattern of the frames. block_px : side of a block in pixels of a plane.
    level, variance : (n, classes) float64 of the unclipped blocks, signal and squared signal, without row and column
        noise.
    num_frames : number of frames in the burst.
    row_variance, row_weight : variance of row noise, squared signal, by chance negative if there is none; and its
        inverse error variance, up to a factor common to all bursts.
    num_rows : number of rows of each plane that contain blocks.
    clipped_share : share of the blocks left out because of clipping. dark : whether the frames are dark.
    """

    cell: CFAPattern
    block_px: int
    level: DoubleArray
    variance: DoubleArray
    num_frames: int
    row_variance: float
    row_weight: float
    num_rows: int
    clipped_share: float
    dark: bool

    @property
    def level_variance(self) -> DoubleArray:
        """Error variance of each level, (n, classes): white noise and row noise left in the mean of all samples."""
        if self.dark:  # the level is the mean of the whole burst
            return np.zeros_like(self.variance)
        rows = max(self.row_variance, 0) / self.block_px / self.num_frames / rows_of_classes(self.cell)
        return self.variance / self.num_samples + rows

    @property
    def offset_variance(self) -> DoubleArray:
        """Error variance of an offset common to all levels of a class in the burst, (classes,)."""
        white = float(self.variance.mean()) / max(self.level.shape[0], 1) / self.num_samples
        rows = max(self.row_variance, 0) / self.num_rows / self.num_frames / rows_of_classes(self.cell)
        return np.asarray(white + rows)

    @property
    def dof(self) -> DoubleArray:
        """Degrees of freedom of each variance, (classes,)."""
        return (self.num_frames - 1) * (self.block_px - 1) ** 2 * planes_of_classes(self.cell)

    @property
    def num_samples(self) -> DoubleArray:
        """Number of samples behind each variance, (classes,)."""
        return self.num_frames * self.block_px**2 * planes_of_classes(self.cell)


def find_bursts(frames: list[FrameSample]) -> list[list[FrameSample]]:
    """Sort frames of one exposure setting into bursts of the same scene and light; the order is kept."""
    bursts: list[list[FrameSample]] = []
    for frame in frames:
        home = next((burst for burst in bursts if _same_scene(burst[0], frame)), None)
        if home is None:
            bursts.append([frame])
        else:
            home.append(frame)
    return bursts


def odd_frames(burst: list[FrameSample]) -> tuple[list[FrameSample], dict[str, str]]:
    """Return the frames of a burst of three or more that agree, and by name the reasons against the others."""
    kept, odd = list(burst), {}
    while len(kept) > 2:
        reason = _worst(kept)
        if reason is None:
            break
        place, message = reason
        odd[kept.pop(place).name] = message
    return kept, odd


def transfer_points(burst: list[FrameSample]) -> TransferPoints:
    """Measure level, temporal variance and row noise of a burst of two or more frames."""
    deviations, level_of_planes = _deviations(burst)
    cell, side = burst[0].cell, deviations.shape[-1]
    of_planes = np.square(without_lines(deviations)).sum(axis=(0, 3, 4), dtype=np.float64)
    of_planes /= (len(burst) - 1) * (side - 1) ** 2
    level, variance = of_classes(level_of_planes, cell), of_classes(of_planes, cell)
    rows = deviations.mean(axis=4, dtype=np.float64)
    steps = np.square(np.diff(rows, axis=3)).sum(axis=(0, 3)) / (2 * (side - 1) * (len(burst) - 1))
    keep = ~_clipped(burst, level, variance)
    dark = bool(is_dark(burst[0]).all())
    if dark:
        level = np.broadcast_to(level.mean(axis=0), level.shape)  # without light, blocks differ by row noise only
    weights = 1 / np.maximum(variance[keep], np.finfo(np.float32).tiny) ** 2
    shared = of_classes(steps - of_planes / side, cell)[keep]
    return TransferPoints(
        cell=cell,
        block_px=side,
        level=level[keep],
        variance=variance[keep],
        num_frames=len(burst),
        row_variance=float(np.average(shared, weights=weights)) if keep.any() else 0.0,
        num_rows=burst[0].num_rows,
        row_weight=float(weights.sum()) * (len(burst) - 1),
        clipped_share=1 - float(keep.mean()),
        dark=dark,
    )


def _same_scene(one: FrameSample, other: FrameSample) -> bool:
    """Whether two frames show the same scene in the same light; differences due to noise are ignored."""
    if one.blocks.shape != other.blocks.shape:
        return False
    first, second = one.levels, other.levels
    noise = float(np.median(without_lines(other.blocks - one.blocks).std(axis=(2, 3)))) / one.blocks.shape[-1]
    light = first.mean(axis=0)
    change = second.mean(axis=0) - light
    if (np.abs(change) > LARGEST_DRIFT * np.abs(light) + 5 * noise).any():
        return False
    left = np.abs(second - first * _brightness(one, other))
    return bool(np.median(left - SAME_SCENE * np.abs(first)) < 3 * noise)


def _brightness(reference: FrameSample, frame: FrameSample) -> DoubleArray:
    """Return the brightness of each plane relative to the reference, (planes,); 1 for a dark plane."""
    dark, light = is_dark(reference), reference.levels.mean(axis=0)
    return np.where(dark, 1.0, frame.levels.mean(axis=0) / np.where(dark, 1.0, light))


def _deviations(burst: list[FrameSample]) -> tuple[FloatArray, DoubleArray]:
    """Return frames minus their brightness-matched mean, (N, n, planes, side, side), and the mean levels, (n, planes).

    The mean is scaled to the brightness of each frame and subtracted. The frames are not scaled, since that would scale
    their noise. A single frame as the reference instead of the mean would bias the variances linearly in the drift.
    """
    levels = np.stack([frame.levels for frame in burst])
    light = levels.mean(axis=(0, 1))
    ratio = np.where(is_dark(burst[0]), 1.0, levels.mean(axis=1) / np.where(light == 0, 1.0, light))
    stack = np.stack([frame.blocks for frame in burst])
    mean = stack.mean(axis=0)
    for k, share in enumerate(ratio.astype(np.float32)):
        stack[k] -= mean * share[:, None, None]
    return stack, levels.mean(axis=0)


def _clipped(burst: list[FrameSample], level: DoubleArray, variance: DoubleArray) -> NDArray[np.bool_]:
    """Return for each block whether one of its classes is close to clipping, (n,).

    Uses the level and the noise, and the share of saturated samples only if it is above 0.2 %. Dropping blocks because
    of single noisy samples would lower the variance of the remaining ones.
    """
    reach = CLIP_SIGMAS * np.sqrt(variance)
    high = level + reach >= min(frame.saturation for frame in burst)
    low = level - reach <= max(frame.floor for frame in burst)
    blown = np.mean([(frame.blocks >= frame.saturation).mean(axis=(2, 3)) for frame in burst], axis=0)
    ends = of_classes(blown, burst[0].cell) > 0.002
    return np.asarray((high | low | ends).any(axis=1))


def _worst(burst: list[FrameSample]) -> tuple[int, str] | None:
    """Return the index of the frame that differs most from its burst and the reason, or None if all agree."""
    deviations, _ = _deviations(burst)
    energy = np.square(without_lines(deviations)).sum(axis=(2, 3, 4), dtype=np.float64)
    ratio = energy / np.maximum(np.median(energy, axis=0), np.finfo(np.float32).tiny)
    usual = np.median(ratio, axis=1)
    moved = (ratio > MOVED_BLOCK * usual[:, None]).mean(axis=1)
    if moved.max() > MOVED_SHARE:
        return int(moved.argmax()), "something moved in it that did not move in the other frames"
    # The subtracted mean contains every frame, which makes the ratios too similar.
    share = 1 / len(burst)
    noise = (usual - share) / (1 - share)
    place = int(np.abs(np.log(np.maximum(noise, 1e-3))).argmax())
    if abs(noise[place] - 1) > ODD_NOISE:
        factor = f"{noise[place]:.2f} times"
        return place, f"its noise variance is {factor} that of the other frames, so its ISO is probably mislabelled"
    return None
