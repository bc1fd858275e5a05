"""Work on a mosaic strip by strip, on several cores."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from rawkd.cores import available_cores


def in_strips(work: Callable[[slice], None], height: int, rows: int, threads: int | None = None) -> None:
    """Call `work` with each strip of rows of a picture; strips run at the same time, so they must not share results.

    Parameters
    ----------
    height : of the picture. rows : of a strip; the last one may have fewer.
    threads : number of threads; None is one for each core that the process may use.
    """
    strips = [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
    count = min(threads or available_cores(), len(strips))
    if count <= 1:
        for strip in strips:
            work(strip)
        return
    with ThreadPoolExecutor(count, thread_name_prefix="strip") as pool:
        for _ in pool.map(work, strips):
            pass
