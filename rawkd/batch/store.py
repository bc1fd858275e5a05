"""Stores: where photos are read and outputs are written. Here a local folder; `rawkd.batch.url_store` has URLs.

Names within a store are relative, with ``/``. Records and work files of a batch are in the store's folder `.rawkd`.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rawkd.batch.lock import sole_use
from rawkd.errors import OutputError
from rawkd.files.naming import refuse_existing, refuse_file_for_folder
from rawkd.files.write.atomic import HINTS, atomic_output

OWN_FOLDER = ".rawkd"
WORK = f"{OWN_FOLDER}/work"
RECORDS = f"{OWN_FOLDER}/photos"

Missed = Callable[[str, str], None]
"""Called for every folder that cannot be searched, with the folder and a sentence about it."""


def unheard(_folder: str, _sentence: str) -> None:
    """Ignore the folder."""


@dataclass(frozen=True)
class FileState:
    """Size and time of a file. Two states that differ mean that it may have changed.

    Attributes
    ----------
    size : bytes, -1 where the store does not say it.
    stamp : version or time of the last change, as the store has it; empty where it has none, and then two equal states
        do not prove that the file is the same.
    """

    size: int
    stamp: str


class Store(Protocol):
    """A folder of photos; it can be pickled."""

    @property
    def root(self) -> str:
        """Path or URL of the folder."""
        ...

    def shown(self, name: str) -> str:
        """The name of a file in messages and reports."""
        ...

    def files(self, *, recursive: bool, missed: Missed = unheard) -> Iterator[tuple[str, FileState | None]]:
        """Names and states of all files but hidden ones, in any order; None for a state that a listing does not say.

        `missed` is called for folders that cannot be searched.
        """
        ...

    def state(self, name: str) -> FileState | None:
        """The state of a file; None if it does not exist or cannot be seen."""
        ...

    def local(self, name: str) -> AbstractContextManager[Path]:
        """The path of a local copy for reading, with its sidecar beside it."""
        ...

    def read(self, name: str) -> bytes | None:
        """The bytes of a small file; None if it cannot be read."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Write a small file atomically. Raises OutputError."""
        ...

    def session(self) -> AbstractContextManager[None]:
        """Hold the store for one batch, after a check that it can be written. Raises OutputError."""
        ...

    def staging(self, name: str) -> AbstractContextManager[Path]:
        """The local path under which to write the work file `name`. Raises OutputError."""
        ...

    def publish(self, staged: str, name: str) -> None:
        """Rename a work file to its final name atomically, replacing an existing file. Raises OutputError."""
        ...

    def discard(self, staged: str) -> None:
        """Delete a work file that is not published, if it is there and the store allows it."""
        ...


def work_name(key: str, suffix: str) -> str:
    """A new name for a work file, with a random part: two workers never write to the same file."""
    return f"{WORK}/{key}-{secrets.token_hex(4)}{suffix}"


@dataclass(frozen=True)
class LocalStore:
    """A local folder, or a shared one that every worker has under the same path."""

    root: str

    def shown(self, name: str) -> str:
        """The path below the root as the user typed it."""
        return str(Path(self.root, name))

    def files(self, *, recursive: bool, missed: Missed = unheard) -> Iterator[tuple[str, FileState | None]]:
        """Names and states of all files but hidden ones; links to folders are not followed."""

        def skipped(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):  # deleted since it was listed
                text = f"the folder cannot be read ({error.strerror}) and is left out; check its permissions"
                place = str(error.filename or self.root)
                missed(place, f"{place}: {text}")

        for folder, folders, files in os.walk(self.root, onerror=skipped):
            folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
            relative = Path(folder).relative_to(self.root)
            for name in (relative / name for name in sorted(files) if not name.startswith(".")):
                yield name.as_posix(), self.state(name.as_posix())

    def state(self, name: str) -> FileState | None:
        """Size and time of the last change."""
        try:
            found = Path(self.root, name).stat()
        except (OSError, ValueError):
            return None
        return FileState(found.st_size, str(found.st_mtime_ns))

    def local(self, name: str) -> AbstractContextManager[Path]:
        """The file itself."""
        return nullcontext(Path(self.root, name))

    def read(self, name: str) -> bytes | None:
        """The bytes of a small file; None if it cannot be read."""
        try:
            return Path(self.root, name).read_bytes()
        except OSError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write a work file and rename it, so that a kill leaves no partial file outside the work folder."""
        staged = work_name("record", ".part")
        try:
            with self.staging(staged) as work, work.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise _unwritable(Path(self.root, name), error) from error
        self.publish(staged, name)

    @contextmanager
    def session(self) -> Iterator[None]:
        """Hold the lock of the store, with an empty work folder: files of a killed run are deleted."""
        own, work = Path(self.root, OWN_FOLDER), Path(self.root, WORK)
        _make_folder(own)
        with sole_use(own):
            shutil.rmtree(work, ignore_errors=True)
            _make_folder(work)
            try:
                yield
            finally:
                shutil.rmtree(work, ignore_errors=True)

    def staging(self, name: str) -> AbstractContextManager[Path]:
        """The work file itself, which is on the disk of its output."""
        _make_folder(Path(self.root, WORK))
        return nullcontext(Path(self.root, name))

    def publish(self, staged: str, name: str) -> None:
        """Rename the work file; copy it first if the output is on another disk."""
        source, path = Path(self.root, staged), Path(self.root, name)
        _make_folder(path.parent)
        try:
            refuse_existing(path, overwrite=True)
            if path.exists():
                shutil.copymode(path, source)
            source.replace(path)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise _unwritable(path, error) from error
            with atomic_output(path, overwrite=True) as temporary:
                shutil.copyfile(source, temporary)
            source.unlink()

    def discard(self, staged: str) -> None:
        """Delete the work file."""
        with suppress(OSError):
            Path(self.root, staged).unlink()


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        refuse_file_for_folder(path)
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> OutputError:
    reason = HINTS.get(error.errno or 0, f"{error.strerror or error}; choose another folder")
    return OutputError(f"{path}: cannot be written: {reason}")
