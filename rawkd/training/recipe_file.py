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

import torch

from rawkd.errors import ModelError, UsageError
from rawkd.networks import NETWORKS, build_network
from rawkd.training.config import Recipe, recipe_from_json, recipe_json
from rawkd.training.data.wrong_samples import WEAKEST_HOT
from rawkd.training.losses.terms import LOSSES
from rawkd.training.noise_recipe import AWGN
from rawkd.training.recipes import RECIPES

BASE = "base"
"""Field of a file with the name of a shipped recipe."""
SHARES = ("leaves", "skies", "lamps", "decay", "ema", "near_clean", "smoothed", "wrong_samples")
"""Fields of recipe and noise that lie between 0 and 1."""
LEAST = {
    **dict.fromkeys(("steps", "batch", "crop_px", "tries", "num_subranges"), 1),
    **dict.fromkeys(("warmup_steps", "overlap", "overlap_below", "seed", "gain_error", "read_error"), 0),
    "hottest": WEAKEST_HOT,
}
"""Smallest values of other fields."""
NOISE_MODELS = ("poisson-gaussian", "eld", AWGN)


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
        if isinstance(plain, dict):
            _refuse_unknown_network(plain.get("network"))
            plain = _on_base(plain, path.stem) if BASE in plain else plain
        recipe = recipe_from_json(plain)
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


def _refuse_unknown_network(name: object) -> None:
    """Raise ValueError for the name of no network, before its configuration is missed."""
    if isinstance(name, str) and name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}; choose one of {', '.join(NETWORKS)}")


def _refuse_values(recipe: Recipe) -> None:
    """Raise ValueError for values that no training can use, which only a file can have."""
    _refuse_numbers(recipe)
    if recipe.noise.model not in NOISE_MODELS:
        raise ValueError(f"there is no noise model {recipe.noise.model!r}; choose one of {', '.join(NOISE_MODELS)}")
    weights = recipe.losses.values()
    if not recipe.losses.keys() <= LOSSES.keys() or not all(isinstance(weight, int | float) for weight in weights):
        raise ValueError(f"the field losses must give numbers to some of {', '.join(LOSSES)}")
    if not sum(weights) > 0:
        raise ValueError("the field losses has no weight above 0")
    _refuse_network(recipe)


def _refuse_numbers(recipe: Recipe) -> None:
    """Raise ValueError for a number that is out of its range."""
    for name, value in {**vars(recipe), **vars(recipe.noise)}.items():
        if name in SHARES and not 0 <= value <= 1:
            raise ValueError(f"the field {name} is {value:g} and must lie between 0 and 1")
        if name in LEAST and value is not None and not LEAST[name] <= value < math.inf:
            raise ValueError(f"the field {name} is {value:g} and must be at least {LEAST[name]:g}")
    for rate in recipe.rates:
        if not 0 < rate < math.inf:
            raise ValueError(f"a learning rate of {rate:g} is not above 0")
    if not recipe.clip_norm > 0:
        raise ValueError(f"a clip_norm of {recipe.clip_norm:g} is not above 0")
    if not 0 < recipe.low <= recipe.high < math.inf:
        raise ValueError(f"the noise from low {recipe.low:g} to high {recipe.high:g} is no range above 0")


def _refuse_network(recipe: Recipe) -> None:
    """Raise ValueError if the network cannot be built, or cannot compute the recipe's crops.

    Raises
    ------
    UsageError: if the noise is for pictures and the network is not.
    """
    misfit = (
        f"the config does not fit the network {recipe.network}: lists need one number for each level, and widths must"
        " be multiples of groups and shrink; Python says: "
    )
    channels = recipe.channels
    try:
        network: Any = build_network(recipe.network, recipe.network_config(0))
    except ModelError as error:
        raise ValueError(str(error).rstrip(".")) from error
    except Exception as error:  # of any type, by the field that does not fit
        raise ValueError(f"{misfit}{error}") from error
    names = [name for name, _ in network.named_parameters()]
    for beginning in recipe.learning:
        if not isinstance(beginning, str) or not any(name.startswith(beginning) for name in names):
            raise ValueError(f"no parameter of the network begins with {beginning!r}, an entry of learning")
    if recipe.crop_px % network.stride:
        raise ValueError(f"crop_px {recipe.crop_px} is not a multiple of the network's stride, {network.stride}")
    if network.in_channels not in (channels, 2 * channels):
        raise ValueError(f"its crops have {channels} planes, and the network takes {network.in_channels}")
    side = min(recipe.crop_px, 2 * network.stride)
    try:
        with torch.no_grad():
            network(torch.zeros(1, network.in_channels, side, side))
    except Exception as error:
        raise ValueError(f"{misfit}{error}") from error
