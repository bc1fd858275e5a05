"""Which noise parameters a photo gets, and the warnings about them.

Given > calibration file > NoiseProfile checked against the pixels > the pixels, capped by the ISO prior > ISO prior.
Real NoiseProfiles overstate the noise up to tenfold, and texture makes what the pixels say an upper bound: so pixels
may lower a profile, and raise it only with high confidence.
The read variance of the last two comes from masked pixels where the frame has some, else from dark pixels of the
picture, else it is the one to expect at the gain.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from rawkd.errors import NoiseError, UsageError
from rawkd.photo import RawPhoto
from rawkd.sensor.blind.estimate import NoiseEstimate, estimate_noise
from rawkd.sensor.iso_prior import IsoPrior, iso_prior
from rawkd.sensor.masked import masked_read_variance
from rawkd.sensor.noise import NoiseModel, parse_noise_profile
from rawkd.sensor.profile import read_profile

SOURCES = ("auto", "calibration", "profile", "blind", "iso")
HIGH_CONFIDENCE, SOME_CONFIDENCE = 0.8, 0.3
"""Confidence from which pixels raise a profile, and from which they lower it at `LOWERED` already."""
LOWERED, LOWERED_UNSURE, RAISED = 1.25, 2.0, 1.3
"""Profile over pixels, or pixels over profile, from which the pixels are followed; below, the profile is as good."""
NO_EVIDENCE = 0.25
"""Relative error of an estimate above which it says nothing."""
UNSURE_SHADOWS = 0.25
"""Relative error of the variance in the shadows from which a warning is given."""
WORTH_A_WARNING = 2.0
ADVICE = "give the noise with --noise A,B or measure the camera with rawkd calibrate"

NoiseAndWarnings = tuple[NoiseModel, tuple[str, ...]]


def noise_model_of(
    photo: RawPhoto,
    *,
    given: tuple[float, float] | None = None,
    source: str = "auto",
    calibration: Path | None = None,
) -> NoiseAndWarnings:
    """Noise parameters of a photo, and one sentence for everything remarkable about them.

    Parameters
    ----------
    given : gain and read variance in signal units, which settle the matter.
    source : auto, or the one source to use.
    calibration : the camera's calibration file.

    Raises
    ------
    NoiseError: if no parameters can be found, or the file of `calibration` is none or says nothing of the photo's ISO.
    UsageError: if the source has no such name, or calibration is asked for and no file is named.
    """
    if source not in SOURCES:
        raise UsageError(f"the noise source {source!r} is none of {', '.join(SOURCES)}")
    if given is not None:
        return NoiseModel(np.array(given[0]), np.array(given[1]), "given"), ()
    if source == "calibration" and calibration is None:
        raise UsageError("the noise source calibration needs a calibration file: name it with --calibration")
    if calibration is not None and source in ("auto", "calibration"):
        return _calibrated(photo, calibration)
    if source == "profile":
        return _tagged(photo), ()
    if source == "iso":
        return _prior(photo)
    if source == "blind":
        estimate = _measured(photo)
        return estimate.model("blind"), _remarks(estimate)
    return _found(photo)


def _calibrated(photo: RawPhoto, path: Path) -> NoiseAndWarnings:
    profile = read_profile(path)
    capture = photo.capture
    if capture.iso is None or capture.iso <= 0:
        raise NoiseError(f"the calibration file {path} needs the photo's ISO, which is not known: {ADVICE}")
    warnings = []
    if not profile.is_of(capture.make, capture.model):
        warnings.append(
            f"the calibration file is of {profile.make} {profile.model}, the photo of {capture.make} {capture.model}"
        )
    if not profile.covers(capture.iso):
        low, high = profile.iso_range
        warnings.append(f"ISO {capture.iso:g} lies outside the calibrated range {low:g} to {high:g}")
    try:
        return profile.noise_at(capture.iso), tuple(warnings)
    except NoiseError as error:
        low, high = profile.iso_range
        raise NoiseError(
            f"{path}: the calibration file, of ISO {low:g} to {high:g}, says nothing of ISO {capture.iso:g} ({error}):"
            f" leave it out, or {ADVICE}"
        ) from error


def _tagged(photo: RawPhoto) -> NoiseModel:
    if not photo.noise_profile:
        raise NoiseError(f"the photo has no NoiseProfile: choose another noise source or {ADVICE}")
    return parse_noise_profile(photo.noise_profile)


def _prior(photo: RawPhoto) -> NoiseAndWarnings:
    prior = iso_prior(photo.capture)
    if prior is None:
        raise NoiseError(f"the photo's ISO is not known: {ADVICE}")
    return _assumed(photo, prior)


def _measured(photo: RawPhoto) -> NoiseEstimate:
    levels = photo.levels
    return estimate_noise(
        photo.mosaic,
        saturation=levels.saturation,
        floor=levels.floor,
        step=1 / levels.range_dn,
        masked_read_variance=masked_read_variance(photo),
    )


def _found(photo: RawPhoto) -> NoiseAndWarnings:
    """The best of profile, pixels and prior."""
    prior = iso_prior(photo.capture)
    tag, warnings = _sound_tag(photo, prior)
    try:
        estimate = _measured(photo)
    except NoiseError as error:
        if tag is not None:
            return tag, (*warnings, f"the NoiseProfile could not be checked: {error}")
        if prior is None:
            raise NoiseError(f"{error}, and neither NoiseProfile nor ISO is known: {ADVICE}") from error
        model, more = _prior(photo)
        return model, (*warnings, *more)
    if tag is not None:
        model, more = _checked(tag, estimate)
    else:
        model, more = _capped(photo, estimate, prior)
    return model, (*warnings, *more)


def _sound_tag(photo: RawPhoto, prior: IsoPrior | None) -> tuple[NoiseModel | None, tuple[str, ...]]:
    """The profile of the photo, or None and why it is not used."""
    if not photo.noise_profile:
        return None, ()
    try:
        tag = parse_noise_profile(photo.noise_profile)
    except NoiseError as error:
        return None, (f"the file has {error}; it is not used",)
    if prior is not None and not prior.floor <= tag.green_gain <= prior.ceiling:
        return None, (
            f"the NoiseProfile's gain {tag.green_gain:.2g} is far from the {prior.gain:.2g} of such cameras at ISO"
            f" {photo.capture.iso:g}; it is not used",
        )
    return tag, ()


def _checked(tag: NoiseModel, estimate: NoiseEstimate) -> NoiseAndWarnings:
    """The profile, or the pixels where they contradict it: see the rules at the head of the file."""
    in_tag = tag.green_gain * max(estimate.level, 0) + tag.green_read_variance
    in_pixels = estimate.gain * max(estimate.level, 0) + estimate.read_variance
    over = in_tag / in_pixels
    enough = LOWERED if estimate.confidence >= SOME_CONFIDENCE else LOWERED_UNSURE
    model, outcome = tag, "the profile is used"
    if over > max(enough, 1 + 4 * estimate.relative_error) and estimate.relative_error < NO_EVIDENCE:
        model, outcome = estimate.model("profile, lowered by the pixels"), "the pixels are followed"
    elif 1 / over > RAISED and estimate.confidence >= HIGH_CONFIDENCE:
        model, outcome = estimate.model("profile, raised by the pixels"), "the pixels are followed"
    remarks = _correlation(estimate)
    if not 1 / WORTH_A_WARNING < over < WORTH_A_WARNING:
        word, times = ("above", over) if over > 1 else ("below", 1 / over)
        remarks = (f"the NoiseProfile lies {times:.1f} times {word} what the pixels say; {outcome}", *remarks)
    return model, remarks


def _capped(photo: RawPhoto, estimate: NoiseEstimate, prior: IsoPrior | None) -> NoiseAndWarnings:
    """The pixels, but no more noise than a camera of this class has at this ISO; the prior where they say nothing."""
    model = estimate.model("blind")
    if prior is not None and estimate.relative_error > NO_EVIDENCE:
        return _assumed(photo, prior)
    if prior is None or estimate.gain <= prior.ceiling:
        return model, _remarks(estimate)
    factor = prior.ceiling / estimate.gain
    capped = replace(
        model,
        gain=model.gain * factor,
        read_variance=model.read_variance * factor,
        source="blind, capped by ISO",
        confidence=min(model.confidence, 0.5),
    )
    message = (
        f"the pixels look {1 / factor:.1f} times noisier than any such camera is at this ISO, so rawkd lowered the"
        " estimate to what such cameras have"
    )
    return capped, (message, *_correlation(estimate))


def _remarks(estimate: NoiseEstimate) -> tuple[str, ...]:
    """Warnings about an estimate: what it may have got wrong, and what that does to the result."""
    remarks: tuple[str, ...] = ()
    if estimate.confidence < SOME_CONFIDENCE:
        remarks += (
            "the picture has little smooth area to measure the noise in, so the noise may be overestimated. If the"
            f" result is too soft, lower --strength, or {ADVICE}",
        )
    if not estimate.read_known and estimate.shadow_error > UNSURE_SHADOWS:
        remarks += (
            "neither masked pixels nor dark smooth areas show the read noise, so the noise of the shadows is not known"
            f" and may stay in them: {ADVICE}",
        )
    return remarks + _correlation(estimate)


def _assumed(photo: RawPhoto, prior: IsoPrior) -> NoiseAndWarnings:
    """The noise of the ISO prior, and a warning that it is one."""
    how = "its ISO and sensor size" if prior.size_known else "its ISO alone, for a sensor of middle size"
    message = f"the noise was assumed from {how}, which may be wrong by a factor of five: {ADVICE}"
    return prior.model(masked_read_variance(photo), step=1 / photo.levels.range_dn), (message,)


def _correlation(estimate: NoiseEstimate) -> tuple[str, ...]:
    if not estimate.correlated:
        return ()
    message = "neighbouring pixels share their noise, as after lossy compression or noise reduction in the camera"
    return (f"{message}. If the result is blotchy, lower --strength.",)
