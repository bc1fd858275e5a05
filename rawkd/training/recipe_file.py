"""A recipe by its name or from a file.

A file is a JSON object with the fields of a `Recipe`, as `rawkd search` writes it, or with those that differ from a
shipped recipe, which it names as its base:

    {"base": "fanet-fast", "crop_px": 96, "noise": {"smoothed": 0.2}}
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from rawkd.errors import UsageError
from rawkd.networks import NETWORKS
from rawkd.training.config import Recipe, recipe_from_json, recipe_json
from rawkd.training.losses.terms import LOSSES
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
    if the network is that of the base. A recipe with a base and without a name is named after the file.

    Raises
    ------
    UsageError: if the file cannot be read or is not a recipe.
    """
    try:
        plain = json.loads(path.read_bytes())
        recipe = recipe_from_json(_on_base(plain, path.stem) if isinstance(plain, dict) and BASE in plain else plain)
        _refuse_values(recipe)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}). Give a recipe's name or file.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path}: not a recipe ({error}). Give a file with a base and what differs from it, or one that"
            " `rawkd search` wrote."
        ) from error
    return recipe


def _on_base(plain: dict[str, Any], name: str) -> dict[str, Any]:
    """Return all fields of a recipe that states its differences from a base; ValueError for an unknown base."""
    base, changed = plain[BASE], {key: value for key, value in plain.items() if key != BASE}
    if not isinstance(base, str) or base not in RECIPES:
        raise ValueError(f"there is no base {base!r}; choose one of {', '.join(RECIPES)}")
    own = recipe_json(RECIPES[base])
    parts = ["noise", "config"]
    if changed.get("network", own["network"]) != own["network"]:
        parts.remove("config")
        del own["config"]  # of another network
    merged = {part: {**own[part], **changed[part]} for part in parts if isinstance(changed.get(part), dict)}
    return {**own, "name": name, **changed, **merged}


def _refuse_values(recipe: Recipe) -> None:
    """Raise ValueError for values that no training can use, which only a file can have."""
    for name in ("steps", "batch", "crop_px", "tries", "num_subranges"):
        if getattr(recipe, name) < 1:
            raise ValueError(f"the field {name} is below 1")
    for rate in recipe.rates:
        if not 0 < rate < math.inf:
            raise ValueError(f"a learning rate of {rate:g} is not above 0")
    if not 0 < recipe.low <= recipe.high < math.inf:
        raise ValueError(f"the noise from low {recipe.low:g} to high {recipe.high:g} is no range above 0")
    if recipe.network not in NETWORKS:
        raise ValueError(f"there is no network {recipe.network!r}; choose one of {', '.join(NETWORKS)}")
    weights = recipe.losses.values()
    if not recipe.losses.keys() <= LOSSES.keys() or not all(isinstance(weight, int | float) for weight in weights):
        raise ValueError(f"the field losses must give numbers to some of {', '.join(LOSSES)}")
    if not sum(weights) > 0:
        raise ValueError("the field losses has no weight above 0")
