"""Draw where the time of one photo goes, a bar for each tier, and how fast the network could be on this machine.

    python benchmarks/where_time_goes.py [--megapixels 24] [--runs 3] [--tiers fast,balanced,best] [--threads N]
                                         [--cold] [--output docs/images/where-time-goes.png]

Denoises the DNG of `whole_photo.py` in fresh processes and notes when each step runs. The bar of a tier stacks the
seconds of its steps in its fastest run: start (until the photo is read), read, noise, compile, network, write (with the
preview), and the rest. Steps that run side by side both count, so a bar can be longer than the run; the black mark is
the time from start to end.

The disk cache of compiled networks is warm: it lies in a temporary folder, and a run for each tier that is not measured
fills it. So compile is the time of loading a compiled network. With --cold every run begins with an empty cache.

The red mark is the limit: start, read and write of that run, and the network's multiply-accumulates of the photo at the
speed of one large convolution in OpenVINO, with the same precision and threads. Prints the numbers as a table too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from script_errors import without_traceback

from rawkd.files.write.drawing import Drawing, Item, Line, Text, write_drawing
from rawkd.inference.card import TIERS
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.graph.int8 import kernel_bits, quantise_inputs, quantise_kernels
from rawkd.inference.openvino_library import import_openvino, openvino_core
from rawkd.inference.students import load_cards, load_family

STEPS = ("start", "read", "noise", "compile", "network", "write", "rest")
COLOURS = ("#8a8f98", "#2b6cb0", "#1a8a93", "#b7791f", "#27864a", "#8e44ad", "#d5d8dc")
MARK, LIMIT, GRID = "#111111", "#c0392b", "#e4e4e4"
GAIN, READ_VARIANCE = 1.5e-3, 2.5e-6
CHANNELS, SIDE, KERNEL, ROUNDS = 256, 256, 3, 5
"""The convolution that measures the machine: 39 GMAC, large enough that memory does not matter."""
WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 760, 84, 24, 58, 58, 26

Spans = list[tuple[float, float]]
"""Begin and end of each time that a step ran, seconds of the monotonic clock."""


def length(spans: Spans) -> float:
    """Seconds in which at least one of the spans ran."""
    total, reached = 0.0, -np.inf
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return float(total)


def watch(owner: Any, name: str, spans: Spans) -> None:
    """Replace a function by one that notes when it runs."""
    function: Callable[..., Any] = getattr(owner, name)

    def noted(*given: Any, **named: Any) -> Any:
        begin = time.monotonic()
        try:
            return function(*given, **named)
        finally:
            spans.append((begin, time.monotonic()))

    setattr(owner, name, noted)


def child(photo: Path, output: Path, tier: str, threads: int | None, began: float) -> dict[str, Any]:
    """Denoise a photo in this process, which was started at `began`; return the seconds of the steps."""
    from rawkd import process
    from rawkd.restore.options import DenoiseOptions

    spans: dict[str, Spans] = {step: [] for step in STEPS}
    watch(process, "read_raw", spans["read"])
    watch(process, "prepare", spans["noise"])
    watch(process, "render_preview", spans["write"])
    watch(process, "write_dng", spans["write"])
    watch(OpenVINOEngine, "_compile", spans["compile"])
    watch(OpenVINOEngine, "run", spans["network"])
    options = process.ProcessOptions(DenoiseOptions(model=tier, threads=threads), overwrite=True)
    begin = time.monotonic()
    report = process.process_file(photo, output, options)
    end = time.monotonic()
    spans["start"] = [(began, min([begin, *(span[0] for span in spans["read"])]))]
    seconds = {step: length(of) for step, of in spans.items()}
    both = length(spans["compile"]) + seconds["network"] - length(spans["compile"] + spans["network"])
    seconds["network"] -= both  # a tile's first run waits for its compilation
    seconds["rest"] = end - began - length([span for of in spans.values() for span in of])
    missing = [step for step in STEPS[:-1] if seconds[step] <= 0]
    if missing:
        sys.exit(f"nothing ran as {', '.join(missing)}: adapt the names in child()")
    return {"seconds": seconds, "wall": end - began, "precision": report.precision, "student": report.student}


def fastest(photo: Path, folder: Path, tier: str, threads: int | None, runs: int, *, cold: bool) -> dict[str, Any]:
    """What `child` returns in the fastest of some fresh processes, with an empty disk cache or that of a run before."""
    answers = []
    for run in range(runs + 1):
        os.environ["XDG_CACHE_HOME"] = str(folder / f"cache-{tier}-{run}" if cold else folder / "cache")
        words = [sys.executable, __file__, "--child", str(photo), "--tiers", tier, "--output", str(folder / "out.dng")]
        words += ["--threads", str(threads)] if threads else []
        done = subprocess.run([*words, "--began", repr(time.monotonic())], stdout=subprocess.PIPE, check=True)
        answers.append(json.loads(done.stdout))
    best: dict[str, Any] = min(answers[1:], key=lambda answer: float(answer["wall"]))
    return best


def gmac_per_second(precision: str, threads: int | None) -> float:
    """Speed of one large convolution in OpenVINO, 1e9 multiply-accumulates a second, best of five."""
    openvino = import_openvino()
    from openvino import opset13 as operations

    rng = np.random.default_rng(1)
    planes = operations.parameter([1, CHANNELS, SIDE, SIDE], np.float32)
    weights = operations.constant(rng.standard_normal((CHANNELS, CHANNELS, KERNEL, KERNEL), np.float32) * 0.02)
    weights.set_friendly_name("large.weight")
    result = operations.convolution(planes, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    model, hint = openvino.Model([result], [planes]), precision
    if "int" in precision:
        quantise_inputs(openvino, model, {"large": np.full(CHANNELS, 4, np.float32)})
        quantise_kernels(openvino, model, kernel_bits(precision))
        hint = "f32"
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    options |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
    compiled = openvino_core().compile_model(model, "CPU", options)
    request = compiled.create_infer_request()
    data = rng.standard_normal((1, CHANNELS, SIDE, SIDE), np.float32)
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        request.infer([data], share_inputs=True, share_outputs=True)
        seconds.append(time.perf_counter() - begin)
    return float(KERNEL**2 * CHANNELS**2 * SIDE**2 / min(seconds) / 1e9)


def bars(title: str, rows: Sequence[tuple[str, dict[str, Any], float]]) -> Drawing:
    """The drawing: a row for each (tier, answer of `child`, limit in seconds)."""
    longest = max(max(sum(answer["seconds"].values()), answer["wall"]) for _, answer, _ in rows)
    scale = (WIDTH - LEFT - RIGHT) / longest
    bottom = TOP + ROW * len(rows)
    items: list[Item] = [Text(LEFT, 20, title, 13)]
    step = next(unit for unit in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if longest / unit <= 10)
    for value in np.arange(0, longest + step / 2, step):
        x = LEFT + float(value) * scale
        if x <= WIDTH - RIGHT + 1:
            items += [_upright(x, TOP - 14, bottom, GRID, 1), Text(x, bottom + 16, f"{value:g}", anchor="middle")]
    items.append(Text((LEFT + WIDTH - RIGHT) / 2, bottom + 34, "seconds", 12, "middle"))
    for row, (tier, answer, limit) in enumerate(rows):
        middle, x = TOP + ROW * (row + 0.5), float(LEFT)
        items.append(Text(LEFT - 8, middle + 4, tier, 12, "end"))
        for step_name, colour in zip(STEPS, COLOURS, strict=True):
            end = x + answer["seconds"][step_name] * scale
            items.append(Line(np.array([[x, middle], [end, middle]]), colour, BAR))
            x = end
        for seconds, colour in ((answer["wall"], MARK), (limit, LIMIT)):
            items.append(_upright(LEFT + seconds * scale, middle - BAR / 2 - 5, middle + BAR / 2 + 5, colour, 2.5))
    return Drawing(WIDTH, bottom + 46, (*items, *_legend()))


def _legend() -> list[Item]:
    items: list[Item] = []
    x = float(LEFT)
    for name, colour in (*zip(STEPS, COLOURS, strict=True), ("whole run", MARK), ("limit", LIMIT)):
        thin = colour in (MARK, LIMIT)
        items.append(_upright(x + 5, 29, 41, colour, 2.5 if thin else 10))
        items.append(Text(x + 14, 39, name))
        x += 26 + 6.4 * len(name)
    return items


def _upright(x: float, top: float, bottom: float, colour: str, width: float) -> Line:
    return Line(np.array([[x, top], [x, bottom]]), colour, width)


@without_traceback
def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=24.0)
    parser.add_argument("--runs", type=int, default=3)
    shipped = {card.tier for card in load_cards(None)}
    parser.add_argument("--tiers", default=",".join(tier for tier in TIERS if tier in shipped))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "docs/images/where-time-goes.png")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(child(given.child, given.output, given.tiers, given.threads, given.began)))
        return
    from whole_photo import noisy_mosaic, write_dng

    cache = "disk cache cold" if given.cold else "disk cache warm (one run of each tier before)"
    print(f"{given.megapixels:g} MP, {cache}")
    rows, speeds = [], {}
    print("| tier | precision | " + " | ".join(STEPS) + " | whole run | limit of the network | share of the limit |")
    print("|---" * (len(STEPS) + 5) + "|")
    with tempfile.TemporaryDirectory() as name:
        photo = Path(name, "photo.dng")
        write_dng(photo, noisy_mosaic(given.megapixels))
        for tier in given.tiers.split(","):
            answer = fastest(photo, Path(name), tier, given.threads, given.runs, cold=given.cold)
            precision, seconds = answer["precision"], answer["seconds"]
            speeds.setdefault(precision, gmac_per_second(precision, given.threads))
            card = next(card for card in load_family(tier) if card.name == answer["student"])
            network = card.macs_per_mp["1e6"] * given.megapixels / speeds[precision]
            rows.append((f"{tier}", answer, sum(seconds[step] for step in ("start", "read", "write")) + network))
            cells = [tier, precision, *(f"{seconds[step]:.2f}" for step in STEPS), f"{answer['wall']:.2f}"]
            print("| " + " | ".join([*cells, f"{network:.2f}", f"{network / seconds['network']:.0%}"]) + " |")
    for precision in ("bf16", "f32"):
        print(f"one large convolution in {precision}: {gmac_per_second(precision, given.threads):.0f} GMAC/s")
    write_drawing(
        given.output,
        bars(f"One photo of {given.megapixels:g} MP, DNG to DNG, {cache.split(' (')[0]}", rows),
        overwrite=True,
    )
    print(given.output)


if __name__ == "__main__":
    main()
