"""bf16 and int8 are used where they are faster, not wherever a CPU has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, cycle, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import make_card

from rawkd import disk_cache
from rawkd.errors import ModelError
from rawkd.inference.card import Int8
from rawkd.inference.cpu import openvino_engine, precisions
from rawkd.inference.cpu.openvino_engine import precision_of


@pytest.fixture(autouse=True)
def forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty disk cache, and no answer from another test."""
    monkeypatch.setattr(disk_cache, "cache_folder", lambda: tmp_path / "cache")
    precisions._times.cache_clear()
    yield
    precisions._times.cache_clear()


Times = list[dict[str, float]]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Times:
    """A CPU with bf16; the times that its next measurements return, in the order of a stack."""
    times: Times = []
    monkeypatch.setattr(precisions, "has_bf16", lambda: True)
    monkeypatch.setattr(precisions, "_measured_times", lambda: (times.pop(), True))
    monkeypatch.setattr(precisions, "int8_is_right", lambda _: True)
    return times


def bf16(ratio: float) -> dict[str, float]:
    """Times in which bf16 takes this part of float32."""
    return {"f32": 2.0, "bf16": 2 * ratio, "int8": 3.0}


@pytest.mark.parametrize(("ratio", "faster"), [(0.2, True), (0.54, True), (0.95, False), (1.9, False)])
def test_the_faster_precision_is_used(measured: Times, ratio: float, faster: bool) -> None:
    measured.append(bf16(ratio))
    assert precisions.bf16_is_faster() is faster


@pytest.mark.parametrize(
    ("times", "than_f32", "than_bf16"),
    [
        ({"f32": 3.0, "bf16": 1.5, "int8": 0.9}, True, True),
        ({"f32": 3.0, "bf16": 1.5, "int8": 1.2}, True, False),
        ({"f32": 1.0, "bf16": 1.9, "int8": 1.2}, False, True),
        ({"f32": 1.0, "bf16": 0.5}, False, False),
        ({"f32": 3.0, "int8": 0.9}, True, True),
    ],
    ids=["VNNI", "AMX", "neither", "wrong sums", "no bf16"],
)
def test_int8_is_compared_with_the_precision_that_it_replaces(
    measured: Times, times: dict[str, float], than_f32: bool, than_bf16: bool
) -> None:
    measured.append(times)
    assert (precisions.int8_is_faster("f32"), precisions.int8_is_faster("bf16")) == (than_f32, than_bf16)


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_a_machine_is_measured_once(measured: Times, ratio: float) -> None:
    measured.extend([bf16(1 / ratio), bf16(ratio)])  # the second measurement would answer the opposite
    first = precisions.bf16_is_faster()
    precisions._times.cache_clear()  # as in another process
    assert precisions.bf16_is_faster() is first
    assert len(measured) == 1


def test_another_machine_of_the_same_cpu_name_is_measured(measured: Times, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two virtual machines may have the same name of a CPU and the same home folder, and AMX in one of them."""
    measured.extend([bf16(2.0), bf16(0.5)])
    assert precisions.bf16_is_faster()
    precisions._times.cache_clear()
    monkeypatch.setattr(precisions.platform, "node", lambda: "another")
    assert not precisions.bf16_is_faster()


def test_without_a_cache_folder_each_process_measures(measured: Times, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "cache_folder", lambda: None)
    measured.extend([bf16(2.0), bf16(0.5)])
    assert precisions.bf16_is_faster()
    precisions._times.cache_clear()
    assert not precisions.bf16_is_faster()


@pytest.mark.parametrize("kept", [b"", b"[1]", b'{"f32": "x"}', b"\xff"])
def test_a_damaged_answer_is_measured_again(measured: Times, monkeypatch: pytest.MonkeyPatch, kept: bytes) -> None:
    measured.append(bf16(0.5))
    monkeypatch.setattr(disk_cache, "load", lambda _: [kept])
    assert precisions.bf16_is_faster()
    assert not measured


class Delayed:
    """Answers at once; the clock says that it took the next of some times."""

    def __init__(self, clock: list[float], seconds: Iterator[float]) -> None:
        self._clock, self._seconds = clock, seconds

    def infer(self, *_: Any, **__: Any) -> None:
        self._clock[0] += next(self._seconds)


@pytest.mark.parametrize(
    ("rounds", "is_sure", "shortest"),
    [
        (chain(repeat(2.0)), True, 2.0),
        (chain([2.0, 9.0, 5.0, 7.0, 2.1, 9.0, 8.0], repeat(2.05)), True, 2.0),
        (cycle([2.0, 5.0, 3.0, 4.0] + [9.0 + k for k in range(60)]), False, 2.0),
    ],
    ids=["idle", "busy at first", "busy"],
)
def test_a_busy_machine_is_measured_longer_and_again(
    monkeypatch: pytest.MonkeyPatch, rounds: Iterator[float], is_sure: bool, shortest: float
) -> None:
    clock = [0.0]
    monkeypatch.setattr(precisions.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(precisions, "has_bf16", lambda: False)
    steady = repeat(1.0)
    monkeypatch.setattr(
        precisions, "_convolution", lambda name: Delayed(clock, steady if name == "int8" else chain([0.0], rounds))
    )
    assert precisions._measured_times() == ({"f32": shortest, "int8": 1.0}, is_sure)


def test_times_of_a_busy_machine_are_not_kept(measured: Times, monkeypatch: pytest.MonkeyPatch) -> None:
    measured.extend([bf16(2.0), bf16(0.5)])
    monkeypatch.setattr(precisions, "_measured_times", lambda: (measured.pop(), False))
    assert precisions.bf16_is_faster()
    precisions._times.cache_clear()  # as in another process
    assert not precisions.bf16_is_faster()


def test_threads_that_ask_at_once_measure_once(measured: Times) -> None:
    measured.extend([bf16(2.0), bf16(2.0), bf16(2.0), bf16(0.5)])
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: precisions.bf16_is_faster(), range(4))) == [True] * 4
    assert len(measured) == 3


def test_bf16_of_a_cpu_without_it_is_not_measured(measured: Times, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precisions, "has_bf16", lambda: False)
    assert not precisions.bf16_is_faster()
    assert not measured


def test_this_cpu_answers() -> None:
    """The real measurement, in all precisions that this CPU has."""
    times, _ = precisions._measured_times()
    assert {"f32", *(["bf16"] if precisions.has_bf16() else [])} <= set(times) <= {"f32", "bf16", "int8"}
    assert all(1e-5 < seconds < 10 for seconds in times.values())


class Request:
    """Answers with `change` of what the timed convolution gives."""

    def __init__(self, request: Any, change: Callable[[Any], Any]) -> None:
        self._request, self._change = request, change

    def infer(self, *arguments: Any, **options: Any) -> list[Any]:
        return [self._change(self._request.infer(*arguments, **options)[0])]


def fails(_: Any) -> Any:
    raise RuntimeError("not implemented")


@pytest.mark.parametrize(
    ("change", "is_right"),
    [(lambda sums: sums, True), (lambda sums: np.clip(sums, -sums.max() / 3, sums.max() / 3), False), (fails, False)],
    ids=["right sums", "saturated sums", "no int8"],
)
def test_int8_is_used_where_its_sums_are_right(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any], is_right: bool
) -> None:
    """A CPU whose answer in int8 is a change of that in float32; int8 is the fastest here."""
    real = precisions._convolution
    monkeypatch.setattr(
        precisions,
        "_convolution",
        lambda precision, bits: Request(real("f32"), change) if precision == "int8" else real(precision, bits),
    )
    monkeypatch.setattr(precisions, "_measured_times", lambda: ({"f32": 3.0, "int8": 0.9}, True))
    precisions.int8_is_right.cache_clear()
    assert precisions.int8_is_faster("f32") is is_right
    precisions.int8_is_right.cache_clear()


def test_a_precision_that_fails_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As int8 and bf16 on a processor for which OpenVINO cannot compute them."""
    real = precisions._convolution
    monkeypatch.setattr(
        precisions, "_convolution", lambda precision: real("f32") if precision == "f32" else Request(real("f32"), fails)
    )
    assert set(precisions._measured_times()[0]) == {"f32"}


def test_bf16_can_be_asked_for_where_it_is_slower(measured: Times, monkeypatch: pytest.MonkeyPatch) -> None:
    measured.append(bf16(2.0))
    card = make_card("tiny", 1e-5, 1e-2, bf16_cost_db={"1e-3": 0.001})
    assert precision_of(card) == "f32"
    monkeypatch.setattr(openvino_engine, "has_bf16", lambda: True)
    assert precision_of(card, "bf16") == "bf16"
    monkeypatch.setattr(openvino_engine, "has_bf16", lambda: False)
    with pytest.raises(ModelError, match="no bf16"):
        precision_of(card, "bf16")
    with pytest.raises(ModelError, match="tiny has no int8"):
        precision_of(card, "int8")


@pytest.mark.parametrize(
    ("bf16_db", "int8_db", "gain", "fast_bf16", "plain"),
    [
        (0.01, 0.01, 1e-3, "int8+bf16", "int8"),
        (0.03, 0.03, 1e-3, "bf16", "int8"),  # together they cost too much
        (0.20, 0.03, 1e-3, "int8", "int8"),
        (0.01, 0.20, 1e-3, "bf16", "f32"),
        (0.20, 0.20, 1e-3, "f32", "f32"),
    ],
)
def test_the_costs_of_the_card_decide(
    measured: Times, bf16_db: float, int8_db: float, gain: float, fast_bf16: str, plain: str
) -> None:
    card = make_card("tiny", 1e-5, 1e-2, bf16_cost_db={"1e-3": bf16_db}, int8=Int8({"mix": "ADw="}, {"1e-3": int8_db}))
    for times, expected in (
        ({"f32": 3.0, "bf16": 1.5, "int8": 0.9}, fast_bf16),
        ({"f32": 3.0, "bf16": 5.0, "int8": 0.9}, plain),
    ):
        precisions._times.cache_clear()
        for kept in (disk_cache.cache_folder() or Path()).glob("**/*"):
            kept.unlink() if kept.is_file() else None
        measured.append(times)
        assert precision_of(card, gain=gain) == expected


@pytest.mark.parametrize(
    ("int8_db", "int7_db", "bits", "expected"),
    [
        (0.01, 0.01, (8, 7), "int8"),
        (0.01, 0.01, (7,), "int7"),
        (0.20, 0.01, (8, 7), "int7"),  # fewer convolutions compute in it
        (0.01, 0.20, (7,), "f32"),
        (0.01, 0.01, (), "f32"),
    ],
    ids=str,
)
def test_kernels_of_7_bits_serve_a_cpu_without_vnni(
    measured: Times,
    monkeypatch: pytest.MonkeyPatch,
    int8_db: float,
    int7_db: float,
    bits: tuple[int, ...],
    expected: str,
) -> None:
    monkeypatch.setattr(precisions, "has_bf16", lambda: False)
    monkeypatch.setattr(precisions, "int8_is_right", lambda asked: asked in bits)
    measured.append({"f32": 3.0, "int8": 1.7})
    roundings = [Int8({"mix": "ADw="}, {"1e-3": cost}) for cost in (int8_db, int7_db)]
    assert precision_of(make_card("tiny", 1e-5, 1e-2, int8=roundings[0], int7=roundings[1])) == expected
