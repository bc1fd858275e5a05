"""Cases written for other programs, and scores of what these made of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

pytest.importorskip("skimage", reason="needs scikit-image")

from small_photos import clean_signal

from rawkd.cli import main
from rawkd.evaluation.datasets.case import Case
from rawkd.evaluation.datasets.photos import NoiseChoice
from rawkd.evaluation.datasets.synthetic import PHASES_OF, Synthetic, SyntheticOptions
from rawkd.evaluation.stored_results import StoredResults, file_stem, write_cases
from rawkd.files.read.raw import read_raw
from rawkd.photo import BAYER_PHASES, Kind

GAIN = "1.5e-3"
STEMS = ("a-gain-0.0015", "b-gain-0.0015")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    ramp = np.rint(255 * clean_signal(100, 120)).astype(np.uint8)
    for name, picture in (("a", np.stack([ramp, ramp // 2 + 60, 255 - ramp], -1)), ("b", np.stack([ramp] * 3, -1))):
        iio.imwrite(folder / f"{name}.png", picture)
    return folder


def bench(pictures: Path, *more: str | Path) -> int:
    asked = ("bench", "synthetic", pictures, "--gains", GAIN, "--side", 96, "--tagged", "all", *more)
    return main([str(word) for word in asked])


@pytest.fixture
def written(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = tmp_path / "cases"
    assert bench(pictures, "--write-cases", folder) == 0
    assert capsys.readouterr().out.split() == [str(folder / f"{stem}.dng") for stem in STEMS]
    return folder


def rows(text: str) -> dict[str, dict[str, float]]:
    """Means by method."""
    found = json.loads(text)["summary"]
    return {row["method"]: row["mean"] for row in found if row["group"] == "all"}


def test_noisy_and_true_mosaics_score_as_they_should(
    pictures: Path, written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The noisy DNGs are the noisy input. The truth errs by the rounding to 14 bits alone, 1/12 of a squared step."""
    truth, same = tmp_path / "truth", tmp_path / "same"
    for folder in (truth, same):
        folder.mkdir()
        shutil.copy(written / "cases.json", folder)
    for stem in STEMS:
        shutil.copy(written / f"{stem}.truth.npy", truth / f"{stem}.npy")
        shutil.copy(written / f"{stem}.dng", same)
    methods = ("-m", f"results:{same}", "-m", f"results:{truth}", "--true-noise")
    assert bench(pictures, *methods, "--json") == 0
    found = rows(capsys.readouterr().out)
    assert found.keys() == {"noisy", "results:same", "results:truth"}  # no rows with the true noise
    assert found["results:same"]["psnr_db"] == found["noisy"]["psnr_db"]
    rounding_db = 10 * np.log10(12 * (16383 - 512) ** 2)
    assert found["results:truth"]["psnr_db"] == pytest.approx(rounding_db, abs=0.1)


@pytest.mark.parametrize("cfa", ["bayer", "xtrans", "mono"])
def test_written_cases_are_the_cases(pictures: Path, tmp_path: Path, cfa: Kind) -> None:
    options = SyntheticOptions((1.5e-3,), PHASES_OF[cfa][1:] or PHASES_OF[cfa], side_px=96, tagged="all")
    benchmark = Synthetic(pictures, options, NoiseChoice())
    paths = list(write_cases(benchmark, tmp_path / "cases", overwrite=False))
    for path, case in zip(paths, benchmark.cases(), strict=True):
        again = read_raw(path)
        assert again.mosaic.pattern == case.noisy.pattern
        assert np.array_equal(again.mosaic.data, case.noisy.data)
        assert again.noise_profile
        assert case.reference is not None
        assert np.array_equal(np.load(path.with_suffix(".truth.npy")), case.reference.data)


def test_cases_are_not_replaced_unasked(pictures: Path, written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (written / f"{STEMS[0]}.dng").unlink()  # the truth alone is there
    assert bench(pictures, "--write-cases", written) == 6
    assert bench(pictures, "--write-cases", written, "--overwrite", "--limit", 1) == 0
    shown = capsys.readouterr()
    assert shown.out.split() == [str(written / f"{STEMS[0]}.dng")]
    assert "no effect" not in shown.err
    assert bench(pictures, "--write-cases", written, "--overwrite", "-m", "noisy") == 0
    assert "warning: --method has no effect because --write-cases scores nothing" in capsys.readouterr().err


def test_pictures_of_one_name_are_refused(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(pictures / "a.png", pictures / "a.PNG.png")
    assert bench(pictures, "--write-cases", tmp_path / "cases") == 3
    assert "another picture has this name without its suffix" in capsys.readouterr().err


def test_results_that_do_not_fit_are_named(
    pictures: Path, written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(folder: Path) -> str:
        assert bench(pictures, "-m", f"results:{folder}") == 3
        return capsys.readouterr().err

    mine = tmp_path / "mine"
    assert "mine: this is not a folder" in refused(mine)
    mine.mkdir()
    assert f"there is no {STEMS[0]}.npy or {STEMS[0]}.dng, the result of a.png gain 0.0015" in refused(mine)
    shutil.copy(written / f"{STEMS[1]}.dng", mine / f"{STEMS[0]}.dng")
    own, other = (phase.name for phase in BAYER_PHASES[:2])
    told = f"{STEMS[0]}.dng: a {other} mosaic of (96, 96), but a.png gain 0.0015 is a {own} mosaic"
    assert told in refused(mine)
    for values in (np.zeros((4, 4), np.float32), np.zeros((96, 96), np.uint16)):
        np.save(mine / f"{STEMS[0]}.npy", values)
        assert f"{STEMS[0]}.npy: has {values.dtype} of {values.shape}, and a.png gain 0.0015 needs" in refused(mine)
    for value in (np.nan, -np.inf, 1e300):
        np.save(mine / f"{STEMS[0]}.npy", np.full((96, 96), value))
        assert f"{STEMS[0]}.npy: has values that are NaN or infinite. Write finite signal" in refused(mine)
    (mine / f"{STEMS[0]}.npy").write_text("no array")
    assert f"{STEMS[0]}.npy: not a numpy array" in refused(mine)


def test_cases_are_no_results(pictures: Path, written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They would have the scores of the noisy photos."""
    assert bench(pictures, "-m", f"results:{written}") == 3
    assert "cases: these are cases, noisy photos with their truth, and no results. Give" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--seed", 5), "seed 1000, and these have 5."),
        (("--side", 64), "side 96, and these have 64."),
        (("--gains", f"{GAIN},6e-3"), "gains [0.0015], and these have [0.0015, 0.006]."),
        (("--cfa", "mono"), 'cfa "bayer", and these have "mono".'),
        (("--phases", "RGGB"), 'and these have ["RGGB"].'),
        (("--tagged", "none"), 'tagged "all", and these have "none".'),
    ],
)
def test_results_of_other_options_are_refused(
    pictures: Path, written: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, object], told: str
) -> None:
    for truth in written.glob("*.truth.npy"):
        truth.unlink()
    assert bench(pictures, "-m", f"results:{written}") == 0
    assert bench(pictures, "-m", f"results:{written}", *map(str, option)) == 3
    shown = capsys.readouterr().err
    assert "cases.json: the cases were written with " in shown
    assert f"{told} Give the options that the cases were written with." in shown


@pytest.mark.parametrize("text", ["[]", "{", "\xff"])
def test_damaged_options_are_named(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "cases.json").write_text(text, encoding="latin-1")
    assert bench(pictures, "-m", f"results:{tmp_path}") == 3
    assert "cases.json: " in capsys.readouterr().err


def test_a_result_is_read_before_the_clock_starts(pictures: Path, written: Path) -> None:
    options = SyntheticOptions((1.5e-3,), side_px=96, tagged="all")
    first, second = Synthetic(pictures, options, NoiseChoice()).cases()
    assert [file_stem(case) for case in (first, second)] == list(STEMS)
    for truth in written.glob("*.truth.npy"):
        truth.unlink()
    method = StoredResults(written)
    case: Case = first
    assert method.prepare(case) == ()
    assert np.array_equal(method.restore(case).data, case.noisy.data)
    with pytest.raises(ValueError, match="call prepare first"):
        method.restore(second)
