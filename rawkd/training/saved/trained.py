"""Find a trained network: a shipped model by name, or the folder of a model or of a run."""

from __future__ import annotations

import os
from pathlib import Path

from torch import nn

from rawkd.errors import ModelError
from rawkd.inference.card import ModelCard
from rawkd.inference.card_file import CARD, read_card
from rawkd.inference.torch_engine import load_module
from rawkd.inference.weights import models_directory
from rawkd.training.saved.checkpoint import CHECKPOINT
from rawkd.training.saved.run_card import RunCard, card_of_run

TrainedCard = ModelCard | RunCard
"""Card of a model, or of a run that was not exported."""


def find_trained(name_or_folder: str) -> TrainedCard:
    """Return the card of a shipped model by name, or of the folder of a model or run.

    Raises
    ------
    ModelError: if nothing has that name, or the card is invalid.
    """
    shipped = _shipped()
    if name_or_folder in shipped:
        return read_card(shipped[name_or_folder])
    folder = Path(name_or_folder)
    if (folder / CARD).exists():
        return read_card(folder)
    if (folder / CHECKPOINT).exists():
        return card_of_run(folder)
    known = ", ".join(sorted(shipped)) or "none"
    raise ModelError(
        f"{name_or_folder}: neither the folder of a model or run nor a shipped model. Shipped models: {known}."
    )


def normalised_name(name_or_folder: str) -> str:
    """Return one spelling for equal paths, such as `runs/x/` and `runs/x`.

    A folder with the name of a shipped model becomes `./x`, to distinguish the two.
    """
    if name_or_folder in (shipped := _shipped()):
        return name_or_folder
    folder = str(Path(name_or_folder))
    return f".{os.sep}{folder}" if folder in shipped else folder


def _shipped() -> dict[str, Path]:
    """Return the folders of the shipped models by name."""
    return {path.parent.name: path.parent for path in models_directory().glob(f"*/{CARD}")}


def load_trained(card: TrainedCard) -> nn.Module:
    """Return the network with its weights.

    Raises
    ------
    ModelError: if the weights are damaged or do not fit.
    """
    return card.load() if isinstance(card, RunCard) else load_module(card)
