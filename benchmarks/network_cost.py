"""What networks cost: parameters, multiply-accumulates, seconds of a training step, milliseconds of a tile.

    python benchmarks/network_cost.py RECIPE... [--threads 2] [--batch 16] [--dtype bf16|float32]

RECIPE is a name of `rawkd/training/recipes.py` or a recipe's file; the weights are freshly drawn. One tile of 512 x 512
packed pixels (1.05 MP of mosaic) runs in OpenVINO in float32, in bf16, in int8 with the rest in float32 or in bf16, and
in int7 without the finest level, best of eight; "-" where the processor cannot. A training step of crops of 64 packed
pixels, median of eight, in parts: forward, backward, optimiser; in --dtype, by default the one that `rawkd train` takes
on this machine. Needs an idle machine. ONEDNN_MAX_CPU_ISA=AVX2 computes the tiles as on a processor with AVX2 only.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from script_errors import without_traceback

from rawkd.inference.graph.int8 import kernel_bits, quantise_inputs, quantise_kernels
from rawkd.inference.graph.openvino_graph import fill, simplify, split_before_convolutions
from rawkd.inference.openvino_library import import_openvino, openvino_core, through
from rawkd.networks import build_network
from rawkd.networks.count import macs_per_mp, num_parameters
from rawkd.training.recipe_file import recipe_named
from rawkd.training.run.int8 import convolutions_for_int8
from rawkd.training.run.muon import MuonAndAdam
from rawkd.training.run.precision import faster_dtype

TILE_PX, CROP_PX = 512, 64
DTYPES = {"bf16": torch.bfloat16, "float32": torch.float32}
ROUNDS = 8
PRECISIONS = ("f32", "bf16", "int8", "int8+bf16", "int7")
RANGE = 4.0
"""Range of the inputs in int8, without a meaning for the time."""


def seconds_of(call: Callable[[], Any]) -> tuple[float, Any]:
    """Wall time of a call, and what it returns."""
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


def tile_ms(network: Any, precision: str, threads: int) -> float:
    """Best time of one tile in OpenVINO, milliseconds."""
    planes, graph = torch.rand(1, 4, TILE_PX, TILE_PX) * 0.1, io.BytesIO()
    without = {"export_params": False, "do_constant_folding": False}
    torch.onnx.export(network.eval(), (planes,), graph, dynamo=False, opset_version=17, **without)
    openvino, core = import_openvino(), openvino_core()
    model = core.read_model(graph.getvalue())
    fill(openvino, model, {name: np.asarray(value) for name, value in network.state_dict().items()})
    if "int" in precision:
        convolutions = convolutions_for_int8(network)
        if precision == "int7":
            convolutions = {name: one for name, one in convolutions.items() if name.split(".")[1] != "0"}
        ranges = {name: np.full(int(one.in_channels), RANGE, np.float32) for name, one in convolutions.items()}
        quantise_inputs(openvino, model, ranges)
    simplify(openvino, model)
    quantise_kernels(openvino, model, kernel_bits(precision))
    in_bf16 = "bf16" in precision
    parts = (
        zip(split_before_convolutions(openvino, model), ("f32", "bf16"), strict=True) if in_bf16 else [(model, "f32")]
    )
    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    requests = [
        core.compile_model(part, "CPU", {**options, "INFERENCE_PRECISION_HINT": hint}).create_infer_request()
        for part, hint in parts
    ]
    return 1e3 * min(seconds_of(lambda: through(requests, planes.numpy()))[0] for _ in range(ROUNDS))


def tile_cell(network: Any, precision: str, threads: int) -> str:
    """Time of one tile as text; "-" for a precision that this processor has not."""
    try:
        return f"{tile_ms(network, precision, threads):.0f}"
    except RuntimeError:
        return "-"


def step_ms(network: Any, rates: tuple[float, ...], batch: int, dtype: torch.dtype) -> list[float]:
    """Median time of forward, backward and optimiser, milliseconds."""
    optimiser = MuonAndAdam(network.train(), rates[0], rates[-1], dtype)
    planes = (torch.rand(batch, 4, CROP_PX, CROP_PX) * 0.1).to(memory_format=torch.channels_last)
    times = []
    for _ in range(ROUNDS + 1):
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            forward, loss = seconds_of(lambda: (network(planes) - planes).abs().mean())
        times.append((forward, seconds_of(loss.backward)[0], seconds_of(optimiser.step)[0]))
    return [1e3 * statistics.median(column) for column in zip(*times[1:], strict=True)]


@without_traceback
def main() -> None:
    """Measure and print one row a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--dtype", choices=DTYPES)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dtype = DTYPES[options.dtype] if options.dtype else faster_dtype("cpu")
    tiles = " | ".join(f"tile {precision}, ms" for precision in PRECISIONS)
    print(f"| network | parameters | GMAC/MP | {tiles} | forward | backward | optimiser | s/MP |")
    print("|---" * (len(PRECISIONS) + 7) + "|")
    for name in options.recipes:
        recipe = recipe_named(name)
        torch.manual_seed(recipe.seed)
        network: Any = build_network(recipe.network, recipe.network_config(0)).to(memory_format=torch.channels_last)
        gmac = macs_per_mp(network, network.stride)["1e6"]
        tiles = [tile_cell(network, precision, options.threads) for precision in PRECISIONS]
        parts = step_ms(network, recipe.rates, options.batch, dtype)
        pace = sum(parts) / 1e3 / (4 * options.batch * CROP_PX**2 / 1e6)
        cells = [name, f"{num_parameters(network):,}", f"{gmac:.2f}", *tiles, *(f"{part:.0f}" for part in parts)]
        print("| " + " | ".join([*cells, f"{pace:.2f}"]) + " |", flush=True)


if __name__ == "__main__":
    main()
