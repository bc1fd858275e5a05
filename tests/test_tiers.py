"""The three tiers: a card says which one its family is, `--model` finds it, and a teacher denoises like a student."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from small_photos import GAIN, READ_VARIANCE, noisy_photo
from tiny_models import blur, card_document, even_blur, identity, make_model, write_card

from rawkd.batch.settings import BatchOptions, fingerprint, settings_of
from rawkd.cli import main
from rawkd.cli.app import app
from rawkd.errors import ModelError
from rawkd.evaluation.methods import methods_named
from rawkd.files.write.dng import write_dng
from rawkd.inference import students as card_module
from rawkd.inference.card_file import card_json, read_card
from rawkd.inference.gpu.ways import Way
from rawkd.inference.students import DEFAULT_TIER, TIERS, choose_student, load_cards, load_family, tier_warnings
from rawkd.inference.tiling import denoise_tiled
from rawkd.inference.weights import NETWORK
from rawkd.photo import NAMES_OF_KINDS, Kind
from rawkd.process import ProcessOptions
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import denoise
from rawkd.sensor.noise import NoiseModel

BUDGETS_GMAC = {"fast": 2.6688, "balanced": 16.0}
XTRANS_FAST_GMAC = 2.68
"""The paper's budget is for Bayer; the X-Trans network was trained with 2.672 GMAC for 2^20 pixels."""
BUDGETS_BYTES = {"balanced": 10e6}
BEST_PARAMETERS = 12_000_000
FILE_BYTES = 16 << 20
NOISE = (GAIN, READ_VARIANCE)


@pytest.fixture(scope="module")
def three_tiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fast students, a balanced one, a best teacher: identity, blur, and another blur."""
    folder = tmp_path_factory.mktemp("shipped")
    make_model(folder / "quick-0", identity, family="quick", tier="fast", subrange=[1e-5, 5e-4])
    make_model(folder / "quick-1", identity, family="quick", tier="fast", subrange=[5e-4, 1e-2])
    make_model(folder / "middle-0", even_blur, family="middle", tier="balanced", subrange=[1e-5, 1e-2])
    make_model(folder / "teacher-large", blur, family="large", tier="best", role="teacher", subrange=[1e-5, 1e-2])
    return folder


@pytest.fixture
def shipped(three_tiers: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As the package would ship them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(card_module, "models_directory", lambda: three_tiers)
    return three_tiers


@pytest.fixture
def only_fast(three_tiers: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package without the larger tiers."""
    for name in ("quick-0", "quick-1"):
        (tmp_path / "few" / name).mkdir(parents=True)
        (tmp_path / "few" / name / "card.json").write_bytes((three_tiers / name / "card.json").read_bytes())
    monkeypatch.setattr(card_module, "models_directory", lambda: tmp_path / "few")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.dng"
    raw = noisy_photo()
    write_dng(path, raw, preview=None, software="test", noise_profile=raw.noise_profile)
    return path


def names(model: str | Path | None) -> list[str]:
    return [card.name for card in load_family(model)]


@pytest.mark.parametrize("tier", [*TIERS, None])
def test_a_card_states_its_tier(tmp_path: Path, tier: str | None) -> None:
    card = write_card(tmp_path, card_document(tier=tier))
    assert card.tier == tier
    assert json.loads(card_json(card))["tier"] == tier


def test_an_older_card_is_of_no_tier(tmp_path: Path) -> None:
    document = card_document()
    del document["tier"]
    card = write_card(tmp_path, document)
    assert card.tier is None
    (tmp_path / "card.json").write_text(card_json(card))
    assert read_card(tmp_path) == card


@pytest.mark.usefixtures("shipped")
def test_a_tier_is_found_among_the_shipped_models() -> None:
    assert names("fast") == ["quick-0", "quick-1"]
    assert names("balanced") == ["middle-0"]
    assert names("best") == ["teacher-large"]
    assert names("large") == names("teacher-large") == ["teacher-large"]


def test_one_constant_is_the_default(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for default, found in (("fast", ["quick-0", "quick-1"]), ("balanced", ["middle-0"]), ("best", ["teacher-large"])):
        monkeypatch.setattr(card_module, "DEFAULT_TIER", default)
        assert names(None) == names(shipped) == names(str(shipped)) == found


def test_a_kind_of_sensor_without_a_tier_takes_the_next_faster_one(
    three_tiers: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "shipped"
    shutil.copytree(three_tiers, folder)
    write_card(folder / "x-0", {**card_document("x"), "cfa": "xtrans", "tier": "balanced"})
    monkeypatch.setattr(card_module, "models_directory", lambda: folder)
    (card,) = load_family("best", "xtrans")
    assert card.name == "x"
    assert tier_warnings("best", card) == ("there is no best model for X-Trans photos, so the balanced one was used",)
    assert tier_warnings("balanced", card) == tier_warnings(None, card) == tier_warnings(folder, card) == ()
    with pytest.raises(ModelError, match=r"^there is no model for X-Trans photos among those asked for"):
        load_family("fast", "xtrans")  # never a slower one than asked for
    assert names("best") == ["teacher-large"]


@pytest.mark.usefixtures("only_fast")
def test_a_tier_that_is_not_shipped_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = r"^the tier best is not shipped with this version\. Choose one of the shipped tiers: fast\.$"
    write_card(tmp_path / "best", card_document("mine"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=sentence):
        load_family("best")  # never the folder, whose meaning would change with the next version
    assert names("./best") == ["mine"]
    monkeypatch.setattr(card_module, "models_directory", lambda: tmp_path / "nothing")
    with pytest.raises(
        ModelError, match=r"the tier fast is not shipped with this version\. Choose one of the shipped tiers: none"
    ):
        load_family("fast")


@pytest.mark.usefixtures("only_fast")
@pytest.mark.parametrize("command", ["denoise", "batch", "inspect", "compare", "bench"])
def test_every_command_says_it_alike(command: str, photo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = {
        "compare": ["compare", str(photo), "--models", "balanced,fast"],
        "bench": ["bench", "synthetic", str(photo.parent), "-m", "balanced"],
    }
    assert main(words.get(command, [command, str(photo), "--model", "balanced"])) == 5
    told = capfd.readouterr()
    assert "the tier balanced is not shipped with this version. Choose one of the shipped tiers: fast." in told.err
    assert told.out == ""


@pytest.mark.usefixtures("only_fast")
def test_an_unknown_model_lists_the_tiers_and_no_internal_names(photo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for command in ("denoise", "inspect"):
        assert main([command, str(photo), "--model", "turbo"]) == 5
        err = capfd.readouterr().err
        assert "turbo: there is no tier, model or folder of this name" in err
        assert "Choose a tier (fast), or list all models with: rawkd models" in err
        assert "quick" not in err


def test_a_network_that_needs_more_than_planes_is_no_tier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_module, "models_directory", lambda: tmp_path)
    write_card(tmp_path / "wide", card_document("wide", role="teacher", tier="best", input="planes+variance"))
    for model in ("best", "wide", tmp_path / "wide"):
        with pytest.raises(
            ModelError, match=r"the model wide needs planes\+variance as input, so it can only be a teacher"
        ):
            load_family(model)
    write_card(tmp_path / "other", card_document("other", tier="fast"))
    assert names(None) == ["other"]


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize("tier", ["balanced", "best"])
def test_outside_of_its_range_a_tier_of_one_network_warns_like_a_family(tier: str) -> None:
    (card,) = load_family(tier)

    def told_at(gain: float) -> tuple[str, ...]:
        chosen, told = choose_student([card], NoiseModel(np.full(4, gain), np.zeros(4), "given"))
        assert chosen is card
        return told

    assert told_at(1e-5) == told_at(0.51e-5) == told_at(0.99e-2) == ()
    assert "almost no noise (gain 4.9e-06; " in told_at(0.49e-5)[0]
    assert "so denoising may remove fine detail: lower --strength, or leave it as it is" in told_at(0.49e-5)[0]
    assert f"more noise (gain 0.01) than {card.family} learnt to remove" in told_at(1e-2)[0]


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize(("tier", "network"), [(None, "quick-1"), ("balanced", "middle-0"), ("best", "teacher-large")])
def test_an_ensemble_multiplies_any_tier(tier: str | None, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[str] = []

    def counted(*given: Any, **small: Any) -> Any:
        if not small:  # the second look at a small scale is none of them
            rounds.append(given[3].name)
        return denoise_tiled(*given, **small)

    monkeypatch.setattr("rawkd.restore.mosaic.denoise_tiled", counted)
    photo = noisy_photo(64, 72)
    for ensemble in (1, 2, 8):
        rounds.clear()
        result = denoise(photo, DenoiseOptions(model=tier, noise=NOISE, ensemble=ensemble, device="cpu", threads=1))
        assert result.student == network
        assert rounds == [network] * ensemble
    assert (tier is None) == np.array_equal(result.photo.frame, photo.frame)  # the fast one here is the identity


@pytest.mark.usefixtures("shipped")
def test_batches_benchmarks_and_inspection_know_tiers(photo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = photo.parent / "out"
    assert main(["batch", str(photo), "-o", str(out), "--model", "best", "-q", "--threads", "1", "--json"]) == 0
    assert '"student": "teacher-large"' in capfd.readouterr().out
    assert main(["inspect", str(photo), "--model", "balanced", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["student"] == "middle-0"
    methods = methods_named(("built-in", "best"), DenoiseOptions())
    assert [method.describe().get("students") for method in methods] == [
        None,
        ["quick-0", "quick-1"],
        ["teacher-large"],
    ]
    prints = {
        tier: fingerprint(settings_of(BatchOptions(ProcessOptions(DenoiseOptions(model=tier)))))
        for tier in (None, "fast", "best")
    }
    assert prints[None] == prints["fast"] != prints["best"]


@pytest.mark.usefixtures("shipped")
def test_a_cluster_is_sent_the_tier_that_was_named() -> None:
    pytest.importorskip("distributed", reason="needs the extra `cluster`")
    from rawkd.batch.cluster import pack_worker_files

    sent = pack_worker_files(BatchOptions(ProcessOptions(DenoiseOptions(model="best")))).files
    assert {name for name in sent if name.startswith("models/")} == {
        "models/teacher-large/card.json", "models/teacher-large/network.onnx"
    }  # fmt: skip


def test_models_are_listed_with_their_tier(shipped: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--model", str(shipped)]) == 0
    rows = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert [row[:3] for row in rows[1:]] == [
        ["fast", "bayer", "quick-0"], ["fast", "bayer", "quick-1"], ["balanced", "bayer", "middle-0"],
        ["best", "bayer", "teacher-large"],
    ]  # fmt: skip


@pytest.mark.parametrize("command", ["denoise", "batch", "inspect"])
def test_help_names_the_tiers_and_the_default(command: str) -> None:
    loaded = app.get_command(click.Context(app), command)
    assert loaded is not None
    (option,) = (param for param in loaded.params if param.name == "model")
    assert isinstance(option, click.Option)
    tiers = ", ".join(TIERS)
    assert option.help == f"Choose a tier ({tiers}) or another model.  [default: {DEFAULT_TIER}]"


def test_the_default_tier_is_shipped() -> None:
    assert load_family(None) == load_family(DEFAULT_TIER)


@pytest.mark.parametrize("kind", NAMES_OF_KINDS)
@pytest.mark.parametrize("tier", TIERS)
def test_shipped_tiers_keep_their_budgets(tier: str, kind: Kind) -> None:
    cards = [card for card in load_cards(None) if (card.tier, card.cfa) == (tier, kind)]
    if not cards:
        pytest.skip(f"the tier {tier} is not shipped for {kind} sensors")
    family = load_family(tier, kind)
    assert sorted(card.name for card in family) == sorted(card.name for card in cards)
    budget = XTRANS_FAST_GMAC if (tier, kind) == ("fast", "xtrans") else BUDGETS_GMAC.get(tier, np.inf)
    assert max(max(card.macs_per_mp.values()) for card in family) <= budget
    sizes = {name: (card.directory / name).stat().st_size for card in family for name in card.files}
    assert sum(size for name, size in sizes.items() if name != NETWORK) <= BUDGETS_BYTES.get(tier, np.inf)
    assert max(sizes.values()) < FILE_BYTES
    if tier == "balanced":
        assert len(family) == 1
    if tier == "best":
        assert [card.role for card in family] == ["teacher"]
        assert family[0].params <= BEST_PARAMETERS


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a tiny teacher: 16-bit shards, a graph without weights, and no student beside it."""
    pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")
    pytest.importorskip("onnx", reason="needs the extra: rawkd[torch]")
    from tiny_teachers import exported_teacher

    folder = tmp_path_factory.mktemp("teachers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        exported_teacher(folder / "teacher-tiny", tier="best")
    return folder


class TestTeacher:
    """The teacher itself denoises."""

    def test_it_denoises_from_the_command_line(
        self, teacher: Path, photo: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(photo.parent / "cache"))
        words = ["--noise", f"{GAIN},{READ_VARIANCE}", "--device", "cpu", "--json", "-q"]
        assert main(["denoise", str(photo), "--model", str(teacher), *words]) == 0
        report = json.loads(capfd.readouterr().out)
        assert (report["student"], report["device"], report["warnings"]) == ("teacher-tiny", "cpu", [])
        monkeypatch.setattr(card_module, "models_directory", lambda: teacher)
        assert main(["denoise", str(photo), "--model", "best", *words, "-o", str(photo.parent / "again.dng")]) == 0
        again = json.loads(capfd.readouterr().out)["output"]
        assert Path(again).read_bytes() == Path(report["output"]).read_bytes()

    def test_both_engines_restore_the_same_mosaic(
        self, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Through several tiles: torch and OpenVINO differ by the order of their sums, a thousandth of the noise."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        photo = noisy_photo(150, 202)
        options = DenoiseOptions(model=teacher, noise=NOISE, ensemble=1, device="cpu", threads=1, precision="f32")
        by_openvino = denoise(photo, options)
        monkeypatch.setattr("rawkd.inference.engines.gpu_in_sight", lambda: "cpu")
        monkeypatch.setattr("rawkd.inference.engines.ways_to", lambda device: (Way("torch", device, "torch"),))
        by_torch = denoise(photo, replace(options, device="auto"))
        deviation = np.sqrt(READ_VARIANCE + GAIN * np.maximum(photo.mosaic.data, 0))
        apart = (by_torch.mosaic.data - by_openvino.mosaic.data) / deviation
        moved = (by_torch.mosaic.data - photo.mosaic.data) / deviation
        assert by_torch.student == by_openvino.student == "teacher-tiny"
        assert 0 < np.sqrt(np.mean(apart**2)) < 1e-3
        assert np.sqrt(np.mean(moved**2)) > 0.05

    def test_a_missing_shard_is_said(self, teacher: Path, tmp_path: Path) -> None:
        shutil.copytree(teacher, tmp_path / "models")
        (shard,) = (tmp_path / "models" / "teacher-tiny").glob("weights-*")
        shard.unlink()
        with pytest.raises(ModelError, match=r"weights-1-of-1\.safetensors: cannot be read"):
            denoise(noisy_photo(20, 20), DenoiseOptions(model=tmp_path / "models", noise=NOISE, device="cpu"))
