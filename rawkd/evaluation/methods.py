"""Methods that a benchmark scores: the noisy input, a family of students, a classical baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from rawkd.errors import UsageError
from rawkd.evaluation.baselines import BASELINES, Baseline
from rawkd.evaluation.datasets.case import Case
from rawkd.evaluation.stored_results import STORED, StoredResults
from rawkd.inference.card import ModelCard
from rawkd.inference.engines import Engines
from rawkd.inference.students import choose_student, load_family
from rawkd.photo import Kind, Mosaic
from rawkd.restore.context import engine_of
from rawkd.restore.mosaic import restore_mosaic
from rawkd.restore.options import DenoiseOptions

NOISY, BUILT_IN = "noisy", "built-in"


class Method(Protocol):
    """A way to restore mosaics.

    Attributes
    ----------
    name : in tables and reports.
    """

    name: str

    def prepare(self, case: Case) -> tuple[str, ...]:
        """Load what the case needs before the clock starts; returns warnings."""
        ...

    def restore(self, case: Case) -> Mosaic:
        """The restored mosaic, same shape and phase, unclipped."""
        ...

    def describe(self) -> dict[str, object]:
        """Networks, devices and versions as plain values, for JSON."""
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
    """A family of students, each for its gains: the mosaics of `rawkd denoise` at full strength, engines kept.

    The clock of a case holds everything between the mosaics, and no file.
    """

    def __init__(self, name: str, cards: tuple[ModelCard, ...], options: DenoiseOptions) -> None:
        self.name = name
        self._cards = cards
        self._options = options
        self._engines = Engines()
        self._used: dict[str, set[str]] = {}

    def prepare(self, case: Case) -> tuple[str, ...]:
        """Load the student of the case's noise, once."""
        card, warnings = choose_student(self._cards, case.noise)
        if card is None:
            return warnings
        engine, more = engine_of(card, case.noise, self._options, self._engines)
        line, used = f"{engine.device} {engine.precision} {engine.identity}", self._used.setdefault(card.name, set())
        if line in used:
            return warnings
        used.add(line)
        return warnings + more

    def restore(self, case: Case) -> Mosaic:
        """As `rawkd.restore.pipeline` restores a mosaic; rows are not levelled, defects not replaced."""
        card, _ = choose_student(self._cards, case.noise)
        if card is None:
            return case.noisy
        return restore_mosaic(
            case.noisy,
            case.noise,
            card,
            engine_of(card, case.noise, self._options, self._engines)[0],
            self._options,
            floor=case.floor,
            saturation=case.saturation,
        )

    def describe(self) -> dict[str, object]:
        """Students, engines, ensemble."""
        return {
            "name": self.name,
            "kind": "students",
            "students": [card.name for card in self._cards],
            "ensemble": self._options.ensemble,
            "engines": {name: "; ".join(sorted(used)) for name, used in self._used.items()},
        }


def method_named(name: str, options: DenoiseOptions, cfa: Kind = "bayer") -> Method:
    """`noisy`, a baseline (`bm3d`, `wavelet`, `nlm`), `built-in`, or a tier, family, model or folder of models.

    `results:FOLDER` stands for the results of another program (`StoredResults`).

    Parameters
    ----------
    options : device, threads and ensemble of students. cfa : kind of sensor of the cases.

    Raises
    ------
    ModelError: if a model is not found. UsageError: if a baseline's library is not installed. InputError: if there is
        no folder of results.
    """
    if name == NOISY:
        return Noisy()
    if name.startswith(STORED):
        return StoredResults(Path(name.removeprefix(STORED)))
    if name in BASELINES:
        return Baseline(name)
    cards = load_family(None if name == BUILT_IN else name, cfa)
    shown = Path(name).resolve().name if Path(name).is_dir() else name
    return Students(shown, cards, options)


def methods_named(names: tuple[str, ...], options: DenoiseOptions, cfa: Kind = "bayer") -> list[Method]:
    """The methods of a run; the noisy input always comes first.

    Parameters
    ----------
    cfa : kind of sensor of the cases.

    Raises
    ------
    UsageError: if two methods would have one name. Otherwise as `method_named`.
    """
    methods: list[Method] = [Noisy(), *(method_named(name, options, cfa) for name in names if name != NOISY)]
    shown = [method.name for method in methods]
    if len(set(shown)) != len(shown):
        raise UsageError(f"two methods of one name ({', '.join(shown)}): name each once, and folders differently")
    return methods
