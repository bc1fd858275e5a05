"""The plain install needs no scipy, colour-demosaicing, imageio or tifffile, and its results equal scipy's."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from small_photos import noisy_photo

import rawkd
from rawkd.calibration.calibrate import READ_IMPERFECTION, IsoNoise, read_law
from rawkd.errors import UsageError
from rawkd.restore.blend import LUMA_TAPS, low_pass

EXTRAS_ONLY = (
    "colour_demosaicing",
    "colour",
    "scipy",
    "imageio",
    "tifffile",
    "torch",
    "onnx",
    "onnxruntime",
    "h5py",
    "skimage",
    "dask",
)
"""Modules of optional packages, hidden from the interpreter in these tests."""

HIDING = f"""
import sys
from importlib.machinery import PathFinder
class Finder:
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {EXTRAS_ONLY!r} else PathFinder.find_spec(name, path, target)
sys.meta_path = [Finder() if finder is PathFinder else finder for finder in sys.meta_path]
from rawkd.cli import main
sys.exit(main(sys.argv[1:]))
"""


def plain(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run rawkd as if only the plain install's packages were there."""
    return subprocess.run(
        [sys.executable, "-c", HIDING, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one photo."""
    made = tmp_path_factory.mktemp("photos")
    rawkd.write_dng(made / "photo.dng", noisy_photo())
    return made


@pytest.mark.parametrize(
    "arguments",
    [
        ["denoise", "photo.dng", "--luma", "0.5"],
        ["denoise", "photo.dng", "--defects", "auto", "--noise-source", "blind", "-o", "a.tif"],
        ["denoise", "photo.dng", "-o", "a.png"],
        ["batch", "photo.dng", "-o", "out/", "--report", "report.json"],
        ["inspect", "photo.dng", "--plot", "noise.png"],
        ["compare", "photo.dng"],
        ["models"],
    ],
    ids=" ".join,
)
def test_a_photographers_commands_need_no_extra(arguments: list[str], folder: Path) -> None:
    done = plain(*arguments, folder=folder)
    assert done.returncode == 0, done.stderr


def test_pictures_without_their_package_say_what_to_install(folder: Path) -> None:
    done = plain("bench", "synthetic", str(ROOT / "docs" / "images"), "-o", "bench/", folder=folder)
    assert done.returncode == 2
    assert "pip install 'rawkd[bench]'" in done.stderr


def test_optional_packages_stay_where_their_extra_is_needed() -> None:
    """Everything else must run in the plain install."""
    allowed = ("training/", "networks/", "evaluation/", "batch/", "inference/torch_engine.py", "files/read/pictures.py")
    allowed += (
        "metrics.py",
        "sensor/cfa.py",
        "sensor/ksigma.py",
        "render/color.py",
        "cli/training/",
        "inference/gpu/onnx_engine.py",
    )
    found = {
        path.relative_to(ROOT / "rawkd").as_posix()
        for path in (ROOT / "rawkd").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in imported_by(node)
        if name.partition(".")[0] in EXTRAS_ONLY
    }
    assert "render/color.py" in found
    assert not [name for name in sorted(found) if not name.startswith(allowed)]


def imported_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [one.name for one in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []


def test_the_extras_carry_what_the_plain_install_lacks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {name: {one.partition(">")[0] for one in extra} for name, extra in project["optional-dependencies"].items()}
    needed = {one.partition(">")[0] for one in project["dependencies"]}
    assert not {"scipy", "colour-demosaicing", "imageio", "tifffile"} & needed
    assert "colour-demosaicing" in names["dev"]
    for extra in ("torch", "bench"):
        assert {"scipy", "imageio", "tifffile"} <= names[extra]


def test_an_unknown_way_of_demosaicing_is_refused_before_the_photo_is_read(tmp_path: Path) -> None:
    options = rawkd.ProcessOptions(demosaic="nearest")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="nearest"):
        rawkd.denoise_file(tmp_path / "missing.dng", tmp_path / "out.jpg", options)


def test_the_luma_filter_equals_scipy() -> None:
    correlate1d = pytest.importorskip("scipy.ndimage").correlate1d
    data = np.random.default_rng(3).normal(0, 0.01, (40, 53)).astype(np.float32)
    assert low_pass(data).dtype == np.float32
    np.testing.assert_array_equal(low_pass(data), correlate1d(data, LUMA_TAPS, 0)[3:-3])
    np.testing.assert_array_equal(low_pass(data.T).T, correlate1d(data, LUMA_TAPS, 1)[:, 3:-3])


@pytest.mark.parametrize("read_variance", [(1e-6, 3e-6), (3e-6, 1e-6), (3e-6, 1e-8, 2e-6), (5e-6, 1e-6, 1e-7)])
def test_the_read_law_equals_scipy(read_variance: tuple[float, ...]) -> None:
    """Laws that would be negative without the constraint; the ridge of 1e-14 costs less than a millionth."""
    nnls = pytest.importorskip("scipy.optimize").nnls
    iso, read = 100.0 * 2.0 ** np.arange(len(read_variance)), np.array(read_variance)
    sigma = np.hypot(0.02, READ_IMPERFECTION) * read
    columns = np.stack([iso**2, np.ones_like(iso)], axis=1)
    scale = columns.max(axis=0)
    values, _ = nnls(columns / scale / sigma[:, None], read / sigma)
    square, constant = values / scale
    measured = [iso_noise(*pair) for pair in zip(iso, read, strict=True)]
    np.testing.assert_allclose(read_law(measured, 0), [square, 0, constant], rtol=1e-6, atol=0)


def iso_noise(iso: float, read_variance: float) -> IsoNoise:
    """Read noise with an error of 2 %."""
    four, none = np.ones(4), np.empty(0)
    return IsoNoise(
        iso, four, four * read_variance, four, four * 0.02 * read_variance, 1, none, none, none, 4, 0.0, 0.0, 1.0
    )
