"""What tests share: the folders of real data, which skip where they are missing, and a running decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_dng import write_dng

from rawkd.files.read.decode import Decoder
from rawkd.files.read.raw import read_raw
from rawkd.photo import RawPhoto

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
BENCH = ROOT.parent / "shared" / "bench"
FAULTS = ROOT.parent / "shared" / "faults"


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Calibrations and self-test records of whoever runs the tests neither help nor hinder them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real raws and photographs; the test is skipped where it is missing."""
    if not DATA.is_dir():
        pytest.skip("needs the raw files of ../shared/data")
    return DATA


@pytest.fixture(scope="session")
def bench() -> Path:
    """The folder of the common measure; the test is skipped where it is missing."""
    if not BENCH.is_dir():
        pytest.skip("needs the measure of ../shared/bench")
    return BENCH


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Of torch: small tensors are slower on two, and suites run beside one another."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home folder, as services and containers may be."""
    pwd = pytest.importorskip("pwd", reason="needs a system whose users are listed in a file")

    def nobody(_: int) -> None:
        raise KeyError("uid not found")

    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """A decoder process that the tests of a module share."""
    with Decoder() as running:
        yield running


@pytest.fixture
def read(tmp_path: Path, decoder: Decoder) -> Callable[..., RawPhoto]:
    """Write a frame as a DNG, with the options of `synthetic_dng.write_dng`, and read it."""

    def reader(frame: np.ndarray, **options: Any) -> RawPhoto:
        return read_raw(write_dng(tmp_path / "made.dng", frame, **options), decoder=decoder)

    return reader
