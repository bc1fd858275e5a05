"""Photon transfer: measure the noise of a still scene from differences between frames.

Source: PMRID, Wang et al., ECCV 2020, section 3.1 (temporal mean and variance of a burst). Our additions make it robust
against drifting light, row noise and fixed patterns: variances are measured in small blocks, after the frames are
matched in brightness and the row and column means of each block are removed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import DoubleArray, FloatArray, RawPhoto
from rawkd.sensor.cfa import Unification

SIDE = 16
"""Side of a block in packed pixels."""
LARGEST_DRIFT = 0.05
"""Largest relative brightness change within a burst; a frame with a larger change belongs to another burst."""
SAME_SCENE = 0.01
"""Largest median relative change of the block levels, after brightness matching and beyond noise, in one scene."""
ODD_NOISE = 0.15
"""Relative difference of a frame's noise from its burst above which the frame counts as having another ISO."""
MOVED_BLOCK, MOVED_SHARE = 1.6, 0.03
"""Something moved in a frame if more than this share of its blocks have more than 1.6 times the usual noise energy."""
CLIP_SIGMAS = 5.0

DARK = 0.5
"""Ratio of signal to single-pixel noise below which a frame counts as dark."""


@dataclass(frozen=True, eq=False)
class FrameSample:
    """Blocks of one frame.

    Attributes
    ----------
    name : file name. blocks : (n, 4, 16, 16) float32 signal of R, Gr, Gb, B, at the same positions in every frame.
    num_rows : number of rows of each plane that contain blocks.
    saturation, floor : signal at or above which, and at or below which, a sample is clipped.
    """

    name: str
    blocks: FloatArray
    num_rows: int
    saturation: float
    floor: float

    @property
    def levels(self) -> DoubleArray:
        """Mean signal of the blocks, (n, 4)."""
        return np.asarray(self.blocks.mean(axis=(2, 3), dtype=np.float64))


@dataclass(frozen=True, eq=False)
class TransferPoints:
    """Levels and noise variances measured in one burst.

    Attributes
    ----------
    level, variance : (n, 4) float64 of the unclipped blocks, signal and squared signal, without row and column noise.
    num_frames : number of frames in the burst.
    row_variance, row_weight : variance of row noise, squared signal, by chance negative if there is none; and its
        inverse error variance, up to a factor common to all bursts.
    num_rows : number of rows of each plane that contain blocks.
    clipped_share : share of the blocks left out because of clipping. dark : whether the frames are dark.
    """

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
        """Error variance of each level, (n, 4): white noise and row noise left in the mean of all samples."""
        if self.dark:  # the level is the mean of the whole burst
            return np.zeros_like(self.variance)
        rows = max(self.row_variance, 0) / SIDE / self.num_frames
        return self.variance / self.num_samples + rows

    @property
    def offset_variance(self) -> float:
        """Error variance of an offset common to all levels of the burst."""
        white = float(self.variance.mean()) / max(self.level.shape[0], 1) / self.num_samples
        return float(white + max(self.row_variance, 0) / self.num_rows / self.num_frames)

    @property
    def dof(self) -> int:
        """Degrees of freedom of each variance."""
        return (self.num_frames - 1) * (SIDE - 1) ** 2

    @property
    def num_samples(self) -> int:
        """Number of samples behind each variance."""
        return self.num_frames * SIDE**2


def sample_frame(photo: RawPhoto, name: str, num_blocks: int) -> FrameSample:
    """Return at most about `num_blocks` blocks of a frame, spread evenly over its active area."""
    photo.pattern.require_bayer(f"{name}: calibration")
    levels, padding = photo.levels, Unification.of((0, 0), photo.pattern)
    data = photo.mosaic.data[padding.top :, padding.left :]
    side = 2 * SIDE
    rows, columns = data.shape[0] // side, data.shape[1] // side
    grid = data[: rows * side, : columns * side].reshape(rows, SIDE, 2, columns, SIDE, 2)
    thin = min(1.0, float(np.sqrt(num_blocks / max(rows * columns, 1))))
    if rows and columns:
        chosen = np.linspace(0, rows - 1, max(1, round(rows * thin))).astype(int)
        rows, grid = len(chosen), grid[chosen]
        grid = grid[:, :, :, np.linspace(0, columns - 1, max(1, round(columns * thin))).astype(int)]
    blocks = grid.transpose(0, 3, 2, 5, 1, 4).reshape(-1, 4, SIDE, SIDE)
    half_dn = 0.5 / levels.range_dn
    ends = levels.saturation - half_dn, levels.floor + half_dn
    return FrameSample(name, np.ascontiguousarray(blocks), rows * SIDE, *ends)


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
    deviations, level = _deviations(burst)
    variance = np.square(_white(deviations)).sum(axis=(0, 3, 4), dtype=np.float64)
    variance /= (len(burst) - 1) * (SIDE - 1) ** 2
    rows = deviations.mean(axis=4, dtype=np.float64)
    steps = np.square(np.diff(rows, axis=3)).sum(axis=(0, 3)) / (2 * (SIDE - 1) * (len(burst) - 1))
    keep = ~_clipped(burst, level, variance)
    dark = bool(is_dark(burst[0]).all())
    if dark:
        level = np.broadcast_to(level.mean(axis=0), level.shape)  # without light, blocks differ by row noise only
    weights = 1 / np.maximum(variance[keep], np.finfo(np.float32).tiny) ** 2
    shared = (steps - variance / SIDE)[keep]
    return TransferPoints(
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
    noise = float(np.median(_white(other.blocks - one.blocks).std(axis=(2, 3)))) / SIDE
    light = first.mean(axis=0)
    change = second.mean(axis=0) - light
    if (np.abs(change) > LARGEST_DRIFT * np.abs(light) + 5 * noise).any():
        return False
    left = np.abs(second - first * _brightness(one, other))
    return bool(np.median(left - SAME_SCENE * np.abs(first)) < 3 * noise)


def is_dark(frame: FrameSample) -> NDArray[np.bool_]:
    """Return for each plane whether its mean signal is below half its noise, (4,), as with the lens cap on."""
    spread = np.sqrt(np.square(_white(frame.blocks)).mean(axis=(0, 2, 3)))
    return np.asarray(np.abs(frame.levels.mean(axis=0)) < DARK * spread)


def _brightness(reference: FrameSample, frame: FrameSample) -> DoubleArray:
    """Return the brightness of each plane relative to the reference, (4,); 1 for a dark plane."""
    dark, light = is_dark(reference), reference.levels.mean(axis=0)
    return np.where(dark, 1.0, frame.levels.mean(axis=0) / np.where(dark, 1.0, light))


def _deviations(burst: list[FrameSample]) -> tuple[FloatArray, DoubleArray]:
    """Return frames minus their brightness-matched mean, (N, n, 4, 16, 16), and the mean levels, (n, 4).

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


def _white(blocks: FloatArray) -> FloatArray:
    """Return the blocks without their row and column means."""
    rows, columns = blocks.mean(axis=-1, keepdims=True), blocks.mean(axis=-2, keepdims=True)
    return np.asarray(blocks - rows - columns + rows.mean(axis=-2, keepdims=True))


def _clipped(burst: list[FrameSample], level: DoubleArray, variance: DoubleArray) -> NDArray[np.bool_]:
    """Return for each block whether one of its planes is close to clipping, (n,).

    Uses the level and the noise, and the share of saturated samples only if it is above 0.2 %. Dropping blocks because
    of single noisy samples would lower the variance of the remaining ones.
    """
    reach = CLIP_SIGMAS * np.sqrt(variance)
    high = level + reach >= min(frame.saturation for frame in burst)
    low = level - reach <= max(frame.floor for frame in burst)
    ends = np.mean([(frame.blocks >= frame.saturation).mean(axis=(2, 3)) for frame in burst], axis=0) > 0.002
    return np.asarray((high | low | ends).any(axis=1))


def _worst(burst: list[FrameSample]) -> tuple[int, str] | None:
    """Return the index of the frame that differs most from its burst and the reason, or None if all agree."""
    deviations, _ = _deviations(burst)
    energy = np.square(_white(deviations)).sum(axis=(2, 3, 4), dtype=np.float64)
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
