"""The command `rawkd bench`, its methods, and what it writes."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("skimage", reason="needs scikit-image")

from bench_sets import Identity, noisy_of, plain_psnr, raw_photo, save_raw
from conftest import ROOT
from small_photos import clean_signal, noisy_photo
from test_imports import HEAVY, modules_of
from tiny_models import blur, identity, make_model

from rawkd.cli import main
from rawkd.errors import ModelError, UsageError
from rawkd.evaluation import report
from rawkd.evaluation.baselines import BASELINES, PACKAGES, stabilise, unstabilise
from rawkd.evaluation.datasets.case import RAW_RULES, Case, Score, raw_values
from rawkd.evaluation.methods import Noisy, method_named, methods_named
from rawkd.evaluation.plots import bias_chart, psnr_chart
from rawkd.evaluation.report import results_csv, results_json, summarise, write_results
from rawkd.evaluation.scoring import Record, Results, run
from rawkd.files.write.drawing import Dots, Text
from rawkd.photo import CFAPattern, Mosaic
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import denoise
from rawkd.sensor.noise import NoiseModel

GAIN, READ_VARIANCE = 1e-3, 4e-6
NOISE = NoiseModel(np.array(GAIN), np.array(READ_VARIANCE), "given")


def a_case(name: str = "a", pattern: CFAPattern = CFAPattern.GBRG, group: str = "g") -> Case:
    clean = clean_signal(96, 128)
    noisy = noisy_of(clean, 1, GAIN)
    return Case(name, group, Mosaic(noisy, pattern), Mosaic(clean, pattern), NOISE)


class TwoCases:
    """A benchmark of two groups."""

    name = "two"
    rules = RAW_RULES
    total = 2

    def cases(self) -> Iterator[Case]:
        yield a_case("a", group="dark")
        yield a_case("b", group="light")

    def score(self, case: Case, _method: str, restored: Mosaic) -> Iterator[Score]:
        assert case.reference is not None
        yield Score(case.name, raw_values(restored, case.reference))


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_model(tmp_path / "tiny", blur, subrange=[1e-6, 1e-1])
    return tmp_path / "tiny"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        clean = raw_photo(clean_signal(64, 96))
        save_raw(tmp_path / "pairs" / f"{name}-clean.dng", clean)
        save_raw(tmp_path / "pairs" / f"{name}-noisy.dng", raw_photo(noisy_of(clean.mosaic.data, ord(name))))
    return tmp_path / "pairs"


def test_a_student_restores_as_the_pipeline_does(model: Path) -> None:
    photo = noisy_photo()
    expected = denoise(photo, DenoiseOptions(model=model, noise=(GAIN, READ_VARIANCE), device="cpu"))
    levels = photo.levels
    case = Case("a", "g", photo.mosaic, None, NOISE, levels.saturation, levels.floor)
    method = method_named(str(model), DenoiseOptions(device="cpu"))
    assert method.prepare(case) == ()
    assert np.array_equal(method.restore(case).data, expected.mosaic.data)


def test_an_identity_network_scores_the_noisy_psnr(tmp_path: Path, model: Path) -> None:
    """k-sigma there and back costs a few ulp of 0.5, 1e-7, beside noise of 0.02: less than 1e-5 dB."""
    make_model(tmp_path / "same", identity, subrange=[1e-6, 1e-1])
    records = run(TwoCases(), [Noisy(), method_named(str(tmp_path / "same"), DenoiseOptions(device="cpu"))]).records
    case = a_case()
    assert case.reference is not None
    assert records[0].values["psnr_db"] == pytest.approx(plain_psnr(case.noisy.data, case.reference.data), abs=1e-6)
    assert records[1].values["psnr_db"] == pytest.approx(records[0].values["psnr_db"], abs=1e-5)


def test_methods_have_names_of_their_own(model: Path) -> None:
    options = DenoiseOptions(device="cpu")
    assert [method.name for method in methods_named((str(model), "noisy", "nlm"), options)] == ["noisy", "tiny", "nlm"]
    with pytest.raises(UsageError, match="one name"):
        methods_named((str(model), str(model)), options)
    with pytest.raises(ModelError):
        methods_named(("no such model",), options)


@pytest.mark.parametrize("name", list(BASELINES))
def test_baselines_remove_noise(name: str) -> None:
    for module in BASELINES[name][1]:
        pytest.importorskip(module, reason=f"needs {PACKAGES[module]}")
    method = method_named(name, DenoiseOptions())
    case = a_case(pattern=CFAPattern.GBRG)
    assert case.reference is not None
    restored = method.restore(case)
    before, after = (plain_psnr(mosaic.data, case.reference.data) for mosaic in (case.noisy, restored))
    assert after > before + 3
    assert restored.pattern == CFAPattern.GBRG


def test_a_baseline_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("rawkd.evaluation.baselines.find_spec", lambda name: None if name == "bm3d" else found(name))
    with pytest.raises(UsageError, match="pip install bm3d"):
        method_named("bm3d", DenoiseOptions())


@pytest.mark.parametrize("level", [0.05, 0.4])
def test_stabilised_noise_has_unit_variance_and_the_inverse_no_bias(level: float) -> None:
    """n = 200,000: the variance is known to sqrt(2/n) = 0.3 %, the mean to sd/sqrt(n) = 0.2 % of the noise."""
    rng = np.random.default_rng(0)
    samples = GAIN * rng.poisson(np.full(200_000, level / GAIN)) + rng.normal(0, np.sqrt(READ_VARIANCE), 200_000)
    stable = stabilise(samples, GAIN, READ_VARIANCE)
    assert stable.var() == pytest.approx(1, abs=0.02)
    back = unstabilise(np.array([stable.mean()]), GAIN, READ_VARIANCE)[0]
    deviation = np.sqrt(GAIN * level + READ_VARIANCE)
    assert back == pytest.approx(level, abs=0.02 * deviation)
    algebraic = GAIN * (stable.mean() ** 2 / 4 - 3 / 8) - READ_VARIANCE / GAIN
    assert abs(algebraic - level) > 0.02 * deviation or level > 0.1  # the twin: the plain inverse is biased in the dark


def test_summary_and_files(tmp_path: Path) -> None:
    results = run(TwoCases(), [Noisy(), Identity()])
    rows = summarise(results)
    assert [(row.group, row.method, row.cases) for row in rows] == [
        ("dark", "noisy", 1), ("dark", "identity", 1), ("light", "noisy", 1), ("light", "identity", 1),
        ("all", "noisy", 2), ("all", "identity", 2),
    ]  # fmt: skip
    values = [r.values["ssim"] for r in results.records if r.method == "noisy"]
    assert rows[4].mean["ssim"] == pytest.approx(np.mean(values))
    document = json.loads(results_json(results))
    assert document["rules"] == RAW_RULES
    assert len(document["cases"]) == 4
    assert sum(point["samples"] for point in document["bias"]["noisy"]) == 2 * 96 * 128
    lines = list(csv.DictReader(results_csv(results).splitlines()))
    assert float(lines[0]["psnr_db"]) == results.records[0].values["psnr_db"]
    limited = run(TwoCases(), [Noisy()], limit=1)
    assert "first 1 of 2" in limited.rules["limit"]


def test_equal_pictures_have_no_number_in_json() -> None:
    case = a_case()

    class Same(TwoCases):
        def cases(self) -> Iterator[Case]:
            assert case.reference is not None
            yield Case("a", "g", case.reference, case.reference, NOISE)

    results = run(Same(), [Noisy()])
    assert json.loads(results_json(results))["cases"][0]["psnr_db"] is None


def test_a_result_that_cannot_be_scored_is_named() -> None:
    class Smaller(Identity):
        def restore(self, case: Case) -> Mosaic:
            return Mosaic(case.noisy.data[:-2].copy(), case.noisy.pattern)

    with pytest.raises(
        ModelError, match=r"a: \w+ returned a GBRG mosaic of \(94, 128\), expected a GBRG mosaic of \(96, 128\)"
    ):
        run(TwoCases(), [Smaller()])


def test_the_command(pairs: Path, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "pairs", str(pairs), "-m", str(model), "-m", "nlm", "-o", str(tmp_path / "out")]
    assert main(command) == 0
    printed = capfd.readouterr()
    for word in ("noisy", "tiny", "nlm", "PSNR dB", "clipped to 0..1", "noise: parameters of each noisy file"):
        assert word in printed.out
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(written) == {"report.json", "cases.csv", "psnr.png", "bias.png"}
    assert written["psnr.png"].startswith(b"\x89PNG")
    document = json.loads(written["report.json"])
    assert [method["name"] for method in document["methods"]] == ["noisy", "tiny", "nlm"]
    assert document["methods"][1]["students"] == ["tiny"]
    assert str(tmp_path) not in written["report.json"].decode()
    assert main(command) == 6
    printed = capfd.readouterr()
    assert printed.out == ""  # found out before the run
    assert "--overwrite" in printed.err
    assert main([*command, "--overwrite", "--json", "-q", "--limit", "1"]) == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    assert json.loads(printed.out)["rules"]["limit"] == "only the first 1 of 2 cases"


def test_plots_are_left_out_where_nobody_wants_them(pairs: Path, tmp_path: Path) -> None:
    assert main(["bench", "pairs", str(pairs), "-m", "noisy", "-o", str(tmp_path / "out"), "-q", "--no-plots"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.json", "cases.csv"}


def test_plots_that_cannot_be_drawn_cost_no_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ValueError("no font")

    monkeypatch.setattr(report, "psnr_chart", broken)
    with pytest.raises(ValueError, match="no font"):
        write_results(run(TwoCases(), [Noisy()]), tmp_path, overwrite=False)
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "cases.csv"}


def a_record(method: str, gain: float, psnr_db: float) -> Record:
    return Record(f"{gain}", "g", method, gain, gain, 0.0, "given", 1.0, 1.0, {"psnr_db": psnr_db})


def test_the_curves_of_a_plot(tmp_path: Path) -> None:
    """Two methods at three gains of two cases each: the dots are the means, in the order of the gains."""
    psnr = {"noisy": (20.0, 24.0, 28.0), "fast": (31.0, 33.0, np.inf)}
    records = [
        a_record(method, gain, value + step)
        for method, values in psnr.items()
        for gain, value in zip((1e-2, 1e-3, 1e-4), values, strict=True)
        for step in (-1.0, 1.0)
    ]
    drawn = psnr_chart(Results("two", {}, [], records, {}, []))
    noisy, fast = (item.points for item in drawn.items if isinstance(item, Dots) and len(item.points) > 1)
    assert len(fast) == 2  # an infinite PSNR has no place
    x, y = noisy.T
    assert np.diff(x, 2) == pytest.approx(0, abs=1e-6)  # equal factors of gain are equal steps
    assert x[0] < x[1] < x[2]
    assert np.diff(y) == pytest.approx((y[2] - y[0]) / 2)
    assert (fast[-1, 1] - noisy[-1, 1]) / (noisy[-1, 1] - noisy[0, 1]) == pytest.approx((31 - 20) / (20 - 28))
    legend = [item for item in drawn.items if isinstance(item, Text) and item.text in psnr]
    assert [item.text for item in legend] == ["noisy", "fast"]
    assert max(item.y for item in legend) < min(fast[:, 1])


def test_a_plot_of_nothing_but_equal_pictures_is_empty() -> None:
    drawn = psnr_chart(Results("one", {}, [], [a_record("noisy", 1e-3, np.inf)], {}, []))
    assert not [item for item in drawn.items if isinstance(item, Dots) and len(item.points)]
    assert drawn.png().startswith(b"\x89PNG")


def test_the_bias_of_a_shifted_picture_is_drawn_where_it_lies() -> None:
    class Shifted(Identity):
        name = "shifted"

        def restore(self, case: Case) -> Mosaic:
            assert case.reference is not None
            return Mosaic(case.reference.data + np.float32(0.02), case.noisy.pattern)

    results = run(TwoCases(), [Shifted()])
    level, error, _ = np.array(results.curves["shifted"].points()).T
    assert np.median(error) == pytest.approx(0.02, abs=1e-6)  # at both ends the picture is clipped
    drawn = bias_chart(results)
    (dots,) = (item.points for item in drawn.items if isinstance(item, Dots) and len(item.points))
    for place, values, direction in ((dots[:, 0], level, 1), (dots[:, 1], error, -1)):
        scale = np.ptp(place) / np.ptp(values) * direction
        np.testing.assert_allclose(place, place[0] + scale * (values - values[0]), atol=1e-6)
    assert any(isinstance(item, Text) and item.text == "20" for item in drawn.items)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["bench", "dnd", "none"], 2),
        (["bench", "synthetic", "none", "--gains", "a"], 2),
        (["bench", "synthetic", "none", "--phases", "XYZW"], 2),
        (["bench", "pairs", "none", "-m", "noisy"], 3),
        (["bench", "sidd", "--noisy", "none", "--gt", "none", "-m", "noisy"], 3),
        (["bench", "pmrid", "none"], 3),
        (["bench", "eld", "none"], 3),
        (["bench", "sid", "none"], 3),
        (["bench", "burst", "none"], 3),
    ],
)
def test_what_cannot_be_scored_prints_no_number(
    arguments: list[str], code: int, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err


@pytest.mark.parametrize("arguments", [["bench", "--help"], ["bench", "synthetic", "--help"]])
def test_help_is_light(arguments: list[str]) -> None:
    assert not modules_of(f"from rawkd.cli import main\nassert main({arguments!r}) == 0") & (HEAVY | {"numpy", "rich"})


def test_no_torch(pairs: Path, model: Path) -> None:
    command: list[Any] = ["bench", "pairs", str(pairs), "-m", str(model), "-q"]
    script = (
        f"import sys\nfrom rawkd.cli import main\ncode = main({command!r})\nsys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, cwd=ROOT, timeout=60, capture_output=True)
    assert done.returncode == 0, done.stderr
