"""Measure and remove row noise (an offset that all pixels of a row share) and banding (row noise of adjacent rows).

Row noise is measured in the masked pixels beside each row, which see no light and share its readout. It is scaled by
how far the picture shows the same offsets: on real sensors fully, by half, or not at all. Without usable masked pixels,
row noise is measured in the picture but cannot be removed.

In the picture, rows are compared that hold the same colours and lie as close as the cell allows: neighbours of
monochrome and X-Trans sensors, every second row of Bayer. Four of them cancel brightness that runs over the rows as a
line or a parabola. Edges and texture remain, so only dark blocks with little detail along their rows count, in which
row noise cannot be seen. Our choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from rawkd.photo import CFAPattern, DoubleArray, FloatArray, Levels, RawPhoto
from rawkd.sensor.masked import masked_strip
from rawkd.sensor.noise import SIGMA_OF_MAD

WARNING_SHARE = 0.1
"""Ratio of row noise to single-pixel noise above which rawkd warns: from there, rows show in a denoised picture."""
MOST_SHARE = 1.0  # above it the rows are those of the scene, such as blinds
SURE_SIGMAS = 4.0
"""Least row noise, in standard errors, that counts as significant."""
OUTLIER_SIGMAS = 5.0
"""Deviation to which masked samples are clipped, so that hot pixels do not shift their row."""
LEAST_ROWS = 64
BLOCKS, BLOCK_PX = 32, 32
"""Largest number of column blocks measured in the picture, and their width (X-Trans: 30, whole cells)."""
DARK_PART, PLAIN_PART = 0.5, 0.5
"""Share of the picture that counts as dark, and share of it, with the least detail, that is measured."""
CUT_OFF_SIGMAS = 3.0
"""Deviation to which differences of rows are clipped, so that edges in the picture do not count as row noise."""


@dataclass(frozen=True, eq=False)
class RowNoise:
    """Measured row noise.

    Attributes
    ----------
    row_sd_dn, pixel_sd_dn : standard deviations of the rows and of single pixels where they were measured, DN.
    shown : whether the row noise is significant. source : "masked pixels" or "picture".
    offset_dn : (H,) offset of each row of the active area from their mean, DN. It is scaled down by the share of the
        estimate that is noise. None if masked pixels and picture do not show the same offsets.
    """

    row_sd_dn: float
    pixel_sd_dn: float
    shown: bool
    source: str
    offset_dn: DoubleArray | None = None

    @property
    def share(self) -> float:
        """Row noise over single-pixel noise: the read noise in masked pixels, slightly more in the picture."""
        return self.row_sd_dn / self.pixel_sd_dn


def level_rows(photo: RawPhoto, *, remove: bool) -> tuple[RawPhoto, tuple[str, ...]]:
    """Return the photo with its row offsets set for removal, and a warning if visible row noise remains.

    Parameters
    ----------
    remove : whether to remove row noise. The photo is returned unchanged if its masked pixels show none, and with a
        warning if it has none.
    """
    rows = measure_rows(photo)
    if rows is None:
        message = "--rows removed nothing: the photo is too small, or constant where rawkd measures row noise"
        return photo, (message,) if remove else ()
    if remove and rows.offset_dn is not None:
        return replace(photo, row_offset_dn=rows.offset_dn), ()
    if not (rows.shown and WARNING_SHARE < rows.share < MOST_SHARE):
        is_blind = remove and masked_strip(photo) is None
        return photo, ("--rows removed nothing: the photo has no masked pixels to use",) if is_blind else ()
    message = f"row noise (stripes) of {rows.share:.2f} times the noise of single pixels, measured in the {rows.source}"
    if rows.offset_dn is not None:
        return photo, (f"{message}. --rows removes it.",)
    return photo, (f"{message}. rawkd cannot remove it: no masked pixels show it.",)


def measure_rows(photo: RawPhoto) -> RowNoise | None:
    """Return the row noise of a photo; None if it is too small or constant where row noise is measured."""
    area = photo.active_area
    if area.height < LEAST_ROWS or area.width < 2 * BLOCK_PX:
        return None
    black = _black_of_rows(photo.levels, area.height)[:, None]
    side = photo.pattern.side
    width = BLOCK_PX // side * side
    cells = np.linspace(0, (area.width - width) // side, min(BLOCKS, area.width // width)).astype(int)
    columns = (side * cells[:, None] + np.arange(width)).ravel()
    sample = photo.frame[area.slices][:, columns].astype(np.float32) - black.astype(np.float32)
    blocks = sample.reshape(area.height, len(cells), width)
    strip = masked_strip(photo)
    if strip is not None:
        found = _of_masked(strip - black, _steps(blocks.mean(axis=2), side), side)
        if found is not None:
            return found
    return _of_picture(blocks, photo.pattern)


def _black_of_rows(levels: Levels, height: int) -> DoubleArray:
    """Return the mean black level of each row, (H,) DN."""
    period = levels.black_dn.shape[1]
    return np.asarray(np.broadcast_to(levels.black_map(height, period), (height, period)).mean(axis=1))


def _steps(rows: Any, side: int) -> Any:
    """Return each row minus the mean of the rows one cell above and one below it, (H - 2 side, ...)."""
    return rows[side:-side] - (rows[: -2 * side] + rows[2 * side :]) / 2


def _of_masked(strip: DoubleArray, steps: FloatArray, side: int) -> RowNoise | None:
    """Return the row noise of masked pixels; None if it is not significant or the picture does not show it.

    The row variance is the covariance of the two halves of the columns, which share row noise but no other noise.

    Parameters
    ----------
    strip : (H, columns) masked pixels minus the black level. steps : (H - 2 side, blocks) steps of the picture.
    """
    height, width = strip.shape
    flat = strip - np.median(strip, axis=0)
    limit = OUTLIER_SIGMAS * SIGMA_OF_MAD * float(np.median(np.abs(flat)))
    if limit == 0:
        return None
    flat = np.clip(flat, -limit, limit)
    rows = flat.mean(axis=1)
    first, second = (half.mean(axis=1) for half in np.array_split(flat, 2, axis=1))
    row_variance = float(np.cov(first, second)[0, 1])
    pixel_variance = float(np.square(flat - rows[:, None]).mean()) * width / (width - 1)
    if pixel_variance == 0:  # one value for each row: not pixels, but what the camera derived from them
        return None
    if row_variance < SURE_SIGMAS * pixel_variance / (width / 2) / np.sqrt(height):
        return None
    offset = row_variance / (row_variance + pixel_variance / width) * (rows - rows.mean())
    part = _part_in_picture(_steps(offset, side), np.median(steps, axis=1))
    if part == 0:
        return None
    return RowNoise(part * _root(row_variance), _root(pixel_variance), True, "masked pixels", part * offset)


def _part_in_picture(masked: DoubleArray, picture: DoubleArray) -> float:
    """Return the slope, 0..1, of the picture's steps over those of the masked pixels; 0 if it is not significant."""
    limit = CUT_OFF_SIGMAS * SIGMA_OF_MAD * np.median(np.abs(picture))
    seen = np.clip(picture, -limit, limit)
    slope = float(masked @ seen / (masked @ masked))
    error = float(np.std(seen - slope * masked) / np.sqrt(masked @ masked))
    return min(slope, 1.0) if slope > SURE_SIGMAS * error else 0.0


class _Quad(NamedTuple):
    """Four rows of the same colours: the first, and offsets to the one before it and to the next two."""

    row: int
    before: int
    next: int
    after: int

    @property
    def weight(self) -> float:
        """Weight of the outer pair, with which a line or a parabola over the rows cancels."""
        return self.next / (self.after - self.before)


def quads_of(cell: CFAPattern) -> list[_Quad]:
    """Return the rows of a cell whose next row of the same colours is nearest, each with the rows to compare it to."""
    colours = [sorted(cell.colours[cell.side * row : cell.side * (row + 1)]) for row in range(cell.side)]
    quads = []
    for row in range(cell.side):
        offsets = range(-cell.side, 2 * cell.side + 1)
        same = [offset for offset in offsets if offset and colours[(row + offset) % cell.side] == colours[row]]
        following = [offset for offset in same if offset > 0]
        quads.append(_Quad(row, max(offset for offset in same if offset < 0), following[0], following[1]))
    nearest = min(quad.next for quad in quads)
    return [quad for quad in quads if quad.next == nearest]


def _compared(blocks: FloatArray, cell: CFAPattern, quads: list[_Quad]) -> Iterator[tuple[FloatArray, ...]]:
    """Yield what the rows of each quad show in each block, four arrays of (rows, blocks).

    Yields
    ------
    The difference of the two middle rows less `weight` times that of the outer ones; the brightness around the quad;
    the detail along the quad's rows; the variance of its single pixels. The last two are measured on different pixels,
    and none of the last three contains the row noise of the quad.
    """
    height, _, width = blocks.shape
    means = blocks.mean(axis=2)
    halves: dict[tuple[int, tuple[int, ...]], list[FloatArray]] = {}  # the quads of Bayer share them
    for quad in quads:
        rows = np.arange(quad.row, height, cell.side)
        rows = rows[(rows + quad.before >= 1) & (rows + quad.after + 1 < height)]
        _, before, following, after = quad
        steps = means[rows] - means[rows + following] - quad.weight * (means[rows + before] - means[rows + after])
        around = (means[rows + before - 1] + means[rows + after + 1]) / 2
        gap, lefts = pairs = _pairs(cell, quad.row, width)
        if pairs not in halves:
            apart = np.square(blocks[:, :, np.array(lefts) + gap] - blocks[:, :, lefts]) / 2
            halves[pairs] = [half.mean(axis=2) for half in np.array_split(apart, 2, axis=2)]
        of_rows = rows, rows + following, rows + before, rows + after
        detail, pixels = (sum((half[each] for each in of_rows[1:]), half[rows]) / 4 for half in halves[pairs])
        yield steps, around, detail, pixels


def _pairs(cell: CFAPattern, row: int, width: int) -> tuple[int, tuple[int, ...]]:
    """Return the smallest distance of pixels of one colour in a row, and the columns of the left ones of such pairs."""
    gap = min(next(gap for gap in range(1, cell.side + 1) if _alike(cell, row, at, gap)) for at in range(cell.side))
    return gap, tuple(at for at in range(width - gap) if _alike(cell, row, at, gap))


def _alike(cell: CFAPattern, row: int, column: int, gap: int) -> bool:
    """Whether two pixels of a row, `gap` columns apart, have the same colour."""
    return cell.colour_at(row, column) == cell.colour_at(row, column + gap)


def _of_picture(blocks: FloatArray, cell: CFAPattern) -> RowNoise | None:
    """Return the row noise of the picture, (H, blocks, columns); None if it cannot be measured.

    The row variance is the covariance of dark blocks far apart, which share row noise but neither noise nor scene.
    """
    quads = quads_of(cell)
    of_quads = _compared(blocks, cell, quads)
    steps, around, detail, pixels = (np.concatenate(parts) for parts in zip(*of_quads, strict=True))
    used = (around <= np.quantile(around, DARK_PART)) & (detail > 0)
    if not used.any():
        return None
    used &= detail <= np.quantile(detail[used], PLAIN_PART)
    limit = CUT_OFF_SIGMAS * SIGMA_OF_MAD * float(np.median(np.abs(steps[used])))
    pixel_variance = float(np.median(pixels[used]))
    lags = range(max(blocks.shape[1] // 4, 1), blocks.shape[1])
    pairs = sum(int((used[:, lag:] & used[:, :-lag]).sum()) for lag in lags)
    if limit == 0 or pixel_variance == 0 or pairs == 0:
        return None
    steps = np.where(used, np.clip(steps, -limit, limit), 0)
    products = sum(float((steps[:, lag:] * steps[:, :-lag]).sum()) for lag in lags)
    of_one_row = 2 * (1 + quads[0].weight ** 2)  # variance of a step over that of a row
    row_variance = products / pairs / of_one_row
    chance = float(np.square(steps[used]).mean()) / np.sqrt(pairs) / of_one_row
    return RowNoise(_root(row_variance), _root(pixel_variance), bool(row_variance > SURE_SIGMAS * chance), "picture")


def _root(variance: float) -> float:
    return float(np.sqrt(max(variance, 0.0)))
