"""Base class of MWResNet and MWRCANet, which work on the wavelet bands of a picture or a mosaic."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from rawkd.networks.haar import dwt, iwt
from rawkd.networks.noise_units import NoiseUnits


class WaveletNetwork(nn.Module):
    """Denoises (n, channels, h, w); the subclass computes what to add to the bands of the first transform.

    Parameters
    ----------
    channels : 4 for a packed mosaic (which is treated as one full-size picture), 3 for sRGB pictures, 1 for grey ones.
    anchor : (gain, read variance) of the k-sigma anchor of a packed mosaic: the network works in units of noise
        (`NoiseUnits`, our choice). None: it works on the input values, as published.
    """

    def __init__(self, channels: int, anchor: tuple[float, float] | None) -> None:
        super().__init__()
        self.in_channels = channels
        self.noise_units = NoiseUnits(*anchor) if anchor else None

    @property
    def bands(self) -> int:
        """Number of bands of the first transform."""
        return 4 if self.in_channels == 4 else 4 * self.in_channels

    @property
    def stride(self) -> int:
        """Height and width must be multiples of it, packed pixels or pixels of a picture, for three transforms."""
        return 4 if self.in_channels == 4 else 8

    def forward(self, planes: Tensor) -> Tensor:
        """Return the denoised values, (n, channels, h, w); anchored values for a mosaic."""
        if self.noise_units is None:
            return self._restore(planes)
        structure, _, stabilised = self.noise_units(planes)
        return self.noise_units.subtract(stabilised, structure - self._restore(structure))

    def correction(self, bands: Tensor) -> Tensor:
        """Return what to add to the (n, bands, h/2, w/2) bands of the first transform."""
        raise NotImplementedError

    def _restore(self, planes: Tensor) -> Tensor:
        mosaic = self.in_channels == 4
        bands = dwt(F.pixel_shuffle(planes, 2) if mosaic else planes)
        restored = iwt(bands + self.correction(bands))
        return F.pixel_unshuffle(restored, 2) if mosaic else restored
