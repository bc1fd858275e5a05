"""What is run over a benchmark: the noisy input, a family of students, a classical baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from rawkd.blend import blend
from rawkd.errors import UsageError
from rawkd.evaluation.baselines import BASELINES, Baseline
from rawkd.evaluation.case import Case
from rawkd.inference.card import ModelCard, choose_student, load_family
from rawkd.inference.engine import Engine, load_engine
from rawkd.inference.ensemble import self_ensemble
from rawkd.inference.tiling import denoise_tiled
from rawkd.photo import FloatArray, Mosaic
from rawkd.sensor.bayer import SYMMETRIES, unify_bayer
from rawkd.sensor.ksigma import KSigma

NOISY = "noisy"


class Method(Protocol):
    """Something that restores mosaics.

    Attributes
    ----------
    name : how it is called in every output.
    """

    name: str

    def prepare(self, case: Case) -> tuple[str, ...]:
        """Load what the case needs, outside of the clock; warnings."""
        ...

    def restore(self, case: Case) -> Mosaic:
        """The restored mosaic, same shape and phase, unclipped."""
        ...

    def describe(self) -> dict[str, object]:
        """What was run, in plain values: networks, devices, versions."""
        ...


class Noisy:
    """The input as it is: what every other method must beat."""

    name = NOISY

    def prepare(self, case: Case) -> tuple[str, ...]:  # noqa: ARG002
        """Nothing to load."""
        return ()

    def restore(self, case: Case) -> Mosaic:
        """The noisy mosaic itself."""
        return case.noisy

    def describe(self) -> dict[str, object]:
        """Nothing but the name."""
        return {"name": self.name, "kind": "input"}


class Students:
    """A family of students, each for its gains: what `rawkd denoise` does at full strength, engines kept.

    The clock of a case holds unification, k-sigma, tiles, self-ensemble and the blend at highlights, and no file.
    """

    def __init__(
        self,
        name: str,
        cards: tuple[ModelCard, ...],
        *,
        device: str = "auto",
        threads: int | None = None,
        ensemble: int = 1,
    ) -> None:
        if ensemble not in SYMMETRIES:
            raise UsageError(f"an ensemble of {ensemble} is none of 1, 2, 4, 8")
        self.name = name
        self._cards = cards
        self._device = device
        self._threads = threads
        self._ensemble = ensemble
        self._engines: dict[str, Engine] = {}

    def prepare(self, case: Case) -> tuple[str, ...]:
        """Load the student of the case's noise, once."""
        card, warnings = choose_student(self._cards, case.noise)
        if card.name in self._engines:
            return warnings
        self._engines[card.name], more = load_engine(card, device=self._device, threads=self._threads)
        return warnings + more

    def restore(self, case: Case) -> Mosaic:
        """As `rawkd.pipeline.restore` at full strength."""
        card, _ = choose_student(self._cards, case.noise)
        engine = self._engines[card.name]
        unified, unification = unify_bayer(case.noisy)
        ksigma = KSigma.between(case.noise, card.anchor)

        def denoise_once(rggb: FloatArray) -> FloatArray:
            return denoise_tiled(engine, rggb, ksigma, card)

        clean = self_ensemble(denoise_once, unified, self._ensemble)
        restored = Mosaic(np.ascontiguousarray(unification.undo(clean)), case.noisy.pattern)
        return blend(case.noisy, restored, case.noise, saturation=case.saturation)

    def describe(self) -> dict[str, object]:
        """Students, engines, ensemble."""
        return {
            "name": self.name,
            "kind": "students",
            "students": [card.name for card in self._cards],
            "ensemble": self._ensemble,
            "engines": {
                name: f"{engine.device} {engine.precision} {engine.identity}" for name, engine in self._engines.items()
            },
        }


def method_named(name: str, *, device: str = "auto", threads: int | None = None, ensemble: int = 1) -> Method:
    """`noisy`, a baseline (`bm3d`, `wavelet`, `nlm`), `built-in`, or a family, model or folder of models.

    Raises
    ------
    ModelError: if a model is not found. UsageError: if a baseline's library is not installed.
    """
    if name == NOISY:
        return Noisy()
    if name in BASELINES:
        return Baseline(name)
    cards = load_family(None if name == "built-in" else name)
    shown = Path(name).name if Path(name).is_dir() else name
    return Students(shown or name, cards, device=device, threads=threads, ensemble=ensemble)


def methods_named(
    names: tuple[str, ...], *, device: str = "auto", threads: int | None = None, ensemble: int = 1
) -> list[Method]:
    """The methods of a run, each name once; the noisy input comes first, asked for or not.

    Raises
    ------
    UsageError: if two methods would have one name. Otherwise as `method_named`.
    """
    methods: list[Method] = [Noisy()]
    methods += [
        method_named(name, device=device, threads=threads, ensemble=ensemble) for name in names if name != NOISY
    ]
    shown = [method.name for method in methods]
    if len(set(shown)) != len(shown):
        raise UsageError(
            f"two methods of one name ({', '.join(shown)}): name every method once, folders by other names"
        )
    return methods
