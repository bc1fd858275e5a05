"""Evolutionary search for the siamese network within a budget. Candidates are scored by a short (proxy) training.

Source: the NTIRE 2020 raw winner found its network by evolution. The algorithm is our choice: the best networks so far
are the parents, two tournaments of two choose a pair, and a child mixes and mutates them. Candidate n depends only on
the seed, n, and the scores of earlier generations, so a resumed search gives the same result.
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
from rawkd.training.distill.candidates import Budget, Candidate, child, random_candidate
from rawkd.training.run.learner import MakeStrategy
from rawkd.training.run.loop import ProgressDisplay, Run, train
from rawkd.training.run.step import DivergedError
from rawkd.training.saved.checkpoint import create_folder
from rawkd.training.saved.identity import with_current_defaults

STATE, FOUND = "search.json", "recipe.json"
TRIES = 100
"""Attempts to find a candidate that was not scored before. A small budget has few networks; a repeated candidate costs
nothing."""


@dataclass(frozen=True)
class Search:
    """Settings of a search.

    Attributes
    ----------
    base : recipe with the network mwrcanet; its kind of block, widths and numbers of blocks are searched.
    subrange : of the recipe. budget_gmacs : largest cost of a candidate, GMAC per megapixel of mosaic (10^6).
    proxy_steps : training steps before a candidate is scored. population : candidates per generation, and parents.
    generations : after the first, random one. seed : of the search; training uses that of the recipe.
    """

    base: Recipe
    subrange: int
    budget_gmacs: float
    proxy_steps: int = 300
    population: int = 8
    generations: int = 4
    seed: int = 1

    def __post_init__(self) -> None:
        """Raise UsageError for a recipe with another network."""
        if self.base.network != "mwrcanet":
            raise UsageError(f"recipe {self.base.name} has the network {self.base.network}. A search needs mwrcanet.")

    @property
    def size(self) -> int:
        """Number of all candidates."""
        return self.population * (1 + self.generations)

    def recipe(self, candidate: Candidate) -> Recipe:
        """Return the base recipe with the candidate's network."""
        return replace(self.base, name=f"{self.base.name}-searched", config={**self.base.config, **candidate.config})

    def proxy(self, candidate: Candidate) -> Recipe:
        """Return the recipe of the short training that scores the candidate."""
        return self.recipe(candidate).shortened(self.proxy_steps)

    def identity(self) -> dict[str, Any]:
        """Return the settings that determine the candidates, plain JSON; the number of generations can be increased."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        plain.pop("generations")
        return plain


@dataclass(frozen=True)
class Scored:
    """A candidate with its cost and score.

    Attributes
    ----------
    gmacs : GMAC per megapixel. gain_db : gain in PSNR over noisy validation crops after the proxy training, dB; minus
        infinity (null in the file) if the training diverged.
    """

    candidate: Candidate
    gmacs: float
    gain_db: float


def candidate_at(number: int, settings: Search, budget: Budget, scored: list[Scored]) -> Candidate:
    """Return candidate `number`, which depends on the scored candidates of earlier generations.

    Raises
    ------
    UsageError: as `Budget`.
    """
    rng = np.random.default_rng([settings.seed, number])
    before = scored[: number // settings.population * settings.population]
    parents = sorted({row.candidate: row for row in reversed(before)}.values(), key=lambda row: -row.gain_db)
    parents = parents[: settings.population]
    seen = {row.candidate for row in scored[:number]}
    for _ in range(TRIES):
        if parents:
            # parents are sorted, best first: the better of two has the lower index
            first, second = (parents[int(rng.integers(len(parents), size=2).min())] for _ in range(2))
            found = child((first.candidate, second.candidate), rng, budget)
        else:
            found = random_candidate(rng, budget)
        if found not in seen:
            break
    return found


def search(
    settings: Search,
    pictures: tuple[CleanSet | None, CleanSet | None],
    make_strategy: MakeStrategy,
    run: Run,
    display: ProgressDisplay,
) -> Recipe | None:
    """Score all remaining candidates; return the recipe of the best one, which is also written to `recipe.json`.

    Parameters
    ----------
    pictures : training and validation sets. run : its `minutes` are for the whole search; once they are used up, no
        second training begins.

    Returns
    -------
    The recipe, or None if the time ran out before the last candidate; the same call continues.

    Raises
    ------
    UsageError: if no network is within the budget. ModelError: if the folder contains another search.
    OutputError: if a file or folder cannot be written. MemoryLimitError: as `train`.
    """
    budget = Budget(settings.budget_gmacs, settings.base.config.get("channels", 4))
    scored, began, trained = _resumed(settings, run.folder), time.monotonic(), False
    for number in range(len(scored)):
        shutil.rmtree(_proxy_folder(run.folder, number), ignore_errors=True)
    while len(scored) < settings.size:
        number = len(scored)
        candidate = candidate_at(number, settings, budget, scored)
        again = next((row for row in scored if row.candidate == candidate), None)
        cost = budget.cost(candidate)
        if again is None:
            label = f"candidate {number + 1} of {settings.size}: {candidate}, {cost:.1f} GMACs/MP"
            proxy = run.part(_proxy_folder(run.folder, number), began)
            if trained and proxy.is_over:
                return None
            trained = True
            create_folder(proxy.folder)
            try:
                with display(label) as listen:
                    state = train(
                        settings.proxy(candidate), settings.subrange, pictures, make_strategy, proxy, listen=listen
                    )
            except DivergedError:
                gain_db = -math.inf
            else:
                if state.step < settings.proxy_steps:
                    return None
                gain_db = state.history[-1]["val_psnr_gain_db"]
            if math.isnan(gain_db):  # the last step made the weights invalid
                gain_db = -math.inf
            again = Scored(candidate, cost, gain_db)
        scored.append(again)
        _write(run.folder / STATE, {"search": settings.identity(), "candidates": [_row(row) for row in scored]})
        shutil.rmtree(_proxy_folder(run.folder, number), ignore_errors=True)
    found = settings.recipe(max(scored[: settings.size], key=lambda row: row.gain_db).candidate)
    _write(run.folder / FOUND, recipe_json(found))
    return found


def _proxy_folder(folder: Path, number: int) -> Path:
    """Return the folder of a candidate's training; it is removed after scoring."""
    return folder / f"candidate-{number + 1}"


def _row(scored: Scored) -> dict[str, Any]:
    gain_db = scored.gain_db if math.isfinite(scored.gain_db) else None
    return {**scored.candidate.config, "gmacs_per_mp": scored.gmacs, "val_psnr_gain_db": gain_db}


def _resumed(settings: Search, folder: Path) -> list[Scored]:
    """Return the candidates that were scored before.

    Raises
    ------
    ModelError: if they belong to another search, or the file is damaged.
    """
    path = folder / STATE
    if not path.exists():
        return []
    try:
        stored = json.loads(path.read_bytes())
        identity = stored["search"]
        rows = [
            Scored(Candidate.of(row), float(row["gmacs_per_mp"]), -math.inf if gain_db is None else float(gain_db))
            for row in stored["candidates"]
            for gain_db in (row["val_psnr_gain_db"],)
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: the file is damaged ({error}). Delete it or give another --out.") from error
    identity = with_current_defaults(identity, "base")
    if identity != settings.identity():
        keys = sorted(key for key, value in settings.identity().items() if identity.get(key) != value)
        raise ModelError(
            f"{path}: belongs to another search ({', '.join(keys)} differ). Give another --out, or the old settings."
        )
    return rows


def _write(path: Path, values: dict[str, Any]) -> None:
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
