"""What Adobe's SDK says about a DNG: the checks of its dng_validate, through `dngpy`."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

needs_dngpy = pytest.mark.skipif(
    importlib.util.find_spec("dngpy") is None, reason="needs Adobe's SDK: pip install '.[dev]'"
)
READ = "import sys, dngpy; dngpy.Dng(sys.argv[1])"


def complaints(path: Path) -> list[str]:
    """Errors and warnings of the SDK, sorted; "refused" for a file that it does not read. One process for each file."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False, timeout=120
    )
    printed = done.stdout + done.stderr
    found = re.findall(r"\*\*\* (.*?) \*\*\*", printed)
    return sorted(found + ([] if done.returncode == 0 else ["refused"]))


def was_checked(path: Path) -> bool:
    """Whether the SDK compared the digest of a file with its pixels."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    return "FindNewRawImageDigest" in done.stdout + done.stderr
