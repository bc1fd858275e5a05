"""SIDD, SIDD+ and DND from small files of their formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("h5py", reason="needs h5py")
pytest.importorskip("skimage", reason="needs scikit-image")

from bench_sets import GAIN, Identity, as_cell, blocks, identity_records, make_dnd, plain_psnr, save_v5, save_v73

from rawkd.errors import InputError, OutputError, UsageError
from rawkd.evaluation.datasets.dnd import DND
from rawkd.evaluation.datasets.matlab import open_blocks
from rawkd.evaluation.datasets.sidd import PLUS_PATTERNS, SIDD, VALIDATION_PHONES, read_scenes
from rawkd.evaluation.scoring import run
from rawkd.photo import CFAPattern

NAMES = "ValidationNoisyBlocksRaw", "ValidationGtBlocksRaw"


def scenes_file(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "scenes.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def small_sidd(tmp_path: Path, save: Any, **kind: Any) -> tuple[SIDD, np.ndarray, np.ndarray]:
    noisy, clean = blocks(3, 4)
    paths = tmp_path / "noisy.mat", tmp_path / "gt.mat"
    for path, name, data in zip(paths, NAMES, (noisy, clean), strict=True):
        save(path, name, data, **kind)
    scenes = scenes_file(tmp_path, "0009_001_S6_00800_00350_3200_L", "0021_001_GP_10000_05000_5500_N", "mine GBRG")
    return SIDD(*paths, scenes=scenes), noisy, clean


@pytest.mark.parametrize("cell", [False, True])
@pytest.mark.parametrize("save", [save_v5, save_v73])
def test_identity_on_sidd(tmp_path: Path, save: Any, cell: bool) -> None:
    benchmark, noisy, clean = small_sidd(tmp_path, save, cell=cell)
    records = identity_records(benchmark)
    expected = [plain_psnr(noisy[i, j], clean[i, j]) for i in range(3) for j in range(4)]
    assert [r.values["psnr_db"] for r in records] == pytest.approx(expected, abs=1e-6)
    assert benchmark.total == len(records) == 12
    assert records[5].case == "scene 01 block 01"


def test_sidd_phases_and_noise(tmp_path: Path) -> None:
    benchmark, noisy, _ = small_sidd(tmp_path, save_v73)
    cases = list(benchmark.cases())
    assert [case.noisy.pattern for case in cases[::4]] == [CFAPattern.GRBG, CFAPattern.BGGR, CFAPattern.GBRG]
    assert [case.group for case in cases[::4]] == ["phone S6", "phone GP", "mine"]
    assert len({id(case.noise) for case in cases[:4]}) == 1
    assert cases[0].noise.source == "blind, all blocks of the scene"
    assert "all noisy blocks of a scene" in benchmark.rules["noise"]
    for case in cases[::4]:
        assert case.noise.green_gain == pytest.approx(GAIN, rel=0.5)
    assert np.array_equal(cases[7].noisy.data, noisy[1, 3])


@pytest.mark.parametrize("save", [save_v5, save_v73])
@pytest.mark.parametrize("cell", [False, True])
def test_identity_on_siddplus(tmp_path: Path, save: Any, cell: bool) -> None:
    noisy, clean = (data.reshape(64, 32, 32) for data in blocks(2, 32, 32))
    paths = tmp_path / "noisy.mat", tmp_path / "gt.mat"
    for path, name, data in zip(
        paths, ("siddplus_valid_noisy_raw", "siddplus_valid_gt_raw"), (noisy, clean), strict=True
    ):
        save(path, name, data, cell=cell, axes=1)
    benchmark = SIDD(*paths, plus=True, scenes=scenes_file(tmp_path, "a BGGR", "b RGGB"))
    records = identity_records(benchmark)
    assert [r.values["psnr_db"] for r in records] == pytest.approx(list(map(plain_psnr, noisy, clean)), abs=1e-6)
    assert [case.noisy.pattern.colours for case in benchmark.cases()][31:33] == ["BGGR", "RGGB"]


def test_the_known_phases() -> None:
    assert len(VALIDATION_PHONES) == 40
    assert [VALIDATION_PHONES.count(phone) for phone in ("S6", "GP", "IP", "N6", "G4")] == [8] * 5
    assert len(PLUS_PATTERNS) == 32


def test_the_number_of_scenes_must_be_known(tmp_path: Path) -> None:
    benchmark, _, _ = small_sidd(tmp_path, save_v5)
    unknown = SIDD(tmp_path / "noisy.mat", tmp_path / "gt.mat")
    with pytest.raises(InputError, match="--scenes"):
        next(unknown.cases())
    assert len(list(benchmark.cases())) == 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:2], "Give a matching pair"),
        (lambda data: np.where(np.arange(64) == 5, np.nan, data), "not finite"),
        (lambda data: 255 * data, "ranges from"),
        (lambda data: (255 * data).astype(np.uint8), "not raw data"),
        (lambda data: data[..., 0], "not that of this data set"),
        (lambda data: data[..., :32], "do not match"),
    ],
)
def test_bad_blocks_are_named(tmp_path: Path, change: Any, words: str) -> None:
    benchmark, _, clean = small_sidd(tmp_path, save_v5)
    save_v5(tmp_path / "gt.mat", NAMES[1], change(clean))
    with pytest.raises(InputError, match=words):
        list(benchmark.cases())


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.mat").write_text("no matrix, but long enough to be looked at " * 20)
    (tmp_path / "short.mat").write_bytes(b"\x89HDF\r\n\x1a\n")
    for name in ("text.mat", "short.mat", "none.mat"):
        with pytest.raises(InputError, match=name), open_blocks(tmp_path / name, NAMES, 2):
            pass
    with pytest.raises(UsageError, match="neither"):
        read_scenes(scenes_file(tmp_path, "0001_002_XX_00100"))


def test_a_compression_that_is_not_there_is_named(tmp_path: Path) -> None:
    import h5py

    noisy, _ = blocks(1, 1)
    path = tmp_path / "odd.mat"
    with h5py.File(path, "w") as file:
        space, create = h5py.h5s.create_simple(noisy.shape), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        create.set_chunk(noisy.shape)
        create.set_filter(32999, h5py.h5z.FLAG_OPTIONAL, ())
        dataset = h5py.h5d.create(file.id, NAMES[0].encode(), h5py.h5t.IEEE_F32LE, space, create)
        dataset.write_direct_chunk((0, 0, 0, 0), noisy.tobytes())
    with open_blocks(path, NAMES, 2) as opened, pytest.raises(InputError, match="compression is not supported"):
        opened.block(0, 0)


def test_cells_keep_their_places() -> None:
    data = np.arange(24).reshape(2, 3, 2, 2)
    assert np.array_equal(as_cell(data, 2)[1, 2], data[1, 2])


@pytest.mark.parametrize(
    ("numbers", "pattern"),
    [([[1, 2], [2, 3]], "RGGB"), ([[2, 1], [3, 2]], "GRBG"), ([[2, 3], [1, 2]], "GBRG"), ([[3, 2], [2, 1]], "BGGR")],
)
def test_dnd_submission(tmp_path: Path, numbers: list[list[int]], pattern: str) -> None:
    from scipy.io import loadmat

    data = make_dnd(tmp_path / "set", numbers)
    benchmark = DND(tmp_path / "set", tmp_path / "out")
    cases = list(benchmark.cases())
    assert {case.noisy.pattern.colours for case in cases} == {pattern}
    assert [case.name for case in cases] == ["0001_01", "0001_02", "0002_01", "0002_02"]
    assert [case.noise.green_gain for case in cases] == pytest.approx([GAIN, GAIN, 2 * GAIN, 2 * GAIN])
    assert np.array_equal(cases[1].noisy.data, data[0, 32:64, :64])
    results = run(benchmark, [Identity()])
    assert results.records == []
    written = loadmat(tmp_path / "out" / "identity" / "0002.mat")
    assert written["Idenoised"].shape == (1, 2)
    assert np.array_equal(written["Idenoised"][0, 1], np.clip(data[1, 32:64, :64], 0, 1))
    assert written["israw"].item() == 1
    assert written["eval_version"].item() == "1.0"
    with pytest.raises(OutputError, match="--overwrite"):
        run(DND(tmp_path / "set", tmp_path / "out"), [Identity()])


def test_dnd_that_is_none(tmp_path: Path) -> None:
    make_dnd(tmp_path / "set", [[1, 1], [2, 3]])
    with pytest.raises(InputError, match="not a Bayer phase"):
        next(DND(tmp_path / "set", tmp_path / "out").cases())
    with pytest.raises(InputError, match=r"info\.mat"):
        next(DND(tmp_path, tmp_path / "out").cases())
