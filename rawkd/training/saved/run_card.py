"""A card for a run that was not exported, so that the run can be used as a teacher."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rawkd.errors import ModelError
from rawkd.inference.card import NoiseSubrange
from rawkd.networks import build_network
from rawkd.photo import Kind
from rawkd.sensor.ksigma import Anchor
from rawkd.training.config import recipe_from_json
from rawkd.training.saved.checkpoint import load_checkpoint


@dataclass(frozen=True)
class RunCard:
    """Card of the current averaged weights of a run.

    Attributes
    ----------
    name : of the folder. network, config, input, stride, subrange, anchor, files, cfa : as in `ModelCard`.
    weights : state dict of the network.
    """

    name: str
    network: str
    config: dict[str, Any]
    input: str
    stride: int
    subrange: NoiseSubrange
    anchor: Anchor
    files: dict[str, str]
    weights: dict[str, Tensor]
    cfa: Kind = "bayer"

    def load(self) -> nn.Module:
        """Return the network with its weights, in evaluation mode."""
        network = build_network(self.network, self.config)
        network.load_state_dict(self.weights)
        return network.eval()


def card_of_run(folder: Path) -> RunCard:
    """Return the card of the run in `folder`.

    Raises
    ------
    ModelError: if there is no checkpoint, or it is damaged.
    """
    checkpoint = load_checkpoint(folder)
    if checkpoint is None:
        raise ModelError(f"{folder}: contains no checkpoint. Train first.")
    recipe, index = recipe_from_json(checkpoint.recipe["recipe"]), checkpoint.recipe["subrange"]
    config = recipe.network_config(index)
    with torch.device("meta"):
        network: Any = build_network(recipe.network, config)
    return RunCard(
        name=folder.name,
        network=recipe.network,
        config=config,
        input=recipe.input,
        stride=network.stride,
        subrange=recipe.subrange(index),
        anchor=recipe.anchor(index),
        files={"average": _sha256_of(checkpoint.average)},
        weights=checkpoint.average,
        cfa=recipe.cfa,
    )


def _sha256_of(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in weights.items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
