"""One batch at a time in a folder: two would do every photo twice and clear each other's work files away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rawkd.errors import OutputError


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder that exists; the system releases it with the process, however that ends.

    Raises
    ------
    OutputError: if another process holds it, or the folder may not be written.
    """
    path = folder / "lock"
    try:
        stream = path.open("a+b")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}): choose another folder with -o") from error
    with stream:
        try:
            _lock(stream)
        except OSError as error:
            text = "another rawkd batch is writing here; wait for it, or choose another folder with -o"
            raise OutputError(f"{folder.parent}: {text}") from error
        yield


def _lock(stream: IO[bytes]) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        return
    import fcntl

    with suppress(InterruptedError):
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
