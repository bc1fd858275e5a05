"""Draw charts with axes, dots, lines and a legend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rawkd.files.write.drawing import Dots, Drawing, Item, Line, Text
from rawkd.photo import DoubleArray

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 78, 16, 34, 50
COLOURS = ("#c0392b", "#27864a", "#2b6cb0", "#8e44ad", "#b7791f", "#1a8a93")
GRID, FRAME = "#e4e4e4", "#888888"

Place = Callable[[DoubleArray, DoubleArray], DoubleArray]
"""Converts positions 0..1 along both axes to (n, 2) points of the drawing."""


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`; both are positive on a logarithmic axis."""

    label: str
    low: float
    high: float
    log: bool = False

    def place(self, values: DoubleArray) -> DoubleArray:
        """Convert values to positions along the axis, 0..1 for values inside it."""
        if self.log:
            tiny = self.low * 1e-6
            return np.asarray(np.log(np.maximum(values, tiny) / self.low) / np.log(self.high / self.low))
        return np.asarray((values - self.low) / (self.high - self.low))

    def ticks(self) -> list[float]:
        """Return round values along the axis: at most about eight, and at least two unless the axis has no length."""
        if self.log:
            first, last = int(np.floor(np.log10(self.low))), int(np.ceil(np.log10(self.high)))
            times = (1, 2, 5) if last - first <= 2 else (1,)
            decades = range(first, last + 1, max(1, (last - first) // 8))
            values = [k * 10.0**power for power in decades for k in times]
            inside = [value for value in values if self.low <= value <= self.high]
            if len(inside) > 1:
                return inside
        rough = (self.high - self.low) / 6
        unit = 10 ** np.floor(np.log10(rough))
        step = float(unit * next(times for times in (1, 2, 5, 10) if unit * times >= rough * 0.999))
        return [k * step for k in range(int(np.ceil(self.low / step - 1e-9)), int(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True, eq=False)
class Series:
    """One set of points, x and y of shape (n,), drawn as dots or a line; without a label it has no legend entry."""

    label: str
    x: DoubleArray
    y: DoubleArray
    colour: str
    kind: Literal["dots", "line", "dashed"] = "dots"
    size: float = 2.0


def span(values: DoubleArray, *, log: bool = False, margin: float = 0.05) -> tuple[float, float]:
    """Return the ends of an axis that shows all finite values (positive values if logarithmic) with a margin."""
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    if values.size == 0:
        return (0.1, 1.0) if log else (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if log:
        grow = max((high / low) ** margin, 1.1)
        return low / grow, high * grow
    grow = (high - low) * margin or abs(high) * 0.1 or 1.0
    return low - grow, high + grow


def chart(title: str, x: Axis, y: Axis, series: Sequence[Series], width: int = WIDTH, height: int = HEIGHT) -> Drawing:
    """Return a chart with grid, title above, and legend inside at the upper left; data beyond the axes is cut off."""
    inner = width - LEFT - RIGHT, height - TOP - BOTTOM

    def at(place_x: DoubleArray, place_y: DoubleArray) -> DoubleArray:
        return np.stack([LEFT + place_x * inner[0], TOP + (1 - place_y) * inner[1]], axis=-1)

    items: list[Item] = [Text(LEFT, TOP - 14, title, 13)]
    for value in x.ticks():
        place = float(x.place(np.array(value)))
        items.append(Line(at(np.full(2, place), np.array([0.0, 1.0])), GRID))
        items.append(Text(LEFT + place * inner[0], height - BOTTOM + 16, _number(value), anchor="middle"))
    for value in y.ticks():
        place = float(y.place(np.array(value)))
        items.append(Line(at(np.array([0.0, 1.0]), np.full(2, place)), GRID))
        items.append(Text(LEFT - 6, TOP + (1 - place) * inner[1] + 4, _number(value), anchor="end"))
    items.append(Text(LEFT + inner[0] / 2, height - 10, x.label, 12, "middle"))
    items.append(Text(16, TOP + inner[1] / 2, y.label, 12, "middle", turned=True))
    for one in series:
        places = np.stack([x.place(one.x), y.place(one.y)], axis=-1)
        items += _marks(one, places, at)
    items.append(Line(at(np.array([0.0, 0, 1, 1, 0]), np.array([0.0, 1, 1, 0, 0])), FRAME))
    items += _legend([one for one in series if one.label])
    return Drawing(width, height, tuple(items))


def _marks(one: Series, places: DoubleArray, at: Place) -> list[Item]:
    """Return the dots, or the pieces of a line, that lie inside the axes."""
    inside = np.abs(places - 0.5).max(axis=1) <= 0.5 + 1e-9
    if one.kind == "dots":
        return [Dots(at(places[inside, 0], places[inside, 1]), one.colour, one.size)]
    pieces = np.split(np.arange(len(places)), np.flatnonzero(np.diff(inside.astype(int))) + 1)
    runs = [places[piece] for piece in pieces if len(piece) > 1 and inside[piece[0]]]
    return [Line(at(run[:, 0], run[:, 1]), one.colour, one.size, one.kind == "dashed") for run in runs]


def _legend(series: Sequence[Series]) -> list[Item]:
    """Return the legend, one row per labelled series."""
    items: list[Item] = []
    for row, one in enumerate(series):
        y = TOP + 18.0 + 17 * row
        if one.kind == "dots":
            items.append(Dots(np.array([[LEFT + 22.0, y - 4]]), one.colour, 6))
        else:
            ends = np.array([[LEFT + 12.0, y - 4], [LEFT + 32.0, y - 4]])
            items.append(Line(ends, one.colour, 2, one.kind == "dashed"))
        items.append(Text(LEFT + 40, y, one.label))
    return items


def _number(value: float) -> str:
    """Format the number of a tick briefly."""
    if abs(value) < 1e-15:
        return "0"
    return f"{value:.5g}".replace("e-0", "e-").replace("e+0", "e")
