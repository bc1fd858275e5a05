"""Taps: what named layers gave last, with their gradients, and nothing that is older."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from rawkd.errors import ModelError  # noqa: E402
from rawkd.networks import NETWORKS, build_network  # noqa: E402
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


@pytest.mark.parametrize("name", NETWORKS)
def test_features_without_the_rest_are_those_of_a_whole_forward_pass(name: str) -> None:
    from test_teachers import TINY, shaken

    torch.manual_seed(0)
    network = shaken(build_network(name, TINY[name]))
    planes = torch.rand(2, network.in_channels, 4 * network.stride, 4 * network.stride)
    layers = [*network.taps, *network.decoder_taps]
    for names in ((), tuple(layers[:1]), tuple(reversed(layers))):
        taps = FeatureTaps(network, names)
        found, given = [], []
        for whole in (True, False):
            given.append(planes.clone().requires_grad_())
            if whole:
                network(given[-1])
            found.append(taps.take() if whole else taps.run(given[-1]))
            sum(features.square().sum() for features in found[-1]).backward()
        for one, other in zip(*found, strict=True):
            assert torch.equal(one, other)
        assert torch.equal(given[0].grad, given[1].grad)
        assert given[0].grad.abs().sum() > 0
        taps.close()


def test_layers_after_the_last_one_do_not_run(network: Any) -> None:
    ran: list[str] = []
    for name in ("head", "groups.1", "groups.2", "tail"):
        network.get_submodule(name).register_forward_hook(lambda _module, _inputs, _output, name=name: ran.append(name))
    taps = FeatureTaps(network, ("groups.1", "head"))
    ran.clear()
    taps.run(torch.rand(1, 4, 8, 8))
    assert ran == ["head", "groups.1"]
    ran.clear()
    network(torch.rand(1, 4, 8, 8))  # the next one is whole
    assert ran == ["head", "groups.1", "groups.2", "tail"]


class Twice(torch.nn.Module):
    """A network that uses its first layer again after the second."""

    stride, in_channels, taps = 1, 4, ("first", "second")

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (torch.nn.Conv2d(4, 4, 1) for _ in range(3))

    def forward(self, planes: Any) -> Any:
        return self.third(self.first(self.second(self.first(planes))))


def test_a_layer_that_runs_twice_is_seen_as_in_a_whole_forward_pass() -> None:
    network = Twice()
    taps, planes = FeatureTaps(network, ()), torch.rand(1, 4, 8, 8)
    network(planes)
    whole = taps.take()
    for one, other in zip(whole, taps.run(planes), strict=True):
        assert torch.equal(one, other)


def test_a_fault_on_the_way_is_raised_and_later_passes_are_whole(network: Any) -> None:
    taps = FeatureTaps(network, ("head", "tail"))
    with pytest.raises(RuntimeError):
        taps.run(torch.rand(1, 4, 8, 7))  # no wavelet of an odd width; the head has seen it
    planes = torch.rand(1, 4, 8, 8)
    assert network(planes).shape == planes.shape
    whole = taps.take()
    assert all(map(torch.equal, whole, taps.run(planes)))


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
