"""Read and write `card.json` of a model. The reader is strict: every field must be present, known and valid."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from rawkd.errors import ModelError
from rawkd.inference.card import INPUTS, TIERS, Golden, Int8, ModelCard, NoiseSubrange
from rawkd.photo import NAMES_OF_KINDS
from rawkd.sensor.ksigma import Anchor

CARD = "card.json"
ROLES = ("student", "teacher")
OPTIONAL = {"tier": None, "cfa": "bayer", "int8": None, "int7": None}
"""Fields that older cards do not have, and what a missing one stands for."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("is not a text")
    return value


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"is not one of {', '.join(choices)}")
        return str(value)

    return parse


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("is not a whole number of at least 0")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError("is not a finite number")
    return float(value)


def _object(parse: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    def parse_object(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise TypeError("is not a JSON object")
        return {key: parse(item) for key, item in value.items()}

    return parse_object


def _or_null(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else parse(value)


def _same_keys(value: Any, keys: Iterable[str], optional: Collection[str] = ()) -> None:
    """Raise ValueError or TypeError unless `value` is an object with the fields `keys`; `optional` may be missing."""
    if not isinstance(value, dict):
        raise TypeError("is not a JSON object")
    known = set(keys)
    if unknown := sorted(set(value) - known):
        raise ValueError(f"has unknown fields: {', '.join(unknown)}")
    if missing := sorted(known - set(optional) - set(value)):
        raise ValueError(f"misses fields: {', '.join(missing)}")


def _subrange(value: Any) -> NoiseSubrange:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("is not a pair [low, high]")
    low, high = _number(value[0]), _number(value[1])
    if not 0 < low <= high:
        raise ValueError("is empty or not positive")
    return NoiseSubrange(low, high)


def _anchor(value: Any) -> Anchor:
    _same_keys(value, ("gain", "read_variance"))
    anchor = Anchor(_number(value["gain"]), _number(value["read_variance"]))
    if anchor.gain < 0 or anchor.read_variance < 0 or anchor == Anchor(0.0, 0.0):
        raise ValueError("is not valid: gain and read variance must not be negative, and not both zero")
    return anchor


def _golden(value: Any) -> Golden:
    _same_keys(value, (item.name for item in fields(Golden)))
    noise = _anchor({key: value[key] for key in ("gain", "read_variance")})
    seed, size, patch = (_whole(value[key]) for key in ("seed", "size", "patch"))
    golden = Golden(seed, size, patch, noise.gain, noise.read_variance, _text(value["residual"]))
    if not 0 < golden.patch <= golden.size:
        raise ValueError("has a patch that is empty or larger than its input")
    return golden


def _int8(value: Any) -> Int8:
    _same_keys(value, (item.name for item in fields(Int8)))
    return Int8(_object(_text)(value["ranges"]), _object(_number)(value["cost_db"]))


def _hashes(value: Any) -> dict[str, str]:
    hashes = _object(_text)(value)
    for name, digest in hashes.items():
        if Path(name).name != name or not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ValueError(f"has an invalid file name or sha256: {name}")
    return hashes


def _sentences(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("is not a list")
    return tuple(_text(item) for item in value)


def _anything(value: Any) -> Any:
    if value is None:
        raise ValueError("is null")
    return value


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "family": _text,
    "name": _text,
    "role": _one_of(ROLES),
    "tier": _or_null(_one_of(TIERS)),
    "network": _text,
    "config": _object(lambda value: value),
    "input": _one_of(INPUTS),
    "subrange": _subrange,
    "anchor": _anchor,
    "stride": _whole,
    "halo": _whole,
    "tile": _whole,
    "params": _whole,
    "macs_per_mp": _object(_number),
    "files": _hashes,
    "golden": _golden,
    "data": _anything,
    "licence": _text,
    "recipe": _anything,
    "commit": _text,
    "seeds": _anything,
    "metrics": _object(_object(_number)),
    "bf16_cost_db": _or_null(_object(_number)),
    "limits": _sentences,
    "created": _text,
    "cfa": _one_of(tuple(NAMES_OF_KINDS)),
    "int8": _or_null(_int8),
    "int7": _or_null(_int8),
}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict; raise ValueError for a repeated key."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("has a field twice")
    return dict(pairs)


def read_card(directory: Path) -> ModelCard:
    """Read the card of the model in `directory`.

    Raises
    ------
    ModelError: with the file and the field that is unknown, missing or invalid.
    """
    path = directory / CARD
    try:
        document = json.loads(path.read_bytes(), object_pairs_hook=_once)
        _same_keys(document, _PARSERS, OPTIONAL)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}). Give the folder of a model.") from error
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{path}: not a model card of this version ({error}). Install a model that fits this version."
        ) from error
    values: dict[str, Any] = {"directory": directory}
    for name, parse in _PARSERS.items():
        try:
            values[name] = parse(document.get(name, OPTIONAL.get(name)))
        except (ValueError, TypeError) as error:
            raise ModelError(f"{path}: the field {name} {error}. Install the model again.") from error
    return ModelCard(**values)


def card_json(card: ModelCard) -> str:
    """Return the text of `card.json`; `read_card` restores the same card from it."""
    document = {name: getattr(card, name) for name in _PARSERS}
    document["subrange"] = [card.subrange.low, card.subrange.high]
    document["anchor"] = asdict(card.anchor)
    document["golden"] = asdict(card.golden)
    for name in ("int8", "int7"):
        rounding = getattr(card, name)
        document[name] = None if rounding is None else asdict(rounding)
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
