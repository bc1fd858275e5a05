"""Evolutionary search for the siamese network under a budget, by short proxy training. Reproducible, resumable.

Source: that the NTIRE 2020 raw winner found its network by evolution. The evolution itself is our choice: the best
networks so far are the parents, two tournaments of two choose a pair, a child mixes and mutates them. Candidate n
depends on the seed, n, and the scores of the generations before it: a resumed search goes where it would have gone.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rawkd.errors import ModelError, UsageError
from rawkd.files.write.atomic import atomic_output
from rawkd.training.config import Recipe, recipe_json
from rawkd.training.data.clean import CleanSet
from rawkd.training.distill.candidates import Budget, Candidate, child, drawn
from rawkd.training.run.learner import MakeStrategy
from rawkd.training.run.loop import Run, Shown, train
from rawkd.training.run.step import DivergedError
from rawkd.training.saved.checkpoint import in_todays_words

STATE, FOUND = "search.json", "recipe.json"
TRIES = 100
"""Draws after which a candidate that was judged before is taken again, at no cost: a small budget has few networks."""


@dataclass(frozen=True)
class Search:
    """What is looked for, and how.

    Attributes
    ----------
    base : recipe of the network mwrcanet, whose kind of block, widths and blocks are searched. subrange : of it.
    budget_gmacs : GMAC per megapixel of mosaic (10^6) that no candidate exceeds.
    proxy_steps : training of a candidate before it is judged. population : candidates of a generation, and parents.
    generations : of children after the first, drawn one. seed : of the search; the training's is the recipe's.
    """

    base: Recipe
    subrange: int
    budget_gmacs: float
    proxy_steps: int = 300
    population: int = 8
    generations: int = 4
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse another network's recipe."""
        if self.base.network != "mwrcanet":
            raise UsageError(f"recipe {self.base.name} has the network {self.base.network}: search needs mwrcanet")

    @property
    def size(self) -> int:
        """Candidates in all."""
        return self.population * (1 + self.generations)

    def recipe(self, candidate: Candidate) -> Recipe:
        """The base recipe with the candidate's network."""
        return replace(self.base, name=f"{self.base.name}-searched", config={**self.base.config, **candidate.config})

    def proxy(self, candidate: Candidate) -> Recipe:
        """The short training by which it is judged."""
        warmup = min(self.base.warmup_steps, self.proxy_steps // 10)
        return replace(self.recipe(candidate), steps=self.proxy_steps, warmup_steps=warmup)

    def identity(self) -> dict[str, Any]:
        """Plain JSON of what decides the candidates; more generations go on where fewer ended."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        plain.pop("generations")
        return plain


@dataclass(frozen=True)
class Judged:
    """A candidate, its cost in GMAC per megapixel, and its gain over noisy held-out crops after the proxy, dB.

    A candidate whose training diverged has gained minus infinity; null in the file.
    """

    candidate: Candidate
    gmacs: float
    gain_db: float


def candidate_at(number: int, asked: Search, budget: Budget, judged: list[Judged]) -> Candidate:
    """Candidate `number`, of the judged ones of the generations before it.

    Raises
    ------
    UsageError: as `Budget`.
    """
    rng = np.random.default_rng([asked.seed, number])
    before = judged[: number // asked.population * asked.population]
    parents = sorted({row.candidate: row for row in reversed(before)}.values(), key=lambda row: -row.gain_db)
    parents = parents[: asked.population]
    seen = {row.candidate for row in judged[:number]}
    for _ in range(TRIES):
        if parents:
            # the best come first: the better of two drawn parents has the lower number
            first, second = (parents[int(rng.integers(len(parents), size=2).min())] for _ in range(2))
            found = child((first.candidate, second.candidate), rng, budget)
        else:
            found = drawn(rng, budget)
        if found not in seen:
            break
    return found


def search(
    asked: Search,
    pictures: tuple[CleanSet | None, CleanSet | None],
    make_strategy: MakeStrategy,
    run: Run,
    shown: Shown,
) -> Recipe | None:
    """Judge the candidates, or those that are left; the recipe of the best, also written to `recipe.json`.

    Parameters
    ----------
    pictures : to train the candidates on, and held-out ones to judge them by. run : its `minutes` are the search's.

    Returns
    -------
    None where the time was over before the last candidate; the same call goes on.

    Raises
    ------
    UsageError: if no network keeps the budget. ModelError: if the folder holds another search.
    """
    budget = Budget(asked.budget_gmacs, asked.base.config.get("channels", 4))
    judged, began = _resumed(asked, run.folder), time.monotonic()
    for number in range(len(judged)):
        shutil.rmtree(_proxy_folder(run.folder, number), ignore_errors=True)
    while len(judged) < asked.size:
        number = len(judged)
        candidate = candidate_at(number, asked, budget, judged)
        again = next((row for row in judged if row.candidate == candidate), None)
        cost = budget.cost(candidate)
        if again is None:
            label = f"candidate {number + 1} of {asked.size}: {candidate}, {cost:.1f} GMACs/MP"
            minutes = None if run.minutes is None else run.minutes - (time.monotonic() - began) / 60
            proxy = replace(run, folder=_proxy_folder(run.folder, number), minutes=minutes)
            proxy.folder.mkdir(exist_ok=True)
            try:
                with shown(label) as listen:
                    state = train(asked.proxy(candidate), asked.subrange, pictures, make_strategy, proxy, listen=listen)
            except DivergedError:
                gain_db = -math.inf
            else:
                if state.step < asked.proxy_steps:
                    return None
                gain_db = state.history[-1]["val_psnr_gain_db"]
            if math.isnan(gain_db):  # the weights broke in the last step
                gain_db = -math.inf
            again = Judged(candidate, cost, gain_db)
        judged.append(again)
        _write(run.folder / STATE, {"search": asked.identity(), "candidates": [_row(row) for row in judged]})
        shutil.rmtree(_proxy_folder(run.folder, number), ignore_errors=True)
    found = asked.recipe(max(judged[: asked.size], key=lambda row: row.gain_db).candidate)
    _write(run.folder / FOUND, recipe_json(found))
    return found


def _proxy_folder(folder: Path, number: int) -> Path:
    """Of a candidate's training, removed when it is judged."""
    return folder / f"candidate-{number + 1}"


def _row(judged: Judged) -> dict[str, Any]:
    gain_db = judged.gain_db if math.isfinite(judged.gain_db) else None
    return {**judged.candidate.config, "gmacs_per_mp": judged.gmacs, "val_psnr_gain_db": gain_db}


def _resumed(asked: Search, folder: Path) -> list[Judged]:
    """The candidates that were judged before.

    Raises
    ------
    ModelError: if they are of another search, or the file is damaged.
    """
    path = folder / STATE
    if not path.exists():
        return []
    try:
        stored = json.loads(path.read_bytes())
        identity = stored["search"]
        rows = [
            Judged(Candidate.of(row), float(row["gmacs_per_mp"]), -math.inf if gain_db is None else float(gain_db))
            for row in stored["candidates"]
            for gain_db in (row["val_psnr_gain_db"],)
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: the search is damaged ({error}): delete it or name another --out") from error
    identity = in_todays_words(identity, "base")
    if identity != asked.identity():
        keys = sorted(key for key, value in asked.identity().items() if identity.get(key) != value)
        raise ModelError(f"{path} is of another search ({', '.join(keys)} differ): name another --out, or the old one")
    return rows


def _write(path: Path, values: dict[str, Any]) -> None:
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
