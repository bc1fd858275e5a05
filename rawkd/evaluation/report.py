"""What a run found, as a summary, JSON, CSV and plots."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from rawkd import __version__
from rawkd.errors import UsageError
from rawkd.evaluation.datasets.case import Values
from rawkd.evaluation.scoring import Record, Results
from rawkd.files.naming import make_folder, refuse_to_overwrite
from rawkd.files.write.atomic import atomic_output

FORMAT, VERSION = "rawkd-bench", 1
ALL = "all"
UNITS = (
    "psnr_db",
    "ssim",
    "srgb_psnr_db",
    "srgb_ssim",
    "srgb_gmsd",
    "bias_permille",
    "noise_left_permille",
    "light_factor",
    "seconds_per_mp",
)
"""Names of values, in the order of tables."""
TABLES, PLOTS = ("report.json", "cases.csv"), ("psnr.png", "bias.png")
NO_MATPLOTLIB = "plots need matplotlib: install rawkd[bench], or say --no-plots"


@dataclass(frozen=True)
class Row:
    """Mean and median of one method over a group; over everything where the group is `ALL`."""

    group: str
    method: str
    cases: int
    mean: Values
    median: Values


def summarise(results: Results) -> list[Row]:
    """Rows of all groups in the order of their first case, then of everything; methods in the order of the run."""
    groups = list(dict.fromkeys(record.group for record in results.records))
    groups = [*groups, ALL] if len(groups) != 1 else [ALL]
    methods = list(dict.fromkeys(record.method for record in results.records))
    rows = []
    for group in groups:
        for method in methods:
            records = [r for r in results.records if r.method == method and group in (ALL, r.group)]
            rows.append(_row(group, method, records))
    return rows


def _row(group: str, method: str, records: list[Record]) -> Row:
    columns = {name: [r.values[name] for r in records] for name in records[0].values}
    columns["seconds_per_mp"] = [r.seconds_per_mp for r in records]
    ordered = {name: np.array(columns[name]) for name in UNITS if name in columns}
    return Row(
        group=group,
        method=method,
        cases=len(records),
        mean={name: float(np.mean(values)) for name, values in ordered.items()},
        median={name: float(np.median(values)) for name, values in ordered.items()},
    )


def results_json(results: Results) -> str:
    """Everything as one JSON document; a PSNR of equal pictures, which is infinite, is null."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "rawkd": __version__,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "python": platform.python_version(),
        "benchmark": results.benchmark,
        "rules": results.rules,
        "methods": results.methods,
        "warnings": results.warnings,
        "summary": [
            {"group": r.group, "method": r.method, "cases": r.cases, "mean": _plain(r.mean), "median": _plain(r.median)}
            for r in summarise(results)
        ],
        "bias": {
            name: [{"level": level, "error": error, "samples": count} for level, error, count in curve.points()]
            for name, curve in results.curves.items()
        },
        "cases": [_flat(record) for record in results.records],
    }
    return json.dumps(document, indent=1, allow_nan=False)


def _plain(values: Values) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _flat(record: Record) -> dict[str, object]:
    fixed = {
        "case": record.case,
        "group": record.group,
        "method": record.method,
        "gain": record.gain,
        "noise_gain": record.noise_gain,
        "noise_read_variance": record.noise_read_variance,
        "noise_source": record.noise_source,
        "megapixels": record.megapixels,
        "seconds_per_mp": record.seconds_per_mp,
    }
    return fixed | _plain(record.values)


def results_csv(results: Results) -> str:
    """One line a record."""
    lines = [_flat(record) for record in results.records]
    if not lines:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def prepare_folder(folder: Path, *, overwrite: bool, plots: bool) -> None:
    """Create the folder for results, and find out before a run that they cannot be written.

    Raises
    ------
    UsageError: if plots are asked for without matplotlib. OutputError: if one exists and `overwrite` is not set, or the
    folder cannot be created or written.
    """
    if plots and find_spec("matplotlib") is None:
        raise UsageError(NO_MATPLOTLIB)
    make_folder(f"{folder}/")
    for name in (*TABLES, *(PLOTS if plots else ())):
        refuse_to_overwrite(folder / name, overwrite=overwrite)


def write_results(results: Results, folder: Path, *, overwrite: bool, plots: bool = True) -> list[Path]:
    """Write report.json, cases.csv and, where there is a truth, psnr.png and bias.png into an existing folder.

    The plots come last, so that one that cannot be drawn costs no numbers.

    Raises
    ------
    OutputError: if one cannot be written. UsageError: if plots are asked for without matplotlib.
    """
    made: dict[str, Callable[[Results], bytes]] = {"report.json": lambda found: results_json(found).encode()}
    if results.records:
        made["cases.csv"] = lambda found: results_csv(found).encode()
        if plots:
            made |= {"psnr.png": plot_psnr, "bias.png": plot_bias}
    for name, content in made.items():
        with atomic_output(folder / name, overwrite) as temporary:
            temporary.write_bytes(content(results))
    return [folder / name for name in made]


def plot_psnr(results: Results) -> bytes:
    """PSNR against gain as PNG: the mean of the cases of each gain, or every case where each has its own."""
    name = "psnr_db" if "psnr_db" in results.records[0].values else "srgb_psnr_db"
    curves: dict[str, list[tuple[float, float]]] = {}
    for method in dict.fromkeys(r.method for r in results.records):
        records = [r for r in results.records if r.method == method]
        gains = sorted({r.gain for r in records})
        curves[method] = [(g, float(np.mean([r.values[name] for r in records if r.gain == g]))) for g in gains]
    return _plot(curves, "gain, signal units", "PSNR, dB", log=True)


def plot_bias(results: Results) -> bytes:
    """Mean error against the level of the reference as PNG, thousandths of white."""
    curves = {
        method: [(level, 1000 * error) for level, error, _ in curve.points()]
        for method, curve in results.curves.items()
    }
    return _plot(curves, "level of the reference, share of white", "bias, thousandths of white", log=False)


def _plot(curves: dict[str, list[tuple[float, float]]], across: str, up: str, *, log: bool) -> bytes:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(NO_MATPLOTLIB) from error
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for method, points in curves.items():
        x, y = zip(*_finite(points), strict=True) if _finite(points) else ((), ())
        axes.plot(x, y, marker="o", markersize=3, linewidth=1, label=method)
    if log:
        axes.set_xscale("log")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    return out.getvalue()


def _finite(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    return [point for point in points if all(map(math.isfinite, point))]
