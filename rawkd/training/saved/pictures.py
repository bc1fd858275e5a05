"""Training and held-out pictures of a run: what its checkpoint stores of them, and whether a resumed run has the same.

Pictures are held out by their place among the names, so one more or less in the folder also changes which pictures are
held out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from rawkd.errors import ModelError
from rawkd.training.data.clean import CleanSet
from rawkd.training.saved.checkpoint import Checkpoint

DIGITS = 16
"""Hexadecimal digits of a file's SHA-256 that a checkpoint stores."""
Named = tuple[str, str]
"""Name of a picture relative to its folder, and digits of its hash; "" if they are not known."""


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
        new = () if training is None else {*training.names} - {name for name, _ in known_to(origin)}
        differences = [_counted("training", "new", new)] if new else []
    if differences:
        raise ModelError(
            f"{folder}: this run started with other pictures ({', '.join(differences)}). Give the --data that it"
            " started with, or another --out with --start-from."
        )


def known_to(origin: dict[str, Any] | None) -> set[Named]:
    """Return the pictures that the weights of an origin are known to have learnt.

    Older versions stored names, and hashes of the last run's pictures alone.
    """
    if origin is None:
        return set()
    hashed: dict[str, set[str]] = {}
    for name, digest in origin.get("pictures", {}).get("training", []):
        hashed.setdefault(name, set()).add(digest)
    known: set[Named] = set()
    for entry in origin["learnt"]:
        if isinstance(entry, str):
            earlier = {""} if entry not in hashed or origin["stages"] else set[str]()  # perhaps another of this name
            known |= {(entry, digest) for digest in hashed.get(entry, set[str]()) | earlier}
        else:
            known.add((entry[0], entry[1]))
    return known


def learnt_of(pictures: CleanSet, known: Collection[Named]) -> list[Path]:
    """Return which pictures of a set are among those known: by their content, or by name where only that is known."""
    names, digests = _names_and_digests(known)
    return [
        path
        for path, name in zip(pictures.paths, pictures.names, strict=True)
        if name in names or (digests and _digest(path) in digests)
    ]


def learnt_before(origin: dict[str, Any] | None, training: CleanSet | None, held_out: CleanSet | None) -> list[str]:
    """Return the names of held-out pictures that the weights which a run starts from have learnt.

    Pictures that the run itself has in both sets do not count.
    """
    if origin is None or training is None or held_out is None or training is held_out:
        return []
    own = origin.get("pictures") or pictures_of(training, held_out)
    of_run = {(name, digest) for name, digest in own["training"]}
    of_run |= {(name, "") for name, _ in of_run}
    return names_learnt(own["held_out"], known_to(origin) - of_run)


def names_learnt(pictures: list[list[str]], known: Collection[Named]) -> list[str]:
    """Return the names of those pictures of a checkpoint that are among those known, as `learnt_of`."""
    names, digests = _names_and_digests(known)
    return sorted(name for name, digest in pictures if name in names or digest in digests)


def _names_and_digests(known: Collection[Named]) -> tuple[set[str], set[str]]:
    """Return the names of which nothing else is known, and the digits of the others."""
    return {name for name, digest in known if not digest}, {digest for _, digest in known if digest}


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
