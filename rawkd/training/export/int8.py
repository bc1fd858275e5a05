"""What a card says of int8: the ranges of the features that a network rounds, and the PSNR that this costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from rawkd.inference.card import Int8, ModelCard
from rawkd.inference.graph.int8 import encode
from rawkd.photo import FloatArray
from rawkd.training.config import Recipe
from rawkd.training.data.clean import CleanSet
from rawkd.training.data.dataset import NoisyBatches
from rawkd.training.export.measures import cost_of

BATCHES, CROPS = 24, 8
"""Number of measured batches, and of crops in each: photos, dead leaves, skies, lamps, hot pixels (our choice)."""
LEAST_RANGE = 0.1
"""Least range, in units of the rms of all channels, for channels that the crops hardly use. Larger values than those of
the crops are clipped; no value exceeds the root of the number of channels (our choice)."""
LEAST_GMAC = 5.0
"""Least 10^9 multiply-accumulates a megapixel of a network that gets int8. Smaller ones wait for memory: int8 saves
0.05 to 0.1 of their time (docs/performance.md) and is not worth its errors (our choice)."""
SEED = 8


def activation_ranges(
    network: nn.Module, recipe: Recipe, subrange: int, pictures: CleanSet | None
) -> dict[str, FloatArray]:
    """Return the range of each input channel, (channels,), of the convolutions that read normalised features, by name.

    These are the attributes that a block names in its `reads_normalised`. Networks without such blocks have none.

    Parameters
    ----------
    pictures : to draw crops from as in training; None for dead leaves and skies only.
    """
    convolutions = {
        f"{name}.{child}": getattr(module, child)
        for name, module in network.named_modules()
        for child in getattr(module, "reads_normalised", ())
    }
    largest: dict[str, Tensor] = {}
    if not convolutions or recipe.input != "planes":
        return {}

    def watch(name: str) -> object:
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
            hook.remove()  # type: ignore[attr-defined]
    return {name: np.maximum(found.numpy(), LEAST_RANGE) for name, found in largest.items()}


def with_int8(card: ModelCard, ranges: Mapping[str, FloatArray], held_out: CleanSet) -> ModelCard:
    """Return the card with the ranges of int8 and its measured cost; without, if the network is small or int8 fails."""
    if not ranges or card.macs_per_mp["1e6"] < LEAST_GMAC:
        return card
    able = replace(card, int8=Int8(encode(ranges), {}))
    cost_db = cost_of("int8", able, held_out)
    return card if cost_db is None else replace(able, int8=Int8(encode(ranges), cost_db))
