"""One batch at a time in a folder: two would do every photo twice and clear each other's work files away."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rawkd.errors import OutputError

NO_LOCKS = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK})
"""What a file system without locks answers."""


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder that exists; the system releases it with the process, however that ends.

    Where the folder's file system knows no locks (Lustre without them, some network drives) nothing is held.

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
