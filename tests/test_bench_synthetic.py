"""The synthetic benchmark against the common measure, made and scored by its own programs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bench_sets import Identity, plain_psnr
from small_photos import clean_signal
from tiny_models import blur, make_model

pytest.importorskip("skimage", reason="needs scikit-image")

from bench_sets import raw_photo, save_raw

from rawkd.cli import main
from rawkd.errors import InputError, UsageError
from rawkd.evaluation.datasets.photos import NoiseChoice
from rawkd.evaluation.datasets.synthetic import GAINS, Synthetic, SyntheticOptions
from rawkd.evaluation.methods import Noisy, method_named
from rawkd.evaluation.report import summarise
from rawkd.evaluation.scoring import run
from rawkd.files.read.raw import read_raw
from rawkd.photo import BAYER_PHASES, CFAPattern
from rawkd.restore.options import DenoiseOptions


@pytest.fixture(scope="module")
def pictures(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small parts of photographs, one of odd size."""
    import imageio.v3 as iio

    folder = tmp_path_factory.mktemp("pictures")
    for index, shape in ((1, (256, 240)), (3, (193, 231))):
        picture = iio.imread(data / "testsets" / "Kodak24" / f"kodim{index:02d}.png")
        iio.imwrite(folder / f"kodim{index:02d}.png", picture[100 : 100 + shape[0], 300 : 300 + shape[1]])
    return folder


@pytest.fixture(scope="module")
def cases(bench: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, bench / "make_cases.py", pictures, folder], check=True, timeout=60)
    return folder


def test_the_same_integers(cases: Path, pictures: Path) -> None:
    made = list(Synthetic(pictures, SyntheticOptions(), NoiseChoice()).cases())
    listed = json.loads((cases / "cases.json").read_text())
    assert len(made) == len(listed) == 2 * len(GAINS)
    for case, entry in zip(made, listed, strict=True):
        file = read_raw(cases / entry["dng"])
        assert case.photo is not None
        assert case.reference is not None
        assert np.array_equal(case.photo.frame, file.frame)
        assert case.noisy.pattern == file.pattern
        assert np.array_equal(case.reference.data, np.load(cases / entry["clean"]))
        assert len(case.photo.noise_profile) == len(file.noise_profile)
        assert case.photo.noise_profile == pytest.approx(file.noise_profile)
        assert case.photo.levels.saturation == file.levels.saturation


def test_the_same_numbers(
    bench: Path, cases: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The DNGs through `rawkd denoise` and score.py, the pictures through the benchmark: equal to two digits."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_model(tmp_path / "tiny", blur, subrange=[1e-6, 1e-1])
    files = [str(path) for path in sorted(cases.glob("*.dng"))]
    assert main(["denoise", *files, "-q", "--model", str(tmp_path / "tiny"), "-o", f"{tmp_path / 'out'}/"]) == 0
    command = [sys.executable, bench / "score.py", cases, tmp_path / "out", "-denoised"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    lines = re.findall(r"gain (\S+)  noisy +(\S+)  out +(\S+)  tagged .* bias +(\S+)", printed)
    methods = [Noisy(), method_named(str(tmp_path / "tiny"), DenoiseOptions(threads=1))]
    results = run(Synthetic(pictures, SyntheticOptions(), NoiseChoice()), methods)
    rows = {(row.group, row.method): row.mean for row in summarise(results)}
    assert len(lines) == len(GAINS)
    for gain, noisy, out, bias in lines:
        group = (
            f"gain {float(gain):g}"
            if float(gain) in GAINS
            else f"gain {min(GAINS, key=lambda g: abs(g - float(gain))):g}"
        )
        assert rows[group, "noisy"]["psnr_db"] == pytest.approx(float(noisy), abs=0.01)
        assert rows[group, "tiny"]["psnr_db"] == pytest.approx(float(out), abs=0.01)
        assert rows[group, "tiny"]["bias_permille"] == pytest.approx(float(bias), abs=0.01)
        assert abs(float(out) - float(noisy)) > 0.5  # or the test could not tell the two apart


def synthetic_folder(tmp_path: Path) -> Path:
    import imageio.v3 as iio

    folder = tmp_path / "clean"
    folder.mkdir()
    ramp = np.rint(255 * clean_signal(100, 120)).astype(np.uint8)
    iio.imwrite(folder / "a.png", np.stack([ramp, ramp // 2 + 60, 255 - ramp], axis=-1))
    save_raw(folder / "b.dng", raw_photo(clean_signal(203, 210), CFAPattern.GBRG))
    return folder


def test_identity_and_options(tmp_path: Path) -> None:
    options = SyntheticOptions(gains=(1e-3,), phases=(CFAPattern.GRBG,), seed=7, side_px=64, tagged="all")
    benchmark = Synthetic(synthetic_folder(tmp_path), options, NoiseChoice())
    cases = list(benchmark.cases())
    assert [case.noisy.data.shape for case in cases] == [(64, 64)] * 2
    assert {case.noisy.pattern for case in cases} == {CFAPattern.GRBG}
    assert [case.noise.green_gain for case in cases] == [1e-3] * 2
    records = run(benchmark, [Noisy(), Identity()]).records
    for record, case in zip(records[::2], cases, strict=True):
        expected = plain_psnr(case.noisy.data, case.reference.data)  # type: ignore[union-attr]
        assert record.values["psnr_db"] == pytest.approx(expected, abs=1e-6)
    assert [r.values for r in records[::2]] == [r.values for r in records[1::2]]
    others = list(Synthetic(tmp_path / "clean", SyntheticOptions(gains=(1e-3,), seed=8), NoiseChoice()).cases())
    assert others[0].photo is not None
    assert not np.array_equal(others[0].noisy.data[:64, :64], cases[0].noisy.data)


def test_a_raw_file_as_clean_picture_keeps_its_colours(tmp_path: Path) -> None:
    """Each plane of the synthetic raw has the mean of the same colour in the file, whatever the two phases."""
    folder = tmp_path / "clean"
    colours = np.array([0.1, 0.3, 0.3, 0.6])
    for pattern in BAYER_PHASES:
        signal = np.zeros((200, 200))
        for site, plane in enumerate(pattern.class_of_site.ravel()):
            signal[site // 2 :: 2, site % 2 :: 2] = colours[plane]
        save_raw(folder / f"{pattern}.dng", raw_photo(signal, pattern))
    for case in Synthetic(folder, SyntheticOptions(gains=(1e-4,)), NoiseChoice(given=(1e-4, 1e-8))).cases():
        assert case.reference is not None
        for site, plane in enumerate(case.reference.pattern.class_of_site.ravel()):
            samples = case.reference.data[site // 2 :: 2, site % 2 :: 2]
            assert samples == pytest.approx(np.full(samples.shape, colours[plane]), abs=1e-4)  # a step of 14 bits


def test_what_is_no_clean_picture(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        Synthetic(tmp_path / "none", SyntheticOptions(), NoiseChoice())
    with pytest.raises(InputError, match="no picture"):
        Synthetic(tmp_path, SyntheticOptions(), NoiseChoice())
    with pytest.raises(UsageError, match="gains"):
        SyntheticOptions(gains=(2.0,))


def test_the_rules_say_which_runs_can_be_compared(tmp_path: Path) -> None:
    """The noise of a gain follows that of the gains before it, as in the common measure."""
    folder = synthetic_folder(tmp_path)
    sets = [
        Synthetic(folder, SyntheticOptions(gains, tagged="all"), NoiseChoice("profile"))
        for gains in ((1e-3,), (1e-2, 1e-3))
    ]
    alone, second = (next(case for case in one.cases() if case.gain == 1e-3).noisy.data for one in sets)
    assert not np.array_equal(alone, second)
    assert all("compare only runs with the same --gains" in one.rules["comparable"] for one in sets)
