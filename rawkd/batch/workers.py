"""Who does the work: threads of this process here, workers of a cluster in `rawkd.batch.cluster`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from typing import Protocol, TypeVar

from rawkd.batch.work import WorkerContext

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers(Protocol):
    """Does the same to many items, several at a time."""

    def each(
        self, function: Callable[[WorkerContext, Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result | Exception]]:
        """Items and results as they come, in any order; an exception where an item's worker was lost for good.

        Whoever stops listening stops the work.
        """
        ...

    def close(self) -> None:
        """Let everything go."""
        ...


class LocalWorkers:
    """Threads that take a photo each from reading to writing, so that one reads or writes while another computes.

    The heavy parts (decoder process, OpenVINO, numpy, JPEG) leave the interpreter free, and threads share the engines,
    which processes could not. Memory is bounded by `jobs` photos.
    """

    def __init__(self, jobs: int, begun: Callable[[object], None] | None = None) -> None:
        """Start nothing yet; `begun` is called with every item that a thread takes up, in that thread."""
        self._worker = WorkerContext()
        self._begun = begun
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="photo")

    def each(
        self, function: Callable[[WorkerContext, Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result | Exception]]:
        """Items and results as they come."""

        def take_up(item: Item) -> Result:
            if self._begun is not None:
                self._begun(item)
            return function(self._worker, item)

        futures: dict[Future[Result], Item] = {self._pool.submit(take_up, item): item for item in items}
        try:
            for future in as_completed(futures):
                yield futures[future], future.exception() or future.result()  # type: ignore[misc]
        except BaseException:
            self._worker.stopped.set()
            raise
        finally:
            for future in futures:
                future.cancel()
            wait(futures)

    def close(self) -> None:
        """End threads after the photo's tile they are at, and their decoders."""
        self._worker.stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._worker.close()
