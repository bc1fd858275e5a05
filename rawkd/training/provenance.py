"""Where weights come from: pictures and their licences, the runs that led to them, the code."""

from __future__ import annotations

import csv
import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rawkd.errors import InputError, ModelError
from rawkd.inference.card_file import ModelCard
from rawkd.training.checkpoint import Checkpoint, load_checkpoint
from rawkd.training.clean import CleanSet
from rawkd.training.trained import find_trained

COLUMNS = ("file", "repository", "path", "licence")
"""Of a SOURCES.tsv, tab-separated; more are no matter."""


@dataclass(frozen=True)
class Provenance:
    """What a run cannot know of itself.

    Attributes
    ----------
    family, licence : of the weights. commit : of the code. data : one row a training file. created : a date.
    hardware : its kind ("2 CPU cores, bf16").
    """

    family: str
    licence: str
    commit: str
    data: list[dict[str, str]]
    created: str
    hardware: str


def stages_of(run: Path) -> list[dict[str, Any]]:
    """The runs that led to these weights, first to last, those of a model that they began with too.

    Of each its recipe, steps, hours and last validation.

    Raises
    ------
    ModelError: if one of them is gone, since a card without it would be untrue.
    """
    runs, model = _ancestry(run)
    return [*(model.recipe.get("stages", []) if model else []), *map(_stage, runs)]


def inherited_rows(run: Path) -> list[dict[str, str]]:
    """The training files of the model that these weights began with, if there was one.

    Raises
    ------
    ModelError: as `stages_of`.
    """
    _, model = _ancestry(run)
    return model.data if model else []


def _ancestry(run: Path) -> tuple[list[Checkpoint], ModelCard | None]:
    """The runs that led to these weights, first to last, and the model that the first of them began with."""
    checkpoint = load_checkpoint(run)
    if checkpoint is None:
        raise ModelError(f"{run} holds no run: train first")
    before = checkpoint.recipe["start_from"]
    if not before:
        return [checkpoint], None
    try:
        begun = find_trained(before)
    except ModelError as error:
        raise ModelError(f"{run} began with what is gone: {error}, or put it back where it was") from error
    if isinstance(begun, ModelCard):
        return [checkpoint], begun
    runs, model = _ancestry(Path(before))
    return [*runs, checkpoint], model


def _stage(checkpoint: Checkpoint) -> dict[str, Any]:
    stage = {
        "recipe": checkpoint.recipe["recipe"]["name"],
        "steps": checkpoint.step,
        "hours": round(checkpoint.seconds / 3600, 2),
        "val_psnr_gain_db": round(checkpoint.history[-1]["val_psnr_gain_db"], 3),
    }
    if distillation := checkpoint.recipe.get("distillation"):
        stage["distillation"] = distillation
    return stage


def data_rows(held_out: CleanSet, training: CleanSet, folders: list[Path]) -> list[dict[str, str]]:
    """One row a training file: its name and what a SOURCES.tsv beside or above it says of origin and licence.

    The table names files relative to its own folder.

    Raises
    ------
    InputError: if a file has no row there, since weights of unknown origin must not ship, or the table lacks a column.
    """
    known: dict[Path, dict[str, str]] = {}
    for table in (table for folder in folders for table in sorted(folder.rglob("SOURCES.tsv"))):
        rows = csv.DictReader(io.StringIO(table.read_text(encoding="utf-8")), delimiter="\t")
        if lacking := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
            raise InputError(f"{table} has no column {lacking[0]}: it needs {', '.join(COLUMNS)}, tab-separated")
        known |= {table.parent / row["file"]: row for row in rows}
    missing = [path.name for path in training.paths if path not in known]
    if missing:
        raise InputError(
            f"{missing[0]} and {len(missing) - 1} more files have no row in SOURCES.tsv: state origin and licence"
        )
    used = [known[path] for path in training.paths]
    return [{key: row[key] for key in COLUMNS} for row in used] + [
        {"file": path.name, "use": "held out for validation"} for path in held_out.paths if path not in training.paths
    ]


def today() -> str:
    """The date in ISO form."""
    return time.strftime("%Y-%m-%d")
