"""The settings that a checkpoint must share with the run that resumes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rawkd.errors import ModelError
from rawkd.training.config import Recipe, recipe_from_json, recipe_json
from rawkd.training.saved.checkpoint import Checkpoint
from rawkd.training.saved.trained import normalised_name

TEACHER, TEACHER_FILES = "distillation.teacher", "distillation.files"
"""Names of the teachers, and the hash of their files."""


def identity_of(
    recipe: Recipe, subrange: int, start_from: str | None, distillation: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the settings that a checkpoint must have to be resumed, plain JSON."""
    start = normalised_name(start_from) if start_from else None
    identity = {"recipe": recipe_json(recipe), "subrange": subrange, "start_from": start}
    return identity | ({"distillation": distillation} if distillation else {})


def refuse_other_recipe(checkpoint: Checkpoint, recipe: dict[str, Any], folder: Path) -> None:
    """Raise ModelError with the differences if the checkpoint was made by another recipe."""
    stored, requested = _flat(with_current_defaults(checkpoint.recipe)), _flat(recipe)
    keys = sorted(key for key in stored.keys() | requested.keys() if stored.get(key) != requested.get(key))
    if TEACHER in keys and TEACHER_FILES in keys:
        keys.remove(TEACHER_FILES)  # other teachers have other files
    if keys:
        changes = ", ".join(_change(key, stored.get(key), requested.get(key)) for key in keys)
        raise ModelError(
            f"{folder}: contains a run of another recipe ({changes}). Give another --out, or the recipe of that run."
        )


def with_current_defaults(identity: dict[str, Any], field: str = "recipe") -> dict[str, Any]:
    """Return a run's settings with defaults for recipe fields that were added later; these do not change the run."""
    try:
        return {**identity, field: recipe_json(recipe_from_json(identity[field]))}
    except ValueError:  # it has a field that no longer exists, which the list of differences will show
        return identity


def _change(key: str, stored: Any, requested: Any) -> str:
    if key == TEACHER_FILES:
        return "the teacher has other weights"
    return f"{key} {stored} -> {requested}"


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
