"""Training recipes: typed settings that fully determine what a training run computes."""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from rawkd.errors import UsageError
from rawkd.inference.card import PICTURES, NoiseSubrange, channels_of
from rawkd.inference.pictures import WHITE, anchor_of_sigma
from rawkd.photo import CFAPattern, Kind
from rawkd.sensor.ksigma import Anchor
from rawkd.sensor.noise import read_variance_prior
from rawkd.training.noise_recipe import AWGN, NoiseRecipe


@dataclass(frozen=True)
class Recipe:
    """Settings of one family of students: network, noise subranges, training.

    Attributes
    ----------
    name : of the family. network, config : a key of `networks.NETWORKS` and its configuration without the anchor.
    noise_units : whether the network gets its anchor and works in units of noise (`networks.noise_units`).
    low, high, num_subranges : range of gains, divided evenly in log (Feature-Align paper, eq. 5 and 6). With "awgn",
        range of noise standard deviations, white 255; low may equal high.
    overlap : by what fraction of its width in log the training range of a student exceeds its subrange at each end.
    overlap_below : the same at the low end; None: `overlap`.
    cfa : kind of sensor whose mosaics it trains on: bayer | xtrans | mono; without meaning for "awgn".
    steps, batch, crop_px : optimiser steps, crops per step, side of a crop in packed pixels ("awgn": in pixels).
    tries : random positions per crop; the most detailed one is used.
    learning_rate : of Adam. kernel_rate : learning rate of Muon for the kernels between features (`muon.wide_kernels`);
        None: Adam only. warmup_steps : linear warm-up. decay : final fraction of the steps in which the rate falls
        along a cosine, 0..1. ema : decay of the weight average that is exported. clip_norm : gradient clipping.
    losses : weight by name, keys of `losses.terms.LOSSES`.
    skies : fraction of crops with starry skies (`data.night_sky`).
    leaves, lamps : fractions of the other crops with dead leaves, and with lamps in the dark.
    learning : beginnings of the names of the parameters that learn, such as "decoder.0."; [] for all. The others keep
        the values that they start with.
    seed : of weights, data and noise; validation has its own.
    int8 : ranges, as in a card, of the convolutions that round as int8 does in training (`run.int8`); {} for none.
    """

    name: str
    network: str
    config: dict[str, Any]
    noise_units: bool = True
    cfa: Kind = "bayer"
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
    learning: list[str] = field(default_factory=list)
    seed: int = 1
    int8: dict[str, str] = field(default_factory=dict)

    @property
    def input(self) -> str:
        """Kind of input, as in a card: planes (a packed mosaic), or grey or rgb pictures.

        Raises
        ------
        UsageError: if "awgn" is combined with a network that does not take pictures.
        """
        if self.noise.model != AWGN:
            return "planes"
        channels = self.config.get("channels", 4)
        kinds = [kind for kind in PICTURES if channels_of(kind) == channels]
        if not kinds:
            raise UsageError(f"recipe {self.name} takes {channels} planes, but awgn needs grey or colour pictures")
        return kinds[0]

    @property
    def crop_side_px(self) -> int:
        """Side of a crop, pixels of a picture."""
        return self.crop_px if self.noise.model == AWGN else self.cell.side * self.crop_px

    @property
    def cell(self) -> CFAPattern:
        """The canonical cell of the mosaics that it trains on."""
        return CFAPattern.of_kind(self.cfa)

    @property
    def channels(self) -> int:
        """Number of channels of the network's input and output."""
        return channels_of(self.input, self.cfa)

    def edges(self) -> list[float]:
        """Return the num_subranges + 1 edges of the subranges in gain."""
        span = math.log(self.high / self.low)
        return [self.low * math.exp(span * index / self.num_subranges) for index in range(self.num_subranges + 1)]

    def subrange(self, index: int) -> NoiseSubrange:
        """Return the gains for which student `index` is used.

        Raises
        ------
        UsageError: if there is no such student.
        """
        if not 0 <= index < self.num_subranges:
            raise UsageError(f"recipe {self.name} has subranges 0 to {self.num_subranges - 1}, not {index}")
        edges = self.edges()
        return NoiseSubrange(edges[index], edges[index + 1])

    def training_range(self, index: int) -> tuple[float, float]:
        """Return the gains at which student `index` is trained: its subrange plus the overlaps."""
        subrange = self.subrange(index)
        width = subrange.high / subrange.low
        below = self.overlap if self.overlap_below is None else self.overlap_below
        return subrange.low / width**below, subrange.high * width**self.overlap

    def anchor(self, index: int) -> Anchor:
        """Return the k-sigma anchor of student `index`: geometric middle of its subrange, read variance from the prior.

        With "awgn", the noise of the middle sigma; pictures are not transformed.
        """
        subrange = self.subrange(index)
        middle = math.sqrt(subrange.low * subrange.high)
        if self.noise.model == AWGN:
            return anchor_of_sigma(middle)
        return Anchor(middle, read_variance_prior(middle))

    def network_config(self, index: int) -> dict[str, Any]:
        """Return the network configuration of student `index`, as in its card."""
        if not self.noise_units:
            return dict(self.config)
        anchor = self.anchor(index)
        return {**self.config, "anchor": [anchor.gain, anchor.read_variance]}

    def student_name(self, index: int, family: str | None = None) -> str:
        """Return the name of student `index`: family (default: the recipe's name) and index, or sigma for awgn."""
        subrange = self.subrange(index)
        if self.noise.model != AWGN:
            return f"{family or self.name}-{index}"
        sigmas = dict.fromkeys(f"{sigma:g}" for sigma in (subrange.low, subrange.high))
        return "-".join([family or self.name, *sigmas])

    def with_noise_model(self, model: str) -> Recipe:
        """Return the recipe with another noise model.

        Raises
        ------
        UsageError: if one of the two models is for finished pictures and the other for raw photos.
        """
        if (model == AWGN) != (self.noise.model == AWGN):
            raise UsageError(
                f"recipe {self.name} has {self.noise.model} noise, and {model} is for another kind of picture. For "
                "awgn, choose a recipe whose name ends in grey or colour; for sensor noise, any other recipe."
            )
        return replace(self, noise=replace(self.noise, model=model))

    def with_sigma(self, low: float, high: float) -> Recipe:
        """Return the recipe for noise with standard deviations low to high, white 255.

        Raises
        ------
        UsageError: if the noise model is not "awgn", or not 0 < low <= high <= 255.
        """
        if self.noise.model != AWGN:
            raise UsageError(f"recipe {self.name} has sensor noise, to which --sigma does not apply: leave it out")
        if not 0 < low <= high <= WHITE:
            raise UsageError(f"sigma {low:g} to {high:g} is not a range above 0 and up to {WHITE:g}")
        return replace(self, low=low, high=high)

    @property
    def rates(self) -> tuple[float, ...]:
        """Learning rates: of Adam, and of Muon if it is used."""
        return (self.learning_rate,) if self.kernel_rate is None else (self.learning_rate, self.kernel_rate)

    def with_rates(self, share: float) -> Recipe:
        """Return the recipe with its learning rates multiplied by `share`."""
        kernel_rate = None if self.kernel_rate is None else share * self.kernel_rate
        return replace(self, learning_rate=share * self.learning_rate, kernel_rate=kernel_rate)

    def with_steps(self, steps: int) -> Recipe:
        """Return the recipe with another number of steps."""
        return replace(self, steps=steps)

    def shortened(self, steps: int) -> Recipe:
        """Return the recipe with that many steps and a warm-up of at most a tenth of them."""
        return replace(self, steps=steps, warmup_steps=min(self.warmup_steps, steps // 10))


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as plain JSON values, for cards and checkpoints."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return plain


def recipe_from_json(plain: dict[str, Any]) -> Recipe:
    """Return the recipe of plain JSON values (inverse of `recipe_json`); missing fields get their defaults.

    Raises
    ------
    ValueError: with the name of a field that is unknown, missing or of the wrong type.
    """
    values = _typed(Recipe, plain)
    return Recipe(**{**values, "noise": NoiseRecipe(**_typed(NoiseRecipe, plain.get("noise", {})))})


def _typed(kind: type, plain: Any) -> dict[str, Any]:
    """Return the fields of a dataclass after checking their types; whole numbers are valid floats."""
    if not isinstance(plain, dict):
        raise ValueError(f"{kind.__name__} is not an object")  # noqa: TRY004 -- a wrong value in a file, like the others
    hints = get_type_hints(kind)
    if unknown := sorted(plain.keys() - hints.keys()):
        raise ValueError(f"unknown field {unknown[0]}")
    required = [item.name for item in fields(kind) if item.default is MISSING and item.default_factory is MISSING]
    if missing := [name for name in required if name not in plain]:
        raise ValueError(f"the field {missing[0]} is missing")
    for name, value in plain.items():
        choices = get_args(hints[name]) if isinstance(hints[name], UnionType) else (hints[name],)
        if get_origin(hints[name]) is Literal:
            if value not in get_args(hints[name]):
                raise ValueError(f"the field {name} is not one of {', '.join(get_args(hints[name]))}")
            continue
        kinds: list[type] = [get_origin(choice) or choice for choice in choices]
        allowed = tuple(kind for own in kinds for kind in {float: (int, float), NoiseRecipe: (dict,)}.get(own, (own,)))
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"the field {name} is not of type {kinds[0].__name__}")
    return plain
