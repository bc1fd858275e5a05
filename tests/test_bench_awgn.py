"""The benchmark of white Gaussian noise: its noise, its scores, what stands beside them, and what it refuses."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from tiny_models import blur, make_model
from tiny_pictures import picture_folder, picture_model

from rawkd.cli import main
from rawkd.errors import InputError, ModelError, UsageError
from rawkd.evaluation.awgn import AwgnOptions, clean_values, run_awgn, score
from rawkd.evaluation.awgn_models import PictureModels
from rawkd.evaluation.awgn_published import COUNTS, PUBLISHED, published
from rawkd.inference.card_file import read_card
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.pictures import restore_picture, turned, turned_back, values_of
from rawkd.inference.selftest import check_golden
from rawkd.inference.students import load_family
from rawkd.sensor.cfa import SYMMETRIES

pytest.importorskip("skimage", reason="needs the extra: rawkd[bench]")


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of a family that return what they are given."""
    folder = tmp_path_factory.mktemp("models") / "same"
    picture_model(folder / "same-15", low=15.0)
    picture_model(folder / "same-25-50", low=25.0, high=50.0)
    return folder


@pytest.fixture(scope="module")
def middle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Levels so far from black and white that noise of sigma 15 reaches neither (8 standard deviations)."""
    return picture_folder(tmp_path_factory.mktemp("set") / "middle", ((160, 200), (161, 99)), middle=True)


@pytest.mark.parametrize("off", [1.0, 1.03], ids=["as stated", "twin of another sigma"])
def test_what_changes_nothing_has_the_psnr_of_the_noise(identity: Path, middle: Path, off: float) -> None:
    sigma = 15.0
    results = run_awgn(middle, [PictureModels(str(identity))], AwgnOptions((sigma,)))
    for record in results.records:
        samples = record.megapixels * 1e6
        expected = 10 * math.log10(255**2 / ((off * sigma) ** 2 + 1 / 12))  # rounding to 8 bits adds 1/12
        tolerance = 5 * 10 / math.log(10) * math.sqrt(2 / samples)  # five deviations of a variance of so many samples
        assert (abs(record.values["psnr_db"] - expected) < tolerance) == (off == 1.0)
    noisy, same = ([record.values for record in results.records if record.method == name] for name in ("noisy", "same"))
    assert noisy == same


def test_noise_is_of_the_picture_and_grows_with_sigma(identity: Path, middle: Path) -> None:
    seen: list[np.ndarray] = []

    class Listening(PictureModels):
        def restore(self, noisy: np.ndarray, sigma: float) -> np.ndarray:
            seen.append((noisy - clean_of[len(seen) // 2]) / sigma)
            return noisy

    clean_of = [clean_values(path, "grey") for path in sorted(middle.iterdir())]
    run_awgn(middle, [Listening(str(identity))], AwgnOptions((15.0, 40.0)))
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-6)
    common = np.corrcoef(seen[0][0, :90, :90].ravel(), seen[2][0, :90, :90].ravel())[0, 1]
    assert abs(common) < 5 / 90
    model = PictureModels(str(identity))
    first, again, other = (
        [record.values for record in run_awgn(middle, [model], AwgnOptions((15.0,), seed)).records]
        for seed in (0, 0, 1)
    )
    assert first == again != other


def test_results_are_clipped_and_rounded_before_they_are_scored() -> None:
    clean = np.zeros((1, 16, 16), np.float32)
    assert score(clean - 0.7, clean)["psnr_db"] == math.inf
    assert score(clean + 0.49 / 255, clean)["psnr_db"] == math.inf
    assert score(clean + 0.51 / 255, clean)["psnr_db"] == pytest.approx(20 * math.log10(255))
    three = np.zeros((3, 16, 16), np.float32)
    three[1] = 1 / 255
    assert score(three, np.zeros_like(three))["psnr_db"] == pytest.approx(10 * math.log10(255**2 * 3))


def test_all_symmetries_are_turned_back() -> None:
    picture = np.random.default_rng(0).random((3, 5, 8)).astype(np.float32)
    views = [turned(picture, symmetry) for symmetry in SYMMETRIES[8]]
    assert len({view.tobytes() for view in views}) == 8
    for view, symmetry in zip(views, SYMMETRIES[8], strict=True):
        np.testing.assert_array_equal(turned_back(view, symmetry), picture)


def test_the_ensemble_is_the_mean_over_the_symmetries(tmp_path: Path) -> None:
    shift = np.zeros((3, 3))
    shift[1, 2] = 1.0  # every pixel becomes its right neighbour
    card = picture_model(tmp_path / "shift", weight=shift)
    engine = OpenVINOEngine(card, threads=1, precision="f32")
    picture = np.random.default_rng(0).random((1, 12, 10)).astype(np.float32)
    alone = restore_picture(engine, picture, card)
    np.testing.assert_array_equal(alone[0, :, :-1], picture[0, :, 1:])
    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]) / 4
    middle = picture_model(tmp_path / "cross", weight=cross)
    expected = OpenVINOEngine(middle, threads=1, precision="f32").run(picture[None])[0]
    np.testing.assert_allclose(restore_picture(engine, picture, card, 8), expected, atol=1e-6)


@pytest.mark.parametrize("size", [(31, 44), (33, 35), (8, 9)])
def test_odd_pictures_are_continued_and_cut(tmp_path: Path, size: tuple[int, int]) -> None:
    card = picture_model(tmp_path / "same", stride=8, tile=32, halo=0)
    engine = OpenVINOEngine(card, threads=1, precision="f32")
    picture = np.random.default_rng(0).random((1, *size)).astype(np.float32)
    np.testing.assert_array_equal(restore_picture(engine, picture, card), picture)


def test_grey_is_luma_and_grey_stays_grey() -> None:
    levels = np.arange(256, dtype=np.uint8)
    grey = np.repeat(levels.reshape(16, 16, 1), 3, 2)
    np.testing.assert_array_equal(values_of(grey, 1)[0], (grey[:, :, 0] / 255).astype(np.float32))
    np.testing.assert_array_equal(values_of(grey, 3), np.moveaxis(grey, 2, 0).astype(np.float32) / np.float32(255))
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    np.testing.assert_allclose(values_of(primaries, 1)[0, 0] * 255, [76, 150, 29], atol=1e-4)
    assert values_of(np.full((4, 4, 3), 65535, np.uint16), 1).max() == 1.0


def test_published_numbers_are_frozen() -> None:
    lines = [f"{r.method} {r.kind} {r.dataset} {r.sigma:g} {r.psnr_db}" for r in PUBLISHED]
    assert len(lines) == 198
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == "1c0768dca1e51f27"
    by = {(r.method, r.kind, r.dataset, r.sigma): r.psnr_db for r in PUBLISHED}
    assert len(by) == len(PUBLISHED)
    assert by["MDRN(2B)", "grey", "Set12", 50] == 27.35
    assert by["DnCNN", "grey", "Set12", 50] == 27.18
    assert by["FFDNet", "grey", "Set12", 50] == 27.32
    assert by["MDRN+HMDS(25)", "grey", "BSD68", 50] == 26.46
    assert by["MDRN+", "rgb", "Kodak24", 70] == 28.01
    assert ("MDRN(2B)", "grey", "Set12", 25) not in by
    assert {r.source for r in PUBLISHED} == {"MDRN, arXiv 2204.13873"}


def test_rows_are_those_of_the_set_and_sigmas() -> None:
    rows = published("grey", "set12", 12, (50.0, 20.0))
    assert {(row.dataset, row.sigma) for row in rows} == {("Set12", 50)}
    assert not published("grey", "Set12", 11, (50.0,))
    assert not published("rgb", "Set12", 12, (50.0,))
    assert not published("grey", "Set14", 14, (50.0,))
    assert {row.dataset for row in PUBLISHED} == set(COUNTS)


def command(*arguments: str | Path | float) -> int:
    return main(["bench", "awgn", *map(str, arguments)])


def test_the_command_prints_ours_beside_the_published(
    identity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = picture_folder(tmp_path / "Set12", ((16, 24),) * 12)
    asked = ("--model", identity, "--set", folder, "--sigma", "15,50", "--threads", 1)
    assert command(*asked, "-o", tmp_path / "out") == 0
    shown = capsys.readouterr().out
    rows = {line.split("│")[1].strip(): line for line in shown.splitlines() if line.startswith("│")}
    assert {"noisy", "same", "MDRN(2B)", "MDRN+HMDS(25)", "BM3D"} <= set(rows)
    assert "32.87" in rows["MDRN(2B)"]
    assert "27.35" in rows["MDRN(2B)"]
    assert rows["MDRN+HMDS(25)"].split("│")[3].strip() == "-"
    assert "numpy's PCG64 of the seed [0, number of the picture" in shown
    assert "rounded to 8 bits" in shown
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert document["format"] == "rawkd-bench"
    assert document["benchmark"] == "awgn"
    assert {row["sigma"] for row in document["published"]} == {15, 50}
    table = list(csv.DictReader((tmp_path / "out" / "cases.csv").open()))
    assert len(table) == 12 * 2 * 2
    assert float(table[0]["noise_read_variance"]) == pytest.approx((15 / 255) ** 2)
    assert command(*asked, "-o", tmp_path / "out") == 6  # nothing is overwritten unasked
    assert capsys.readouterr().out == ""  # found out before the run
    assert command(*asked, "--json", "--limit", 2, "--ensemble", 8) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["published"] == []
    assert document["rules"]["limit"] == "only the first 2 of 12 pictures"
    assert [method["name"] for method in document["methods"]] == ["noisy", "same+"]


def test_colour_models_take_colour(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture_model(tmp_path / "model", "rgb", 30.0)
    folder = picture_folder(tmp_path / "Kodak24", ((16, 16),) * 24, colour=True)
    assert command("--model", tmp_path / "model", "--set", folder, "--sigma", 30) == 0
    shown = capsys.readouterr().out
    assert "31.40" in shown
    assert "all three channels together" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("same", "middle", "20"), 5, "same has no model for sigma 20 (it has 15, 25 to 50): leave that sigma out, or"),
        (("raw", "middle", "50"), 5, "raw holds no model of grey or rgb pictures with white Gaussian noise: train one"),
        (("nothing", "middle", "50"), 5, "nothing is neither a folder nor a model with white Gaussian noise"),
        (("both", "middle", "50"), 5, "both holds models of grey and of colour pictures: name either"),
        (("twice", "middle", "50"), 5, "several models of twice know sigma 50 (a, b): name one of them"),
        (("same", "colours", "50"), 3, "00.png has colours, and the models take grey"),
        (("same", "nowhere", "50"), 3, "nowhere is not a folder. Name a folder of clean pictures."),
        (("same", "same", "50"), 3, "same holds no picture"),
        (("same", "middle", "50,50"), 2, "a sigma is named twice"),
        (("same", "middle", "0"), 2, "sigma 0: name some above 0 and up to 255"),
        (("same", "middle", "x"), 2, "'x' is not a list of sigmas"),
    ],
)
def test_what_is_refused(
    identity: Path,
    middle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, str, str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, place in (("same", identity), ("middle", middle)):
        (tmp_path / name).symlink_to(place)
    make_model(tmp_path / "raw", blur)
    picture_model(tmp_path / "both" / "a")
    picture_model(tmp_path / "both" / "b", "rgb")
    picture_model(tmp_path / "twice" / "a")
    picture_model(tmp_path / "twice" / "b", low=40.0, high=60.0)
    picture_folder(tmp_path / "colours", ((16, 16),), colour=True)
    model, folder, sigma = arguments
    assert command("--model", model, "--set", folder, "--sigma", sigma, "-q") == code
    captured = capsys.readouterr()
    assert message in " ".join(captured.err.split())
    assert captured.out == ""


def test_models_that_differ_in_kind_or_not_in_name_are_refused(tmp_path: Path, identity: Path, middle: Path) -> None:
    picture_model(tmp_path / "rgb", "rgb")
    models = [PictureModels(str(identity)), PictureModels(str(tmp_path / "rgb"))]
    with pytest.raises(UsageError, match="some models take grey and some colour pictures"):
        run_awgn(middle, models, AwgnOptions((50.0,)))
    with pytest.raises(UsageError, match="two methods of one name"):
        run_awgn(middle, [models[0], models[0]], AwgnOptions((50.0,)))
    with pytest.raises(InputError, match="holds no picture"):
        run_awgn(identity, models[:1], AwgnOptions((50.0,)))


def test_values_that_are_not_finite_are_refused(identity: Path, middle: Path) -> None:
    class Broken(PictureModels):
        def restore(self, noisy: np.ndarray, sigma: float) -> np.ndarray:  # noqa: ARG002
            return np.full_like(noisy, np.nan)

    with pytest.raises(ModelError, match=r"00\.png: same returned values that are not finite"):
        run_awgn(middle, [Broken(str(identity))], AwgnOptions((15.0,)))


def test_no_raw_photo_is_given_to_such_a_model(identity: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match="the model same-15 is for grey pictures with white Gaussian noise, not for raw"
    ):
        load_family(identity)
    make_model(tmp_path / "fine", blur)
    assert [card.name for card in load_family(tmp_path)] == ["fine"]


def test_a_card_of_pictures_proves_itself_and_its_twin_does_not(identity: Path, tmp_path: Path) -> None:
    card = read_card(identity / "same-15")
    assert (card.subrange.low, card.subrange.high) == (15, 15)
    assert card.channels == 1
    assert check_golden(card, OpenVINOEngine(card, threads=1, precision="f32")) == 0
    twin = picture_model(tmp_path / "twin", low=15.0, weight=np.full((3, 3), 1 / 9))
    with pytest.raises(ModelError, match="computes wrongly"):
        check_golden(card, OpenVINOEngine(twin, threads=1, precision="f32"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subrange": [50.0, 15.0]}, "field subrange"),
        (
            {"anchor": {"gain": 1e-3, "read_variance": 1e-6}},
            r"field anchor \(gain 0\.001\) does not fit the input grey",
        ),
        ({"anchor": {"gain": 0.0, "read_variance": 0.0}}, "field anchor"),
    ],
)
def test_cards_of_pictures_state_sigma(
    identity: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    document = json.loads((identity / "same-15" / "card.json").read_text()) | changes
    (tmp_path / "card.json").write_text(json.dumps(document))
    with pytest.raises(ModelError, match=message):
        read_card(tmp_path)
