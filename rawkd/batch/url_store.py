"""A store at any URL that fsspec can open: s3://, gs://, sftp://, https:// (read only), file:// ...

Each machine takes the keys of a URL from where its fsspec driver looks for them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from rawkd.batch.store import OWN_FOLDER, FileState, Missed, unheard
from rawkd.errors import InputError, OutputError, UsageError

SIDECARS = (".xmp", ".XMP")
STAMPS = (
    "ETag", "etag", "LastModified", "last_modified", "Last-Modified", "mtime", "updated", "modified", "modify",
    "last_write_time", "Content-MD5", "Digest",
)  # fmt: skip
"""What fsspec's drivers call the version, the time of the last change or a hash of a file, best first."""
UNKNOWN = FileState(-1, "")


@dataclass(frozen=True)
class UrlStore:
    """A folder at an fsspec URL without a slash at its end. Files are copied to this machine while they are used."""

    root: str

    @classmethod
    def at(cls, url: str) -> UrlStore:
        """The folder at a URL.

        Raises
        ------
        UsageError: if fsspec or the driver for such URLs is not installed.
        """
        if find_spec("fsspec") is None:
            raise UsageError(f"{url}: URLs need fsspec: pip install 'rawkd[cluster]'")
        import fsspec

        store = cls(url.rstrip("/"))
        try:
            fsspec.get_filesystem_class(url.partition("://")[0])
        except (ImportError, ValueError) as error:
            raise UsageError(f"{url}: fsspec cannot open it ({error})") from error
        return store

    def shown(self, name: str) -> str:
        """The URL of a file."""
        return f"{self.root}/{name}"

    def files(self, *, recursive: bool, missed: Missed = unheard) -> Iterator[tuple[str, FileState | None]]:  # noqa: ARG002
        """Names and states of all files but those with a hidden part in their names, by one listing.

        Folders that cannot be read are left out by the driver, which does not report them.
        """
        files, base = self._opened()
        try:
            found = files.find(base, detail=True).values() if recursive else files.ls(base, detail=True)
        except OSError as error:
            raise InputError(f"{self.root}: it cannot be listed ({error}); check the address and its keys") from error
        for info in sorted(found, key=lambda info: str(info["name"])):
            name = str(info["name"])[len(base) :].strip("/")
            hidden = any(part.startswith(".") for part in name.split("/"))
            if name and not hidden and info.get("type") != "directory":
                state = _state(info)
                yield name, None if state == UNKNOWN else state

    def state(self, name: str) -> FileState | None:
        """Size, and the version or time of the last change if the driver has one."""
        files, base = self._opened()
        try:
            return _state(files.info(f"{base}/{name}"))
        except OSError:
            return None

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """A temporary copy of the file and of its sidecar, deleted after the block."""
        files, base = self._opened()
        path = PurePosixPath(name)
        with tempfile.TemporaryDirectory(prefix="rawkd-") as folder:
            copy = Path(folder, path.name)
            try:
                files.get_file(f"{base}/{name}", str(copy))
                for sidecar in (path.with_name(path.name + end) for end in SIDECARS):
                    _fetch_if_there(files, f"{base}/{sidecar}", Path(folder, sidecar.name))
                for sidecar in (path.with_suffix(end) for end in SIDECARS):
                    _fetch_if_there(files, f"{base}/{sidecar}", Path(folder, sidecar.name))
            except OSError as error:
                raise InputError(f"{self.shown(name)}: it cannot be fetched ({error}); check the address") from error
            yield copy

    def read(self, name: str) -> bytes | None:
        """The bytes of a small file; None if it cannot be read."""
        files, base = self._opened()
        try:
            data: bytes = files.cat_file(f"{base}/{name}")
        except OSError:
            return None
        return data

    def write(self, name: str, data: bytes) -> None:
        """Upload a small file; object stores do so atomically."""
        files, base = self._opened()
        try:
            files.makedirs(str(PurePosixPath(base, name).parent), exist_ok=True)
            files.pipe_file(f"{base}/{name}", data)
        except OSError as error:
            raise self._unwritable(name, error) from error

    @contextmanager
    def session(self) -> Iterator[None]:
        """Check that the store can be written. Work files of a killed run stay: they may belong to another run."""
        self.write(f"{OWN_FOLDER}/writable", b"")
        yield

    @contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        """A temporary local file that is uploaded at the end of the block."""
        files, base = self._opened()
        with tempfile.TemporaryDirectory(prefix="rawkd-") as folder:
            copy = Path(folder, PurePosixPath(name).name)
            yield copy
            try:
                files.makedirs(str(PurePosixPath(base, name).parent), exist_ok=True)
                files.put_file(str(copy), f"{base}/{name}")
            except OSError as error:
                raise self._unwritable(name, error) from error

    def publish(self, staged: str, name: str) -> None:
        """Move the work file to its final name; stores without a rename copy the whole file."""
        files, base = self._opened()
        try:
            files.makedirs(str(PurePosixPath(base, name).parent), exist_ok=True)
            files.mv(f"{base}/{staged}", f"{base}/{name}")
        except OSError as error:
            raise self._unwritable(name, error) from error

    def discard(self, staged: str) -> None:
        """Delete the work file."""
        files, base = self._opened()
        with suppress(OSError, NotImplementedError):
            files.rm_file(f"{base}/{staged}")

    def _opened(self) -> tuple[Any, str]:
        """The fsspec driver, without its cache of listings, and the root in its notation."""
        import fsspec

        files, base = fsspec.core.url_to_fs(self.root, use_listings_cache=False)
        return files, str(base)

    def _unwritable(self, name: str, error: OSError) -> OutputError:
        return OutputError(f"{self.shown(name)}: cannot be written ({error}); check the address and its keys")


def _state(info: dict[str, Any]) -> FileState:
    """Size and stamp from a driver's description of a file."""
    size = info.get("size")
    return FileState(-1 if size is None else int(size), next((str(info[key]) for key in STAMPS if info.get(key)), ""))


def _fetch_if_there(files: Any, remote: str, copy: Path) -> None:
    is_there = os.path.exists(copy)  # noqa: PTH110 -- no error for a name that is too long
    if not is_there and files.exists(remote):
        files.get_file(remote, str(copy))
