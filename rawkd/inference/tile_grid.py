"""Where the tiles of a picture lie: sizes, overlaps and cuts, in packed pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from rawkd.errors import InputError
from rawkd.inference.card import ModelCard
from rawkd.photo import FloatArray


@dataclass(frozen=True, eq=False)
class TileSpan:
    """One tile along one axis, packed pixels.

    Attributes
    ----------
    origin, size : the pixels that are read; outside the picture they are padded.
    start, stop : the pixels that are written, within the picture.
    weight : (stop - start,) float32 blending window; the weights of all spans at a pixel sum to 1.
    """

    origin: int
    size: int
    start: int
    stop: int
    weight: FloatArray


@dataclass(frozen=True)
class TileAxis:
    """Tiles along one axis of a picture, packed pixels.

    Attributes
    ----------
    length : of the picture. tile : the largest tile. overlap : the smallest overlap of neighbours.
    stride : tile, overlap and every origin are multiples of it.
    blend : width of the blending zone in the middle of the overlap, 0 for a hard cut; at most the overlap.
    even : whether tiles may be smaller than `tile`, so that they cover the picture with little padding.
    fixed : whether a picture smaller than `tile` is padded to it.
    """

    length: int
    tile: int
    overlap: int
    stride: int
    blend: int = 0
    even: bool = True
    fixed: bool = False

    def __post_init__(self) -> None:
        multiples = self.tile % self.stride == 0 and self.overlap % self.stride == 0
        if self.length < 1 or not multiples or not 0 <= self.blend <= self.overlap < self.tile:
            raise InputError(f"these tiles cannot cover the picture: {self}")

    def tiles_for(self, length: int) -> TileAxis:
        """Return the axis of a picture that is not longer, with tiles of the same size."""
        # a single tile may be smaller than the overlap, which nothing needs then
        overlap = min(self.overlap, self.size - self.stride)
        blend = min(self.blend, overlap)
        return replace(self, length=length, tile=self.size, overlap=overlap, blend=blend, even=False, fixed=True)

    @cached_property
    def size(self) -> int:
        """Side of every tile: the smallest that needs no more tiles than `tile` does."""
        padded = _round_up(self.length, self.stride)
        if padded <= self.tile and not self.fixed:
            return padded
        if not self.even:
            return self.tile
        count = -(-(padded - self.overlap) // (self.tile - self.overlap))
        return _round_up(-(-(padded + (count - 1) * self.overlap) // count), self.stride)

    @cached_property
    def origins(self) -> tuple[int, ...]:
        """First pixel of every tile; the spacing is even to within a stride."""
        last = max(_round_up(self.length, self.stride) - self.size, 0)
        steps = -(-last // (self.size - self.overlap)) if last else 0
        return (0, *(i * (last // self.stride) // steps * self.stride for i in range(1, steps + 1)))

    @cached_property
    def spans(self) -> tuple[TileSpan, ...]:
        """The tiles in order."""
        cuts = [after + (before + self.size - after) // 2 for before, after in pairwise(self.origins)]
        blend = min([self.blend, *(b - a for a, b in pairwise(cuts))])
        starts = [0, *(cut - blend // 2 for cut in cuts)]
        stops = [*(start + blend for start in starts[1:]), self.length]
        ramp = ((np.arange(blend) + 0.5) / max(blend, 1)).astype(np.float32)
        spans = []
        for index, (origin, start, stop) in enumerate(zip(self.origins, starts, stops, strict=True)):
            weight = np.ones(stop - start, np.float32)
            if blend and index:
                weight[:blend] = ramp
            if blend and index < len(cuts):
                weight[-blend:] = 1 - ramp
            spans.append(TileSpan(origin, self.size, start, stop, weight))
        return tuple(spans)


@dataclass(frozen=True)
class TileGrid:
    """The tiles of a picture; the blending window of a tile is the product of those of its row and column."""

    rows: TileAxis
    columns: TileAxis

    @classmethod
    def of(cls, height: int, width: int, card: ModelCard) -> TileGrid:
        """Return the grid for a picture of `height` x `width` packed pixels and a model's halo, tile and stride.

        Exact tiles need not be square: they have the shape that costs least among those with at most as many pixels as
        a square of the card's tile. An odd number of tiles costs as much as one more, because one of two cores waits
        for the last (our choice). It does not depend on the machine, so that the result does not.
        """
        if not card.exact_tiles:
            overlap = card.tile // 2 // card.stride * card.stride
            return cls(*(TileAxis(n, card.tile, overlap, card.stride, overlap, False) for n in (height, width)))
        overlap, largest = _round_up(2 * card.halo, card.stride), card.tile**2
        # from just above the overlap to the picture, or the card's tile
        heights = range(overlap + card.stride, max(card.tile, _round_up(height, card.stride)) + 1, card.stride)
        shapes = ((high, largest // high // card.stride * card.stride) for high in heights)
        grids = (
            cls(TileAxis(height, high, overlap, card.stride), TileAxis(width, wide, overlap, card.stride))
            for high, wide in shapes
            if wide > overlap
        )
        return min(grids, key=lambda grid: (grid.cost, len(grid)))

    def tiles_for(self, height: int, width: int) -> TileGrid:
        """Return the grid for a smaller picture with tiles of the same shape, so that no other shape is compiled."""
        return TileGrid(self.rows.tiles_for(height), self.columns.tiles_for(width))

    @property
    def pixels(self) -> int:
        """Number of pixels that the network computes."""
        return len(self) * self.rows.size * self.columns.size

    @property
    def cost(self) -> int:
        """`pixels`, and those of one more tile if more than one run and their number is odd."""
        count = len(self)
        return self.pixels + (self.pixels // count if count > 1 and count % 2 else 0)

    def __len__(self) -> int:
        return len(self.rows.origins) * len(self.columns.origins)

    def __iter__(self) -> Iterator[tuple[TileSpan, TileSpan]]:
        return ((row, column) for row in self.rows.spans for column in self.columns.spans)


def _round_up(value: int, multiple: int) -> int:
    """Return `value` rounded up to a multiple of `multiple`."""
    return -(-value // multiple) * multiple
