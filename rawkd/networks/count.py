"""Parameters and multiply-accumulates of a network, counted as the Feature-Align paper does.

The paper's two tables mean two things by a megapixel of mosaic, 10^6 and 2^20 pixels; both are stated. Convolutions and
the feature-align product count; biases and activations do not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rawkd.networks.blocks import FeatureAlign

MEGAPIXELS = {"1e6": 1_000_000, "2^20": 1 << 20}


def num_parameters(network: nn.Module) -> int:
    """Trained numbers, biases included."""
    return sum(parameter.numel() for parameter in network.parameters())


def macs_per_packed_px(network: nn.Module, stride: int, in_channels: int = 4) -> float:
    """Multiply-accumulates per packed pixel: convolutions and the feature-align product (see above)."""
    size = 8 * stride
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
        network(torch.zeros(1, in_channels, size, size))
    for hook in hooks:
        hook.remove()
    return count / size**2


def macs_per_mp(network: nn.Module, stride: int, in_channels: int = 4, *, packed: bool = True) -> dict[str, float]:
    """GMAC per megapixel in both conventions: of mosaic, or of the picture where its pixels are not `packed`."""
    count = macs_per_packed_px(network, stride, in_channels) / (4 if packed else 1)
    return {name: count * pixels / 1e9 for name, pixels in MEGAPIXELS.items()}
