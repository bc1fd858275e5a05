"""Charts of a benchmark: PSNR against gain, and the mean error against the level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rawkd.evaluation.scoring import Results
from rawkd.files.write.chart import COLOURS, Axis, Series, chart, span
from rawkd.files.write.drawing import Drawing

LEGEND_ROW = 0.055
"""Height of a row of the legend, which lies above the curves, as a share of the axis."""

Curves = Mapping[str, Sequence[tuple[float, float]]]
"""Points by method."""


def psnr_chart(results: Results) -> Drawing:
    """PSNR in dB against gain: the mean of the cases of each gain, or every case where each has its own."""
    name = "psnr_db" if "psnr_db" in results.records[0].values else "srgb_psnr_db"
    curves: dict[str, list[tuple[float, float]]] = {}
    for method in dict.fromkeys(r.method for r in results.records):
        records = [r for r in results.records if r.method == method]
        gains = sorted({r.gain for r in records})
        curves[method] = [(g, float(np.mean([r.values[name] for r in records if r.gain == g]))) for g in gains]
    return _chart("PSNR by gain", curves, "gain, signal units", "PSNR, dB", log=True)


def bias_chart(results: Results) -> Drawing:
    """Mean error in thousandths of white against the level of the reference, 0 black and 1 white."""
    curves = {
        method: [(level, 1000 * error) for level, error, _ in curve.points()]
        for method, curve in results.curves.items()
    }
    return _chart(
        "Bias by level", curves, "level of the reference, share of white", "bias, thousandths of white", log=False
    )


def _chart(title: str, curves: Curves, across: str, up: str, *, log: bool) -> Drawing:
    """A line with dots for each method; points that are not finite (PSNR of equal pictures) are left out."""
    series: list[Series] = []
    for place, (method, points) in enumerate(curves.items()):
        x, y = np.array(points, np.float64).reshape(-1, 2).T
        seen = np.isfinite(x) & np.isfinite(y)
        colour = COLOURS[place % len(COLOURS)]
        series.append(Series(method, x[seen], y[seen], colour, "dashed" if place >= len(COLOURS) else "line"))
        series.append(Series("", x[seen], y[seen], colour, "dots", 6))
    low, high = span(np.concatenate([one.y for one in series]))
    share = min(LEGEND_ROW * (len(curves) + 1), 0.6)
    x_axis = Axis(across, *span(np.concatenate([one.x for one in series]), log=log), log=log)
    return chart(title, x_axis, Axis(up, low, high + (high - low) * share / (1 - share)), series)
