"""Teachers are asked in their own anchor, frozen, and leave nothing in the student but what it learnt."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")
pytest.importorskip("onnx", reason="needs the extra: rawkd[torch]")

from tiny_teachers import ANCHOR, NAFNET, STUDENT, leaves_batch, shaken, teacher_card  # noqa: E402

from rawkd.cli import main  # noqa: E402
from rawkd.errors import MemoryLimitError, ModelError, UsageError  # noqa: E402
from rawkd.inference.card import ModelCard, NoiseSubrange  # noqa: E402
from rawkd.inference.self_ensemble import self_ensemble  # noqa: E402
from rawkd.networks import build_network  # noqa: E402
from rawkd.sensor.cfa import SYMMETRIES, pack, unpack  # noqa: E402
from rawkd.sensor.ksigma import KSigma  # noqa: E402
from rawkd.sensor.noise import NoiseModel  # noqa: E402
from rawkd.training import recipes  # noqa: E402
from rawkd.training.data.clean import CleanSet, find_pictures  # noqa: E402
from rawkd.training.data.dataset import NoisyBatches  # noqa: E402
from rawkd.training.distill.distillation import Distillation  # noqa: E402
from rawkd.training.losses.terms import build_losses, charbonnier, to_signal  # noqa: E402
from rawkd.training.recipes import FANET_FAST  # noqa: E402
from rawkd.training.run.learner import Learner  # noqa: E402
from rawkd.training.run.loop import Run, train  # noqa: E402
from rawkd.training.saved.checkpoint import Checkpoint, load_checkpoint  # noqa: E402
from rawkd.training.saved.identity import refuse_other_recipe  # noqa: E402
from rawkd.training.saved.provenance import stages_of  # noqa: E402
from rawkd.training.saved.trained import find_trained, normalised_name  # noqa: E402
from rawkd.training.strategies.feature_matching import FeatureMatching  # noqa: E402
from rawkd.training.strategies.response import Response  # noqa: E402
from rawkd.training.strategies.siamese import Siamese  # noqa: E402
from rawkd.training.strategies.supervised import Supervised  # noqa: E402
from rawkd.training.strategies.teacher import Teacher, estimated_noise_of  # noqa: E402
from rawkd.training.strategies.teacher_ensemble import ensemble_mean  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
STUDENT_ANCHOR = STUDENT.anchor(1)
SUPERVISED = Supervised(build_losses({"charbonnier": 1.0}, None, CPU))


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    return teacher_card(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture
def teacher(card: ModelCard) -> Teacher:
    return Teacher(card, STUDENT_ANCHOR, CPU)


def student(seed: int = 3) -> Any:
    torch.manual_seed(seed)
    return shaken(build_network(STUDENT.network, STUDENT.network_config(1)), seed).train()


def seen_by(teacher: Teacher, planes: Any, batch: Any) -> Any:
    """What reaches the teacher's network."""
    inputs: list[Any] = []
    hook = teacher.network.register_forward_pre_hook(lambda _module, given: inputs.append(given[0]))
    teacher.restore(planes, batch)
    hook.remove()
    return inputs[0]


def told(batch: Any, crop: int) -> NoiseModel:
    """The noise that a crop's k-sigma transform was made of, in float64."""
    scale, offset = batch.scale[crop].double().numpy(), batch.offset[crop].double().numpy()
    gain = STUDENT_ANCHOR.gain / scale
    read = (offset / STUDENT_ANCHOR.gain + STUDENT_ANCHOR.read_variance / STUDENT_ANCHOR.gain**2) * gain**2
    return NoiseModel(gain, read.clip(0), "given")


def test_anchors_are_converted_exactly(teacher: Teacher) -> None:
    batch = leaves_batch()
    given = seen_by(teacher, batch.noisy, batch).double().numpy()
    for crop in range(len(given)):
        signal = to_signal(batch.noisy.double(), batch)[crop].numpy()
        expected = KSigma.between(told(batch, crop), ANCHOR)
        direct = signal * expected.scale[:, None, None] + expected.offset[:, None, None]
        # two roundings of float32 in the batch and two on the way, of values and offsets of this size
        size = np.abs(direct).max() + np.abs(expected.offset).max() + np.abs(teacher._ksigma.offset).max()
        assert np.abs(given[crop] - direct).max() < 4 * np.finfo(np.float32).eps * size
        assert np.abs(given[crop] - batch.noisy[crop].numpy()).max() > 1e-2  # the anchors do differ


def test_the_answer_comes_back_to_the_students_anchor(teacher: Teacher) -> None:
    batch = leaves_batch()
    answer = teacher.restore(batch.noisy, batch)
    for crop, ours in enumerate(answer):
        ksigma = KSigma.between(told(batch, crop), ANCHOR)
        signal = to_signal(batch.noisy, batch)[crop]
        with torch.no_grad():
            theirs = ksigma.invert(teacher.network(ksigma.apply(signal)[None])[0])
        mine = to_signal(ours[None], batch._each(lambda tensor, crop=crop: tensor[crop : crop + 1]))[0]
        noise = float(batch.sigma[crop] / batch.scale[crop].mean())
        assert float((mine - theirs).abs().max()) < 1e-3 * noise
        assert float((theirs - signal).abs().mean()) > 1e-2 * noise


def test_a_variance_teacher_sees_the_signal_and_its_noise(tmp_path: Path) -> None:
    card = teacher_card(tmp_path / "upi", "upi-unet", {"widths": [4, 8], "convolutions": 1})
    assert card.input == "planes+variance"
    teacher, batch = Teacher(card, STUDENT_ANCHOR, CPU), leaves_batch()
    given = seen_by(teacher, batch.noisy, batch)
    signal = to_signal(batch.noisy, batch)
    torch.testing.assert_close(given[:, :4], signal)
    for crop in range(len(given)):
        noise = told(batch, crop)
        expected = noise.variance(signal[crop].double().numpy())
        np.testing.assert_allclose(given[crop, 4:].numpy(), expected, rtol=1e-4, atol=1e-6 * expected.max())
    answer = to_signal(teacher.restore(batch.noisy, batch), batch)
    with torch.no_grad():
        torch.testing.assert_close(answer, teacher.network(given), atol=1e-5, rtol=1e-4)
    gain, read = estimated_noise_of(batch, STUDENT_ANCHOR)
    assert gain.shape == read.shape == (4, 4, 1, 1)


def test_a_student_equal_to_its_teacher_has_no_response_loss(tmp_path: Path) -> None:
    config = STUDENT.network_config(1)
    anchor = {"gain": STUDENT_ANCHOR.gain, "read_variance": STUDENT_ANCHOR.read_variance}
    card = teacher_card(tmp_path / "same", STUDENT.network, config, anchor=anchor)
    teacher, batch = Teacher(card, STUDENT_ANCHOR, CPU), leaves_batch()
    same = build_network(STUDENT.network, config)
    same.load_state_dict(teacher.network.state_dict())
    strategy = Response(teacher, SUPERVISED, 1.0)
    with torch.no_grad():
        # not 0 on every processor: torch sums the layouts of student and teacher in its own order, float32 has 6e-8
        assert float(strategy.step(same, batch, 0.0)["response"]) < 1e-6
        assert float(strategy.step(shaken(same, 1), batch, 0.0)["response"]) > 1e-2


def test_alpha_shares_out_the_loss(teacher: Teacher) -> None:
    batch, network = leaves_batch(), student().requires_grad_(False)
    whole = Response(teacher, SUPERVISED, 1.0).step(network, batch, 0.0)
    assert set(whole) == {"response"}
    restored = network(batch.noisy)
    distance = (restored - teacher.restore(batch.noisy, batch)).abs().mean((1, 2, 3)) / batch.sigma
    assert float(whole["response"]) == pytest.approx(float(distance.mean()), rel=1e-5)
    quarter = Response(teacher, SUPERVISED, 0.25).step(network, batch, 0.0)
    assert float(quarter["response"]) == pytest.approx(0.25 * float(whole["response"]))
    supervised = float(charbonnier(restored, batch.clean, batch))
    assert float(quarter["charbonnier"]) == pytest.approx(0.75 * supervised)


def test_a_larger_start_is_measured_by_the_supervised_losses_alone(teacher: Teacher) -> None:
    learner = Learner.of(STUDENT, 1, CPU, lambda *_: Response(teacher, SUPERVISED, 0.5), torch.float32)
    teacher.network.register_forward_pre_hook(lambda *_: pytest.fail("the teacher was asked"))
    network, batch = student(), leaves_batch()
    expected = charbonnier(network(batch.noisy), batch.clean, batch).item()
    assert learner._loss(network, batch).item() == pytest.approx(expected)
    assert SUPERVISED.supervised is SUPERVISED


def strategies(teacher: Teacher) -> dict[str, Any]:
    teacher.tap(())
    return {
        "response": Response(teacher, SUPERVISED, 0.5),
        "feature-matching": FeatureMatching(teacher, SUPERVISED, 0.3),
    }


@pytest.mark.parametrize("name", ["response", "feature-matching"])
def test_gradients_reach_the_student_and_never_the_teacher(teacher: Teacher, name: str) -> None:
    strategy, network, batch = strategies(teacher)[name], student(), leaves_batch()
    before = [parameter.clone() for parameter in teacher.network.parameters()]
    strategy.step(network, batch, 0.0)[name].backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    assert not teacher.network.training
    for parameter, old in zip(teacher.network.parameters(), before, strict=True):
        assert parameter.grad is None
        assert not parameter.requires_grad
        assert torch.equal(parameter, old)


def test_features_of_the_truth_match(teacher: Teacher) -> None:
    batch = leaves_batch()
    strategy = strategies(teacher)["feature-matching"]
    assert float(strategy.step(lambda _noisy: batch.clean, batch, 0.0)["feature-matching"]) == 0
    near = strategy.step(lambda _noisy: 0.9 * batch.clean + 0.1 * batch.noisy, batch, 0.0)["feature-matching"]
    far = strategy.step(lambda noisy: noisy, batch, 0.0)["feature-matching"]
    assert 0 < float(near) < float(far)


def test_features_begin_with_their_share(teacher: Teacher) -> None:
    teacher.tap(("encoder.0", "encoder.1", "stem"))
    batch = leaves_batch()
    terms = FeatureMatching(teacher, SUPERVISED, 0.3).step(lambda noisy: noisy, batch, 0.0)
    # shot noise of dark and bright places in one crop has a smaller mean absolute value than normal numbers
    assert float(terms["feature-matching"] / sum(terms.values())) == pytest.approx(0.3, abs=0.05)
    near = FeatureMatching(teacher, SUPERVISED, 0.3).step(lambda noisy: 0.1 * noisy + 0.9 * batch.clean, batch, 0.0)
    # a tenth of the noise is a tenth of the distance, as in Charbonnier, and not a hundredth
    assert float(near["feature-matching"]) == pytest.approx(0.1 * float(terms["feature-matching"]), rel=0.1)


def test_taps_are_the_named_layers(teacher: Teacher) -> None:
    teacher.tap(("encoder.1", "stem"))
    batch = leaves_batch()
    coarse, fine = teacher.features(batch.noisy, batch)
    assert coarse.shape == (4, 16, 8, 8)
    assert fine.shape == (4, 8, 16, 16)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("encoder.0", "encoder.7"), "the teacher small has no layer encoder.7. Choose layers such as encoder.0, enc"),
        (("encoder",), "the layer encoder of the teacher small returns no feature map"),
        (("encoder.0.0.enter", "noise_units"), "the layer noise_units of the teacher small returns no feature map"),
    ],
)
def test_unknown_layers_are_refused_by_name(teacher: Teacher, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        teacher.tap(names)


def test_the_ensemble_of_an_identity_is_the_identity() -> None:
    planes = leaves_batch().noisy
    for members in SYMMETRIES:
        torch.testing.assert_close(ensemble_mean(lambda view: view, planes, members, 4), planes, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(2, 4, 16, 16), (2, 4, 6, 10), (2, 36, 4, 8), (2, 3, 7, 9)], ids=str)
def test_one_member_is_the_answer_itself(shape: tuple[int, ...]) -> None:
    """Without a copy; crops that are no multiple of the stride are not padded."""
    planes, seen = torch.rand(shape), []
    answer = ensemble_mean(lambda view: seen.append(view) or view + 1, planes, 1, 4)  # type: ignore[func-returns-value]
    assert len(seen) == 1
    assert seen[0] is planes
    assert torch.equal(answer, planes + 1)


@pytest.mark.parametrize("members", [2, 4, 8])
def test_the_ensemble_is_that_of_inference(members: int) -> None:
    torch.manual_seed(0)
    network = torch.nn.Conv2d(4, 4, 3, padding=1).requires_grad_(False)  # sees two mosaic pixels beyond its own
    planes = leaves_batch().noisy
    ours = ensemble_mean(network, planes, members, 1)

    def denoise(rggb: Any) -> Any:
        return unpack(network(torch.from_numpy(pack(rggb))[None])[0].numpy())

    inside = (slice(None), slice(2, -2), slice(2, -2))
    for crop, mine in zip(planes.numpy(), ours.numpy(), strict=True):
        theirs = pack(self_ensemble(denoise, unpack(crop), members))
        np.testing.assert_allclose(mine[inside], theirs[inside], atol=1e-5)
        alone = network(torch.from_numpy(crop)[None])[0].numpy()
        assert np.abs(mine[inside] - alone[inside]).max() > 1e-3


def test_a_teachers_ensemble_is_its_answer(card: ModelCard) -> None:
    batch = leaves_batch()
    one, eight = (
        Teacher(card, STUDENT_ANCHOR, CPU, ensemble=members).restore(batch.noisy, batch) for members in (1, 8)
    )
    assert one.shape == eight.shape == batch.noisy.shape
    assert 0 < float((one - eight).abs().mean()) < float(batch.sigma.mean())
    with pytest.raises(UsageError, match=r"an ensemble of 3 is not possible\. Choose one of 1, 2, 4, 8"):
        Teacher(card, STUDENT_ANCHOR, CPU, ensemble=3)


def test_a_teacher_of_another_input_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"small/card\.json: the field input is not one of planes, planes\+variance"):
        teacher_card(tmp_path / "small", input="planes in the order R, Gr, B, Gb")
    wrong = teacher_card(tmp_path / "wrong", input="planes+variance")
    with pytest.raises(
        ModelError, match=r"the teacher wrong states the input planes\+variance, but its network nafnet"
    ):
        Teacher(wrong, STUDENT_ANCHOR, CPU)


def test_mismatched_widths_are_refused_by_name(tmp_path: Path) -> None:
    card = teacher_card(tmp_path / "narrow")
    wide = replace(card, config={**NAFNET, "widths": [8, 24]})
    with pytest.raises(ModelError, match=r"do not fit the network nafnet: size mismatch for encoder\.1"):
        Teacher(wide, STUDENT_ANCHOR, CPU)


def test_weights_of_another_network_fail_the_golden_output(tmp_path: Path) -> None:
    card, other = (teacher_card(tmp_path / name, config={**NAFNET, "anchor": [gain, 1e-6]}) for name, gain in
                   (("one", 2e-3), ("two", 1e-2)))  # fmt: skip
    with pytest.raises(ModelError, match="one computes wrongly on torch"):
        Teacher(replace(card, config=other.config), STUDENT_ANCHOR, CPU)


def test_students_beyond_the_teachers_range_are_refused(card: ModelCard) -> None:
    teacher = Teacher(replace(card, subrange=NoiseSubrange(1e-4, 1e-2)), STUDENT_ANCHOR, CPU)
    teacher.check_student(NoiseSubrange(1e-4, 1e-2), 16)
    with pytest.raises(ModelError, match=r"teacher small is for gains 0\.0001 to 0\.01, the student needs 8e-06 to"):
        teacher.check_student(NoiseSubrange(8e-6, 1e-3), 16)
    with pytest.raises(ModelError, match="the teacher small needs crops of a multiple of 2 packed pixels, not 17"):
        teacher.check_student(NoiseSubrange(1e-4, 1e-2), 17)


def test_edges_that_were_rounded_fit(card: ModelCard) -> None:
    rounded = NoiseSubrange(5.66e-4, 4.76e-3)
    teacher = Teacher(replace(card, subrange=rounded), STUDENT_ANCHOR, CPU)
    teacher.check_student(NoiseSubrange(5.657e-4, 4.762e-3), 16)
    with pytest.raises(
        ModelError, match=r"is for gains 0\.000566 to 0\.00476, the student needs 0\.0005654 to 0\.00476"
    ):
        teacher.check_student(NoiseSubrange(5.654e-4, 4.76e-3), 16)


@pytest.mark.parametrize("strategy", ["response", "siamese"])
def test_a_student_that_trains_beyond_its_teacher_is_told(card: ModelCard, strategy: str) -> None:
    """Its own subrange is covered, the overlap at both ends is not."""
    own = STUDENT.subrange(1)
    network, told = student(), list[str]()
    for subrange, number in ((NoiseSubrange(1e-6, 0.5), 0), (NoiseSubrange(own.low, own.high), 1)):
        told.clear()
        cards = (replace(card, subrange=subrange),) * (2 if strategy == "siamese" else 1)
        Distillation.of(strategy, cards, {}).build(STUDENT, 1, network, None, CPU, told.append)
        assert len(told) == number * len(cards)
    low, high = STUDENT.training_range(1)
    assert f"the student is trained on {low:.4g} to {high:.4g}: what it teaches there may be worse" in told[0]


@pytest.mark.parametrize(
    ("strategy", "given"), [("response", {"kd_alpha": 0.0}), ("siamese", {"label_share": (0.0, 0.0)})]
)
def test_a_teacher_without_a_share_is_refused(card: ModelCard, strategy: str, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="of 0 the student learns nothing from its teachers"):
        Distillation.of(strategy, (card, card)[: 2 if strategy == "siamese" else 1], given)


def test_another_teacher_is_named_without_the_hash_of_its_files(card: ModelCard, tmp_path: Path) -> None:
    recipe = {"recipe": {}, "subrange": 1, "start_from": None}
    altered = replace(card, files=dict.fromkeys(card.files, "0" * 64))
    first, weights, other = (
        recipe | {"distillation": Distillation.of("response", (one,), {}).identity()}
        for one in (card, altered, replace(altered, name="large"))
    )
    kept = Checkpoint(1, first, {}, {}, {}, 0.0, [])
    with pytest.raises(ModelError, match=r"another recipe \(distillation\.teacher small -> large\)"):
        refuse_other_recipe(kept, other, tmp_path)
    with pytest.raises(ModelError, match=r"another recipe \(the teacher has other weights\)"):
        refuse_other_recipe(kept, weights, tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_answers_that_are_not_finite_name_the_teacher(teacher: Teacher, value: float) -> None:
    both, batch = strategies(teacher), leaves_batch()
    for layer, names in (("head", ["response"]), ("stem", ["response", "feature-matching"])):
        with torch.no_grad():
            teacher.network.get_submodule(layer).bias.fill_(value)  # type: ignore[operator, union-attr]
        for name in names:
            with pytest.raises(ModelError, match="the teacher small returns values that are not finite"):
                both[name].step(student(), batch, 0.0)


def test_features_do_not_ask_for_the_answer(teacher: Teacher) -> None:
    """A head that only gives NaN changes nothing; the gradient of what was restored is that of the whole network."""
    batch = leaves_batch()
    teacher.tap(("stem", "encoder.0"))
    restored = batch.noisy.clone().requires_grad_()
    teacher.network(teacher._ksigma.apply(restored))
    whole = teacher.taps.take()
    (expected,) = torch.autograd.grad(whole[1].square().sum(), restored)
    with torch.no_grad():
        teacher.network.head.bias.fill_(float("nan"))  # type: ignore[union-attr]
    found = teacher.features(restored, batch)
    assert all(torch.equal(one, other) for one, other in zip(found, whole, strict=True))
    (slope,) = torch.autograd.grad(found[1].square().sum(), restored)
    assert torch.equal(slope, expected)
    assert expected.abs().sum() > 0
    noisy = teacher.features_of_noisy(batch)
    assert not any(features.requires_grad for features in noisy)
    assert all(torch.equal(one, other) for one, other in zip(noisy, whole, strict=True))


def test_output_and_features_of_one_forward_pass(teacher: Teacher) -> None:
    batch = leaves_batch()
    teacher.tap(())
    passes: list[int] = []
    teacher.network.register_forward_hook(lambda *_: passes.append(1))
    output, features = teacher.restore_and_features(batch.noisy, batch)
    assert len(passes) == 1
    assert torch.equal(output, teacher.restore(batch.noisy, batch))
    for one, other in zip(features, teacher.features_of_noisy(batch), strict=True):
        assert torch.equal(one, other)


def test_features_need_taps(teacher: Teacher) -> None:
    batch = leaves_batch()
    for ask in (teacher.features, teacher.restore_and_features):
        with pytest.raises(ValueError, match="call tap first"):
            ask(batch.noisy, batch)
    with pytest.raises(ValueError, match="call tap first"):
        teacher.features_of_noisy(batch)


def test_the_label_is_made_before_the_students_graph(teacher: Teacher) -> None:
    order: list[str] = []
    network, batch = student(), leaves_batch()
    network.register_forward_pre_hook(lambda *_: order.append("student"))
    teacher.network.register_forward_pre_hook(lambda *_: order.append("teacher"))
    Response(teacher, SUPERVISED, 0.5).step(network, batch, 0.0)
    Siamese((teacher, teacher), SUPERVISED, (0.5, 0.5)).step(network, batch, 0.0)
    assert order == ["teacher", "student", "teacher", "teacher", "student"]


def test_a_teacher_is_found_by_folder_and_missed_by_name(card: ModelCard) -> None:
    assert find_trained(str(card.directory)) == card
    with pytest.raises(ModelError, match=r"nobody: neither the folder of a model or run nor a shipped model"):
        find_trained("nobody")


def test_a_folder_called_like_a_shipped_model_is_named_by_its_path(
    card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = teacher_card(tmp_path / "small")
    monkeypatch.setattr("rawkd.training.saved.trained.models_directory", lambda: card.directory.parent)
    monkeypatch.chdir(tmp_path)
    assert find_trained("small").directory == card.directory
    for path in ("./small", "small/", str(own.directory)):
        assert find_trained(path).directory.resolve() == own.directory
        assert find_trained(normalised_name(path)).directory.resolve() == own.directory
    assert [normalised_name(name) for name in ("small", "./small", "./other/", "runs/x/")] == [
        "small",
        "./small",
        "other",
        "runs/x",
    ]


def test_numbers_of_another_strategy_are_refused(card: ModelCard) -> None:
    given = {"ensemble": None, "kd_alpha": 0.7, "feature_share": None, "taps": None}
    distillation = Distillation.of("response", (card,), given)
    assert distillation.numbers == {"kd_alpha": 0.7, "ensemble": 1}
    with pytest.raises(UsageError, match=r"the strategy feature-matching has no option kd-alpha\. Leave it out"):
        Distillation.of("feature-matching", (card,), given)
    with pytest.raises(UsageError, match=r"there is no strategy 'hints'\. Choose one of response, feature-matching"):
        Distillation.of("hints", (card,), given)
    assert json.loads(json.dumps(distillation.identity())) == distillation.identity()
    altered = replace(card, files=dict.fromkeys(card.files, "0" * 64))
    assert Distillation.of("response", (altered,), given).identity() != distillation.identity()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> CleanSet:
    """Smooth pictures, which a student learns to smoothe in a few steps."""
    folder = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:80, :80] / 80
    for number in range(4):
        waves = [0.5 + 0.4 * np.sin((3 + channel) * x + number * y + channel) for channel in range(3)]
        iio.imwrite(folder / f"{number}.png", (255 * np.stack(waves, -1)).astype(np.uint8))
    return find_pictures([folder], 64)[0]


@pytest.mark.parametrize("learning_rate", [5e-3, 0.0], ids=["learning", "twin without learning"])
@pytest.mark.parametrize("name", ["response", "feature-matching"])
def test_the_loss_falls_and_only_the_student_is_kept(
    card: ModelCard, pictures: CleanSet, tmp_path: Path, name: str, learning_rate: float
) -> None:
    steps = 80 if learning_rate else 2
    config = FANET_FAST.config
    recipe = replace(STUDENT, config=config, steps=steps, batch=8, crop_px=32, leaves=0.0, learning_rate=learning_rate)
    distillation = Distillation.of(name, (card,), {})
    state = train(
        recipe, 1, (pictures, pictures), lambda device, student: distillation.build(recipe, 1, student, None, device),
        Run(tmp_path, validate_every=30), distillation=distillation.identity(),
    )  # fmt: skip
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.network, recipe.network_config(1))
    plain = network.state_dict()
    assert state.student.keys() == state.average.keys() == plain.keys()
    assert all(state.student[key].shape == value.shape for key, value in plain.items())
    assert stages_of(tmp_path)[0]["distillation"]["teacher"] == "small"
    strategy = distillation.build(recipe, 1, network, None, CPU)
    batch = NoisyBatches(pictures, recipe, 1, seed=7, length=1, exact=True)[0]
    losses = []
    for weights in (plain, state.student):
        network.load_state_dict(weights)
        with torch.no_grad():
            losses.append(sum(float(term) for term in strategy.step(network, batch, 0.0).values()))
    if learning_rate:
        assert losses[1] < 0.97 * losses[0]
    else:
        assert losses[1] == losses[0]


class Hungry:
    """A strategy that fits three crops into its memory."""

    adapters = None
    weaker_noise = None

    def step(self, network: Any, batch: Any, _progress: float) -> dict[str, Any]:
        if len(batch.noisy) > self.room:
            raise torch.OutOfMemoryError
        return {"charbonnier": charbonnier(network(batch.noisy), batch.clean, batch)}

    def __init__(self, room: int) -> None:
        self.room = room


@pytest.mark.parametrize(
    ("room", "message"),
    [(3, "memory of cpu, but 2 do. Give --batch 2"), (0, "nor does a single one")],
)
def test_too_little_memory_says_what_would_fit(tmp_path: Path, room: int, message: str) -> None:
    recipe = replace(STUDENT, batch=8)
    with pytest.raises(MemoryLimitError, match=rf"8 crops of 16x16 packed pixels a step do not fit.*{message}"):
        train(recipe, 1, (None, None), lambda _, _student: Hungry(room), Run(tmp_path, validate_every=1))


def distill(*arguments: str | Path | float) -> int:
    return main(["distill", *map(str, arguments)])


def test_the_command_distils_resumes_and_keeps_to_its_teacher(
    card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(recipes.RECIPES, "tiny", STUDENT)
    out = tmp_path / "run"
    asked = ("--teacher", card.directory, "--student", "tiny", "--subrange", 1, "--out", out, "--validate-every", 2)
    asked = (*asked, "--seed", 5)
    assert distill(*asked, "--steps", 3, "--minutes", 1e-9, "--batch", 2) == 0
    assert distill(*asked, "--steps", 3, "--batch", 2) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{out}\n" * 2
    assert "response" in shown.err
    kept = load_checkpoint(out)
    assert kept is not None
    assert (kept.step, kept.recipe["recipe"]["batch"], kept.recipe["recipe"]["seed"]) == (3, 2, 5)
    assert kept.recipe["distillation"]["kd_alpha"] == 0.5
    assert distill(*asked, "--steps", 3, "--batch", 2, "--kd-alpha", 0.9) == 5
    assert "distillation.kd_alpha 0.5 -> 0.9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--teacher", "nobody"), 5, "nobody: neither the folder of a model or run nor a shipped model"),
        (("--teacher", "TEACHER", "--taps", "encoder.0"), 2, "the strategy response has no option taps. Leave it out"),
        (("--teacher", "TEACHER", "--strategy", "feature-matching", "--taps", "a"), 5, "small has no layer a"),
        (("--teacher", "TEACHER", "--subrange", "9"), 2, "subranges 0 to 3, not 9"),
    ],
)
def test_what_the_command_refuses(
    card: ModelCard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.setitem(recipes.RECIPES, "tiny", STUDENT)
    given = [str(card.directory) if word == "TEACHER" else word for word in arguments]
    subrange = () if "--subrange" in given else ("--subrange", "1")
    assert distill(*given, "--student", "tiny", *subrange, "--out", tmp_path / "run") == code
    assert message in capsys.readouterr().err
