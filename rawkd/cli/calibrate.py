"""`rawkd calibrate`: a camera's noise from bursts of a still scene."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.console import Console, print_result
from rawkd.cli.exit_codes import OK
from rawkd.cli.option_values import PATH
from rawkd.cli.options import OVERWRITE, console_options
from rawkd.cli.without_effect import warn_of_options_without_effect

if TYPE_CHECKING:
    from rawkd.calibration.calibration_file import Calibration


@click.command("calibrate")
@click.argument("frames", metavar="FRAME...", nargs=-1, required=True, type=PATH)
@click.option(
    "-o",
    "--out",
    metavar="FILE.json",
    default="camera.json",
    show_default=True,
    type=PATH,
    help="Write this calibration file.",
)
@click.option("--install", is_flag=True, help="Write where `rawkd denoise` finds it for this camera, instead.")
@click.option(
    "--plot",
    "plots",
    metavar="FILE",
    multiple=True,
    type=PATH,
    help="Also plot points, fits and residuals, to .svg or .png; repeatable.",
)
@OVERWRITE
@console_options
def calibrate_command(
    frames: tuple[Path, ...],
    out: Path,
    install: bool,
    plots: tuple[Path, ...],
    overwrite: bool,
    console: Console,
) -> int:
    """Measure the noise of a camera from raw FRAMEs: pairs or bursts of a still scene, at one ISO or several.

    Take two or more frames of each setting from a tripod, of something grey at several exposures, and two with the cap
    on. Frames that moved, are clipped or mislabelled are found and named.
    """
    warn_of_options_without_effect(console)
    try:
        _calibrate(frames, None if install else out, plots, console, overwrite=overwrite)
    except Exception as error:  # printed as a sentence; the exit code says which kind
        return console.fail(error)
    return OK


def _calibrate(
    frames: tuple[Path, ...], out: Path | None, plots: tuple[Path, ...], console: Console, *, overwrite: bool
) -> None:
    """Measure, write, and print the names of written files."""
    from rawkd.calibration.calibration_file import install_path, refuse_name, write_calibration
    from rawkd.calibration.frames import calibrate
    from rawkd.calibration.plot import calibration_chart
    from rawkd.files.write.drawing import refuse_plot, write_drawing

    if out is not None:
        refuse_name(out, frames, overwrite=overwrite)
    for plot in plots:
        refuse_plot(plot, frames, overwrite=overwrite)
    with console.progress("reading frames") as progress:
        calibration = calibrate(frames, progress)
    for remark in calibration.remarks:
        console.say(f"note: {remark}")
    for line in _summary(calibration):
        console.say(line)
    target = install_path(calibration.profile) if out is None else out
    write_calibration(calibration, target, overwrite=overwrite)
    print_result(os.fsencode(target))
    for plot in plots:
        write_drawing(plot, calibration_chart(calibration), overwrite=overwrite)
        print_result(os.fsencode(plot))


def _summary(calibration: Calibration) -> list[str]:
    """Return a line for each ISO, and one for each map of defects."""
    lines = []
    for one in calibration.measured:
        green = one.greens[0]
        lines.append(
            f"ISO {one.iso:g}: gain {one.gain[green]:.4g} +- {one.gain_error[green]:.1g}, read variance"
            f" {one.read_variance[green]:.4g} +- {one.read_error[green]:.1g}, {one.num_frames} frames,"
            f" {one.kept_share:.0%} of the blocks on the line"
        )
    return lines + [
        f"frames of {one.width} x {one.height}: {len(one.pixels)} defective pixels found in dark frames"
        for one in calibration.profile.defects
    ]
