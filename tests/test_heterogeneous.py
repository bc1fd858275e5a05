"""HADS and HMDS: groups of features, of another architecture and of weaker noise; adapters that leave no trace."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import imageio.v3 as iio
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from test_training import assert_equal_runs, assert_equal_states  # noqa: E402
from tiny_teachers import ANCHOR, NAFNET, STUDENT, shaken, teacher_card  # noqa: E402
from two_processes import run_on_two_processes  # noqa: E402

from rawkd.cli import main  # noqa: E402
from rawkd.cli.training import distill as command  # noqa: E402
from rawkd.errors import ModelError, UsageError  # noqa: E402
from rawkd.inference.card import ModelCard, NoiseSubrange  # noqa: E402
from rawkd.networks import build_network  # noqa: E402
from rawkd.sensor.ksigma import KSigma  # noqa: E402
from rawkd.sensor.noise import NoiseModel  # noqa: E402
from rawkd.training import recipes  # noqa: E402
from rawkd.training.config import Recipe  # noqa: E402
from rawkd.training.data.batches import batches_of  # noqa: E402
from rawkd.training.data.clean import CleanSet, find_pictures  # noqa: E402
from rawkd.training.data.dataset import Batch, NoisyBatches  # noqa: E402
from rawkd.training.data.synthesize import NoiseShare  # noqa: E402
from rawkd.training.distill.distillation import STRATEGIES, Distillation  # noqa: E402
from rawkd.training.losses.terms import build_losses, to_signal  # noqa: E402
from rawkd.training.noise_recipe import NoiseRecipe  # noqa: E402
from rawkd.training.recipes import RECIPES  # noqa: E402
from rawkd.training.run.loop import Progress, Run, train  # noqa: E402
from rawkd.training.saved.checkpoint import CHECKPOINT, load_checkpoint  # noqa: E402
from rawkd.training.saved.trained import find_trained  # noqa: E402
from rawkd.training.strategies.heterogeneous import group_distance, ramp  # noqa: E402
from rawkd.training.strategies.supervised import Supervised  # noqa: E402
from rawkd.training.strategies.teacher import estimated_noise_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
MDRN: dict[str, Any] = {"width": 8, "branch_width": 6, "blocks": 1, "groups": 4}
MLEFGN: dict[str, Any] = {"width": 8, "dense_layers": 2, "group_blocks": 1}
TEACHERS: dict[str, dict[str, Any]] = {
    "mlefgn": MLEFGN,
    "mdrn": MDRN,
    "nafnet": {**NAFNET, "widths": [8, 12, 16], "encoder_blocks": [1, 1, 1], "decoder_blocks": [1, 1]},
    "mwresnet": {"widths": [8, 8, 12], "blocks": 1},
    "mwrcanet": {"widths": [8, 8, 12], "blocks": [1, 1, 1]},
    "upi-unet": {"widths": [4, 8, 12], "convolutions": 1},
    "fanet": {"widths": [8, 8, 16], "encoder_blocks": [0, 1, 1], "decoder_blocks": [1, 1], "groups": 2},
}
SMALL_MDRN = replace(STUDENT, name="tiny-mdrn", network="mdrn", config=MDRN, noise_units=False)
FANET = replace(
    STUDENT, name="tiny-fanet", config={**STUDENT.config, "widths": [8, 8, 16], "encoder_blocks": [0, 1, 1],
                                        "decoder_blocks": [1, 1]},
)  # fmt: skip


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelCard]:
    folder = tmp_path_factory.mktemp("models")
    return {name: teacher_card(folder / name, name, config) for name, config in TEACHERS.items()}


def student(recipe: Recipe, seed: int = 3) -> Any:
    torch.manual_seed(seed)
    return shaken(build_network(recipe.network, recipe.network_config(1)), seed).train()


def built(name: str, card: ModelCard, network: Any, recipe: Recipe, **given: Any) -> Any:
    return Distillation.of(name, (card,), given).build(recipe, 1, network, None, CPU)


def batch_for(strategy: Any, recipe: Recipe = STUDENT) -> Batch:
    return NoisyBatches(None, recipe, 1, seed=5, length=1, weaker=strategy.weaker_noise)[0]


def features_of(strategy: Any, network: Any, progress: float = 0.0) -> Any:
    return strategy.step(network, batch_for(strategy), progress)["features"]


def test_the_distance_of_groups_worked_by_hand() -> None:
    constant = torch.full((2, 1, 1, 2), 2.0)
    constant[1] = 4.0
    own = torch.tensor([[[[3.0, 1.0]]], [[[4.0, 4.0]]]])
    # first crop: (1 + 1) / 2 in units of 2; second: none. So 0.25. The second group: a mean of |1| in units of 1
    signs = torch.tensor([1.0, -1.0]).reshape(1, 2, 1, 1).expand(2, 2, 3, 3)
    assert float(group_distance([own], [constant])) == pytest.approx(0.25)
    assert float(group_distance([own, 0 * signs], [constant, signs])) == pytest.approx(1.25)
    assert float(group_distance([7 * own, 0 * signs], [7 * constant, 1e-3 * signs])) == pytest.approx(1.25)


def test_the_teacher_is_resized_to_the_student() -> None:
    fine = torch.tensor([[0.0, 0.0, 4.0, 4.0]]).reshape(1, 1, 1, 4)
    # of half the width: triangles of 4 pixels, 1 3 3 1 over their sum inside the picture: 4 / 7 and 24 / 7
    expected = torch.tensor([4 / 7, 24 / 7]).reshape(1, 1, 1, 2)
    assert float(group_distance([expected], [fine])) == pytest.approx(0, abs=1e-6)
    coarse = torch.tensor([1.0, 2.0]).reshape(1, 1, 1, 2)
    assert float(group_distance([torch.tensor([1, 1.25, 1.75, 2]).reshape(1, 1, 1, 4)], [coarse])) == 0


def test_a_teacher_without_features_does_no_harm() -> None:
    own = torch.ones(2, 1, 2, 2, requires_grad=True)
    nothing = torch.zeros(2, 1, 2, 2)
    nothing[0] = 1.0
    assert torch.isfinite(group_distance([own], [nothing]))
    dark = group_distance([own * 0], [nothing * 0])
    dark.backward()
    assert float(dark.detach()) == 0
    assert torch.isfinite(own.grad).all()


def test_lambda_falls_over_the_last_fifth() -> None:
    assert [ramp(progress) for progress in (0, 0.5, 0.8)] == pytest.approx([1, 1, 1])
    assert [ramp(progress) for progress in (0.85, 0.9, 1)] == pytest.approx([0.75, 0.5, 0])


def test_lambda_weighs_the_features(cards: dict[str, ModelCard]) -> None:
    network = student(SMALL_MDRN).requires_grad_(False)
    tenth, whole = (built("hads", cards["mlefgn"], network, SMALL_MDRN, kd_lambda=weight) for weight in (0.1, 1.0))
    batch = batch_for(whole)
    taught = whole.teacher.features_of_noisy(batch)
    with torch.no_grad():
        network(batch.noisy)
    distance = float(group_distance(whole.student_taps.take(), taught))
    assert float(features_of(whole, network)) == pytest.approx(distance)
    assert float(features_of(tenth, network)) == pytest.approx(0.1 * distance)
    assert float(features_of(tenth, network, 0.95)) == pytest.approx(0.025 * distance)
    terms = tenth.step(network, batch, 0.0)
    alone = Supervised(build_losses(SMALL_MDRN.losses, None, CPU)).step(network, batch, 0.0)
    assert {name: float(term) for name, term in terms.items() if name != "features"} == {
        name: float(term) for name, term in alone.items()
    }


def test_a_student_equal_to_its_teacher_has_no_feature_loss(tmp_path: Path) -> None:
    anchor = SMALL_MDRN.anchor(1)
    stated = {"gain": anchor.gain, "read_variance": anchor.read_variance}
    card = teacher_card(tmp_path / "same", "mdrn", MDRN, anchor=stated)
    network = student(SMALL_MDRN)
    for name, vanishes in (("hads", True), ("hmds", False)):
        strategy = built(name, card, network, SMALL_MDRN)
        network.load_state_dict(strategy.teacher.network.state_dict())
        with torch.no_grad():
            # float32 has 6e-8, and torch may sum two layouts in two orders
            assert (float(features_of(strategy, network)) < 1e-6) == vanishes
            assert float(features_of(strategy, shaken(network, 1))) > 1e-3


def test_a_compiled_student_is_tapped_alike(cards: dict[str, ModelCard]) -> None:
    network = student(SMALL_MDRN)
    strategy = built("hads", cards["mlefgn"], network, SMALL_MDRN)
    batch = batch_for(strategy)
    plain = strategy.step(network, batch, 0.0)
    network.compile(backend="eager")
    compiled = strategy.step(network, batch, 0.0)
    assert {name: term.item() for name, term in compiled.items()} == {name: term.item() for name, term in plain.items()}


@pytest.mark.parametrize("teacher", TEACHERS)
@pytest.mark.parametrize("recipe", [SMALL_MDRN, FANET], ids=["mdrn", "fanet"])
@pytest.mark.parametrize("name", ["hads", "hmds"])
def test_gradients_reach_student_and_adapters_and_never_the_teacher(
    cards: dict[str, ModelCard], name: str, recipe: Recipe, teacher: str
) -> None:
    network = student(recipe)
    strategy = built(name, cards[teacher], network, recipe)
    before = {key: value.clone() for key, value in strategy.teacher.network.state_dict().items()}
    features_of(strategy, network).backward()
    reached = {key for key, value in network.named_parameters() if value.grad is not None and value.grad.any()}
    first = "stem.weight" if recipe is FANET else "head.weight"
    assert first in reached
    assert not any(key.startswith(("decoder", "tail")) for key in reached)
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in strategy.adapters.parameters())
    assert all(parameter.grad is None for parameter in strategy.teacher.network.parameters())
    assert_equal_states(strategy.teacher.network.state_dict(), before)
    assert not strategy.teacher.network.training


def test_widths_that_agree_need_no_adapter(cards: dict[str, ModelCard]) -> None:
    strategy = built("hads", cards["mlefgn"], student(SMALL_MDRN), SMALL_MDRN)
    assert strategy.student_taps.names == ("groups.1", "groups.2", "groups.3")  # the paper's groups 2, 3 and 4
    assert strategy.teacher.taps.names == ("fuse.0", "fuse.1", "fuse.2")
    assert not list(strategy.adapters.parameters())
    wider = built("hads", cards["nafnet"], student(SMALL_MDRN), SMALL_MDRN)
    assert [(conv.in_channels, conv.out_channels) for conv in list(wider.adapters)[1:]] == [(8, 12), (8, 16)]
    assert [type(adapter).__name__ for adapter in wider.adapters] == ["Identity", "Conv2d", "Conv2d"]


def test_published_sizes_meet_without_an_adapter() -> None:
    recipe, teacher = RECIPES["mdrn-2b"], RECIPES["teacher-mlefgn"]
    own, theirs = (build_network(made.network, made.network_config(1)) for made in (recipe, teacher))
    assert own.config.width == theirs.config.width == 64
    assert sum(parameter.numel() for parameter in own.parameters()) == 778_084
    assert sum(parameter.numel() for parameter in theirs.parameters()) == 6_862_792
    seven = RECIPES["mdrn-7b"]
    assert sum(p.numel() for p in build_network(seven.network, seven.network_config(0)).parameters()) == 2_380_724


@pytest.mark.parametrize("name", ["hads", "hmds"])
def test_the_teacher_sees_its_own_noise(cards: dict[str, ModelCard], name: str) -> None:
    network = student(SMALL_MDRN)
    strategy = built(name, cards["mlefgn"], network, SMALL_MDRN)
    batch = batch_for(strategy)
    seen: list[Any] = []
    strategy.teacher.network.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    strategy.step(network, batch, 0.0)
    shown = batch if name == "hads" else batch.weaker
    assert shown is not None
    gain, read = (value.double()[:, :, 0, 0].numpy() for value in estimated_noise_of(shown, SMALL_MDRN.anchor(1)))
    for crop in range(len(seen[0])):
        ksigma = KSigma.between(NoiseModel(gain[crop], read[crop], "given"), ANCHOR)
        direct = ksigma.apply(to_signal(shown.noisy, shown)[crop])
        torch.testing.assert_close(seen[0][crop], direct, rtol=1e-4, atol=1e-4 * float(direct.abs().max()))
    other = batch.noisy - (0 if batch.weaker is None else batch.weaker.noisy)
    assert other.abs().mean() > 0.1 * float(batch.sigma.mean())


@pytest.mark.parametrize("ratio", [2.0, 1.4])
def test_the_ratio_is_that_of_the_noise(cards: dict[str, ModelCard], ratio: float) -> None:
    strategy = built("hmds", cards["mlefgn"], student(SMALL_MDRN), SMALL_MDRN, noise_ratio=ratio)
    assert strategy.weaker_noise == NoiseShare(ratio**-2, ratio**-2)
    recipe = replace(SMALL_MDRN, batch=24, crop_px=32, noise=replace(SMALL_MDRN.noise, near_clean=0.0))
    batch = batch_for(strategy, recipe)
    assert batch.weaker is not None
    powers = []
    for seen in (batch, batch.weaker):
        noise = to_signal(seen.noisy, seen) - to_signal(seen.clean, seen)
        powers.append(noise.square().mean((1, 2, 3)))
    # 4096 samples of uneven noise a crop: its power has a relative deviation of some 3 %; clipping spoils single crops
    measured = float((powers[0] / powers[1]).median())
    assert measured == pytest.approx(ratio**2, rel=0.04)
    assert measured != pytest.approx(ratio, rel=0.04)


def test_the_teacher_is_asked_before_the_student(cards: dict[str, ModelCard]) -> None:
    order: list[str] = []
    network = student(FANET)
    strategy = built("hads", cards["fanet"], network, FANET)
    network.register_forward_pre_hook(lambda *_: order.append("student"))
    strategy.teacher.network.register_forward_pre_hook(lambda *_: order.append("teacher"))
    strategy.step(network, batch_for(strategy), 0.0)
    assert order == ["teacher", "student"]


def test_a_batch_without_the_weaker_noise_is_refused(cards: dict[str, ModelCard]) -> None:
    network = student(SMALL_MDRN)
    strategy = built("hmds", cards["mlefgn"], network, SMALL_MDRN)
    batch = batch_for(strategy)._replace(weaker=None)
    with pytest.raises(ValueError, match="has no weaker noise"):
        strategy.step(network, batch, 0.0)


def test_a_student_of_the_lower_subrange_teaches_at_its_own_noise(tmp_path: Path) -> None:
    lower, own = STUDENT.anchor(0), STUDENT.anchor(1)
    stated = {"gain": lower.gain, "read_variance": lower.read_variance}
    subrange = [STUDENT.subrange(0).low, STUDENT.subrange(0).high]
    card = teacher_card(tmp_path / "s0", "mdrn", MDRN, anchor=stated, subrange=subrange)
    strategy = built("hmds", card, student(SMALL_MDRN), SMALL_MDRN, noise_ratio="subrange")
    assert strategy.weaker_noise.gain * own.gain == pytest.approx(lower.gain)
    assert strategy.weaker_noise.read_variance * own.read_variance == pytest.approx(lower.read_variance)
    batch = batch_for(strategy)
    assert batch.weaker is not None
    gains = estimated_noise_of(batch.weaker, own)[0]
    # the lower subrange with its overlap, an estimator's errors of five deviations, and nearly clean crops
    assert float(gains.max()) < subrange[1] * 8.4**0.1 * np.exp(5 * 0.12)
    with pytest.raises(ModelError, match=r"s0 is for gains 8e-06 to 6\.727e-05, the student needs 1\.682e-05 to"):
        built("hmds", card, student(SMALL_MDRN), SMALL_MDRN, noise_ratio=2.0)
    with pytest.raises(UsageError, match="s0 is not for weaker noise than the student, which --noise-ratio subrange"):
        Distillation.of("hmds", (card,), {"noise_ratio": "subrange"}).build(
            SMALL_MDRN, 0, student(SMALL_MDRN), None, CPU
        )


def test_weaker_noise_that_the_teacher_does_not_know_is_refused(cards: dict[str, ModelCard]) -> None:
    low = SMALL_MDRN.subrange(1)
    card = replace(cards["mlefgn"], subrange=NoiseSubrange(low.low, low.high))
    built("hads", card, student(SMALL_MDRN), SMALL_MDRN)
    with pytest.raises(ModelError, match=r"the teacher mlefgn is for gains .* another teacher, subrange or no"):
        built("hmds", card, student(SMALL_MDRN), SMALL_MDRN)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"taps": ("fuse.9",)}, r"the teacher mlefgn has no layer fuse\.9\. Choose layers such as fuse\.0"),
        ({"taps": ("fuse",)}, "the layer fuse of the teacher mlefgn returns no feature map"),
        ({"student_taps": ("body",)}, r"the student has no layer body\. Choose layers such as groups\.0"),
        ({"student_taps": ("groups",)}, "the layer groups of the student returns no feature map"),
        (
            {"taps": ("fuse.0", "fuse.2")},
            r"the teacher mlefgn is tapped at 2 layers \(fuse\.0, fuse\.2\) and the student at 3 "
            r"\(groups\.1, groups\.2, groups\.3\)\. Give equal numbers with --taps and --student-taps",
        ),
    ],
)
def test_layers_that_do_not_fit_are_refused_by_name(
    cards: dict[str, ModelCard], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        built("hads", cards["mlefgn"], student(SMALL_MDRN), SMALL_MDRN, **given)


def test_another_number_of_teachers_is_refused(cards: dict[str, ModelCard]) -> None:
    two = (cards["mdrn"], cards["mlefgn"])
    with pytest.raises(UsageError, match=r"the strategy hads needs 1 teacher, not 2\. Give --teacher once for each"):
        Distillation.of("hads", two, {})
    with pytest.raises(UsageError, match="not 0"):
        Distillation.of("hmds", (), {})
    with pytest.raises(UsageError, match=r"the strategy hads has no option noise-ratio\. Leave it out"):
        Distillation.of("hads", two[:1], {"noise_ratio": 2.0})
    whole = Distillation("hads", two, {"kd_lambda": 0.1}).identity()
    assert whole["teacher"] == "mdrn + mlefgn"
    assert whole["files"] != Distillation("hads", two[::-1], {"kd_lambda": 0.1}).identity()["files"]
    # one teacher is stated as ever, so that older runs go on
    files = json.dumps(two[0].files, sort_keys=True)
    alone = Distillation.of("hads", two[:1], {}).identity()
    assert (alone["teacher"], alone["files"]) == ("mdrn", hashlib.sha256(files.encode()).hexdigest())


def test_every_number_is_an_option() -> None:
    assert tuple(STRATEGIES) == command.STRATEGIES
    known = {name for kind in STRATEGIES.values() for name in kind.numbers}
    assert known == set(command.NUMBERS)
    for kind in STRATEGIES.values():
        assert kind.teachers >= 1
        assert json.loads(json.dumps(kind.numbers)) is not None


def test_the_help_states_the_default_of_every_number() -> None:
    stated = {option.name: str(option.help).partition("[default: ")[2].rstrip("]") for option in options()}
    for kind in STRATEGIES.values():
        for name, value in kind.numbers.items():
            values = value if isinstance(value, tuple) else (value,)
            assert stated[name] == " ".join(f"{number:g}" for number in values)


def options() -> list[click.Option]:
    return [option for option in command.distill_command.params if isinstance(option, click.Option)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> CleanSet:
    """Smooth pictures, which a student learns to smoothe in a few steps."""
    folder = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:80, :80] / 80
    for number in range(4):
        waves = [0.5 + 0.4 * np.sin((3 + channel) * x + number * y + channel) for channel in range(3)]
        iio.imwrite(folder / f"{number}.png", (255 * np.stack(waves, -1)).astype(np.uint8))
    return find_pictures([folder], 64)[0]


def run(distillation: Distillation | None, recipe: Recipe, pictures: CleanSet, out: Path, **choices: Any) -> Any:
    out.mkdir(exist_ok=True)
    listen = choices.pop("listen", lambda _: None)

    def make(device: Any, network: Any) -> Any:
        if distillation is None:
            return Supervised(build_losses(recipe.losses, None, device))
        return distillation.build(recipe, 1, network, None, device)

    return train(
        recipe, 1, (pictures, pictures), make, Run(out, threads=1, **({"validate_every": 4} | choices)),
        distillation=distillation and distillation.identity(), listen=listen,
    )  # fmt: skip


class Interrupted(Exception):  # noqa: N818 -- what a signal does
    """Stands for Ctrl-C."""


@pytest.mark.parametrize("name", ["hads", "hmds"])
def test_a_resumed_run_is_the_uninterrupted_run_with_its_adapters(
    cards: dict[str, ModelCard], pictures: CleanSet, tmp_path: Path, name: str
) -> None:
    recipe = replace(FANET, leaves=0.0, steps=8)
    distillation = Distillation.of(name, (cards["nafnet"],), {})
    whole = run(distillation, recipe, pictures, tmp_path / "whole")

    def interrupt(progress: Progress) -> None:
        if progress.step == 6:
            raise Interrupted

    with pytest.raises(Interrupted):
        run(distillation, recipe, pictures, tmp_path / "parts", listen=interrupt)
    halfway = load_checkpoint(tmp_path / "parts")
    assert halfway is not None
    resumed = run(distillation, recipe, pictures, tmp_path / "parts")
    assert_equal_runs(resumed, whole)
    assert whole.adapters
    assert_equal_states(resumed.adapters, whole.adapters)
    stored = load_checkpoint(tmp_path / "parts")
    assert stored is not None
    assert_equal_states(stored.adapters, whole.adapters)
    with pytest.raises(AssertionError):
        assert_equal_states(halfway.adapters, whole.adapters)  # they did learn


def test_the_student_begins_alike_whatever_the_strategy(
    cards: dict[str, ModelCard], pictures: CleanSet, tmp_path: Path
) -> None:
    still = replace(FANET, steps=1, learning_rate=0.0)
    ways = {None: None, **{name: Distillation.of(name, (cards["nafnet"],), {}) for name in ("hads", "hmds")}}
    states = [run(way, still, pictures, tmp_path / str(name)) for name, way in ways.items()]
    for state in states[1:]:
        assert_equal_states(state.student, states[0].student)
        assert_equal_states(state.average, states[0].average)
        assert state.history[0]["charbonnier"] == states[0].history[0]["charbonnier"]  # and sees the same noise
    assert states[0].adapters is None


def test_nothing_of_the_adapters_leaves_the_run(
    cards: dict[str, ModelCard], pictures: CleanSet, tmp_path: Path
) -> None:
    pytest.importorskip("onnx", reason="needs the extra: rawkd[torch]")
    from safetensors.torch import load_file

    from rawkd.inference.card_file import read_card
    from rawkd.inference.weights import WEIGHTS
    from rawkd.training.export.export import export
    from rawkd.training.saved.provenance import Provenance

    recipe = replace(FANET, steps=2)
    state = run(Distillation.of("hads", (cards["nafnet"],), {}), recipe, pictures, tmp_path / "run")
    assert state.adapters
    plain = build_network(recipe.network, recipe.network_config(1)).state_dict()
    assert state.student.keys() == state.average.keys() == plain.keys()
    provenance = Provenance("tiny", "Apache-2.0", "0" * 12, [{"file": "a.png"}], "2026-01-01", "a test")
    patches = np.random.default_rng(0).integers(0, 256, (34, 34, 3), np.uint8)
    iio.imwrite(tmp_path / "large.png", patches.repeat(8, 0).repeat(8, 1))
    large = CleanSet([tmp_path / "large.png"], 32, 1 << 30)
    model = export(tmp_path / "run", tmp_path / "models", large, provenance)
    assert load_file(model / WEIGHTS).keys() == plain.keys()
    card = read_card(model)
    assert card.params == sum(value.numel() for value in plain.values())
    assert card.recipe["stages"][0]["distillation"]["strategy"] == "hads"


def test_checkpoints_from_before_adapters_are_read(pictures: CleanSet, tmp_path: Path) -> None:
    whole = run(None, replace(STUDENT, steps=8), pictures, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(None, replace(STUDENT, steps=8), pictures, tmp_path / "old", listen=interrupted_at(6))
    path = tmp_path / "old" / CHECKPOINT
    written = torch.load(path, weights_only=True)
    assert written.pop("adapters") is None
    torch.save(written, path)
    assert_equal_runs(run(None, replace(STUDENT, steps=8), pictures, tmp_path / "old"), whole)


def interrupted_at(step: int) -> Any:
    def listen(progress: Progress) -> None:
        if progress.step == step:
            raise Interrupted

    return listen


def test_a_run_without_adapters_is_not_taken_up_with_them(
    cards: dict[str, ModelCard], pictures: CleanSet, tmp_path: Path
) -> None:
    run(None, replace(FANET, steps=1), pictures, tmp_path)
    distillation = Distillation.of("hads", (cards["nafnet"],), {})
    with pytest.raises(ModelError, match=r"distillation\.strategy None -> hads"):
        run(distillation, replace(FANET, steps=1), pictures, tmp_path)
    with pytest.raises(ModelError, match="the checkpoint was made by another strategy"):
        train(
            replace(FANET, steps=1), 1, (pictures, pictures),
            lambda device, network: distillation.build(FANET, 1, network, None, device), Run(tmp_path),
        )  # fmt: skip


@pytest.mark.parametrize("learning_rate", [5e-3, 0.0], ids=["learning", "twin without learning"])
@pytest.mark.parametrize("name", ["hads", "hmds"])
@pytest.mark.parametrize("recipe", [SMALL_MDRN, FANET], ids=["mdrn", "fanet"])
def test_the_loss_falls(pictures: CleanSet, tmp_path: Path, recipe: Recipe, name: str, learning_rate: float) -> None:
    recipe = replace(recipe, steps=30, batch=8, leaves=0.0, learning_rate=learning_rate, ema=0.8)
    anchor = recipe.anchor(1)
    stated = {"gain": anchor.gain, "read_variance": anchor.read_variance}
    card = teacher_card(tmp_path / "near", "mlefgn", MLEFGN, anchor=stated)
    distillation = Distillation.of(name, (card,), {"kd_lambda": 300.0})
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.network, recipe.network_config(1))
    strategy = distillation.build(recipe, 1, network, None, CPU)
    batch = NoisyBatches(pictures, recipe, 1, seed=7, length=1, weaker=strategy.weaker_noise)[0]
    state = run(distillation, recipe, pictures, tmp_path / "run", validate_every=30)
    totals, features = [], []
    for weights, adapters in ((network, strategy.adapters), (state.student, state.adapters)):
        if adapters is not strategy.adapters:
            network.load_state_dict(weights)
            strategy.adapters.load_state_dict(adapters)
        with torch.no_grad():
            terms = strategy.step(network, batch, 0.0)
        totals.append(sum(float(term) for term in terms.values()))
        features.append(float(terms["features"]))
    fell = features[1] < 0.9 * features[0], totals[1] < 0.9 * totals[0]
    assert fell == (learning_rate > 0,) * 2


GREY = Recipe(
    "tiny-grey", "mdrn", {**MDRN, "channels": 1}, noise_units=False, low=25.0, high=25.0, num_subranges=1, overlap=0.0,
    steps=1, batch=4, crop_px=32, noise=NoiseRecipe(model="awgn"),
)  # fmt: skip


@pytest.mark.parametrize("ratio", [2.0, "subrange"])
def test_pictures_with_half_the_sigma(pictures: CleanSet, tmp_path: Path, ratio: float | str) -> None:
    train(GREY, 0, (pictures, pictures), lambda *_: Supervised(build_losses(GREY.losses, None, CPU)), Run(tmp_path))
    recipe = GREY.with_sigma(50.0, 50.0)
    network = build_network(recipe.network, recipe.network_config(0))
    distillation = Distillation.of("hmds", (find_trained(str(tmp_path)),), {"noise_ratio": ratio})
    strategy: Any = distillation.build(recipe, 0, network, None, CPU)
    batch = batches_of(pictures, recipe, 0, seed=5, length=1, weaker=strategy.weaker_noise)[0]
    seen: list[Any] = []
    strategy.teacher.network.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    strategy.step(network, batch, 0.0)["features"].backward()
    assert network.head.weight.grad.any()
    assert batch.weaker is not None
    assert torch.equal(seen[0], batch.weaker.noisy)
    deviations = [255 * float((noisy - batch.clean).std()) for noisy in (batch.noisy, seen[0])]
    assert deviations == pytest.approx([50, 25], rel=5 / (2 * 4 * 32 * 32) ** 0.5)
    if ratio == 2.0:
        with pytest.raises(ModelError, match=r"is for sigma 25 to 25, the student needs 35\.71 to 35\.71"):
            replace(distillation, numbers=distillation.numbers | {"noise_ratio": 1.4}).build(
                recipe, 0, network, None, CPU
            )


TWO_PROCESSES = """
import hashlib
from dataclasses import replace
from pathlib import Path
from test_heterogeneous import FANET, run
from rawkd.inference.card_file import read_card
from rawkd.training.distill.distillation import Distillation
from rawkd.training.run.distributed import rank_in_environment
out, rank = Path({out!r}), rank_in_environment()
distillation = Distillation.of("hads", (read_card(Path({card!r})),), {{}})
state = run(distillation, replace(FANET, steps=2), None, out)
made = [*state.student.values(), *state.adapters.values()]
(out / f"rank{{rank}}").write_text(hashlib.sha256(b"".join(value.numpy().tobytes() for value in made)).hexdigest())
"""


def test_two_processes_train_one_set_of_adapters(cards: dict[str, ModelCard], tmp_path: Path) -> None:
    out = tmp_path / "run"
    card = str(cards["nafnet"].directory)
    out.mkdir()
    run_on_two_processes(tmp_path / "two.py", TWO_PROCESSES.format(out=str(out), card=card))
    # each has batches of its own: without averaging their adapters would part
    assert (out / "rank0").read_text() == (out / "rank1").read_text()


def distill(*arguments: str | Path | float) -> int:
    return main(["distill", *map(str, arguments)])


def test_the_command_distils_by_features(
    cards: dict[str, ModelCard],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(recipes.RECIPES, "tiny", SMALL_MDRN)
    out, card = tmp_path / "run", cards["nafnet"].directory
    asked = ("--teacher", card, "--student", "tiny", "--subrange", 1, "--out", out, "--steps", 2, "--strategy", "hmds")
    layers = ("--taps", "encoder.0,encoder.2", "--student-taps", "groups.0,groups.3")
    assert distill(*asked, *layers, "--noise-ratio", 1.4, "--kd-lambda", 0.3) == 0
    assert "features" in capsys.readouterr().err
    kept = load_checkpoint(out)
    assert kept is not None
    stated = kept.recipe["distillation"]
    assert (stated["noise_ratio"], stated["kd_lambda"], stated["taps"]) == (1.4, 0.3, ["encoder.0", "encoder.2"])
    assert kept.adapters is not None
    assert kept.adapters["1.weight"].shape == (16, 8, 1, 1)
    assert distill(*asked, *layers, "--noise-ratio", 2, "--kd-lambda", 0.3) == 5
    assert "distillation.noise_ratio 1.4 -> 2.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--strategy", "hmds", "--noise-ratio", "1"), 2, "1.0 is not in the range x>1"),
        (("--strategy", "hmds", "--noise-ratio", "half"), 2, "'half' is not a valid float"),
        (("--strategy", "hads", "--kd-lambda", "0"), 2, "0.0 is not in the range x>0"),
        (("--strategy", "hads", "--noise-ratio", "2"), 2, "the strategy hads has no option noise-ratio. Leave it out"),
        (("--strategy", "hads", "--teacher", "TEACHER"), 2, "the strategy hads needs 1 teacher, not 2"),
        (("--strategy", "hads", "--taps", "a,b,c"), 5, "the teacher mlefgn has no layer a"),
        (("--strategy", "hads", "--student-taps", "head"), 5, "and the student at 1 (head)"),
        (("--strategy", "hmds", "--noise-ratio", "subrange"), 2, "mlefgn is not for weaker noise than the student"),
    ],
)
def test_what_the_command_refuses(
    cards: dict[str, ModelCard],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.setitem(recipes.RECIPES, "tiny", SMALL_MDRN)
    folder = str(cards["mlefgn"].directory)
    given = [folder if word == "TEACHER" else word for word in arguments]
    asked = ("--teacher", folder, "--student", "tiny", "--subrange", "1", "--out", tmp_path / "run")
    assert distill(*asked, *given) == code
    assert message in capsys.readouterr().err
