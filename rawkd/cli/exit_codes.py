"""The one table of exit codes."""

from __future__ import annotations

from rawkd.errors import (
    InputError,
    MemoryLimitError,
    ModelError,
    NoiseError,
    OutputError,
    UsageError,
)

OK = 0
FAILED = 1
USAGE = 2
INPUT = 3
NOISE = 4
MODEL = 5
OUTPUT = 6
MEMORY = 7
INTERRUPTED = 130

_TABLE: tuple[tuple[type[BaseException], int], ...] = (
    (UsageError, USAGE),
    (InputError, INPUT),
    (NoiseError, NOISE),
    (ModelError, MODEL),
    (OutputError, OUTPUT),
    (MemoryLimitError, MEMORY),
    (MemoryError, MEMORY),
    (KeyboardInterrupt, INTERRUPTED),
)


def exit_code_of(error: BaseException) -> int:
    """The exit code of an error, 1 where it is unexpected."""
    return next((code for kind, code in _TABLE if isinstance(error, kind)), FAILED)
