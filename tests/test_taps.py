"""Taps: what named layers gave last, with their gradients, and nothing that is older."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from rawkd.errors import ModelError  # noqa: E402
from rawkd.networks import build_network  # noqa: E402
from rawkd.training.strategies.taps import FeatureTaps  # noqa: E402

MDRN = {"width": 8, "branch_width": 6, "blocks": 1, "groups": 4}


@pytest.fixture
def network() -> Any:
    torch.manual_seed(0)
    return build_network("mdrn", MDRN)


def test_features_come_in_the_order_of_names_and_once(network: Any) -> None:
    taps = FeatureTaps(network, ("tail", "groups.2", "head"))
    assert taps.names == ("tail", "groups.2", "head")
    assert taps.channels == (4, 8, 8)
    planes = torch.rand(2, 4, 16, 8)
    answer = network(planes)
    tail, group, head = taps.take()
    torch.testing.assert_close(planes - tail, answer, atol=0, rtol=0)
    torch.testing.assert_close(head, network.head(planes), atol=0, rtol=0)
    assert group.shape == (2, 8, 16, 8)
    with pytest.raises(KeyError):
        taps.take()


def test_without_names_it_is_the_networks_choice(network: Any) -> None:
    assert FeatureTaps(network, ()).names == network.taps == ("groups.0", "groups.1", "groups.2", "groups.3")


def test_gradients_pass(network: Any) -> None:
    taps = FeatureTaps(network, ("groups.1",))
    network(torch.rand(1, 4, 8, 8))
    taps.take()[0].sum().backward()
    assert network.head.weight.grad.abs().sum() > 0
    assert network.groups[1].blocks[0].mix.weight.grad is not None
    assert network.groups[2].blocks[0].mix.weight.grad is None


def test_a_broken_forward_pass_leaves_nothing_behind(network: Any) -> None:
    taps = FeatureTaps(network, ("head", "tail"))
    with pytest.raises(RuntimeError):
        network(torch.rand(1, 4, 8, 7))  # no wavelet of an odd width; the head has seen it
    network(torch.rand(1, 4, 8, 8))
    assert all(features.shape[2:] == (8, 8) for features in taps.take())


def test_a_closed_tap_hears_nothing(network: Any) -> None:
    taps, other = FeatureTaps(network, ("head",)), FeatureTaps(network, ("head",))
    taps.close()
    network(torch.rand(1, 4, 8, 8))
    other.take()
    with pytest.raises(KeyError):
        taps.take()


def test_the_network_keeps_its_weights_and_answer(network: Any) -> None:
    names, planes = set(network.state_dict()), torch.rand(1, 4, 8, 8)
    before = network(planes)
    FeatureTaps(network, ("head",))
    assert set(network.state_dict()) == names
    assert torch.equal(network(planes), before)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("head", "groups.7"), r"the student has no layer groups\.7\. Choose layers such as groups\.0, groups\.1"),
        (("groups",), "the layer groups of the student returns no feature map. Choose another"),
    ],
)
def test_wrong_layers_are_refused_by_name(network: Any, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        FeatureTaps(network, names, owner="the student")
    assert not network._forward_pre_hooks
    assert not network.head._forward_hooks


def test_a_layer_with_a_list_of_maps_is_refused() -> None:
    config = {"widths": [8, 16], "encoder_blocks": [1, 1], "decoder_blocks": [1], "groups": 2, "anchor": [1e-3, 1e-6]}
    network = build_network("fanet", config)
    with pytest.raises(ModelError, match="the layer noise_units of the network returns no feature map"):
        FeatureTaps(network, ("noise_units",))
