"""One photo, top to bottom: the story of a denoise, each line a call whose name is the step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rawkd.blend import blend
from rawkd.files.opcodes import counts_stored_numbers, without_marks
from rawkd.inference.card import ModelCard, choose_student, load_family
from rawkd.inference.engine import Engine, Engines
from rawkd.inference.ensemble import self_ensemble
from rawkd.inference.tiling import denoise_tiled
from rawkd.local_mean import keep_local_mean
from rawkd.options import DenoiseOptions
from rawkd.photo import DoubleArray, FloatArray, Mosaic, RawPhoto
from rawkd.sensor.bayer import unify_bayer
from rawkd.sensor.choose_noise import noise_model_of
from rawkd.sensor.defects import with_known_defects, without_defects
from rawkd.sensor.ksigma import KSigma
from rawkd.sensor.noise import NoiseModel
from rawkd.sensor.profile_folder import installed_profile, known_defects
from rawkd.sensor.rows import level_rows

Progress = Callable[[float], None]
"""Called with the part of the work that is done, 0..1."""

FINE_BITS = 14
"""Sources of fewer bits are written in integers of this many, so that shadows are not posterised (our choice)."""


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


def no_progress(_part: float) -> None:
    """Tell nobody."""


def denoise(photo: RawPhoto, options: DenoiseOptions | None = None, progress: Progress = no_progress) -> Restoration:
    """Restore the mosaic of a photo; everything else about it is kept.

    Sources of fewer than 14 bits come back in finer integers, their levels scaled with them, unless nothing is removed
    or an opcode that the copy keeps counts the stored numbers.

    Raises
    ------
    NoiseError: if no noise parameters can be found. ModelError: if no student fits or the device is missing.
    """
    options = options or DenoiseOptions()
    prepared, told = prepare(photo, options)
    noise, warnings = noise_of(prepared, options)
    return restore(prepared, noise, options, progress, told + warnings)


def prepare(photo: RawPhoto, options: DenoiseOptions) -> tuple[RawPhoto, tuple[str, ...]]:
    """The whole photo with its rows level where that is asked for, its known defects marked, and what is remarkable."""
    if options.keeps_everything:
        return photo, ()
    level, warnings = level_rows(photo, remove=options.rows)
    return with_known_defects(level, known_defects(photo.capture, options.calibration, options.cameras)), warnings


def noise_of(photo: RawPhoto, options: DenoiseOptions) -> tuple[NoiseModel, tuple[str, ...]]:
    """Noise parameters of the photo as the options ask for them, and what was remarkable about them.

    Where no calibration file is named, one that the user has installed for the photo's camera serves.
    """
    calibration = options.calibration
    warnings: tuple[str, ...] = ()
    if calibration is None and options.noise is None and options.noise_source in ("auto", "calibration"):
        calibration, warnings = installed_profile(photo.capture, options.cameras)
    noise, told = noise_model_of(photo, given=options.noise, source=options.noise_source, calibration=calibration)
    return noise, warnings + told


def restore(
    photo: RawPhoto,
    noise: NoiseModel,
    options: DenoiseOptions,
    progress: Progress = no_progress,
    warnings: tuple[str, ...] = (),
    *,
    engines: Engines | None = None,
) -> Restoration:
    """`denoise` for a photo whose noise is known.

    Parameters
    ----------
    engines : those of the photos before this one, to spare loading them again.
    """
    if options.keeps_everything:
        return Restoration(photo, photo.mosaic, noise, None, None, None, warnings)
    card, choice_warnings = choose_student(load_family(options.model), noise)
    if card is None:
        return _mended(photo, noise, options, warnings + choice_warnings)
    engine, device_warnings = engine_of(card, noise, options, engines or Engines())
    fine = photo if counts_stored_numbers(photo) else photo.in_finer_integers(FINE_BITS)
    sound, defects = without_defects(fine, noise, search=options.defects == "auto")
    result = restore_mosaic(
        sound,
        noise,
        card,
        engine,
        options,
        progress,
        floor=fine.levels.floor,
        saturation=fine.levels.saturation,
        neutral=photo.color.as_shot_neutral,
    )
    told = warnings + choice_warnings + device_warnings + defects.remarks()
    restored = without_marks(fine.with_mosaic(result))
    return Restoration(restored, result, noise, card.name, engine.device, engine.precision, told, defects.total)


def engine_of(
    card: ModelCard, noise: NoiseModel, options: DenoiseOptions, engines: Engines
) -> tuple[Engine, tuple[str, ...]]:
    """What runs a student for a photo of that noise, and warnings."""
    return engines.load(
        card, device=options.device, threads=options.threads, precision=options.precision, gain=noise.green_gain
    )


def _mended(photo: RawPhoto, noise: NoiseModel, options: DenoiseOptions, warnings: tuple[str, ...]) -> Restoration:
    """A photo whose noise is left alone: its defects are replaced all the same, and rows that were levelled stay so."""
    sound, defects = without_defects(photo, noise, search=options.defects == "auto")
    told = warnings + defects.remarks()
    if defects.total or photo.row_offset_dn is not None:
        photo = without_marks(photo.with_mosaic(sound))
    return Restoration(photo, sound, noise, None, None, None, told, defects.total)


def restore_mosaic(
    noisy: Mosaic,
    noise: NoiseModel,
    card: ModelCard,
    engine: Engine,
    options: DenoiseOptions,
    progress: Progress = no_progress,
    *,
    floor: float,
    saturation: float,
    neutral: DoubleArray | None = None,
) -> Mosaic:
    """A mosaic as a student restores it, as much of it as the options ask for.

    Parameters
    ----------
    card, engine : the student and what runs it.
    floor, saturation : signal of the file's smallest integer, and at which the sensor clips.
    neutral : (3,) as-shot neutral, for luma and chroma; None takes the channels as they are.
    """
    unified, unification = unify_bayer(noisy)
    ksigma = KSigma.between(noise, card.anchor)
    rounds = _Rounds(progress, options.ensemble)

    def denoise_once(rggb: FloatArray) -> FloatArray:
        return denoise_tiled(engine, rggb, ksigma, card, rounds.next_round())

    clean = self_ensemble(denoise_once, unified, options.ensemble)
    keep_local_mean(unified, clean, noise, floor=floor, saturation=saturation)
    restored = Mosaic(np.ascontiguousarray(unification.undo(clean)), noisy.pattern)
    return blend(
        noisy,
        restored,
        noise,
        saturation=saturation,
        strength=options.strength,
        luma=options.luma,
        chroma=options.chroma,
        neutral=neutral,
    )


class _Rounds:
    """Makes one rising progress out of the rounds of a self-ensemble."""

    def __init__(self, progress: Progress, num_rounds: int) -> None:
        self._progress = progress
        self._num_rounds = num_rounds
        self._begun = 0

    def next_round(self) -> Callable[[int, int], None]:
        """The progress of the next round, tiles done of tiles in all, as its share of the whole."""
        before = self._begun
        self._begun += 1
        return lambda done, total: self._progress((before + done / total) / self._num_rounds)
