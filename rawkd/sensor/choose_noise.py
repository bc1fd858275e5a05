"""Choose the noise parameters of a photo, with warnings about them.

The first available source is used: values given by the user, calibration file, NoiseProfile checked against the pixels,
estimate from the pixels capped by the ISO prior, ISO prior.

Real NoiseProfiles overstate the noise up to tenfold, and texture makes the estimate from the pixels an upper bound. So
the pixels may lower a profile, but raise it only with high confidence. For the same reason the ISO caps the estimate
from the pixels, unless its confidence is high and the file does not state the sensor size: then the ISO is the weaker
evidence, since it may be on a scale of its own (arrays).

The read variance of the last two sources comes from masked pixels if the frame has any, else from dark areas of the
picture, else from the value expected at the gain.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from rawkd.errors import NoiseError, UsageError
from rawkd.photo import Capture, RawPhoto, camera_name
from rawkd.sensor.blind.estimate import NoiseEstimate, estimate_noise
from rawkd.sensor.estimate_warnings import A_START, ADVICE, estimate_warnings, guess_warning, pixel_warnings
from rawkd.sensor.iso_prior import IsoPrior, iso_prior
from rawkd.sensor.masked import masked_read_variance
from rawkd.sensor.noise import NoiseModel, parse_noise_profile
from rawkd.sensor.profile import read_profile

SOURCES = ("auto", "calibration", "profile", "blind", "iso")
HIGH_CONFIDENCE, SOME_CONFIDENCE = 0.8, 0.3
"""Least confidence to raise a profile, and least confidence to lower it at the ratio `LOWERED`."""
LOWERED, LOWERED_UNSURE, RAISED = 1.25, 2.0, 1.3
"""Ratios above which the estimate from the pixels replaces the profile. The first two are profile over pixels, with and
without `SOME_CONFIDENCE`; the third is pixels over profile."""
NO_EVIDENCE, REFUSED = 0.25, 10.0
"""Relative errors above which an estimate is not used if there is another source, and above which it never is."""
CLASS_COLOURS = {3: ("red", "green", "blue"), 4: ("red", "green", "green", "blue")}
"""Colours of the noise classes, by their number."""
WORTH_A_WARNING = 2.0
"""Ratio between profile and pixels, either way, from which rawkd warns."""

NoiseAndWarnings = tuple[NoiseModel, tuple[str, ...]]


def noise_model_of(
    photo: RawPhoto,
    *,
    given: tuple[float, float] | None = None,
    source: str = "auto",
    calibration: Path | None = None,
) -> NoiseAndWarnings:
    """Return the noise parameters of a photo and the warnings about them.

    Parameters
    ----------
    given : gain and read variance in signal units; they override every other source.
    source : one of `SOURCES`: auto, or the only source to use.
    calibration : the camera's calibration file.

    Raises
    ------
    NoiseError: if no parameters can be found, the calibration file is invalid, or it does not fit the photo's ISO.
    UsageError: if the source is unknown, or it is "calibration" and no file is given.
    """
    noise, warnings = _chosen(photo, given, source, calibration)
    return noise.for_cfa(photo.pattern), warnings


def _chosen(
    photo: RawPhoto, given: tuple[float, float] | None, source: str, calibration: Path | None
) -> NoiseAndWarnings:
    """Return what `noise_model_of` returns, with the classes that the source knows."""
    if source not in SOURCES:
        raise UsageError(f"the noise source {source!r} is unknown. Use one of {', '.join(SOURCES)}.")
    if given is not None:
        return NoiseModel(np.array(given[0]), np.array(given[1]), "given"), ()
    if source == "calibration" and calibration is None:
        raise UsageError("the noise source calibration needs a calibration file. Name it with --calibration.")
    if calibration is not None and source in ("auto", "calibration"):
        return _calibrated(photo, calibration)
    if source == "profile":
        return _tagged(photo), ()
    if source == "iso":
        return _prior(photo)
    if source == "blind":
        estimate = _measured(photo)
        return estimate.model("blind"), estimate_warnings(estimate)
    return _found(photo)


def _calibrated(photo: RawPhoto, path: Path) -> NoiseAndWarnings:
    profile = read_profile(path)
    capture = photo.capture
    if capture.iso is None or capture.iso <= 0:
        raise NoiseError(f"{path}: a calibration file needs the photo's ISO, which is unknown: {ADVICE}")
    warnings = []
    if not profile.is_of(capture.make, capture.model):
        warnings.append(
            f"the calibration file is for {_name_of(Capture(profile.make, profile.model))}, but the photo is from"
            f" {_name_of(capture)}"
        )
    if not profile.covers(capture.iso):
        low, high = profile.iso_range
        warnings.append(f"ISO {capture.iso:g} lies outside the calibrated range {low:g} to {high:g}")
    try:
        noise = profile.noise_at(capture.iso)
        rounding = 1 / photo.levels.range_dn**2 / 12
        return replace(noise, read_variance=np.maximum(noise.read_variance, rounding)), tuple(warnings)
    except NoiseError as error:
        low, high = profile.iso_range
        raise NoiseError(
            f"{path}: the calibration file covers ISO {low:g} to {high:g} and cannot be used at ISO {capture.iso:g}"
            f" ({error}): leave it out, or {ADVICE}"
        ) from error


def _name_of(capture: Capture) -> str:
    return camera_name(capture) or "an unknown camera"


def _tagged(photo: RawPhoto) -> NoiseModel:
    if not photo.noise_profile:
        raise NoiseError(f"the photo has no NoiseProfile: choose another noise source or {ADVICE}")
    return parse_noise_profile(photo.noise_profile)


def _prior(photo: RawPhoto) -> NoiseAndWarnings:
    prior = iso_prior(photo.capture)
    if prior is None:
        raise NoiseError(f"the photo's ISO is unknown: {ADVICE}")
    return _assumed(photo, prior)


def _measured(photo: RawPhoto) -> NoiseEstimate:
    levels = photo.levels
    estimate = estimate_noise(
        photo.mosaic,
        saturation=levels.saturation,
        floor=levels.floor,
        step=1 / levels.range_dn,
        masked_read_variance=masked_read_variance(photo),
    )
    if estimate.relative_error > REFUSED:
        raise NoiseError("the pixels do not show how strong the noise is")
    return estimate


def _found(photo: RawPhoto) -> NoiseAndWarnings:
    """Return the noise from profile, pixels and prior, by the rules at the head of this file."""
    prior = iso_prior(photo.capture)
    tag, warnings = _sound_tag(photo, prior)
    try:
        estimate = _measured(photo)
    except NoiseError as error:
        if tag is not None:
            return tag, (*warnings, f"the NoiseProfile could not be checked: {error}")
        if prior is None:
            raise NoiseError(f"{error}, and the file states neither noise nor ISO: {A_START}, or {ADVICE}") from error
        model, more = _prior(photo)
        return model, (*warnings, *more)
    if tag is not None:
        model, more = _checked(tag.for_cfa(photo.pattern), estimate)
    else:
        model, more = _capped(photo, estimate, prior)
    return model, (*warnings, *more)


def _sound_tag(photo: RawPhoto, prior: IsoPrior | None) -> tuple[NoiseModel | None, tuple[str, ...]]:
    """Return the NoiseProfile of the photo, or None; a warning says why an existing one is not used."""
    if not photo.noise_profile:
        return None, ()
    try:
        tag = parse_noise_profile(photo.noise_profile)
    except NoiseError as error:
        return None, (f"{error}; it is not used",)
    if prior is not None and not prior.floor <= tag.green_gain <= prior.ceiling:
        return None, (
            f"the gain {tag.green_gain:.2g} of the NoiseProfile is far from {prior.gain:.2g}, the usual gain of such"
            f" cameras at ISO {photo.capture.iso:g}; the profile is not used",
        )
    return tag, ()


def _checked(tag: NoiseModel, estimate: NoiseEstimate) -> NoiseAndWarnings:
    """Return the profile, or the estimate from the pixels if it contradicts the profile (rules: head of this file)."""
    level, measured = max(estimate.level, 0), estimate.model("pixels")
    if estimate.colours_differ:
        ratio = (tag.gain * level + tag.read_variance) / (measured.gain * level + measured.read_variance)
    else:
        of_green = measured.green_gain * level + estimate.read_variance
        ratio = np.array([tag.green_variance(level) / of_green])
    over, under = float(ratio.max()), 1 / float(ratio.min())
    enough = LOWERED if estimate.confidence >= SOME_CONFIDENCE else LOWERED_UNSURE
    model, outcome = replace(tag, correlation=estimate.neighbours), "rawkd uses what the file states"
    if over > max(enough, 1 + 4 * estimate.relative_error) and estimate.relative_error < NO_EVIDENCE:
        model, outcome = estimate.model("profile, lowered by the pixels"), "rawkd uses what it measured"
    elif under > RAISED and estimate.confidence >= HIGH_CONFIDENCE:
        model, outcome = estimate.model("profile, raised by the pixels"), "rawkd uses what it measured"
    warnings = pixel_warnings(estimate)
    if max(over, under) >= WORTH_A_WARNING:
        word, factor, worst = ("more", over, ratio.argmax()) if over > under else ("less", under, ratio.argmin())
        where = f" in {CLASS_COLOURS[len(ratio)][worst]}" if estimate.colours_differ else ""
        message = (
            f"the file states (NoiseProfile) {factor:.1f} times {word} noise variance{where} than its pixels show;"
            f" {outcome}"
        )
        warnings = (message, *warnings)
    return model, warnings


def _capped(photo: RawPhoto, estimate: NoiseEstimate, prior: IsoPrior | None) -> NoiseAndWarnings:
    """Return the estimate from the pixels, capped by the ISO prior; or the prior if the estimate is unreliable."""
    model = estimate.model("blind")
    if prior is not None and estimate.relative_error > NO_EVIDENCE:
        return _assumed(photo, prior)
    if prior is None or model.green_gain <= prior.ceiling:
        return model, estimate_warnings(estimate)
    factor = prior.ceiling / model.green_gain
    message = f"the pixels look {1 / factor:.1f} times noisier than any such camera is at ISO {photo.capture.iso:g}"
    if model.confidence >= HIGH_CONFIDENCE and not prior.size_known:
        message += ". rawkd uses the measurement, so the ISO may be wrong or on a scale of its own"
        return model, (message, *estimate_warnings(estimate))
    capped = replace(
        model,
        gain=model.gain * factor,
        read_variance=model.read_variance * factor,
        source="blind, capped by ISO",
        confidence=min(model.confidence, 0.5),
    )
    message += (
        ", so rawkd lowered the estimate to the most that such cameras have. If the ISO is wrong or on a scale of its"
        f" own, {ADVICE}"
    )
    return capped, (message, *pixel_warnings(estimate))


def _assumed(photo: RawPhoto, prior: IsoPrior) -> NoiseAndWarnings:
    """Return the noise of the ISO prior, and a warning that it was not measured."""
    model = prior.model(masked_read_variance(photo), step=1 / photo.levels.range_dn)
    basis = "ISO and the sensor size" if prior.size_known else "ISO"
    return model, (guess_warning(model, basis),)
