"""Run a benchmark: score and time every method on every case."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rawkd.errors import InputError, ModelError
from rawkd.evaluation.datasets.case import Benchmark, Case, Values, Warned
from rawkd.evaluation.methods import NOISY, Method
from rawkd.evaluation.stored_results import STORED
from rawkd.metrics import BiasCurve
from rawkd.photo import Mosaic

TRUE_NOISE = ", true noise"
"""Added to the name of a method in records made with the true noise parameters (`Case.true_noise`)."""

Listen = Callable[[int, int, str], None]
"""Called with the number of cases done, the total (0 if unknown) and the name of the next case."""


@dataclass(frozen=True)
class Record:
    """Scores of one method on one case, or on one region of it."""

    case: str
    group: str
    method: str
    gain: float
    noise_gain: float
    noise_read_variance: float
    noise_source: str
    megapixels: float
    seconds_per_mp: float
    values: Values


@dataclass
class Results:
    """Results of a run.

    Attributes
    ----------
    rules : of the benchmark. methods : `Method.describe` of each. records : in order. curves : bias by level.
    warnings : one sentence each.
    """

    benchmark: str
    rules: dict[str, str]
    methods: list[dict[str, object]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    curves: dict[str, BiasCurve] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def run(
    benchmark: Benchmark, methods: Sequence[Method], listen: Listen | None = None, limit: int | None = None
) -> Results:
    """Score methods on a benchmark.

    Parameters
    ----------
    limit : number of cases after which to stop; the rules then say so.

    Raises
    ------
    RawkdError: if a case cannot be read, restored or scored.
    """
    results = Results(benchmark.name, dict(benchmark.rules))
    warned = Warned()
    done = 0
    for case in benchmark.cases():
        if listen:
            listen(done, min(benchmark.total, limit or benchmark.total), case.name)
        warned.add(case.warnings)
        for method in methods:
            _score(benchmark, method, case, results, warned, method.name)
            if case.true_noise is not None and method.name != NOISY and not method.name.startswith(STORED):
                known = replace(case, noise=case.true_noise, true_noise=None)
                _score(benchmark, method, known, results, warned, f"{method.name}{TRUE_NOISE}")
        done += 1
        if done == limit:
            break
    if not done:
        raise InputError(f"{benchmark.name}: there is no case to score: check the folder")
    if done < benchmark.total:
        results.rules["limit"] = f"only the first {done} of {benchmark.total} cases"
    results.methods = [method.describe() for method in methods]
    results.warnings = warned.lines()
    return results


def _score(benchmark: Benchmark, method: Method, case: Case, results: Results, warned: Warned, name: str) -> None:
    """One method on one case; its records have the name `name`."""
    warned.add(tuple(f"{method.name}: {text}" for text in method.prepare(case)))
    start = time.perf_counter()
    restored = method.restore(case)
    seconds = time.perf_counter() - start
    _check(method, case, restored)
    megapixels = case.noisy.data.size / 1e6
    for score in benchmark.score(case, name, restored):
        record = Record(
            case=score.name,
            group=case.group,
            method=name,
            gain=case.gain,
            noise_gain=case.noise.green_gain,
            noise_read_variance=case.noise.green_read_variance,
            noise_source=case.noise.source,
            megapixels=megapixels,
            seconds_per_mp=seconds / megapixels,
            values=score.values,
        )
        results.records.append(record)
    if case.reference is not None:
        results.curves.setdefault(name, BiasCurve()).add(restored.data, case.reference.data)


def _check(method: Method, case: Case, restored: Mosaic) -> None:
    """Refuse a result that cannot be scored."""
    found, expected = (f"a {one.pattern.name} mosaic of {one.data.shape}" for one in (restored, case.noisy))
    if found != expected:
        raise ModelError(f"{case.name}: {method.name} returned {found}, expected {expected}. Export the model again.")
    if not np.isfinite(restored.data).all():
        raise ModelError(f"{case.name}: {method.name} returned values that are not finite. Export the model again.")
