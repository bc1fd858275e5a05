"""Recipes: the subranges of the paper's noise subrange model array, anchors, overlaps."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from tiny_models import make_card

from rawkd.errors import UsageError
from rawkd.inference.students import choose_student
from rawkd.networks import NETWORKS, build_network
from rawkd.sensor.noise import NoiseModel, read_variance_prior
from rawkd.training.config import Recipe, recipe_json
from rawkd.training.losses.terms import LOSSES
from rawkd.training.noise_recipe import NoiseRecipe
from rawkd.training.recipe_file import SHARES, read_recipe, recipe_named
from rawkd.training.recipes import FANET_FAST, RECIPES

DEFAULT = Recipe("r", "fanet", {})
TABLES = Path(__file__).parents[1] / "benchmarks" / "recipes"


@pytest.mark.parametrize(
    ("low", "high", "edges"),
    [
        (1e-4, 4e-2, (1e-4, 4.472e-4, 2.000e-3, 8.944e-3, 4e-2)),
        (1e-4, 1.2e-2, (1e-4, 3.310e-4, 1.0954e-3, 3.6257e-3, 1.2e-2)),
    ],
)
def test_edges_of_the_subranges(low: float, high: float, edges: tuple[float, ...]) -> None:
    recipe = replace(DEFAULT, low=low, high=high, num_subranges=4)
    np.testing.assert_allclose(recipe.edges(), edges, rtol=2e-4)
    assert not np.allclose(recipe.edges(), np.linspace(low, high, 5), rtol=2e-4)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_subranges_tile_the_gains(recipe: Recipe) -> None:
    subranges = [recipe.subrange(index) for index in range(recipe.num_subranges)]
    assert subranges[0].low == recipe.low
    assert subranges[-1].high == pytest.approx(recipe.high, rel=1e-12)
    for lower, upper in pairwise(subranges):
        assert lower.high == upper.low
    widths = [math.log(subrange.high / subrange.low) for subrange in subranges]
    np.testing.assert_allclose(widths, widths[0], rtol=1e-9)


def test_a_shortened_recipe_warms_up_for_a_tenth() -> None:
    recipe = replace(DEFAULT, warmup_steps=300)
    asked = {200: 20, 2_999: 299, 3_000: 300, 30_000: 300, 5: 0}
    assert {steps: recipe.shortened(steps).warmup_steps for steps in asked} == asked
    assert recipe.shortened(200) == replace(recipe, steps=200, warmup_steps=20)
    assert recipe.with_steps(200).warmup_steps == 300


def test_the_family_covers_full_frame_to_phone() -> None:
    assert FANET_FAST.low <= 8e-6
    assert FANET_FAST.high >= 4e-2
    assert FANET_FAST.num_subranges >= 4


@pytest.mark.parametrize("index", [-1, 4])
def test_students_that_do_not_exist(index: int) -> None:
    with pytest.raises(UsageError, match=f"recipe r has subranges 0 to 3, not {index}"):
        DEFAULT.subrange(index)


def test_training_ranges_overlap_by_a_tenth_of_the_width() -> None:
    for index in range(DEFAULT.num_subranges):
        subrange, (low, high) = DEFAULT.subrange(index), DEFAULT.training_range(index)
        width = math.log(subrange.high / subrange.low)
        assert math.log(subrange.low / low) == pytest.approx(0.1 * width)
        assert math.log(high / subrange.high) == pytest.approx(0.1 * width)
    alone = replace(DEFAULT, overlap=0.0)
    assert alone.training_range(2) == (alone.subrange(2).low, alone.subrange(2).high)


def test_a_shipped_student_trains_on_the_subrange_below_its_own_too() -> None:
    for index in range(1, FANET_FAST.num_subranges):
        low, high = FANET_FAST.training_range(index)
        assert low == pytest.approx(FANET_FAST.subrange(index - 1).low)
        assert high == pytest.approx(replace(FANET_FAST, overlap_below=None).training_range(index)[1])


def test_one_network_for_all_gains_trains_on_no_others() -> None:
    for name in ("fanet-fast-one", "fanet-balanced", "teacher-nafnet"):
        low, high = RECIPES[name].training_range(0)
        assert low > 1e-6
        assert high < 0.2


def test_anchors_stand_in_the_middle_on_the_noise_line() -> None:
    for index in range(DEFAULT.num_subranges):
        subrange, anchor = DEFAULT.subrange(index), DEFAULT.anchor(index)
        assert anchor.gain**2 == pytest.approx(subrange.low * subrange.high)
        assert anchor.read_variance == read_variance_prior(anchor.gain)


def test_students_are_chosen_by_the_edges() -> None:
    recipe = replace(DEFAULT, low=1e-4, high=4e-2)
    edges = recipe.edges()
    cards = [make_card(f"s{i}", edges[i], edges[i + 1], network="fanet") for i in range(4)]

    def chosen(gain: float) -> str | None:
        card, _ = choose_student(cards, NoiseModel(np.full(4, gain), np.full(4, 1e-6), "given"))
        return card and card.name

    for index, edge in enumerate(edges[:-1]):
        assert chosen(edge) == f"s{index}"
        assert chosen(edge * (1 - 1e-9)) == f"s{max(0, index - 1)}"
    assert chosen(edges[0] / 3.9) == "s0"
    assert chosen(edges[0] / 4.1) is None
    assert chosen(edges[-1]) == chosen(1.0) == "s3"


def test_noise_units_put_the_anchor_into_the_configuration() -> None:
    anchor = FANET_FAST.anchor(1)
    config = FANET_FAST.network_config(1)
    assert config["anchor"] == [anchor.gain, anchor.read_variance]
    assert "anchor" not in FANET_FAST.config
    plain = RECIPES["plain-unet"]
    assert plain.network_config(1) == plain.config
    assert "anchor" not in plain.network_config(1)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_can_be_run_and_written_down(recipe: Recipe) -> None:
    assert recipe_named(recipe.name) is recipe
    assert recipe.network in NETWORKS
    assert set(recipe.losses) <= set(LOSSES)
    plain = json.loads(json.dumps(recipe_json(recipe)))
    assert plain == recipe_json(recipe)
    again = Recipe(**{**plain, "noise": NoiseRecipe(**plain["noise"])})
    assert again == recipe
    for index in range(recipe.num_subranges):
        network = build_network(recipe.network, again.network_config(index))
        assert recipe.crop_px % network.stride == 0
    assert recipe.with_steps(7).steps == 7
    assert replace(recipe.with_steps(7), steps=recipe.steps) == recipe


def test_an_unknown_recipe_names_the_known() -> None:
    with pytest.raises(UsageError, match=r"there is no recipe 'fast'\. Choose one of fanet-fast, .*wavelet-unet"):
        recipe_named("fast")


def written(path: Path, plain: Any) -> Path:
    path.write_text(json.dumps(plain))
    return path


def test_a_file_may_state_what_differs_from_a_shipped_recipe(tmp_path: Path) -> None:
    changes = {"base": "fanet-fast", "crop_px": 96, "noise": {"smoothed": 0.2}, "config": {"shrink": 1}}
    found = read_recipe(written(tmp_path / "larger.json", changes))
    assert found.name == "larger"
    assert found.crop_px == 96
    assert found.noise == replace(FANET_FAST.noise, smoothed=0.2)
    assert found.config == {**FANET_FAST.config, "shrink": 1}
    same = replace(found, name=FANET_FAST.name, crop_px=FANET_FAST.crop_px, noise=FANET_FAST.noise)
    assert replace(same, config=FANET_FAST.config) == FANET_FAST
    named = read_recipe(written(tmp_path / "larger.json", {"base": "fanet-fast", "name": "mine"}))
    assert named == replace(FANET_FAST, name="mine")


def test_another_network_does_not_get_the_configuration_of_the_base(tmp_path: Path) -> None:
    config = {"widths": [24, 32, 48], "blocks": 2}
    plain = {"base": "fanet-fast", "network": "mwresnet", "config": config}
    assert read_recipe(written(tmp_path / "other.json", plain)).config == config


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"base": "fast"}, "there is no base 'fast'; choose one of fanet-fast, "),
        ({"base": ["fanet-fast"]}, r"there is no base \['fanet-fast'\]; choose one of "),
        ({"base": "fanet-fast", "crops": 96}, "unknown field crops"),
        ({"base": "fanet-fast", "noise": {"gain": 1.0}}, "unknown field gain"),
        ({"base": "fanet-fast", "noise": 3}, "the field noise is not of type "),
        ({"base": "fanet-fast", "network": "mwresnet"}, "the field config is missing"),
        ({"base": "fanet-fast", "network": "net", "config": {}}, "there is no network 'net'; choose one of fanet, "),
        ({"base": "fanet-fast", "network": "unet9"}, "there is no network 'unet9'; choose one of fanet, "),
        ({"base": "fanet-fast", "steps": 0}, "the field steps is 0 and must be at least 1"),
        ({"base": "fanet-fast", "seed": -1}, "the field seed is -1 and must be at least 0"),
        ({"base": "fanet-fast", "overlap_below": -1}, "the field overlap_below is -1 and must be at least 0"),
        ({"base": "fanet-fast", "clip_norm": 0}, "a clip_norm of 0 is not above 0"),
        ({"base": "fanet-fast", "noise": {"hottest": 5}}, "the field hottest is 5 and must be at least 6"),
        ({"base": "fanet-fast", "noise": {"model": "grain"}}, "there is no noise model 'grain'; choose one of "),
        ({"base": "fanet-fast", "crop_px": 97}, "crop_px 97 is not a multiple of the network's stride, 16"),
        ({"base": "fanet-fast", "cfa": "xtrans"}, "its crops have 36 planes, and the network takes 4"),
        ({"base": "fanet-fast", "config": {"widths": [41, 56, 64, 88]}}, "the config does not fit the network fanet: "),
        (
            {"base": "fanet-fast", "config": {"encoder_blocks": [1]}},
            "the config does not fit the network fanet: encoder_blocks has 1 entries, and the 4 levels of widths ",
        ),
        (
            {"base": "fanet-fast", "config": {"widths": [40, 56, 64]}},
            ".*encoder_blocks has 4 entries, and the 3 levels",
        ),
        ({"base": "wavelet-unet", "config": {"decoder_blocks": [1] * 5}}, ".*decoder_blocks has 5 .* need 4"),
        (
            {"base": "mwrcanet", "config": {"blocks": [1] * 4}},
            ".*blocks has 4 entries, and the 3 levels of widths need 3",
        ),
        ({"base": "fanet-fast", "config": {"encoder_blocks": [0, 1, 1, -1]}}, ".*encoder_blocks must be whole numbers"),
        (
            {"base": "fanet-fast", "config": {"guide_limit": math.inf}},
            "the field config.guide_limit is inf and must be ",
        ),
        ({"base": "fanet-fast", "clip_norm": math.inf}, "the field clip_norm is inf and must be finite"),
        ({"base": "wavelet-unet", "config": {"groups": 7}}, "the config does not fit the network wavelet-unet"),
        ({"base": "fanet-fast", "config": {"depth": 3}}, "the network fanet has no configuration field depth"),
        ({"base": "fanet-fast", "learning_rate": math.nan}, "a learning rate of nan is not above 0"),
        ({"base": "fanet-fast", "kernel_rate": -1.0}, "a learning rate of -1 is not above 0"),
        ({"base": "fanet-fast", "low": 1.0}, "the noise from low 1 to high 0.04 is no range above 0"),
        (
            {"base": "fanet-fast", "high": 0.9},
            "with its overlaps it trains on gains from .* to 1.2.*, and the gain lies",
        ),
        ({"base": "fanet-fast", "low": 1.5, "high": 3.0}, "with its overlaps it trains on gains .*, and the gain lies"),
        ({"base": "fanet-fast", "overlap": 1e308}, "with its overlaps it trains on gains from 0 to inf, "),
        ({"base": "mdrn-2b-grey", "high": 300}, "the noise reaches sigma 300, and white is 255"),
        (
            {"base": "fanet-fast", "learning": ["head.", "decodr."]},
            "no parameter of the network begins with 'decodr.', ",
        ),
        ({"base": "fanet-fast", "learning": [1]}, "no parameter of the network begins with 1, an entry of learning"),
        ({"base": "fanet-fast", "losses": {}}, "the field losses has no weight above 0"),
        (
            {"base": "fanet-fast", "losses": {"charbonnier": 1, "log-error": -0.5}},
            "the loss log-error has the weight -0.5",
        ),
        (
            {"base": "fanet-fast", "losses": {"charbonnier": math.inf}},
            "the loss charbonnier has the weight inf, which ",
        ),
        ({"base": "fanet-fast", "losses": {"charbonnier": True}}, "the field losses must give numbers to some of "),
        ({"base": "fanet-fast", "losses": {"charbonnier": "x"}}, "the field losses must give numbers to some of "),
        ({"base": "fanet-fast", "losses": {"l3": 1.0}}, "the field losses must give numbers to some of "),
    ],
)
def test_wrong_fields_of_a_file_with_a_base_are_named(tmp_path: Path, plain: Any, message: str) -> None:
    with pytest.raises(UsageError, match=rf"wrong\.json: not a recipe \({message}"):
        read_recipe(written(tmp_path / "wrong.json", plain))


INT_FIELDS = [
    (name, field)
    for name, architecture in NETWORKS.items()
    for field, hint in get_type_hints(architecture.config).items()
    if hint in (int, bool) or get_origin(hint) is tuple
]
BASE_OF = {recipe.network: recipe.name for recipe in reversed(RECIPES.values())}
"""A recipe of each network."""


@pytest.mark.parametrize(("network", "field"), INT_FIELDS)
def test_whole_numbers_of_a_network_are_whole_numbers(tmp_path: Path, network: str, field: str) -> None:
    """Python ended with a traceback for some of these, and for others never."""
    own = RECIPES[BASE_OF[network]].config.get(field)
    for wrong in (None, "x", {}, 1e300, 10**30, 10**400, -1, 1.5):
        for value in [wrong, [wrong] * len(own)] if isinstance(own, list | tuple) else [wrong, [wrong], []]:
            if value == [] and get_origin(get_type_hints(NETWORKS[network].config)[field]) is tuple:
                continue
            with pytest.raises(UsageError, match=r"wrong\.json: not a recipe \("):
                read_recipe(written(tmp_path / "wrong.json", {"base": BASE_OF[network], "config": {field: value}}))


@pytest.mark.parametrize("field", [field for field, hint in get_type_hints(Recipe).items() if hint in (int, float)])
def test_numbers_of_a_recipe_do_not_overflow(tmp_path: Path, field: str) -> None:
    for value in (None, "x", [], {}, 10**400):
        with pytest.raises(UsageError, match=r"wrong\.json: not a recipe \("):
            read_recipe(written(tmp_path / "wrong.json", {"base": "fanet-90k", field: value}))


@pytest.mark.parametrize("share", [-0.01, 1.5, math.nan])
@pytest.mark.parametrize("name", SHARES)
def test_shares_lie_between_0_and_1(tmp_path: Path, name: str, share: float) -> None:
    of_noise = name in vars(FANET_FAST.noise)
    for value in (0, 1):
        read_recipe(written(tmp_path / "right.json", _with_share(name, value, of_noise=of_noise)))
    with pytest.raises(UsageError, match=rf"\(the field {name} is {share:g} and must lie between 0 and 1\)"):
        read_recipe(written(tmp_path / "wrong.json", _with_share(name, share, of_noise=of_noise)))


def _with_share(name: str, share: float, *, of_noise: bool) -> dict[str, Any]:
    return {"base": "fanet-90k", **({"noise": {name: share}} if of_noise else {name: share})}


def test_noise_of_pictures_needs_a_network_of_pictures(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="recipe wrong takes 4 planes, but awgn needs grey or colour pictures"):
        read_recipe(written(tmp_path / "wrong.json", {"base": "fanet-fast", "noise": {"model": "awgn"}}))


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.json")), ids=lambda path: path.stem)
def test_the_recipes_of_the_tables_can_be_run(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert set(recipe.losses) <= set(LOSSES)
    index = recipe.num_subranges - 1
    assert recipe.crop_px % build_network(recipe.network, recipe.network_config(index)).stride == 0
    assert any(f"benchmarks/recipes/{path.name}" in page.read_text() for page in TABLES.parents[1].glob("docs/*.md"))
