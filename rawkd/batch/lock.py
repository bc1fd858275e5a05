"""A lock for one batch at a time in a folder: two would repeat photos and delete each other's work files."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rawkd.errors import OutputError

NO_LOCKS = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK})
"""Error numbers of a file system that has no locks."""


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Hold the lock of an existing folder; the system releases it when the process ends, even by a kill.

    On a file system without locks (some network drives, Lustre mounted without them) nothing is locked.

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
            if error.errno in NO_LOCKS:
                yield
                return
            text = "another rawkd batch is writing here; wait for it, or choose another folder with -o"
            raise OutputError(f"{folder.parent}: {text}") from error
        yield


def _lock(stream: IO[bytes]) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        return
    import fcntl

    fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
