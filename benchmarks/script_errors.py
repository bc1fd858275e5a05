"""How the scripts of this folder end if a network, folder or file that they are given is not there or not fit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from rawkd.errors import RawkdError

Result = TypeVar("Result")


def without_traceback(main: Callable[[], Result]) -> Callable[[], Result]:
    """Make the main function of a script print the sentence of a `RawkdError` and end with exit code 1."""

    @wraps(main)
    def run() -> Result:
        try:
            return main()
        except RawkdError as error:
            sys.exit(f"error: {error}")

    return run
