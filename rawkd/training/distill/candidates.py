"""The search space of the siamese network: kind of block, and width and number of blocks at every level.

Source: the NTIRE 2020 raw winner searched over these three. Steps and bounds are our choice; the published network is
in the search space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from rawkd.errors import UsageError
from rawkd.networks import build_network
from rawkd.networks.count import macs_per_mp
from rawkd.networks.mwrcanet import BLOCKS, MWRCANetConfig

WIDTHS = tuple(range(16, 129, 8))
NUM_BLOCKS = tuple(range(1, 21))
CHOICES: tuple[Sequence[Any], ...] = (BLOCKS, *[WIDTHS] * 3, *[NUM_BLOCKS] * 3)
"""Possible values of every gene: the kind of block, then widths and numbers of blocks of three levels, finest first."""
NUMBERS = range(1, len(CHOICES))
"""Indices of the genes for widths and numbers of blocks."""
MUTATION = 0.4
"""Probability that a gene mutates."""
HALVINGS = 7
"""Number of bisections when a candidate is shrunk; finer than the at most 20 values of a gene need."""
FARTHEST = 5
"""Largest step of a mutation, in values of a gene."""


@dataclass(frozen=True)
class Candidate:
    """One network of the search space; `genes` are indices into `CHOICES`."""

    genes: tuple[int, ...]

    @property
    def config(self) -> dict[str, Any]:
        """The fields of the network's configuration that are searched, plain JSON."""
        block, *numbers = (choices[gene] for choices, gene in zip(CHOICES, self.genes, strict=True))
        return {"block": block, "widths": numbers[:3], "blocks": numbers[3:]}

    @classmethod
    def of(cls, config: dict[str, Any]) -> Candidate:
        """Return the candidate of a configuration in the search space: the inverse of `config`."""
        values = (config["block"], *config["widths"], *config["blocks"])
        return cls(tuple(choices.index(value) for choices, value in zip(CHOICES, values, strict=True)))

    def moved(self, gene: int, step: int) -> Candidate:
        """Return the candidate with one gene moved by `step`, limited to its possible values."""
        place = min(max(self.genes[gene] + step, 0), len(CHOICES[gene]) - 1)
        return Candidate((*self.genes[:gene], place, *self.genes[gene + 1 :]))

    def shrunk(self, share: float) -> Candidate:
        """Return the candidate with all widths and numbers of blocks at `share` of their index; same kind of block."""
        kind, *numbers = self.genes
        return Candidate((kind, *(int(share * gene) for gene in numbers)))

    def __str__(self) -> str:
        """Return kind of block, widths and numbers of blocks as text."""
        block, widths, blocks = self.config.values()
        return f"{block} {'-'.join(map(str, widths))} x {'-'.join(map(str, blocks))}"


@dataclass(frozen=True)
class Budget:
    """Limit of the cost of a candidate.

    Attributes
    ----------
    gmacs : GMAC per megapixel of mosaic (10^6), see `networks.count`. channels : of the network's input.
    """

    gmacs: float
    channels: int = 4

    def __post_init__(self) -> None:
        """Raise UsageError if the smallest network of any kind of block exceeds the budget."""
        least = max(self.cost(Candidate((kind, *[0] * (len(CHOICES) - 1)))) for kind in range(len(BLOCKS)))
        if least > self.gmacs:
            raise UsageError(f"the smallest network costs {least:.3g} GMACs per megapixel. Raise --budget-gmacs.")

    def cost(self, candidate: Candidate) -> float:
        """Return the GMACs per megapixel; only shapes are computed."""
        config = asdict(MWRCANetConfig(channels=self.channels)) | candidate.config
        with torch.device("meta"):
            network: Any = build_network("mwrcanet", config)
            return macs_per_mp(network, network.stride, network.in_channels, packed=self.channels == 4)["1e6"]

    def holds(self, candidate: Candidate) -> bool:
        """Return whether the candidate is within the budget."""
        return self.cost(candidate) <= self.gmacs

    def shrunk(self, candidate: Candidate) -> Candidate:
        """Return the largest candidate with the same proportions that is within the budget."""
        if self.holds(candidate):
            return candidate
        kept, broken = 0.0, 1.0
        for _ in range(HALVINGS):
            share = (kept + broken) / 2
            if self.holds(candidate.shrunk(share)):
                kept = share
            else:
                broken = share
        return candidate.shrunk(kept)

    def trimmed(self, candidate: Candidate, rng: np.random.Generator) -> Candidate:
        """Return the candidate after lowering random genes by one step until it is within the budget."""
        while not self.holds(candidate):
            candidate = candidate.moved(int(rng.choice([gene for gene in NUMBERS if candidate.genes[gene] > 0])), -1)
        return candidate

    def filled(self, candidate: Candidate, rng: np.random.Generator) -> Candidate:
        """Return the candidate after raising random genes by one step until no gene can be raised within the budget."""
        open_genes = list(NUMBERS)
        while open_genes:
            gene = int(rng.choice(open_genes))
            wider = candidate.moved(gene, 1)
            if wider != candidate and self.holds(wider):
                candidate = wider
            else:
                open_genes.remove(gene)
        return candidate


def random_candidate(rng: np.random.Generator, budget: Budget) -> Candidate:
    """Return a random candidate that uses up the budget."""
    found = Candidate(tuple(int(rng.integers(len(choices))) for choices in CHOICES))
    return budget.filled(budget.shrunk(found), rng)


def child(parents: tuple[Candidate, Candidate], rng: np.random.Generator, budget: Budget) -> Candidate:
    """Return a candidate with each gene from a random parent and some mutations, which uses up the budget."""
    pairs = zip(*(parent.genes for parent in parents), strict=True)
    found = Candidate(tuple(pair[int(rng.integers(2))] for pair in pairs))
    for gene in range(len(CHOICES)):
        if rng.random() < MUTATION:
            step = int(rng.integers(1, FARTHEST + 1))
            found = found.moved(gene, step if rng.random() < 0.5 else -step)
    return budget.filled(budget.trimmed(found, rng), rng)
