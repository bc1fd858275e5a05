"""The state of a training run on disk: written beside and renamed, refused when it is of another recipe."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rawkd.errors import ModelError
from rawkd.files.write.atomic import atomic_output
from rawkd.training.config import recipe_from_json, recipe_json

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Checkpoint:
    """A run after `step` steps.

    Attributes
    ----------
    recipe : plain JSON of the recipe, the subrange and the run it started from.
    student, average, optimiser : their state dicts.
    seconds : time spent so far. history : (step, values) of every validation.
    adapters : state dict of what the strategy trains besides the student, or None.
    origin : what the run began with and learns from (`provenance.origin_of`); None of runs of before.
    """

    step: int
    recipe: dict[str, Any]
    student: dict[str, Any]
    average: dict[str, Any]
    optimiser: dict[str, Any]
    seconds: float
    history: list[dict[str, float]]
    adapters: dict[str, Any] | None = None
    origin: dict[str, Any] | None = None


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint.pt`; an interrupted write leaves the old one.

    Raises
    ------
    OutputError: if it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(vars(checkpoint), buffer)
    with atomic_output(folder / CHECKPOINT, overwrite=True) as temporary:
        temporary.write_bytes(buffer.getbuffer())  # torch's own writer hides that the disk is full


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint of a run, or None where there is none.

    Raises
    ------
    ModelError: if it is damaged.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # unpickling fails in a dozen ways, all of them damage
        kind = type(error).__name__
        raise ModelError(f"{path}: the checkpoint is damaged ({kind}): delete it or name another --out") from error


def refuse_other_recipe(checkpoint: Checkpoint, recipe: dict[str, Any], folder: Path) -> None:
    """Raise ModelError with the difference if the checkpoint was made by another recipe."""
    stored, asked = _flat(in_todays_words(checkpoint.recipe)), _flat(recipe)
    keys = sorted(key for key in stored.keys() | asked.keys() if stored.get(key) != asked.get(key))
    if keys:
        changes = ", ".join(f"{key} {stored.get(key)} -> {asked.get(key)}" for key in keys)
        raise ModelError(f"{folder} holds a run of another recipe ({changes}): name another --out, or the old recipe")


def in_todays_words(identity: dict[str, Any], field: str = "recipe") -> dict[str, Any]:
    """What a run was asked for, with the defaults of the recipe's fields that came later: they change nothing of it."""
    try:
        return {**identity, field: recipe_json(recipe_from_json(identity[field]))}
    except ValueError:  # a field that is no more: the difference will name it
        return identity


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
