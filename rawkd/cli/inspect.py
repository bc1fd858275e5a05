"""`rawkd inspect`: what is known about a photo, as text or JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.console import Console
from rawkd.cli.exit_codes import OK, exit_code_of

if TYPE_CHECKING:
    from rawkd.photo import RawPhoto


@click.command("inspect")
@click.argument("photo", type=click.Path(path_type=Path))
@click.option("--model", metavar="TIER|NAME|DIR", help="Tier fast, balanced or best, or another model; default: fast.")
@click.option("--plot", metavar="FILE", type=click.Path(path_type=Path), help="Plot the noise, to .svg or .png.")
@click.option("--overwrite", is_flag=True, help="Replace a plot that exists.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks.")
def inspect_command(
    photo: Path, model: str | None, plot: Path | None, overwrite: bool, as_json: bool, verbose: bool
) -> int:
    """Show what is known about a raw PHOTO: camera, levels, colour, noise, and the student that would denoise it."""
    console = Console(verbosity=int(verbose))
    try:
        record, warnings = _facts(photo, model, plot, overwrite=overwrite)
    except Exception as error:  # said with the photo's name; the code tells which kind
        console.fail(error, photo)
        return exit_code_of(error)
    click.echo(json.dumps(record | {"warnings": warnings}) if as_json else os.fsencode(_text(record)))
    console.warn(photo, warnings)
    return OK


def _facts(
    path: Path, model: str | None, plot: Path | None, *, overwrite: bool
) -> tuple[dict[str, object], tuple[str, ...]]:
    """What is known, in plain values, and what was remarkable; the noise is plotted where that is asked for."""
    from rawkd.files.read.raw import read_raw
    from rawkd.files.write.drawing import refuse_plot, write_drawing
    from rawkd.inference.students import choose_student, load_family
    from rawkd.restore.options import DenoiseOptions
    from rawkd.restore.pipeline import prepare

    if plot is not None:
        refuse_plot(plot, overwrite=overwrite)
    raw = read_raw(path)
    prepared = prepare(raw, DenoiseOptions())
    noise = prepared.noise
    if plot is not None:
        from rawkd.compare.noise_plot import noise_chart

        write_drawing(plot, noise_chart(raw, noise), overwrite=overwrite)
    card, choice_warnings = choose_student(load_family(model), noise)
    record = _stated(path, raw) | {
        "noise": {
            "gain": noise.gain.tolist(),
            "read_variance": noise.read_variance.tolist(),
            "source": noise.source,
            "confidence": noise.confidence,
        },
        "row_noise": _row_noise(raw),
        "known_defects": len(prepared.photo.defects),
        "student": None if card is None else card.name,
    }
    return record, prepared.warnings + prepared.noise_warnings + choice_warnings


def _row_noise(photo: RawPhoto) -> dict[str, object] | None:
    """Noise that whole rows share, in plain values; None where it cannot be measured."""
    from rawkd.sensor.rows import measure_rows

    rows = measure_rows(photo)
    if rows is None:
        return None
    return {"sd_dn": rows.row_sd_dn, "share_of_noise": rows.share, "source": rows.source, "shown": rows.shown}


def _stated(path: Path, photo: RawPhoto) -> dict[str, object]:
    """What the file says, in plain values; arrays row by row."""
    from rawkd.report import camera_name

    levels, color, area, crop = photo.levels, photo.color, photo.active_area, photo.default_crop
    return {
        "input": str(path),
        "camera": camera_name(photo.capture),
        "iso": photo.capture.iso,
        "exposure_s": photo.capture.exposure_s,
        "aperture": photo.capture.aperture,
        "datetime": photo.capture.datetime,
        "cfa": photo.pattern.value,
        "frame": [photo.frame.shape[1], photo.frame.shape[0]],
        "active_area": [area.left, area.top, area.width, area.height],
        "default_crop": [crop.left, crop.top, crop.width, crop.height],
        "orientation": photo.orientation,
        "pixel_aspect": photo.pixel_aspect,
        "bits": levels.bits,
        "black_dn": levels.black_dn.tolist(),
        "white_dn": levels.white_dn,
        "saturation_dn": levels.saturation_dn,
        "as_shot_neutral": color.as_shot_neutral.tolist(),
        "camera_from_xyz": color.camera_from_xyz.tolist(),
        "baseline_exposure": color.baseline_exposure,
        "noise_profile": list(photo.noise_profile),
    }


def _text(record: dict[str, object]) -> str:
    """The same, a line a fact; what the file does not say is said to be unknown."""
    width = max(map(len, record))
    shown = record | {"student": record["student"] or "none"}
    return "\n".join(f"{name.replace('_', ' '):<{width}}  {_value(value)}" for name, value in shown.items())


def _value(value: object) -> str:
    if value is None or value in ("", []):
        return "unknown"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_value(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ("; " if isinstance(value[0], list) else " ").join(_value(part) for part in value)
    return str(value)
