"""A smaller FA-Net begins with the parts of a larger one that matter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from tiny_teachers import shaken  # noqa: E402

from rawkd.errors import ModelError  # noqa: E402
from rawkd.networks.fanet import FANet, FANetConfig  # noqa: E402
from rawkd.training.data.dataset import Batch  # noqa: E402
from rawkd.training.run import prune as pruning  # noqa: E402
from rawkd.training.run.grow import grow  # noqa: E402
from rawkd.training.run.prune import can_prune, prune  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = FANetConfig(
    (8, 12, 16), (0, 1, 1), (1, 2), shrink=2, align_hidden=4, patch=True, block="dense-gated", anchor=(1e-3, 1e-6)
)
LARGE = replace(SMALL, widths=(12, 16, 24), encoder_blocks=(1, 2, 3), decoder_blocks=(2, 2))
PLANES_PX = 32


def trained(config: FANetConfig) -> FANet:
    """With no parameter as it was drawn: nothing hides behind a zero."""
    torch.manual_seed(0)
    return cast(FANet, shaken(FANet(config), size=0.1))


def crops(count: int = 8) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    clean = 0.05 * torch.rand(count, 1, 4, PLANES_PX, PLANES_PX, generator=generator)
    ones = torch.ones(1, 4)
    return [
        Batch(one + 0.005 * torch.randn(one.shape, generator=generator), one, *(ones[:, 0],) * 2, *(ones,) * 4)
        for one in clean
    ]


def distance_to(network: FANet) -> Any:
    """Return a loss: distance to the answers of a network, with a slope where it is zero."""
    with torch.no_grad():
        answers = [network(batch.noisy) for batch in CROPS]

    def loss(other: Any, batch: Batch) -> Any:
        answer = other(batch.noisy)
        asked = next(own for own, crop in zip(answers, CROPS, strict=True) if crop is batch)
        return 1e6 * (answer - asked).square().mean() + answer.mean()

    return loss


CROPS = crops()


def grown(changes: dict[str, Any] | None = None) -> tuple[FANet, FANet]:
    """Return a small network, and a large one that computes the same with parts that do not matter."""
    small, large = trained(SMALL), FANet(replace(LARGE, **(changes or {})))
    grow(small, large)
    return small, large


@pytest.mark.parametrize(
    "changes", [{}, {"widths": SMALL.widths}, {"encoder_blocks": (0, 1, 1), "decoder_blocks": (1, 2)}], ids=str
)
def test_parts_that_do_not_matter_are_dropped(changes: dict[str, Any]) -> None:
    small, large = grown(changes)
    found = FANet(SMALL)
    assert can_prune(large, found)
    prune(large, found, distance_to(large), CROPS)
    with torch.no_grad():
        for batch in CROPS[:2]:
            asked = small(batch.noisy)
            assert (asked - batch.noisy).std() > 1e-4
            torch.testing.assert_close(found(batch.noisy), asked, atol=1e-5, rtol=1e-4)


def test_without_the_norms_factor_the_function_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = grown()
    found = FANet(SMALL)
    monkeypatch.setattr(pruning, "_norm_factors", lambda _, parts, __: dict.fromkeys(parts.inner, 1.0))
    prune(large, found, distance_to(large), CROPS)
    with torch.no_grad():
        batch = CROPS[0]
        assert (found(batch.noisy) - small(batch.noisy)).abs().max() > 1e-4


def test_important_channels_are_better_than_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network in which every channel matters, those with the largest scores answer more like it."""
    large = trained(LARGE)
    loss = distance_to(large)

    def distance() -> float:
        found = FANet(replace(LARGE, widths=(8, 12, 20)))
        prune(large, found, loss, CROPS)
        with torch.no_grad():
            return float(sum((found(batch.noisy) - large(batch.noisy)).square().mean().sqrt() for batch in CROPS))

    best = distance()
    monkeypatch.setattr(
        pruning, "_largest", lambda score, count: score.topk(count, largest=False).indices.sort().values
    )
    assert best < 0.8 * distance()


def test_the_larger_network_is_unchanged() -> None:
    large, batch = trained(LARGE), CROPS[0]
    before = large(batch.noisy).detach()
    prune(large, FANet(SMALL), distance_to(large), CROPS[:2])
    with torch.no_grad():
        assert torch.equal(large(batch.noisy), before)


@pytest.mark.parametrize(
    "changes",
    [
        {"align_hidden": 8},
        {"widths": (8, 8, 16)},
        {"widths": (8, 11, 16)},
        {"encoder_blocks": (0, 0, 1)},
        {"anchor": None},
        {"shrink": 4},
    ],
    ids=str,
)
def test_other_networks_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="cannot start from the larger one"):
        prune(FANet(LARGE), FANet(replace(SMALL, **changes)), distance_to(FANet(LARGE)), CROPS)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"widths": (8, 12, 32)},
        {"widths": SMALL.widths, "block": "gated"},
        {"widths": SMALL.widths, "planes": 36, "patch": False},
    ],
    ids=str,
)
def test_a_network_that_is_not_smaller_or_of_another_kind_is_not_pruned(changes: dict[str, Any]) -> None:
    assert not can_prune(FANet(LARGE), FANet(replace(LARGE, **changes)))


def test_the_larger_network_is_measured_in_the_units_of_the_smaller_ones_noise() -> None:
    """The crops have the noise that the smaller network is trained for."""
    large, small = trained(LARGE), FANet(replace(SMALL, anchor=(4e-3, 8e-6)))
    seen = []

    def loss(network: Any, batch: Batch) -> Any:
        seen.append(network.noise_units)
        return network(batch.noisy).mean()

    prune(large, small, loss, CROPS[:2])
    assert {*seen} == {small.noise_units}
