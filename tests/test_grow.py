"""A larger FA-Net begins with a smaller one's function, and every part of it learns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from tiny_teachers import shaken  # noqa: E402

from rawkd.errors import ModelError  # noqa: E402
from rawkd.networks.fanet import FANet, FANetConfig  # noqa: E402
from rawkd.training.run import grow as growing  # noqa: E402
from rawkd.training.run.grow import grow  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = FANetConfig(
    (8, 12, 16), (0, 1, 1), (1, 2), shrink=2, groups=4, align_hidden=4, patch=True, block="gated", anchor=(1e-3, 1e-6)
)
LARGE = replace(SMALL, widths=(12, 16, 24), encoder_blocks=(1, 2, 3), decoder_blocks=(2, 2), anchor=(4e-3, 8e-6))
"""Wider, deeper, and of another anchor."""
PLANES_PX = 32


def trained(config: FANetConfig) -> FANet:
    """With no parameter as it was drawn: nothing hides behind a zero."""
    torch.manual_seed(0)
    return cast(FANet, shaken(FANet(config), size=0.1))


def corrections(network: FANet, electrons: Any) -> Any:
    """What it takes away, in electrons."""
    gain, read_variance = network.config.anchor  # type: ignore[misc]
    planes = gain * electrons - read_variance / gain
    with torch.no_grad():
        return (planes - network(planes)) / gain


@pytest.mark.parametrize("changes", [{}, {"widths": SMALL.widths}, {"encoder_blocks": (0, 1, 1)}], ids=str)
def test_the_large_one_computes_what_the_small_one_does(changes: dict[str, Any]) -> None:
    small, large = trained(SMALL), FANet(replace(LARGE, **changes))
    grow(small, large)
    electrons = 50 * torch.rand(1, 4, PLANES_PX, PLANES_PX)
    asked = corrections(small, electrons)
    assert asked.std() > 0.1
    torch.testing.assert_close(corrections(large, electrons), asked, atol=2e-3, rtol=1e-4)  # float32 of values of 50


def test_without_the_norms_factor_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = trained(SMALL), FANet(LARGE)
    monkeypatch.setattr(growing.math, "sqrt", lambda _: 1.0)
    grow(small, large)
    electrons = 50 * torch.rand(1, 4, PLANES_PX, PLANES_PX)
    assert (corrections(large, electrons) - corrections(small, electrons)).abs().max() > 0.02


def test_every_parameter_learns_within_six_steps() -> None:
    large = FANet(LARGE)
    grow(trained(SMALL), large)
    before = {name: parameter.detach().clone() for name, parameter in large.named_parameters()}
    optimiser = torch.optim.Adam(large.parameters(), 1e-2)
    for step in range(6):
        torch.manual_seed(step)
        optimiser.zero_grad()
        large(0.05 * torch.rand(1, 4, PLANES_PX, PLANES_PX)).square().sum().backward()
        optimiser.step()
    for name, parameter in large.named_parameters():
        moved = (parameter != before[name]).float().mean()
        rectified = any(part in name for part in ("embed", "gamma", "beta"))  # a unit may be silent
        assert moved > (0.0 if rectified else 0.9), name


@pytest.mark.parametrize(
    "changes",
    [
        {"widths": (12, 8, 24)},
        {"widths": (12, 16)},
        {"encoder_blocks": (0, 1, 0)},
        {"widths": (12, 17, 24)},
        {"widths": (12, 12, 24)},
        {"align_hidden": 8},
        {"block": "arnet"},
        {"patch": False},
        {"shrink": 4},
        {"anchor": None},
    ],
    ids=str,
)
def test_what_does_not_grow_is_refused(changes: dict[str, Any]) -> None:
    large = replace(LARGE, **changes)
    if len(large.widths) == 2:
        large = replace(large, encoder_blocks=(1, 2), decoder_blocks=(2,))
    with pytest.raises(ModelError, match="cannot start from the smaller one"):
        grow(FANet(SMALL), FANet(large))
