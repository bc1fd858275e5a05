"""Teacher networks: their published sizes, their shapes, and what their tiles may show."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from rawkd.errors import ModelError  # noqa: E402
from rawkd.networks import NETWORKS, build_network  # noqa: E402
from rawkd.networks.blocks import with_variance  # noqa: E402
from rawkd.networks.count import macs_per_packed_px, num_parameters  # noqa: E402
from rawkd.networks.nafnet import NAFNet, NAFNetConfig  # noqa: E402
from rawkd.training.recipes import RECIPES  # noqa: E402
from rawkd.training.run.grow import grow  # noqa: E402

TINY: dict[str, dict[str, Any]] = {
    "fanet": {"widths": [8, 16], "encoder_blocks": [0, 1], "decoder_blocks": [1], "groups": 2},
    "wavelet-unet": {"widths": [8, 16], "encoder_blocks": [1, 1], "decoder_blocks": [1]},
    "upi-unet": {"widths": [4, 8], "in_channels": 4},
    "cycleisp": {"width": 8},
    "mwresnet": {"widths": [8, 8, 8], "blocks": 1},
    "mwrcanet": {"widths": [8, 8, 8], "blocks": [1, 1, 1]},
    "mlefgn": {"width": 8, "dense_layers": 2, "group_blocks": 1},
    "mdrn": {"width": 8, "branch_width": 6, "blocks": 1, "groups": 2},
    "nafnet": {"widths": [8, 16], "encoder_blocks": [1, 1], "decoder_blocks": [1]},
}


def shaken(network: Any, seed: int = 0) -> Any:
    """The network with every weight moved, so that layers that start at nothing take part."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize(
    ("name", "config", "params"),
    [
        ("upi-unet", {}, 11_776_708),
        ("upi-unet", {"in_channels": 4}, 11_776_708 - 4 * 32 * 9),
        ("upi-unet", {"widths": [9, 19, 38, 76, 153], "convolutions": 1}, 347_733),
        ("cycleisp", {}, 11_063),
        ("cycleisp", {"width": 64, "groups": 4, "blocks": 8, "in_channels": 8}, 2_838_404),
        ("mwresnet", {}, 8_123_876),
        ("mwrcanet", {}, 27_215_965),
        ("mwrcanet", {"channels": 1}, 27_215_965),
        # 8 more bands in 3x3 convolutions to 96 channels and from them, with a bias each way out
        ("mwrcanet", {"channels": 3}, 27_215_965 + 2 * 8 * 96 * 9 + 8),
        ("mwresnet", {"channels": 3}, 8_123_876 + 2 * 8 * 96 * 9 + 8),
        ("mlefgn", {"channels": 1}, 6_854_146),
        ("mlefgn", {"channels": 3}, 6_859_910),
        ("mlefgn", {}, 6_862_792),
        ("mdrn", {"blocks": 2, "channels": 1}, 774_625),
        ("mdrn", {"blocks": 2, "channels": 3}, 776_931),
        ("mdrn", {"blocks": 2}, 778_084),
        ("mdrn", {"channels": 1}, 2_377_265),
        ("mdrn", {}, 2_380_724),
    ],
)
def test_published_parameters(name: str, config: dict[str, Any], params: int) -> None:
    with torch.device("meta"):
        assert num_parameters(build_network(name, config)) == params


@pytest.mark.parametrize(
    ("name", "config", "gmacs", "megapixel", "last_digit"),
    [
        ("upi-unet", {"in_channels": 4}, 74.304, 1e6, 5e-4),
        ("upi-unet", {"widths": [9, 19, 38, 76, 153], "convolutions": 1}, 3.1894, 2**20, 1e-4),
        ("cycleisp", {}, 2.8568, 2**20, 2e-4),
        ("mwresnet", {}, 592, 1e6, 0.5),
        ("mdrn", {"blocks": 2}, 49.0, 1e6, 0.05),
        ("mdrn", {}, 148, 1e6, 0.5),
    ],
)
def test_published_operations(
    name: str, config: dict[str, Any], gmacs: float, megapixel: float, last_digit: float
) -> None:
    network = build_network(name, config)
    counted = macs_per_packed_px(network, network.stride, network.in_channels)
    assert counted * megapixel / 4e9 == pytest.approx(gmacs, abs=last_digit)


def test_the_largest_network_counts_its_operations_layer_by_layer() -> None:
    # 2,626 GMAC are seconds of arithmetic: two blocks a group instead of twenty, and the difference times nine
    one, two = (
        macs_per_packed_px(network, network.stride)
        for network in (build_network("mwrcanet", {"blocks": [blocks] * 3}) for blocks in (1, 2))
    )
    # attention of every cell, not of the picture: 40 blocks of 2 * 96 * 6 MAC in 8x8 px, 40 and 20 of 2 * 128 * 8 MAC
    attention = (40 * 1152 / 8**2 + 40 * 2048 / 8**2 + 20 * 2048 / 8**2) * 250_000 / 1e9
    assert (one + 19 * (two - one)) * 250_000 / 1e9 - attention == pytest.approx(2626, abs=0.5)


def test_our_teacher_and_the_balanced_tier_keep_their_budgets() -> None:
    recipe = RECIPES["teacher-nafnet"]
    teacher = build_network(recipe.network, recipe.network_config(0))
    assert num_parameters(teacher) == 9_595_924
    assert num_parameters(teacher) <= 12_000_000
    balanced = build_network("fanet", RECIPES["fanet-balanced"].network_config(0))
    assert num_parameters(balanced) == 2_490_096
    assert macs_per_packed_px(balanced, balanced.stride) * 2**18 / 1e9 <= 16
    assert 4 * num_parameters(balanced) <= 10e6
    assert recipe.num_subranges == 1
    assert recipe.noise_units
    large = build_network("fanet", RECIPES["teacher-fanet"].network_config(0))
    assert num_parameters(large) == 9_584_176
    grow(balanced, large)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_keeps_the_shape_and_names_layers(name: str) -> None:
    torch.manual_seed(0)
    network = shaken(build_network(name, TINY[name]))
    planes = torch.rand(2, network.in_channels, 2 * network.stride, 3 * network.stride)
    seen = {}
    for tap in network.taps:
        network.get_submodule(tap).register_forward_hook(lambda _m, _i, out, tap=tap: seen.update({tap: out}))
    with torch.no_grad():
        answer = network(planes)
    assert answer.shape == planes.shape
    assert (answer - planes).abs().mean() > 1e-4
    assert network.in_channels == 4
    assert 1 <= len(network.taps) <= 4
    sizes = [seen[tap].shape[-1] for tap in network.taps]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("name", ["upi-unet", "cycleisp"])
def test_the_variance_map_is_handed_in_or_made_from_the_anchor(name: str) -> None:
    anchor = (1e-2, 1e-4)
    torch.manual_seed(0)
    handed = build_network(name, TINY[name] | {"in_channels": 8}).eval()
    made = build_network(name, TINY[name] | {"in_channels": 8, "anchor": anchor}).eval()
    assert (handed.in_channels, made.in_channels) == (8, 4)
    made.load_state_dict(handed.state_dict())
    planes = torch.rand(1, 4, 8, 8) - 0.1
    told = torch.cat((planes, 1e-2 * planes.clamp(min=0) + 1e-4), 1)
    torch.testing.assert_close(with_variance(planes, *anchor), told)
    with torch.no_grad():
        torch.testing.assert_close(made(planes), handed(told), atol=0, rtol=0)
        assert not torch.equal(made(planes), handed(with_variance(planes, 1.0, 1.0)))


@pytest.mark.parametrize("name", ["mwresnet", "mwrcanet"])
@pytest.mark.parametrize("changes", [{}, {"channels": 3}, {"channels": 1}, {"anchor": (1e-3, 1e-6)}], ids=str)
def test_wavelet_teachers_begin_with_the_picture(name: str, changes: dict[str, Any]) -> None:
    network: Any = build_network(name, TINY[name] | changes)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    planes = torch.rand(1, network.in_channels, 16, 32)
    assert 16 % network.stride == 0
    torch.testing.assert_close(network(planes), planes, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["mwresnet", "mwrcanet"])
def test_a_packed_mosaic_is_one_picture_to_the_wavelets(name: str) -> None:
    torch.manual_seed(0)
    packed, grey = (shaken(build_network(name, TINY[name] | {"channels": channels})) for channels in (4, 1))
    grey.load_state_dict(packed.state_dict())
    mosaic = torch.rand(1, 1, 16, 32)
    with torch.no_grad():
        answer = torch.nn.functional.pixel_shuffle(packed(torch.nn.functional.pixel_unshuffle(mosaic, 2)), 2)
        torch.testing.assert_close(answer, grey(mosaic))
        assert (answer - mosaic).abs().mean() > 1e-3


def test_a_siamese_of_dense_blocks() -> None:
    rcab, dense = (build_network("mwrcanet", TINY["mwrcanet"] | {"block": block}) for block in ("rcab", "dense"))
    # at width 8: two 3x3 convolutions, a slope, attention over 1; three 3x3 to 4 channels each, a 1x1 back from 20
    attention = 2 * (8 * 8 * 9 + 8) + 1 + (8 + 1) + (8 + 8)
    densely = (8 + 12 + 16) * 4 * 9 + 3 * 4 + 20 * 8 + 8
    assert num_parameters(dense) - num_parameters(rcab) == 5 * (densely - attention)
    planes = torch.rand(1, 4, 8, 8)
    assert shaken(dense)(planes).shape == planes.shape
    with pytest.raises(ModelError, match=r"the network mwrcanet has no block 'cubic'\. Choose one of rcab, dense"):
        build_network("mwrcanet", TINY["mwrcanet"] | {"block": "cubic"})


def test_blocks_are_counted_by_level() -> None:
    config = TINY["mwrcanet"]
    sizes = [num_parameters(build_network("mwrcanet", config | {"blocks": [1 + (level == own) for level in range(3)]}))
             for own in range(3)]  # fmt: skip
    one = num_parameters(build_network("mwrcanet", config))
    block = 2 * (8 * 8 * 9 + 8) + 1 + (8 + 1) + (8 + 8)
    assert [size - one for size in sizes] == [2 * block, 2 * block, block]  # on the way down and up; at the bottom once


@pytest.mark.parametrize("name", ["mwresnet", "mwrcanet"])
def test_wavelet_teachers_in_units_of_noise_know_every_exposure(name: str) -> None:
    torch.manual_seed(0)
    one, other = (build_network(name, TINY[name] | {"anchor": (gain, gain**2)}).eval() for gain in (1e-4, 1e-2))
    planes = torch.rand(1, 4, 8, 8)
    torch.testing.assert_close(one(planes), planes, atol=1e-6, rtol=1e-6)  # starts as the identity
    other.load_state_dict(shaken(one).state_dict())
    with torch.no_grad():
        answer = one(planes)
        torch.testing.assert_close(other(planes * 100) / 100, answer, atol=1e-4, rtol=1e-4)
        assert (answer - planes).abs().mean() > 1e-3


def reaches(network: Any, size: int) -> float:
    """How much a pixel's answer moves when the far half of the picture changes."""
    planes = torch.rand(1, 4, size, size, generator=torch.Generator().manual_seed(1))
    other = planes.clone()
    other[..., size // 2 :] = 3 * other[..., size // 2 :]
    with torch.no_grad():
        return float((network(planes) - network(other))[..., :8].abs().max())


def test_our_teacher_looks_only_so_far() -> None:
    config = NAFNetConfig(widths=(8, 8), encoder_blocks=(1, 1), decoder_blocks=(1,), anchor=(1e-3, 1e-6))
    torch.manual_seed(0)
    assert reaches(shaken(NAFNet(config)), 96) == 0
    pooled = shaken(build_network("mwrcanet", TINY["mwrcanet"]))
    assert reaches(pooled, 96) > 0


def test_our_teacher_starts_as_the_identity() -> None:
    network = build_network("nafnet", TINY["nafnet"] | {"anchor": [1e-3, 1e-6], "patch": True})
    planes = torch.rand(1, 4, 16, 16)
    torch.testing.assert_close(network(planes), planes, atol=1e-7, rtol=1e-6)
