"""compare, inspect, bench synthetic, batch and make_noisy.py with X-Trans and monochrome photos."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from conftest import ROOT
from scenes_of_every_cfa import colours_of_scene, scene_photo

from rawkd.cli import main
from rawkd.evaluation.datasets.synthetic import NEUTRAL, PHASES_OF, mosaic_of
from rawkd.files.read.raw import read_raw
from rawkd.files.write.dng import write_dng
from rawkd.metrics import noise_left
from rawkd.photo import CFAPattern, Mosaic, Rect

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
    assert ("menon demosaics Bayer mosaics only" in capsys.readouterr().err) is (kind == "xtrans")


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


@pytest.mark.parametrize("kind", KINDS)
def test_bench_synthetic(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    encoded = np.rint(255 * colours_of_scene(128, 192)).astype(np.uint8)
    (pictures / "a.png").write_bytes(imagecodecs.png_encode(encoded))
    command = ["bench", "synthetic", str(pictures), "--cfa", kind, "--gains", "1e-3", "--method", "noisy", "--json"]
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out)
    text = json.dumps(result)
    assert "psnr_db" in text
    assert "srgb_psnr_db" not in text
    assert main([*command, "--phases", "RGGB"]) == 2


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
    assert read_raw(output).pattern.kind == kind
