"""Check the frozen app: size, start, and that its files equal those of the pip install that it was made from.

python packaging/check_app.py FOLDER_OF_THE_APP RAWKD_OF_THE_PIP_INSTALL
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from program import EXAMPLES, denoised, megabytes, run, seconds_of_version

MOST_MB, MOST_SECONDS = 250, 1.0


def main(app: Path, installed: Path) -> None:
    """Print what was measured; end with a message if anything is wrong."""
    program = app / ("rawkd.exe" if sys.platform == "win32" else "rawkd")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "app").mkdir()
        (folder / "pip").mkdir()
        size, seconds = megabytes(app), seconds_of_version(program, folder)
        print(f"size {size:.0f} MB (at most {MOST_MB}), --version {seconds:.2f} s (at most {MOST_SECONDS})")
        if size > MOST_MB or seconds > MOST_SECONDS:
            raise SystemExit("the app is too large or starts too slowly")
        frozen, expected = denoised(program, folder / "app"), denoised(installed, folder / "pip")
        different = [file for file in expected if frozen.get(file) != expected[file]]
        if different or set(frozen) != set(expected):
            raise SystemExit(f"files differ from those of the pip install: {', '.join(different)}")
        print(f"{len(expected)} files are byte-identical to those of the pip install")
        compare = ("compare", "-o", "page.html", EXAMPLES[0])
        for arguments in (("inspect", *EXAMPLES), ("verify", "app"), ("models",), compare):
            if not run(program, *arguments, folder=folder):
                raise SystemExit(f"rawkd {arguments[0]} printed nothing")
        print("inspect, verify, models and compare run")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).absolute())
