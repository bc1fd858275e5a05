"""Warnings about a noise estimate: what may be wrong, and the effect on the result."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from rawkd.sensor.blind.estimate import MUCH_CUT_OFF, NoiseEstimate
from rawkd.sensor.noise import NoiseModel

LITTLE_CONFIDENCE = 0.3
"""Confidence below which rawkd warns that the picture has little smooth area."""
UNSURE_SHADOWS = 0.25
"""Relative error of the variance in the shadows above which rawkd warns."""
ADVICE = "give the noise with --noise A,B or measure the camera with rawkd calibrate"


LITTLE_SMOOTH_AREA = (
    "the picture has little smooth area to measure the noise in, so the noise may be overestimated. If the result is"
    f" too soft, lower --strength, or {ADVICE}"
)
SHADOWS_UNKNOWN = (
    "rawkd could not measure the noise of the shadows, so grain may stay in them. If it does, give a higher B with"
    " --noise A,B, or measure the camera with rawkd calibrate"
)
A_START = "try --noise 1e-3,2e-6 (about ISO 4500 of an APS-C camera)"
MORE = 4.0
"""Factor between noise that was guessed and the noise that the warning advises to try (our choice)."""
ABOUT_THE_RESULT = frozenset({LITTLE_SMOOTH_AREA, SHADOWS_UNKNOWN})
"""Warnings about what the noise that is found does to the result: pointless where no noise is removed."""


def estimate_warnings(estimate: NoiseEstimate) -> tuple[str, ...]:
    """Return warnings about an estimate: what may be wrong, and the effect on the result."""
    warnings: tuple[str, ...] = ()
    if estimate.confidence < LITTLE_CONFIDENCE and estimate.vanishes_at is None:
        warnings += (LITTLE_SMOOTH_AREA,)
    if not estimate.read_known and estimate.shadow_error > UNSURE_SHADOWS:
        warnings += (SHADOWS_UNKNOWN,)
    return warnings + pixel_warnings(estimate)


def guess_warning(noise: NoiseModel, basis: str) -> str:
    """Return the warning that the noise was guessed, with numbers to try.

    Parameters
    ----------
    noise : the guess. basis : from what it was made.
    """
    pair = (MORE * noise.green_gain, MORE * noise.green_read_variance)
    more = ",".join(f"{number:.1e}".replace("e-0", "e-") for number in pair)
    return (
        f"rawkd guessed the noise from the {basis}, without measuring it. If grain is left, try --noise {more} (four"
        " times the guess); if the photo looks too soft, lower --strength."
    )


def if_nothing_is_removed(warnings: Iterable[str]) -> tuple[str, ...]:
    """Return the warnings about the noise that also matter to a photo whose noise stays."""
    return tuple(warning for warning in warnings if warning not in ABOUT_THE_RESULT)


def pixel_warnings(estimate: NoiseEstimate) -> tuple[str, ...]:
    """Return warnings that matter whatever noise is used: wrong black, noise cut off at black, correlated noise."""
    warnings: tuple[str, ...] = ()
    if estimate.vanishes_at is not None:
        warnings += (
            f"the noise would vanish at {estimate.vanishes_at:.1%} of the range from black to white, not at black. So"
            " the black level may be wrong (too low), and the noise underestimated: check the black level, or"
            f" {ADVICE}",
        )
    if estimate.cut_off > MUCH_CUT_OFF:
        warnings += (
            f"{estimate.cut_off:.0%} of the pixels are 0, because the noise below black was cut off. So the gain"
            " and the brightness of dark areas are uncertain. If a program subtracted the black level, use the file as"
            " it was before that program changed it",
        )
    return warnings + _correlation_warning(estimate)


def _correlation_warning(estimate: NoiseEstimate) -> tuple[str, ...]:
    """Return a warning if neighbours are correlated; its number is the mean of both directions."""
    if not estimate.correlated:
        return ()
    measured = "" if estimate.neighbours is None else f" ({np.mean(estimate.neighbours):.2f})"
    message = (
        "lossy compression or noise reduction in the camera seems to have smoothed the noise: that of neighbouring"
        f" pixels is correlated{measured}"
    )
    return (f"{message}. If the result is blotchy, lower --strength.",)
