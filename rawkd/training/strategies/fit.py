"""Whether a teacher fits a student: kind of input, sensor, and range of noise."""

from __future__ import annotations

import math

from rawkd.errors import ModelError
from rawkd.inference.card import PICTURES
from rawkd.training.data.synthesize import SAME_NOISE, NoiseShare
from rawkd.training.saved.trained import TrainedCard


def refuse_other_input(card: TrainedCard, student_input: str, student_cfa: str) -> None:
    """Raise ModelError if teacher and student take different kinds of pictures, or mosaics of different sensors.

    Parameters
    ----------
    student_input : planes | grey | rgb. A "planes+variance" teacher fits a "planes" student.
    student_cfa : bayer | xtrans | mono.
    """
    if card.cfa != student_cfa:
        raise ModelError(
            f"the teacher {card.name} is for {card.cfa} sensors and the student for {student_cfa}. Choose another one."
        )
    if card.input.removesuffix("+variance") != student_input:
        raise ModelError(
            f"the teacher {card.name} takes {card.input} and the student {student_input}. Choose another teacher."
        )


def refuse_other_noise(card: TrainedCard, low: float, high: float, noise: NoiseShare = SAME_NOISE) -> None:
    """Raise ModelError if the teacher is not for all noise that the student will be used for.

    Parameters
    ----------
    low, high : gains (or sigmas) of the student's subrange. noise : fraction of the student's that the teacher gets.
    """
    if misfit := _misfit(card, low, high, noise):
        raise ModelError(
            f"{misfit[0]}, the student needs {misfit[1]}. Choose another teacher, subrange or noise ratio."
        )


def beyond_its_range(card: TrainedCard, low: float, high: float, noise: NoiseShare = SAME_NOISE) -> str | None:
    """Return a warning if the teacher is not for all noise that the student is trained on, else None.

    Parameters
    ----------
    low, high : as `Recipe.training_range`. noise : as in `refuse_other_noise`.
    """
    misfit = _misfit(card, low, high, noise)
    return misfit and f"{misfit[0]}, and the student is trained on {misfit[1]}: what it teaches there may be worse"


def _misfit(card: TrainedCard, low: float, high: float, noise: NoiseShare) -> tuple[str, str] | None:
    """Return the noise that the teacher is for, and the noise that it gets for a student's; None if it fits."""
    of_pictures, own = card.input in PICTURES, card.subrange
    share = math.sqrt(noise.read_variance) if of_pictures else noise.gain
    if own.covers(low * share, high * share):
        return None
    what = "sigma" if of_pictures else "gains"
    given = f"{low * share:.4g} to {high * share:.4g}"
    return f"the teacher {card.name} is for {what} {own.low:.4g} to {own.high:.4g}", given
