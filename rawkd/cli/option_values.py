"""Types of option values that click does not know: paths, exposure, noise parameters, regions, format names."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
from click import BadParameter, Context, Parameter

from rawkd.errors import UsageError
from rawkd.files.naming import FORMAT_OF_SUFFIX

PATH = click.Path(path_type=Path, readable=False)
"""A path that need not be readable: click would end with a usage error, and the reader has the right exit code."""


def refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse an empty argument: no option takes one, and as a path it would be the current folder.

    Raises
    ------
    UsageError: if one is empty, as "$NAME" of a shell is if the variable is not set.
    """
    for before, argument in pairwise(["rawkd", *arguments]):
        if not argument or re.fullmatch("--[^=]+=", argument):
            place = f"the value after {before}" if not argument else argument.rstrip("=")
            raise UsageError(f"{place} is empty: give a name")


class Part(click.FloatRange):
    """A number from 0 to 1, with one message for all that is none: 70%, 0,5, 50, nan."""

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> float:
        """Return the number, or raise UsageError."""
        try:
            part = float(super().convert(value, param, ctx))
        except BadParameter:
            part = math.nan
        if math.isnan(part):
            name = "this option" if param is None else param.opts[-1]
            raise click.UsageError(f"{name} takes a number from 0 to 1, such as 0.7, not {value!r}.", ctx)
        return part


PART = Part(0, 1)


class Stops(click.FloatRange):
    """Exposure in stops, a number: click's range lets "nan" through."""

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> float:
        """Return the number, or raise BadParameter."""
        stops = float(super().convert(value, param, ctx))
        if math.isnan(stops):
            self.fail(f"{value!r} is not a number", param, ctx)
        return stops


STOPS = Stops(-10, 10)
FORMAT = click.Choice([suffix.removeprefix(".") for suffix in FORMAT_OF_SUFFIX], case_sensitive=False)


def format_name(ctx: Context, param: Parameter, value: str | None) -> str | None:  # noqa: ARG001
    """Return dng, tiff, png or jpeg for any of the names in FORMAT; None for None."""
    return None if value is None else FORMAT_OF_SUFFIX[f".{value}"]


def noise_pair(ctx: Context, param: Parameter, value: str | None) -> tuple[float, float] | None:
    """Read GAIN,READ_VARIANCE in signal units: the first positive, the second not negative.

    Raises
    ------
    BadParameter: for anything else.
    """
    if value is None:
        return None
    try:
        gain, read_variance = (float(part) for part in value.split(","))
    except ValueError:
        raise BadParameter(f"{value!r} is not a pair of numbers such as 1e-3,2e-6", ctx, param) from None
    from rawkd.sensor.noise import NOISE_LIMITS, is_possible

    if not is_possible(gain, read_variance):
        raise BadParameter(f"{value!r} is not a noise: {NOISE_LIMITS}", ctx, param)
    return gain, read_variance


def region(ctx: Context, param: Parameter, value: str | None) -> tuple[int, int, int, int] | None:
    """Read X,Y,WIDTH,HEIGHT in pixels of the upright picture.

    Raises
    ------
    BadParameter: for anything else.
    """
    if value is None:
        return None
    try:
        left, top, width, height = (int(part) for part in value.split(","))
    except ValueError:
        raise BadParameter(f"{value!r} is not a region such as 1200,800,640,480", ctx, param) from None
    if min(left, top) < 0 or min(width, height) < 1:
        text = f"{value!r} is not a region: x and y are 0 or more, width and height 1 or more"
        raise BadParameter(text, ctx, param)
    return left, top, width, height


def regions(ctx: Context, param: Parameter, values: tuple[str, ...]) -> tuple[tuple[int, int, int, int], ...]:
    """Read X,Y,WIDTH,HEIGHT any number of times."""
    return tuple(found for value in values if (found := region(ctx, param, value)) is not None)
