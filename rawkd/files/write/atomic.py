"""Whole files or none: written beside under a hidden name, made durable, renamed."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rawkd.errors import OutputError
from rawkd.files.naming import refuse_existing

HINTS = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another folder",
    errno.EACCES: "the folder may not be written to; choose another one",
    errno.EPERM: "the folder may not be written to; choose another one",
    errno.EROFS: "the disk may only be read; choose another folder",
    errno.ENOENT: "the folder does not exist; create it or choose another one",
    errno.ENOTDIR: "the folder does not exist; create it or choose another one",
    errno.EISDIR: "a folder has this name; choose another name",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


@contextmanager
def atomic_output(path: Path, overwrite: bool) -> Iterator[Path]:
    """A hidden, empty file in the folder of `path` to write to; renamed to `path` when the block ends well.

    The file is flushed to the disk before it is renamed, and takes over the permissions of one that it replaces. Any
    failure within the block, Ctrl-C included, removes it and leaves an old file at `path` as it was. A symbolic link
    is followed.

    Raises
    ------
    OutputError: as `naming.refuse_existing`, or an OSError comes up (no permission, no space, ...).
    """
    target = path.resolve()
    try:
        refuse_existing(path, overwrite=overwrite)
        temporary = target.with_name(f".rawkd-{secrets.token_hex(6)}.part")
        try:
            temporary.open("xb").close()
            yield temporary
            _flush(temporary)
            if target.exists():
                shutil.copymode(target, temporary)
            refuse_existing(path, overwrite=overwrite)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = HINTS.get(error.errno or 0, f"{error.strerror or error}; choose another folder")
        raise OutputError(f"{path}: cannot be written: {reason}") from error
    if os.name == "posix":
        with suppress(OSError):
            _flush(target.parent)


def _flush(path: Path) -> None:
    """Make the file's data, or the folder's entries, durable."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
