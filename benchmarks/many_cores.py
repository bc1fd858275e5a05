"""Predict how a batch grows with the cores, from measurements on one and two cores.

    python benchmarks/many_cores.py [--photos 24] [--megapixels 2] [--rounds 3] [--model NAME|DIR] [--dask]

Runs the batch of `batch_throughput.py` in processes that are bound to cores (Linux only):

- one process on one core, one process on two cores (threads share the engines), two processes on a core each;
- with `--dask`: two workers of a Dask cluster on loopback, one thread each, in the same precision as the others;
- the serial part: a thread wakes every millisecond while one photo at a time is denoised on one thread, with a core to
  spare. If it has to wait, another thread holds Python's interpreter lock. The threads of a process cannot do that part
  of the work side by side. Waiting that an idle process measures too, for the processor, is subtracted. Locks shorter
  than 0.2 ms are not seen.

Model, our choice (Amdahl's law): a photo takes serial + parallel / cores seconds. Two numbers, the pace on one core and
the serial part, predict two cores; the script compares that with the measured pace, and prints 4, 8 and 16 cores. For
processes the serial part is 0. Memory bandwidth, slower clocks and the disk are not in the model.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

WAKE_S, LATE_S = 1e-3, 2e-4
"""Sleep of the probe, and the delay from which it counts as waiting for the lock; an idle core wakes it in 1e-4 s."""
IDLE_S = 2.0
PREDICTED = (4, 8, 16)


def held_share(stop: threading.Event) -> float:
    """The share of the time, until `stop`, in which the interpreter lock was held for `LATE_S` or longer.

    Wake-ups that had to wait count with their length, since a thread that keeps the lock lets fewer of them happen.
    """
    late = total = 0.0
    while not stop.is_set():
        begin = time.perf_counter()
        time.sleep(WAKE_S)
        took = time.perf_counter() - begin
        total += took
        late += took if took - WAKE_S > LATE_S else 0
    return late / max(total, WAKE_S)


def serial_seconds(shoot: Path, model: str | None) -> float:
    """Seconds of one photo during which the interpreter lock is held."""
    from batch_throughput import batch_pace

    from rawkd.restore.options import DenoiseOptions

    idle = threading.Event()
    threading.Timer(IDLE_S, idle.set).start()
    waiting = held_share(idle)
    stop, found = threading.Event(), list[float]()
    probe = threading.Thread(target=lambda: found.append(held_share(stop)))
    probe.start()
    pace = batch_pace(shoot, 1, DenoiseOptions(model=model, threads=1))
    stop.set()
    probe.join()
    return max(found[0] - waiting, 0) / (1 - waiting) * pace.seconds


def dask_seconds(shoot: Path, model: str | None) -> float:
    """Seconds a photo of two workers of a Dask cluster."""
    from batch_throughput import batch_pace
    from distributed import LocalCluster

    from rawkd.batch.cluster import ClusterWorkers
    from rawkd.batch.settings import BatchOptions
    from rawkd.process import ProcessOptions
    from rawkd.restore.options import DenoiseOptions

    options = DenoiseOptions(model=model, threads=1)
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=folder) as cluster,
    ):
        workers = ClusterWorkers(cluster.scheduler_address, BatchOptions(ProcessOptions(options)))
        return batch_pace(shoot, 2, options, workers).seconds


def work(shoot: Path, cores: set[int], jobs: int, model: str | None) -> dict[str, float]:
    """What a worker process measures: jobs 0 asks for the serial part."""
    os.sched_setaffinity(0, cores)  # before OpenVINO counts them
    if jobs == 0:
        return {"serial": serial_seconds(shoot, model)}
    from batch_throughput import batch_pace

    from rawkd.restore.options import DenoiseOptions

    return vars(batch_pace(shoot, jobs, DenoiseOptions(model=model)))


def measured(shoot: Path, settings: list[tuple[str, int]], words: list[str]) -> list[dict[str, float]]:
    """The results of worker processes that run side by side, one for each (cores, jobs)."""
    script = [sys.executable, __file__, "--worker", str(shoot)]
    processes = [
        subprocess.Popen([*script, "--cores", cores, "--jobs", str(jobs), *words], stdout=subprocess.PIPE)
        for cores, jobs in settings
    ]
    answers: list[Any] = [json.loads(process.communicate()[0] or "null") for process in processes]
    if None in answers:
        sys.exit("a worker process failed")
    return answers


def main() -> None:
    """Measure, compare, predict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--megapixels", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dask", action="store_true")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cores", help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(work(given.worker, {int(core) for core in given.cores.split(",")}, given.jobs, given.model)))
        return
    from batch_throughput import write_shoot

    words = ["--model", given.model] if given.model else []
    one, two, pool, serial, cpu, dask = [], [], [], [], [], []
    a, b = map(str, sorted(os.sched_getaffinity(0))[:2])
    with tempfile.TemporaryDirectory() as name:
        shoot = Path(name, "in")
        write_shoot(shoot, given.photos, given.megapixels)
        for _ in range(given.rounds):
            alone = measured(shoot, [(a, 2)], words)[0]
            one.append(alone["seconds"])
            cpu.append(alone["core_seconds"])
            two += [answer["seconds"] for answer in measured(shoot, [(f"{a},{b}", 3)], words)]
            pool.append(1 / sum(1 / answer["seconds"] for answer in measured(shoot, [(a, 2), (b, 2)], words)))
            serial += [answer["serial"] for answer in measured(shoot, [(f"{a},{b}", 0)], words)]
            dask += [dask_seconds(shoot, given.model)] if given.dask else []
    first, held = min(one), min(serial)
    foretold = held + (first - held) / 2
    print(f"load of the machine           {os.getloadavg()[0]:.1f}; best of {given.rounds}, seconds a photo")
    print(f"one process, one core         {first:.3f}, {min(cpu):.3f} core-seconds (equal if nothing else ran)")
    print(f"one process, two cores        {min(two):.3f}, {first / min(two):.2f} times as fast")
    print(f"two processes, a core each    {min(pool):.3f}, {first / min(pool):.2f} times as fast")
    if dask:
        print(f"two Dask workers              {min(dask):.3f}, {first / min(dask):.2f} times as fast")
    print(f"serial part (lock held)       {held:.3f}, {held / first:.0%} of one core")
    print(f"model for two cores           {foretold:.3f}, {min(two) / foretold - 1:+.0%} measured")
    print(f"serial part of the two paces  {2 * min(two) - first:.3f}")
    for cores in PREDICTED:
        threads, processes = held + (first - held) / cores, min(pool) * 2 / cores
        gains = f"{first / threads:.1f} and {first / processes:.1f} times one core"
        print(f"predicted, {cores:2} cores           {threads:.3f} threads, {processes:.3f} processes: {gains}")


if __name__ == "__main__":
    main()
