"""Workers of a batch: threads of this process; `rawkd.batch.cluster` has those of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from typing import Protocol, TypeVar

from rawkd.batch.work import WorkerContext
from rawkd.inference.students import load_families
from rawkd.restore.options import DenoiseOptions

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers(Protocol):
    """Applies a function to many items, several at a time."""

    def each(
        self, function: Callable[[WorkerContext, Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result | Exception]]:
        """Items and results in the order in which they finish; an exception for an item that no worker could finish.

        Closing the iterator stops the work.
        """
        ...

    def close(self) -> None:
        """Stop all work and free its resources."""
        ...


class LocalWorkers:
    """Threads, each of which takes one photo from reading to writing, so that one reads while another computes.

    The slow parts (decoder process, OpenVINO, numpy, JPEG) release the interpreter lock, and threads share engines, as
    processes could not. Memory is bounded by `jobs` photos.
    """

    def __init__(self, jobs: int, begun: Callable[[object], None] | None = None) -> None:
        """Start no thread yet; `begun` is called with each item when a thread takes it, in that thread."""
        self._worker = WorkerContext(jobs=jobs)
        self._begun = begun
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="photo")

    def check_device(self, options: DenoiseOptions) -> None:
        """Load a network on the device if the options name a GPU, so that a missing one is found before the work.

        Raises
        ------
        ModelError: if there is no such model, or the device or its library is missing.
        """
        if options.device in ("auto", "cpu") or options.keeps_everything:
            return
        card = load_families(options.model)[0]
        self._worker.context.engines.load(card, device=options.device, precision=options.precision)

    def each(
        self, function: Callable[[WorkerContext, Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result | Exception]]:
        """Items and results in the order in which they finish; no result is kept once it was yielded."""

        def take_up(item: Item) -> Result:
            if self._begun is not None:
                self._begun(item)
            return function(self._worker, item)

        futures: dict[Future[Result], Item] = {self._pool.submit(take_up, item): item for item in items}
        try:
            for future in as_completed(list(futures)):
                item = futures.pop(future)
                yield item, future.exception() or future.result()  # type: ignore[misc]
                del future  # else it holds its result until the next photo is done
        except BaseException:
            self._worker.stopped.set()
            raise
        finally:
            for future in futures:
                future.cancel()
            wait(futures)

    def close(self) -> None:
        """Stop the threads after their current tile, and end their decoders."""
        self._worker.stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._worker.close()
