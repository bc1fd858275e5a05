"""Recipes as typed values: everything that decides what a training run computes."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rawkd.errors import UsageError
from rawkd.inference.card_file import NoiseSubrange
from rawkd.sensor.ksigma import Anchor
from rawkd.sensor.noise import read_variance_prior


@dataclass(frozen=True)
class NoiseRecipe:
    """How noise is synthesised.

    Attributes
    ----------
    model : "poisson-gaussian", or "eld" (heavy tails, row noise and colour bias besides).
    gain_error, read_error : spread in log of the parameters told to the network, as an estimator errs.
    near_clean : share of crops whose gain lies up to a factor 100 below the subrange.
    """

    model: str = "poisson-gaussian"
    gain_error: float = 0.12
    read_error: float = 0.4
    near_clean: float = 0.03


@dataclass(frozen=True)
class Recipe:
    """One family: its network, its subranges, and how each student is trained.

    Attributes
    ----------
    name : of the family. network, config : a key of `networks.NETWORKS` and its configuration without the anchor.
    noise_units : whether the network is told its anchor and works in units of noise (`blocks.NoiseUnits`).
    low, high, num_subranges : the gains covered, shared out evenly in log (Feature-Align paper, eq. 5 and 6).
    overlap : by how much of its width in log a student's training range exceeds its subrange on either side.
    steps, batch, crop_px : optimiser steps, crops a step, edge of a crop in packed pixels.
    learning_rate, warmup_steps, ema, clip_norm : Adam with cosine decay; the average that is exported; gradient clip.
    losses : weight by name, keys of `losses.LOSSES`.
    leaves : share of crops from the dead-leaves generator.
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
    steps: int = 30_000
    batch: int = 16
    crop_px: int = 96
    learning_rate: float = 2e-3
    warmup_steps: int = 300
    ema: float = 0.999
    clip_norm: float = 1.0
    losses: dict[str, float] = field(default_factory=lambda: {"charbonnier": 1.0})
    noise: NoiseRecipe = field(default_factory=NoiseRecipe)
    leaves: float = 0.0
    seed: int = 1

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
        """The gains at which student `index` is trained: its subrange and the overlap."""
        subrange = self.subrange(index)
        stretch = (subrange.high / subrange.low) ** self.overlap
        return subrange.low / stretch, subrange.high * stretch

    def anchor(self, index: int) -> Anchor:
        """The noise that student `index` sees: its subrange's geometric middle, read variance on the prior line."""
        subrange = self.subrange(index)
        gain = math.sqrt(subrange.low * subrange.high)
        return Anchor(gain, read_variance_prior(gain))

    def network_config(self, index: int) -> dict[str, Any]:
        """The configuration of student `index`, as its card states it."""
        if not self.noise_units:
            return dict(self.config)
        anchor = self.anchor(index)
        return {**self.config, "anchor": [anchor.gain, anchor.read_variance]}

    def with_steps(self, steps: int) -> Recipe:
        """The same recipe on another schedule."""
        return replace(self, steps=steps)


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values, for cards and checkpoints."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return plain
