"""The state of a training run on disk: written beside and renamed, refused when it is of another recipe."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rawkd.errors import ModelError, OutputError
from rawkd.files.write.atomic import atomic_output
from rawkd.training.config import recipe_from_json, recipe_json

CHECKPOINT, PREVIOUS = "checkpoint.pt", "checkpoint-previous.pt"


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
    """Write `checkpoint.pt` and keep the one before as `checkpoint-previous.pt`; an interrupted write leaves both.

    Raises
    ------
    OutputError: if it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(vars(checkpoint), buffer)
    current = folder / CHECKPOINT
    with atomic_output(current, overwrite=True) as temporary:
        temporary.write_bytes(buffer.getbuffer())  # torch's own writer hides that the disk is full
        if current.exists():
            current.replace(folder / PREVIOUS)


def save_snapshot(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a run's averaged weights in fp16, without the state of its optimiser, as a run that others start from.

    A snapshot is a sixth of a checkpoint. `--start-from` and `rawkd export` take its folder; it cannot be resumed.

    Raises
    ------
    OutputError: if it cannot be written.
    """
    halved = {
        name: weight.half() if weight.is_floating_point() else weight for name, weight in checkpoint.average.items()
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be created ({error.strerror}). Give another --snapshot.") from error
    save_checkpoint(folder, replace(checkpoint, student={}, average=halved, optimiser={}, adapters=None))


def load_checkpoint(folder: Path, warn: Callable[[str], None] = lambda _: None) -> Checkpoint | None:
    """The newest sound checkpoint of a run, or None where there is none.

    Parameters
    ----------
    warn : called with a sentence if the newest is damaged and the one before it serves.

    Raises
    ------
    ModelError: if there are checkpoints and all are damaged.
    """
    damaged = ""
    for path in (folder / CHECKPOINT, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            found = Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # unpickling fails in a dozen ways, all of them damage
            damaged = damaged or f"{path}: the checkpoint is damaged ({type(error).__name__})"
            continue
        if damaged:
            warn(f"{damaged}. The run goes on from {path.name}, step {found.step}.")
        return found
    if damaged:
        raise ModelError(f"{damaged}. Delete it or name another --out.")
    return None


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
