"""Pseudo-labels of two networks, and the four steps: what is computed, and that an interruption changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")
pytest.importorskip("onnx", reason="needs the extra: rawkd[torch]")

from test_training import assert_equal_states  # noqa: E402
from tiny_teachers import STUDENT, leaves_batch, shaken, teacher_card  # noqa: E402
from two_processes import run_on_two_processes  # noqa: E402

from rawkd.cli import main  # noqa: E402
from rawkd.errors import ModelError, OutputError, UsageError  # noqa: E402
from rawkd.inference.card import ModelCard  # noqa: E402
from rawkd.networks import build_network  # noqa: E402
from rawkd.training import recipes  # noqa: E402
from rawkd.training.data.clean import CleanSet, find_pictures  # noqa: E402
from rawkd.training.data.dataset import NoisyBatches  # noqa: E402
from rawkd.training.distill.distillation import Distillation  # noqa: E402
from rawkd.training.distill.four_steps import FourSteps, run_four_steps  # noqa: E402
from rawkd.training.losses.terms import build_losses  # noqa: E402
from rawkd.training.noise_recipe import AWGN, NoiseRecipe  # noqa: E402
from rawkd.training.recipes import FANET_FAST, RECIPES  # noqa: E402
from rawkd.training.run.loop import Progress, Run, train  # noqa: E402
from rawkd.training.saved.checkpoint import Checkpoint, load_checkpoint  # noqa: E402
from rawkd.training.saved.provenance import stages_of  # noqa: E402
from rawkd.training.saved.run_card import card_of_run  # noqa: E402
from rawkd.training.saved.trained import find_trained  # noqa: E402
from rawkd.training.strategies.siamese import Siamese  # noqa: E402
from rawkd.training.strategies.supervised import Supervised  # noqa: E402
from rawkd.training.strategies.teacher import Teacher  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SUPERVISED = Supervised(build_losses({"charbonnier": 1.0}, None, CPU))
TINY = {"widths": [8, 8, 8], "blocks": [1, 1, 1]}
PUPIL = replace(STUDENT, steps=4, batch=2, leaves=0.0)
SIAMESE = replace(PUPIL, name="tiny-siamese", network="mwrcanet", config=TINY, num_subranges=1, learning_rate=1e-3)
ORIGINAL = replace(SIAMESE, name="tiny-original", network="mwresnet", config={"widths": [8, 8, 8], "blocks": 1})
ASKED = FourSteps(ORIGINAL, SIAMESE, PUPIL, 1, tuning_steps=4)
FOLDERS = ["1-original", "2-siamese", "3-original", "3-siamese", "4-siamese", "5-tiny-1"]


class Answers:
    """Stands for a teacher that always answers the same."""

    def __init__(self, value: float) -> None:
        self.value = value

    def restore(self, planes: Any, _batch: Any) -> Any:
        return torch.full_like(planes, self.value)


def test_the_label_is_the_mean_of_both_and_its_share_grows() -> None:
    batch = leaves_batch()
    ones = torch.ones_like(batch.noisy)
    batch = batch._replace(clean=2 * ones, sigma=torch.tensor([1.0, 2.0, 4.0, 8.0]))
    strategy = Siamese((Answers(3.0), Answers(7.0)), SUPERVISED, (0.5, 0.7))  # type: ignore[arg-type]
    assert torch.equal(strategy.label(batch), 5 * ones)
    # |1 - 5| and |1 - 2| over the four crops' noise 1, 2, 4, 8: means of 4 (1 + 1/2 + 1/4 + 1/8) / 4 = 1.875, a quarter
    for progress, share in ((0.0, 0.5), (0.5, 0.6), (1.0, 0.7)):
        terms = strategy.step(lambda _noisy: ones, batch, progress)  # type: ignore[arg-type]
        assert terms.keys() == {"charbonnier", "response"}
        assert float(terms["response"]) == pytest.approx(share * 1.875, rel=1e-5)
        assert float(terms["charbonnier"]) == pytest.approx((1 - share) * 0.46875, rel=1e-5)


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelCard, ModelCard]:
    folder = tmp_path_factory.mktemp("models")
    return teacher_card(folder / "one"), teacher_card(folder / "two", "mwrcanet", TINY)


def test_both_teachers_are_asked_and_never_taught(cards: tuple[ModelCard, ModelCard]) -> None:
    torch.manual_seed(3)
    network = shaken(build_network(STUDENT.network, STUDENT.network_config(1)), 3).train()
    batch = leaves_batch()
    strategy: Any = Distillation.of("siamese", cards, {}).build(STUDENT, 1, network, None, CPU)
    expected = sum(Teacher(card, STUDENT.anchor(1), CPU).restore(batch.noisy, batch) for card in cards) / 2
    torch.testing.assert_close(strategy.label(batch), expected)
    teachers = [teacher.network for teacher in strategy.teachers]
    before = [parameter.clone() for teacher in teachers for parameter in teacher.parameters()]
    strategy.step(network, batch, 0.5)["response"].backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    after = [parameter for teacher in teachers for parameter in teacher.parameters()]
    for parameter, old in zip(after, before, strict=True):
        assert parameter.grad is None
        assert not parameter.requires_grad
        assert torch.equal(parameter, old)
    assert strategy.adapters is None


def test_the_ensemble_is_of_both(cards: tuple[ModelCard, ModelCard]) -> None:
    batch = leaves_batch()
    network = build_network(STUDENT.network, STUDENT.network_config(1))
    strategy: Any = Distillation.of("siamese", cards, {"ensemble": 8}).build(STUDENT, 1, network, None, CPU)
    assert [teacher.ensemble for teacher in strategy.teachers] == [8, 8]
    alone: Any = Distillation.of("siamese", cards, {}).build(STUDENT, 1, network, None, CPU)
    assert float((strategy.label(batch) - alone.label(batch)).abs().mean()) > 1e-4


def make_pictures(folder: Path) -> None:
    """Smooth pictures, which a student learns to smoothe in a few steps."""
    folder.mkdir(exist_ok=True)
    y, x = np.mgrid[:80, :80] / 80
    for number in range(4):
        waves = [0.5 + 0.4 * np.sin((3 + channel) * x + number * y + channel) for channel in range(3)]
        iio.imwrite(folder / f"{number}.png", (255 * np.stack(waves, -1)).astype(np.uint8))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    make_pictures(folder)
    return folder


@pytest.fixture(scope="module")
def pictures(data: Path) -> CleanSet:
    return find_pictures([data], 64)[0]


@pytest.mark.parametrize("learning_rate", [5e-3, 0.0], ids=["learning", "twin without learning"])
def test_the_loss_falls(
    cards: tuple[ModelCard, ModelCard], pictures: CleanSet, tmp_path: Path, learning_rate: float
) -> None:
    recipe = replace(
        STUDENT, config=FANET_FAST.config, steps=60 if learning_rate else 2, batch=8, crop_px=32, leaves=0.0,
        learning_rate=learning_rate,
    )  # fmt: skip
    distillation = Distillation.of("siamese", cards, {})

    def strategy(device: Any, student: Any) -> Any:
        return distillation.build(recipe, 1, student, None, device)

    run = Run(tmp_path, validate_every=60)
    state = train(recipe, 1, (pictures, pictures), strategy, run, distillation=distillation.identity())
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.network, recipe.network_config(1))
    drawn = network.state_dict()
    assert state.student.keys() == drawn.keys()
    batch = NoisyBatches(pictures, recipe, 1, seed=7, length=1, exact=True)[0]
    losses = []
    for weights in ({name: value.clone() for name, value in drawn.items()}, state.student):
        network.load_state_dict(weights)
        with torch.no_grad():
            losses.append(sum(float(term) for term in strategy(CPU, network).step(network, batch, 0.5).values()))
    if learning_rate:
        assert losses[1] < 0.97 * losses[0]
    else:
        assert losses[1] == losses[0]


@contextmanager
def silent(_label: str) -> Iterator[Callable[[Progress], None]]:
    yield lambda _progress: None


def four_steps(
    folder: Path, asked: FourSteps = ASKED, shown: Any = silent, *, minutes: float | None = None
) -> Checkpoint | None:
    """Of pictures beside the folder of the run."""
    if not (folder.parent / "pictures").exists():
        make_pictures(folder.parent / "pictures")
    pictures = find_pictures([folder.parent / "pictures"], 2 * PUPIL.crop_px)
    return run_four_steps(asked, pictures, Run(folder, validate_every=2, minutes=minutes), None, shown)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert four_steps(folder) is not None
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where a run is to be."""
    return tmp_path / "run"


def kept(folder: Path, name: str) -> Checkpoint:
    state = load_checkpoint(folder / name)
    assert state is not None
    return state


def assert_equal_runs(first: Path, second: Path) -> None:
    """Every checkpoint bit for bit; the paths of the folders and the seconds aside."""
    for name in FOLDERS:
        one, other = kept(first, name), kept(second, name)
        for part in ("step", "student", "average", "optimiser", "history", "adapters"):
            assert_equal_states(getattr(one, part), getattr(other, part))
        for state in (one, other):
            state.recipe.pop("start_from")
        assert_equal_states(one.recipe, other.recipe)


def test_every_step_begins_and_learns_where_it_should(whole: Path) -> None:
    assert sorted(path.name for path in whole.iterdir()) == FOLDERS
    asked: dict[str, tuple[str | None, tuple[str, ...]]] = {
        "1-original": (None, ()),
        "2-siamese": (None, ()),
        "3-original": ("1-original", ("1-original", "2-siamese")),
        "3-siamese": ("2-siamese", ("1-original", "2-siamese")),
        "4-siamese": ("3-siamese", ("3-original", "3-siamese")),
        "5-tiny-1": (None, ("3-original", "4-siamese")),
    }
    for name, (start, teachers) in asked.items():
        state = kept(whole, name)
        assert state.recipe["start_from"] == (None if start is None else str(whole / start))
        distillation = state.recipe.get("distillation")
        tuned = name[0] in "34"
        assert state.step == 4
        rate = {"1": 1e-3, "2": 1e-3, "5": 5e-3}.get(name[0], 1e-4)
        assert state.recipe["recipe"]["learning_rate"] == pytest.approx(rate)
        if not teachers:
            assert distillation is None
            continue
        own = Distillation.of("siamese", tuple(card_of_run(whole / each) for each in teachers), {}).identity()
        assert distillation == own | {"label_share": [0.5, 0.5] if tuned else [0.5, 0.7]}
    assert [stage["recipe"] for stage in stages_of(whole / "4-siamese")] == ["tiny-siamese"] * 3


class Interrupted(Exception):  # noqa: N818 -- what a signal does
    """Stands for Ctrl-C."""


@pytest.mark.parametrize(
    ("name", "inside"),
    [("1-original", True), ("3-siamese", True), ("5-tiny-1", True), ("3-original", False), ("4-siamese", False)],
)
def test_an_interrupted_run_is_the_uninterrupted_run(whole: Path, out: Path, name: str, inside: bool) -> None:
    @contextmanager
    def interrupting(label: str) -> Iterator[Callable[[Progress], None]]:
        def listen(progress: Progress) -> None:
            if label.startswith(name) and progress.step == 3:
                raise Interrupted

        if label.startswith(name) and not inside:
            raise Interrupted
        yield listen

    with pytest.raises(Interrupted):
        four_steps(out, shown=interrupting)
    left = load_checkpoint(out / name)
    assert (left.step if left else None) == (2 if inside else None)
    labels: list[str] = []

    @contextmanager
    def counting(label: str) -> Iterator[Callable[[Progress], None]]:
        yield lambda progress: labels.append(f"{label.partition(' ')[0]} {progress.step}")

    assert four_steps(out, shown=counting) is not None
    assert labels[0] == f"{name} {3 if inside else 1}"  # what was finished is not trained again
    assert_equal_runs(out, whole)


def test_a_run_out_of_time_is_resumed(whole: Path, out: Path) -> None:
    short = replace(ASKED, original=replace(ORIGINAL, steps=1))
    assert four_steps(out, short, minutes=1e-9) is None
    assert kept(out, "1-original").step == 1
    assert sorted(path.name for path in out.iterdir()) == FOLDERS[:1]  # the time was over between the two
    for steps in (1, 2):
        assert four_steps(out, short, minutes=1e-9) is None
        assert kept(out, "2-siamese").step == steps
    assert sorted(path.name for path in out.iterdir()) == FOLDERS[:2]
    four_steps(out, short)
    # a checkpoint more, so its history is longer
    assert_equal_states(kept(out, "2-siamese").average, kept(whole, "2-siamese").average)
    assert kept(out, "5-tiny-1").step == 4


def test_what_is_finished_needs_no_time(whole: Path) -> None:
    state = four_steps(whole, minutes=1e-9)
    assert state is not None
    assert_equal_states(state.average, kept(whole, "5-tiny-1").average)


def test_a_folder_that_cannot_be_made_is_named(out: Path) -> None:
    out.mkdir()
    (out / "1-original").write_text("")
    with pytest.raises(OutputError, match=r"1-original: cannot be created \(.*\)\. Give another --out"):
        four_steps(out)


def test_the_seed_decides(whole: Path, out: Path) -> None:
    four_steps(out, replace(ASKED, siamese=replace(SIAMESE, seed=2)))
    assert_equal_states(kept(out, "1-original").average, kept(whole, "1-original").average)
    for name in FOLDERS[1:]:
        with pytest.raises(AssertionError):
            assert_equal_states(kept(out, name).average, kept(whole, name).average)


def test_other_teachers_numbers_and_lengths_are_refused(whole: Path, out: Path) -> None:
    for name in FOLDERS:
        (out / name).mkdir(parents=True)
    for name in ("1-original", "2-siamese", "5-tiny-1"):
        (out / name / "checkpoint.pt").write_bytes((whole / name / "checkpoint.pt").read_bytes())
    with pytest.raises(ModelError, match=r"1-original: contains a run of another recipe .*recipe.steps 4 -> 5"):
        four_steps(out, replace(ASKED, original=replace(ORIGINAL, steps=5)))
    with pytest.raises(
        ModelError, match=r"5-tiny-1: contains a run of another recipe \(the teacher has other weights\)"
    ):
        four_steps(out, replace(ASKED, tuning_steps=2))
    with pytest.raises(ModelError, match=r"3-original: contains a run of .*distillation.ensemble 1 -> 8"):
        four_steps(out, replace(ASKED, tuning_steps=2, numbers={"ensemble": 8}))


def test_a_second_student_learns_of_the_same_networks(whole: Path) -> None:
    before = {name: (whole / name / "checkpoint.pt").stat().st_mtime_ns for name in FOLDERS}
    second = replace(ASKED, subrange=2, numbers={"label_share": (0.0, 1.0)}, start_from=str(whole / "5-tiny-1"))
    state = four_steps(whole, second)
    assert state is not None
    assert state.recipe["distillation"]["label_share"] == [0.0, 1.0]
    assert state.recipe["start_from"] == str(whole / "5-tiny-1")
    assert before == {name: (whole / name / "checkpoint.pt").stat().st_mtime_ns for name in FOLDERS}
    for path in (whole / "5-tiny-2").iterdir():
        path.unlink()
    (whole / "5-tiny-2").rmdir()


def test_a_student_that_has_begun_needs_its_start_no_more(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole / "5-tiny-1", tmp_path / "start")
    third = replace(ASKED, subrange=3, start_from=str(tmp_path / "start"))
    assert four_steps(whole, third, minutes=1e-9) is None
    assert kept(whole, "5-tiny-3").step == 1
    shutil.rmtree(tmp_path / "start")
    state = four_steps(whole, third)
    assert state is not None
    assert state.step == 4
    shutil.rmtree(whole / "5-tiny-3")
    with pytest.raises(ModelError, match="start: neither the folder of a model or run nor a shipped model"):
        four_steps(whole, third)
    assert not (whole / "5-tiny-3").exists()


def test_the_colour_track_is_the_same_network_on_three_channels(out: Path) -> None:
    low = {"low": 50.0, "high": 50.0, "noise": NoiseRecipe(model=AWGN), "crop_px": 16, "noise_units": False}
    original, siamese = (
        replace(recipe, config=recipe.config | {"channels": 3}, **low)  # type: ignore[arg-type]
        for recipe in (ORIGINAL, SIAMESE)
    )
    config = {"channels": 3, "blocks": 1, "width": 8, "branch_width": 6, "groups": 2}
    student = replace(original, name="tiny-colour", network="mdrn", config=config)
    state = four_steps(out, FourSteps(original, siamese, student, 0, tuning_steps=1))
    assert state is not None
    assert np.isfinite(state.history[-1]["response"])
    assert state.recipe["distillation"]["teacher"] == "3-original + 4-siamese"
    card = card_of_run(out / "4-siamese")
    assert (card.input, card.stride) == ("rgb", 16)
    with pytest.raises(UsageError, match=r"tiny-original takes rgb in multiples of 8 pixels, .* tiny are planes of 16"):
        four_steps(out, FourSteps(original, siamese, replace(PUPIL, low=50.0, high=50.0), 0))


def test_networks_of_several_subranges_take_the_students(tmp_path: Path) -> None:
    four = replace(ORIGINAL, num_subranges=4)
    steps = replace(ASKED, original=four, subrange=3).steps(tmp_path)
    assert [step.subrange for step in steps] == [3, 0, 3, 0, 0, 3]
    eighth = replace(ASKED, tuning_steps=None, original=replace(ORIGINAL, steps=80)).steps(tmp_path)
    assert [step.recipe.steps for step in eighth] == [80, 4, 10, 1, 1, 4]
    assert [step.recipe.warmup_steps for step in eighth] == [4, 4, 1, 0, 0, 4]  # a tenth of a fine-tuning


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"student": replace(PUPIL, cfa="mono")},
            "recipe tiny-original is for Bayer sensors and recipe tiny for monochrome ones. Choose another",
        ),
        (
            {"original": replace(ORIGINAL, cfa="mono")},
            "recipe tiny-original is for monochrome sensors and recipe tiny-siamese for Bayer ones",
        ),
        ({"student": replace(PUPIL, cfa="xtrans")}, "tiny-original is for Bayer sensors and recipe tiny for X-Trans"),
        (
            {"student": replace(PUPIL, cfa="xtrans"), "numbers": {"ensemble": 8}},
            "recipe tiny is for X-Trans, whose symmetries are not averaged",
        ),
        ({"numbers": {"ensemble": 3}}, r"an ensemble of 3 is not possible\. Choose one of 1, 2, 4, 8"),
        ({"student": replace(PUPIL, losses={"rgb-perceptual": 0.1})}, "rgb-perceptual needs VGG16 weights"),
        ({"siamese": replace(SIAMESE, losses={"l1": 1.0})}, "there is no loss 'l1'"),
        ({"start_from": "nowhere"}, "nowhere: neither the folder of a model or run nor a shipped model"),
        (
            {"siamese": replace(SIAMESE, low=1e-4)},
            "no subrange of recipe tiny-siamese contains the noise range",
        ),
        ({"siamese": replace(SIAMESE, num_subranges=3)}, "no subrange of recipe tiny-siamese contains the noise range"),
        (
            {"student": replace(PUPIL, crop_px=18)},
            "tiny-original takes planes in multiples of 4 pixels, .* planes of 18",
        ),
        ({"numbers": {"kd_alpha": 0.5}}, "the strategy siamese has no option kd-alpha. Leave it out"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_trained(
    out: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError if "start_from" in change else UsageError, match=message):
        four_steps(out, replace(ASKED, **change))
    assert not out.exists()


def test_a_run_teaches_as_it_is(whole: Path, tmp_path: Path) -> None:
    card = find_trained(str(whole / "2-siamese"))
    teacher, batch = Teacher(card, SIAMESE.anchor(0), CPU), leaves_batch(0, SIAMESE)
    network = build_network("mwrcanet", SIAMESE.network_config(0)).eval()
    network.load_state_dict(kept(whole, "2-siamese").average)
    with torch.no_grad():
        torch.testing.assert_close(teacher.restore(batch.noisy, batch), network(batch.noisy), atol=1e-5, rtol=1e-4)
    assert (card.name, card.stride, card.anchor) == ("2-siamese", 8, SIAMESE.anchor(0))
    assert card.files != card_of_run(whole / "4-siamese").files
    with pytest.raises(ModelError, match=r"nowhere: contains no checkpoint\. Train first"):
        card_of_run(tmp_path / "nowhere")


def test_the_small_networks_cost_what_a_cpu_can_train() -> None:
    from rawkd.networks.count import macs_per_mp

    for name in ("mwresnet-small", "mwrcanet-small"):
        recipe = RECIPES[name]
        network: Any = build_network(recipe.network, recipe.network_config(0))
        assert 15 < macs_per_mp(network, network.stride)["1e6"] < 30
        assert recipe.num_subranges == 1


def distill(*arguments: str | Path | float) -> int:
    return main(["distill", "--strategy", "siamese", *map(str, arguments)])


@pytest.fixture
def tiny_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    for recipe in (ORIGINAL, SIAMESE, PUPIL):
        monkeypatch.setitem(recipes.RECIPES, recipe.name, recipe)


def test_one_command_runs_the_four_steps(
    tiny_recipes: None, data: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--student", "tiny", "--original", "tiny-original", "--siamese", "tiny-siamese", "--subrange", 1)
    asked = (
        *asked,
        "--data",
        data,
        "--out",
        out,
        "--steps",
        2,
        "--network-steps",
        2,
        "--tuning-steps",
        1,
        "--batch",
        1,
    )
    assert distill(*asked, "--snapshot", out / "kept") == 2
    assert "leave out --snapshot" in capsys.readouterr().err
    assert distill(*asked, "--minutes", 1e-9) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("1-original tiny-original\n")
    assert distill(*asked) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{out / '5-tiny-1'}\n"
    assert "4-siamese tiny-siamese\n" in shown.err
    steps = {name: kept(out, name) for name in FOLDERS}
    assert [state.step for state in steps.values()] == [2, 2, 1, 1, 1, 2]
    assert all(state.recipe["recipe"]["batch"] == 1 for state in steps.values())
    assert distill(*asked, "--label-share", 0.1, 0.9) == 5
    assert (
        "5-tiny-1: contains a run of another recipe (distillation.label_share [0.5, 0.7] ->" in capsys.readouterr().err
    )


def test_two_trained_models_teach_without_the_steps(
    tiny_recipes: None, cards: tuple[ModelCard, ModelCard], whole: Path, data: Path, out: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    student = ("--student", "tiny", "--subrange", 1, "--data", data, "--out", out)
    asked = (*student, "--steps", 1, "--teacher", cards[0].directory)
    assert distill(*asked, "--teacher", whole / "4-siamese", "--label-share", 0.2, 0.4) == 0
    state = kept(out.parent, "run")
    assert state.recipe["distillation"]["teacher"] == "one + 4-siamese"
    assert state.recipe["distillation"]["label_share"] == [0.2, 0.4]
    assert distill(*asked) == 2
    assert "the strategy siamese needs 2 teachers, not 1" in capsys.readouterr().err
    assert distill(*asked, "--siamese", "tiny-siamese") == 2
    assert (
        "two networks are trained by the strategy siamese without --teacher: leave one out" in capsys.readouterr().err
    )
    assert distill(*student, "--siamese", "nowhere.json") == 2
    assert "there is no recipe 'nowhere.json'" in capsys.readouterr().err


TWO_PROCESSES = """
from pathlib import Path
import torch
from test_siamese import four_steps
torch.set_num_threads(1)
assert four_steps(Path({out!r})) is not None
"""


ONE_IS_OVER = """
from dataclasses import replace
from pathlib import Path
import torch
from test_siamese import ASKED, ORIGINAL, four_steps
from rawkd.training.run.distributed import rank_in_environment
torch.set_num_threads(1)
short = replace(ASKED, original=replace(ORIGINAL, steps=1))
assert four_steps(Path({out!r}), short, minutes=(60.0, 1e-9)[rank_in_environment()]) is None
"""


def test_two_processes_stop_between_two_steps_together(out: Path, tmp_path: Path) -> None:
    make_pictures(tmp_path / "pictures")
    run_on_two_processes(tmp_path / "two.py", ONE_IS_OVER.format(out=str(out)))
    assert kept(out, "1-original").step == 1
    assert sorted(path.name for path in out.iterdir()) == FOLDERS[:1]


def test_two_processes_take_the_four_steps_together(whole: Path, out: Path, tmp_path: Path) -> None:
    make_pictures(tmp_path / "pictures")
    run_on_two_processes(tmp_path / "two.py", TWO_PROCESSES.format(out=str(out)))
    assert [kept(out, name).step for name in FOLDERS] == [4] * 6
    with pytest.raises(AssertionError):
        assert_equal_runs(out, whole)  # each process has batches of its own
