"""Code that runs in the workers of a Dask cluster; they unpickle references to this module."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from distributed import Client, WorkerPlugin, get_worker
from distributed.comm import CommClosedError

from rawkd import __version__
from rawkd.batch.work import WorkerContext
from rawkd.batch.workers import Item, Result
from rawkd.errors import RawkdError, UsageError


@dataclass(frozen=True, eq=False)
class WorkerFiles:
    """Files that a worker needs and may not have.

    Attributes
    ----------
    files : contents by name: `models/<model>/<file>`, `calibration.json`, `cameras/<file>`.
    sha256 : of all names and contents. version : of the rawkd that packed them.
    """

    files: dict[str, bytes]
    sha256: str
    version: str


class RawkdPlugin(WorkerPlugin):  # type: ignore[misc, unused-ignore]
    """Unpacks the files once on each worker, and keeps its engines and decoders for the next photo."""

    def __init__(self, worker_files: WorkerFiles) -> None:
        self.worker_files = worker_files
        self.worker: WorkerContext | None = None
        self._folder: Path | None = None

    def setup(self, worker: Any) -> None:
        """Unpack the files below the worker's local directory."""
        folder = self._folder = Path(tempfile.mkdtemp(prefix="rawkd-", dir=worker.local_directory))
        for name, data in self.worker_files.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        models, calibration = folder / "models", folder / "calibration.json"
        self.worker = WorkerContext(
            models if models.is_dir() else None,
            calibration if calibration.is_file() else None,
            folder / "cameras",  # even if empty, so that calibrations installed on the worker are not used
            jobs=worker.state.nthreads,
        )

    def teardown(self, worker: Any) -> None:  # noqa: ARG002
        """End the decoders and remove the unpacked files."""
        if self.worker is not None:
            self.worker.stopped.set()
            self.worker.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def unpack_on_workers(client: Client, worker_files: WorkerFiles, name: str) -> None:
    """Unpack models and calibrations on every worker, also on those that join later.

    Raises
    ------
    RawkdError: if the disk of a worker does not take them. CommClosedError: if the scheduler was lost.
    """
    try:
        client.register_plugin(RawkdPlugin(worker_files), name=name)
    except CommClosedError:
        raise
    except OSError as error:
        text = f"a worker cannot unpack the models ({error.strerror or error}). Free some space there."
        raise RawkdError(text) from error


def installed_version() -> str:
    """The version of rawkd on this worker."""
    return __version__


def on_worker(function: Callable[[WorkerContext, Item], Result], item: Item, plugin: str) -> Result:
    """Apply `function` to one item in the context of this worker.

    Raises
    ------
    UsageError: if this worker has another version of rawkd than the batch. RawkdError: if its files are missing.
    """
    found = cast(RawkdPlugin, get_worker().plugins[plugin])
    if found.worker_files.version != __version__:
        raise UsageError(f"this worker has rawkd {__version__}, the batch {found.worker_files.version}")
    if found.worker is None:
        raise RawkdError("this worker has not unpacked its models")
    return function(found.worker, item)
