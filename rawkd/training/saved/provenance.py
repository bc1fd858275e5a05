"""Where weights come from: pictures and their licences, the runs that led to them, the code."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rawkd.errors import InputError, ModelError
from rawkd.inference.card import ModelCard
from rawkd.training.data.clean import CleanSet
from rawkd.training.saved.checkpoint import Checkpoint, load_checkpoint
from rawkd.training.saved.stages import stage_of
from rawkd.training.saved.trained import find_trained

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


def origin_of(start_from: str | None, training: CleanSet | None, held_out: CleanSet | None) -> dict[str, Any]:
    """What a run begins with and learns from, as plain JSON for its checkpoint; set down when it begins.

    Returns
    -------
    `stages`: the runs before it, as in a card. `data`: one row a training file of those and of its own, with origin and
    licence where a SOURCES.tsv says them already (`stated`), and of every file that was held out. `learnt`: names of
    the training files in their folders.

    Raises
    ------
    ModelError: if there is nothing of that name to begin with.
    """
    before = _before(start_from)
    if training is None or held_out is None:
        return before
    learnt = sorted({*before["learnt"], *training.names})
    return {**before, "data": _together(_rows(held_out, training), before["data"], learnt), "learnt": learnt}


def refuse_other_pictures(checkpoint: Checkpoint, training: CleanSet | None, folder: Path) -> None:
    """Raise ModelError if a run that is resumed would learn from a picture that its origin does not name.

    Its card would be untrue: another picture in the folder also changes which ones are held out.
    """
    if checkpoint.origin is None or training is None:
        return
    if others := sorted({*training.names} - {*checkpoint.origin["learnt"]}):
        raise ModelError(
            f"{folder} has not learnt from {others[0]} and {len(others) - 1} more pictures so far: give the --data "
            "that it began with, or another --out with --start-from"
        )


def stages_of(run: Path) -> list[dict[str, Any]]:
    """The runs that led to these weights, first to last, those of a model that they began with too.

    Of each its recipe, steps, hours, last validation and settings.

    Raises
    ------
    ModelError: if a run of before origins were kept began with what is gone, since a card without it would be untrue.
    """
    checkpoint = _checkpoint_of(run)
    return [*_origin(checkpoint, run)["stages"], stage_of(checkpoint)]


def data_of(run: Path, held_out: CleanSet, training: CleanSet) -> list[dict[str, str]]:
    """One row a training file of these weights and of what they began with, and the files that were held out.

    Of a run that kept none, the files are those that are found now.

    Raises
    ------
    ModelError: as `stages_of`. InputError: as `stated`.
    """
    checkpoint = _checkpoint_of(run)
    rows = _origin(checkpoint, run)["data"]
    if checkpoint.origin is None:
        rows = _together(_rows(held_out, training), rows, training.names)
    return stated(rows, training.folders)


def learnt_by(run: Path) -> set[str]:
    """Names in their folders of the files that a run and those before it are known to have learnt from."""
    origin = _checkpoint_of(run).origin
    return set(origin["learnt"]) if origin else set()


def stated(rows: list[dict[str, str]], folders: list[Path]) -> list[dict[str, str]]:
    """The rows, those without a licence completed by the SOURCES.tsv of the folders.

    Raises
    ------
    InputError: if a training file has no row there, since weights of unknown origin must not ship, or a table lacks a
        column.
    """
    known = _tables(folders, strict=True)
    done, missing = [], []
    for row in rows:
        if "licence" in row or "use" in row:
            done.append(row)
            continue
        found = [known[folder / row["file"]] for folder in folders if folder / row["file"] in known]
        if found:
            done.append(found[0])
        else:
            missing.append(row["file"])
    if missing:
        raise InputError(
            f"{missing[0]} and {len(missing) - 1} more files have no row in SOURCES.tsv: state origin and licence"
        )
    return done


def _checkpoint_of(run: Path) -> Checkpoint:
    checkpoint = load_checkpoint(run)
    if checkpoint is None:
        raise ModelError(f"{run} holds no run: train first")
    return checkpoint


def _origin(checkpoint: Checkpoint, run: Path) -> dict[str, Any]:
    """The origin that a run kept, or without its own files where it began, if that is still there."""
    if checkpoint.origin is not None:
        return checkpoint.origin
    try:
        return _before(checkpoint.recipe["start_from"])
    except ModelError as error:
        raise ModelError(f"{run} began with what is gone: {error}, or put it back where it was") from error


def _before(start_from: str | None) -> dict[str, Any]:
    """Stages and data of what a run begins with."""
    if not start_from:
        return {"stages": [], "data": [], "learnt": []}
    begun = find_trained(start_from)
    if isinstance(begun, ModelCard):
        return {"stages": begun.recipe.get("stages", []), "data": begun.data, "learnt": []}
    run = Path(start_from)
    return {**_origin(_checkpoint_of(run), run), "stages": stages_of(run)}


def _rows(held_out: CleanSet, training: CleanSet) -> list[dict[str, str]]:
    """One row a training file: its name, and what a SOURCES.tsv beside or above it says of origin and licence."""
    known = _tables(training.folders)
    own = [known.get(path) or {"file": name} for path, name in zip(training.paths, training.names, strict=True)]
    return own + [
        {"file": name, "use": "held out for validation"}
        for path, name in zip(held_out.paths, held_out.names, strict=True)
        if path not in training.paths
    ]


def _tables(folders: list[Path], *, strict: bool = False) -> dict[Path, dict[str, str]]:
    """Every file that a SOURCES.tsv names, relative to its own folder, and the table's columns of it.

    A table without one of the columns is passed over, or raises InputError if that is `strict`.
    """
    known: dict[Path, dict[str, str]] = {}
    for table in (table for folder in folders for table in sorted(folder.rglob("SOURCES.tsv"))):
        try:
            text = table.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{table} is no UTF-8: save it again as UTF-8, tab-separated") from error
        rows = csv.DictReader(io.StringIO(text), delimiter="\t")
        if lacking := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
            if not strict:
                continue
            raise InputError(f"{table} has no column {lacking[0]}: it needs {', '.join(COLUMNS)}, tab-separated")
        known |= {table.parent / row["file"]: {key: row[key] for key in COLUMNS} for row in rows}
    return known


def _together(own: list[dict[str, str]], before: list[dict[str, str]], learnt: Collection[str]) -> list[dict[str, str]]:
    """Both without repeats; held out is what none of them learnt from."""
    rows = own + [row for row in before if row not in own]
    return [row for row in rows if "use" not in row or row["file"] not in learnt]


def today() -> str:
    """The date in ISO form."""
    return time.strftime("%Y-%m-%d")
