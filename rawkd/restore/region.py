"""Cut a region out of a photo so that it is restored exactly as in the whole picture."""

from __future__ import annotations

import math

from rawkd.inference import lights
from rawkd.inference.students import load_family
from rawkd.photo import RawPhoto, Rect
from rawkd.photo.region import part_of
from rawkd.restore.local_mean import window_px
from rawkd.restore.options import DenoiseOptions
from rawkd.sensor.defect_search import border_px

RENDER_CONTEXT_PX = 16
"""Pixels around a region that demosaicing and the estimate of blown areas read."""


def part_with_context(photo: RawPhoto, region: Rect, options: DenoiseOptions) -> RawPhoto:
    """Return the region with the surrounding pixels that the search for defects, the student and the renderer read.

    It lies on the grid of the student's pooled cells, of the blocks in which lights are found, and of those whose means
    are restored. What is added to a pixel depends on the means of two whole blocks on each side of its own
    (`keep_local_mean`). The second look at a small scale (`remove_blotches`) reaches a little further: that changes a
    smooth area by less than a hundredth of its noise.

    Parameters
    ----------
    region : pixels of the upright picture.

    Raises
    ------
    UsageError: if the region extends beyond the picture.
    """
    if options.keeps_everything:
        return part_of(photo, region, RENDER_CONTEXT_PX)
    family = load_family(options.model, photo.pattern.kind)
    side = photo.pattern.side
    network_px = side * max(card.halo for card in family) + lights.context_px(side)
    context_px = RENDER_CONTEXT_PX + max(2 * window_px(side), network_px)
    if options.defects == "auto":
        context_px += border_px(photo.pattern.side)
    grid_px = math.lcm(lights.block_px(side), window_px(side), *(side * card.stride for card in family))
    return part_of(photo, region, context_px, grid_px)
