"""MWResNet: residual blocks between wavelet transforms, the first network of the NTIRE 2020 raw winner.

Source: the figure in MWRCANet's repository. It does not state widths; we use those of MWRCANet.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rawkd.networks.blocks import ResidualBlock
from rawkd.networks.haar import dwt, iwt
from rawkd.networks.wavelet_network import WaveletNetwork


@dataclass(frozen=True)
class MWResNetConfig:
    """Size and options of an MWResNet.

    Attributes
    ----------
    widths : channels per level, finest first. blocks : residual blocks per group (the coarsest level has two groups).
    channels, anchor : as in `MWRCANetConfig`.
    """

    widths: tuple[int, int, int] = (96, 128, 128)
    blocks: int = 4
    channels: int = 4
    anchor: tuple[float, float] | None = None


class MWResNet(WaveletNetwork):
    """Denoises (n, channels, h, w). By default it has 8,123,876 parameters (mosaic)."""

    taps = ("down.0", "down.1", "middle.0")
    decoder_taps = ("up.1", "up.0")

    def __init__(self, config: MWResNetConfig) -> None:
        super().__init__(config.channels, config.anchor)
        self.config = config
        fine, mid, coarse = config.widths
        self.enter = nn.ModuleList(
            nn.Conv2d(inputs, width, 3, padding=1)
            for inputs, width in ((self.bands, fine), (4 * fine, mid), (4 * mid, coarse))
        )
        self.down = nn.ModuleList((self._group(fine), self._group(mid)))
        self.middle = nn.Sequential(self._group(coarse), self._group(coarse))
        self.up = nn.ModuleList((self._group(fine), self._group(mid)))
        self.leave = nn.ModuleList(
            nn.Conv2d(width, outputs, 3, padding=1)
            for width, outputs in ((fine, self.bands), (mid, 4 * fine), (coarse, 4 * mid))
        )
        for parameter in self.leave[0].parameters():
            nn.init.zeros_(parameter)  # starts as the identity

    def _group(self, width: int) -> nn.Sequential:
        return nn.Sequential(*(ResidualBlock(width) for _ in range(self.config.blocks)))

    def correction(self, bands: Tensor) -> Tensor:
        """Return what to add to the bands of the first transform, (n, bands, h/2, w/2)."""
        fine = self.down[0](torch.relu(self.enter[0](bands)))
        mid = self.down[1](torch.relu(self.enter[1](dwt(fine))))
        features = self.middle(torch.relu(self.enter[2](dwt(mid))))
        features = mid + iwt(torch.relu(self.leave[2](features)))
        features = fine + iwt(torch.relu(self.leave[1](self.up[1](features))))
        output: Tensor = self.leave[0](self.up[0](features))
        return output
