"""What a card says of int8: the ranges of the features that a network rounds, and the PSNR that this costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from rawkd.errors import ModelError
from rawkd.inference.card import Int8, ModelCard
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.cpu.precisions import has_bf16, int8_is_right
from rawkd.inference.graph.int8 import encode
from rawkd.inference.selftest import check_golden
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
SEED = 8


def convolutions_for_int8(network: nn.Module) -> dict[str, nn.Module]:
    """Return the convolutions that read normalised features, by name: what its blocks name in `reads_normalised`."""
    return {
        f"{name}.{child}": getattr(module, child)
        for name, module in network.named_modules()
        for child in getattr(module, "reads_normalised", ())
    }


def activation_ranges(
    network: nn.Module, recipe: Recipe, subrange: int, pictures: CleanSet | None
) -> dict[str, FloatArray]:
    """Return the range of each input channel, (channels,), of the convolutions for int8, by name.

    None for a network without such convolutions, or one that does not take a packed mosaic alone.

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


def with_int8(card: ModelCard, ranges: Mapping[str, FloatArray], held_out: CleanSet) -> ModelCard:
    """Return the card with the ranges of int8 and its measured cost.

    Without them, if there are no ranges, if this CPU adds int8 wrongly (`int8_is_right`), or if the network fails the
    self-test in int8, alone or with bf16.
    """
    if not ranges or not int8_is_right():
        return card
    able = replace(card, int8=Int8(encode(ranges), {}))
    cost_db = cost_of("int8", able, held_out)
    if cost_db is None or not _passes_with_bf16(able):
        return card
    return replace(able, int8=Int8(encode(ranges), cost_db))


def _passes_with_bf16(card: ModelCard) -> bool:
    if not has_bf16():
        return True
    try:
        check_golden(card, OpenVINOEngine(card, precision="int8+bf16"))
    except ModelError:
        return False
    return True
