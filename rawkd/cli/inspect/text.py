"""The text of `rawkd inspect`: facts in groups, rounded, with units."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import click

from rawkd.cli.console import one_line
from rawkd.cli.inspect.past import past_rows
from rawkd.report import shutter

Record = dict[str, Any]
Rows = list[tuple[str, str]]
Matrix = Sequence[Sequence[float]]
UNKNOWN = "unknown"
ALIKE = 1.05
"""Ratio of the largest to the least of the planes up to which one number, of the greens, stands for all four."""
ALIKE_NOISE = 1.5
"""The same ratio up to which `--noise` can stand for all planes."""
SOURCES = {
    "blind": "measured in the pixels of the photo (blind)",
    "profile": "the NoiseProfile of the file (profile)",
    "iso": "guessed from the ISO (iso)",
}
"""Noise sources in words; others say it themselves."""
SURE, UNSURE = 0.8, 0.3
"""Confidence from which it is called high, and below which low: as `rawkd.sensor.choose_noise` acts on it."""
UPRIGHT = {
    1: "upright", 2: "mirrored", 3: "turned by 180°", 4: "mirrored and turned by 180°",
    5: "mirrored and turned by 270°", 6: "turned by 90°", 7: "mirrored and turned by 90°", 8: "turned by 270°",
}  # fmt: skip
"""What a viewer does by the EXIF orientation, clockwise."""


def text_of(record: Record) -> str:
    """Return the facts of `rawkd.cli.inspect.facts.facts_of` in groups of aligned lines.

    Facts that the file does not state have no line, except camera and ISO. A photo to which nothing was done before has
    no group about that.
    """
    groups = {
        "Camera": _camera(record),
        "Exposure": _exposure(record),
        "Sensor": _sensor(record),
        "Colour": _color(record),
        "Noise": _noise(record),
        "Done before": past_rows(record),
        "Model": [("would be used", record["student"] or f"none: {record['no_student']}")],
    }
    width = max(len(name) for rows in groups.values() for name, _ in rows)
    lines = [_heading(record["input"])]
    for title, rows in groups.items():
        if not rows:
            continue
        lines.append(_heading(title))
        lines += [f"  {name:<{width}}  {one_line(value) or UNKNOWN}" for name, value in rows]
    return "\n".join(lines)


def _heading(text: str) -> str:
    """The text, bold on a terminal unless NO_COLOR is set."""
    is_shown_bold = sys.stdout is not None and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return click.style(text, bold=True) if is_shown_bold else text


def _camera(record: Record) -> Rows:
    rows = [("camera", record["camera"])]
    if record["lens"]:
        rows.append(("lens", record["lens"]))
    if record["shutter_count"]:
        rows.append(("shutter count", f"{record['shutter_count']}"))
    return rows


def _exposure(record: Record) -> Rows:
    iso, real = record["iso"], record["real_iso"]
    shown = f"{iso:g}" if iso else UNKNOWN
    if real and (not iso or abs(real / iso - 1) > 0.05):
        shown += f" (the camera used {real:g})"
    rows = [
        ("ISO", shown),
        ("exposure time", shutter(record["exposure_s"]) if record["exposure_s"] else ""),
        ("aperture", f"f/{record['aperture']:.2g}" if record["aperture"] else ""),
        ("focal length", f"{record['focal_length_mm']:.3g} mm" if record["focal_length_mm"] else ""),
        ("taken", _date(record["datetime"] or "")),
        ("NR in camera", record["noise_reduction"] or ""),
        ("long-exposure NR", record["long_exposure_noise_reduction"] or ""),
    ]
    return [(name, value) for name, value in rows if value]


def _date(text: str) -> str:
    """The date of EXIF, 2026:03:26, with hyphens."""
    return re.sub(r"^(\d{4}):(\d\d):(\d\d)\b", r"\1-\2-\3", text)


def _sensor(record: Record) -> Rows:
    shown, active, frame = record["default_crop"], record["active_area"], record["frame"]
    is_whole_frame = shown[2:] == active[2:] == frame
    rows = [
        ("picture", f"{_size(shown)} pixels" + ("" if is_whole_frame else f" at {_corner(shown)} of the active area"))
    ]
    if not is_whole_frame:
        rows += [
            ("active area", f"{_size(active)} pixels at {_corner(active)} of the frame"),
            ("frame", f"{frame[0]} x {frame[1]} pixels"),
        ]
    if record["user_crop"] is not None:
        user = record["user_crop"]
        rows.insert(1, ("rendered", f"{_size(user)} pixels at {_corner(user)} of the active area (user crop)"))
    if record["pixel_aspect"] != 1:
        rows.append(("pixel aspect", f"{record['pixel_aspect']:.3g} (width / height)"))
    found = record["found_defects"]
    return [
        *rows,
        ("CFA", record["cfa"]),
        ("orientation", UPRIGHT[record["orientation"]]),
        ("bits", f"{record['bits']}"),
        ("black", _black(record)),
        ("white", f"{record['white_dn']:g} DN"),
        ("clipping", _clipping(record)),
        ("known defects", f"{record['known_defects']} pixels" if record["known_defects"] else "none"),
        (
            "found defects",
            f"{len(found)} {'pixel' if len(found) == 1 else 'pixels'}; --json lists them" if found else "none",
        ),
    ]


def _size(rect: Sequence[int]) -> str:
    return f"{rect[2]} x {rect[3]}"


def _corner(rect: Sequence[int]) -> str:
    return f"{rect[0]}, {rect[1]}"


def _black(record: Record) -> str:
    """The black level, and the effective one where row or column deltas change it."""
    stated, effective = _sites(record["black_dn"]), _sites(record["effective_black_dn"])
    if stated == effective or len(record["black_dn"]) * len(record["black_dn"][0]) > 4:
        return f"{effective} DN"
    return f"{effective} DN effective ({stated} DN and deltas of rows or columns)"


def _clipping(record: Record) -> str:
    sites = record["site_saturation_dn"]
    if sites is None and record["saturation_dn"] == record["white_dn"]:
        return "at white"
    value = f"{record['saturation_dn']:g}" if sites is None else _sites(sites)
    share = record["saturation_dn"] / record["white_dn"]
    return f"{value} DN" + (f" ({share:.1%} of white)" if share < 1 else "")


def _sites(values: Matrix) -> str:
    """One number where all are alike, else those of the sites of the CFA cell, row by row."""
    flat = [f"{value:.6g}" for row in values for value in row]
    return flat[0] if len(set(flat)) == 1 else " ".join(flat)


def _color(record: Record) -> Rows:
    rows = [
        ("as-shot neutral", _numbers(record["as_shot_neutral"])),
        ("camera from XYZ", "; ".join(_numbers(row) for row in record["camera_from_xyz"])),
    ]
    if record["cfa"] == "monochrome":
        rows = []
    if record["baseline_exposure"]:
        rows.append(("baseline exposure", f"{record['baseline_exposure']:+.2g} EV"))
    return rows


def _numbers(values: Sequence[float], digits: int = 4) -> str:
    return " ".join(f"{value:.{digits}g}" for value in values)


def _noise(record: Record) -> Rows:
    noise = record["noise"]
    confidence, read_variance = noise["confidence"], _green(noise["read_variance"])
    word = "high" if confidence >= SURE else "medium" if confidence >= UNSURE else "low"
    rows = [
        ("comparable to", f"ISO {noise['full_frame_iso']} of a full-frame camera"),
        ("signal-to-noise", f"{_ratio(noise['snr_mid_grey'])} in mid grey, 18 % of white"),
        ("in the shadows", f"{_ratio(noise['snr_shadows'])} at 1 % of white"),
        ("gain", _planes(noise["gain"])),
        ("read noise", f"{_planes(noise['read_noise_dn'], ' DN')}, {read_variance**0.5:.2%} of white"),
        ("source", SOURCES.get(noise["source"], noise["source"])),
        ("confidence", f"{word} ({confidence:.2f})"),
    ]
    if max(noise["gain"]) < ALIKE_NOISE * min(noise["gain"]):
        rows.insert(-2, ("as an option", f"--noise {_green(noise['gain']):.3g},{read_variance:.3g}"))
    if noise["correlation"] is not None:
        across, down = noise["correlation"]
        rows.append(("neighbours", f"correlated, {across:.2f} horizontally and {down:.2f} vertically (0: white noise)"))
    if record["noise_profile"]:
        rows.append(("NoiseProfile", _numbers(record["noise_profile"], 3)))
    return [*rows, ("row noise", _row_noise(record["row_noise"]))]


def _planes(values: Sequence[float], unit: str = "") -> str:
    """Three digits of each noise class; that of the greens where all are alike."""
    if max(values) <= ALIKE * min(values):
        return f"{_green(values):.3g}{unit}"
    names = "R Gr Gb B" if len(values) == 4 else "R G B"
    return f"{' '.join(f'{value:.3g}' for value in values)}{unit} ({names})"


def _green(values: Sequence[float]) -> float:
    """The value of the greens, or of all pixels of a monochrome sensor."""
    return values[min(1, len(values) - 1)]


def _ratio(snr: float) -> str:
    """A signal-to-noise ratio as 45 : 1 and in decibels."""
    from rawkd.sensor.noise_figures import decibels

    shown = f"{snr:.2g}" if snr < 100 else f"{snr:.0f}"
    return f"{shown} : 1 ({decibels(snr):z.0f} dB)"  # z: no minus before 0


def _row_noise(rows: Record | None) -> str:
    if rows is None:
        return "cannot be measured"
    if not rows["shown"]:
        return f"none seen in the {rows['source']}"
    return f"{rows['sd_dn']:.2g} DN, {rows['share_of_noise']:.0%} of the noise of one pixel ({rows['source']})"
