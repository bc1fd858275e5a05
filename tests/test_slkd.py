"""SLKD: what each part compares, what is left without it, and who is asked about which crop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")
pytest.importorskip("onnx", reason="needs the extra: rawkd[torch]")

import torch.nn.functional as F  # noqa: E402
from tiny_teachers import NAFNET, STUDENT, leaves_batch, shaken, teacher_card  # noqa: E402

from rawkd.cli import main  # noqa: E402
from rawkd.errors import ModelError, UsageError  # noqa: E402
from rawkd.inference.card import ModelCard  # noqa: E402
from rawkd.networks import NETWORKS, build_network  # noqa: E402
from rawkd.networks.fanet import FANetConfig  # noqa: E402
from rawkd.training import recipes  # noqa: E402
from rawkd.training.data.dataset import Batch  # noqa: E402
from rawkd.training.distill.distillation import Distillation  # noqa: E402
from rawkd.training.losses.blockiness import block_tests  # noqa: E402
from rawkd.training.losses.divergence import divergence, divergence_of_noise, luminance  # noqa: E402
from rawkd.training.losses.mscn import standardise  # noqa: E402
from rawkd.training.losses.naturalness import natural_statistics  # noqa: E402
from rawkd.training.losses.terms import charbonnier  # noqa: E402
from rawkd.training.run.loop import Run, train  # noqa: E402
from rawkd.training.saved.checkpoint import load_checkpoint  # noqa: E402
from rawkd.training.strategies.kind import Setting  # noqa: E402
from rawkd.training.strategies.slkd import (  # noqa: E402
    WEIGHTS,
    ScaleConversion,
    SimultaneousLearning,
    decoder_levels,
    encoder_levels,
)
from rawkd.training.strategies.taps import FeatureTaps  # noqa: E402
from rawkd.training.strategies.teacher import Teacher  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
DEEP: dict[str, Any] = {**NAFNET, "widths": [8, 12, 16], "encoder_blocks": [1, 1, 1], "decoder_blocks": [1, 1]}


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelCard, ModelCard]:
    folder = tmp_path_factory.mktemp("models")
    return teacher_card(folder / "small"), teacher_card(folder / "deep", config=DEEP)


def student(seed: int = 3) -> Any:
    torch.manual_seed(seed)
    return shaken(build_network(STUDENT.network, STUDENT.network_config(1)), seed).train()


def build(network: Any, teachers: tuple[ModelCard, ...], *without: str, recipe: Any = STUDENT) -> SimultaneousLearning:
    strategy = Distillation.of("slkd", teachers, {"without": without}).build(recipe, 1, network, None, CPU)
    assert isinstance(strategy, SimultaneousLearning)
    return strategy


def teachers_of(strategy: SimultaneousLearning) -> tuple[Teacher, Teacher]:
    """The one with noisy and the one with clean input."""
    assert strategy.noisy_teacher is not None
    assert strategy.decoder is not None
    return strategy.noisy_teacher, strategy.decoder.teacher


def test_both_teachers_are_asked_before_the_student(cards: tuple[ModelCard, ModelCard]) -> None:
    order: list[str] = []
    network = student()
    strategy = build(network, cards)
    network.register_forward_pre_hook(lambda *_: order.append("student"))
    for name, teacher in zip("AB", teachers_of(strategy), strict=True):
        teacher.network.register_forward_pre_hook(lambda *_, name=name: order.append(name))
    strategy.step(network, leaves_batch(), 0.0)
    assert order == ["A", "B", "student"]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_names_its_decoder(name: str) -> None:
    from test_teachers import TINY

    torch.manual_seed(0)
    network: Any = build_network(name, TINY[name])
    taps = FeatureTaps(network, tuple(network.decoder_taps))
    network(torch.rand(1, network.in_channels, 4 * network.stride, 4 * network.stride))
    sizes = [features.shape[-1] for features in taps.take()]
    assert sizes == sorted(sizes)
    assert len(sizes) == len(taps.channels) >= 1


def test_a_level_without_blocks_is_tapped_below() -> None:
    config = FANetConfig(widths=(4, 8, 8), encoder_blocks=(0, 1, 1), decoder_blocks=(0, 1), groups=2)
    network: Any = NETWORKS["fanet"].network(config)
    assert network.decoder_taps == ("decoder.1.1", "up.0")
    assert encoder_levels(network) == ("stem", "encoder.1.1", "encoder.2.1")
    assert decoder_levels(network) == ("up.0", "decoder.1.1")
    assert FeatureTaps(network, network.decoder_taps).channels == (8, 4)


def test_groups_are_shared_out_between_encoder_and_decoder() -> None:
    network = build_network("mdrn", {"blocks": 1, "width": 16, "branch_width": 4, "groups": 4})
    assert encoder_levels(network) == ("groups.0", "groups.1")
    assert decoder_levels(network) == ("groups.3", "groups.2")


def test_the_divergence_is_kullbacks() -> None:
    values = torch.rand(2, 3, 500, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = F.kl_div(values[1].log_softmax(-1), values[0].softmax(-1), reduction="none").sum(-1)
    torch.testing.assert_close(divergence(values[0], values[1]), expected, rtol=1e-10, atol=0)
    # by hand: softmax of 0 and log 3 is 1/4 and 3/4, of equal values 1/2 and 1/2
    uneven, even = torch.tensor([[0.0, np.log(3)]]), torch.zeros(1, 2)
    assert float(divergence(even, uneven)) == pytest.approx(0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75))
    assert float(divergence(uneven, even)) == pytest.approx(0.25 * np.log(0.25 / 0.5) + 0.75 * np.log(0.75 / 0.5))


def test_the_divergence_keeps_the_digits_of_small_differences() -> None:
    target, change = torch.rand(2, 1, 4096, generator=torch.Generator().manual_seed(2))
    seen = target + 1e-4 * change
    expected = float(divergence(target.double(), seen.double()))
    assert float(divergence(target, seen)) == pytest.approx(expected, rel=1e-2)
    plain = F.kl_div(seen.log_softmax(-1), target.softmax(-1), reduction="sum")  # the twin
    assert float(plain) != pytest.approx(expected, rel=1e-2)


def test_the_divergence_counts_the_noise() -> None:
    batch = leaves_batch()
    assert float(divergence_of_noise(batch.noisy, batch.clean, batch)) == pytest.approx(1, abs=2e-3)
    assert float(divergence_of_noise(batch.clean, batch.clean, batch)) == 0
    tenth = 0.9 * batch.clean + 0.1 * batch.noisy
    assert float(divergence_of_noise(tenth, batch.clean, batch)) == pytest.approx(0.1, rel=0.4)  # gamma is no line
    assert luminance(batch.noisy, batch).shape == (4, 32 * 32)
    wide = Batch(*(torch.cat([side] * 5, -1) if side.ndim == 4 else side for side in batch[:8]))
    assert luminance(wide.clean, wide).shape == (4, 32 * 64)


def test_scales_are_converted_to_the_teachers() -> None:
    conversion = ScaleConversion(3, 5)
    assert [name for name, _ in conversion.named_parameters()] == ["widen.weight"]
    features = torch.rand(2, 3, 8, 8)
    wide = F.conv2d(features, conversion.widen.weight)
    torch.testing.assert_close(conversion(features, (8, 8)), wide)
    torch.testing.assert_close(conversion(features, (4, 4)), F.interpolate(wide, (4, 4), mode="bilinear"))


def expected_terms(strategy: SimultaneousLearning, network: Any, cards: Any, plain: bool) -> dict[str, float]:
    """The weighted parts, computed beside the strategy."""
    batch, terms = leaves_batch(), {}
    first, second = (Teacher(card, STUDENT.anchor(1), CPU) for card in cards)
    first.tap(("encoder.0", "encoder.1"))
    second.tap(("decoder.0",))
    answer = first.restore(batch.noisy, batch)
    pairs = {"nc": (first.taps.take(), ("encoder.0.1", "encoder.1.1"), "encoder", natural_statistics)}
    pairs["et"] = (second.features(batch.clean, batch), ("decoder.0.1",), "decoder", block_tests)
    for name, (taught, layers, side, extract) in pairs.items():
        own = FeatureTaps(network, layers)
        network(batch.noisy)
        compare = standardise if plain else extract
        total = 0.0
        for mine, theirs, conversion in zip(own.take(), taught, strategy.adapters[side], strict=True):  # type: ignore[index]
            total += float((compare(conversion(mine, theirs.shape[2:])) - compare(theirs)).abs().mean())
        terms[{"nc": "drl", "et": "irl"}[name] if plain else name] = 0.05 * total
        own.close()
    restored = network(batch.noisy)
    terms["img"] = 0.5 * float(((restored - answer).abs().mean((1, 2, 3)) / batch.sigma).mean())
    terms["kl"] = 0.1 * float(divergence_of_noise(restored, answer, batch))
    terms["charbonnier"] = float(charbonnier(restored, batch.clean, batch))
    return terms


@pytest.mark.parametrize("plain", [False, True], ids=["extractors", "features themselves"])
def test_the_loss_is_the_weighted_sum_of_its_parts(cards: Any, plain: bool) -> None:
    network = student()
    strategy = build(network, cards, *(("nc", "et") if plain else ()))
    with torch.no_grad():
        terms = {name: float(term) for name, term in strategy.step(network, leaves_batch(), 0.0).items()}
        assert terms == pytest.approx(expected_terms(strategy, network, cards, plain), rel=1e-4)
    assert all(term > 0 for term in terms.values())
    assert WEIGHTS == (0.5, 0.1, 0.05, 0.05)


@pytest.mark.parametrize(
    ("without", "left", "sides"),
    [
        ((), {"img", "kl", "nc", "et"}, {"encoder", "decoder"}),
        (("drl",), {"img", "kl", "et"}, {"decoder"}),
        (("irl",), {"img", "kl", "nc"}, {"encoder"}),
        (("nc",), {"img", "kl", "drl", "et"}, {"encoder", "decoder"}),
        (("et",), {"img", "kl", "nc", "irl"}, {"encoder", "decoder"}),
        (("img", "kl"), {"nc", "et"}, {"encoder", "decoder"}),
        (("img", "kl", "drl"), {"et"}, {"decoder"}),
        (("drl", "irl"), {"img", "kl"}, set()),
    ],
)
def test_parts_are_left_out(cards: Any, without: tuple[str, ...], left: set[str], sides: set[str]) -> None:
    network = student()
    strategy = build(network, cards[:1], *without)
    terms = strategy.step(network, leaves_batch(), 0.0)
    assert set(terms) == left | {"charbonnier"}
    assert set(() if strategy.adapters is None else dict(strategy.adapters.named_children())) == sides
    assert (strategy.noisy_teacher is None) == (not left & {"img", "kl", "nc", "drl"})
    assert (strategy.decoder is None) == (not left & {"et", "irl"})


def test_one_teacher_sees_the_noisy_crop_and_one_the_clean(cards: Any) -> None:
    network, batch = student(), leaves_batch()
    strategy = build(network, cards)
    seen: dict[str, Any] = {}
    first, second = teachers_of(strategy)
    for role, teacher in (("A", first), ("B", second)):
        teacher.network.register_forward_pre_hook(lambda _m, given, role=role: seen.update({role: given[0]}))
    strategy.step(network, batch, 0.0)
    torch.testing.assert_close(seen["A"], first._ksigma.apply(batch.noisy))
    torch.testing.assert_close(seen["B"], second._ksigma.apply(batch.clean))
    assert [first.card.name, second.card.name] == ["small", "deep"]
    first, second = teachers_of(build(student(), cards[:1]))
    assert first is not second
    assert first.card == second.card


def test_levels_are_paired_from_the_finest(cards: Any) -> None:
    """A student of two levels and a teacher of three, three and four."""
    deep = build(student(), (cards[1],))
    assert deep.encoder is not None
    assert deep.encoder.taps.names == ("encoder.0.1", "encoder.1.1")
    assert deep.noisy_teacher.taps.names == ("encoder.0", "encoder.1")  # type: ignore[union-attr]
    config = {**STUDENT.config, "widths": [8] * 5, "encoder_blocks": [1] * 5, "decoder_blocks": [1] * 4}
    recipe = replace(STUDENT, config=config, crop_px=32)
    network = build_network(recipe.network, recipe.network_config(1))
    tall = build(network, (cards[1],), recipe=recipe)
    assert tall.encoder.taps.names == ("encoder.0.1", "encoder.1.1", "encoder.2.1")  # type: ignore[union-attr]
    assert tall.decoder.taps.names == ("decoder.0.1", "decoder.1.1")  # type: ignore[union-attr]
    assert tall.decoder.teacher.taps.names == ("decoder.0", "decoder.1")  # type: ignore[union-attr]


def test_a_student_with_its_teachers_features_has_no_distance(tmp_path: Path) -> None:
    config = STUDENT.network_config(1)
    anchor = {"gain": STUDENT.anchor(1).gain, "read_variance": STUDENT.anchor(1).read_variance}
    card = teacher_card(tmp_path / "same", STUDENT.network, config, anchor=anchor)
    same, batch = build_network(STUDENT.network, config), leaves_batch()
    clean = batch._replace(noisy=batch.clean)
    strategy = build(same, (card,))
    same.load_state_dict(strategy.noisy_teacher.network.state_dict())  # type: ignore[union-attr]
    with torch.no_grad():
        for conversion in [*strategy.adapters["encoder"], *strategy.adapters["decoder"]]:  # type: ignore[index]
            conversion.widen.weight.copy_(torch.eye(len(conversion.widen.weight))[:, :, None, None])
        terms = strategy.step(same, clean, 0.0)
        assert max(float(terms[name]) for name in ("nc", "et", "img", "kl")) < 1e-6
        assert float(strategy.step(same, batch, 0.0)["et"]) > 1e-4  # the decoder sees noise, its teacher none
        assert float(strategy.step(same, batch, 0.0)["nc"]) < 1e-6


@pytest.mark.parametrize("part", ["nc", "et", "drl", "irl", "img", "kl"])
def test_gradients_reach_the_student_and_never_the_teachers(cards: Any, part: str) -> None:
    network = student()
    without = {"drl": ("nc",), "irl": ("et",)}.get(part, ())
    strategy = build(network, cards, *without)
    strategy.step(network, leaves_batch(), 0.0)[part].backward()
    reached = {
        name.split(".")[0] for name, value in network.named_parameters() if value.grad is not None and value.grad.any()
    }
    assert {"stem", "encoder"} <= reached
    assert ("decoder" in reached) == (part not in ("nc", "drl"))
    adapters = dict(strategy.adapters.named_children())  # type: ignore[union-attr]
    for side, parts in (("encoder", ("nc", "drl")), ("decoder", ("et", "irl"))):
        for conversion in adapters[side].parameters():
            assert (conversion.grad is not None and bool(conversion.grad.any())) == (part in parts)
    for teacher in teachers_of(strategy):
        assert not teacher.network.training
        assert all(value.grad is None and not value.requires_grad for value in teacher.network.parameters())


@pytest.mark.parametrize("part", ["nc", "et", "drl", "irl", "img", "kl"])
def test_every_part_can_be_learnt(cards: Any, part: str) -> None:
    network, batch = student(), leaves_batch()
    strategy = build(network, cards, *{"drl": ("nc",), "irl": ("et",)}.get(part, ()))
    optimiser = torch.optim.Adam([*network.parameters(), *strategy.adapters.parameters()], 5e-3)  # type: ignore[union-attr]
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = strategy.step(network, batch, 0.0)[part]
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.85 * losses[0]


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_black_and_white_crops_have_finite_gradients(cards: Any, level: float) -> None:
    batch, network = leaves_batch(), student()
    flat = (level * batch.scale + batch.offset)[:, :, None, None].expand_as(batch.clean)
    strategy = build(network, cards)
    for noisy in (flat, flat + batch.noisy - batch.clean):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            terms = strategy.step(network, batch._replace(noisy=noisy.contiguous(), clean=flat.contiguous()), 0.0)
        torch.stack(list(terms.values())).sum().backward()
        assert all(torch.isfinite(term) for term in terms.values())
        assert all(torch.isfinite(value.grad).all() for value in network.parameters() if value.grad is not None)


@pytest.mark.parametrize(
    ("without", "count", "message"),
    [
        (("ssim",), 1, "the strategy slkd has no part 'ssim'. Its parts are drl, irl, nc, et, img, kl"),
        (("nc", "drl"), 1, "nc is a part of drl. Give only one of them"),
        (("irl",), 2, "more teachers were given than the parts need"),
        (("drl", "img", "kl"), 2, "more teachers were given than the parts need"),
        (("drl", "irl", "img", "kl"), 1, "more teachers were given than the parts need"),
        ((), 0, "the strategy slkd needs 1 to 2 teachers, not 0"),
        ((), 3, "the strategy slkd needs 1 to 2 teachers, not 3"),
    ],
)
def test_what_is_refused_before_a_teacher_is_loaded(
    cards: Any, monkeypatch: pytest.MonkeyPatch, without: tuple[str, ...], count: int, message: str
) -> None:
    monkeypatch.setattr(Setting, "teacher", lambda *_, **__: pytest.fail("a teacher was loaded"))
    with pytest.raises(UsageError, match=message):
        build(student(), (*cards, *cards)[:count], *without)


def test_a_teacher_without_levels_is_refused_by_name(tmp_path: Path) -> None:
    card = teacher_card(tmp_path / "single", "mdrn", {"blocks": 1, "width": 16, "branch_width": 4, "groups": 1})
    with pytest.raises(ModelError, match="the teacher single and the student have no levels in common for nc"):
        build(student(), (card,))
    assert build(student(), (card,), "drl").encoder is None


@pytest.mark.parametrize(("who", "layer"), [(0, "head"), (0, "stem"), (1, "stem")])
def test_answers_that_are_not_finite_name_the_teacher(cards: Any, who: int, layer: str) -> None:
    network = student()
    strategy = build(network, cards)
    teacher = teachers_of(strategy)[who]
    with torch.no_grad():
        teacher.network.get_submodule(layer).bias.fill_(float("nan"))  # type: ignore[operator, union-attr]
    with pytest.raises(ModelError, match=f"the teacher {teacher.card.name} returns values that are not finite"):
        strategy.step(network, leaves_batch(), 0.0)


def test_nobody_is_asked_for_an_answer_that_no_part_compares(cards: Any) -> None:
    network = student()
    strategy, whole = build(network, cards, "img", "kl"), build(network, cards)
    for conversion, same in zip(strategy.adapters.parameters(), whole.adapters.parameters(), strict=True):  # type: ignore[union-attr]
        conversion.data.copy_(same.data)
    expected = whole.step(network, leaves_batch(), 0.0)
    for teacher in teachers_of(strategy):
        teacher.network.head.register_forward_pre_hook(lambda *_: pytest.fail("the head ran"))  # type: ignore[union-attr]
    terms = strategy.step(network, leaves_batch(), 0.0)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {name: expected[name].item() for name in ("charbonnier", "nc", "et")}, rel=1e-5
    )


def trained(cards: Any, folder: Path, steps: int, **changes: Any) -> Any:
    recipe = replace(STUDENT, steps=steps, **changes)
    distillation = Distillation.of("slkd", cards, {})
    run = Run(folder, validate_every=2)
    made = lambda device, network: distillation.build(recipe, 1, network, None, device)  # noqa: E731
    return train(recipe, 1, (None, None), made, run, distillation=distillation.identity())


def test_the_loss_falls_and_conversions_stay_behind(cards: Any, tmp_path: Path) -> None:
    state = trained(cards, tmp_path / "run", 40)
    torch.manual_seed(STUDENT.seed)
    network = build_network(STUDENT.network, STUDENT.network_config(1))
    assert state.student.keys() == state.average.keys() == network.state_dict().keys()
    assert set(state.adapters) == {
        f"{side}.{i}.widen.weight" for side, i in (("encoder", 0), ("encoder", 1), ("decoder", 0))
    }
    strategy, batch = build(network, cards), leaves_batch(seed=9)
    losses = []
    for weights in (None, state):
        if weights is not None:
            network.load_state_dict(weights.student)
            strategy.adapters.load_state_dict(weights.adapters)  # type: ignore[union-attr]
        with torch.no_grad():
            losses.append({name: float(term) for name, term in strategy.step(network, batch, 0.0).items()})
    assert sum(losses[1].values()) < 0.97 * sum(losses[0].values())
    still = trained(cards, tmp_path / "still", 2, learning_rate=0.0)  # the twin
    torch.manual_seed(STUDENT.seed)
    fresh = build_network(STUDENT.network, STUDENT.network_config(1))
    assert all(torch.equal(value, still.student[name]) for name, value in fresh.state_dict().items())


def test_the_command_distils_and_resumes_to_the_bit(
    cards: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(recipes.RECIPES, "tiny", STUDENT)
    common = ["--student", "tiny", "--subrange", "1", "--strategy", "slkd", "--validate-every", "2", "--steps", "4"]
    for card in cards:
        common += ["--teacher", str(card.directory)]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(["distill", *common, "--out", str(whole)]) == 0
    assert main(["distill", *common, "--out", str(parts), "--minutes", "1e-9"]) == 0
    assert load_checkpoint(parts).step == 1  # type: ignore[union-attr]
    assert main(["distill", *common, "--out", str(parts)]) == 0
    one, other = load_checkpoint(whole), load_checkpoint(parts)
    assert one is not None
    assert other is not None
    for kept, again in ((one.student, other.student), (one.adapters, other.adapters)):
        assert kept is not None
        assert again is not None
        assert all(torch.equal(value, again[name]) for name, value in kept.items())
    stated = one.recipe["distillation"]
    assert (stated["strategy"], stated["teacher"], stated["slkd_weights"]) == ("slkd", "small + deep", list(WEIGHTS))
    assert stated["without"] == []
    capsys.readouterr()
    assert main(["distill", *common, "--out", str(whole), "--without", "nc"]) == 5
    assert "distillation.without [] -> ['nc']" in capsys.readouterr().err
    assert main(["distill", *common, "--out", str(whole), "--slkd-weights", "0.5", "0.1", "0.1", "0.05"]) == 5
    assert "distillation.slkd_weights" in capsys.readouterr().err
    assert main(["distill", *common, "--out", str(tmp_path / "x"), "--without", "ssim,nc"]) == 2
    assert "has no part 'ssim'" in capsys.readouterr().err
