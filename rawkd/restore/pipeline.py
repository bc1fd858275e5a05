"""One photo, top to bottom: the story of a denoise, each line a call whose name is the step."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from rawkd.errors import NoiseError
from rawkd.inference.card import ModelCard
from rawkd.inference.engine import Engine
from rawkd.inference.engines import Engines
from rawkd.inference.students import choose_student, load_family
from rawkd.photo import Mosaic, RawPhoto, Rect
from rawkd.restore.installed_calibration import installed_profile, known_defects
from rawkd.restore.mosaic import Progress, no_progress, restore_mosaic
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.region import part_with_context
from rawkd.sensor.choose_noise import noise_model_of
from rawkd.sensor.defects import with_known_defects, without_defects
from rawkd.sensor.noise import UNKNOWN_NOISE, NoiseModel
from rawkd.sensor.rows import level_rows

FINE_BITS = 14
"""Sources of fewer bits are written in integers of this many, so that shadows are not posterised (our choice)."""


@dataclass(frozen=True)
class Context:
    """What the photos of one run share, whatever their options.

    Attributes
    ----------
    engines : networks that were loaded, kept for the next photo.
    calibrations : folder of the installed calibration files; None for the user's own.
    """

    engines: Engines = field(default_factory=Engines)
    calibrations: Path | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A photo that is ready to be restored.

    Attributes
    ----------
    photo : its rows level, its known defects marked. noise : what is to be removed.
    warnings, noise_warnings : one sentence each, the latter about how the noise was found.
    """

    photo: RawPhoto
    noise: NoiseModel
    warnings: tuple[str, ...] = ()
    noise_warnings: tuple[str, ...] = ()

    def region(self, rect: Rect, options: DenoiseOptions) -> Prepared:
        """The same for a region of the upright picture and all that its pixels depend on (`restore.region`).

        Raises
        ------
        UsageError: if the region leaves the picture.
        """
        return replace(self, photo=part_with_context(self.photo, rect, options))


@dataclass(frozen=True, eq=False)
class Restoration:
    """A denoised photo and how it came about.

    Attributes
    ----------
    photo : the same photo with restored samples. mosaic : its active area before rounding to integers.
    noise : the noise that was removed.
    student : name of the network, None where nothing was to be removed; device, precision : where it ran.
    warnings : one sentence each. defects : number of pixels that were replaced before denoising.
    """

    photo: RawPhoto
    mosaic: Mosaic
    noise: NoiseModel
    student: str | None
    device: str | None
    precision: str | None
    warnings: tuple[str, ...] = ()
    defects: int = 0


def denoise(
    photo: RawPhoto,
    options: DenoiseOptions | None = None,
    progress: Progress = no_progress,
    *,
    context: Context | None = None,
) -> Restoration:
    """Restore the mosaic of a photo; everything else about it is kept.

    Sources of fewer than 14 bits come back in finer integers, their levels scaled with them, unless nothing is removed
    or their scale is fixed (`RawPhoto.scale_is_fixed`).

    Raises
    ------
    NoiseError: if no noise parameters can be found. ModelError: if no student fits or the device is missing.
    """
    options, context = options or DenoiseOptions(), context or Context()
    return restore(prepare(photo, options, context), options, context, progress)


def prepare(
    photo: RawPhoto, options: DenoiseOptions, context: Context | None = None, noise: NoiseModel | None = None
) -> Prepared:
    """Level the rows where that is asked for, mark the known defects, and find the noise.

    Parameters
    ----------
    photo : the whole photo, also where only a region of it will be restored (`Prepared.region`).
    noise : the noise where it is known already, such as that of the photo's series; None finds it as the options say.

    Raises
    ------
    NoiseError: if no noise parameters can be found; never where nothing is removed, unless by a named calibration file.
    """
    context = context or Context()
    warnings = photo.warnings
    if not options.keeps_everything:
        photo, row_warnings = level_rows(photo, remove=options.rows)
        photo = with_known_defects(photo, known_defects(photo.capture, options.calibration, context.calibrations))
        warnings += row_warnings
    if noise is not None:
        return Prepared(photo, noise, warnings)
    try:
        noise, noise_warnings = _noise_of(photo, options, context)
    except NoiseError:
        if options.calibration is not None or not options.keeps_everything:
            raise
        noise, noise_warnings = UNKNOWN_NOISE, ()
    return Prepared(photo, noise, warnings, noise_warnings)


def _noise_of(photo: RawPhoto, options: DenoiseOptions, context: Context) -> tuple[NoiseModel, tuple[str, ...]]:
    """Noise parameters as the options ask for them, and warnings.

    Where no calibration file is named, one that the user has installed for the photo's camera serves.
    """
    calibration = options.calibration
    warnings: tuple[str, ...] = ()
    if calibration is None and options.noise is None and options.noise_source in ("auto", "calibration"):
        calibration, warnings = installed_profile(photo.capture, context.calibrations)
    noise, more = noise_model_of(photo, given=options.noise, source=options.noise_source, calibration=calibration)
    return noise, warnings + more


def restore(
    prepared: Prepared, options: DenoiseOptions, context: Context | None = None, progress: Progress = no_progress
) -> Restoration:
    """Denoise a photo that `prepare` returned.

    Raises
    ------
    ModelError: if no student fits or the device is missing.
    """
    photo, noise, warnings = prepared.photo, prepared.noise, prepared.warnings + prepared.noise_warnings
    if options.keeps_everything:
        return Restoration(photo, photo.mosaic, noise, None, None, None, warnings)
    card, choice_warnings = choose_student(load_family(options.model), noise)
    if card is None:
        return _without_defects_only(photo, noise, options, warnings + choice_warnings)
    engine, device_warnings = engine_of(card, noise, options, (context or Context()).engines)
    fine = photo.in_finer_integers(FINE_BITS)
    sound, defects = without_defects(fine, noise, search=options.defects == "auto")
    result = restore_mosaic(
        sound,
        noise,
        card,
        engine,
        options,
        progress,
        floor=fine.levels.floor,
        saturation=fine.levels.site_saturation,
        neutral=photo.color.as_shot_neutral,
    )
    warnings += choice_warnings + device_warnings + defects.remarks()
    restored = fine.with_mosaic(result)
    return Restoration(restored, result, noise, card.name, engine.device, engine.precision, warnings, defects.total)


def engine_of(
    card: ModelCard, noise: NoiseModel, options: DenoiseOptions, engines: Engines
) -> tuple[Engine, tuple[str, ...]]:
    """What runs a student for a photo of that noise, and warnings."""
    return engines.load(
        card, device=options.device, threads=options.threads, precision=options.precision, gain=noise.green_gain
    )


def _without_defects_only(
    photo: RawPhoto, noise: NoiseModel, options: DenoiseOptions, warnings: tuple[str, ...]
) -> Restoration:
    """A photo whose noise is left alone: its defects are still replaced, and levelled rows stay level."""
    sound, defects = without_defects(photo, noise, search=options.defects == "auto")
    warnings += defects.remarks()
    if defects.total or photo.row_offset_dn is not None:
        photo = photo.with_mosaic(sound)
    return Restoration(photo, sound, noise, None, None, None, warnings, defects.total)
