"""Export: a run becomes a model directory that proves itself, or none."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")
pytest.importorskip("onnx", reason="needs the extra: rawkd[torch]")

from rawkd.cli import main  # noqa: E402
from rawkd.errors import InputError, ModelError, OutputError, UsageError  # noqa: E402
from rawkd.inference.card import TIERS  # noqa: E402
from rawkd.inference.card_file import read_card  # noqa: E402
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine  # noqa: E402
from rawkd.inference.graph.int8 import encode  # noqa: E402
from rawkd.inference.selftest import check_golden  # noqa: E402
from rawkd.inference.students import load_cards  # noqa: E402
from rawkd.inference.torch_engine import load_module  # noqa: E402
from rawkd.inference.weights import NETWORK, WEIGHTS  # noqa: E402
from rawkd.networks import build_network  # noqa: E402
from rawkd.photo import CFAPattern  # noqa: E402
from rawkd.training.config import Recipe  # noqa: E402
from rawkd.training.data.clean import CleanSet, find_pictures  # noqa: E402
from rawkd.training.export import export as exporting  # noqa: E402
from rawkd.training.export.export import export, tile_px  # noqa: E402
from rawkd.training.export.int8 import with_int8  # noqa: E402
from rawkd.training.export.limits import limits_of  # noqa: E402
from rawkd.training.export.measures import unlearnt  # noqa: E402
from rawkd.training.export.readme import readme_of  # noqa: E402
from rawkd.training.losses.terms import build_losses  # noqa: E402
from rawkd.training.run import int8  # noqa: E402
from rawkd.training.run.loop import Run, train  # noqa: E402
from rawkd.training.saved.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from rawkd.training.saved.pictures import learnt_of  # noqa: E402
from rawkd.training.saved.provenance import (  # noqa: E402
    Provenance,
    data_of,
    learnt_by,
    origin_of,
    stages_of,
    trained_on,
    with_licences,
)
from rawkd.training.saved.stages import stages_to_repeat  # noqa: E402
from rawkd.training.strategies.supervised import Supervised  # noqa: E402

TINY = Recipe(
    "tiny",
    "fanet",
    {"widths": [8, 16], "encoder_blocks": [1, 1], "decoder_blocks": [1], "groups": 2},
    steps=12,
    batch=4,
    crop_px=16,
    learning_rate=1e-2,
    warmup_steps=2,
)
PROVENANCE = Provenance("tiny", "Apache-2.0", "0" * 12, [{"file": "a.png"}], "2026-01-01", "a test")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(2):
        patches = np.random.default_rng(number).integers(0, 256, (34, 34, 3), np.uint8)
        iio.imwrite(folder / f"{number}.png", patches.repeat(8, 0).repeat(8, 1))
    return folder


def trained(recipe: Recipe, pictures: Path, folder: Path, start_from: str | None = None) -> tuple[Path, CleanSet]:
    """A short run and its held-out pictures."""
    sets = find_pictures([pictures], 32)
    folder.mkdir()
    run = Run(folder, threads=1, validate_every=6)
    train(
        recipe,
        2,
        sets,
        lambda where, _student: Supervised(build_losses(recipe.losses, None, where)),
        run,
        start_from=start_from,
    )
    return folder, sets[1]


@pytest.fixture(scope="module")
def model(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("export")
    first, _ = trained(TINY, pictures, place / "first")
    run, held_out = trained(replace(TINY, name="polish", steps=2), pictures, place / "run", str(first))
    return export(run, place / "models", held_out, PROVENANCE)


def test_the_card_is_complete(model: Path) -> None:
    card = read_card(model)
    assert card.name == model.name == "tiny-2"
    assert card.subrange == TINY.subrange(2)
    assert card.anchor == TINY.anchor(2)
    assert card.stride == 2
    assert 0 < card.halo <= 64
    assert set(card.files) == {WEIGHTS, NETWORK}
    assert len(card.metrics) == 3
    for gain, row in card.metrics.items():
        assert card.subrange.low < float(gain) < card.subrange.high
        assert row["psnr"] > row["psnr_noisy"]
    document = json.loads((model / "card.json").read_text())
    assert [stage["recipe"] for stage in document["recipe"]["stages"]] == ["tiny", "polish"]
    assert [stage["steps"] for stage in document["recipe"]["stages"]] == [12, 2]
    readme = (model / "README.md").read_text()
    assert f"{card.params:,} parameters" in readme
    assert sorted(path.name for path in model.iterdir()) == sorted([WEIGHTS, NETWORK, "card.json", "README.md"])


def test_a_large_network_of_dense_gated_blocks_gets_int8(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "BATCHES", 2)
    dense = replace(TINY, config={**TINY.config, "block": "dense-gated", "patch": True, "shrink": 2})
    run, held_out = trained(dense, pictures, tmp_path / "run")
    card = read_card(export(run, tmp_path / "models", held_out, PROVENANCE, pictures=held_out))
    assert card.int8
    assert set(card.int8.ranges) == {"encoder.0.0.mix", "encoder.1.1.mix", "decoder.0.0.mix"}
    assert set(card.int8.cost_db) == set(card.metrics)
    assert all(abs(cost) < 0.1 for cost in card.int8.cost_db.values())
    assert card.int7
    assert set(card.int7.ranges) <= set(card.int8.ranges)
    for precision in ("int8", "int7"):
        check_golden(card, OpenVINOEngine(card, threads=1, precision=precision))
    assert "int8 cost" in (card.directory / "README.md").read_text()


def test_a_run_that_rounds_keeps_its_ranges(pictures: Path, tmp_path: Path) -> None:
    """The averaged network is validated with rounding, and the card has the ranges of the training."""
    dense = replace(TINY, config={**TINY.config, "block": "dense-gated", "patch": True, "shrink": 2})
    ranges = encode({"encoder.0.0.mix": np.full(8, 2.5, np.float32), "encoder.1.1.mix": np.full(16, 3.5, np.float32)})
    run, held_out = trained(replace(dense, int8=ranges), pictures, tmp_path / "run")
    exact, _ = trained(dense, pictures, tmp_path / "exact")
    values = [load_checkpoint(folder).history[-1]["val_psnr_gain_db"] for folder in (run, exact)]  # type: ignore[union-attr]
    assert values[0] != values[1]
    card = read_card(export(run, tmp_path / "models", held_out, PROVENANCE))
    assert card.int8
    assert card.int8.ranges == ranges == card.recipe["int8"]


def test_other_networks_get_no_int8(model: Path) -> None:
    """Blocks without dense convolutions behind a norm have no ranges."""
    card = read_card(model)
    assert card.int8 is None
    assert int8.activation_ranges(load_module(card), TINY, 2, None) == {}
    gated = next(card for card in load_cards(None) if card.tier == "fast")
    assert int8.convolutions_for_int8(load_module(gated)) == {}
    assert with_int8(gated, {}, CleanSet([], 1, 1)) is gated


def test_a_new_export_has_the_tiles_of_the_shipped_models(model: Path) -> None:
    shipped = [card for card in load_cards(None) if card.cfa == "bayer"]
    assert {card.tier for card in shipped} == set(TIERS)
    for card in [*shipped, read_card(model)]:
        assert card.tile == tile_px(CFAPattern.of_kind(card.cfa), card.tier), card.name
    assert [tile_px(cell, "fast") for cell in (CFAPattern.MONO, CFAPattern.XTRANS)] == [832, 256]


def test_limits_follow_from_what_was_trained_on() -> None:
    told = " ".join(limits_of(TINY))
    assert "lamp" in told
    assert "smoothed" in told
    told = " ".join(limits_of(replace(TINY, noise=replace(TINY.noise, smoothed=0.1))))
    assert "smoothed" not in told
    assert "row noise" in told


def test_the_readme_names_the_teacher_of_a_run(model: Path) -> None:
    card = read_card(model)
    alone, taught = card.recipe["stages"]
    taught = {**taught, "distillation": {"strategy": "response", "teacher": "teacher-fanet"}}
    text = readme_of(replace(card, recipe={**card.recipe, "stages": [alone, taught]}))
    assert "| tiny | 12 |" in text
    assert "| polish, response by teacher-fanet | 2 |" in text


def test_weights_load_strictly_and_agree_with_the_graph(model: Path) -> None:
    from safetensors.torch import load_file

    card = read_card(model)
    network = build_network(card.network, card.config)
    network.load_state_dict(load_file(model / WEIGHTS), strict=True)
    engine = OpenVINOEngine(card, threads=1, precision="f32")
    check_golden(card, engine)
    planes = np.random.default_rng(0).random((1, 4, 40, 56), np.float32)
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(planes)).numpy()
    np.testing.assert_allclose(engine.run(planes), expected, atol=1e-4)
    assert np.abs(expected - planes).max() > 1e-3


def test_a_models_weights_are_refined_and_its_data_stated(model: Path, pictures: Path, tmp_path: Path) -> None:
    still = replace(TINY, name="own-sensor", steps=1, learning_rate=0.0)
    run, held_out = trained(still, pictures, tmp_path / "run", str(model))
    state = load_checkpoint(run)
    assert state is not None
    assert state.origin is not None
    provenance = replace(PROVENANCE, data=state.origin["data"])
    refined = export(run, tmp_path / "models", held_out, provenance)
    before, after = read_card(model), read_card(refined)
    torch.testing.assert_close(load_module(after).state_dict(), load_module(before).state_dict(), atol=0, rtol=0)
    held = {"file": "0.png", "use": "held out for validation"}
    assert after.data == [{"file": "1.png"}, held, {"file": "a.png"}]  # its own, and what the model was made of
    assert [stage["recipe"] for stage in after.recipe["stages"]] == ["tiny", "polish", "own-sensor"]


def test_a_model_is_made_again_from_its_card(model: Path, pictures: Path, tmp_path: Path) -> None:
    common = ["--data", str(pictures), "--threads", "1", "--validate-every", "6", "--out", str(tmp_path / "again")]
    assert main(["train", "--like", str(model), *common]) == 0
    again = load_checkpoint(tmp_path / "again" / "2-polish")
    assert again is not None
    weights = load_module(read_card(model)).state_dict()
    for name, weight in again.average.items():
        torch.testing.assert_close(weight, weights[name], atol=0, rtol=0)
    assert main(["train", "--like", str(model), "--start-from", str(model), *common]) == 2
    assert main(["train", *common]) == 2


def test_a_repeated_training_out_of_time_goes_on_where_it_stopped(model: Path, pictures: Path, tmp_path: Path) -> None:
    """The second run never begins with the weights of a first one that is not finished."""
    out = tmp_path / "again"
    common = ["train", "--like", str(model), "--data", str(pictures), "--threads", "1", "--out", str(out)]
    assert main([*common, "--minutes", "1e-9"]) == 0
    begun = load_checkpoint(out / "1-tiny")
    assert begun is not None
    assert begun.step == 1
    assert not (out / "2-polish").exists()
    assert main(common) == 0
    again = load_checkpoint(out / "2-polish")
    assert again is not None
    weights = load_module(read_card(model)).state_dict()
    for name, weight in again.average.items():
        torch.testing.assert_close(weight, weights[name], atol=0, rtol=0)


def test_a_repeated_training_takes_the_options_of_a_recipe(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["train", "--like", str(model), "--out", str(tmp_path / "again")]
    assert main(common) == 2  # its recipe has pictures, and dead leaves alone would be another training
    assert "recipe tiny needs pictures" in capsys.readouterr().err
    assert main([*common, "--data", str(pictures), "--sigma", "50"]) == 2
    assert "--sigma does not apply" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()
    assert main([*common, "--data", str(pictures), "--batch", "2", "--steps", "1", "--threads", "1"]) == 0
    for name in ("1-tiny", "2-polish"):
        state = load_checkpoint(tmp_path / "again" / name)
        assert state is not None
        assert (state.recipe["recipe"]["batch"], state.step) == (2, 1)


def test_a_card_without_settings_cannot_be_made_again(model: Path, tmp_path: Path) -> None:
    older = shutil.copytree(model, tmp_path / "older")
    document = json.loads((older / "card.json").read_text())
    for stage in document["recipe"]["stages"]:
        del stage["settings"]
    (older / "card.json").write_text(json.dumps(document))
    with pytest.raises(ModelError, match="does not contain the settings of its runs"):
        stages_to_repeat(read_card(older))


def test_a_folder_without_a_run_is_refused(pictures: Path, tmp_path: Path) -> None:
    held_out = find_pictures([pictures], 32)[1]
    with pytest.raises(ModelError, match=r"contains no checkpoint\. Train first"):
        export(tmp_path, tmp_path / "models", held_out, PROVENANCE)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_answers_otherwise_is_not_shipped(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, held_out = trained(replace(TINY, steps=1), pictures, tmp_path / "run")

    def other_graph(network: Any) -> bytes:
        with torch.no_grad():
            network.head.bias += 1
        data = onnx_of(network)
        with torch.no_grad():
            network.head.bias -= 1
        return data

    onnx_of = exporting._onnx
    monkeypatch.setattr(exporting, "_onnx", other_graph)
    with pytest.raises(ModelError, match="the exported graph is off by"):
        export(run, tmp_path / "models", held_out, PROVENANCE)
    assert not (tmp_path / "models" / "tiny-2" / "card.json").exists()


def rows_of(training: CleanSet, held_out: CleanSet) -> list[dict[str, str]]:
    """What a card of a run on these pictures would say."""
    return with_licences(origin_of(None, training, held_out)["data"], training.folders)


def test_a_row_speaks_for_the_file_beside_it_alone(pictures: Path, tmp_path: Path) -> None:
    inner = tmp_path / "data" / "inner"
    inner.mkdir(parents=True)
    for name in ("0.png", "1.png"):
        shutil.copy(pictures / "0.png", tmp_path / "data" / name)
        shutil.copy(pictures / "0.png", inner / name)
    header = "file\trepository\tpath\tlicence\n"
    (tmp_path / "data" / "SOURCES.tsv").write_text(f"{header}1.png\tr\tp\tCC0\n")
    training, held_out = find_pictures([tmp_path / "data"], 32)
    with pytest.raises(InputError, match=r"0\.png and 1 more files have no row"):
        rows_of(training, held_out)
    (inner / "SOURCES.tsv").write_text(f"{header}0.png\tr\tq\tCC0\n")
    (tmp_path / "data" / "SOURCES.tsv").write_text(f"{header}1.png\tr\tp\tCC0\ninner/1.png\tr\ts\tCC0\n")
    assert [row.get("path") for row in rows_of(training, held_out)] == ["p", "q", "s", None]


def test_a_model_is_not_replaced_unasked(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even by a run of the same recipe and tier: that may have learnt for a minute."""
    data = shutil.copytree(pictures, tmp_path / "data")
    (data / "SOURCES.tsv").write_text("file\trepository\tpath\tlicence\n0.png\tr\tp\tCC0\n1.png\tr\tp\tCC0\n")
    run, _ = trained(replace(TINY, name="polish", steps=1, seed=9), data, tmp_path / "run")
    place = shutil.copytree(model, tmp_path / "models" / model.name)
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    asked = ["export", str(run), "--data", str(data), "--family", "tiny", "--models", str(place.parent)]
    assert main(asked) == 6
    assert f"{place}: there is a model already. Give --overwrite to replace it" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    assert main([*asked, "--overwrite"]) == 0
    assert read_card(place).files[WEIGHTS] != read_card(model).files[WEIGHTS]


def test_what_is_no_model_is_neither_replaced_nor_deleted(model: Path, pictures: Path, tmp_path: Path) -> None:
    """A run that has the model's name above all."""
    _, held_out = find_pictures([pictures], 32)
    run = shutil.copytree(model.parent.parent / "run", tmp_path / "tiny-2")
    before = sorted(path.name for path in run.iterdir())
    with pytest.raises(ModelError, match="tiny-2: exists and is not a model"):
        export(run, tmp_path, held_out, PROVENANCE)
    assert sorted(path.name for path in run.iterdir()) == before
    for family in ("../x", "", ".."):
        with pytest.raises(UsageError, match="is not a valid folder name"):
            export(run, tmp_path / "models", held_out, replace(PROVENANCE, family=family))
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OutputError, match="cannot be created"):
        export(run, file / "models", held_out, PROVENANCE)


def test_an_older_model_goes_with_its_own_files_alone(model: Path, pictures: Path, tmp_path: Path) -> None:
    _, held_out = find_pictures([pictures], 32)
    place = shutil.copytree(model, tmp_path / "models" / model.name)
    (place / "notes").mkdir()
    (place / "notes.txt").write_text("mine")
    export(model.parent.parent / "run", tmp_path / "models", held_out, PROVENANCE, half=True, overwrite=True)
    kept = {path.name for path in place.iterdir()}
    assert {"notes", "notes.txt"} < kept
    assert WEIGHTS not in kept, "a model in shards has no file of all weights"


@pytest.mark.parametrize(("encoding", "message"), [("latin-1", "not UTF-8"), ("utf-8-sig", None)])
def test_tables_that_other_programs_saved(pictures: Path, tmp_path: Path, encoding: str, message: str | None) -> None:
    """A spreadsheet puts a mark before the first column's name."""
    header = "file\trepository\tpath\tlicence\n"
    (tmp_path / "SOURCES.tsv").write_text(f"{header}0.png\tr\tMünchen\tCC0\n", encoding=encoding)
    rows = [{"file": "0.png"}]
    if message:
        with pytest.raises(InputError, match=message):
            with_licences(rows, [tmp_path])
    else:
        assert with_licences(rows, [tmp_path])[0]["path"] == "München"


def test_a_table_without_a_column_is_named(pictures: Path, tmp_path: Path) -> None:
    training, held_out = find_pictures([pictures], 32)
    (tmp_path / "SOURCES.tsv").write_text("file\trepository\tpath\n0.png\tr\tp\n")
    rows = origin_of(None, training, held_out)["data"]
    with pytest.raises(InputError, match=r"SOURCES\.tsv: there is no column licence\. It needs file, repository, path"):
        with_licences(rows, [tmp_path])


@pytest.mark.parametrize(
    ("line", "count"), [("1.png\tr\tp", 3), ("1.png\tr\tp\tq\tCC0\tx", 6), ("1.png", 1), ("1.png\tr\tp\tCC0\t", 5)]
)
def test_a_line_with_other_columns_than_the_header_is_named(
    pictures: Path, tmp_path: Path, line: str, count: int
) -> None:
    """Its licence may stand in another column. A training says so, too, before its first step."""
    data = shutil.copytree(pictures, tmp_path / "data")
    table = data / "SOURCES.tsv"
    table.write_text(f"file\trepository\tpath\tlicence\n0.png\tr\tp\tCC0\n\n{line}\n")
    told = re.escape(f"{table}, line 4: {count} columns, the header has 4. Correct this line.")
    with pytest.raises(InputError, match=f"^{told}$"):
        with_licences([{"file": "0.png"}], [data])
    with pytest.raises(InputError, match=f"^{told}$"):
        origin_of(None, *find_pictures([data], 32))


def test_a_run_keeps_what_it_began_with_and_learnt_from(pictures: Path, tmp_path: Path) -> None:
    header = "file\trepository\tpath\tlicence\n"
    folders = [tmp_path / name for name in ("first", "second")]
    for folder, names in zip(folders, ("abc", "bcd"), strict=True):
        folder.mkdir()
        for name in names:
            iio.imwrite(folder / f"{name}.png", np.roll(iio.imread(pictures / "0.png"), ord(name), axis=0))
    a, b = (tmp_path / "a", tmp_path / "b")
    one = replace(TINY, steps=1)
    trained(one, folders[0], a)
    trained(replace(one, name="polish"), folders[1], b, str(a))
    stages, sets = stages_of(b), find_pictures([folders[1]], 32)
    with pytest.raises(InputError, match=r"c\.png and 2 more files have no row in SOURCES\.tsv"):
        data_of(b, sets[1], sets[0])
    for folder in folders:
        (folder / "SOURCES.tsv").write_text(header + "".join(f"{name}.png\tr\t{folder.name}\tCC0\n" for name in "abcd"))
    shutil.copy(folders[1] / "d.png", folders[1] / "a.png")  # now another one is held out, and the run knows better
    trained(replace(one, steps=2), folders[0], a / "again")
    shutil.rmtree(a)
    training, held_out = find_pictures(folders[::-1], 32)
    assert stages_of(b) == stages
    assert [stage["recipe"] for stage in stages] == ["tiny", "polish"]
    told = data_of(b, held_out, training)
    assert sorted(row["file"] for row in told if "use" not in row) == ["b.png", "c.png", "d.png"]
    assert [row["file"] for row in told if "use" in row] == ["a.png"]
    assert {name for name, digest in trained_on(b) if digest} == {"b.png", "c.png", "d.png"}
    assert [path.name for path in training.without(learnt_of(training, trained_on(b))).paths] == ["a.png"]


def test_a_model_is_not_measured_on_what_it_learnt(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One picture serves as both sets. With another folder, the new picture is measured on, wherever it stands."""
    for folder, name in (("one", "0.png"), ("two", "1.png")):
        (tmp_path / folder).mkdir()
        shutil.copy(pictures / name, tmp_path / folder)
        (tmp_path / folder / "SOURCES.tsv").write_text(f"file\trepository\tpath\tlicence\n{name}\tr\tp\tCC0\n")
    run, only = trained(replace(TINY, steps=1), tmp_path / "one", tmp_path / "run")
    assert only.without(learnt_of(only, {("0.png", "")})).paths == []
    asked = ["export", str(run), "--models", str(tmp_path / "models"), "--data", str(tmp_path / "one")]
    assert main(asked) == 3
    assert "it has learnt all pictures of --data, so none is left to measure it on" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()
    training, held_out = find_pictures([tmp_path / "one", tmp_path / "two"], 32)
    assert (training.names, held_out.names) == (["1.png"], ["0.png"])  # the learnt one is held out
    assert unlearnt(run, training, held_out).names == ["1.png"]
    assert main([*asked, "--data", str(tmp_path / "two")]) == 0


def test_a_model_is_not_measured_on_what_it_learnt_below_another_folder(pictures: Path, tmp_path: Path) -> None:
    """0.png and sub/0.png are one picture, and another 0.png is none that it knows."""
    (tmp_path / "sub").mkdir()
    shutil.copy(pictures / "0.png", tmp_path / "sub" / "0.png")
    run, _ = trained(replace(TINY, steps=1), tmp_path / "sub", tmp_path / "run")
    shutil.copy(pictures / "1.png", tmp_path / "0.png")
    training, held_out = find_pictures([tmp_path], 32)
    assert (held_out.names, training.names) == (["0.png"], ["sub/0.png"])
    assert unlearnt(run, training, held_out) is held_out
    assert unlearnt(run, held_out, training) is held_out


def test_the_pictures_of_a_shipped_model_are_learnt_too(pictures: Path) -> None:
    """A run that starts from it must not be measured on them."""
    card = load_cards(None)[0]
    names = {row["file"] for row in card.data if "use" not in row}
    assert len(names) > 50
    assert learnt_by(card.name) == {(name, "") for name in names}
    origin = origin_of(card.name, *find_pictures([pictures], 32))
    assert {name for name, _ in origin["learnt"]} == {*names, "1.png"}
    (_, digest), *_ = origin["pictures"]["training"]
    assert ["1.png", digest] in origin["learnt"]


def test_a_stage_that_is_gone_is_no_secret(pictures: Path, tmp_path: Path) -> None:
    """Of runs that kept no origin."""
    run, _ = trained(replace(TINY, steps=1), pictures, tmp_path / "run")
    state = load_checkpoint(run)
    assert state is not None
    gone = {**state.recipe, "start_from": str(tmp_path / "gone")}
    save_checkpoint(tmp_path, replace(state, recipe=gone, origin=None))
    with pytest.raises(ModelError, match=r"the weights that it started from are missing \(.*gone: neither the folder"):
        stages_of(tmp_path)


def test_data_of_unknown_origin_does_not_ship(pictures: Path) -> None:
    training, held_out = find_pictures([pictures], 32)
    with pytest.raises(InputError, match=r"1\.png and 0 more files have no row in SOURCES\.tsv"):
        rows_of(training, held_out)
    (pictures / "SOURCES.tsv").write_text("file\trepository\tpath\tlicence\n1.png\tr\tp\tCC0\n")
    rows = rows_of(training, held_out)
    assert rows[0] == {"file": "1.png", "repository": "r", "path": "p", "licence": "CC0"}
    assert rows[1]["file"] == "0.png"
