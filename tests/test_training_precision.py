"""A training step computes in bf16 where that is faster, else in float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tiny_teachers import STUDENT  # noqa: E402

from rawkd.training.losses.terms import build_losses  # noqa: E402
from rawkd.training.run import precision  # noqa: E402
from rawkd.training.run.distributed import Processes  # noqa: E402
from rawkd.training.run.loop import Run, train  # noqa: E402
from rawkd.training.run.muon import orthogonal  # noqa: E402
from rawkd.training.saved.checkpoint import Checkpoint  # noqa: E402
from rawkd.training.strategies.supervised import Supervised  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def supervised(device: Any, _student: Any) -> Supervised:
    return Supervised(build_losses({"charbonnier": 1.0}, None, device))


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    precision.faster_dtype.cache_clear()
    yield
    precision.faster_dtype.cache_clear()


@pytest.mark.parametrize(("bf16_s", "dtype"), [(0.5, torch.bfloat16), (0.95, torch.float32), (1.9, torch.float32)])
def test_the_faster_format_is_taken(monkeypatch: pytest.MonkeyPatch, bf16_s: float, dtype: object) -> None:
    """A clock that moves by `bf16_s` for a convolution in bf16, and by 1 s for one in float32."""
    now = [0.0]

    def conv2d(values: object, *_: object, **__: object) -> None:
        now[0] += bf16_s if values.dtype == torch.bfloat16 else 1.0  # type: ignore[attr-defined]

    monkeypatch.setattr(precision.F, "conv2d", conv2d)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: now[0])
    assert precision.faster_dtype("cpu") == dtype


@pytest.mark.parametrize("device_type", ["cuda", "mps"])
def test_a_gpu_takes_bf16_without_a_measurement(monkeypatch: pytest.MonkeyPatch, device_type: str) -> None:
    monkeypatch.setattr(precision.F, "conv2d", lambda *_, **__: pytest.fail("measured"))
    assert precision.faster_dtype(device_type) == torch.bfloat16


@pytest.mark.parametrize(("first", "second"), [("bf16", "f32"), ("f32", "bf16")])
def test_the_answer_is_stored_and_used_on_resume(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first: str, second: str
) -> None:
    """The second start of a run measures the other format as the faster one."""

    def go(faster: str, told: list[str], **choices: Any) -> Checkpoint:
        monkeypatch.setattr(precision, "faster_dtype", lambda _: precision.PRECISIONS[faster])
        made = Run(tmp_path / "run", threads=1, validate_every=1, **choices)
        return train(STUDENT, 1, (None, None), supervised, made, tell=told.append, warn=told.append)

    told: list[str] = []
    assert go(first, told, minutes=1e-9).precision == first
    state = go(second, told, minutes=1e-9)
    assert (state.step, state.precision) == (2, first)
    assert told == [
        f"steps compute in {first}, the faster one here",
        f"steps compute in {first}, as this run has so far",
    ]
    told.clear()
    asked = go(second, told, minutes=1e-9, precision=second)
    assert (asked.step, asked.precision) == (3, second)
    assert told == [
        f"steps compute in {second}, as asked",
        f"this run computed in {first} so far, so its result is no longer that of an uninterrupted run",
    ]


def test_one_process_that_needs_float32_decides_for_all() -> None:
    class Others(Processes):
        def any(self, here: bool) -> bool:  # noqa: ARG002 -- another one says yes
            return True

    told: list[str] = []
    asked = ("bf16", None, Others(0, 2, torch.device("cpu")), told.append, told.append)
    assert precision.chosen_dtype(*asked) == torch.float32
    assert told == ["steps compute in f32, as another process needs"]


def test_steps_of_muon_are_nearer_to_equal_in_float32() -> None:
    """In both formats the singular values are those of the quintic iteration, 0.7 to 1.2, but for rounding."""
    matrices = torch.randn(2, 48, 96, generator=torch.Generator().manual_seed(3))
    exact, rounded = (orthogonal(matrices, dtype) for dtype in (torch.float32, torch.bfloat16))
    values = torch.linalg.svdvals(exact)
    assert 0.68 < values.min() < values.max() < 1.2
    double = orthogonal(matrices.double(), torch.float64)
    assert (exact - double).norm() < 1e-4 * double.norm() < (rounded - double).norm()
