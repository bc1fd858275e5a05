"""The results of a benchmark as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawkd.cli.console import rich_results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from rawkd.evaluation.report import Row
    from rawkd.evaluation.scoring import Results

TITLES = {
    "psnr_db": "PSNR dB",
    "ssim": "SSIM",
    "srgb_psnr_db": "sRGB dB",
    "srgb_ssim": "sRGB SSIM",
    "srgb_gmsd": "sRGB GMSD",
    "bias_permille": "bias ‰",
    "noise_left_permille": "noise ‰",
    "light_factor": "light",
    "seconds_per_mp": "s/MP",
}
DIGITS = {"ssim": 4, "srgb_ssim": 4, "srgb_gmsd": 4, "light_factor": 3}
PLAIN_WIDTH = 160
"""Columns where stdout is no terminal."""
WITH_MEDIAN = ("psnr_db", "srgb_psnr_db")


def print_results(results: Results) -> None:
    """Rules and means on stdout, the median beside the mean of every PSNR."""
    from rawkd.evaluation.report import summarise

    rows = summarise(results) if results.records else []
    with rich_results(PLAIN_WIDTH) as out:
        for name, rule in results.rules.items():
            out.print(f"{name.replace('_', ' ')}: {rule}", markup=False)
        if rows:
            out.print(_table(results.benchmark, rows))


def _table(benchmark: str, rows: Sequence[Row]) -> Table:
    from rich.table import Table

    columns = list(rows[0].mean)
    table = Table(title=f"{benchmark}: mean (median)", title_justify="left")
    table.add_column("group", no_wrap=True)
    table.add_column("method", no_wrap=True)
    table.add_column("n", justify="right")
    for name in columns:
        table.add_column(TITLES[name], justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.group, row.method, str(row.cases), *(_cell(row, name) for name in columns))
    return table


def _cell(row: Row, name: str) -> str:
    digits = DIGITS.get(name, 2)
    text = f"{row.mean[name]:.{digits}f}"
    return f"{text} ({row.median[name]:.{digits}f})" if name in WITH_MEDIAN else text
