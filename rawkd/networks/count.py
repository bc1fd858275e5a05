"""Count the parameters and multiply-accumulates (MACs) of a network, as in the Feature-Align paper.

Convolutions and the feature-align product count; biases and activations do not. A megapixel of mosaic is 10^6 pixels in
one table of the paper and 2^20 in the other, so we report both.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rawkd.networks.blocks import FeatureAlign

MEGAPIXELS = {"1e6": 1_000_000, "2^20": 1 << 20}


def num_parameters(network: nn.Module) -> int:
    """Return the number of trained parameters, biases included."""
    return sum(parameter.numel() for parameter in network.parameters())


def macs_per_packed_px(network: nn.Module, stride: int, in_channels: int = 4) -> float:
    """Return the multiply-accumulates per packed pixel: convolutions and the feature-align product.

    The network may be on any device.
    """
    size = 8 * stride
    device = next(network.parameters()).device
    count = 0

    def add(module: nn.Module, _: object, out: Tensor) -> None:
        nonlocal count
        if isinstance(module, nn.Conv2d):
            kernel = module.kernel_size[0] * module.kernel_size[1]
            count += out[0].numel() * kernel * module.in_channels // module.groups
        elif isinstance(module, FeatureAlign):
            count += out[0].numel()

    hooks = [module.register_forward_hook(add) for module in network.modules()]
    with torch.no_grad():
        network(torch.zeros(1, in_channels, size, size, device=device))
    for hook in hooks:
        hook.remove()
    return count / size**2


def macs_per_mp(
    network: nn.Module, stride: int, in_channels: int = 4, *, packed: bool = True, cell_px: int = 4
) -> dict[str, float]:
    """Return the GMACs per megapixel, keys "1e6" and "2^20".

    Parameters
    ----------
    packed : whether an input pixel is a packed cell of mosaic pixels; False for pictures. cell_px : pixels of the cell.
    """
    count = macs_per_packed_px(network, stride, in_channels) / (cell_px if packed else 1)
    return {name: count * pixels / 1e9 for name, pixels in MEGAPIXELS.items()}
