"""The one table of exit codes, and what is said when something goes wrong."""

from __future__ import annotations

from pathlib import Path

from rawkd.errors import (
    InputError,
    MemoryLimitError,
    ModelError,
    NoiseError,
    OutputError,
    RawkdError,
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


def sentence_of(error: Exception, photo: Path | None = None) -> str:
    """One line for the user: which file, what happened, what to do."""
    if isinstance(error, MemoryError):
        text = "there is not enough memory for this photo; close other programs or denoise it on a larger machine"
    elif isinstance(error, RawkdError):
        text = " ".join(str(error).split())
    else:
        text = f"something unexpected happened ({type(error).__name__}: {error}); rawkd -v shows the traceback"
        text = " ".join(text.split())
    if photo is None or str(photo) in text:
        return text
    return f"{photo}: {text}"
