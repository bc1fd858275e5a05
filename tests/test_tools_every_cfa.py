"""compare, inspect, bench synthetic, batch and make_noisy.py with X-Trans and monochrome photos."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from conftest import ROOT
from scenes_of_every_cfa import colours_of_scene, scene_photo
from tiny_models import card_document, even_blur, make_model, write_card

from rawkd.cli import main
from rawkd.evaluation.datasets.photos import NoiseChoice
from rawkd.evaluation.datasets.synthetic import PHASES_OF, Synthetic, SyntheticOptions
from rawkd.evaluation.datasets.synthetic_photos import NEUTRAL, mosaic_of
from rawkd.evaluation.developed import SrgbScores
from rawkd.evaluation.methods import Noisy
from rawkd.evaluation.scoring import run
from rawkd.files.read.raw import read_raw
from rawkd.files.tiff.dng_tags import NOISE_REDUCTION_APPLIED
from rawkd.files.tiff.tags import tag_numbers
from rawkd.files.write.dng import write_dng
from rawkd.inference import students
from rawkd.metrics import noise_left
from rawkd.photo import CFAPattern, Kind, Mosaic, Rect

KINDS = {"xtrans": CFAPattern.XTRANS.shifted(1, 4), "mono": CFAPattern.MONO}


@pytest.fixture
def shoot(tmp_path: Path) -> Path:
    folder = tmp_path / "shoot"
    folder.mkdir()
    for name, pattern in {**KINDS, "bayer": CFAPattern.GBRG}.items():
        photo = scene_photo(pattern, Rect(6, 6, 150, 200))
        write_dng(folder / f"{name}.dng", photo, preview=None, software="another program")
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_compare(shoot: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    strip = shoot / "strip.png"
    command = ["compare", "--strength", "0", "--crop", "10,20,60,50", "--strip", str(strip), "--demosaic", "menon"]
    assert main([*command, str(shoot / f"{kind}.dng")]) == 0
    assert imagecodecs.png_decode(strip.read_bytes()).shape == (50, 2 * 60 + 8, 3)
    told = capsys.readouterr().err
    assert ("menon demosaics Bayer mosaics only" in told) is (kind == "xtrans")
    assert ("menon was not used: a monochrome photo needs no demosaicing" in told) is (kind == "mono")
    page = (shoot / f"{kind}-compare.html").read_text(encoding="utf-8")
    assert f"<td>{'grey' if kind == 'mono' else 'markesteijn'}, +0 EV, sRGB</td>" in page


@pytest.mark.parametrize("kind", ["bayer", *KINDS])
def test_options_that_a_sensor_has_no_use_for_are_a_warning_each(
    shoot: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--noise", "1e-3,1e-6", "--device", "cpu"]
    source, output = str(shoot / f"{kind}.dng"), str(shoot / "out.dng")
    command = ["denoise", *options, source, "--overwrite", "-o"]
    expected = {
        "--chroma changed nothing: a monochrome photo has no colour noise": kind == "mono",
        "--linear changed nothing: the DNG of a monochrome photo is linear already": kind == "mono",
        "malvar was not used: a monochrome photo needs no demosaicing": kind == "mono",
        "malvar demosaics Bayer mosaics only": kind == "xtrans",
    }
    assert main([*command, output, "--chroma", "0.5", "--linear", "--demosaic", "malvar"]) == 0
    told = capsys.readouterr().err
    assert {text: told.count(text) for text in expected} == expected
    assert main([*command, output, "--linear"]) == 0
    told = capsys.readouterr().err
    assert [text for text in expected if text in told] == [
        text for text in expected if "linear" in text and kind == "mono"
    ]


def test_chroma_does_not_count_for_the_noise_left_in_monochrome(shoot: Path) -> None:
    """NoiseProfile 51041: with strength 0.5 half the noise is left, a quarter of its variance, whatever the chroma."""
    options = ["--noise", "1e-3,1e-6", "--device", "cpu", "--overwrite"]
    command = ["denoise", *options, str(shoot / "mono.dng"), "-o", str(shoot / "out.dng"), "--strength", "0.5"]
    for chroma in ("1", "0"):
        assert main([*command, "--chroma", chroma]) == 0
        after = read_raw(shoot / "out.dng")
        np.testing.assert_allclose(after.noise_profile[:2], (0.25e-3, 0.25e-6), rtol=1e-6)
        (applied,) = (tag_numbers(tag)[0] for tag in after.tags if tag.number == NOISE_REDUCTION_APPLIED)
        assert applied == pytest.approx(0.5, abs=1e-3)


def test_a_tier_that_a_sensor_has_not_is_told_without_a_model(
    shoot: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "models" / "mono-balanced-0", tmp_path / "models" / "mono-balanced-0")
    write_card(tmp_path / "models" / "best", {**card_document("best"), "tier": "best"})
    monkeypatch.setattr(students, "models_directory", lambda: tmp_path / "models")
    options = ["--models", "best", "--noise", "1e-3,1e-6", "--device", "cpu", "--crop", "10,20,60,50"]
    assert main(["compare", *options, str(shoot / "mono.dng")]) == 0
    sentence = "there is no best model for monochrome photos, so the balanced one was used"
    assert f"mono.dng: {sentence}" in capsys.readouterr().err


def test_a_mixed_shoot(shoot: Path) -> None:
    assert main(["batch", "--strength", "0", "-o", f"{shoot}/out", str(shoot)]) == 0
    for source in sorted(shoot.glob("*.dng")):
        before, after = read_raw(source), read_raw(shoot / "out" / f"{source.stem}-denoised.dng")
        assert after.pattern == before.pattern
        np.testing.assert_array_equal(after.mosaic.data, before.mosaic.data)


def test_a_mixed_shoot_as_pictures(shoot: Path) -> None:
    assert main(["batch", "--strength", "0", "--format", "png", "-o", f"{shoot}/out", str(shoot)]) == 0
    shapes = {
        source.stem: imagecodecs.png_decode((shoot / "out" / f"{source.stem}-denoised.png").read_bytes()).shape
        for source in shoot.glob("*.dng")
    }
    assert shapes == {"bayer": (146, 192, 3), "xtrans": (146, 192, 3), "mono": (146, 192)}


@pytest.mark.parametrize("kind", KINDS)
def test_inspect(shoot: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(shoot / f"{kind}.dng")]) == 0
    printed = capsys.readouterr().out
    assert KINDS[kind].name in printed
    assert ("camera from XYZ" in printed) is (kind == "xtrans")


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_model_nothing_is_written(shoot: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The models that ship for Bayer do not fit; a model for the sensor may ship later, so a tier is not asked for."""
    source, output = shoot / f"{kind}.dng", shoot / "out.dng"
    assert main(["denoise", "--model", str(ROOT / "models" / "fanet-fast-1"), str(source), "-o", str(output)]) != 0
    assert not output.exists()
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert main(["inspect", "--model", str(ROOT / "models" / "fanet-fast-1"), str(source)]) == 0
    reason = f"there is no model for {KINDS[kind].name} photos"
    printed = capsys.readouterr()
    assert f"  none: {reason}\n" in printed.out
    assert f"{reason} among those asked for. Choose another --model" in printed.err


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    encoded = np.rint(255 * colours_of_scene(128, 192)).astype(np.uint8)
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(imagecodecs.png_encode(encoded))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_bench_synthetic(pictures: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "synthetic", str(pictures), "--cfa", kind, "--gains", "1e-3", "--method", "noisy", "--json"]
    assert main(command) == 0
    (row,) = json.loads(capsys.readouterr().out)["summary"]
    assert 20 < row["mean"]["srgb_psnr_db"] < row["mean"]["psnr_db"]  # gamma raises the noise of the shadows
    assert main([*command, "--phases", "RGGB"]) == 2


@pytest.mark.parametrize("kind", [*KINDS, "bayer"])
def test_scores_in_srgb_compare_developed_pictures(pictures: Path, kind: Kind) -> None:
    """Signal 0.05 too low everywhere: linear, so the developed error is the gamma curve's step, equal in all channels.

    A grey scene has one brightness in every pixel, whichever way it is demosaiced.
    """
    option = SyntheticOptions(gains=(1e-3,), phases=PHASES_OF[kind][:1])
    benchmark = Synthetic(pictures, option, NoiseChoice(given=(1e-3, 1e-6)))
    case = next(iter(benchmark.cases()))
    neutral = np.array([*NEUTRAL, 1.0])[["RGBW".index(colour) for colour in case.noisy.pattern.colours]]
    side = case.noisy.pattern.side
    grey = np.tile(neutral.reshape(side, side), (20, 20)).astype(np.float32) * 0.5
    photo = replace(
        case.photo, frame=np.zeros(grey.shape, np.uint16), active_area=Rect(0, 0, *grey.shape),
        default_crop=Rect(0, 0, *grey.shape),
    )  # fmt: skip
    bright, dark = Mosaic(grey, case.noisy.pattern), Mosaic(0.8 * grey, case.noisy.pattern)
    flat = replace(case, noisy=bright, reference=bright, photo=photo)
    step = 0.5 ** (1 / 2.2) - 0.4 ** (1 / 2.2)
    found = SrgbScores().of(dark, flat)
    # LibRaw's integers: 1 / 63487 of white, at most doubled by the colour matrix and by gamma at 0.4
    assert found["srgb_psnr_db"] == pytest.approx(-20 * np.log10(step), abs=0.02)
    assert SrgbScores().of(bright, flat)["srgb_psnr_db"] == np.inf


@pytest.mark.parametrize("kind", [*KINDS, "bayer"])
def test_pairs_are_developed_by_their_cfa(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A grey card at a signal of 0.5 and at 0.4: the error is the step of the gamma curve in every channel."""
    pattern = {**KINDS, "bayer": CFAPattern.GBRG}[kind]
    photo = scene_photo(pattern, Rect(6, 6, 150, 200))
    neutral = [*photo.color.as_shot_neutral, 1.0]
    for name, level in (("clean", 0.5), ("noisy", 0.4)):
        (tmp_path / name).mkdir()
        frame = photo.frame.copy()
        signal = [level * neutral["RGBW".index(colour)] for colour in pattern.colours]
        dn = photo.levels.mean_black_dn + np.array(signal) * photo.levels.range_dn
        cells = np.tile(np.rint(dn).reshape(pattern.side, pattern.side), (100, 100)).astype(np.uint16)
        frame[photo.active_area.slices] = cells[: photo.active_area.height, : photo.active_area.width]
        write_dng(tmp_path / name / "a.dng", replace(photo, frame=frame), preview=None, software="another program")
    assert main(["bench", "pairs", str(tmp_path), "-m", "noisy", "--noise", "1e-3,1e-6", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["summary"]
    step = 0.5 ** (1 / 2.2) - 0.4 ** (1 / 2.2)
    # Rounding to integers: half a DN of 10000 and more, and as much of the development
    assert row["mean"]["srgb_psnr_db"] == pytest.approx(-20 * np.log10(step), abs=0.05)


class Same(Noisy):
    """A method that returns its input."""

    name = "same"


@pytest.mark.parametrize("kind", [*KINDS, "bayer"])
def test_true_noise_stands_beside_the_blind_one(pictures: Path, kind: Kind) -> None:
    """Each method has a record with the true parameters, which a NoiseProfile states; the noisy input has one only."""
    results = {}
    for tagged, source in (("none", "auto"), ("all", "profile"), ("half", "auto")):
        options = SyntheticOptions((1e-3,), PHASES_OF[kind], tagged=tagged, true_noise=True)
        results[tagged] = run(Synthetic(pictures, options, NoiseChoice(source)), [Noisy(), Same()]).records
    for records in results.values():
        assert [record.method for record in records] == 2 * ["noisy", "same", "same, true noise"]
        assert {(record.noise_source, record.noise_gain) for record in records[2::3]} == {("true", 1e-3)}
    sources = {tagged: [record.noise_source for record in records[1::3]] for tagged, records in results.items()}
    assert sources["none"] == ["blind", "blind"]
    assert sources["all"] == ["profile", "profile"]
    assert sources["half"][0].startswith("profile")
    assert sources["half"][1] == "blind"
    for blind, profile, known in zip(results["none"][1::3], results["all"][1::3], results["none"][2::3], strict=True):
        assert blind.noise_gain != known.noise_gain
        assert profile.noise_gain == known.noise_gain
        # The tag leaves out the rounding to integers, 1/12 of a DN^2.
        assert known.noise_read_variance - profile.noise_read_variance == pytest.approx(1 / 12 / 15871**2)


@pytest.mark.parametrize("flag", [[], ["--true-noise"]])
def test_the_command_shows_true_noise_on_request(
    pictures: Path, tmp_path: Path, flag: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make_model(tmp_path / "models" / "blur", even_blur, subrange=[1e-5, 1e-1], tile=64)
    command = ["bench", "synthetic", str(pictures), "--gains", "1e-3", "--json", "-m", str(tmp_path / "models"), *flag]
    assert main(command) == 0
    methods = [row["method"] for row in json.loads(capsys.readouterr().out)["summary"]]
    assert methods == ["noisy", "models"] + ["models, true noise"] * len(flag)


def test_phases_of_the_benchmark() -> None:
    assert {kind: len(phases) for kind, phases in PHASES_OF.items()} == {"bayer": 4, "xtrans": 18, "mono": 1}


def test_a_monochrome_pixel_sees_the_mean_of_white_balanced_colours() -> None:
    rgb = np.stack(np.broadcast_arrays(np.full((6, 6), 0.3), 0.6, 0.9), axis=-1)
    np.testing.assert_allclose(mosaic_of(rgb * NEUTRAL, CFAPattern.MONO), 0.6)


@pytest.mark.parametrize("pattern", [CFAPattern.GBRG, *KINDS.values()], ids=str)
def test_noise_left_is_the_deviation_in_flat_areas(pattern: CFAPattern) -> None:
    """White noise of 0.01 on a flat reference: 64 samples of each site lose 1/128 of it, and chance adds 1 %."""
    flat = np.full((480, 483), 0.5, np.float32)
    noise = np.random.default_rng(0).normal(0, 0.01, flat.shape).astype(np.float32)
    found = noise_left(Mosaic(flat + noise, pattern), Mosaic(flat, pattern))
    assert abs(found / 0.01 - (1 - 1 / 128)) < 0.015


@pytest.mark.parametrize("kind", KINDS)
def test_make_noisy(tmp_path: Path, kind: str) -> None:
    output = tmp_path / "noisy.dng"
    script, source = ROOT / "examples" / "make_noisy.py", ROOT / "examples" / "canon-s40-box.crw"
    subprocess.run([sys.executable, str(script), str(source), str(output), "--cfa", kind], check=True)
    photo = read_raw(output)
    assert photo.pattern.kind == kind
    assert photo.capture.iso is None, "the noise would be taken for too much at this ISO"
