"""Print where the time of a network goes: the slowest kinds of layers of one tile on one thread.

    python benchmarks/network_time.py models/fanet-fast-2 [--precision bf16] [--size 512] [--rows 10]

OpenVINO's performance counters (PERF_COUNT), the shortest of five runs of every layer, after our rewrites. The disk
cache is cold: it lies in a temporary folder, so the network is compiled and not loaded.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

from script_errors import without_traceback

from rawkd.inference.card_file import read_card
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.selftest import golden_input

RUNS = 5


@without_traceback
def main() -> None:
    """Read the options and measure, with a cache of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rows", type=int, default=10)
    options = parser.parse_args()
    with TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        measure(options)


def measure(options: argparse.Namespace) -> None:
    """Run one tile and print its layers."""
    card = read_card(options.model)
    engine = OpenVINOEngine(card, threads=1, precision=options.precision)
    engine._options["PERF_COUNT"] = True
    planes, _ = golden_input(1, options.size, card.anchor, card.channels)
    requests = engine._compiled(planes.shape)
    engine.run(planes)
    layers: dict[tuple[int, str, str], list[float]] = defaultdict(list)
    for _ in range(RUNS):
        engine.run(planes)
        parts = requests.get()
        for part, request in enumerate(parts):
            for layer in request.profiling_info:
                kind = f"{layer.node_type} {layer.exec_type}"
                layers[part, layer.node_name, kind].append(layer.real_time.total_seconds())
        requests.put(parts)
    kinds: dict[str, list[float]] = defaultdict(list)
    for (_, _, kind), times in layers.items():
        if min(times):
            kinds[kind].append(min(times))
    total = sum(map(sum, kinds.values()))
    print(f"{card.name}, {engine.precision}, {options.size} packed pixels, disk cache cold: {1e3 * total:.1f} ms")
    print("| layers | number | ms | share |\n|---|---|---|---|")
    for kind, seconds in sorted(kinds.items(), key=lambda entry: -sum(entry[1]))[: options.rows]:
        print(f"| {kind} | {len(seconds)} | {1e3 * sum(seconds):.1f} | {sum(seconds) / total:.0%} |")


if __name__ == "__main__":
    main()
