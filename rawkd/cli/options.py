"""Option values that click does not know: a pair of noise parameters, a rectangle."""

from __future__ import annotations

from click import BadParameter, Context, Parameter


def noise_pair(ctx: Context, param: Parameter, value: str | None) -> tuple[float, float] | None:
    """GAIN,READ_VARIANCE in signal units: the first positive, the second not negative."""
    if value is None:
        return None
    try:
        gain, read_variance = (float(part) for part in value.split(","))
    except ValueError:
        raise BadParameter(f"{value!r} is no pair of numbers such as 1e-3,2e-6", ctx, param) from None
    if not (0 < gain < 1 and 0 <= read_variance < 1):
        text = f"{value!r} is no noise: the gain lies between 0 and 1, the read variance from 0 up to 1"
        raise BadParameter(text, ctx, param)
    return gain, read_variance


def region(ctx: Context, param: Parameter, value: str | None) -> tuple[int, int, int, int] | None:
    """X,Y,WIDTH,HEIGHT in pixels of the upright picture."""
    if value is None:
        return None
    try:
        left, top, width, height = (int(part) for part in value.split(","))
    except ValueError:
        raise BadParameter(f"{value!r} is no region such as 1200,800,640,480", ctx, param) from None
    if min(left, top) < 0 or min(width, height) < 1:
        text = f"{value!r} is no region: x and y are not negative, width and height at least 1"
        raise BadParameter(text, ctx, param)
    return left, top, width, height
