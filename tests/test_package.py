"""The built wheel: installed into an empty folder it brings its models and denoises with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import ROOT
from small_photos import noisy_photo

import rawkd
from rawkd.files.write.dng import write_dng

INSTALLED_MODELS = sorted(path.parent.name for path in (ROOT / "models").glob("*/card.json"))


def run(*command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, timeout=300, env=os.environ | environment
    )


def built(folder: Path, source: Path, **environment: str) -> Path:
    """The wheel of a source folder, in `folder`."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder), str(source)]
    done = run(*command, folder=folder, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("rawkd-*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("build") is None or find_spec("hatchling") is None:
        pytest.skip("needs build and hatchling")
    return built(tmp_path_factory.mktemp("wheel"), ROOT)


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel and nothing else; its dependencies are those of the interpreter."""
    folder = tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    done = run(*install, str(wheel), folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_wheel_holds_what_a_user_needs(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"rawkd/py.typed", "rawkd/cli/app.py", "rawkd/restore/pipeline.py", "rawkd/_models/README.md"} <= names
    plug_ins = {path.relative_to(ROOT).as_posix() for path in (ROOT / "integrations").rglob("*") if path.is_file()}
    assert {f"rawkd/_{name}" for name in plug_ins} <= names
    assert {"integrations/darktable/rawkd.lua", "integrations/lightroom/rawkd.lrplugin/Info.lua"} <= plug_ins
    assert {f"rawkd/_models/{model}/card.json" for model in INSTALLED_MODELS} <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "models/", "integrations/"))]
    licences = {name.rpartition("/")[2] for name in names if "/licenses/" in name}
    assert {"LICENSE", "NOTICE"} <= licences
    assert wheel.stat().st_size < 60e6


def test_the_wheel_is_reproducible(wheel: Path, tmp_path: Path) -> None:
    """Sources with other times of their files give the same bytes; another SOURCE_DATE_EPOCH gives others."""
    source, without = tmp_path / "source", shutil.ignore_patterns("*.pyc")
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", ".gitignore"):
        shutil.copyfile(ROOT / name, source / name)
    for name in ("rawkd", "models", "integrations"):
        shutil.copytree(ROOT / name, source / name, ignore=without)
    wheels = []
    for number, epoch in enumerate(("1700000000", "1700000000", "1600000000")):
        (tmp_path / str(number)).mkdir()
        wheels.append(built(tmp_path / str(number), source, SOURCE_DATE_EPOCH=epoch).read_bytes())
        for path in source.rglob("*"):
            os.utime(path, (1e9 + number, 1e9 + number))
    assert wheels[0] == wheels[1]
    assert wheels[0] != wheels[2]


def test_the_version_is_said_once(wheel: Path, site: Path) -> None:
    assert wheel.name.startswith(f"rawkd-{rawkd.__version__}-")
    done = run(sys.executable, "-m", "rawkd", "--version", folder=site, PYTHONPATH=str(site))
    assert done.stdout == f"rawkd {rawkd.__version__}\n"


def test_the_installed_package_denoises(site: Path, tmp_path: Path) -> None:
    if not INSTALLED_MODELS:
        pytest.skip("needs a trained family in models/")
    photo = tmp_path / "photo.dng"
    write_dng(photo, noisy_photo(), preview=None, software="test")
    where = run(sys.executable, "-c", "import rawkd; print(rawkd.__file__)", folder=tmp_path, PYTHONPATH=str(site))
    assert Path(where.stdout.strip()).is_relative_to(site)
    environment = {"PYTHONPATH": str(site), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    listed = run(sys.executable, "-m", "rawkd", "models", "--verbose", folder=tmp_path, **environment)
    assert str(site / "rawkd" / "_models") in listed.stdout
    done = run(sys.executable, "-m", "rawkd", "denoise", "photo.dng", folder=tmp_path, **environment)
    assert (done.returncode, done.stdout) == (0, "photo-denoised.dng\n"), done.stderr
