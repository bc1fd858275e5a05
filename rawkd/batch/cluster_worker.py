"""What runs in the workers of a Dask cluster; the only module that is unpickled there by name."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from distributed import WorkerPlugin, get_worker

from rawkd import __version__
from rawkd.batch.work import WorkerContext
from rawkd.batch.workers import Item, Result
from rawkd.errors import RawkdError, UsageError


@dataclass(frozen=True, eq=False)
class WorkerFiles:
    """What a worker needs and may not have.

    Attributes
    ----------
    files : contents by name, `models/<model>/<file>`, `calibration.json` and `cameras/<file>`. sha256 : of all that.
    version : the rawkd that packed it.
    """

    files: dict[str, bytes]
    sha256: str
    version: str


class RawkdPlugin(WorkerPlugin):  # type: ignore[misc, unused-ignore]
    """Unpacks the files once a worker, and keeps engines and decoders from photo to photo."""

    def __init__(self, worker_files: WorkerFiles) -> None:
        self.worker_files = worker_files
        self.worker: WorkerContext | None = None

    def setup(self, worker: Any) -> None:
        """Unpack to the worker's own folder."""
        self._folder = Path(tempfile.mkdtemp(prefix="rawkd-", dir=worker.local_directory))
        for name, data in self.worker_files.files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        models, calibration = self._folder / "models", self._folder / "calibration.json"
        self.worker = WorkerContext(
            models if models.is_dir() else None,
            calibration if calibration.is_file() else None,
            self._folder / "cameras",  # also where none was sent: the worker's own ones are no part of the batch
        )

    def teardown(self, worker: Any) -> None:  # noqa: ARG002
        """End decoders and remove what was unpacked."""
        if self.worker is not None:
            self.worker.stopped.set()
            self.worker.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def installed_version() -> str:
    """The rawkd of a worker."""
    return __version__


def on_worker(function: Callable[[WorkerContext, Item], Result], item: Item, plugin: str) -> Result:
    """Do one item with what the worker keeps.

    Raises
    ------
    UsageError: if the worker has another rawkd than the one that sent the item.
    """
    found = cast(RawkdPlugin, get_worker().plugins[plugin])
    if found.worker_files.version != __version__:
        raise UsageError(f"this worker has rawkd {__version__}, the batch {found.worker_files.version}")
    if found.worker is None:
        raise RawkdError("this worker has not unpacked its models")
    return function(found.worker, item)
