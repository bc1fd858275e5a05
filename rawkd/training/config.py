"""Recipes as typed values: everything that decides what a training run computes."""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from rawkd.errors import UsageError
from rawkd.inference.card import CHANNELS, PICTURES, NoiseSubrange
from rawkd.inference.pictures import WHITE, anchor_of_sigma
from rawkd.sensor.ksigma import Anchor
from rawkd.sensor.noise import read_variance_prior
from rawkd.training.noise_recipe import AWGN, NoiseRecipe


@dataclass(frozen=True)
class Recipe:
    """One family: its network, its subranges, and how each student is trained.

    Attributes
    ----------
    name : of the family. network, config : a key of `networks.NETWORKS` and its configuration without the anchor.
    noise_units : whether the network is told its anchor and works in units of noise (`blocks.NoiseUnits`).
    low, high, num_subranges : the gains covered, shared out evenly in log (Feature-Align paper, eq. 5 and 6); with
        "awgn" the standard deviations, white being 255, and both alike for one.
    overlap : by how much of its width in log a student's training range exceeds its subrange on either side;
        overlap_below : the same below, None for the same.
    steps, batch, crop_px : optimiser steps, crops a step, edge of a crop in packed pixels ("awgn": of the picture).
    tries : places drawn for a crop, of which the most detailed is taken.
    learning_rate, kernel_rate : Adam's, and Muon's for the kernels between features (`muon.wide_kernels`), None for
        Adam alone. warmup_steps : before the full rate. decay : share of the steps, at the end, in which the rate falls
        along a cosine; 1 for all of them. ema, clip_norm : the average that is exported; gradient clip.
    losses : weight by name, keys of `losses.LOSSES`.
    leaves, skies, lamps : shares of dead leaves, of skies with stars, of lamps in the dark (`data.night_sky`).
    seed : of weights, data and noise; validation uses its own.
    """

    name: str
    network: str
    config: dict[str, Any]
    noise_units: bool = True
    low: float = 8e-6
    high: float = 4e-2
    num_subranges: int = 4
    overlap: float = 0.1
    overlap_below: float | None = None
    steps: int = 30_000
    batch: int = 16
    crop_px: int = 96
    tries: int = 1
    learning_rate: float = 2e-3
    kernel_rate: float | None = None
    warmup_steps: int = 300
    decay: float = 1.0
    ema: float = 0.999
    clip_norm: float = 1.0
    losses: dict[str, float] = field(default_factory=lambda: {"charbonnier": 1.0})
    noise: NoiseRecipe = field(default_factory=NoiseRecipe)
    leaves: float = 0.0
    skies: float = 0.0
    lamps: float = 0.0
    seed: int = 1

    @property
    def input(self) -> str:
        """What the network sees, as a card states it: planes (a packed mosaic), or grey or rgb pictures.

        Raises
        ------
        UsageError: if its channels are not those of a picture, which "awgn" needs.
        """
        if self.noise.model != AWGN:
            return "planes"
        channels = self.config.get("channels", 4)
        kinds = [kind for kind in PICTURES if CHANNELS[kind] == channels]
        if not kinds:
            raise UsageError(f"recipe {self.name} sees {channels} planes, and awgn is noise of grey or colour pictures")
        return kinds[0]

    @property
    def crop_side_px(self) -> int:
        """Pixels of a picture along the edge of a crop."""
        return self.crop_px if self.noise.model == AWGN else 2 * self.crop_px

    def edges(self) -> list[float]:
        """The num_subranges + 1 edges of the subranges in gain."""
        span = math.log(self.high / self.low)
        return [self.low * math.exp(span * index / self.num_subranges) for index in range(self.num_subranges + 1)]

    def subrange(self, index: int) -> NoiseSubrange:
        """The gains for which student `index` is chosen.

        Raises
        ------
        UsageError: if there is no such student.
        """
        if not 0 <= index < self.num_subranges:
            raise UsageError(f"recipe {self.name} has subranges 0 to {self.num_subranges - 1}, not {index}")
        edges = self.edges()
        return NoiseSubrange(edges[index], edges[index + 1])

    def training_range(self, index: int) -> tuple[float, float]:
        """The gains at which student `index` is trained: its subrange and the overlaps."""
        subrange = self.subrange(index)
        width = subrange.high / subrange.low
        below = self.overlap if self.overlap_below is None else self.overlap_below
        return subrange.low / width**below, subrange.high * width**self.overlap

    def anchor(self, index: int) -> Anchor:
        """The noise that student `index` sees: its subrange's geometric middle, read variance on the prior line.

        With "awgn" that of the middle sigma, of the picture as it is.
        """
        subrange = self.subrange(index)
        middle = math.sqrt(subrange.low * subrange.high)
        if self.noise.model == AWGN:
            return anchor_of_sigma(middle)
        return Anchor(middle, read_variance_prior(middle))

    def network_config(self, index: int) -> dict[str, Any]:
        """The configuration of student `index`, as its card states it."""
        if not self.noise_units:
            return dict(self.config)
        anchor = self.anchor(index)
        return {**self.config, "anchor": [anchor.gain, anchor.read_variance]}

    def student_name(self, index: int, family: str | None = None) -> str:
        """Of student `index` of a family, by default the recipe's: its number, or its sigma where that is the noise."""
        subrange = self.subrange(index)
        if self.noise.model != AWGN:
            return f"{family or self.name}-{index}"
        sigmas = dict.fromkeys(f"{sigma:g}" for sigma in (subrange.low, subrange.high))
        return "-".join([family or self.name, *sigmas])

    def with_noise_model(self, model: str) -> Recipe:
        """The same recipe with another noise of the sensor.

        Raises
        ------
        UsageError: if one of both is of finished pictures and the other is not.
        """
        if (model == AWGN) != (self.noise.model == AWGN):
            raise UsageError(
                f"recipe {self.name} has {self.noise.model} noise, and {model} is of other pictures: choose a recipe "
                "whose name ends in grey or colour for awgn, and another one for a sensor's noise"
            )
        return replace(self, noise=replace(self.noise, model=model))

    def with_sigma(self, low: float, high: float) -> Recipe:
        """The same recipe for noise of the standard deviations low to high, white being 255.

        Raises
        ------
        UsageError: if its noise is not "awgn", or they are no range from above 0 to 255.
        """
        if self.noise.model != AWGN:
            raise UsageError(f"recipe {self.name} has noise of a sensor, which --sigma cannot state: leave it out")
        if not 0 < low <= high <= WHITE:
            raise UsageError(f"sigma {low:g} to {high:g} is no range between 0 and {WHITE:g}")
        return replace(self, low=low, high=high)

    @property
    def rates(self) -> tuple[float, ...]:
        """Of Adam, and of Muon where it is asked for."""
        return (self.learning_rate,) if self.kernel_rate is None else (self.learning_rate, self.kernel_rate)

    def with_rates(self, share: float) -> Recipe:
        """The same recipe with a share of its rates."""
        kernel_rate = None if self.kernel_rate is None else share * self.kernel_rate
        return replace(self, learning_rate=share * self.learning_rate, kernel_rate=kernel_rate)

    def with_steps(self, steps: int) -> Recipe:
        """The same recipe on another schedule."""
        return replace(self, steps=steps)


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values, for cards and checkpoints."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return plain


def recipe_from_json(plain: dict[str, Any]) -> Recipe:
    """The inverse of `recipe_json`; fields that are missing have their defaults.

    Raises
    ------
    ValueError: naming a field that is unknown, missing or of the wrong kind.
    """
    values = _typed(Recipe, plain)
    return Recipe(**{**values, "noise": NoiseRecipe(**_typed(NoiseRecipe, plain.get("noise", {})))})


def read_recipe(path: Path) -> Recipe:
    """A recipe from a file of JSON, such as a search writes.

    Raises
    ------
    UsageError: naming the file, if it cannot be read or is no recipe.
    """
    try:
        return recipe_from_json(json.loads(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}): name a recipe or its file") from error
    except ValueError as error:
        raise UsageError(f"{path} is no recipe ({error}): name a file that a search has written") from error


def _typed(kind: type, plain: Any) -> dict[str, Any]:
    """The fields of a dataclass, their kinds checked; a whole number serves as a float."""
    if not isinstance(plain, dict):
        raise ValueError(f"{kind.__name__} is no object")  # noqa: TRY004 -- a wrong value of a file, as the others
    hints = get_type_hints(kind)
    if unknown := sorted(plain.keys() - hints.keys()):
        raise ValueError(f"unknown field {unknown[0]}")
    required = [item.name for item in fields(kind) if item.default is MISSING and item.default_factory is MISSING]
    if missing := [name for name in required if name not in plain]:
        raise ValueError(f"the field {missing[0]} is missing")
    for name, value in plain.items():
        choices = get_args(hints[name]) if isinstance(hints[name], UnionType) else (hints[name],)
        kinds: list[type] = [get_origin(choice) or choice for choice in choices]
        allowed = tuple(kind for own in kinds for kind in {float: (int, float), NoiseRecipe: (dict,)}.get(own, (own,)))
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"the field {name} is no {kinds[0].__name__}")
    return plain
