"""The results of a benchmark as a table."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
WITH_MEDIAN = ("psnr_db", "srgb_psnr_db")


def print_results(results: Results) -> None:
    """Rules and means on stdout, the median beside the mean of every PSNR."""
    from rich.console import Console
    from rich.table import Table

    from rawkd.evaluation.report import summarise

    out = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160, highlight=False)
    for name, rule in results.rules.items():
        out.print(f"{name.replace('_', ' ')}: {rule}", markup=False)
    rows = summarise(results) if results.records else []
    if not rows:
        return
    columns = list(rows[0].mean)
    table = Table(title=f"{results.benchmark}: mean (median)", title_justify="left")
    table.add_column("group", no_wrap=True)
    table.add_column("method", no_wrap=True)
    table.add_column("n", justify="right")
    for name in columns:
        table.add_column(TITLES[name], justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.group, row.method, str(row.cases), *(_cell(row, name) for name in columns))
    out.print(table)


def _cell(row: Row, name: str) -> str:
    digits = DIGITS.get(name, 2)
    text = f"{row.mean[name]:.{digits}f}"
    return f"{text} ({row.median[name]:.{digits}f})" if name in WITH_MEDIAN else text
