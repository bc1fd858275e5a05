"""Whether a decoded frame is a picture: damaged files may decode without an error to zeros or to garbage.

Our choice throughout. Noise stands in every frame that a sensor took, around its black level, so exact zeros over whole
blocks are no darkness where black lies above 0; where it is 0, noise is clipped there and only large areas are suspect.
"""

from __future__ import annotations

import numpy as np

from rawkd.errors import InputError
from rawkd.photo import DoubleArray, FrameArray, Levels

BLOCK_PX = 32
MOST_DEAD_BLOCKS = 0.01
MOST_DEAD_BLOCKS_AT_BLACK_0 = 0.25
MOST_DEAD_TAIL_AT_BLACK_0 = 0.1
GARBAGE_SIGNAL = 2.0
MOST_GARBAGE = 1e-3
COPY_AGAIN = "copy it again from the card or use another copy"

PEAK_BINS = 512
PEAK_FACTOR = 8
PEAK_COUNT = 32
LEAST_CLIP = 0.5
SAMPLED_CELLS = 1 << 19


def sound_levels(
    black_dn: DoubleArray,
    white_dn: float,
    saturation_dn: float,
    bits: int,
    row_delta_dn: DoubleArray | None = None,
    column_delta_dn: DoubleArray | None = None,
) -> Levels:
    """The levels that a file claims.

    Raises
    ------
    InputError: they contradict each other.
    """
    try:
        return Levels(black_dn, white_dn, saturation_dn, bits, row_delta_dn, column_delta_dn)
    except InputError as error:
        raise InputError(f"{error}, so it is damaged: {COPY_AGAIN}") from error


def check_frame(area: FrameArray, levels: Levels) -> None:
    """Refuse a frame with large dead regions.

    Parameters
    ----------
    area : (H, W) uint16, the active area in DN.

    Raises
    ------
    InputError: the frame is all zeros, has blocks of zeros that no sensor takes, or many samples far above white.
    """
    if not area.any():
        raise InputError(f"its raw picture is all zeros, so it is damaged: {COPY_AGAIN}")
    black_0 = float(levels.effective_black_dn.min()) < 1
    brightest = _block_maxima(area)
    if brightest.size:
        dead = brightest == 0
        share, allowed = float(dead.mean()), MOST_DEAD_BLOCKS_AT_BLACK_0 if black_0 else MOST_DEAD_BLOCKS
        rows = dead.all(axis=1)
        tail = len(rows) if rows.all() else int(np.argmin(rows[::-1]))
        too_long = tail / len(rows) > MOST_DEAD_TAIL_AT_BLACK_0 if black_0 else rows.any()
        if share > allowed or too_long:
            raise InputError(f"{share:.0%} of its raw picture is empty, so it is cut short or damaged: {COPY_AGAIN}")
    garbage_dn = levels.mean_black_dn + GARBAGE_SIGNAL * levels.range_dn
    if garbage_dn < 2**16 and area.max() > garbage_dn:
        garbage = float(np.count_nonzero(area > garbage_dn)) / area.size
        if garbage > MOST_GARBAGE:
            raise InputError(f"{garbage:.1%} of its samples lie far above white, so it is damaged: {COPY_AGAIN}")


def _block_maxima(area: FrameArray) -> FrameArray:
    """Largest sample of every whole block of BLOCK_PX x BLOCK_PX pixels."""
    rows, columns = (extent // BLOCK_PX for extent in area.shape)
    blocks = area[: rows * BLOCK_PX, : columns * BLOCK_PX].reshape(rows, BLOCK_PX, columns * BLOCK_PX)
    maxima: FrameArray = blocks.max(axis=1).reshape(rows, columns, BLOCK_PX).max(axis=2)
    return maxima


def clip_of(area: FrameArray, white_dn: float) -> float | None:
    """The DN at which the sensor clips below white: the foot of the topmost peak of the frame's histogram, or None.

    Blown areas gather in a narrow peak with nothing above it. Our choice.

    Parameters
    ----------
    area : (H, W) uint16, the active area. white_dn : the file's white level.
    """
    step = max(1, int(np.sqrt(area.size / (4 * SAMPLED_CELLS))))
    cells = np.concatenate([area[r :: 2 * step, c :: 2 * step].ravel() for r in (0, 1) for c in (0, 1)])
    counts, edges = np.histogram(cells, bins=PEAK_BINS, range=(0, white_dn))
    occupied = np.flatnonzero(counts >= PEAK_COUNT)
    if not occupied.size or cells.max() >= white_dn:
        return None
    top = int(occupied[-1])
    peak = top - 2 + int(np.argmax(counts[max(top - 2, 0) : top + 1])) if top >= 2 else top
    below = counts[max(peak - 16, 0) : max(peak - 4, 0)]
    if edges[peak] < LEAST_CLIP * white_dn or not below.size or counts[peak] < PEAK_FACTOR * (below.mean() + 1):
        return None
    foot = peak
    while foot > 0 and counts[foot - 1] > PEAK_FACTOR * (below.mean() + 1):
        foot -= 1
    return float(edges[foot])
