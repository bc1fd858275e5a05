"""int8 in training: the ranges of the features to round, and convolutions that round as the engine does.

A network that trains with rounded features and kernels learns weights that lose less by it. Gradients pass the rounding
unchanged (straight-through estimator, Bengio et al. 2013, arXiv 1308.3432); beyond a range they are zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from rawkd.errors import ModelError
from rawkd.inference.graph.int8 import KERNEL_LEVELS, LEVELS
from rawkd.photo import FloatArray
from rawkd.training.config import Recipe
from rawkd.training.data.clean import CleanSet
from rawkd.training.data.dataset import NoisyBatches

BATCHES, CROPS = 24, 8
"""Number of measured batches, and of crops in each: photos, dead leaves, skies, lamps, hot pixels (our choice)."""
LEAST_RANGE = 0.1
"""Least range, in units of the rms of all channels, for channels that the crops hardly use. Larger values than those of
the crops are clipped; no value exceeds the root of the number of channels (our choice)."""
SEED = 8


def convolutions_for_int8(network: nn.Module) -> dict[str, nn.Module]:
    """Return the convolutions that read normalised features, by name: those that blocks name in `reads_normalised`."""
    return {
        f"{name}.{child}": getattr(module, child)
        for name, module in network.named_modules()
        for child in getattr(module, "reads_normalised", ())
    }


def activation_ranges(
    network: nn.Module, recipe: Recipe, subrange: int, pictures: CleanSet | None
) -> dict[str, FloatArray]:
    """Return the range of each input channel, (channels,), of the convolutions for int8, by name.

    A range is the largest size of the features, in units of the rms of all channels. The result is empty for a network
    without such convolutions, or one that does not take a packed mosaic alone.

    Parameters
    ----------
    pictures : to draw crops from as in training; None for dead leaves and skies only.
    """
    convolutions = convolutions_for_int8(network)
    if not convolutions or recipe.input != "planes":
        return {}
    largest: dict[str, Tensor] = {}

    def watch(name: str) -> RemovableHandle:
        def see(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found = inputs[0].abs().amax((0, 2, 3))
            largest[name] = torch.maximum(largest[name], found) if name in largest else found

        return convolutions[name].register_forward_pre_hook(see)

    hooks = [watch(name) for name in convolutions]
    batches = NoisyBatches(pictures, replace(recipe, batch=CROPS), subrange, seed=SEED, length=BATCHES)
    try:
        with torch.no_grad():
            for index in range(BATCHES):
                network(batches[index].noisy)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: np.maximum(found.numpy(), LEAST_RANGE) for name, found in largest.items()}


def round_as_int8(network: nn.Module, ranges: Mapping[str, FloatArray]) -> None:
    """Make the convolutions named in `ranges` round their inputs and kernels as `inference.graph.int8` does, in place.

    The weights and their names stay as they are.

    Raises
    ------
    ModelError: if the network has no such convolution.
    """
    convolutions = dict(network.named_modules())
    for name, limits in ranges.items():
        convolution = convolutions.get(name)
        if not isinstance(convolution, nn.Conv2d) or convolution.in_channels != len(limits):
            raise ModelError(f"the network has no convolution {name} of {len(limits)} channels to round to int8")
        device = convolution.weight.device
        convolution.forward = partial(_rounded, convolution, torch.from_numpy(limits).to(device))  # type: ignore[method-assign]


def _rounded(convolution: nn.Conv2d, limits: Tensor, features: Tensor) -> Tensor:
    """Return the output of a convolution whose input channels lie within plus and minus `limits`."""
    half, most = LEVELS // 2, KERNEL_LEVELS // 2
    zeros = torch.zeros(len(limits), dtype=torch.int32, device=limits.device)
    taken = torch.fake_quantize_per_channel_affine(features.float(), limits / half, zeros, 1, -half, half - 1)
    share = (limits / limits.max())[:, None, None]
    kernel = convolution.weight * share
    steps = kernel.detach().abs().amax((1, 2, 3)).clamp(min=1e-12) / most
    zeros = torch.zeros(len(steps), dtype=torch.int32, device=limits.device)
    kernel = torch.fake_quantize_per_channel_affine(kernel, steps, zeros, 0, -most, most) / share
    out: Tensor = convolution._conv_forward(taken, kernel, convolution.bias)
    return out
