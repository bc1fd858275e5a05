"""What all photos of a run share, and the network of each photo."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rawkd.inference.card import ModelCard
from rawkd.inference.engine import Engine
from rawkd.inference.engines import Engines
from rawkd.inference.students import choose_student, load_family
from rawkd.photo import RawPhoto
from rawkd.restore.options import DenoiseOptions
from rawkd.sensor.noise import NoiseModel


@dataclass(frozen=True)
class Context:
    """What all photos of one run share, whatever their options.

    Attributes
    ----------
    engines : cache of loaded networks.
    calibrations : folder of the installed calibration files; None for the user's own.
    models : folder with copies of the models that the options name, on a worker of a cluster; None to look them up.
    """

    engines: Engines = field(default_factory=Engines)
    calibrations: Path | None = None
    models: Path | None = None


def student_of(
    photo: RawPhoto, noise: NoiseModel, options: DenoiseOptions, context: Context
) -> tuple[ModelCard | None, tuple[str, ...]]:
    """Return the network for a photo with this noise, or None if it needs none, and warnings.

    Raises
    ------
    ModelError: if the models of the options cannot be found or read.
    """
    return choose_student(load_family(context.models or options.model, photo.pattern.kind), noise)


def engine_of(
    card: ModelCard, noise: NoiseModel, options: DenoiseOptions, engines: Engines
) -> tuple[Engine, tuple[str, ...]]:
    """Return the engine that runs a student for a photo with this noise, and warnings."""
    return engines.load(
        card, device=options.device, threads=options.threads, precision=options.precision, gain=noise.green_gain
    )
