"""A recipe by its name or from a file.

A file is a JSON object with the fields of a `Recipe`, as `rawkd search` writes it, or with those that differ from a
shipped recipe, which it names as its base:

    {"base": "fanet-fast", "crop_px": 96, "noise": {"smoothed": 0.2}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rawkd.errors import UsageError
from rawkd.training.config import Recipe, recipe_from_json, recipe_json
from rawkd.training.recipes import RECIPES

BASE = "base"
"""Field of a file with the name of a shipped recipe."""


def recipe_named(name: str) -> Recipe:
    """Return the recipe of that name, or read it from a file of that name (`read_recipe`).

    Raises
    ------
    UsageError: if there is neither, or the file is not a recipe.
    """
    if name in RECIPES:
        return RECIPES[name]
    if Path(name).is_file():
        return read_recipe(Path(name))
    raise UsageError(f"there is no recipe {name!r}. Choose one of {', '.join(RECIPES)}, or give a recipe file.")


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a JSON file.

    With a base, the other fields replace those of the base; `noise` replaces only its own fields, and so does `config`
    if the network is that of the base. The recipe is named after the file unless it has a name.

    Raises
    ------
    UsageError: if the file cannot be read or is not a recipe.
    """
    try:
        plain = json.loads(path.read_bytes())
        return recipe_from_json(_on_base(plain, path.stem) if isinstance(plain, dict) and BASE in plain else plain)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}). Give a recipe's name or file.") from error
    except ValueError as error:
        raise UsageError(
            f"{path}: not a recipe ({error}). Give a file with a base and what differs from it, or one that"
            " `rawkd search` wrote."
        ) from error


def _on_base(plain: dict[str, Any], name: str) -> dict[str, Any]:
    """Return all fields of a recipe that states its differences from a base; ValueError for an unknown base."""
    base, changed = plain[BASE], {key: value for key, value in plain.items() if key != BASE}
    if not isinstance(base, str) or base not in RECIPES:
        raise ValueError(f"there is no base {base!r}; choose one of {', '.join(RECIPES)}")
    own = recipe_json(RECIPES[base])
    parts = ["noise", *(["config"] if changed.get("network", own["network"]) == own["network"] else [])]
    merged = {part: {**own[part], **changed[part]} for part in parts if isinstance(changed.get(part), dict)}
    return {**own, "name": name, **changed, **merged}
