"""`Workers` that are the workers of a Dask cluster.

Each worker receives models and calibrations once, identified by their hash. Workers only write work files; the process
that runs the batch renames them. So another worker can repeat the photo of one that died, and it is still written once.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rawkd import __version__
from rawkd.batch.settings import BatchOptions, calibration_bytes
from rawkd.batch.work import WorkerContext
from rawkd.batch.workers import Item, Result
from rawkd.errors import RawkdError, UsageError
from rawkd.inference.card_file import CARD
from rawkd.inference.students import load_families
from rawkd.restore.installed_calibration import installed_files

if TYPE_CHECKING:
    from rawkd.batch.cluster_worker import WorkerFiles

RUNNING = "running"
"""Dask's word for a client with a connection to its scheduler."""
TIMEOUT_S = 10.0
RETRIES = 2
"""How often Dask repeats a photo after an exception in a worker; for dead workers it has a setting of its own."""


def fixed_for_cluster(options: BatchOptions) -> BatchOptions:
    """Options that give the same pixels on every worker: a fixed device and precision.

    `auto` becomes the CPU, which every worker has; the default precision becomes float32, also on a GPU that the user
    names.
    """
    denoise = options.process.denoise
    device = "cpu" if denoise.device == "auto" else denoise.device
    fixed = replace(denoise, device=device, precision=denoise.precision or "f32")
    return replace(options, process=replace(options.process, denoise=fixed))


class ClusterWorkers:
    """The workers of a Dask scheduler."""

    def __init__(self, address: str, options: BatchOptions) -> None:
        """Connect, compare versions, and send models and calibrations to every worker, also to those that join later.

        Raises
        ------
        UsageError: if the extra is not installed, no scheduler answers, or versions differ.
        RawkdError: if the scheduler was lost, or the disk of a worker does not take the models.
        ModelError, NoiseError: if models or calibration cannot be read here.
        """
        if find_spec("distributed") is None:
            raise UsageError("--cluster needs Dask: pip install 'rawkd[cluster]'")
        from distributed import Client

        from rawkd.batch.cluster_worker import unpack_on_workers

        worker_files = pack_worker_files(options)
        _check_security(address)
        _check_answer(address)
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # it raises what it logs as well
        self._address = address
        self._client = Client(address, timeout=TIMEOUT_S, set_as_default=False)
        try:
            with self._connected():
                _compare_versions(address, self._client)
                self._plugin = f"rawkd-{worker_files.sha256[:16]}"
                unpack_on_workers(self._client, worker_files, self._plugin)
        except BaseException:
            self._client.close()
            raise

    def each(
        self, function: Callable[[WorkerContext, Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result | Exception]]:
        """Items and results in the order in which they finish; an exception for a photo that killed several workers.

        Raises
        ------
        RawkdError: if the scheduler was lost.
        """
        from distributed import as_completed

        from rawkd.batch.cluster_worker import on_worker

        with self._connected():
            futures = {
                self._client.submit(on_worker, function, item, self._plugin, pure=False, retries=RETRIES): item
                for item in items
            }
            try:
                for future in as_completed(list(futures), loop=self._client.loop):
                    item = futures.pop(future)
                    error = future.exception()
                    yield item, (future.result() if error is None else _reason(error))
                    future.release()
            finally:
                self._client.cancel(list(futures), force=True)

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Say in one sentence that the scheduler was lost, whichever error of Dask that becomes in the block.

        Raises
        ------
        RawkdError: if it was lost; Dask cancels all tasks then.
        """
        from distributed.comm import CommClosedError

        try:
            yield
        except Exception as error:
            if isinstance(error, CommClosedError | CancelledError) or self._client.status != RUNNING:
                text = f"{self._address}: the scheduler was lost: start it, and run the command again"
                raise RawkdError(text) from error
            raise

    def close(self) -> None:
        """Remove the files from the workers and disconnect."""
        if self._client.status != RUNNING:
            self._client.close()  # the scheduler was lost
            return
        try:
            self._client.unregister_worker_plugin(self._plugin)
        except (OSError, TimeoutError, ValueError, KeyError):
            pass  # the scheduler has ended, and the workers with it
        finally:
            self._client.close()


def pack_worker_files(options: BatchOptions) -> WorkerFiles:
    """The files that workers need: models, and the calibration that is named or all that are installed here.

    Raises
    ------
    ModelError, NoiseError: if models or the calibration file cannot be read.
    """
    from rawkd.batch.cluster_worker import WorkerFiles

    denoise = options.process.denoise
    files = {}
    if not denoise.keeps_everything:
        for card in load_families(denoise.model):
            for name in (CARD, *card.files):
                path = card.directory / name
                if path.is_file():
                    files[f"models/{card.name}/{name}"] = path.read_bytes()
    if denoise.calibration is not None:
        files["calibration.json"] = calibration_bytes(denoise.calibration)
    else:
        files |= {f"cameras/{path.name}": calibration_bytes(path) for path in installed_files()}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    text = json.dumps([__version__, sorted(digests.items())])
    return WorkerFiles(files, hashlib.sha256(text.encode()).hexdigest(), __version__)


def _check_answer(address: str) -> None:
    """Refuse an address where no scheduler answers, before there is a `Client`: half of one cannot be closed.

    Raises
    ------
    UsageError: if it is no address, or nothing or something else answers there.
    """
    from distributed import Security
    from distributed.comm import connect

    arguments = Security().get_connection_args("client")  # type: ignore[no-untyped-call, unused-ignore]

    async def ask() -> None:
        # `connect` limits the time in which the port opens, but not that of the answer
        comm = await asyncio.wait_for(connect(address, timeout=TIMEOUT_S, **arguments), 2 * TIMEOUT_S)
        await comm.close()

    try:
        asyncio.run(ask())
    except Exception as error:  # each protocol has its own
        reason = next(iter(str(error).splitlines()), "what answers is something else")
        text = f"no Dask scheduler answers ({reason}): start one, or check the address"
        raise UsageError(f"{address}: {text}") from error


def _check_security(address: str) -> None:
    """Refuse an address that this machine's TLS settings do not allow, with a clearer message than Dask's."""
    from distributed import Security

    settings = Security().get_connection_args("client")  # type: ignore[no-untyped-call, unused-ignore]
    if address.startswith("tls://") and settings.get("ssl_context") is None:
        raise UsageError(f"{address}: no certificate is configured here for TLS: see docs/cluster.md")
    if not address.startswith("tls://") and settings.get("require_encryption"):
        raise UsageError(f"{address}: this machine is configured to speak to Dask by TLS alone: use tls://")


def _compare_versions(address: str, client: Any) -> None:
    """Refuse a scheduler or workers of another version: they may unpickle or compute something else."""
    from rawkd.batch.cluster_worker import installed_version

    versions = client.get_versions(check=False)
    here = versions["client"]["packages"]
    for who, found in [("scheduler", versions["scheduler"]), *versions["workers"].items()]:
        there = found["packages"] if found else {}
        for name in ("distributed", "python"):
            ours, theirs = (_minor(packages.get(name)) for packages in (here, there))
            if name == "python" and who == "scheduler":
                continue  # it never unpickles a task
            if ours != theirs:
                raise UsageError(f"{address}: {who} has {name} {theirs}, this machine {ours}: install the same version")
    for who, version in client.run(installed_version, on_error="return").items():
        if version != __version__:
            what = f"has rawkd {version}" if isinstance(version, str) else "has no rawkd"
            raise UsageError(
                f"{address}: the worker {who} {what}, this machine {__version__}: install the same version"
            )


def _minor(version: object) -> str:
    """The version without its patch level, which makes no difference to compatibility in Dask and Python."""
    return ".".join(str(version).split(".")[:2])


def _reason(error: BaseException) -> Exception:
    """Why Dask gave up a photo, as an exception of ours where its own says too little."""
    if type(error).__name__ == "KilledWorker":
        return RawkdError("several workers ended while they had it: look for what kills them (memory?) in their logs")
    return error if isinstance(error, Exception) else RawkdError(f"a worker ended: {error}")
