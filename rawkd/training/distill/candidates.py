"""What a search for the siamese network chooses among: kind of block, channels and blocks of every level.

Source: the NTIRE 2020 raw winner's search was over these three. Their steps and bounds are our choice; the published
network lies inside.
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
"""Of every gene: the kind of block, and widths and blocks of the three levels, finest first."""
NUMBERS = range(1, len(CHOICES))
"""The genes that are widths and blocks."""
MUTATION = 0.4
"""Share of the genes that a mutation moves."""
HALVINGS = 7
"""Of the share to which a candidate is shrunk: finer than the 20 steps of a gene ask."""
FARTHEST = 5
"""Steps by which a mutation moves a width or a number of blocks at most."""


@dataclass(frozen=True)
class Candidate:
    """One network of the search: for every gene the index of its choice."""

    genes: tuple[int, ...]

    @property
    def config(self) -> dict[str, Any]:
        """What it chooses of the network's configuration, plain JSON."""
        block, *numbers = (choices[gene] for choices, gene in zip(CHOICES, self.genes, strict=True))
        return {"block": block, "widths": numbers[:3], "blocks": numbers[3:]}

    @classmethod
    def of(cls, config: dict[str, Any]) -> Candidate:
        """The candidate of a configuration inside the search; the inverse of `config`."""
        values = (config["block"], *config["widths"], *config["blocks"])
        return cls(tuple(choices.index(value) for choices, value in zip(CHOICES, values, strict=True)))

    def moved(self, gene: int, step: int) -> Candidate:
        """With one gene moved, as far as its choices go."""
        place = min(max(self.genes[gene] + step, 0), len(CHOICES[gene]) - 1)
        return Candidate((*self.genes[:gene], place, *self.genes[gene + 1 :]))

    def shrunk(self, share: float) -> Candidate:
        """The same kind of block, all numbers moved to `share` of their way from the smallest."""
        kind, *numbers = self.genes
        return Candidate((kind, *(int(share * gene) for gene in numbers)))

    def __str__(self) -> str:
        """Kind, widths and blocks, for a person."""
        block, widths, blocks = self.config.values()
        return f"{block} {'-'.join(map(str, widths))} x {'-'.join(map(str, blocks))}"


@dataclass(frozen=True)
class Budget:
    """What a candidate may cost.

    Attributes
    ----------
    gmacs : GMAC per megapixel of mosaic (10^6), see `networks.count`. channels : of the network's input.
    """

    gmacs: float
    channels: int = 4

    def __post_init__(self) -> None:
        """Refuse a budget that not every kind of block keeps at its smallest."""
        least = max(self.cost(Candidate((kind, *[0] * (len(CHOICES) - 1)))) for kind in range(len(BLOCKS)))
        if least > self.gmacs:
            raise UsageError(f"the smallest network costs {least:.3g} GMACs a megapixel: raise --budget-gmacs")

    def cost(self, candidate: Candidate) -> float:
        """GMAC per megapixel; counted on shapes alone, no arithmetic is done."""
        config = asdict(MWRCANetConfig(channels=self.channels)) | candidate.config
        with torch.device("meta"):
            network: Any = build_network("mwrcanet", config)
            return macs_per_mp(network, network.stride, network.in_channels, packed=self.channels == 4)["1e6"]

    def holds(self, candidate: Candidate) -> bool:
        """Whether the candidate keeps the budget."""
        return self.cost(candidate) <= self.gmacs

    def shrunk(self, candidate: Candidate) -> Candidate:
        """The largest that has the candidate's proportions and keeps the budget."""
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
        """The candidate with random numbers one step lower, one at a time, until it keeps the budget."""
        while not self.holds(candidate):
            candidate = candidate.moved(int(rng.choice([gene for gene in NUMBERS if candidate.genes[gene] > 0])), -1)
        return candidate

    def filled(self, candidate: Candidate, rng: np.random.Generator) -> Candidate:
        """The candidate with random numbers one step higher, until none can be without breaking the budget."""
        open_genes = list(NUMBERS)
        while open_genes:
            gene = int(rng.choice(open_genes))
            wider = candidate.moved(gene, 1)
            if wider != candidate and self.holds(wider):
                candidate = wider
            else:
                open_genes.remove(gene)
        return candidate


def drawn(rng: np.random.Generator, budget: Budget) -> Candidate:
    """A random candidate that uses the budget."""
    found = Candidate(tuple(int(rng.integers(len(choices))) for choices in CHOICES))
    return budget.filled(budget.shrunk(found), rng)


def child(parents: tuple[Candidate, Candidate], rng: np.random.Generator, budget: Budget) -> Candidate:
    """Each gene from either parent, some of them moved; made to use the budget."""
    pairs = zip(*(parent.genes for parent in parents), strict=True)
    found = Candidate(tuple(pair[int(rng.integers(2))] for pair in pairs))
    for gene in range(len(CHOICES)):
        if rng.random() < MUTATION:
            step = int(rng.integers(1, FARTHEST + 1))
            found = found.moved(gene, step if rng.random() < 0.5 else -step)
    return budget.filled(budget.trimmed(found, rng), rng)
