"""bf16 is used where it is faster, not wherever a CPU has it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tiny_models import make_card

from rawkd import disk_cache
from rawkd.errors import ModelError
from rawkd.inference.cpu import bf16, openvino_engine
from rawkd.inference.cpu.openvino_engine import precision_of


@pytest.fixture(autouse=True)
def forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty disk cache, and no answer from another test."""
    monkeypatch.setattr(disk_cache, "cache_folder", lambda: tmp_path / "cache")
    bf16._ratio.cache_clear()
    yield
    bf16._ratio.cache_clear()


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A CPU with bf16; the ratios that its next measurements return, in the order of a stack."""
    ratios: list[float] = []
    monkeypatch.setattr(bf16, "has_bf16", lambda: True)
    monkeypatch.setattr(bf16, "_measured_ratio", ratios.pop)
    return ratios


@pytest.mark.parametrize(("ratio", "faster"), [(0.2, True), (0.54, True), (0.95, False), (1.9, False)])
def test_the_faster_precision_is_used(measured: list[float], ratio: float, faster: bool) -> None:
    measured.append(ratio)
    assert bf16.bf16_is_faster() is faster


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_a_machine_is_measured_once(measured: list[float], ratio: float) -> None:
    measured.extend([1 / ratio, ratio])  # the second measurement would answer the opposite
    first = bf16.bf16_is_faster()
    bf16._ratio.cache_clear()  # as in another process
    assert bf16.bf16_is_faster() is first
    assert len(measured) == 1


def test_another_machine_of_the_same_cpu_name_is_measured(
    measured: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two virtual machines may have the same name of a CPU and the same home folder, and AMX in one of them."""
    measured.extend([2.0, 0.5])
    assert bf16.bf16_is_faster()
    bf16._ratio.cache_clear()
    monkeypatch.setattr(bf16.platform, "node", lambda: "another")
    assert not bf16.bf16_is_faster()


def test_without_a_cache_folder_each_process_measures(measured: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "cache_folder", lambda: None)
    measured.extend([2.0, 0.5])
    assert bf16.bf16_is_faster()
    bf16._ratio.cache_clear()
    assert not bf16.bf16_is_faster()


def test_threads_that_ask_at_once_measure_once(measured: list[float]) -> None:
    measured.extend([2.0, 2.0, 2.0, 0.5])
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: bf16.bf16_is_faster(), range(4))) == [True] * 4
    assert len(measured) == 3


def test_a_cpu_without_bf16_is_not_measured(measured: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bf16, "has_bf16", lambda: False)
    assert not bf16.bf16_is_faster()
    assert not measured


def test_this_cpu_answers() -> None:
    """The real measurement, in both precisions."""
    if not bf16.has_bf16():
        pytest.skip("this CPU has no bf16")
    assert 0.01 < bf16._measured_ratio() < 100


def test_bf16_can_be_asked_for_where_it_is_slower(measured: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    measured.append(2.0)
    card = make_card("tiny", 1e-5, 1e-2, bf16_cost_db={"1e-3": 0.001})
    assert precision_of(card) == "f32"
    monkeypatch.setattr(openvino_engine, "has_bf16", lambda: True)
    assert precision_of(card, "bf16") == "bf16"
    monkeypatch.setattr(openvino_engine, "has_bf16", lambda: False)
    with pytest.raises(ModelError, match="no bf16"):
        precision_of(card, "bf16")
