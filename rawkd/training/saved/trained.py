"""A trained network by its name: a shipped model, the folder of a model, or that of a run which was not exported."""

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
"""Of a model, or of a run that was not exported."""


def find_trained(name_or_folder: str) -> TrainedCard:
    """The card of a shipped model by its name, or of the folder of a model or of a run.

    Raises
    ------
    ModelError: if there is no card, or it is wrong: another input than planes R, Gr, Gb, B, with or without variance.
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
        f"{name_or_folder} is neither a model's folder nor a shipped model ({known}), nor a run: name one of them"
    )


def in_one_spelling(name_or_folder: str) -> str:
    """The same for `runs/x/` and `runs/x`; a folder that is called like a shipped model stays told from it, `./x`."""
    if name_or_folder in (shipped := _shipped()):
        return name_or_folder
    folder = str(Path(name_or_folder))
    return f".{os.sep}{folder}" if folder in shipped else folder


def _shipped() -> dict[str, Path]:
    """Folders of the shipped models by name."""
    return {path.parent.name: path.parent for path in models_directory().glob(f"*/{CARD}")}


def load_trained(card: TrainedCard) -> nn.Module:
    """The network with its weights.

    Raises
    ------
    ModelError: if the weights are altered or do not fit.
    """
    return card.load() if isinstance(card, RunCard) else load_module(card)
