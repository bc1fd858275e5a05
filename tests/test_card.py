"""Cards are strict, families leave no gap, and every gain finds its student."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import card_document, make_card, write_card

from rawkd.errors import ModelError
from rawkd.inference import students as card_module
from rawkd.inference.card import ModelCard, NoiseSubrange
from rawkd.inference.card_file import card_json, read_card
from rawkd.inference.students import choose_student, load_cards, load_family
from rawkd.sensor.noise import NoiseModel

EDGES = (8e-6, 1e-4, 2e-3, 4e-2)


def noise(gain: float) -> NoiseModel:
    return NoiseModel(np.full(4, gain), np.zeros(4), "given")


@pytest.fixture
def family(tmp_path: Path) -> tuple[ModelCard, ...]:
    for i in (2, 0, 1):
        write_card(tmp_path / f"s{i}", card_document(f"s{i}", subrange=[EDGES[i], EDGES[i + 1]]))
    return load_family(tmp_path)


def test_a_card_survives_its_file(tmp_path: Path) -> None:
    card = write_card(tmp_path, card_document(bf16_cost_db={"0.001": 0.01}, config={"widths": [1, 2]}))
    (tmp_path / "card.json").write_text(card_json(card))
    assert read_card(tmp_path) == card


@pytest.mark.parametrize("name", sorted(set(card_document()) - {"tier"}))
def test_no_field_may_be_missing(tmp_path: Path, name: str) -> None:
    document = card_document()
    del document[name]
    with pytest.raises(ModelError, match=rf"card\.json: .*misses fields: {name}"):
        write_card(tmp_path, document)


def test_unknown_and_repeated_fields_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"card\.json: .*unknown fields: colour"):
        write_card(tmp_path, card_document() | {"colour": "red"})
    text = json.dumps(card_document())
    (tmp_path / "card.json").write_text(text[:-1] + ', "tile": 64}')
    with pytest.raises(ModelError, match="has a field twice"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("family", ""), ("role", "pupil"), ("tier", "slow"), ("tier", 1), ("input", "pixels"), ("config", []),
        ("subrange", [1e-3]), ("subrange", [1e-3, 1e-3]), ("subrange", [0, 1e-3]), ("subrange", ["a", "b"]),
        ("anchor", {"gain": 1e-3}),
        ("anchor", {"gain": 0, "read_variance": 0}), ("anchor", {"gain": 1, "read_variance": -1}), ("stride", 1.5),
        ("stride", True), ("halo", -1), ("params", None), ("macs_per_mp", 3), ("macs_per_mp", {"1e6": "much"}),
        ("files", {"network.onnx": "abc"}), ("files", {"../network.onnx": "0" * 64}), ("golden", {}),
        ("golden", card_document()["golden"] | {"patch": 65}), ("golden", card_document()["golden"] | {"gain": -1}),
        ("metrics", {"1e-3": 4}), ("bf16_cost_db", [0.1]), ("bf16_cost_db", {"1e-3": float("nan")}),
        ("limits", "none"), ("limits", [1]), ("data", None),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_by_name(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(ModelError, match=rf"card.json: the field {name} "):
        write_card(tmp_path, card_document(**{name: value}))


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"family": "a"', "\xff"])
def test_what_is_no_card_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.json").write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match=r"card\.json: not a model card of this version"):
        read_card(tmp_path)


def test_a_missing_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"card\.json: cannot be read"):
        read_card(tmp_path)
    with pytest.raises(ModelError, match="contains no model"):
        load_cards(tmp_path)


@pytest.mark.parametrize("change", [{"stride": 0}, {"tile": 31}, {"tile": 0}, {"halo": 15, "tile": 32, "stride": 8}])
def test_tiles_that_cannot_work_are_refused(tmp_path: Path, change: dict[str, int]) -> None:
    with pytest.raises(ModelError, match=r"card\.json: a tile of"):
        write_card(tmp_path, card_document(**change))


def test_bf16_needs_a_measured_small_cost_at_the_photos_gain(tmp_path: Path) -> None:
    card = write_card(tmp_path, card_document())
    assert not card.allows("bf16")
    assert not card.allows("bf16", gain=1e-3)
    assert not replace(card, bf16_cost_db={}).allows("bf16")
    assert replace(card, bf16_cost_db={"1e-4": 0.049, "1e-3": -0.001}).allows("bf16")
    dear = replace(card, bf16_cost_db={"1.00e-04": 0.001, "1.00e-03": 0.002, "1.00e-02": 0.05})
    assert not dear.allows("bf16")
    allowed = {gain: dear.allows("bf16", gain=gain) for gain in (1e-6, 1e-4, 5e-4, 9e-4, 1e-3, 2e-3, 1e-2, 1.0)}
    assert [gain for gain, may in allowed.items() if may] == [1e-6, 1e-4, 5e-4, 9e-4]


def test_a_subrange_is_half_open() -> None:
    subrange = NoiseSubrange(1e-4, 1e-3)
    assert 1e-4 in subrange
    assert 1e-3 not in subrange


@given(st.floats(EDGES[0], EDGES[-1], exclude_max=True))
def test_the_student_holds_the_gain(gain: float) -> None:
    cards = [make_card(f"s{i}", EDGES[i], EDGES[i + 1]) for i in range(3)]
    card, warnings = choose_student(cards, noise(gain))
    assert gain in card.subrange
    assert warnings == ()


def test_outside_the_range_the_nearest_student_serves(family: tuple[ModelCard, ...]) -> None:
    assert [card.name for card in family] == ["s0", "s1", "s2"]
    assert choose_student(family, noise(EDGES[0] / 1.9)) == (family[0], ())
    card, (warning,) = choose_student(family, noise(EDGES[0] / 2.1))
    assert card is family[0]
    assert "almost no noise" in warning
    card, (warning,) = choose_student(family, noise(EDGES[-1]))
    assert card is family[-1]
    assert "than tiny learnt to remove" in warning


def test_the_greens_choose(family: tuple[ModelCard, ...]) -> None:
    tinted = NoiseModel(np.array([1e-5, 3e-3, 1e-3, 1e-5]), np.zeros(4), "given")
    assert choose_student(family, tinted)[0].name == "s2"


@pytest.mark.parametrize(("high", "low"), [(1e-4, 1.01e-4), (1e-4, 0.99e-4)])
def test_a_gap_or_overlap_is_refused(high: float, low: float) -> None:
    with pytest.raises(ModelError, match="gap or overlap"):
        choose_student([make_card("a", 1e-5, high), make_card("b", low, 1e-3)], noise(1e-4))


def test_only_one_family_is_looked_at_and_students_go_before_teachers() -> None:
    cards = [make_card("a", 1e-5, 1e-3), make_card("t", 1e-5, 1e-1, role="teacher", family="big")]
    assert choose_student(cards, noise(1e-4))[0].name == "a"
    with pytest.raises(ModelError, match=r"^the models belong to several families \(other in b, tiny in a\)\."):
        choose_student([*cards, make_card("b", 1e-5, 1e-3, family="other", tier="best")], noise(1e-4))
    of_a_tier = [replace(card, tier="best") for card in cards]
    with pytest.raises(ModelError, match=r"^the tier best has several families \(big in u, other in t\)\. Choose one"):
        choose_student([replace(of_a_tier[1], family="other"), replace(of_a_tier[1], directory=Path("u"))], noise(1e-4))
    assert choose_student(cards[1:], noise(1e-4))[0].name == "t"
    with pytest.raises(ModelError, match="no model"):
        choose_student([], noise(1e-4))


def test_families_are_found_by_name_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_module, "models_directory", lambda: tmp_path / "shipped")
    for i in range(2):
        write_card(tmp_path / "shipped" / f"s{i}", card_document(f"s{i}", subrange=[EDGES[i], EDGES[i + 1]]))
    write_card(tmp_path / "mine", card_document("mine", family="own"))
    assert [card.name for card in load_family(None)] == ["s0", "s1"]
    assert [card.name for card in load_family("tiny")] == ["s0", "s1"]
    assert [card.name for card in load_family("s1")] == ["s1"]
    assert [card.name for card in load_family(str(tmp_path / "mine"))] == ["mine"]
    assert [card.name for card in load_family(tmp_path / "mine")] == ["mine"]
    with pytest.raises(ModelError, match=r"nobody: there is no tier, model or folder of this name"):
        load_family("nobody")


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in "ab":
        write_card(tmp_path / folder, card_document("same"))
    with pytest.raises(ModelError, match="two models have the same name"):
        load_cards(tmp_path)


def test_reading_cards_imports_nothing_heavy() -> None:
    program = (
        "import sys, rawkd.inference.students, rawkd.inference.engines, rawkd.inference.tiling\n"
        "import rawkd.inference.self_ensemble\n"
        "print([m for m in ('torch', 'openvino', 'scipy', 'safetensors', 'rawpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_changed_card_is_read_again_and_an_unchanged_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(card_module, "read_card", lambda folder: read.append(folder) or read_card(folder))
    write_card(tmp_path / "one", card_document("one", subrange=[1e-4, 1e-3]))
    for _ in range(3):
        assert [card.subrange.high for card in load_cards(tmp_path)] == [1e-3]
    write_card(tmp_path / "one", card_document("one", subrange=[1e-4, 0.002]))
    assert [card.subrange.high for card in load_cards(tmp_path)] == [0.002]
    assert read == [tmp_path / "one"] * 2
