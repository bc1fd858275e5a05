"""A training step computes in bf16 where that is faster, else in float32."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")

from rawkd.training.run import precision  # noqa: E402
from rawkd.training.run.muon import orthogonal  # noqa: E402


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


def test_this_cpu_answers() -> None:
    assert precision.faster_dtype("cpu") in (torch.bfloat16, torch.float32)


def test_steps_of_muon_are_nearer_to_equal_in_float32() -> None:
    """In both formats the singular values are those of the quintic iteration, 0.7 to 1.2, but for rounding."""
    matrices = torch.randn(2, 48, 96, generator=torch.Generator().manual_seed(3))
    exact, rounded = (orthogonal(matrices, dtype) for dtype in (torch.float32, torch.bfloat16))
    values = torch.linalg.svdvals(exact)
    assert 0.68 < values.min() < values.max() < 1.2
    double = orthogonal(matrices.double(), torch.float64)
    assert (exact - double).norm() < 1e-4 * double.norm() < (rounded - double).norm()
