"""Plot the points of a calibration, their fits, and the residuals."""

from __future__ import annotations

import numpy as np

from rawkd.calibration.calibrate import IsoNoise
from rawkd.calibration.calibration_file import Calibration
from rawkd.files.write.chart import COLOURS, Axis, Series, chart, span
from rawkd.files.write.drawing import Drawing, below
from rawkd.photo import Capture, DoubleArray, camera_name

GROUPS = 24
"""Number of dots for each ISO; each dot is a group of blocks of similar level."""


def calibration_chart(calibration: Calibration) -> Drawing:
    """Draw variance against level of the greens, residuals, and gain and read variance against ISO, stacked.

    A monochrome sensor has one class of pixels, which is drawn instead of the greens.
    """
    profile = calibration.profile
    mono = calibration.measured[0].cell.kind == "mono"
    groups = [_grouped(one) for one in calibration.measured]
    level, variance = (np.concatenate([group[k] for group in groups]) for k in (0, 1))
    x = Axis("signal (0 black, 1 white)", *span(np.maximum(level, 1e-4), log=True), log=True)
    y = Axis("variance" if mono else "variance of the greens", *span(variance, log=True), log=True)
    line = np.geomspace(x.low, x.high, 80)
    points: list[Series] = []
    residuals: list[Series] = []
    for place, (one, (at, found, error)) in enumerate(zip(calibration.measured, groups, strict=True)):
        colour = COLOURS[place % len(COLOURS)]
        shown = np.maximum(at, x.low)
        points.append(Series(f"ISO {one.iso:g}", shown, found, colour, size=5))
        noise = profile.noise_at(one.iso)
        points.append(Series("", line, noise.green_variance(line), colour, "line"))
        law = noise.green_variance(np.maximum(at, 0))
        residuals.append(Series("", shown, 100 * (found / law - 1), colour, size=5))
        residuals += _bars(shown, 100 * (found / law - 1), 100 * error / law, colour)
    name = camera_name(Capture(make=profile.make, model=profile.model)) or "unknown camera"
    drawn = chart(f"{name}: frame-to-frame variance and the calibration", x, y, points)
    reach = max(2.0, 1.1 * float(max(np.abs(one.y).max() for one in residuals)))
    left = chart("Residuals of the calibration", x, Axis("per cent", -reach, reach), residuals, height=300)
    return below((drawn, left, *_laws(calibration)))


def _laws(calibration: Calibration) -> tuple[Drawing, Drawing]:
    """Draw gain and read variance of R, mean green and B, or of all pixels of a monochrome sensor, against the ISO."""
    iso = np.array([one.iso for one in calibration.measured])
    x = Axis("ISO", *span(iso, log=True), log=True)
    line = np.geomspace(x.low, x.high, 80)
    laws = [calibration.profile.noise_at(value) for value in line.tolist()]
    colours = calibration.measured[0].cell.colour_of_class
    drawings = []
    for name, label in (("gain", "gain"), ("read_variance", "read variance")):
        series = []
        for colour in sorted(set(colours.tolist())):
            classes = np.flatnonzero(colours == colour)
            found = np.array([getattr(one, name)[classes].mean() for one in calibration.measured])
            title = "RGB"[colour] if len(colours) > 1 else ""
            of_line = np.array([getattr(law, name)[classes[0]] for law in laws])
            series.append(Series(title, iso, found, COLOURS[colour], size=6))
            series.append(Series("", line, of_line, COLOURS[colour], "line"))
        y = Axis(label, *span(np.concatenate([one.y for one in series]), log=True), log=True)
        title = "gain = g1 ISO + g0" if name == "gain" else "read variance = r2 ISO^2 + r1 ISO + r0"
        drawings.append(chart(f"{label.capitalize()} against ISO: {title}", x, y, series, height=300))
    return drawings[0], drawings[1]


def _grouped(one: IsoNoise) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
    """Return mean level, mean variance and its standard error for groups of blocks of similar level."""
    order = np.argsort(one.level)
    groups = np.array_split(order, min(GROUPS, len(order)))
    rows = [
        (one.level[group].mean(), one.variance[group].mean(), np.sqrt((one.sigma[group] ** 2).sum()) / len(group))
        for group in groups
    ]
    level, variance, error = np.array(rows).T
    return level, variance, error


def _bars(at: DoubleArray, values: DoubleArray, errors: DoubleArray, colour: str) -> list[Series]:
    """Return one vertical line for each error bar."""
    ends = zip(at.tolist(), (values - errors).tolist(), (values + errors).tolist(), strict=True)
    return [Series("", np.array([x, x]), np.array([low, high]), colour, "line", 1.2) for x, low, high in ends]
