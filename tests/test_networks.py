"""Networks: the published numbers of parameters and operations, wavelets, feature alignment, units of noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

import torch.nn.functional as F  # noqa: E402

from rawkd.errors import ModelError  # noqa: E402
from rawkd.networks import build_network  # noqa: E402
from rawkd.networks.blocks import (  # noqa: E402
    ARNetBlock,
    ChannelAttention,
    DenseGatedBlock,
    FeatureAlign,
    GatedBlock,
    gate,
    rms_norm,
)
from rawkd.networks.count import macs_per_mp, macs_per_packed_px, num_parameters  # noqa: E402
from rawkd.networks.fanet import FANET_90K, FANET_239K, FANet  # noqa: E402
from rawkd.networks.haar import ConvIWT, DWTConv, dwt, iwt  # noqa: E402
from rawkd.networks.noise_units import NoiseUnits  # noqa: E402
from rawkd.networks.unet import UPIUNet, UPIUNetConfig  # noqa: E402
from rawkd.networks.wavelet_unet import WaveletUNet, WaveletUNetConfig  # noqa: E402
from rawkd.photo import CFAPattern  # noqa: E402
from rawkd.sensor.cfa import pack, unpack  # noqa: E402
from rawkd.sensor.ksigma import Anchor, KSigma  # noqa: E402
from rawkd.sensor.noise import NoiseModel  # noqa: E402
from rawkd.training.recipe_file import recipe_named  # noqa: E402
from rawkd.training.recipes import FAST, RECIPES  # noqa: E402

PLAIN = replace(FANET_239K, align_hidden=0)
NO_SKIP = replace(FANET_239K, shrink=0)
ANCHORED_FAST = replace(FAST, anchor=(1e-3, 1e-6))
TINY = replace(FAST, widths=(8, 16), encoder_blocks=(1, 1), decoder_blocks=(1,), group_width=8)


def planes(seed: int = 0, size: int = 32, channels: int = 4) -> Any:
    return torch.rand((2, channels, size, size), generator=torch.Generator().manual_seed(seed))


def shaken(network: Any, seed: int = 0) -> Any:
    """The network with every weight moved, so that layers that start as the identity or as nothing take part."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    return network.eval()


@pytest.mark.parametrize(
    ("network", "params", "macs", "last_digit"),
    [
        (FANet(FANET_239K), 239_304, 10_106.375, 0),
        (FANet(FANET_90K), 89_696, 9_201.25, 0),
        (FANet(PLAIN), 224_096, 2.1108e9 / 250_000, 0.2),
        (FANet(NO_SKIP), 236_764, 2.4793e9 / 250_000, 0.2),
        (WaveletUNet(WaveletUNetConfig()), 235_330, 7_913.6, 0.05),
        (UPIUNet(UPIUNetConfig()), 11_776_708, 74.59e9 / 250_000, 20),
    ],
    ids=["fanet-239k", "fanet-90k", "plain-unet", "fanet-noskip", "wavelet-unet", "upi-unet"],
)
def test_published_parameters_and_operations(network: Any, params: int, macs: float, last_digit: float) -> None:
    channels = 8 if isinstance(network, UPIUNet) else 4
    assert num_parameters(network) == params
    counted = macs_per_packed_px(network, network.stride, channels)
    assert counted == pytest.approx(macs, abs=last_digit)
    both = macs_per_mp(network, network.stride, channels)
    assert both["1e6"] == pytest.approx(counted * 250_000 / 1e9)
    assert both["2^20"] == pytest.approx(counted * 2**18 / 1e9)


def test_the_count_sees_one_layer_more() -> None:
    deeper = FANet(replace(FANET_239K, encoder_blocks=(1, 2, 1, 2, 2)))
    assert num_parameters(deeper) != 239_304
    assert macs_per_packed_px(deeper, deeper.stride) > 10_106.375


def test_the_network_that_ships_keeps_both_budgets() -> None:
    network = FANet(ANCHORED_FAST)
    assert num_parameters(network) <= 239_304
    assert macs_per_packed_px(network, network.stride) <= 10_180.7
    assert macs_per_mp(network, network.stride)["2^20"] <= 2.6688


def test_the_count_is_that_of_any_device() -> None:
    """A network that is trained on a GPU is counted there; "meta" stands for it where there is none."""
    with torch.device("meta"):
        elsewhere = FANet(TINY)
    assert macs_per_packed_px(elsewhere, elsewhere.stride) == macs_per_packed_px(FANet(TINY), elsewhere.stride)


def test_counting_leaves_no_hook_behind() -> None:
    network = FANet(TINY)
    assert macs_per_packed_px(network, network.stride) == macs_per_packed_px(network, network.stride)
    assert not any(module._forward_hooks for module in network.modules())


def test_recipes_build_what_they_name() -> None:
    expected = {"fanet-239k": 239_304, "fanet-90k": 89_696, "plain-unet": 224_096, "fanet-noskip": 236_764}
    for name, params in (expected | {"wavelet-unet": 235_330}).items():
        recipe = RECIPES[name]
        assert num_parameters(build_network(recipe.network, recipe.network_config(0))) == params
    for name in ("fanet-fast", "fanet-fast-specialised", "fanet-fast-one"):
        recipe = RECIPES[name]
        network = build_network(recipe.network, recipe.network_config(0))
        assert num_parameters(network) == num_parameters(FANet(ANCHORED_FAST))


@pytest.mark.parametrize("kind", [GatedBlock, DenseGatedBlock])
def test_a_gated_block_starts_as_the_identity_and_sees_one_pixel_far(kind: type[torch.nn.Module]) -> None:
    block, features = kind(6), planes(channels=6)
    assert torch.equal(block(features), features)
    shaken(block)
    moved = features.clone()
    moved[0, :, 16, 16] += 1
    changed = (block(moved) != block(features)).any(1)[0].nonzero()
    assert changed.min(0).values.tolist() == [15, 15]
    assert changed.max(0).values.tolist() == [17, 17]


def test_the_norm_is_of_channels_and_a_gate_multiplies_halves() -> None:
    features = torch.tensor([3.0, 4.0, 0.0, 0.0])[None, :, None, None]  # mean square 25 / 4
    torch.testing.assert_close(rms_norm(features).flatten(), torch.tensor([1.2, 1.6, 0.0, 0.0]), atol=1e-6, rtol=0)
    assert torch.equal(rms_norm(torch.zeros(1, 4, 1, 1)), torch.zeros(1, 4, 1, 1))
    assert gate(torch.tensor([2.0, 3.0, 5.0, 7.0])[None, :, None, None]).flatten().tolist() == [10.0, 21.0]


def test_a_gated_fanet_has_gates_for_every_block_and_new_widths_behind_a_convolution() -> None:
    counts = [
        sum(isinstance(module, kind) for module in FANet(ANCHORED_FAST).modules()) for kind in (GatedBlock, ARNetBlock)
    ]
    assert counts == [7, 0]
    assert sum(isinstance(module, ARNetBlock) for module in FANet(replace(ANCHORED_FAST, block="arnet")).modules()) == 7


def test_a_dense_gated_fanet_is_what_its_recipes_say() -> None:
    for name, params, gmac in (("balanced-dense", 2.21e6, 12.9), ("best-dense", 7.30e6, 40.3)):
        recipe = RECIPES[name]
        network = build_network(recipe.network, recipe.network_config(0))
        assert num_parameters(network) == pytest.approx(params, rel=5e-3)
        assert macs_per_mp(network, network.stride)["1e6"] == pytest.approx(gmac, rel=5e-3)


def test_a_block_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no block 'dense'\. Choose arnet, gated, dense-gated"):
        FANet(replace(ANCHORED_FAST, block="dense"))


@pytest.mark.parametrize("cell_px", [2, 8])
def test_attention_sees_its_windows_and_nothing_beyond(cell_px: int) -> None:
    torch.manual_seed(0)
    attention = ChannelAttention(6, 3, cell_px).requires_grad_(requires_grad=False)
    attention.weigh[0].bias.fill_(1.0)  # rectified, and awake
    features = torch.rand(1, 6, 16 * cell_px, 16 * cell_px)
    reach = 4 * cell_px  # two cells of the window, one of interpolation, and the cell itself
    elsewhere = features.clone()
    elsewhere[..., 8 * cell_px :] += 1.0
    same = attention(features)[..., : 8 * cell_px - reach]
    torch.testing.assert_close(attention(elsewhere)[..., : 8 * cell_px - reach], same, atol=0, rtol=0)
    nearer = slice(8 * cell_px - reach, 6 * cell_px)
    assert not torch.allclose(attention(elsewhere)[..., nearer], attention(features)[..., nearer])
    flat = torch.rand(1, 6, 1, 1).expand(1, 6, 4 * cell_px, 4 * cell_px)  # where windows see alike it is RCAN's
    torch.testing.assert_close(attention(flat), flat * attention.weigh(flat[..., :1, :1]))


def test_wavelets_come_back() -> None:
    features = planes(channels=6)
    bands = dwt(features)
    assert bands.shape == (2, 24, 16, 16)
    torch.testing.assert_close(iwt(bands), features, atol=1e-6, rtol=0)
    torch.testing.assert_close(dwt(iwt(bands)), bands, atol=1e-6, rtol=0)


def test_wavelets_are_orthonormal() -> None:
    impulses = torch.eye(4).reshape(4, 1, 2, 2)
    matrix = dwt(impulses).reshape(4, 4)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(4), atol=1e-7, rtol=0)


def test_bands_of_a_channel_are_ll_lh_hl_hh() -> None:
    ramp = torch.arange(4.0)
    rows, columns = ramp[:, None].expand(4, 4), ramp[None, :].expand(4, 4)
    flat = torch.full((4, 4), 3.0)
    bands = dwt(torch.stack((flat, rows, columns, rows * columns))[None])
    low, vertical, horizontal, diagonal = bands.reshape(4, 4, 2, 2).unbind(1)
    torch.testing.assert_close(low[0], torch.full((2, 2), 6.0))
    assert vertical[1].abs().min() > 0
    assert horizontal[2].abs().min() > 0
    assert diagonal[3].abs().min() > 0
    for band, silent in ((vertical, (0, 2)), (horizontal, (0, 1)), (diagonal, (0, 1, 2))):
        assert all(band[channel].abs().max() == 0 for channel in silent)


def test_wavelets_and_a_convolution_in_one_pass_are_both_in_turn() -> None:
    torch.manual_seed(0)
    features = planes(channels=6)
    down, up = DWTConv(6, 5), ConvIWT(6, 5)
    torch.testing.assert_close(down(features), F.conv2d(dwt(features), down.weight, down.bias), atol=1e-6, rtol=0)
    torch.testing.assert_close(up(features), iwt(F.conv2d(features, up.weight, up.bias)), atol=1e-6, rtol=0)
    assert not torch.allclose(
        down(features), F.conv2d(features.repeat(1, 4, 1, 1), down.weight, down.bias)[..., ::2, ::2]
    )
    for layer, inputs in ((down, 24), (up, 6)):
        counted = macs_per_packed_px(layer, 2, 6)
        assert counted == layer.out_channels * inputs / (4 if layer is down else 1)


def test_feature_align_starts_as_the_identity() -> None:
    layer, features = FeatureAlign(4, 16, 8), planes(channels=16)
    torch.testing.assert_close(layer(features, planes(1)), features, atol=0, rtol=0)
    assert not torch.allclose(shaken(layer)(features, planes(1)), features)


def test_feature_align_is_gamma_times_features_plus_beta() -> None:
    layer, features, image = shaken(FeatureAlign(4, 16, 8)), planes(channels=16), planes(1)
    embedded = torch.relu(layer.embed(image))
    torch.testing.assert_close(layer(features, image), layer.gamma(embedded) * features + layer.beta(embedded))


def test_without_feature_align_it_is_the_plain_unet() -> None:
    torch.manual_seed(1)
    aligned = FANet(FANET_239K).eval()
    torch.manual_seed(2)
    recipe = RECIPES["plain-unet"]
    plain = build_network(recipe.network, recipe.network_config(0)).eval()
    assert not torch.allclose(aligned(planes()), plain(planes()))
    sources = [module for module in aligned.modules() if isinstance(module, ARNetBlock)]
    targets = [module for module in plain.modules() if isinstance(module, ARNetBlock)]
    for source, target in zip(sources, targets, strict=True):
        target.load_state_dict(source.state_dict())
    for part in ("stem", "head", "skips", "up"):
        getattr(plain, part).load_state_dict(getattr(aligned, part).state_dict())
    torch.testing.assert_close(aligned(planes()), plain(planes()), atol=1e-6, rtol=0)
    assert not torch.allclose(shaken(aligned)(planes()), plain(planes()), atol=1e-3)


def test_equal_seeds_are_equal_networks() -> None:
    networks = []
    for _ in range(2):
        torch.manual_seed(5)
        networks.append(FANet(PLAIN).eval())
    torch.testing.assert_close(networks[0](planes()), networks[1](planes()), atol=0, rtol=0)


def test_upi_unet_takes_the_variance_beside_the_planes() -> None:
    network = UPIUNet(UPIUNetConfig(widths=(4, 8)))
    assert network(torch.rand(1, 8, 8, 8)).shape == (1, 4, 8, 8)


def test_unknown_names_and_fields_are_refused() -> None:
    with pytest.raises(ModelError, match=r"the network fanet cannot be built from this configuration \(.*widths"):
        build_network("fanet", {})
    with pytest.raises(ModelError, match=r"there is no network 'fenet'\. Choose one of fanet"):
        build_network("fenet", {})
    with pytest.raises(ModelError, match="fanet has no configuration field colour, width"):
        build_network("fanet", {"width": [1], "colour": 2})


def test_a_network_in_units_of_noise_starts_as_the_identity() -> None:
    network = FANet(ANCHORED_FAST).eval()
    torch.testing.assert_close(network(planes()), planes(), atol=1e-6, rtol=1e-6)
    assert network.stride % NoiseUnits.local_px == 0


def in_signal_units(anchor: Anchor, signal: np.ndarray, noise: NoiseModel) -> np.ndarray:
    """A shaken network's answer to a mosaic, brought to `anchor` and back."""
    torch.manual_seed(3)
    network = shaken(FANet(replace(TINY, anchor=(anchor.gain, anchor.read_variance))))
    ksigma = KSigma.between(noise, anchor)
    with torch.no_grad():
        answer = network(torch.from_numpy(ksigma.apply(signal))[None])[0].numpy()
    return ksigma.invert(answer)


def test_the_answer_in_signal_units_depends_on_no_anchor() -> None:
    rng = np.random.default_rng(0)
    noise = NoiseModel(np.full(4, 2e-3), np.full(4, 4e-6), "given")
    clean = np.linspace(0.01, 0.8, 64 * 64).reshape(64, 64)
    mosaic = clean + np.sqrt(2e-3 * clean + 4e-6) * rng.standard_normal(clean.shape)
    signal = pack(mosaic.astype(np.float32))
    anchors = (Anchor(2e-3, 4e-6), Anchor(1e-5, 3e-10), Anchor(3e-2, 1e-3))
    answers = [in_signal_units(anchor, signal, noise) for anchor in anchors]
    sigma = np.sqrt(2e-3 * 0.4)
    moved = np.abs(answers[0] - signal).mean() / sigma
    assert moved > 0.02  # the network does something
    for answer in answers[1:]:
        # float32 carries the anchored values to about 1e-5 of the noise
        np.testing.assert_allclose(answer, answers[0], atol=1e-3 * sigma)
    assert unpack(answers[0]).shape == mosaic.shape


def test_other_noise_is_another_answer() -> None:
    signal = pack(np.random.default_rng(0).random((64, 64), np.float32))
    answers = [
        in_signal_units(Anchor(2e-3, 4e-6), signal, NoiseModel(np.full(4, gain), np.full(4, 4e-6), "given"))
        for gain in (2e-3, 4e-3)
    ]
    assert np.abs(answers[0] - answers[1]).max() > 1e-3


def test_units_of_noise_are_units_of_noise() -> None:
    gain, read = 1e-3, 2e-6
    rng = np.random.default_rng(1)
    levels = np.array([0.02, 0.1, 0.4, 0.9], np.float32)[:, None, None]
    noisy = rng.poisson(np.broadcast_to(levels / gain, (4, 256, 256))) * gain
    noisy += np.sqrt(read) * rng.standard_normal(noisy.shape)
    structure, _, stabilised = NoiseUnits(gain, read)(torch.from_numpy(noisy.astype(np.float32))[None])
    # 65536 samples a plane: the deviation of a sample deviation is 0.3 %; a cell's mean of 64 takes away 0.8 %
    for plane, level in enumerate(levels.ravel()):
        assert float(structure[0, plane].std()) == pytest.approx(1, abs=0.025)
        assert float(stabilised[0, plane].mean()) / 2 * gain == pytest.approx(np.sqrt(gain * level + read), rel=0.01)


def test_noise_is_one_beside_a_lamp_as_in_its_shadow() -> None:
    gain, read = 1e-3, 4e-6
    rng = np.random.default_rng(2)
    clean = np.where(np.arange(256) < 128, 1.0, 0.03) * np.ones((4, 256, 1))
    noisy = rng.poisson(clean / gain) * gain + np.sqrt(read) * rng.standard_normal(clean.shape)
    structure, _, _ = NoiseUnits(gain, read)(torch.from_numpy(noisy.astype(np.float32))[None])
    # columns of 256 samples in four planes: the deviation of a column's deviation is 2.2 %; five of them
    shadow = structure[0, :, :, 128:160].std(dim=1).mean(dim=0)
    assert float((shadow - 1).abs().max()) < 0.11


def test_subtracting_nothing_changes_nothing_and_the_noise_itself_leaves_the_level() -> None:
    gain, read = 1e-3, 2e-6
    units = NoiseUnits(gain, read)
    planes = torch.rand(1, 4, 16, 16) * 0.8 - 0.006  # some below 0 electrons
    _, _, stabilised = units(planes)
    nothing = units.subtract(stabilised, torch.zeros_like(planes))
    torch.testing.assert_close(nothing, planes, rtol=1e-5, atol=1e-6)
    level = torch.full((1, 4, 16, 16), 0.3)
    torch.testing.assert_close(units.subtract(stabilised, stabilised - units(level)[2]), level, rtol=1e-5, atol=1e-6)


def test_planes_of_a_group_share_their_local_mean() -> None:
    """What a plane's mean differs from that of its group stays visible to the network; alone, each plane loses it."""
    gain, read = 2e-3, 2e-6
    levels = torch.tensor([0.2, 0.21, 0.19, 0.3])[None, :, None, None].expand(1, 4, 48, 48)
    alone, _, stabilised = NoiseUnits(gain, read)(levels)
    shared, _, _ = NoiseUnits(gain, read, window_cells=9, groups=(0, 0, 0, 1))(levels)
    mean = stabilised[:, :3].mean(1, keepdim=True)
    assert alone.abs().max() < 1e-3
    torch.testing.assert_close(shared[:, :3], stabilised[:, :3] - mean, rtol=0, atol=1e-3)
    assert shared[:, 3].abs().max() < 1e-3


@pytest.mark.parametrize("name", ["xtrans-balanced", "best-dense", "mono-fast"])
def test_recipes_group_the_planes_of_a_colour(name: str) -> None:
    recipe = recipe_named(name)
    letters = CFAPattern.of_kind(recipe.cfa).colours
    groups = recipe.config["mean_groups"]
    assert len(groups) == len(letters)
    assert len(set(zip(groups, letters, strict=True))) == len(set(groups)) == len(set(letters))
