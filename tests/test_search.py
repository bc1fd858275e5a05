"""The search for a siamese network keeps its budget, is reproducible from its seed, and goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from rawkd.cli import main  # noqa: E402
from rawkd.errors import ModelError, OutputError, UsageError  # noqa: E402
from rawkd.networks import build_network  # noqa: E402
from rawkd.networks.count import macs_per_mp  # noqa: E402
from rawkd.training import recipes  # noqa: E402
from rawkd.training.config import Recipe, recipe_json  # noqa: E402
from rawkd.training.distill import search  # noqa: E402
from rawkd.training.distill.candidates import CHOICES, NUMBERS, Budget, Candidate, child, random_candidate  # noqa: E402
from rawkd.training.distill.search import FOUND, STATE, Search  # noqa: E402
from rawkd.training.losses.terms import build_losses  # noqa: E402
from rawkd.training.recipe_file import read_recipe, recipe_named  # noqa: E402
from rawkd.training.recipes import RECIPES  # noqa: E402
from rawkd.training.run.loop import Progress, Run  # noqa: E402
from rawkd.training.run.step import DivergedError  # noqa: E402
from rawkd.training.saved.checkpoint import load_checkpoint  # noqa: E402
from rawkd.training.strategies.supervised import Supervised  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

PUBLISHED = {"block": "rcab", "widths": [96, 128, 128], "blocks": [20, 20, 20]}
BASE = replace(RECIPES["mwrcanet-small"], name="base", leaves=1.0, batch=2, crop_px=16, steps=3, learning_rate=1e-3)
ASKED = Search(BASE, 0, budget_gmacs=25.0, proxy_steps=2, population=4, generations=3, seed=7)


def test_genes_and_configurations_are_one_to_one() -> None:
    published = Candidate.of(PUBLISHED)
    assert published.config == PUBLISHED
    assert str(published) == "rcab 96-128-128 x 20-20-20"
    rng = np.random.default_rng(0)
    for _ in range(20):
        candidate = Candidate(tuple(int(rng.integers(len(choices))) for choices in CHOICES))
        assert Candidate.of(candidate.config) == candidate


def test_the_published_network_lies_inside_and_costs_what_it_costs() -> None:
    assert Budget(3000.0).cost(Candidate.of(PUBLISHED)) == pytest.approx(2626.66, abs=0.5)  # test_teachers.py


def counted(candidate: Candidate) -> float:
    """With arithmetic instead of shapes."""
    network: Any = build_network("mwrcanet", candidate.config)
    return macs_per_mp(network, network.stride)["1e6"]


def test_drawn_and_mixed_candidates_keep_the_budget_and_use_it() -> None:
    budget = Budget(11.0)
    parents = [random_candidate(np.random.default_rng([1, number]), budget) for number in range(2)]
    mixed = child((parents[0], parents[1]), np.random.default_rng(0), budget)
    for candidate in (*parents, mixed):
        cost = counted(candidate)
        assert cost == pytest.approx(budget.cost(candidate))
        assert cost <= 11.0
        assert not any(budget.holds(candidate.moved(gene, 1)) for gene in NUMBERS)
    assert len({*parents, mixed}) == 3
    assert not budget.holds(Candidate.of(PUBLISHED))  # the twin that breaks it


def test_a_budget_that_nothing_keeps_is_refused() -> None:
    with pytest.raises(UsageError, match=r"the smallest network costs [0-9.]+ GMACs per megapixel\. Raise --budget"):
        Budget(1.0)


def cheap_cost(_budget: Budget, candidate: Candidate) -> float:
    block, widths, blocks = candidate.config.values()
    return (
        sum(width * width * count for width, count in zip(widths, blocks, strict=True)) / 1e3 + (block == "dense") / 10
    )


def score(config: dict[str, Any]) -> float:
    """Best at wide, even, dense networks."""
    return sum(config["widths"]) / 10 + sum(config["blocks"]) - np.ptp(config["blocks"]) + (config["block"] == "dense")


class Judge:
    """Stands for the training of candidates; counts them, and breaks off or diverges where it is told."""

    def __init__(
        self, *, breaks_at: int | None = None, diverges_at: int | None = None, nan_at: int | None = None
    ) -> None:
        self.seen: list[dict[str, Any]] = []
        self.breaks_at, self.diverges_at, self.nan_at = breaks_at, diverges_at, nan_at

    def train(
        self, recipe: Recipe, _subrange: int, _pictures: Any, _strategy: Any, run: Run, *, listen: Any
    ) -> SimpleNamespace:
        listen(Progress(recipe.steps, recipe.steps, {}))
        number = int(run.folder.name.removeprefix("candidate-")) - 1
        if number == self.breaks_at:
            raise KeyboardInterrupt
        if number == self.diverges_at:
            raise DivergedError("the loss is not finite")
        self.seen.append(recipe.config)
        gain_db = np.nan if number == self.nan_at else score(recipe.config)
        return SimpleNamespace(step=recipe.steps, history=[{"val_psnr_gain_db": gain_db}])


@contextmanager
def silent(_label: str) -> Iterator[Callable[[Progress], None]]:
    yield lambda _progress: None


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Recipe | None]:
    """A search whose candidates are scored by a formula and priced by another."""
    monkeypatch.setattr(Budget, "cost", cheap_cost)

    def run(name: str, judge: Judge, asked: Search = ASKED) -> Recipe | None:
        monkeypatch.setattr(search, "train", judge.train)
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return search.search(asked, (None, None), lambda *_: None, Run(folder), silent)  # type: ignore[arg-type, return-value]

    return run


def rows(folder: Path) -> list[dict[str, Any]]:
    stored: list[dict[str, Any]] = json.loads((folder / STATE).read_text())["candidates"]
    return stored


def test_the_same_seed_finds_the_same_and_another_seed_looks_elsewhere(judged: Any, tmp_path: Path) -> None:
    first, second, other = Judge(), Judge(), Judge()
    found = judged("first", first)
    assert found == judged("second", second)
    judged("other", other, replace(ASKED, seed=8))
    assert first.seen == second.seen
    assert first.seen != other.seen
    assert len(rows(tmp_path / "first")) == ASKED.size == 16
    assert all(row["gmacs_per_mp"] <= ASKED.budget_gmacs for row in rows(tmp_path / "first"))
    assert found.config.items() >= max(first.seen, key=score).items()
    assert (found.name, found.steps, found.warmup_steps) == ("base-searched", BASE.steps, BASE.warmup_steps)
    assert read_recipe(tmp_path / "first" / FOUND) == found
    assert not list((tmp_path / "first").glob("candidate-*"))


def test_generations_learn_of_the_ones_before(judged: Any, tmp_path: Path) -> None:
    drawn_only = replace(ASKED, generations=0, population=16)
    evolved, random = [], []
    for seed in range(5):
        evolved.append(score(judged(f"evolved-{seed}", Judge(), replace(ASKED, seed=seed)).config))
        random.append(score(judged(f"random-{seed}", Judge(), replace(drawn_only, seed=seed)).config))
    assert np.mean(evolved) > np.mean(random) + 3


@pytest.mark.parametrize("number", [0, 5, 11])
def test_an_interrupted_search_goes_where_it_would_have_gone(judged: Any, tmp_path: Path, number: int) -> None:
    whole = Judge()
    found = judged("whole", whole)
    assert len(whole.seen) == ASKED.size  # nothing was drawn twice
    before, after = Judge(breaks_at=number), Judge()
    with pytest.raises(KeyboardInterrupt):
        judged("parts", before)
    assert judged("parts", after) == found
    assert before.seen + after.seen == whole.seen
    assert len(before.seen) == number
    assert (tmp_path / "parts" / STATE).read_text() == (tmp_path / "whole" / STATE).read_text()


def test_more_generations_go_on_where_fewer_ended(judged: Any) -> None:
    whole, few, more = Judge(), Judge(), Judge()
    found = judged("whole", whole)
    judged("parts", few, replace(ASKED, generations=1))
    assert judged("parts", more) == found
    assert few.seen + more.seen == whole.seen
    assert judged("parts", Judge(breaks_at=0)) == found  # a finished search trains nothing


def test_a_candidate_that_diverges_is_no_end(judged: Any, tmp_path: Path) -> None:
    judge = Judge(diverges_at=2)
    found = judged("run", judge)
    lost = rows(tmp_path / "run")[2]
    assert lost["val_psnr_gain_db"] is None
    assert all(found.config[key] == value for key, value in max(judge.seen, key=score).items())
    assert judged("run", Judge(breaks_at=0)) == found


def test_a_score_that_is_no_number_is_the_last(judged: Any, tmp_path: Path) -> None:
    found = judged("run", Judge(nan_at=1))
    rest = [row for row in rows(tmp_path / "run") if row["val_psnr_gain_db"] is not None]
    assert len(rest) == ASKED.size - 1
    assert all(found.config[key] == max(rest, key=score)[key] for key in ("widths", "blocks", "block"))
    with pytest.raises(KeyboardInterrupt):
        judged("parts", Judge(nan_at=1, breaks_at=7))
    assert judged("parts", Judge(nan_at=1)) == found


def test_no_second_training_begins_when_the_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Budget, "cost", cheap_cost)
    judge, whole = Judge(), Judge()
    hurried = Run(tmp_path, minutes=1e-9)

    def searched(who: Judge, run: Run) -> Recipe | None:
        monkeypatch.setattr(search, "train", who.train)
        return search.search(ASKED, (None, None), lambda *_: None, run, silent)  # type: ignore[arg-type, return-value]

    for count in (1, 2):
        assert searched(judge, hurried) is None
        assert len(judge.seen) == len(rows(tmp_path)) == count
    (tmp_path / "whole").mkdir()
    found = searched(whole, Run(tmp_path / "whole", minutes=60.0))
    assert searched(judge, Run(tmp_path, minutes=60.0)) == found
    assert judge.seen == whole.seen
    assert searched(judge, hurried) == found  # what is finished needs no time


def test_a_folder_that_cannot_be_made_is_named(judged: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "candidate-1").write_text("")
    with pytest.raises(OutputError, match=r"candidate-1: cannot be created \(.*\)\. Give another --out"):
        judged("run", Judge())


def test_a_candidate_within_the_budget_is_not_shrunk() -> None:
    candidate = Candidate((1, 1, 2, 4, 0, 1, 3))
    assert Budget(1e9).shrunk(candidate) == candidate


def test_candidates_that_were_judged_are_not_trained_again(judged: Any, tmp_path: Path) -> None:
    smallest = Candidate((1, *[0] * 6))
    tight = replace(ASKED, budget_gmacs=cheap_cost(Budget(1e9), smallest), generations=1)
    judge = Judge()
    judged("tight", judge, tight)
    assert len(judge.seen) == 2  # dense and rcab, at their smallest
    assert len(rows(tmp_path / "tight")) == tight.size


def test_what_a_search_refuses(judged: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"recipe fanet-fast has the network fanet\. A search needs mwrcanet"):
        Search(RECIPES["fanet-fast"], 0, 25.0)
    judged("run", Judge())
    with pytest.raises(ModelError, match=r"search\.json: belongs to another search \(budget_gmacs, seed differ\)"):
        judged("run", Judge(), replace(ASKED, seed=1, budget_gmacs=20.0))
    with pytest.raises(ModelError, match=r"belongs to another search \(base differ\)"):
        judged("run", Judge(), replace(ASKED, base=replace(BASE, learning_rate=1e-4)))
    for damaged in ("{", '{"search": {}, "candidates": [{"block": "cubic"}]}', "[]"):
        (tmp_path / "run" / STATE).write_text(damaged)
        with pytest.raises(ModelError, match=r"search\.json: the file is damaged \(.*\)\. Delete it or give"):
            judged("run", Judge())


def test_trained_candidates_are_the_same_again_and_out_of_time_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Budget, "cost", cheap_cost)
    asked = replace(ASKED, budget_gmacs=3.0, population=2, generations=1)

    def supervised(device: Any, _student: Any) -> Supervised:
        return Supervised(build_losses({"charbonnier": 1.0}, None, device))

    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = search.search(asked, (None, None), supervised, Run(tmp_path / "whole"), silent)
    hurried = Run(tmp_path / "parts", minutes=1e-9)
    assert search.search(asked, (None, None), supervised, hurried, silent) is None
    inside = load_checkpoint(tmp_path / "parts" / "candidate-1")
    assert inside is not None
    assert inside.step == 1
    assert not (tmp_path / "parts" / STATE).exists()
    assert search.search(asked, (None, None), supervised, Run(tmp_path / "parts"), silent) == whole
    assert (tmp_path / "parts" / STATE).read_text() == (tmp_path / "whole" / STATE).read_text()
    gains = [row["val_psnr_gain_db"] for row in rows(tmp_path / "whole")]
    assert np.isfinite(gains).all()
    assert len(set(gains)) > 1


def command(*arguments: str | Path | float) -> int:
    return main([*map(str, arguments)])


def test_the_command_finds_a_recipe_that_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(recipes.RECIPES, "base", BASE)
    out = tmp_path / "found"
    asked = ("search", "--recipe", "base", "--subrange", 0, "--budget-gmacs", 12, "--proxy-steps", 1, "--out", out)
    asked = (*asked, "--population", 2, "--generations", 0, "--steps", 2, "--batch", 1)
    assert command(*asked) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{out / FOUND}\n"
    assert "candidate 2 of 2: " in shown.err
    found = recipe_named(str(out / FOUND))
    assert (found.steps, found.batch) == (2, 1)
    run = tmp_path / "run"
    assert command("train", "--recipe", out / FOUND, "--subrange", 0, "--steps", 1, "--out", run) == 0
    trained = load_checkpoint(run)
    assert trained is not None
    assert trained.recipe["recipe"] == recipe_json(found.with_steps(1))
    assert command(*asked, "--start-from", run) == 2
    assert "every candidate of a search begins anew" in capsys.readouterr().err
    assert command(*asked, "--snapshot", tmp_path / "kept") == 2
    assert "leave out --snapshot" in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert command(*asked) == 2
    assert "a search runs in one process: start it without torchrun" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "unknown field colour"),
        ({"name": None}, "the field name is missing"),
        ({"steps": "many"}, "the field steps is not of type int"),
        ({"batch": True}, "the field batch is not of type int"),
        ({"learning_rate": [1]}, "the field learning_rate is not of type float"),
        ({"config": 3}, "the field config is not of type dict"),
        ({"noise": {"model": 1}}, "the field model is not of type str"),
        ({"noise": {"grain": 1}}, "unknown field grain"),
        ({"noise": 5}, "the field noise is not of type NoiseRecipe"),
    ],
)
def test_files_that_are_no_recipe_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    plain = {key: value for key, value in (recipe_json(BASE) | change).items() if value is not None}
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(plain))
    with pytest.raises(UsageError, match=rf"recipe\.json: not a recipe \({message}\)\. Give a file with a base"):
        recipe_named(str(path))


def test_a_file_that_is_no_object_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text("[]")
    with pytest.raises(UsageError, match="Recipe is not an object"):
        recipe_named(str(tmp_path / "recipe.json"))


def test_recipes_come_back_from_their_files(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    for recipe in (BASE, RECIPES["fanet-fast-eld"]):
        path.write_text(json.dumps(recipe_json(recipe)))
        assert read_recipe(path) == recipe
    path.write_text(json.dumps(recipe_json(BASE) | {"learning_rate": 1}))
    assert read_recipe(path).learning_rate == 1
    path.write_text("{")
    with pytest.raises(UsageError, match="not a recipe"):
        read_recipe(path)
