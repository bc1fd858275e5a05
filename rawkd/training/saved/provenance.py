"""Provenance of weights: training pictures with licences, earlier runs, code."""

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
from rawkd.training.saved.pictures import Named, known_to, names_learnt, pictures_of
from rawkd.training.saved.stages import stage_of
from rawkd.training.saved.trained import find_trained

COLUMNS = ("file", "repository", "path", "licence")
"""Required columns of a SOURCES.tsv (tab-separated); other columns are ignored."""


@dataclass(frozen=True)
class Provenance:
    """Facts about a model that its run does not contain.

    Attributes
    ----------
    family, licence : of the weights. commit : of the code. data : one row per training file. created : ISO date.
    hardware : such as "2 CPU cores, bf16".
    """

    family: str
    licence: str
    commit: str
    data: list[dict[str, str]]
    created: str
    hardware: str


def origin_of(start_from: str | None, training: CleanSet | None, held_out: CleanSet | None) -> dict[str, Any]:
    """Return the origin of a new run, plain JSON for its checkpoint: initial weights and training pictures.

    Returns
    -------
    `stages`: the earlier runs, as in a card. `data`: one row per training file of this and earlier runs, with source
    and licence if a SOURCES.tsv has them (`with_licences`), and per held-out file. `learnt`: name and
    digits of the hash of every such training file (`pictures.known_to`). `pictures`: those of this run, with their
    hashes (`pictures.pictures_of`).

    Raises
    ------
    ModelError: if `start_from` does not exist. InputError: if a SOURCES.tsv has a line with other columns than its
        header.
    """
    before = _origin_before(start_from)
    if training is None or held_out is None:
        return before
    pictures, earlier = pictures_of(training, held_out), known_to(before)
    learnt = earlier | {(name, digest) for name, digest in pictures["training"]}
    seen = {name for name, _ in learnt} | {*names_learnt(pictures["held_out"], earlier)}
    data = _merged(_rows(held_out, training), before["data"], seen)
    return {**before, "data": data, "learnt": _listed(learnt), "pictures": pictures}


def stages_of(run: Path) -> list[dict[str, Any]]:
    """Return the runs that led to these weights, first to last, including those of the model they started from.

    Each row has recipe, steps, hours, last validation and settings (`stage_of`).

    Raises
    ------
    ModelError: if an older run does not store its origin and the weights it started from no longer exist. A card
        without them would be wrong.
    """
    checkpoint = _checkpoint_of(run)
    return [*_origin(checkpoint, run)["stages"], stage_of(checkpoint)]


def data_of(run: Path, held_out: CleanSet, training: CleanSet) -> list[dict[str, str]]:
    """Return one row per training file of this and earlier runs, and per held-out file.

    An older run does not store its files; for it we use the given sets.

    Raises
    ------
    ModelError: as `stages_of`. InputError: as `with_licences`.
    """
    checkpoint = _checkpoint_of(run)
    rows = _origin(checkpoint, run)["data"]
    if checkpoint.origin is None:
        rows = _merged(_rows(held_out, training), rows, training.names)
    return with_licences(rows, training.folders)


def trained_on(run: Path) -> set[Named]:
    """Return the files that this and earlier runs are known to train on (`pictures.known_to`)."""
    return known_to(_checkpoint_of(run).origin)


def learnt_by(name_or_folder: str) -> set[Named]:
    """Return the files that a model or run is known to train on (`pictures.known_to`); a model has only their names.

    Raises
    ------
    ModelError: as `find_trained`.
    """
    found = find_trained(name_or_folder)
    return _learnt_of(found) if isinstance(found, ModelCard) else trained_on(Path(name_or_folder))


def _learnt_of(card: ModelCard) -> set[Named]:
    """Return the training files in a card, whose names are those below the folder of their SOURCES.tsv."""
    return {(row["file"], "") for row in card.data if isinstance(row, dict) and "file" in row and "use" not in row}


def with_licences(rows: list[dict[str, str]], folders: list[Path]) -> list[dict[str, str]]:
    """Return the rows with missing sources and licences filled in from the SOURCES.tsv files of the folders.

    Raises
    ------
    InputError: if a training file has no row there (weights of unknown origin must not ship), or a table lacks a column
        or has a line with others.
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
            f"{missing[0]} and {len(missing) - 1} more files have no row in SOURCES.tsv. Add their source and licence."
        )
    return done


def _checkpoint_of(run: Path) -> Checkpoint:
    checkpoint = load_checkpoint(run)
    if checkpoint is None:
        raise ModelError(f"{run}: contains no run. Train one first.")
    return checkpoint


def _origin(checkpoint: Checkpoint, run: Path) -> dict[str, Any]:
    """Return the stored origin of a run; for an older run that of its start, without its own training files."""
    if checkpoint.origin is not None:
        return checkpoint.origin
    try:
        return _origin_before(checkpoint.recipe["start_from"])
    except ModelError as error:
        raise ModelError(f"{run}: the weights that it started from are missing ({error}). Put them back.") from error


def _origin_before(start_from: str | None) -> dict[str, Any]:
    """Return stages and data of the weights that a run starts from; empty for none."""
    if not start_from:
        return {"stages": [], "data": [], "learnt": []}
    begun = find_trained(start_from)
    if isinstance(begun, ModelCard):
        return {"stages": begun.recipe.get("stages", []), "data": begun.data, "learnt": _listed(_learnt_of(begun))}
    run = Path(start_from)
    origin = _origin(_checkpoint_of(run), run)
    before = {key: value for key, value in origin.items() if key != "pictures"}
    return {**before, "learnt": _listed(known_to(origin)), "stages": stages_of(run)}


def _listed(known: set[Named]) -> list[list[str]]:
    return [list(one) for one in sorted(known)]


def _rows(held_out: CleanSet, training: CleanSet) -> list[dict[str, str]]:
    """Return one row per training and held-out file: its name, with the columns of a SOURCES.tsv if it is listed."""
    known = _tables(training.folders)
    own = [known.get(path) or {"file": name} for path, name in zip(training.paths, training.names, strict=True)]
    return own + [
        {"file": name, "use": "held out for validation"}
        for path, name in zip(held_out.paths, held_out.names, strict=True)
        if path not in training.paths
    ]


def _tables(folders: list[Path], *, strict: bool = False) -> dict[Path, dict[str, str]]:
    """Return the required columns of every file that is listed in a SOURCES.tsv below the folders.

    A table without one of these columns raises InputError if `strict`; otherwise it is ignored. So does, always, a line
    with more or fewer columns than the header, whose licence may stand in another column.
    """
    known: dict[Path, dict[str, str]] = {}
    for table in (table for folder in folders for table in sorted(folder.rglob("SOURCES.tsv"))):
        try:
            text = table.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{table}: not UTF-8. Save it as UTF-8, tab-separated.") from error
        rows = csv.reader(io.StringIO(text), delimiter="\t")
        header = next(rows, [])
        if lacking := [column for column in COLUMNS if column not in header]:
            if not strict:
                continue
            raise InputError(f"{table}: there is no column {lacking[0]}. It needs {', '.join(COLUMNS)}, tab-separated.")
        for row in filter(None, rows):  # without empty lines
            if len(row) != len(header):
                lengths = f"{len(row)} columns, the header has {len(header)}"
                raise InputError(f"{table}, line {rows.line_num}: {lengths}. Correct this line.")
            values = dict(zip(header, row, strict=True))
            known[table.parent / values["file"]] = {key: values[key] for key in COLUMNS}
    return known


def _merged(
    own: list[dict[str, str]], before: list[dict[str, str]], trained_on: Collection[str]
) -> list[dict[str, str]]:
    """Return both lists without duplicates; held-out rows of files that a run trained on are dropped."""
    rows = own + [row for row in before if row not in own]
    return [row for row in rows if "use" not in row or row["file"] not in trained_on]


def today() -> str:
    """Return today's date in ISO format."""
    return time.strftime("%Y-%m-%d")
