"""The command line that starts one of our child scripts, also from the frozen app, which has no Python beside it."""

from __future__ import annotations

import sys
from pathlib import Path

CHILD_OPTION = "--rawkd-child"
"""First argument of the frozen program when it runs a child script; packaging/app.py obeys it."""


def child_command(script: Path, *arguments: str) -> list[str]:
    """Return the command that runs a child script.

    Parameters
    ----------
    script : a file of the package that imports nothing from it and is run as a script. arguments : for the script.
    """
    if getattr(sys, "frozen", False):
        return [sys.executable, CHILD_OPTION, script.stem, *arguments]
    return [sys.executable, "-P", str(script), *arguments]
