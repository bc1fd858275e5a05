"""Convert mosaics to units of their own noise before a network, and back after it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rawkd.networks.blocks import averaged, spread

ANSCOMBE = 3 / 8
"""Anscombe's constant: for a Poisson count e, 2 sqrt(e + 3/8) has a standard deviation of nearly 1."""


def group_means(planes: Tensor, groups: Sequence[int]) -> Tensor:
    """Return the mean of the planes of each group, (n, number of groups, h, w), of (n, planes, h, w)."""
    members = ([plane for plane, other in enumerate(groups) if other == one] for one in range(max(groups) + 1))
    return torch.cat([planes[:, some].mean(1, keepdim=True) for some in members], 1)


class NoiseUnits(nn.Module):
    """Converts an anchored mosaic to units of its own noise and back.

    One set of weights then works for every exposure, and bf16 is precise enough. With anchor (k, v),
    ``e = y / k + v / k^2`` counts equivalent electrons: Var e = E[e] (the k-sigma transform, PMRID section 3.2). The
    Anscombe transform ``f = 2 sqrt(e + 3/8)``, continued as a straight line below e = 0, has noise of standard
    deviation 1 at every sample, bright or dark. The network gets f minus its local mean and returns what to subtract
    from f. Our choice.
    """

    local_px = 2
    """Side of a cell of the local mean, packed pixels. Input height and width must be multiples of it."""
    window_cells = 5
    """Side of the window of cells. The local mean averages twice over it; it slides, so that no grid shows."""

    def __init__(
        self,
        gain: float,
        read_variance: float,
        guide_limit: float | None = None,
        local_px: int = local_px,
        window_cells: int = window_cells,
        groups: Sequence[int] = (),
    ) -> None:
        """Create the conversion for an anchor.

        The network cannot see what a local mean keeps of the noise: with 36 planes of X-Trans, each averaged by itself,
        that is 1/54 of the variance. Wider windows and groups of planes keep less.

        Parameters
        ----------
        guide_limit, groups : limit of the guide's structure, and group of every plane (`FANetConfig`).
        """
        super().__init__()
        self.gain, self.guide_limit, self.local_px = gain, guide_limit, local_px
        self.offset = read_variance / gain**2
        self.window_cells, self.groups = window_cells, tuple(groups)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return structure (n, c, h, w), guide (n, 2c, h, w) and f (n, c, h, w) of (n, c, h, w) anchored values.

        The structure is f minus its local mean. The guide, for feature-align layers, holds the level log(1 + e) and the
        structure, each times 0.25. `subtract` needs f.
        """
        electrons = planes * (1 / self.gain) + self.offset
        positive = torch.clamp(electrons, min=0)
        stabilised = 2 * torch.sqrt(positive + ANSCOMBE) + (electrons - positive) * ANSCOMBE**-0.5
        cells = F.avg_pool2d(stabilised, self.local_px) if self.local_px > 1 else stabilised
        if self.groups:
            cells = group_means(cells, self.groups)
        cells = averaged(averaged(cells, self.window_cells), self.window_cells)
        if self.groups:
            cells = cells[:, self.groups]
        structure = stabilised - (spread(cells, self.local_px) if self.local_px > 1 else cells)
        guide = structure * 0.25
        if self.guide_limit is not None:
            guide = torch.clamp(guide, -self.guide_limit, self.guide_limit)
        return structure, torch.cat((torch.log1p(positive) * 0.25, guide), 1), stabilised

    def subtract(self, stabilised: Tensor, output: Tensor) -> Tensor:
        """Return f - output converted back to anchored values: e = (f / 2)^2 - 3/8, and the line below e = 0."""
        cleaned = stabilised - output
        curved = torch.clamp(cleaned, min=2 * ANSCOMBE**0.5)
        electrons = curved * curved * 0.25 - ANSCOMBE + (cleaned - curved) * ANSCOMBE**0.5
        restored: Tensor = (electrons - self.offset) * self.gain
        return restored
