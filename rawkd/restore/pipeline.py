"""Denoise one photo from start to end; each step is one call."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rawkd.errors import NoiseError
from rawkd.inference.engine import Engine
from rawkd.inference.students import tier_warnings
from rawkd.photo import Mosaic, RawPhoto, Rect
from rawkd.restore.context import Context, engine_of, student_of
from rawkd.restore.installed_calibration import installed_profile, known_defects
from rawkd.restore.mosaic import Progress, no_progress, restore_mosaic
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.region import part_with_context
from rawkd.sensor.choose_noise import noise_model_of
from rawkd.sensor.defects import DefectMap, with_known_defects, without_defects
from rawkd.sensor.estimate_warnings import if_nothing_is_removed
from rawkd.sensor.noise import UNKNOWN_NOISE, NoiseModel
from rawkd.sensor.rows import level_rows

FINE_BITS = 14
"""Photos with fewer bits are written with this many, so that shadows are not posterised (our choice)."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A photo that is ready to be restored.

    Attributes
    ----------
    photo : the photo with its row offsets removed if asked for, and with its known defects marked.
    noise : the noise to remove.
    warnings, noise_warnings : one sentence each; `noise_warnings` are about how the noise was found.
    """

    photo: RawPhoto
    noise: NoiseModel
    warnings: tuple[str, ...] = ()
    noise_warnings: tuple[str, ...] = ()

    def region(self, rect: Rect, options: DenoiseOptions) -> Prepared:
        """Cut to a region of the upright picture, with all pixels that the region depends on (`restore.region`).

        Raises
        ------
        UsageError: if the region extends beyond the picture.
        """
        return replace(self, photo=part_with_context(self.photo, rect, options))


@dataclass(frozen=True, eq=False)
class Restoration:
    """A denoised photo and what was done to it.

    Attributes
    ----------
    photo : the same photo with restored pixels. mosaic : its active area before rounding to integers.
    options : what it was restored with. noise : the noise that was removed.
    student : name of the network; None if no network ran. device, precision : where and how it ran, or None.
    warnings : one sentence each. defects : number of defective pixels that were replaced.
    rows : whether row offsets were removed.
    weights_sha256 : identity of the network's weights (`ModelCard.weights_sha256`), or None.
    """

    photo: RawPhoto
    mosaic: Mosaic
    options: DenoiseOptions
    noise: NoiseModel
    student: str | None
    device: str | None
    precision: str | None
    warnings: tuple[str, ...] = ()
    defects: int = 0
    rows: bool = False
    weights_sha256: str | None = None


def denoise(
    photo: RawPhoto,
    options: DenoiseOptions | None = None,
    progress: Progress = no_progress,
    *,
    context: Context | None = None,
    noise: NoiseModel | None = None,
) -> Restoration:
    """Denoise the mosaic of a photo and keep everything else.

    A photo with fewer than 14 bits is returned with finer integers and scaled levels, unless nothing is removed or its
    scale is fixed (`RawPhoto.scale_is_fixed`).

    Parameters
    ----------
    noise : as for `prepare`.

    Raises
    ------
    NoiseError: if no noise parameters can be found. ModelError: if no student fits or the device is missing.
    """
    options, context = options or DenoiseOptions(), context or Context()
    return restore(prepare(photo, options, context, noise), options, context, progress)


def prepare(
    photo: RawPhoto,
    options: DenoiseOptions,
    context: Context | None = None,
    noise: NoiseModel | None = None,
    defects: tuple[DefectMap, ...] = (),
) -> Prepared:
    """Remove row offsets if asked for, mark the known defects, and find the noise.

    Parameters
    ----------
    photo : the whole photo, even if only a region of it will be restored (`Prepared.region`).
    noise : the noise if it is known already, for example from the photo's series; None finds it as the options say.
    defects : maps of more known defects, such as those that other photos of the camera show.

    Raises
    ------
    NoiseError: if no noise parameters can be found. If nothing is to be removed, only a named calibration file that
        fails raises it.
    """
    context = context or Context()
    warnings = photo.warnings
    if not options.keeps_everything:
        photo, row_warnings = level_rows(photo, remove=options.rows)
        maps = known_defects(photo.capture, options.calibration, context.calibrations)
        photo = with_known_defects(photo, (*maps, *defects))
        warnings += () if photo.was_denoised else row_warnings
        if photo.pattern.kind == "mono" and options.chroma != 1:
            warnings += ("--chroma changed nothing: a monochrome photo has no colour noise",)
    if noise is not None:
        return Prepared(photo, noise.for_cfa(photo.pattern), warnings)
    try:
        noise, noise_warnings = _noise_of(photo, options, context)
    except NoiseError:
        if options.calibration is not None or not options.keeps_everything:
            raise
        noise, noise_warnings = UNKNOWN_NOISE, ()
    # a photo that was denoised has a warning of its own; how well its noise can be measured does not matter then
    return Prepared(photo, noise, warnings, () if photo.was_denoised else noise_warnings)


def _noise_of(photo: RawPhoto, options: DenoiseOptions, context: Context) -> tuple[NoiseModel, tuple[str, ...]]:
    """Return the noise parameters that the options ask for, and warnings.

    If the options name no calibration file, the one installed for the photo's camera is used.
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
    photo, noise, warnings = prepared.photo, prepared.noise, prepared.warnings
    context = context or Context()
    if options.keeps_everything:
        return Restoration(photo, photo.mosaic, options, noise, None, None, None, warnings)
    card, choice_warnings = student_of(photo, noise, options, context)
    if card is None:
        warnings += if_nothing_is_removed(prepared.noise_warnings) + choice_warnings
        return _without_defects_only(photo, noise, options, warnings)
    warnings += prepared.noise_warnings
    fine = photo.in_finer_integers(FINE_BITS)
    # before the engine is needed, since another thread may still be loading it
    fixed, defects = without_defects(fine, noise, search=options.defects == "auto")
    engine, device_warnings = engine_of(card, noise, options, context.engines)

    def denoised(engine: Engine) -> Mosaic:
        return restore_mosaic(
            fixed,
            noise,
            card,
            engine,
            options,
            progress,
            floor=fine.levels.floor,
            saturation=fine.levels.site_saturation,
            neutral=photo.color.as_shot_neutral,
        )

    result, engine, failures = context.engines.run(
        denoised, engine, card, threads=options.threads, precision=options.precision, gain=noise.green_gain
    )
    warnings += tier_warnings(options.model, card) + choice_warnings + device_warnings + failures + defects.warnings()
    restored = fine.with_mosaic(result)
    return Restoration(
        photo=restored,
        mosaic=result,
        options=options,
        noise=noise,
        student=card.name,
        device=engine.device,
        precision=engine.precision,
        warnings=warnings,
        defects=defects.total,
        rows=photo.row_offset_dn is not None,
        weights_sha256=card.weights_sha256,
    )


def _without_defects_only(
    photo: RawPhoto, noise: NoiseModel, options: DenoiseOptions, warnings: tuple[str, ...]
) -> Restoration:
    """Replace the defects of a photo whose noise is not removed; removed row offsets stay removed."""
    fixed, defects = without_defects(photo, noise, search=options.defects == "auto")
    warnings += defects.warnings()
    rows = photo.row_offset_dn is not None
    if defects.total or rows:
        photo = photo.with_mosaic(fixed)
    return Restoration(photo, fixed, options, noise, None, None, None, warnings, defects.total, rows)
