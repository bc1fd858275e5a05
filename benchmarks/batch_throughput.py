"""Measure how fast a batch is beside single calls and beside its stages alone, and how busy it keeps the cores.

    python benchmarks/batch_throughput.py [--photos 24] [--megapixels 2] [--singles 3] [--jobs N] [--rounds 3]
                                          [--model NAME|DIR]

Writes one synthetic DNG with an ISO and links copies of it.

1. Single calls: `rawkd denoise` in fresh processes, as a loop in a shell runs them (`--singles 0` leaves them out).
2. The batch: the classes behind `rawkd batch` in this process. The first and the last photos, while the workers fill up
   and run out, do not count.
3. Stages alone: reading, denoising and writing (with the preview), each repeated by as many threads as the batch has.

Busy cores are CPU seconds of the process and its decoders / (wall seconds * cores). All stages run on the same cores,
so no batch can be faster than the sum of its stages; the share of that sum shows what waiting costs. Batch and stages
take turns, `--rounds` times; the best of each counts.

The disk cache of compiled networks is warm: it lies in a temporary folder, and a single call that is not measured fills
it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests")]

from rawkd.cli.app import BLAS_THREADS  # noqa: E402

for variable in BLAS_THREADS:
    os.environ.setdefault(variable, "1")  # as `rawkd batch` has it, before numpy is imported

from small_photos import noisy_photo  # type: ignore[import-not-found]  # noqa: E402

from rawkd.batch.outcome import Outcome  # noqa: E402
from rawkd.batch.queue import Batch  # noqa: E402
from rawkd.batch.settings import BatchOptions  # noqa: E402
from rawkd.batch.store import LocalStore  # noqa: E402
from rawkd.batch.task import Task  # noqa: E402
from rawkd.batch.work import WorkerContext  # noqa: E402
from rawkd.batch.workers import LocalWorkers, Workers  # noqa: E402
from rawkd.cores import available_cores  # noqa: E402
from rawkd.files.read.raw import read_raw  # noqa: E402
from rawkd.files.write.dng import write_dng  # noqa: E402
from rawkd.photo import Tag  # noqa: E402
from rawkd.process import SOFTWARE, ProcessOptions  # noqa: E402
from rawkd.render.preview import render_preview  # noqa: E402
from rawkd.restore.options import DenoiseOptions  # noqa: E402
from rawkd.restore.pipeline import prepare, restore  # noqa: E402


@dataclass(frozen=True)
class Pace:
    """Wall seconds and CPU seconds of one photo."""

    seconds: float
    core_seconds: float


def cpu_seconds() -> float:
    """CPU seconds of this process and its running children, whose ticks are hundredths of a second."""
    children = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            children += int(fields[11]) + int(fields[12])
    return time.process_time() + children / os.sysconf("SC_CLK_TCK")


def write_shoot(folder: Path, photos: int, megapixels: float) -> Path:
    """Write one DNG of that size and link copies of it; return the first."""
    folder.mkdir()
    height = int((megapixels * 1e6 / 1.5) ** 0.5) // 2 * 2
    photo = noisy_photo(height, height * 3 // 2, iso=1600)
    photo = replace(photo, capture=replace(photo.capture, exif=(Tag(34855, 3, 1, (1600).to_bytes(2, "little")),)))
    first = folder / "000.dng"
    write_dng(first, photo, preview=None, software="b", noise_profile=photo.noise_profile)
    for index in range(1, photos):
        first.with_name(f"{index:03}.dng").hardlink_to(first)
    return first


def batch_pace(shoot: Path, jobs: int, options: DenoiseOptions, workers: Workers | None = None) -> Pace:
    """The pace of a batch of the photos in a folder, while all its workers are busy: threads if none are given."""
    names = sorted(path.name for path in shoot.glob("*.dng"))
    ends: list[tuple[float, float]] = []

    def note(outcome: Outcome) -> None:
        if outcome.failure is not None:
            sys.exit(outcome.failure.sentence)
        ends.append((time.perf_counter(), cpu_seconds()))

    workers = workers or LocalWorkers(jobs)
    with tempfile.TemporaryDirectory(dir=shoot.parent) as out:
        came, went = LocalStore(str(shoot)), LocalStore(out)
        Batch(BatchOptions(ProcessOptions(options)), workers).run(
            [Task(came, name, went, name) for name in names], note
        )
    workers.close()
    first, last = 2 * jobs - 1, len(ends) - jobs
    if last - first < jobs:
        sys.exit(f"{len(names)} photos are too few for {jobs} jobs: give more --photos")
    return Pace(*((ends[last][part] - ends[first][part]) / (last - first) for part in (0, 1)))


def stage_paces(first: Path, folder: Path, jobs: int, times: int, options: DenoiseOptions) -> dict[str, Pace]:
    """The pace of each stage alone, repeated `times` times by `jobs` threads."""
    worker = WorkerContext()
    photo = read_raw(first, decoder=worker.decoder)
    prepared = prepare(photo, options, worker.context)
    restored = restore(prepared, options, worker.context)

    def write(index: int) -> None:
        preview = render_preview(restored.photo, mosaic=restored.mosaic)
        write_dng(folder / f"{index}.dng", restored.photo, preview=preview, software=SOFTWARE, overwrite=True)

    stages: dict[str, Callable[[int], object]] = {
        "read": lambda _: read_raw(first, decoder=worker.decoder),
        "denoise": lambda _: restore(prepare(photo, options, worker.context, prepared.noise), options, worker.context),
        "write": write,
    }
    paces = {}
    with ThreadPoolExecutor(jobs) as pool:
        for name, stage in stages.items():
            list(pool.map(stage, range(2 * jobs)))
            begin, cpu = time.perf_counter(), cpu_seconds()
            list(pool.map(stage, range(times)))
            paces[name] = Pace((time.perf_counter() - begin) / times, (cpu_seconds() - cpu) / times)
    worker.close()
    return paces


def single_seconds(first: Path, folder: Path, words: list[str]) -> float:
    """Wall seconds of one call of `rawkd denoise` in a fresh process."""
    begin = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "rawkd",
        "denoise",
        str(first),
        "-o",
        str(folder / "single.dng"),
        "--overwrite",
        "-q",
    ]
    subprocess.run([*command, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--megapixels", type=float, default=2.0)
    parser.add_argument("--singles", type=int, default=3, help="single calls to time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int)
    given = parser.parse_args()
    cores = available_cores()
    jobs = given.jobs or cores + 1
    options = DenoiseOptions(model=given.model) if given.model else DenoiseOptions()
    batches: list[Pace] = []
    alone: dict[str, list[Pace]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        first = write_shoot(folder / "in", given.photos, given.megapixels)
        words = ["--model", given.model] if given.model else []
        singles = [single_seconds(first, folder, words) for _ in range(given.singles + 1)][1:]
        for _ in range(given.rounds):
            batches.append(batch_pace(folder / "in", jobs, options))
            for stage, pace in stage_paces(first, folder, jobs, given.photos, options).items():
                alone.setdefault(stage, []).append(pace)
    batch = min(batches, key=lambda pace: pace.seconds)
    best = {stage: min(paces, key=lambda pace: pace.seconds) for stage, paces in alone.items()}
    total = sum(pace.seconds for pace in best.values())
    slowest = max(best, key=lambda stage: best[stage].seconds)
    print(
        f"load of the machine          {os.getloadavg()[0]:.1f} on {cores} cores; {jobs} jobs, best of {given.rounds}"
    )
    print("disk cache                   warm (one single call before)")
    print(f"a photo of the batch         {batch.seconds:.3f} s, {batch.core_seconds:.3f} core-seconds")
    print(f"busy cores                   {batch.core_seconds / (batch.seconds * cores):.2f} of all (0.95 wanted)")
    for stage, pace in best.items():
        print(f"{stage + ' alone':29}{pace.seconds:.3f} s, {pace.core_seconds:.3f} core-seconds")
    print(f"batch over all stages alone  {total / batch.seconds:.2f} times as fast (0.95 wanted)")
    print(f"batch over {slowest} alone     {best[slowest].seconds / batch.seconds:.2f} times as fast")
    if singles:
        print(f"one single call              {min(singles):.2f} s")
        print(f"batch over single calls      {min(singles) / batch.seconds:.2f} times as fast (1.3 wanted)")


if __name__ == "__main__":
    main()
