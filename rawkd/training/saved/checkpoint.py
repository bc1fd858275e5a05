"""Checkpoints of training runs, written atomically."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rawkd.errors import ModelError, OutputError
from rawkd.files.write.atomic import atomic_output

CHECKPOINT, PREVIOUS = "checkpoint.pt", "checkpoint-previous.pt"


@dataclass(frozen=True)
class Checkpoint:
    """State of a run after `step` steps.

    Attributes
    ----------
    recipe : plain JSON of recipe, subrange, start and distillation.
    student, average, optimiser : state dicts.
    seconds : training time so far. history : step and values of every validation.
    adapters : state dict of the strategy's adapters, or None.
    origin : initial weights and pictures (`provenance.origin_of`); None in older checkpoints.
    precision : number format of the matrix products of a step: bf16 | f32; None in older checkpoints.
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
    precision: str | None = None


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint.pt` and keep the last one as `checkpoint-previous.pt`; an interrupted write damages neither.

    Raises
    ------
    OutputError: if it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(vars(checkpoint), buffer)
    current = folder / CHECKPOINT
    with atomic_output(current, overwrite=True) as temporary:
        temporary.write_bytes(buffer.getbuffer())  # torch's own writer does not report a full disk
        if current.exists():
            current.replace(folder / PREVIOUS)


def save_snapshot(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the averaged weights in fp16, without optimiser state, as a run that other runs can start from.

    A snapshot has a sixth of the size of a checkpoint. `--start-from` and `rawkd export` accept its folder; it cannot
    be resumed. Of the folder that the run started from it keeps the name alone, because snapshots are published.

    Raises
    ------
    OutputError: if it cannot be written.
    """
    halved = {
        name: weight.half() if weight.is_floating_point() else weight for name, weight in checkpoint.average.items()
    }
    create_folder(folder, "--snapshot")
    start = checkpoint.recipe.get("start_from")
    run = {**checkpoint.recipe, "start_from": Path(start).name if start else None}
    save_checkpoint(folder, replace(checkpoint, recipe=run, student={}, average=halved, optimiser={}, adapters=None))


def create_folder(folder: Path, option: str = "--out") -> None:
    """Create the folder of a run and those above it, if they do not exist.

    Parameters
    ----------
    option : of the command line that names the folder, for the message.

    Raises
    ------
    OutputError: if it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be created ({error.strerror}). Give another {option}.") from error


def load_checkpoint(folder: Path, warn: Callable[[str], None] = lambda _: None) -> Checkpoint | None:
    """Return the newest intact checkpoint of a run, or None if there is no checkpoint.

    Parameters
    ----------
    warn : called with a message if the newest is damaged and the previous one is used.

    Raises
    ------
    ModelError: if all checkpoints are damaged.
    """
    damaged = ""
    for path in (folder / CHECKPOINT, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            found = Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # unpickling raises many types; all of them mean damage
            damaged = damaged or f"{path}: the checkpoint is damaged ({type(error).__name__})"
            continue
        if damaged:
            warn(f"{damaged}. The run continues from {path.name}, step {found.step}.")
        return found
    if damaged:
        raise ModelError(f"{damaged}. Delete it or give another --out.")
    return None
