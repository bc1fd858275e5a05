"""MWRCANet: residual channel attention blocks between wavelet transforms. It won the NTIRE 2020 raw track.

Source: the layer list in the authors' repository; there is no paper. The authors found the network by a search over
the number of blocks, the kind of block and the channels, which are our configuration fields. They do not describe their
dense block; ours is RDN's.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from rawkd.errors import ModelError
from rawkd.networks.blocks import ChannelAttention, DenseBlock
from rawkd.networks.haar import dwt, iwt
from rawkd.networks.wavelet_network import WaveletNetwork

REDUCTION = 16
DENSE_LAYERS = 3
"""Layers of a dense block, each half as wide as the block. It costs a quarter more than an attention block."""
BLOCKS = ("rcab", "dense")
CELLS_PX = (8, 4, 2)
"""Side of a cell of the channel attention by level. A cell covers the same area of the picture at every level."""


@dataclass(frozen=True)
class MWRCANetConfig:
    """Size and options of an MWRCANet.

    Attributes
    ----------
    widths : channels per level, finest first. blocks : blocks per group, by level.
    block : "rcab" (residual channel attention) or "dense".
    channels : 4 for a packed mosaic, 3 for sRGB pictures, 1 for grey ones.
    anchor : (gain, read variance) of the k-sigma anchor of a packed mosaic: the network works in units of noise
        (`NoiseUnits`, our choice). None: it works on the input values, as published.
    """

    widths: tuple[int, int, int] = (96, 128, 128)
    blocks: tuple[int, int, int] = (20, 20, 20)
    block: str = "rcab"
    channels: int = 4
    anchor: tuple[float, float] | None = None


class MWRCANet(WaveletNetwork):
    """Denoises (n, channels, h, w). For a mosaic it has 27,215,965 parameters, as published."""

    taps = ("down.0", "down.1", "middle")
    decoder_taps = ("up.1", "up.0")

    def __init__(self, config: MWRCANetConfig) -> None:
        super().__init__(config.channels, config.anchor)
        if config.block not in BLOCKS:
            raise ModelError(f"the network mwrcanet has no block {config.block!r}. Choose one of {', '.join(BLOCKS)}.")
        self.config = config
        fine, mid, coarse = config.widths
        self.enter = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, width, 3, padding=1), nn.PReLU())
            for inputs, width in ((self.bands, fine), (4 * fine, mid), (4 * mid, coarse))
        )
        self.down = nn.ModuleList((self._group(0), self._group(1)))
        self.middle = self._group(2)
        self.up = nn.ModuleList((self._group(0), self._group(1)))
        self.leave = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, outputs, 3, padding=1), nn.PReLU())
            for width, outputs in ((mid, 4 * fine), (coarse, 4 * mid))
        )
        self.tail = nn.Conv2d(fine, self.bands, 3, padding=1)
        for parameter in self.tail.parameters():
            nn.init.zeros_(parameter)  # starts as the identity

    def _group(self, level: int) -> nn.Module:
        config = self.config
        return _Group(config.widths[level], config.blocks[level], config.block, CELLS_PX[level])

    @property
    def stride(self) -> int:
        """Height and width must be multiples of it, packed pixels or pixels of a picture: one attention cell."""
        return CELLS_PX[0] if self.in_channels == 4 else 2 * CELLS_PX[0]

    def correction(self, bands: Tensor) -> Tensor:
        """Return what to add to the bands of the first transform, (n, bands, h/2, w/2)."""
        fine = self.down[0](self.enter[0](bands))
        mid = self.down[1](self.enter[1](dwt(fine)))
        features = self.middle(self.enter[2](dwt(mid)))
        features = mid + iwt(self.leave[1](features))
        features = fine + iwt(self.leave[0](self.up[1](features)))
        output: Tensor = self.tail(self.up[0](features))
        return output


class _Group(nn.Module):
    """Blocks of one kind and a 3x3 convolution, plus an identity shortcut."""

    def __init__(self, width: int, num_blocks: int, block: str, cell_px: int) -> None:
        super().__init__()
        made: list[nn.Module] = [
            _AttentionBlock(width, cell_px) if block == "rcab" else DenseBlock(width, width // 2, DENSE_LAYERS)
            for _ in range(num_blocks)
        ]
        self.blocks = nn.Sequential(*made)
        self.leave = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape as the input, (n, width, h, w)."""
        out: Tensor = features + self.leave(self.blocks(features))
        return out


class _AttentionBlock(nn.Module):
    """3x3, PReLU, 3x3, channel attention, plus an identity shortcut."""

    def __init__(self, width: int, cell_px: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.PReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            ChannelAttention(width, max(1, width // REDUCTION), cell_px),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape as the input, (n, width, h, w)."""
        out: Tensor = features + self.body(features)
        return out
