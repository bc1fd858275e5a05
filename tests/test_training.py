"""The training loop: it learns, it resumes bit for bit, and it stops with a reason."""

from __future__ import annotations

import errno
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from two_processes import run_on_two_processes  # noqa: E402

from rawkd.cli import main  # noqa: E402
from rawkd.errors import ModelError, OutputError, UsageError  # noqa: E402
from rawkd.networks import build_network  # noqa: E402
from rawkd.networks.count import macs_per_packed_px  # noqa: E402
from rawkd.training import recipes  # noqa: E402
from rawkd.training.config import Recipe, recipe_json  # noqa: E402
from rawkd.training.data.batches import batches_of  # noqa: E402
from rawkd.training.data.clean import find_pictures  # noqa: E402
from rawkd.training.losses.terms import build_losses  # noqa: E402
from rawkd.training.recipes import FANET_FAST  # noqa: E402
from rawkd.training.run import loop  # noqa: E402
from rawkd.training.run.distributed import Processes  # noqa: E402
from rawkd.training.run.learner import Learner  # noqa: E402
from rawkd.training.run.loop import Progress, Run, prefetched, train  # noqa: E402
from rawkd.training.run.step import optimise  # noqa: E402
from rawkd.training.saved.checkpoint import (  # noqa: E402
    CHECKPOINT,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from rawkd.training.saved.identity import refuse_other_recipe  # noqa: E402
from rawkd.training.strategies.supervised import Supervised  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
TINY = Recipe(
    "tiny",
    "fanet",
    {"widths": [8, 16], "encoder_blocks": [1, 1], "decoder_blocks": [1], "groups": 2, "patch": True},
    steps=8,
    batch=4,
    crop_px=16,
    learning_rate=5e-3,
    warmup_steps=4,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight smooth pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:80, :80] / 80
    for number in range(8):
        waves = [0.5 + 0.4 * np.sin((3 + channel) * x + number * y + channel) for channel in range(3)]
        iio.imwrite(folder / f"{number}.png", (255 * np.stack(waves, -1)).astype(np.uint8))
    return folder


def supervised(device: Any, student: Any) -> Supervised:
    return Supervised(build_losses({"charbonnier": 1.0}, None, device))


def run(
    recipe: Recipe,
    folder: Path,
    out: Path,
    *,
    listen: Callable[[Progress], None] = lambda _: None,
    start_from: str | None = None,
    warn: Callable[[str], None] = lambda _: None,
    **choices: Any,
) -> Checkpoint:
    out.mkdir(exist_ok=True)
    pictures = find_pictures([folder], 2 * recipe.crop_px)
    made = Run(out, **({"validate_every": 4} | choices))
    return train(recipe, 1, pictures, supervised, made, start_from=start_from, listen=listen, warn=warn)


def assert_equal_states(first: Any, second: Any) -> None:
    """Bit for bit, tensors and numbers alike."""
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_equal_states(first[key], second[key])
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_equal_states(one, other)
    elif torch.is_tensor(first):
        assert torch.equal(first, second)
    else:
        assert first == second


def assert_equal_runs(first: Checkpoint, second: Checkpoint) -> None:
    for part in ("step", "recipe", "student", "average", "optimiser", "history"):
        assert_equal_states(getattr(first, part), getattr(second, part))


@pytest.mark.parametrize("learning_rate", [5e-3, 0.0], ids=["learning", "twin without learning"])
def test_the_loss_falls_on_eight_pictures(folder: Path, tmp_path: Path, learning_rate: float) -> None:
    losses: list[float] = []
    recipe = replace(TINY, config=FANET_FAST.config, steps=80, batch=8, crop_px=32, learning_rate=learning_rate)
    state = run(
        recipe, folder, tmp_path / "run", listen=lambda progress: losses.append(progress.values["charbonnier"]),
        validate_every=80,
    )  # fmt: skip
    assert len(losses) == 80
    fell = np.mean(losses[-8:]) < 0.88 * np.mean(losses[:4])
    gained = state.history[-1]["val_psnr_gain_db"] > 1
    assert fell == gained == (learning_rate > 0)


class Interrupted(Exception):  # noqa: N818 -- what a signal does
    """Stands for Ctrl-C."""


WIDE = replace(
    TINY,
    name="wide",
    config={"widths": [8, 32], "encoder_blocks": [1, 2], "decoder_blocks": [1], "groups": 1, "patch": True},
    kernel_rate=6e-3,
    tries=3,
)
"""With kernels between features, which learn by Muon, and crops of the best of three places."""


@pytest.mark.parametrize("recipe", [TINY, WIDE], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_is_the_uninterrupted_run(recipe: Recipe, folder: Path, tmp_path: Path, workers: int) -> None:
    whole = run(recipe, folder, tmp_path / "whole")

    def interrupt(progress: Progress) -> None:
        if progress.step == 6:
            raise Interrupted

    with pytest.raises(Interrupted):
        run(recipe, folder, tmp_path / "parts", listen=interrupt, workers=workers)
    kept = load_checkpoint(tmp_path / "parts")
    assert kept is not None
    assert kept.step == 4
    steps: list[int] = []
    resumed = run(
        recipe, folder, tmp_path / "parts", listen=lambda progress: steps.append(progress.step), workers=workers
    )
    assert steps == [5, 6, 7, 8]
    assert_equal_runs(resumed, whole)
    stored = load_checkpoint(tmp_path / "parts")
    assert stored is not None
    assert_equal_runs(stored, whole)
    with pytest.raises(AssertionError):
        assert_equal_runs(run(replace(recipe, seed=2), folder, tmp_path / "other"), whole)


def test_a_run_out_of_time_is_resumed(folder: Path, tmp_path: Path) -> None:
    first = run(TINY, folder, tmp_path / "run", minutes=1e-9)
    assert first.step == 1
    assert first.seconds > 0
    state = run(TINY, folder, tmp_path / "run")
    assert state.step == 8
    assert state.seconds > first.seconds
    assert [row["step"] for row in state.history] == [1, 4, 8]
    whole = run(TINY, folder, tmp_path / "whole")
    assert_equal_states(state.average, whole.average)


def more(folder: Path) -> None:
    """A picture more, first by name: it is held out, and the one that was held out would be learnt."""
    shutil.copy(folder / "3.png", folder / "0-more.png")


def fewer(folder: Path) -> None:
    (folder / "3.png").unlink()


def fewer_held_out(folder: Path) -> None:
    """The next by name is held out instead, after it was learnt."""
    (folder / "0.png").unlink()


def another(folder: Path) -> None:
    shutil.copy(folder / "4.png", folder / "3.png")


def another_held_out(folder: Path) -> None:
    shutil.copy(folder / "4.png", folder / "0.png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (more, "training: 1 new, first 0.png, held out: 1 missing, first 0.png, held out: 1 new, first 0-more.png"),
        (fewer, "training: 1 missing, first 3.png"),
        (
            fewer_held_out,
            "training: 1 missing, first 1.png, held out: 1 missing, first 0.png, held out: 1 new, first 1",
        ),
        (another, "training: 1 missing, first 3.png, training: 1 new, first 3.png"),
        (another_held_out, "held out: 1 missing, first 0.png, held out: 1 new, first 0.png"),
    ],
)
def test_a_run_is_resumed_with_its_own_pictures(
    folder: Path, tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    others = tmp_path / "others"
    shutil.copytree(folder, others)
    run(TINY, folder, tmp_path / "run", minutes=1e-9)
    change(others)
    with pytest.raises(ModelError, match=rf"this run started with other pictures \({message}"):
        run(TINY, others, tmp_path / "run")
    assert run(TINY, folder, tmp_path / "run").step == 8


def test_an_older_run_knows_the_names_that_it_learnt(folder: Path, tmp_path: Path) -> None:
    state = run(TINY, folder, tmp_path / "run", minutes=1e-9)
    assert state.origin is not None
    older = {key: value for key, value in state.origin.items() if key != "pictures"}
    save_checkpoint(tmp_path / "run", replace(state, origin=older, precision=None))
    others = tmp_path / "others"
    shutil.copytree(folder, others)
    more(others)
    with pytest.raises(ModelError, match=r"other pictures \(training: 1 new, first 0\.png\)"):
        run(TINY, others, tmp_path / "run")
    assert run(TINY, folder, tmp_path / "run").step == 8


def origin_of(folder: Path) -> dict[str, Any]:
    """Where the weights of a run come from, as its checkpoint says."""
    state = load_checkpoint(folder)
    assert state is not None
    assert state.origin is not None
    return state.origin


def test_weights_that_learnt_held_out_pictures_are_told(folder: Path, tmp_path: Path) -> None:
    """A second run on the same pictures with one more holds out another one."""
    told: list[str] = []
    short = replace(TINY, steps=1, warmup_steps=0)
    run(TINY, folder, tmp_path / "first")
    run(short, folder, tmp_path / "same", start_from=str(tmp_path / "first"), warn=told.append)
    assert told == []
    others = tmp_path / "others"
    shutil.copytree(folder, others)
    (others / "0.png").unlink()
    for _ in range(2):  # new, and resumed
        run(short, others, tmp_path / "second", start_from=str(tmp_path / "first"), warn=told.append)
    assert len(told) == 2
    assert "have learnt 1 of the 1 held-out pictures (first 1.png), so its validation is too good" in told[0]
    pictures = origin_of(tmp_path / "second")["pictures"]
    assert [name for name, _ in pictures["held_out"]] == ["1.png"]  # its own, not those of the first run


@pytest.mark.parametrize("older", [False, True])
def test_learnt_pictures_are_told_below_another_folder(folder: Path, tmp_path: Path, older: bool) -> None:
    """By what is in them; other pictures of the same name are not."""
    told: list[str] = []
    short = replace(TINY, steps=1, warmup_steps=0)
    first = run(TINY, folder, tmp_path / "first")
    assert first.origin is not None
    if older:  # it stored names of what it learnt, and hashes of its own pictures
        names = sorted({name for name, _ in first.origin["learnt"]})
        save_checkpoint(tmp_path / "first", replace(first, origin={**first.origin, "learnt": names}))
    others = tmp_path / "others"
    shutil.copytree(folder, others / "sub")
    shutil.copy(folder / "0.png", others / "1.png")  # held out by both runs
    run(short, others, tmp_path / "clean", start_from=str(tmp_path / "first"), warn=told.append)
    assert told == []
    shutil.move(others / "1.png", others / "z.png")
    shutil.copy(folder / "1.png", others / "0.png")
    run(short, others, tmp_path / "second", start_from=str(tmp_path / "first"), warn=told.append)
    assert len(told) == 1
    assert "have learnt 1 of the 1 held-out pictures (first 0.png)" in told[0]
    assert {"file": "0.png", "use": "held out for validation"} not in origin_of(tmp_path / "second")["data"]


def test_a_finished_run_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    first = run(TINY, folder, tmp_path / "run")
    heard: list[Progress] = []
    assert_equal_runs(run(TINY, folder, tmp_path / "run", listen=heard.append), first)
    assert heard == []


def test_a_finished_run_prepares_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(TINY, folder, tmp_path / "run")
    for name in ("validation_batches", "compile_checked", "batches_of"):
        monkeypatch.setattr(loop, name, lambda *_, **__: pytest.fail("it was prepared"))
    assert_equal_runs(run(TINY, folder, tmp_path / "run", compiled=True), first)


def test_a_step_waits_for_the_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For all losses together; a second time for the norm of the gradients."""
    losses = build_losses({"charbonnier": 1.0, "own-noise-charbonnier": 0.5, "log-error": 0.1}, None, CPU)
    learner = Learner.of(TINY, 1, CPU, lambda *_: Supervised(losses), torch.float32)
    batch = batches_of(None, replace(TINY, leaves=1.0), 1, seed=1, length=1)[0]
    expected = {name: term.item() for name, term in learner.strategy.step(learner.student, batch, 0.0).items()}
    waits: list[str] = []
    for name in ("item", "tolist", "__bool__"):
        told = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda own, name=name, told=told: waits.append(name) or told(own))
    found = optimise(learner.student, learner, batch, TINY, 1, Processes(0, 1, CPU))
    monkeypatch.undo()
    assert waits == ["tolist", "__bool__"]
    assert found == expected


def test_leaves_need_no_picture(tmp_path: Path) -> None:
    recipe = replace(TINY, steps=2, leaves=1.0)
    state = train(recipe, 1, (None, None), supervised, Run(tmp_path, validate_every=1))
    assert np.isfinite(state.history[-1]["val_noise_db"])


def test_the_schedule_warms_up_and_falls(folder: Path, tmp_path: Path) -> None:
    state = run(replace(TINY, steps=4, warmup_steps=0), folder, tmp_path / "run")
    rate = state.optimiser["param_groups"][0]["lr"]
    last_step = 0.5 * (1 + np.cos(np.pi * 3 / 4))
    assert rate == pytest.approx(TINY.learning_rate * (1e-3 + (1 - 1e-3) * last_step))
    late = run(replace(TINY, steps=4, warmup_steps=0, decay=0.5), folder, tmp_path / "late")
    last_of_two = 0.5 * (1 + np.cos(np.pi * (3 / 4 - 0.5) / 0.5))
    assert late.optimiser["param_groups"][0]["lr"] == pytest.approx(
        TINY.learning_rate * (1e-3 + (1 - 1e-3) * last_of_two)
    )
    flat = run(replace(TINY, steps=4, warmup_steps=0, decay=0.25), folder, tmp_path / "flat")
    assert flat.optimiser["param_groups"][0]["lr"] == pytest.approx(TINY.learning_rate)
    warming = run(replace(TINY, steps=1, warmup_steps=100), folder, tmp_path / "warming")
    assert warming.optimiser["param_groups"][0]["lr"] == pytest.approx(TINY.learning_rate / 100)


def test_muon_has_a_rate_of_its_own_on_the_same_schedule(folder: Path, tmp_path: Path) -> None:
    state = run(replace(WIDE, steps=1, warmup_steps=100), folder, tmp_path / "run")
    rates = [state.optimiser[place]["param_groups"][0]["lr"] for place in ("0", "1")]
    assert rates == pytest.approx([WIDE.learning_rate / 100, 6e-5])
    assert len(state.optimiser["1"]["state"]) == 3  # between 32 features and 32
    half = WIDE.with_rates(0.5)
    assert half.rates == pytest.approx((WIDE.learning_rate / 2, 3e-3))
    assert TINY.with_rates(0.5).rates == pytest.approx((TINY.learning_rate / 2,))


def test_a_field_that_came_later_does_not_make_another_recipe(folder: Path, tmp_path: Path) -> None:
    short = replace(TINY, steps=1)
    state = run(short, folder, tmp_path / "run")
    old = {key: value for key, value in state.recipe["recipe"].items() if key != "tries"}
    earlier = replace(state, recipe={**state.recipe, "recipe": old})
    refuse_other_recipe(earlier, state.recipe, tmp_path / "run")
    asked = {**state.recipe, "recipe": recipe_json(replace(short, tries=2))}
    with pytest.raises(ModelError, match=r"recipe\.tries 1 -> 2"):
        refuse_other_recipe(earlier, asked, tmp_path / "run")


def test_the_average_follows_the_student(folder: Path, tmp_path: Path) -> None:
    start = run(replace(TINY, steps=1, learning_rate=0.0), folder, tmp_path / "start")
    one = run(replace(TINY, steps=1), folder, tmp_path / "one")
    decay = min(TINY.ema, 1 / 11)
    for name, moved in one.student.items():
        expected = decay * start.student[name] + (1 - decay) * moved
        torch.testing.assert_close(one.average[name], expected)


def test_a_checkpoint_of_another_recipe_is_refused_with_the_difference(folder: Path, tmp_path: Path) -> None:
    short = replace(TINY, steps=1)
    run(short, folder, tmp_path / "run")
    other = replace(short, learning_rate=1e-4, noise=replace(short.noise, model="eld"))
    with pytest.raises(ModelError, match=r"a run of another recipe \(recipe.learning_rate 0.005 -> 0.0001, ") as caught:
        run(other, folder, tmp_path / "run")
    assert "recipe.noise.model poisson-gaussian -> eld" in str(caught.value)
    assert "steps" not in str(caught.value)
    with pytest.raises(ModelError, match="start_from None -> "):
        run(short, folder, tmp_path / "run", start_from=str(tmp_path / "run"))
    untouched = load_checkpoint(tmp_path / "run")
    assert untouched is not None
    refuse_other_recipe(untouched, {"recipe": recipe_json(short), "subrange": 1, "start_from": None}, tmp_path / "run")


def test_a_run_starts_from_another(folder: Path, tmp_path: Path) -> None:
    first = run(TINY, folder, tmp_path / "first")
    still = replace(TINY, name="second", steps=1, learning_rate=0.0)
    second = run(still, folder, tmp_path / "second", start_from=str(tmp_path / "first"))
    assert_equal_states(second.average, first.average)
    again = run(still, folder, tmp_path / "second", start_from=f"{tmp_path}/first/")
    assert_equal_runs(again, second)
    with pytest.raises(ModelError, match="nowhere: neither the folder of a model or run nor a shipped model"):
        run(still, folder, tmp_path / "third", start_from=str(tmp_path / "nowhere"))
    wider = replace(still, config={**TINY.config, "widths": [8, 24]})
    with pytest.raises(ModelError, match="first has weights of another network"):
        run(wider, folder, tmp_path / "fourth", start_from=str(tmp_path / "first"))


@pytest.mark.parametrize("kernel_rate", [None, 1e-3], ids=["Adam", "Muon"])
def test_only_the_parameters_that_learn_change(folder: Path, tmp_path: Path, kernel_rate: float | None) -> None:
    first = run(replace(TINY, steps=1), folder, tmp_path / "first")
    part = replace(TINY, steps=2, learning=["head.", "decoder.0."], kernel_rate=kernel_rate)
    second = run(part, folder, tmp_path / "second", start_from=str(tmp_path / "first"))
    changed = {
        name.split(".")[0] for name, values in second.average.items() if not torch.equal(values, first.average[name])
    }
    assert changed == {"head", "decoder"}
    assert_equal_runs(run(part, folder, tmp_path / "second", start_from=str(tmp_path / "first")), second)
    with pytest.raises(ModelError, match=r"no parameter of the network begins with nothing\."):
        run(replace(part, learning=["nothing."]), folder, tmp_path / "third")
    with pytest.raises(
        UsageError, match=r"only the parameters of `learning` learn \(head\., decoder\.0\.\), so the others"
    ):
        run(part, folder, tmp_path / "fourth")


def test_a_run_grows_out_of_another(folder: Path, tmp_path: Path) -> None:
    gated = {**TINY.config, "block": "gated", "shrink": 2, "align_hidden": 4}
    small = replace(TINY, config=gated, steps=2)
    first = run(small, folder, tmp_path / "first", validate_every=1)
    large = replace(small, config={**gated, "widths": [12, 24]}, steps=1, learning_rate=0.0)
    second = run(large, folder, tmp_path / "second", start_from=str(tmp_path / "first"))
    values = [state.history[-1]["val_noise_db"] for state in (first, second)]
    assert values[1] == pytest.approx(values[0], abs=1e-3)
    assert second.average["stem.weight"].shape[0] == 12


def test_a_run_starts_from_the_parts_of_a_larger_one(folder: Path, tmp_path: Path) -> None:
    dense = {**TINY.config, "block": "dense-gated", "shrink": 2, "align_hidden": 4, "patch": True}
    large = replace(TINY, config={**dense, "widths": [12, 24]}, steps=2)
    first = run(large, folder, tmp_path / "first")
    small = replace(large, config={**dense, "widths": [8, 24]}, steps=1, learning_rate=0.0)
    second = run(small, folder, tmp_path / "second", start_from=str(tmp_path / "first"))
    rows = {tuple(row.tolist()) for row in first.average["stem.weight"].flatten(1)}
    assert all(tuple(row.tolist()) in rows for row in second.average["stem.weight"].flatten(1))


class Poisoned:
    """A strategy one of whose losses is not finite from the second step on."""

    adapters = None
    weaker_noise = None

    def __init__(self, value: float) -> None:
        self.value, self.steps = value, 0

    def step(self, student: Any, batch: Any, _progress: float) -> dict[str, Any]:
        self.steps += 1
        loss = (student(batch.noisy) - batch.clean).square().mean()
        return {"sound": loss, "poisoned": loss * (self.value if self.steps > 1 else 1.0)}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_by_name(folder: Path, tmp_path: Path, value: float) -> None:
    pictures = find_pictures([folder], 32)
    with pytest.raises(ModelError, match=r"the loss poisoned is not finite at step 2\. Lower the learning rate"):
        train(TINY, 1, pictures, lambda *_: Poisoned(value), Run(tmp_path, validate_every=1))
    kept = load_checkpoint(tmp_path)
    assert kept is not None
    assert kept.step == 1
    assert all(torch.isfinite(tensor).all() for tensor in kept.student.values())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_stops_before_the_weights(folder: Path, tmp_path: Path, value: float) -> None:
    class Steep(torch.autograd.Function):
        @staticmethod
        def forward(_context: Any, loss: Any) -> Any:
            return loss.clone()

        @staticmethod
        def backward(_context: Any, gradient: Any) -> Any:
            return gradient * value

    class Cliff(Poisoned):
        def step(self, student: Any, batch: Any, progress: float) -> dict[str, Any]:
            sound = super().step(student, batch, progress)["sound"]
            return {"steep": Steep.apply(sound) if self.steps > 1 else sound}

    pictures = find_pictures([folder], 32)
    with pytest.raises(ModelError, match=r"the gradients are not finite at step 2\. Lower the learning rate"):
        train(TINY, 1, pictures, lambda *_: Cliff(1.0), Run(tmp_path, validate_every=1))
    kept = load_checkpoint(tmp_path)
    assert kept is not None
    assert kept.step == 1


def checkpoint_of(step: int) -> Checkpoint:
    return Checkpoint(step, {"recipe": {"name": "r"}}, {"w": torch.ones(3) * step}, {}, {}, 1.0, [])


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_an_interrupted_write_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    save_checkpoint(tmp_path, checkpoint_of(1))
    before = (tmp_path / CHECKPOINT).read_bytes()

    def half(path: Path, data: Any) -> int:
        with path.open("wb") as file:
            file.write(bytes(data)[: len(data) // 2])
        raise failure

    monkeypatch.setattr(Path, "write_bytes", half)
    expected = OutputError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="the disk is full" if expected is OutputError else None):
        save_checkpoint(tmp_path, checkpoint_of(2))
    monkeypatch.undo()
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    kept = load_checkpoint(tmp_path)
    assert kept is not None
    assert_equal_runs(kept, checkpoint_of(1))


def test_damaged_checkpoints_are_named(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    save_checkpoint(tmp_path, checkpoint_of(1))
    sound = (tmp_path / CHECKPOINT).read_bytes()
    torch.save({"step": 1}, tmp_path / "other.pt")
    for damaged in (b"", b"no checkpoint", sound[: len(sound) // 2], (tmp_path / "other.pt").read_bytes()):
        (tmp_path / CHECKPOINT).write_bytes(damaged)
        with pytest.raises(ModelError, match=r"checkpoint\.pt: the checkpoint is damaged \(.*\)\. Delete it or give"):
            load_checkpoint(tmp_path)


def test_a_damaged_checkpoint_leaves_the_one_before(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint_of(1))
    save_checkpoint(tmp_path, checkpoint_of(2))
    newest = tmp_path / CHECKPOINT
    warnings: list[str] = []
    found = load_checkpoint(tmp_path, warnings.append)
    assert found is not None
    assert (found.step, warnings) == (2, [])
    newest.write_bytes(newest.read_bytes()[:100])
    found = load_checkpoint(tmp_path, warnings.append)
    assert found is not None
    assert_equal_runs(found, checkpoint_of(1))
    assert len(warnings) == 1
    assert "checkpoint.pt: the checkpoint is damaged" in warnings[0]
    assert "checkpoint-previous.pt, step 1" in warnings[0]
    newest.unlink()  # a crash between the two renames
    found = load_checkpoint(tmp_path, warnings.append)
    assert found is not None
    assert (found.step, len(warnings)) == (1, 1)


def test_a_snapshot_is_a_start_of_half_the_digits(folder: Path, tmp_path: Path) -> None:
    state = run(TINY, folder, tmp_path / "run", snapshot=tmp_path / "kept" / "tiny")
    kept = load_checkpoint(tmp_path / "kept" / "tiny")
    assert kept is not None
    assert (kept.step, kept.student, kept.optimiser) == (state.step, {}, {})
    assert all(weight.dtype == torch.float16 for weight in kept.average.values())
    begun = run(replace(TINY, learning_rate=0.0), folder, tmp_path / "next", start_from=str(tmp_path / "kept" / "tiny"))
    for name, weight in state.average.items():
        torch.testing.assert_close(begun.student[name], weight, rtol=2**-11, atol=1e-7)  # half a unit of fp16
    assert any(not torch.equal(begun.student[name], weight) for name, weight in state.average.items())


def test_a_snapshot_names_no_folder_of_the_machine(folder: Path, tmp_path: Path) -> None:
    run(TINY, folder, tmp_path / "first")
    run(TINY, folder, tmp_path / "next", start_from=str(tmp_path / "first"), snapshot=tmp_path / "kept")
    kept = load_checkpoint(tmp_path / "kept")
    assert kept is not None
    assert kept.recipe["start_from"] == "first"
    assert str(tmp_path).encode() not in (tmp_path / "kept" / "checkpoint.pt").read_bytes()


def test_a_snapshot_is_no_checkpoint(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="would replace the run's checkpoint"):
        run(TINY, folder, tmp_path / "run", snapshot=tmp_path / "next" / ".." / "run")
    run(TINY, folder, tmp_path / "run", snapshot=tmp_path / "kept")
    with pytest.raises(ModelError, match="a snapshot cannot be resumed"):
        run(TINY, folder, tmp_path / "kept")


def test_a_run_says_how_fast_it_is(folder: Path, tmp_path: Path) -> None:
    heard: list[Progress] = []
    run(TINY, folder, tmp_path / "run", listen=heard.append)
    values = heard[-1].values
    megapixels = 4 * TINY.batch * TINY.crop_px**2 / 1e6
    network = build_network("fanet", TINY.network_config(0))
    macs = macs_per_packed_px(network, network.stride) * TINY.batch * TINY.crop_px**2
    assert values["gflops"] / values["mp_per_s"] == pytest.approx(6 * macs / 1e9 / megapixels)
    assert values["seconds_left"] == 0
    assert heard[3].values["seconds_left"] == pytest.approx(4 * megapixels / heard[3].values["mp_per_s"])


def test_prefetched_batches_are_the_batches(folder: Path) -> None:
    pictures, _ = find_pictures([folder], 32)
    batches = batches_of(pictures, TINY, 0, seed=1, length=5)
    for number, batch in zip(range(1, 5, 2), prefetched(batches, range(1, 5, 2)), strict=True):
        assert torch.equal(batch.noisy, batches[number].noisy)
    assert list(prefetched(batches, range(0))) == []


def test_tensorboard_is_told_numbers_and_pictures(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(TINY, folder, tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert [event.step for event in events.Scalars("val_psnr_gain_db")] == [4, 8]
    assert {"charbonnier", "val_noise_db"} <= set(events.Tags()["scalars"])
    picture = iio.imread(events.Images("noisy, restored, clean")[-1].encoded_image_string)
    assert picture.shape == (3 * 32, 4 * 32, 3)  # three rows of four crops
    assert picture.std() > 1


def test_no_tensorboard_is_no_matter(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert run(replace(TINY, steps=1), folder, tmp_path / "run").step == 1
    assert [path.name for path in (tmp_path / "run").iterdir()] == [CHECKPOINT]


def compile_by(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another back end than inductor's, whose C++ takes half a minute."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))


def test_a_compiled_network_learns_the_same(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = []

    def as_it_is(graph: Any, _inputs: Any) -> Any:
        graphs.append(graph)
        return graph

    eager = run(TINY, folder, tmp_path / "eager")
    compile_by(as_it_is, monkeypatch)
    compiled = run(TINY, folder, tmp_path / "run", compiled=True, minutes=1e-9)
    assert (len(graphs), compiled.step) == (1, 1)
    resumed = run(TINY, folder, tmp_path / "run")  # without: it is the same run
    assert_equal_states(resumed.average, eager.average)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("breaks", "torch cannot compile the network here (no C++ compiler). Leave out --compile."),
        ("halves", "compiles the network wrongly on this machine (its gradient of"),
    ],
)
def test_a_compiler_that_errs_is_named(
    tiny_recipe: None,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: str,
    message: str,
) -> None:
    def backend(graph: Any, _inputs: Any) -> Any:
        if fault == "breaks":
            raise OSError("no C++ compiler")

        def run_graph(*inputs: Any) -> Any:  # the right answer with half of its gradient
            return tuple(0.5 * (answer + answer.detach()) for answer in graph(*inputs))

        return run_graph

    compile_by(backend, monkeypatch)
    asked = ("--recipe", "tiny", "--subrange", 1, "--data", folder, "--out", tmp_path / "run")
    assert command(*asked, "--compile") == 5
    assert message in " ".join(capsys.readouterr().err.split())
    assert load_checkpoint(tmp_path / "run") is None


def command(*arguments: str | Path) -> int:
    return main(["train", *map(str, arguments)])


@pytest.fixture
def tiny_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recipes.RECIPES, "tiny", TINY)
    monkeypatch.setitem(recipes.RECIPES, "tiny-leaves", replace(TINY, name="tiny-leaves", leaves=1.0))


def test_the_command_trains_and_resumes(
    tiny_recipe: None, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for path in folder.iterdir():
        (pictures / path.name).symlink_to(path)
    (pictures / "broken.png").write_text("no picture")
    out = tmp_path / "run"
    asked = ("--recipe", "tiny", "--subrange", 1, "--data", pictures, "--out", out, "--validate-every", 2)
    assert command(*asked, "--steps", 3, "--threads", 1, "--minutes", 1e-9) == 0
    assert command(*asked, "--steps", 3) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{out}\n" * 2
    assert "broken.png: cannot be read as a picture" in shown.err
    lines = [line for line in shown.err.splitlines() if line.startswith("step ")]
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]
    assert all("charbonnier" in line and "val_psnr_gain_db" in line for line in lines)
    assert command(*asked) == 5  # other steps are another recipe
    assert "recipe.steps 3 -> 8" in capsys.readouterr().err


def test_the_command_says_what_makes_a_run_odd(
    tiny_recipe: None, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = tmp_path / "one"
    one.mkdir()
    shutil.copy(folder / "0.png", one)
    asked = ("--recipe", "tiny", "--subrange", 1, "--threads", 1)
    assert command(*asked, "--data", folder, "--steps", 5, "--out", tmp_path / "a") == 0
    assert "warning" not in capsys.readouterr().err
    assert command(*asked, "--data", one, "--steps", 4, "--out", tmp_path / "b") == 0
    told = capsys.readouterr().err
    assert f"warning: {tmp_path / 'b'}: the learning rate rises for 4 steps, and the run has 4: it ends before" in told
    assert "warning: there is one usable picture, so validation measures on what the network learns" in told


def test_the_command_trains_on_leaves_alone(tiny_recipe: None, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert command("--recipe", "tiny-leaves", "--subrange", 0, "--steps", 1, "--out", out) == 0
    assert load_checkpoint(out) is not None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--recipe", "none", "--subrange", 0), 2, "there is no recipe 'none'"),
        (("--recipe", "tiny", "--subrange", 4), 2, "recipe tiny has subranges 0 to 3, not 4"),
        (("--recipe", "tiny", "--subrange", 0), 2, "recipe tiny needs pictures: name their folder with --data"),
        (("--recipe", "tiny", "--subrange", 0, "--data", "nowhere"), 3, "nowhere: not a folder"),
        (("--recipe", "tiny", "--subrange", 0, "--data", "."), 3, "no usable picture (0 skipped)"),
        (("--recipe", "tiny-leaves", "--subrange", 0, "--device", "abacus"), 2, "torch cannot use the device abacus"),
        (("--recipe", "tiny-leaves", "--subrange", 0, "--out", "file/run"), 6, "file/run: cannot be created"),
    ],
)
def test_what_the_command_refuses(
    tiny_recipe: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[Any, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    assert command("--out", "run", *arguments) == code
    assert message in capsys.readouterr().err
    assert not Path("run").exists()


def test_a_training_that_is_refused_leaves_no_folder(
    tiny_recipe: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one that is refused late, by the network that it should start from."""
    common = ("--recipe", "tiny-leaves", "--subrange", 0, "--out", tmp_path / "run")
    assert command(*common, "--start-from", tmp_path / "nothing") == 5
    assert command(*common, "--start-from", "mono-fast-0") == 5
    assert "has weights of another network" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_interrupted_training_says_where_it_goes_on(
    tiny_recipe: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, stop_at, seen = tmp_path / "run", [1, 3, 1], list[int]()
    asked = ("--recipe", "tiny-leaves", "--subrange", 0, "--threads", 1, "--validate-every", 2, "--out", out)

    def interrupted(*arguments: Any) -> Any:
        seen.append(0)
        if len(seen) == stop_at[0]:
            raise KeyboardInterrupt
        return optimise(*arguments)

    def told() -> str:
        seen.clear()
        assert command(*asked) == 130
        stop_at.pop(0)
        return capsys.readouterr().err.splitlines()[-1]

    monkeypatch.setattr(loop, "optimise", interrupted)
    assert told() == "interrupted; no partial file was left behind"  # before the first step
    assert list(out.iterdir()) == []
    assert told() == "interrupted; the steps after step 2 are lost, and the same command goes on from there"
    state = load_checkpoint(out)
    assert state is not None
    assert state.step == 2
    stop_at[0] = 2
    assert told() == "interrupted; the steps after step 2 are lost, and the same command goes on from there"


def test_without_torch_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert command("--recipe", "tiny", "--subrange", 0, "--out", tmp_path / "run") == 2
    assert "training needs PyTorch: install rawkd[torch]" in capsys.readouterr().err


TWO_PROCESSES = """
import hashlib
from dataclasses import replace
from pathlib import Path
from test_training import TINY, run
from rawkd.training.run.distributed import rank_in_environment
rank = rank_in_environment()
out = Path({out!r})
# the second process's time is over at once, and the first one stops with it
state = run(TINY, Path({folder!r}), out, threads=1, minutes=(60.0, 1e-9)[rank])
weights = b"".join(tensor.numpy().tobytes() for tensor in state.average.values())
(out / f"rank{{rank}}").write_text(f"{{state.step}} {{hashlib.sha256(weights).hexdigest()}}")
"""


def test_two_processes_train_one_network(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    run_on_two_processes(tmp_path / "two.py", TWO_PROCESSES.format(folder=str(folder), out=str(out)))
    first, second = ((out / f"rank{rank}").read_text() for rank in (0, 1))
    assert first == second
    assert first.startswith("1 ")
    kept = load_checkpoint(out)
    assert kept is not None
    assert kept.step == 1
    alone = run(TINY, folder, tmp_path / "alone", minutes=1e-9)
    with pytest.raises(AssertionError):
        assert_equal_states(kept.average, alone.average)  # each process has batches of its own
