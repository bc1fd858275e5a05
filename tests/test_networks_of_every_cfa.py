"""Networks, training data, training and use of models for X-Trans and monochrome sensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")
pytest.importorskip("onnx", reason="needs the extra: rawkd[torch]")

from torch.utils.data import DataLoader  # noqa: E402

from rawkd.errors import ModelError  # noqa: E402
from rawkd.inference.card import channels_of  # noqa: E402
from rawkd.inference.card_file import card_json, read_card  # noqa: E402
from rawkd.inference.students import load_cards, load_families, one_family  # noqa: E402
from rawkd.networks import build_network  # noqa: E402
from rawkd.networks.blocks import FeatureAlign, half_cells  # noqa: E402
from rawkd.networks.count import macs_per_mp  # noqa: E402
from rawkd.networks.fanet import FANet, FANetConfig  # noqa: E402
from rawkd.photo import Capture, CFAPattern, ColorCalibration, Levels, RawPhoto, Rect  # noqa: E402
from rawkd.photo.region import sensor_rect  # noqa: E402
from rawkd.restore.context import Context  # noqa: E402
from rawkd.restore.options import DenoiseOptions  # noqa: E402
from rawkd.restore.pipeline import denoise, prepare, restore  # noqa: E402
from rawkd.sensor.cfa import pack, unpack  # noqa: E402
from rawkd.training.config import Recipe, recipe_from_json, recipe_json  # noqa: E402
from rawkd.training.data import night_sky  # noqa: E402
from rawkd.training.data.clean import find_pictures  # noqa: E402
from rawkd.training.data.clean_crops import exposed  # noqa: E402
from rawkd.training.data.dataset import Batch, NoisyBatches  # noqa: E402
from rawkd.training.data.leaves import leaves_scene  # noqa: E402
from rawkd.training.data.night_sky import sky_crop, with_lamps, with_stars  # noqa: E402
from rawkd.training.data.synthesize import NoiseShare, add_noise, camera_at  # noqa: E402
from rawkd.training.export.export import export  # noqa: E402
from rawkd.training.losses.terms import build_losses, developed  # noqa: E402
from rawkd.training.recipes import RECIPES  # noqa: E402
from rawkd.training.run.grow import grow  # noqa: E402
from rawkd.training.run.loop import Run, train  # noqa: E402
from rawkd.training.run.speed import Speed  # noqa: E402
from rawkd.training.saved.provenance import Provenance  # noqa: E402
from rawkd.training.strategies.supervised import Supervised  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

ANCHOR = (1e-3, 1e-6)
BAYER = FANetConfig(
    (8, 12, 16),
    (1, 1, 2),
    (1, 1),
    shrink=2,
    align_hidden=4,
    patch=True,
    block="dense-gated",
    anchor=ANCHOR,
    guide_limit=12.0,
)
XTRANS = replace(BAYER, planes=36, patch=False)
WIDER = replace(XTRANS, widths=(12, 16, 24))
OTHER_RECIPES = ("xtrans-balanced", "xtrans-balanced-cells", "xtrans-fast", "mono-balanced", "mono-fast")


def changed(network: FANet, seed: int = 0) -> FANet:
    """With no parameter as it was drawn: nothing hides behind a zero."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return network


@pytest.mark.parametrize("name", OTHER_RECIPES)
def test_cost_of_the_tiers(name: str) -> None:
    """Within 10 % of the multiply-accumulates of the Bayer network of the tier."""
    costs = []
    for one in (name, "balanced-dense" if "balanced" in name else "fanet-fast"):
        recipe = RECIPES[one]
        network: Any = build_network(recipe.network, recipe.network_config(0))
        assert network.in_channels == recipe.channels == channels_of("planes", recipe.cfa)
        assert recipe.crop_px % network.stride == 0
        costs.append(macs_per_mp(network, network.stride, recipe.channels, cell_px=recipe.cell.side**2)["1e6"])
    assert abs(costs[0] / costs[1] - 1) < 0.1


@pytest.mark.parametrize("name", OTHER_RECIPES)
def test_recipes_survive_json(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.num_subranges == 1
    assert recipe_from_json(recipe_json(recipe)) == recipe
    with pytest.raises(ValueError, match="cfa is not one of bayer, xtrans, mono"):
        recipe_from_json({**recipe_json(recipe), "cfa": "quad"})


def test_recipes_of_bayer_are_those_of_old_runs() -> None:
    """A run that was begun before there were other sensors is resumed: its recipe has no new field."""
    assert not {"planes", "halves"} & RECIPES["balanced-dense"].config.keys()
    old = recipe_json(RECIPES["balanced-dense"])
    del old["cfa"]
    assert recipe_from_json(old) == RECIPES["balanced-dense"]


@pytest.mark.parametrize("config", [XTRANS, replace(XTRANS, halves=True)], ids=["cells", "halves"])
def test_network_of_xtrans(config: FANetConfig) -> None:
    """It starts as the identity, every weight gets a gradient, and it works on stride-sized planes."""
    network = FANet(config)
    assert network.stride == (2 if config.halves else 4)
    planes = 0.05 * torch.rand(2, 36, 4 * network.stride, 2 * network.stride)
    torch.testing.assert_close(network(planes), planes, atol=1e-6, rtol=1e-5)
    network = changed(network)
    network(planes).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_configurations_that_do_not_fit_are_refused() -> None:
    for config in (replace(XTRANS, patch=True), replace(BAYER, halves=True), replace(BAYER, planes=9)):
        with pytest.raises(ModelError, match="FA-Net takes 4 planes"):
            FANet(config)


@pytest.mark.parametrize("groups", [(0, 2, 2, 2), (1, 1, 1, 1), (-1, 0, 0, 1), (0, 1, 1), (0,) * 36])
def test_groups_that_do_not_fit_are_refused(groups: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="a group of local means for each of its 4 planes, numbered from 0"):
        FANet(replace(BAYER, mean_groups=groups))


def test_half_cells_have_one_colour_and_lie_beside_each_other() -> None:
    cell = np.array(["RGB".index(letter) for letter in CFAPattern.XTRANS.colours]).reshape(6, 6)
    mosaic = np.tile(cell, (3, 4)).astype(np.float32)
    planes = torch.from_numpy(pack(mosaic, 6))[None]
    found = half_cells(torch.cat((planes, planes + 10), 1))
    assert found.shape == (1, 18, 6, 8)
    colours = [found[0, channel].unique().tolist() for channel in range(18)]
    assert colours == [[1.0]] * 5 + [[0.0]] * 2 + [[2.0]] * 2 + [[11.0]] * 5 + [[10.0]] * 2 + [[12.0]] * 2
    y, x = np.mgrid[:18, :24]
    for place, pitch in ((y, 3 * np.arange(6)[:, None]), (x, 3 * np.arange(8))):
        lattice = half_cells(torch.from_numpy(pack(place.astype(np.float32), 6))[None])[0].numpy()
        assert (np.abs(lattice - pitch - 1) <= 1).all()  # each sample lies in its own half cell


def test_a_dense_network_grows() -> None:
    small = changed(FANet(BAYER))
    large = FANet(replace(BAYER, widths=(12, 16, 24), encoder_blocks=(1, 2, 3)))
    grow(small, large)
    planes = 0.05 * torch.rand(1, 4, 32, 32)
    with torch.no_grad():
        removed = planes - small(planes)
        assert removed.std() > 1e-4
        torch.testing.assert_close(planes - large(planes), removed, atol=2e-6, rtol=1e-3)


@pytest.mark.parametrize("config", [WIDER, replace(WIDER, halves=True), XTRANS], ids=["wider", "halves", "equal"])
def test_xtrans_starts_from_the_body_of_bayer(config: FANetConfig) -> None:
    """With the same features after the stem and a grey guide, both bodies compute the same."""
    bayer, xtrans = changed(FANet(BAYER)), FANet(config)
    grow(bayer, xtrans)
    planes = 0.05 * torch.rand(1, 36, 8, 8)
    torch.testing.assert_close(xtrans(planes), planes, atol=1e-6, rtol=1e-5)  # the head is zero
    few, many = bayer.config.widths[0], config.widths[0]
    half = torch.arange(few // 2)
    places = torch.cat((half, half + many // 2))
    features = torch.zeros(1, many, 16, 16)
    features[:, places] = torch.rand(1, few, 16, 16)
    guide = torch.rand(1, 2, 16, 16)
    seen: list[Any] = []
    for network, begun in ((bayer, features[:, places]), (xtrans, features)):
        own = begun
        channels = network.encoder[0][-1].embed.in_channels // 2  # type: ignore[union-attr, index]
        grey = guide.repeat_interleave(channels, 1)
        for block in network.encoder[0]:
            own = block(own, grey) if isinstance(block, FeatureAlign) else block(own)
        seen.append(own)
    torch.testing.assert_close(seen[1][:, places], seen[0], atol=1e-4, rtol=1e-4)


def test_the_balanced_network_of_xtrans_starts_from_that_of_bayer() -> None:
    bayer, xtrans = (RECIPES[name] for name in ("balanced-dense", "xtrans-balanced"))
    small: Any = build_network(bayer.network, bayer.network_config(0))
    large: Any = build_network(xtrans.network, xtrans.network_config(0))
    grow(changed(small), large)
    torch.testing.assert_close(large.encoder[2][1].mix.weight, small.encoder[2][1].mix.weight)
    torch.testing.assert_close(large.decoder[0][0].leave.weight, small.decoder[0][0].leave.weight)


@pytest.mark.parametrize("halves", [False, True], ids=["cells", "halves"])
def test_networks_grow_on_the_device_of_their_weights(halves: bool) -> None:
    """The meta device, like a GPU, does not compute with tensors of the CPU."""
    with torch.device("meta"):
        small, large = FANet(BAYER), FANet(replace(XTRANS, halves=halves))
    grow(small, large)
    assert all(parameter.is_meta for parameter in large.parameters())


def test_a_monochrome_network_starts_from_all_weights_of_bayer() -> None:
    for bayer, mono in (("balanced-dense", "mono-balanced"), ("fanet-fast", "mono-fast")):
        shapes = [
            {
                name: weights.shape
                for name, weights in FANet(FANetConfig(**recipe.network_config(0))).state_dict().items()
            }
            for recipe in (RECIPES[bayer], RECIPES[mono])
        ]
        assert shapes[0] == shapes[1]


@pytest.mark.parametrize("cfa", ["xtrans", "mono"])
def test_training_crops_are_mosaics_of_the_cell(cfa: Any) -> None:
    """A picture of three flat colours: all planes of a colour are alike; half of X-Trans has R and B exchanged."""
    cell = CFAPattern.of_kind(cfa)
    picture = np.full((24, 24, 3), (0.6, 0.3, 0.1), np.float32)
    orders = set()
    for seed in range(12):
        planes = exposed(picture, np.random.default_rng(seed), cell).planes
        assert planes.shape == (cell.side**2, 24 // cell.side, 24 // cell.side)
        classes = cell.class_of_site.ravel()
        levels = [planes[classes == each] for each in range(len(cell.classes))]
        assert all(np.ptp(level) < 1e-6 for level in levels)
        orders.add(bool(levels[0].mean() > levels[-1].mean()))
    assert len(orders) == (2 if cfa == "xtrans" else 1)


@pytest.mark.parametrize("cfa", ["xtrans", "mono"])
def test_crops_are_developed_to_the_colours_of_their_picture(cfa: Any) -> None:
    """In linear light, up to the exposure; crops with R and B exchanged too. A monochrome crop becomes grey."""
    cell = CFAPattern.of_kind(cfa)
    colour = np.array((0.3, 0.2, 0.1), np.float32)
    for seed in range(8):
        crop = exposed(np.broadcast_to(colour, (24, 24, 3)).copy(), np.random.default_rng(seed), cell)
        planes = torch.from_numpy(crop.planes[None]) * 0.1  # below clipping at every exposure
        ones = torch.ones(1, len(crop.planes))
        metadata = [
            torch.from_numpy(np.ascontiguousarray(part[None], np.float32))
            for part in (crop.metadata.gains, crop.metadata.rgb_from_camera)
        ]
        batch = Batch(planes, planes, ones[:, 0], ones[:, 0], ones, 0 * ones, *metadata, cfa=cfa)
        shown = developed(planes, batch)[0].numpy() ** 2.2
        assert np.ptp(shown, axis=(1, 2)).max() < 1e-4
        pixel = shown[:, 0, 0] / shown[1, 0, 0]
        np.testing.assert_allclose(pixel, colour / colour[1] if cfa == "xtrans" else 1, rtol=0.02)


def test_stripes_on_a_monochrome_sensor_stay_grey() -> None:
    """Every pixel keeps its own value; demosaiced as Bayer, columns of two levels would become a colour."""
    stripes = np.tile(np.array([0.1, 0.4], np.float32), (6, 4))
    stripes[0, 0] = 1.5
    planes, ones = torch.from_numpy(pack(stripes))[None], torch.ones(1, 4)
    batch = Batch(planes, planes, ones[:, 0], ones[:, 0], ones, 0 * ones, ones[:, :3], torch.eye(3)[None], cfa="mono")
    shown = developed(planes, batch)
    assert shown.shape == (1, 3, 6, 8)
    expected = torch.from_numpy(np.minimum(stripes, 1) ** (1 / 2.2)).expand(1, 3, 6, 8)
    torch.testing.assert_close(shown, expected)
    colourful = developed(planes, batch._replace(cfa="bayer"))[0, :, 3, 3]
    assert float(colourful.max() - colourful.min()) > 0.1


@pytest.mark.parametrize("cfa", ["bayer", "xtrans", "mono"])
def test_stars_and_lamps_are_round_on_every_mosaic(cfa: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The light of a white lamp: its rings are round on the mosaic, whatever its cell."""
    monkeypatch.setattr(night_sky, "_colour", lambda *_, **__: np.ones(3))
    monkeypatch.setattr(night_sky, "BRIGHTEST", 1.1 * night_sky.FAINTEST)  # of small lights, which have sharp edges
    cell = CFAPattern.of_kind(cfa)
    size = 96 // cell.side
    rng = np.random.default_rng(5)
    sky = sky_crop(size, rng, cell)
    assert sky.planes.shape == (cell.side**2, size, size)
    starry = with_stars(sky, camera_at(1e-3), rng, cell).planes - sky.planes
    assert starry.max() > 0
    flat = replace(sky, planes=np.full_like(sky.planes, 0.2))
    mosaic = unpack(with_lamps(flat, camera_at(1e-3), np.random.default_rng(4), cell).planes)
    # neighbours of a disc with a soft edge differ little, also across planes: a shifted plane would break the disc
    assert np.abs(np.diff(mosaic, axis=0)).max() < 0.8
    assert mosaic.max() > 2 * mosaic.min()


@pytest.mark.parametrize("cfa", ["xtrans", "mono"])
def test_batches(cfa: Any) -> None:
    recipe = replace(RECIPES[f"{cfa}-fast"], batch=3, crop_px=8, leaves=1.0, skies=0.3, lamps=0.3)
    batch = NoisyBatches(None, recipe, 0, seed=1, length=2, weaker=NoiseShare(0.25, 0.25))[0]
    planes = recipe.channels
    for changed_batch in (batch, batch.to(torch.device("cpu")), batch.first(2)):
        assert changed_batch.cfa == changed_batch.weaker.cfa == cfa  # type: ignore[union-attr]
    (collected,) = DataLoader([batch], batch_size=None)  # type: ignore[arg-type]
    assert (type(collected), collected.cfa) == (Batch, cfa)
    assert batch.noisy.shape == batch.clean.shape == (3, planes, 8, 8)
    assert batch.scale.shape == batch.offset.shape == (3, planes)
    assert torch.isfinite(batch.noisy).all()
    eld = replace(recipe, noise=replace(recipe.noise, model="eld"))
    assert NoisyBatches(None, eld, 0, seed=1, length=2)[1].noisy.shape == (3, planes, 8, 8)


def test_row_noise_is_common_to_the_planes_of_a_row() -> None:
    camera = replace(camera_at(1e-6), read_variance=0.0, row_variance=1e-2, white_dn=None)
    noisy = unpack(add_noise(np.full((36, 4, 4), 0.3, np.float32), camera, np.random.default_rng(0)))
    rows = noisy.mean(axis=1)
    assert rows.std() > 0.05
    assert np.abs(noisy - rows[:, None]).max() < 0.01


def tiny(cfa: Any) -> Recipe:
    """Learns enough in 160 steps to be told from the identity."""
    config = {
        "widths": [16, 24],
        "encoder_blocks": [1, 1],
        "decoder_blocks": [1],
        "shrink": 2,
        "align_hidden": 4,
        "block": "dense-gated",
    }
    shape = {"planes": 36, "patch": False, "halves": True} if cfa == "xtrans" else {"patch": True}
    return replace(
        RECIPES[f"{cfa}-fast"],
        name=f"tiny-{cfa}",
        config=config | shape,
        low=1e-3,
        high=4e-3,
        steps=160,
        batch=4,
        crop_px=12 if cfa == "xtrans" else 24,
        kernel_rate=None,
        learning_rate=5e-3,
        warmup_steps=4,
        tries=1,
        ema=0.9,
        leaves=0.0,
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(4):
        scene = leaves_scene(300, np.random.default_rng(number))
        iio.imwrite(folder / f"{number}.png", (255 * np.clip(scene, 0, 1) ** (1 / 2.2)).astype(np.uint8))
    return folder


@pytest.fixture(scope="module", params=["xtrans", "mono"])
def model(request: pytest.FixtureRequest, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained, exported model of the sensor."""
    recipe, place = tiny(request.param), tmp_path_factory.mktemp(request.param)
    sets = find_pictures([pictures], recipe.crop_side_px, raw=False)
    run = Run(place / "run", threads=1, validate_every=80)
    run.folder.mkdir()
    state = train(recipe, 0, sets, lambda where, _: Supervised(build_losses(recipe.losses, None, where)), run)
    assert state.history[-1]["val_psnr_gain_db"] > 1
    provenance = Provenance(recipe.name, "Apache-2.0", "0" * 12, [{"file": "a.png"}], "2026-01-01", "a test")
    return export(run.folder, place / "models", sets[1], provenance)


def photo_of(clean: np.ndarray, pattern: CFAPattern, gain: float = 2e-3) -> RawPhoto:
    rng = np.random.default_rng(3)
    signal = rng.poisson(np.maximum(clean, 0) / gain) * gain + rng.normal(0, 2e-3, clean.shape)
    frame = np.clip(np.rint(signal * 15871 + 512), 0, 16383).astype(np.uint16)
    levels = Levels(np.full((1, 1), 512.0), 16383, 16383, 14, cell_side=pattern.side)
    area = Rect(0, 0, *frame.shape)
    return RawPhoto(
        frame,
        area,
        area,
        pattern,
        levels,
        ColorCalibration(np.eye(3), np.ones(3)),
        Capture(),
        noise_profile=(gain, 4e-6),
    )


def phase_of(card: Any) -> CFAPattern:
    return card.cell.shifted(1, 4) if card.cfa == "xtrans" else card.cell


def flat_of(pattern: CFAPattern, size: tuple[int, int]) -> np.ndarray:
    cell = np.array([0.1, 0.25, 0.06])[pattern.colour_of_class[pattern.class_of_site]]
    return np.tile(cell, (size[0] // pattern.side + 1, size[1] // pattern.side + 1))[: size[0], : size[1]]


def test_the_card_names_its_sensor(model: Path) -> None:
    card = read_card(model)
    assert card.cfa in card.family
    assert card.cell == CFAPattern.of_kind(card.cfa)
    assert f'"cfa": "{card.cfa}"' in card_json(card)
    assert card.channels == card.cell.side**2
    assert f"of {card.cell} mosaics" in (model / "README.md").read_text()
    assert all(row["psnr"] > row["psnr_noisy"] + 0.5 for row in card.metrics.values())


@pytest.mark.parametrize("members", [1, 2, 8])
def test_a_flat_field_of_any_colour_stays_flat_and_unbiased(model: Path, members: int) -> None:
    card = read_card(model)
    pattern = phase_of(card)
    clean = flat_of(pattern, (301, 398))
    photo = photo_of(clean, pattern)
    options = DenoiseOptions(model=model, device="cpu", ensemble=members, defects="map")
    restored = denoise(photo, options).mosaic.data
    before, after = photo.mosaic.data - clean, restored - clean
    assert after.std() < 0.9 * before.std()
    classes = np.tile(pattern.class_of_site, (60 if pattern.side == 6 else 200, 80 if pattern.side == 6 else 200))[
        :301, :398
    ]
    for each in range(len(pattern.classes)):
        here = classes == each
        # as far off as the noisy mosaic itself may be: four standard errors of its mean
        assert abs(float(after[here].mean())) < 4 * before[here].std() / np.sqrt(here.sum())


def test_strength_0_is_bit_equal(model: Path) -> None:
    card = read_card(model)
    photo = photo_of(flat_of(phase_of(card), (100, 122)), phase_of(card))
    restored = denoise(photo, DenoiseOptions(model=model, device="cpu", strength=0)).photo
    np.testing.assert_array_equal(restored.frame, photo.frame)


def test_a_region_is_restored_as_in_the_whole(model: Path) -> None:
    card = read_card(model)
    scene = leaves_scene(420, np.random.default_rng(8))
    pattern = phase_of(card)
    classes = pattern.colour_of_class[np.tile(pattern.class_of_site, (210, 210))[:420, :420]]
    clean = 0.3 * np.take_along_axis(scene, classes[..., None], 2)[..., 0]
    photo = photo_of(clean, pattern)
    options = DenoiseOptions(model=model, device="cpu", defects="map")
    prepared, rect = prepare(photo, options, Context()), Rect(310, 205, 60, 70)
    whole = restore(prepared, options).mosaic.data[sensor_rect(rect, photo).slices]
    part = restore(prepared.region(rect, options), options)
    inside = part.photo.default_crop
    hundredth = 1e-2 * np.sqrt(2e-3 * 0.05 + 4e-6)  # of the noise in the dark: the halo is exact to that
    np.testing.assert_allclose(part.mosaic.data[inside.slices], whole, atol=hundredth)


def test_photos_of_another_sensor_get_a_sentence(model: Path, tmp_path: Path) -> None:
    card = read_card(model)
    bayer = tuple(one for one in load_cards(None) if one.cfa == "bayer")
    other = CFAPattern.RGGB
    with pytest.raises(ModelError, match="there is no model for Bayer photos among"):
        denoise(photo_of(flat_of(other, (100, 122)), other), DenoiseOptions(model=model, device="cpu"))
    with pytest.raises(ModelError, match=f"there is no model for {card.cell} photos among"):
        one_family(bayer, card.cfa)
    assert one_family((*bayer, card), card.cfa) == (card,)


def test_a_batch_takes_the_models_of_every_sensor(model: Path) -> None:
    card = read_card(model)
    assert load_families(model.parent) == (card,)
    assert {one.cfa for one in load_families(None)} == {"bayer", "xtrans", "mono"}
    with pytest.raises(ModelError, match="there is no tier, model or folder"):
        load_families("nothing of this name")


@pytest.mark.parametrize("cfa", ["bayer", "xtrans", "mono"])
def test_speed_counts_pixels_of_the_mosaic(cfa: str) -> None:
    recipe = RECIPES[{"bayer": "balanced-dense", "xtrans": "xtrans-balanced", "mono": "mono-balanced"}[cfa]]
    network = build_network(recipe.network, recipe.network_config(0))
    side = {"bayer": 2, "xtrans": 6, "mono": 2}[cfa] * recipe.crop_px
    assert Speed.of(network, recipe, 1).megapixels == pytest.approx(recipe.batch * side**2 / 1e6)
