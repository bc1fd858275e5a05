"""Training and held-out pictures of a run: what its checkpoint stores of them, and whether a resumed run has the same.

Pictures are held out by their place among the names, so one more or less in the folder also changes which pictures are
held out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rawkd.errors import ModelError
from rawkd.training.data.clean import CleanSet
from rawkd.training.saved.checkpoint import Checkpoint

DIGITS = 16
"""Hexadecimal digits of a file's SHA-256 that a checkpoint stores."""
Named = tuple[str, str]
"""Name of a picture relative to its folder, and digits of its hash."""


def pictures_of(training: CleanSet, held_out: CleanSet) -> dict[str, list[list[str]]]:
    """Return name and hash of every picture of both sets, plain JSON for a checkpoint."""
    return {"training": _named(training), "held_out": _named(held_out)}


def refuse_other_pictures(
    checkpoint: Checkpoint, training: CleanSet | None, held_out: CleanSet | None, folder: Path
) -> None:
    """Check that a resumed run learns from, and is validated on, the pictures that it started with.

    Otherwise its card would be wrong, and its validation could measure on pictures that it has learnt. Checkpoints of
    older versions store only the names of the training pictures.

    Raises
    ------
    ModelError: with the number of missing and new pictures and the first of them.
    """
    origin = checkpoint.origin
    if origin is None:
        return
    if "pictures" in origin:
        differences = _differences(origin["pictures"], training, held_out)
    else:
        new = () if training is None else {*training.names} - {*origin["learnt"]}
        differences = [_counted("training", "new", new)] if new else []
    if differences:
        raise ModelError(
            f"{folder}: this run started with other pictures ({', '.join(differences)}). Give the --data that it"
            " started with, or another --out with --start-from."
        )


def learnt_before(origin: dict[str, Any] | None, training: CleanSet | None, held_out: CleanSet | None) -> list[str]:
    """Return the names of held-out pictures that the weights which a run starts from have learnt."""
    if origin is None or training is None or held_out is None or training is held_out:
        return []
    return sorted({*held_out.names} & ({*origin["learnt"]} - {*training.names}))


def _differences(stored: dict[str, list[list[str]]], training: CleanSet | None, held_out: CleanSet | None) -> list[str]:
    found = []
    for use, pictures in (("training", training), ("held_out", held_out)):
        before: set[Named] = {(name, digest) for name, digest in stored[use]}
        now: set[Named] = set() if pictures is None else {(name, digest) for name, digest in _named(pictures)}
        for change, others in (("missing", before - now), ("new", now - before)):
            if others:
                found.append(_counted(use.replace("_", " "), change, (name for name, _ in others)))
    return found


def _counted(use: str, change: str, names: Iterable[str]) -> str:
    """Return a count such as "training: 2 new, first a.png"."""
    ordered = sorted(names)
    return f"{use}: {len(ordered)} {change}, first {ordered[0]}"


def _named(pictures: CleanSet) -> list[list[str]]:
    return sorted([name, _digest(path)] for name, path in zip(pictures.names, pictures.paths, strict=True))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
