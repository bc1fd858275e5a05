"""The results of a benchmark as a summary, JSON, CSV and plots."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rawkd import __version__
from rawkd.evaluation.datasets.case import Values
from rawkd.evaluation.plots import bias_chart, psnr_chart
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
"""Names of values in the order of the tables."""
TABLES, PLOTS = ("report.json", "cases.csv"), ("psnr.png", "bias.png")


@dataclass(frozen=True)
class Row:
    """Mean and median of one method over the cases of a group, or over all cases if the group is `ALL`."""

    group: str
    method: str
    cases: int
    mean: Values
    median: Values


def summarise(results: Results) -> list[Row]:
    """Rows of each group, by its first case, then of all cases; methods in the order of the run."""
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
    """All results as one JSON document; an infinite PSNR (equal pictures) is null."""
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
    """The records as CSV, one line each."""
    lines = [_flat(record) for record in results.records]
    if not lines:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def prepare_folder(folder: Path, *, overwrite: bool, plots: bool) -> None:
    """Create the folder for results, and refuse before a run what cannot be written after it.

    Raises
    ------
    OutputError: if one exists and `overwrite` is not set, or the folder cannot be created or written.
    """
    make_folder(f"{folder}/")
    for name in (*TABLES, *(PLOTS if plots else ())):
        refuse_to_overwrite(folder / name, overwrite=overwrite)


def write_results(results: Results, folder: Path, *, overwrite: bool, plots: bool = True) -> list[Path]:
    """Write report.json, cases.csv and, if there is a reference, psnr.png and bias.png into an existing folder.

    The plots come last, so that an error while drawing loses no numbers.

    Raises
    ------
    OutputError: if one cannot be written.
    """
    made: dict[str, Callable[[Results], bytes]] = {"report.json": lambda found: results_json(found).encode()}
    if results.records:
        made["cases.csv"] = lambda found: results_csv(found).encode()
        if plots:
            made |= {
                "psnr.png": lambda found: psnr_chart(found).png(),
                "bias.png": lambda found: bias_chart(found).png(),
            }
    for name, content in made.items():
        with atomic_output(folder / name, overwrite) as temporary:
            temporary.write_bytes(content(results))
    return [folder / name for name in made]
