"""Check that the wheel installs from a folder of wheels without network, with pip, pipx and uv, and denoises.

    python packaging/check_wheelhouse.py WHEEL FOLDER_OF_WHEELS

pipx and uv are tried where they are installed. Each installs into an empty environment in a temporary folder.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from program import EXAMPLES, denoised, megabytes, run, seconds_of_version

SCRIPTS = "Scripts" if sys.platform == "win32" else "bin"


def by_pip(wheel: Path, house: Path, folder: Path) -> Path:
    """Install into an empty virtual environment; return the program."""
    run(sys.executable, "-m", "venv", folder / "venv", folder=folder)
    scripts = folder / "venv" / SCRIPTS
    before = megabytes(folder / "venv")
    run(scripts / "pip", "install", "--quiet", "--no-index", "--find-links", house, wheel, folder=folder)
    print(f"pip: the plain install has {megabytes(folder / 'venv') - before:.0f} MB")
    return scripts / "rawkd"


def by_pipx(wheel: Path, house: Path, folder: Path) -> Path:
    """Install with pipx; return the program."""
    os.environ |= {"PIPX_HOME": str(folder / "home"), "PIPX_BIN_DIR": str(folder / "bin")}
    run("pipx", "install", "--pip-args", f"--no-index --find-links {house}", wheel, folder=folder)
    return folder / "bin" / "rawkd"


def by_uv(wheel: Path, house: Path, folder: Path) -> Path:
    """Install with `uv tool install`; return the program."""
    command = ["uv", "--offline", "--no-config", "--cache-dir", folder / "uv", "tool", "install"]
    os.environ |= {"XDG_DATA_HOME": str(folder / "data"), "XDG_BIN_HOME": str(folder / "bin")}
    run(*command, "--python", sys.executable, "--no-index", "--find-links", house, wheel, folder=folder)
    return folder / "bin" / "rawkd"


def main(wheel: Path, house: Path) -> None:
    """Install and denoise with each tool; end with a message if one fails or the files differ."""
    expected: dict[str, bytes] = {}
    for tool, install in (("pip", by_pip), ("pipx", by_pipx), ("uv", by_uv)):
        if tool != "pip" and not shutil.which(tool):
            print(f"{tool}: not installed, so not checked")
            continue
        with tempfile.TemporaryDirectory() as name:
            program = install(wheel, house, Path(name))
            seconds = seconds_of_version(program, Path(name))
            files = denoised(program, Path(name), ("dng", "jpeg"))
            expected = expected or files
            if len(files) != 2 * len(EXAMPLES) or files != expected:
                raise SystemExit(f"{tool}: the files of the examples are not as they should be")
            print(f"{tool}: installed offline, --version {seconds:.2f} s, {len(files)} files written")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
