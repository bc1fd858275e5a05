"""Compiled networks are loaded again where nothing has changed; a bad cache costs time, and never a run or a pixel."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import make_model, unet

from rawkd import disk_cache
from rawkd.inference.card import ModelCard
from rawkd.inference.cpu import openvino_engine
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.cpu.precisions import has_bf16
from rawkd.photo import FloatArray

PLANES = np.random.default_rng(0).random((1, 4, 24, 32)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of compiled networks, which does not exist yet."""
    monkeypatch.setattr(disk_cache, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "compiled"


@pytest.fixture
def card(tmp_path: Path, folder: Path) -> ModelCard:
    card = make_model(tmp_path / "unet", unet)
    for file in folder.iterdir():  # what making the golden output left
        file.unlink()
    return card


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The key of everything that is compiled, not loaded."""
    found: list[str] = []
    original = OpenVINOEngine._newly_compiled

    def noted(engine: OpenVINOEngine, key: str, shape: tuple[int, ...]) -> Any:
        found.append(key)
        return original(engine, key, shape)

    monkeypatch.setattr(OpenVINOEngine, "_newly_compiled", noted)
    return found


def output(card: ModelCard, **options: Any) -> FloatArray:
    return OpenVINOEngine(card, threads=1, **options).run(PLANES)


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_a_later_run_loads_the_same_network(
    precision: str, card: ModelCard, folder: Path, compilations: list[str]
) -> None:
    if precision == "bf16" and not has_bf16():
        pytest.skip("this CPU has no bf16")
    first = output(card, precision=precision)
    again = output(card, precision=precision)
    assert len(compilations) == 1
    assert len(list(folder.iterdir())) == 1
    np.testing.assert_array_equal(again, first)


def test_every_part_of_the_key_counts(
    card: ModelCard, tmp_path: Path, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output(card)
    OpenVINOEngine(card, threads=2).run(PLANES)
    OpenVINOEngine(card, threads=1).run(PLANES[:, :, :16])
    output(make_model(tmp_path / "other", lambda path: unet(path, pooled=True)))
    before = len(compilations)
    monkeypatch.setattr(openvino_engine, "_version", lambda: "another version of rawkd")
    output(card)
    engine = OpenVINOEngine(card, threads=1)
    engine._key[1] = "OpenVINO 1 on another CPU"
    engine.run(PLANES)
    assert len(compilations) == before + 2
    assert len(set(compilations)) == len(compilations)


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def with_a_wrong_bit(data: bytes) -> bytes:
    return data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]


def of_another_key(data: bytes) -> bytes:
    return data.replace(b"OpenVINO", b"openvino", 1)


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        with_a_wrong_bit,
        of_another_key,
        lambda _data: b"",
        lambda _data: b"\xff\xfe\n" * 100,
        lambda _data: b"[]\n",
        lambda _data: b'{"key": 1}\n',
    ],
)
def test_a_damaged_or_foreign_file_is_written_again(
    damage: Any, card: ModelCard, folder: Path, compilations: list[str]
) -> None:
    first = output(card)
    (file,) = folder.iterdir()
    intact = file.read_bytes()
    file.write_bytes(damage(intact))
    assert file.read_bytes() != intact
    np.testing.assert_array_equal(output(card), first)
    assert len(compilations) == 2
    output(card)
    assert len(compilations) == 2, "the file was not written again"


@pytest.mark.parametrize("parts", [[b"no network"], [], [b"a", b"b", b"c"]])
def test_an_intact_file_that_is_no_network_is_passed_over(
    parts: list[bytes], card: ModelCard, compilations: list[str]
) -> None:
    first = output(card)
    disk_cache.keep(compilations[0], parts)
    assert disk_cache.load(compilations[0]) == parts
    np.testing.assert_array_equal(output(card), first)
    assert len(compilations) == 2


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_read_only_disk_costs_only_time(
    error: int, card: ModelCard, folder: Path, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, data: bytes) -> int:
        path.touch()
        with path.open("wb") as stream:
            stream.write(data[:100])
        raise OSError(error, os.strerror(error))

    first = output(card)
    for file in folder.iterdir():
        file.unlink()
    monkeypatch.setattr(Path, "write_bytes", refuse)
    np.testing.assert_array_equal(output(card), first)
    assert len(compilations) == 2
    assert list(folder.iterdir()) == [], "a part of a file was left"


def test_a_file_in_the_place_of_the_folder_costs_only_time(card: ModelCard, folder: Path) -> None:
    first = output(card)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    folder.write_bytes(b"")
    np.testing.assert_array_equal(output(card), first)


def test_without_a_home_folder_nothing_is_kept(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "cache_folder", lambda: None)
    np.testing.assert_array_equal(output(card), output(card))


def test_an_interrupt_while_writing_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: Path, _target: Path) -> None:
        assert path.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        disk_cache.keep("key", [b"part"])
    assert list(folder.iterdir()) == []


def test_the_last_used_files_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = bytes(1000)
    disk_cache.keep("0", [part])
    (file,) = folder.iterdir()
    monkeypatch.setattr(disk_cache, "LIMIT_BYTES", 5 * file.stat().st_size)  # all keys have one digit
    for number in range(1, 8):
        assert disk_cache.load("0") == [part]  # used, so it stays
        disk_cache.keep(str(number), [part])
        for age, file in enumerate(sorted(folder.iterdir(), key=lambda file: -file.stat().st_mtime)):
            os.utime(file, (1e9 - age, 1e9 - age))
    assert [disk_cache.load(str(number)) is not None for number in range(8)] == [True, *[False] * 3, *[True] * 4]
    disk_cache.keep("8", [bytes(3 * len(part))])
    assert sum(file.stat().st_size for file in folder.iterdir()) <= disk_cache.LIMIT_BYTES
    assert disk_cache.load("8") is not None


def test_what_is_larger_than_the_limit_drives_out_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_cache.keep("small", [b"part"])
    monkeypatch.setattr(disk_cache, "LIMIT_BYTES", 1000)
    disk_cache.keep("large", [bytes(1001)])
    assert disk_cache.load("small") == [b"part"]
    assert disk_cache.load("large") is None


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs the owner of a file, which Windows tells in another way")
def test_only_the_user_reads_and_writes_the_files(
    card: ModelCard, folder: Path, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.rmdir()
    first = output(card)
    assert folder.stat().st_mode & 0o777 == 0o700
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    np.testing.assert_array_equal(output(card), first)
    assert len(compilations) == 2, "the file of another user was loaded"
