"""A recipe by its name or from a file.

A file is a JSON object with the fields of a `Recipe`, as `rawkd search` writes it, or with those that differ from a
shipped recipe, which it names as its base:

    {"base": "fanet-fast", "crop_px": 96, "noise": {"smoothed": 0.2}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import torch

from rawkd.errors import ModelError, UsageError
from rawkd.inference.pictures import WHITE
from rawkd.networks import NETWORKS, build_network
from rawkd.sensor.noise import NOISE_LIMITS
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
MOST = 4096
"""Largest whole number of a network's configuration: far above every network, and one of so many blocks ends."""
NOISE_MODELS = ("poisson-gaussian", "eld", AWGN)
LEVELS = {"encoder_blocks": 0, "decoder_blocks": 1, "blocks": 0}
"""Lists of a network's configuration, and how many entries fewer than `widths` they have."""


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
    except (ValueError, OverflowError, RecursionError) as error:
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
    _refuse_range(recipe)
    if recipe.noise.model not in NOISE_MODELS:
        raise ValueError(f"there is no noise model {recipe.noise.model!r}; choose one of {', '.join(NOISE_MODELS)}")
    _refuse_losses(recipe.losses)
    for name, value in _numbers(recipe_json(recipe)):
        if not math.isfinite(value):
            raise ValueError(f"the field {name} is {value:g} and must be finite")
    _refuse_types(recipe)
    _refuse_lengths(recipe)
    _refuse_network(recipe)


def _refuse_losses(weights: dict[str, Any]) -> None:
    """Raise ValueError for an unknown loss, or weights that no training can use."""
    known = weights.keys() <= LOSSES.keys()
    if not known or not all(isinstance(weight, int | float) and weight is not True for weight in weights.values()):
        raise ValueError(f"the field losses must give numbers to some of {', '.join(LOSSES)}")
    for name, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise ValueError(f"the loss {name} has the weight {weight:g}, which must be finite and at least 0")
    if not sum(weights.values()) > 0:
        raise ValueError("the field losses has no weight above 0")


def _numbers(plain: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers in plain JSON values, each with the name of its field."""
    if isinstance(plain, dict):
        for key, value in plain.items():
            yield from _numbers(value, f"{name}.{key}" if name else key)
    elif isinstance(plain, list):
        for value in plain:
            yield from _numbers(value, name)
    elif isinstance(plain, int | float):
        yield name, plain


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


def _refuse_range(recipe: Recipe) -> None:
    """Raise ValueError for a range of noise that no sensor or picture has."""
    if not 0 < recipe.low <= recipe.high < math.inf:
        raise ValueError(f"the noise from low {recipe.low:g} to high {recipe.high:g} is no range above 0")
    if recipe.noise.model == AWGN:
        if recipe.high > WHITE:
            raise ValueError(f"the noise reaches sigma {recipe.high:g}, and white is {WHITE:g}")
        return
    try:
        lowest, highest = recipe.training_range(0)[0], recipe.training_range(recipe.num_subranges - 1)[1]
    except OverflowError:  # of an overlap beyond all numbers
        lowest, highest = 0.0, math.inf
    if not 0 < lowest <= highest < 1:
        raise ValueError(f"with its overlaps it trains on gains from {lowest:g} to {highest:g}, and {NOISE_LIMITS}")


def _refuse_types(recipe: Recipe) -> None:
    """Raise ValueError if a whole number, list or switch of the network's configuration has a value of another kind."""
    hints = get_type_hints(NETWORKS[recipe.network].config)
    for name, value in recipe.config.items():
        hint = hints.get(name)
        if hint is bool and not isinstance(value, bool):
            raise ValueError(f"the config's {name} must be true or false, not {value!r}")
        is_list = get_origin(hint) is tuple
        if is_list and not isinstance(value, list | tuple):
            raise ValueError(f"the config's {name} must be a list, not {value!r}")
        if (is_list or hint is int) and not all(
            type(n) is int and 0 <= n <= MOST for n in (value if is_list else [value])
        ):
            raise ValueError(f"the config's {name} must be whole numbers from 0 to {MOST}, not {value!r}")


def _refuse_lengths(recipe: Recipe) -> None:
    """Raise ValueError if a list of the network's configuration has too few or too many entries for its levels."""
    config: Any = NETWORKS[recipe.network].config
    defaults = {field.name: field.default for field in fields(config) if field.default is not MISSING}
    values = defaults | recipe.config
    if not isinstance(widths := values.get("widths"), list | tuple):
        return
    for name, fewer in LEVELS.items():
        own, wanted = values.get(name), len(widths) - fewer
        if isinstance(own, list | tuple) and len(own) != wanted:
            raise ValueError(
                f"the config does not fit the network {recipe.network}: {name} has {len(own)} entries, and the"
                f" {len(widths)} levels of widths need {wanted}"
            )


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
        stride, fits = network.stride, recipe.crop_px % network.stride == 0
    except ModelError as error:
        raise ValueError(str(error).rstrip(".")) from error
    except Exception as error:  # of any type, by the field that does not fit
        raise ValueError(f"{misfit}{error}") from error
    names = [name for name, _ in network.named_parameters()]
    for beginning in recipe.learning:
        if not isinstance(beginning, str) or not any(name.startswith(beginning) for name in names):
            raise ValueError(f"no parameter of the network begins with {beginning!r}, an entry of learning")
    if not fits:
        raise ValueError(f"crop_px {recipe.crop_px} is not a multiple of the network's stride, {stride}")
    if network.in_channels not in (channels, 2 * channels):
        raise ValueError(f"its crops have {channels} planes, and the network takes {network.in_channels}")
    side = min(recipe.crop_px, 2 * stride)
    try:
        with torch.no_grad():
            network(torch.zeros(1, network.in_channels, side, side))
    except Exception as error:
        raise ValueError(f"{misfit}{error}") from error
