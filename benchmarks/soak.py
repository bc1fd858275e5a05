"""Check that a batch does not leak: denoise many small photos in one process and fit a line to its memory.

    python benchmarks/soak.py [--minutes 6] [--photos N] [--megapixels 2] [--sizes 1] [--jobs N] [--model NAME|DIR]
                              [--limit 16]

Runs rounds of 24 synthetic DNGs and one damaged copy through one batch, as `rawkd batch --watch` does: the engines, the
worker threads and the decoder processes stay from the first round to the last. Between two rounds no photo is in work;
there the script reads the resident memory of the process and of its decoders (from /proc, so Linux only), the number of
threads and of open files. The first third of the rounds is warm-up. Prints the slope of the rest in MiB per 1,000
photos with its standard error. Exit code 1 if the slope is above `--limit`, or threads or open files increase.

`--sizes` above 4 makes the engine drop and compile tile shapes all the time.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / "tests")]

from small_photos import noisy_photo  # type: ignore[import-not-found]  # noqa: E402
from whole_photo import resident_mib  # noqa: E402

from rawkd.batch.outcome import Outcome  # noqa: E402
from rawkd.batch.queue import Batch  # noqa: E402
from rawkd.batch.settings import BatchOptions  # noqa: E402
from rawkd.batch.store import LocalStore  # noqa: E402
from rawkd.batch.task import Task  # noqa: E402
from rawkd.batch.workers import LocalWorkers  # noqa: E402
from rawkd.cores import available_cores  # noqa: E402
from rawkd.files.write.dng import write_dng  # noqa: E402
from rawkd.photo import Tag  # noqa: E402
from rawkd.process import ProcessOptions  # noqa: E402
from rawkd.restore.options import DenoiseOptions  # noqa: E402

ROUND, SOURCES = 24, 4
WARM_UP = 1 / 3
"""Share of the rounds before the fit begins: engines compile, and the allocator finds its size (our choice)."""


@dataclass(frozen=True)
class Sample:
    """What the process held between two rounds, after so many photos."""

    photos: int
    total_mib: float
    own_mib: float
    threads: int
    files: int


def sample(photos: int) -> Sample:
    """Read the present memory, threads and open files."""
    own = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    files = len(list(Path("/proc/self/fd").iterdir()))
    return Sample(photos, resident_mib(os.getpid()), own, threading.active_count(), files)


def write_sources(folder: Path, megapixels: float, sizes: int) -> list[Path]:
    """DNGs of that many sizes, each of other noise, with an ISO, so that they are one series."""
    folder.mkdir()
    paths = []
    for index in range(max(SOURCES, sizes)):
        height = int((megapixels * 1e6 / 1.5) ** 0.5) // 2 * 2 + 64 * (index % sizes)
        photo = noisy_photo(height, height * 3 // 2 // 2 * 2, seed=index)
        capture = replace(photo.capture, exif=(Tag(34855, 3, 1, (1600).to_bytes(2, "little")),))
        paths.append(folder / f"{index}.dng")
        photo = replace(photo, capture=capture)
        write_dng(paths[-1], photo, preview=None, software="soak", noise_profile=photo.noise_profile)
    return paths


def line(samples: list[Sample]) -> tuple[float, float]:
    """The slope of a least-squares line in MiB per 1,000 photos, and its standard error."""
    x = np.array([one.photos for one in samples], np.float64) / 1000
    y = np.array([one.total_mib for one in samples])
    x -= x.mean()
    slope = float((x * y).sum() / (x * x).sum())
    left = y - y.mean() - slope * x
    return slope, float(np.sqrt((left * left).sum() / max(len(x) - 2, 1) / (x * x).sum()))


def soak(given: argparse.Namespace, folder: Path) -> list[Sample]:
    """Run rounds until the time or the photos are used up; return a sample for each."""
    sources = write_sources(folder / "sources", given.megapixels, given.sizes)
    damaged = folder / "sources" / "damaged.dng"
    damaged.write_bytes(sources[0].read_bytes()[:-100_000])
    incoming = folder / "in"
    incoming.mkdir()
    came, went = LocalStore(str(incoming)), LocalStore(str(folder / "out"))
    denoise = DenoiseOptions(model=given.model) if given.model else DenoiseOptions()
    statuses: Counter[str] = Counter()

    def forget(outcome: Outcome) -> None:
        """Delete input and output at once, so that a long run needs little disk."""
        statuses[str(outcome.status)] += 1
        (incoming / outcome.task.name).unlink()
        Path(outcome.task.output_shown).unlink(missing_ok=True)

    workers = LocalWorkers(given.jobs or available_cores() + 1)
    batch = Batch(BatchOptions(ProcessOptions(denoise)), workers)
    samples: list[Sample] = []
    began, photos = time.monotonic(), 0
    while time.monotonic() - began < 60 * given.minutes and not (given.photos and photos >= given.photos):
        tasks = []
        for source in [*(sources * ROUND)[:ROUND], damaged]:
            name = f"{photos:06}.dng"
            (incoming / name).hardlink_to(source)
            tasks.append(Task(came, name, went, name))
            photos += 1
        batch.run(tasks, forget)
        samples.append(sample(photos))
        print(f"{photos:6} photos  {samples[-1].total_mib:7.1f} MiB", file=sys.stderr, flush=True)
    workers.close()
    seconds = time.monotonic() - began
    print(f"{photos} photos in {seconds:.0f} s: {', '.join(f'{n} {status}' for status, n in sorted(statuses.items()))}")
    if statuses["failed"] != len(samples):
        sys.exit("photos failed that are not damaged, or damaged ones did not")
    return samples


def main() -> None:
    """Run, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--photos", type=int, help="stop after so many photos, even if there is time left")
    parser.add_argument("--megapixels", type=float, default=2.0)
    parser.add_argument("--sizes", type=int, default=1, help="different sizes of photos, 64 rows apart")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--model")
    parser.add_argument("--limit", type=float, default=16.0, help="MiB per 1,000 photos")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        samples = soak(given, Path(name))
    kept = samples[round(len(samples) * WARM_UP) :]
    if len(kept) < 4:
        sys.exit(f"{len(samples)} rounds are too few for a slope: give more --minutes or --photos")
    slope, error = line(kept)
    first, last = kept[0], kept[-1]
    print(f"memory    {first.total_mib:.0f} to {last.total_mib:.0f} MiB, of the process alone {last.own_mib:.0f} MiB")
    print(f"slope     {slope:+.1f} MiB per 1,000 photos, standard error {error:.1f} (limit {given.limit:g})")
    print(f"threads   {first.threads} to {last.threads}, open files {first.files} to {last.files}")
    if slope > given.limit or last.threads > first.threads or last.files > first.files:
        sys.exit("something leaks")


if __name__ == "__main__":
    main()
