"""Check that a decoded frame is a plausible picture: damaged files can decode without an error to zeros or garbage.

All of this is our choice. Every sensor frame has noise around its black level. If black lies above 0, whole blocks of
exact zeros are therefore damage, not darkness. If black is 0, noise is clipped there, and only large areas are suspect.
"""

from __future__ import annotations

import numpy as np

from rawkd.errors import InputError
from rawkd.photo import DoubleArray, FrameArray, Levels

BLOCK_PX = 32
MAX_DEAD_BLOCKS = 0.01
MAX_DEAD_BLOCKS_AT_BLACK_0 = 0.25
MAX_DEAD_TAIL_AT_BLACK_0 = 0.1
GARBAGE_SIGNAL = 2.0
MAX_GARBAGE = 1e-3
BELOW_BLACK_SIGNAL = -0.05
MAX_BELOW_BLACK = 0.5
"""Noise does not move the median of a picture, and black levels drift by far less than 5 % of the range."""
COPY_AGAIN = "Copy it again from the card or use another copy."
NO_SUCH_FILE = "there is no such file. Check the name; a name with spaces needs quotes."


def checked_levels(
    black_dn: DoubleArray,
    white_dn: float,
    saturation_dn: float,
    bits: int,
    row_delta_dn: DoubleArray | None = None,
    column_delta_dn: DoubleArray | None = None,
    cell_side: int = 2,
) -> Levels:
    """Return the levels that a file states.

    Raises
    ------
    InputError: if they contradict each other.
    """
    try:
        return Levels(
            black_dn,
            white_dn,
            saturation_dn,
            bits,
            row_delta_dn,
            column_delta_dn,
            cell_side=cell_side,
        )
    except InputError as error:
        raise InputError(f"the file is damaged: {error}. {COPY_AGAIN}") from error


def check_frame(area: FrameArray, levels: Levels) -> None:
    """Refuse a frame with large empty regions or garbage, or one that lies below black.

    Parameters
    ----------
    area : (H, W) uint16, the active area in DN. levels : its levels.

    Raises
    ------
    InputError: if the frame is all zeros, has blocks of zeros that no sensor produces, many pixels far above white, or
        most pixels far below black.
    """
    if not area.any():
        raise InputError(f"the file is damaged: its raw picture is all zeros. {COPY_AGAIN}")
    black_0 = float(levels.effective_black_dn.min()) < 1
    brightest = _block_maxima(area)
    if brightest.size:
        dead = brightest == 0
        share, allowed = float(dead.mean()), MAX_DEAD_BLOCKS_AT_BLACK_0 if black_0 else MAX_DEAD_BLOCKS
        rows = dead.all(axis=1)
        tail = len(rows) if rows.all() else int(np.argmin(rows[::-1]))
        too_long = tail / len(rows) > MAX_DEAD_TAIL_AT_BLACK_0 if black_0 else rows.any()
        if share > allowed or too_long:
            raise InputError(f"the file is truncated or damaged: {share:.0%} of its raw picture is empty. {COPY_AGAIN}")
    garbage_dn = levels.mean_black_dn + GARBAGE_SIGNAL * levels.range_dn
    if garbage_dn < 2**16 and area.max() > garbage_dn:
        garbage = float(np.count_nonzero(area > garbage_dn)) / area.size
        if garbage > MAX_GARBAGE:
            raise InputError(f"the file is damaged: {garbage:.1%} of its pixels lie far above white. {COPY_AGAIN}")
    below_dn = levels.mean_black_dn + BELOW_BLACK_SIGNAL * levels.range_dn
    if below_dn > 0 and area.min() < below_dn:
        below = float(np.count_nonzero(area < below_dn)) / area.size
        if below > MAX_BELOW_BLACK:
            raise InputError(f"the file is damaged: {below:.0%} of its pixels lie far below black. {COPY_AGAIN}")


def _block_maxima(area: FrameArray) -> FrameArray:
    """Return the largest value of each whole block of BLOCK_PX x BLOCK_PX pixels."""
    rows, columns = (extent // BLOCK_PX for extent in area.shape)
    blocks = area[: rows * BLOCK_PX, : columns * BLOCK_PX].reshape(rows, BLOCK_PX, columns * BLOCK_PX)
    maxima: FrameArray = blocks.max(axis=1).reshape(rows, columns, BLOCK_PX).max(axis=2)
    return maxima
