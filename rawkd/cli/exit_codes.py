"""The one table of exit codes, and what `--json` prints of a photo that failed."""

from __future__ import annotations

from pathlib import Path

from rawkd.errors import (
    InputError,
    MemoryLimitError,
    ModelError,
    NoiseError,
    OutputError,
    UsageError,
    sentence_of,
)

OK = 0
FAILED = 1
USAGE = 2
INPUT = 3
NOISE = 4
MODEL = 5
OUTPUT = 6
MEMORY = 7
DIGEST = 8
"""A raw picture does not match the digest in its file (`rawkd verify`)."""
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
    """Return the exit code of an error, 1 where it is unexpected."""
    return next((code for kind, code in _TABLE if isinstance(error, kind)), FAILED)


def exit_code_of_kind(name: str) -> int:
    """Return the exit code of an error by the name of its class, 1 where it is unexpected.

    Batches keep the name alone, since their workers may run on other machines.
    """
    return next((code for kind, code in _TABLE if name in _names_below(kind)), FAILED)


def _names_below(kind: type[BaseException]) -> set[str]:
    """The names of a class and of all that inherit from it."""
    return {kind.__name__}.union(*map(_names_below, kind.__subclasses__()))


def failure_record(error: Exception, photo: Path) -> dict[str, object]:
    """Return what JSON says of a photo that failed: input, error (kind and sentence) and exit_code."""
    shown = {"kind": type(error).__name__, "sentence": sentence_of(error, photo)}
    return {"input": str(photo), "error": shown, "exit_code": exit_code_of(error)}
