"""A batch: every file ends right or is named, nothing is done twice, nothing is lost, whatever comes in between."""

from __future__ import annotations

import csv
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from conftest import ROOT
from small_photos import GAIN, READ_VARIANCE
from small_shoots import left_over, outputs, read_report, write_calibration, write_photo, write_shoot
from tiny_models import blur, make_model

from rawkd import __version__
from rawkd.batch import lock, queue, work
from rawkd.batch.noise import measuring
from rawkd.batch.outcome import Outcome
from rawkd.batch.queue import Batch
from rawkd.batch.settings import BatchOptions, changes, fingerprint, settings_of
from rawkd.batch.store import FileState, LocalStore
from rawkd.batch.task import Selection, Task, find_tasks
from rawkd.batch.url_store import UrlStore
from rawkd.batch.watch import Arrivals, watch
from rawkd.batch.workers import LocalWorkers
from rawkd.cli import main
from rawkd.files.read import decode, decode_child
from rawkd.files.read.identify import Identity
from rawkd.files.read.raw import read_raw
from rawkd.files.write.atomic import atomic_output
from rawkd.files.write.dng import write_dng
from rawkd.inference.card import ModelCard
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.gpu.ways import Way
from rawkd.process import ProcessOptions, process_file
from rawkd.restore.installed_calibration import profile_folder
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import prepare
from rawkd.sensor.noise import NoiseModel

Run = Callable[..., int]


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two students whose border runs through the noise of `write_shoot`."""
    directory = tmp_path_factory.mktemp("models")
    make_model(directory / "tiny-low", blur, subrange=[1e-5, 1.05e-3])
    make_model(directory / "tiny-high", blur, subrange=[1.05e-3, 1e-1])
    return directory


@pytest.fixture
def run(family: Path, tmp_path: Path) -> Run:
    """`rawkd batch` of `in` to `out`, with further words; its exit code."""

    def batch(*words: str, source: Path = tmp_path / "in", target: Path = tmp_path / "out") -> int:
        return main(["batch", str(source), "-o", str(target), "--model", str(family), "--jobs", "2", *words])

    return batch


def statuses(report: dict[str, Any]) -> dict[str, str]:
    return {Path(photo["input"]).name: photo["status"] for photo in report["photos"]}


def test_a_mixed_folder_ends_right(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    good = ["plain.dng", "with space.DNG", "Übergröße ñ.dng", "quo'te\".dng", "deep/er/plain.dng"]
    if sys.platform == "linux":
        good += ["new\nline.dng", os.fsdecode(b"no text \xff.dng")]
    for seed, name in enumerate(good):
        write_photo(folder / name, seed)
    shutil.copy(folder / "plain.dng", folder / "duplicate.dng")
    write_photo(folder / "own.dng", software="rawkd 0.0.1")
    bad = {"empty.cr2": b"", "text.dng": b"no photo", "cut.dng": (folder / "plain.dng").read_bytes()[:3000]}
    bad["jpeg.nef"] = b"\xff\xd8\xff" + bytes(100)
    bad["dump.raw"] = np.arange(640 * 480, dtype=np.uint16).tobytes()
    tifffile.imwrite(folder / "scan.dng", np.full((64, 64), 900, np.uint16), photometric="minisblack")
    bad["scan.dng"] = (folder / "scan.dng").read_bytes()
    for name, data in bad.items():
        (folder / name).write_bytes(data)
    for name in ("notes.txt", "photo.jpg", ".hidden.dng"):
        (folder / name).write_bytes(b"not ours")
    (folder / "folder.dng").mkdir()
    (folder / "gone.dng").symlink_to("nowhere")

    assert run("-r", "--report", str(tmp_path / "report.json")) == 1

    printed = capfd.readouterr()
    expected = {str(Path(name).with_suffix("")) + "-denoised.dng" for name in [*good, "duplicate.dng"]}
    assert set(outputs(tmp_path / "out")) == expected
    assert not left_over(tmp_path / "out")
    report = read_report(tmp_path / "report.json")
    assert report["counts"] == {"done": len(good) + 1, "skipped": 0, "failed": len(bad) + 1, "own output": 1}
    failed = {name for name, status in statuses(report).items() if status == "failed"}
    assert failed == {*bad, "gone.dng"}
    for photo in report["photos"]:
        if photo["status"] == "failed":
            assert Path(photo["input"]).name in photo["error"]["sentence"]
            assert photo["error"]["sentence"] in printed.err
    assert f"{len(good) + 1} denoised, 0 done before, {len(bad) + 1} failed, 1 written by rawkd" in printed.err
    assert "Traceback" not in printed.err
    assert printed.out.count(str(tmp_path / "out")) == len(good) + 1
    assert read_raw(tmp_path / "out" / "deep/er/plain-denoised.dng").frame.shape == (55, 73)


def test_a_batch_writes_what_a_single_call_writes(run: Run, family: Path, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "in" / "a.dng")
    assert run("--per-photo-noise", "--strength", "0.7") == 0
    options = ProcessOptions(DenoiseOptions(strength=0.7, model=family))
    process_file(photo, tmp_path / "single.dng", options)
    assert outputs(tmp_path / "out") == {"a-denoised.dng": (tmp_path / "single.dng").read_bytes()}


def test_neighbours_get_the_same_noise_and_student_in_any_order_of_work(run: Run, tmp_path: Path) -> None:
    write_shoot(tmp_path / "in", 12)
    write_photo(tmp_path / "in" / "other.dng", iso=100)
    write_photo(tmp_path / "in" / "unknown.dng", iso=None)
    reports = []
    for jobs in ("1", "5"):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        assert run("--jobs", jobs, "--report", str(tmp_path / "r.json")) == 0
        reports.append((read_report(tmp_path / "r.json"), outputs(tmp_path / "out")))
    (first, first_outputs), (second, second_outputs) = reports
    assert first_outputs == second_outputs
    assert first["series"] == second["series"]
    assert {series["series"] for series in first["series"]} == {
        "Rawkd One, ISO 1600, 16 bits",
        "Rawkd One, ISO 100, 16 bits",
    }
    shared = {
        (photo["student"], json.dumps(photo["noise"])) for photo in first["photos"] if photo["series"].count("1600")
    }
    assert len(shared) == 1
    assert "mean of 8 photos" in next(iter(shared))[1]
    unknown = next(photo for photo in first["photos"] if photo["input"].endswith("unknown.dng"))
    assert (unknown["series"], unknown["noise"]["source"]) == ("", "profile")

    assert run("--per-photo-noise", "--report", str(tmp_path / "r.json"), target=tmp_path / "own") == 0
    own = read_report(tmp_path / "r.json")
    assert len({photo["noise"]["gain"] for photo in own["photos"]}) == 12
    assert {photo["student"] for photo in own["photos"]} == {"tiny-low", "tiny-high"}
    assert own["series"] == []


def test_warnings_of_the_noise_are_the_series_and_all_others_the_photos(
    run: Run, family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo with pooled noise has the warnings of a single call with that noise; its series those of measuring."""
    photos = write_shoot(tmp_path / "in", 3)
    original = read_raw(photos[1])
    write_dng(
        photos[1], original, preview=None, software="rawkd 0.0.1", noise_profile=(GAIN, READ_VARIANCE), overwrite=True
    )
    monkeypatch.setattr(Identity, "is_own_output", False)  # denoise it again, which is a warning of the photo alone
    assert run("--report", str(tmp_path / "r.json")) == 0
    report = read_report(tmp_path / "r.json")
    options = DenoiseOptions(model=family)
    prepared = [prepare(read_raw(path), options) for path in photos]
    (series,) = report["series"]
    assert series["warnings"] == sorted({warning for one in prepared for warning in one.noise_warnings}) != []
    pooled = NoiseModel(np.array(series["gain"]), np.array(series["read_variance"]), series["source"])
    for path, found in zip(photos, report["photos"], strict=True):
        single = process_file(path, tmp_path / "single.dng", ProcessOptions(options, overwrite=True), noise=pooled)
        assert found["warnings"] == list(single.warnings)
        assert not set(found["warnings"]) & set(series["warnings"])
    assert [any("rawkd wrote this file" in warning for warning in found["warnings"]) for found in report["photos"]] == [
        False, True, False,
    ]  # fmt: skip


def three_cameras(folder: Path) -> None:
    """A camera of two series, one of one, and one whose photos state no ISO."""
    for index in range(3):
        for make, iso in (("A", 100), ("A", 200), ("B", 100), ("C", None)):
            write_photo(folder / f"{make}{iso}-{index}.dng", index, iso=iso, gain=GAIN * (1 + 0.1 * index), make=make)


def test_cameras_that_are_measured_together_or_one_by_one_get_the_same(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    three_cameras(tmp_path / "in")
    series = []
    for number in (100, 1):
        monkeypatch.setattr(measuring, "AT_A_TIME", number)
        monkeypatch.setattr("rawkd.cli.batch.progress.COUNT_S", 0.0 if number == 100 else 60.0)
        assert run("--report", str(tmp_path / "r.json"), target=tmp_path / f"out{number}") == 0
        series.append([{**one, "outputs": ""} for one in read_report(tmp_path / "r.json")["series"]])
        printed = capfd.readouterr().err
        assert ("measuring the noise: 0 of 9 photos" in printed) is (number == 100)
        assert ("measuring the noise: 9 of 9 photos" in printed) is (number == 100)
        assert "3 photos state no ISO or no camera, and got the noise of one photo" in printed
    assert series[0] == series[1]
    assert len(series[0]) == 3
    assert outputs(tmp_path / "out100") == outputs(tmp_path / "out1")


def test_an_interrupt_keeps_the_cameras_that_were_measured(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_cameras(tmp_path / "in")
    measure, save, measured = work.measure, measuring.save_pool, []

    def listed(worker: Any, assignment: Any) -> Any:
        measured.append(assignment.task.name)
        return measure(worker, assignment)

    def interrupted(store: Any, series: Any, *rest: Any) -> None:
        if series.make == "B":
            raise KeyboardInterrupt
        save(store, series, *rest)

    monkeypatch.setattr(measuring, "measure", listed)
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "AT_A_TIME", 1)
        patch.setattr(measuring, "save_pool", interrupted)
        assert run() == 130
    assert len(series_files(tmp_path / "out")) == 2
    assert {name[:1] for name in outputs(tmp_path / "out")} == {"A"}
    measured.clear()
    assert run() == 0
    assert sorted(measured) == ["B100-0.dng", "B100-1.dng", "B100-2.dng"]
    assert run(target=tmp_path / "undisturbed") == 0
    assert outputs(tmp_path / "out") == outputs(tmp_path / "undisturbed")


def test_a_damaged_series_is_measured_again_with_a_warning(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_shoot(tmp_path / "in", 2)
    assert run() == 0
    assert "is damaged" not in capfd.readouterr().err
    (path,) = series_files(tmp_path / "out")
    path.write_bytes(path.read_bytes()[:40])
    write_photo(tmp_path / "in" / "late.dng", 9)
    assert run() == 0
    printed = capfd.readouterr().err
    assert printed.count(f"warning: {path}: the file is damaged, so the noise of Rawkd One, ISO 1600") == 1
    assert run() == 0
    assert "is damaged" not in capfd.readouterr().err


def test_a_csv_has_the_warnings_of_the_series_in_every_row(run: Run, tmp_path: Path) -> None:
    for index in range(3):
        write_photo(tmp_path / "in" / f"{index}.dng", index)
        write_photo(tmp_path / "in" / f"other{index}.dng", index, iso=100)
    assert run("--report", str(tmp_path / "r.json")) == 0
    (pool,) = [path for path in series_files(tmp_path / "out") if '"iso": 1600' in path.read_text()]
    content = json.loads(pool.read_text())
    content["noise"]["warnings"] = ["the profile is too high", "neighbours are correlated"]
    pool.write_text(json.dumps(content))
    shutil.rmtree(tmp_path / "out" / ".rawkd" / "photos")
    assert run("--overwrite", "--report", str(tmp_path / "r.csv")) == 0
    rows = rows_of(tmp_path / "r.csv")
    assert len(rows) == 6
    for row in rows:
        shared = "the profile is too high; neighbours are correlated" in row["warnings"]
        assert shared == ("other" not in row["input"])


def series_files(folder: Path) -> list[Path]:
    return sorted((folder / ".rawkd" / "series").glob("*.json"))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_messages_name_the_folder_of_a_photo(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two memory cards hold photos of one name."""
    monkeypatch.chdir(tmp_path)
    for card in ("one", "two"):
        write_photo(tmp_path / card / "IMG_1.dng")
        (tmp_path / card / "IMG_1.xmp").write_text("broken")
    command = ["batch", "one", "two", "--model", str(family), "-v"]
    assert main(command) == 0
    printed = capfd.readouterr().err
    assert main(command) == 0
    again = capfd.readouterr().err
    for card in ("one", "two"):
        assert f"warning: {card}/IMG_1.dng: IMG_1.xmp contains no XMP" in printed
        assert f" {card}/IMG_1.dng -> {card}/IMG_1-denoised.dng: " in printed
        assert f"{card}/IMG_1.dng: done before" in again


def test_a_photo_that_comes_later_joins_its_series(run: Run, tmp_path: Path) -> None:
    write_shoot(tmp_path / "in", 3)
    assert run("--report", str(tmp_path / "r.json")) == 0
    pooled = read_report(tmp_path / "r.json")["series"]
    write_photo(tmp_path / "in" / "late.dng", 9, gain=5e-3)
    assert run("--report", str(tmp_path / "r.json")) == 0
    report = read_report(tmp_path / "r.json")
    assert report["series"] == pooled
    assert report["counts"]["done"] == 1
    assert len({photo["student"] for photo in report["photos"]}) == 1


def test_the_report_of_a_resumed_run_names_the_pools(run: Run, tmp_path: Path) -> None:
    write_shoot(tmp_path / "in", 3)
    write_photo(tmp_path / "in" / "other.dng", iso=100)
    write_photo(tmp_path / "in" / "unknown.dng", iso=None)
    reports = []
    for _ in range(2):
        assert run("--report", str(tmp_path / "r.json")) == 0
        reports.append(read_report(tmp_path / "r.json"))
    assert reports[1]["counts"]["skipped"] == 5
    assert reports[1]["series"] == reports[0]["series"]
    assert len(reports[1]["series"]) == 2
    write_photo(tmp_path / "in" / "late.dng", 9, iso=100)
    assert run("--report", str(tmp_path / "r.json")) == 0
    assert read_report(tmp_path / "r.json")["series"] == reports[0]["series"]


def test_what_is_done_is_skipped(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photos = write_shoot(tmp_path / "in", 3)
    assert run() == 0
    before = {path: path.stat() for path in (tmp_path / "out").glob("*.dng")}
    os.utime(photos[0])
    assert run("--report", str(tmp_path / "r.csv"), "--threads", "1") == 0
    assert {path: path.stat() for path in (tmp_path / "out").glob("*.dng")} == before
    assert "0 denoised, 3 done before, 0 failed" in capfd.readouterr().err
    with (tmp_path / "r.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["status"] for row in rows] == ["skipped"] * 3
    assert rows[0]["student"]
    assert float(rows[0]["gain"]) > 0


@pytest.mark.parametrize("left", [0, 5000])
def test_an_output_that_lost_its_end_is_not_done(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str], left: int
) -> None:
    """One that became longer was edited by another program, and stays."""
    write_shoot(tmp_path / "in", 2)
    assert run() == 0
    first, second = sorted((tmp_path / "out").glob("*.dng"))
    whole = first.read_bytes()
    first.write_bytes(whole[:left])
    with second.open("ab") as stream:
        stream.write(b"keywords")
    edited = second.read_bytes()
    assert run() == 1
    assert "is shorter than it was written; give --overwrite" in capfd.readouterr().err
    assert run("--overwrite") == 0
    assert first.read_bytes() == whole
    assert second.read_bytes() == edited


def test_another_setting_or_input_is_never_taken_for_done(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    photos = write_shoot(tmp_path / "in", 2)
    assert run() == 0
    before = outputs(tmp_path / "out")
    assert run("--strength", "0.5") == 1
    assert "other settings" in capfd.readouterr().err
    write_photo(photos[0], 77)
    assert run() == 1
    assert "another input" in capfd.readouterr().err
    assert outputs(tmp_path / "out") == before
    assert run("--overwrite") == 0
    after = outputs(tmp_path / "out")
    assert {name for name in after if after[name] != before[name]} == {"00-denoised.dng"}
    stranger = tmp_path / "out" / "02-denoised.dng"
    stranger.write_bytes(b"precious")
    write_photo(tmp_path / "in" / "02.dng", 3)
    assert run() == 1
    assert "no record" in capfd.readouterr().err
    assert stranger.read_bytes() == b"precious"


def test_a_photo_that_changes_while_it_is_denoised_is_not_done(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    photo, other = write_shoot(tmp_path / "in", 1)[0], write_photo(tmp_path / "other.dng", 5)

    def replacing(path: Path, *words: Any, **named: Any) -> Any:
        report = process_file(path, *words, **named)
        shutil.copy(other, path)
        return report

    with monkeypatch.context() as patch:
        patch.setattr(work, "process_file", replacing)
        assert run() == 1
    assert "00.dng: the photo changed while it was denoised. Run the command again." in capfd.readouterr().err
    assert outputs(tmp_path / "out") == {}
    assert not left_over(tmp_path / "out")
    assert run() == 0
    assert photo.read_bytes() == other.read_bytes()
    assert run(source=other, target=tmp_path / "single") == 0
    (written,), (wanted,) = (outputs(tmp_path / name).values() for name in ("out", "single"))
    assert written == wanted


def test_a_photo_at_a_url_that_changes_after_it_was_fetched_is_another_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its copy was denoised, so the output is the older photo's."""
    pytest.importorskip("fsspec")
    photo = write_photo(tmp_path / "in" / "a.dng")
    local = UrlStore.local

    @contextmanager
    def late(store: UrlStore, name: str) -> Iterator[Path]:
        with local(store, name) as copy:
            write_photo(photo, 5)
            yield copy

    command = ["batch", (tmp_path / "in").as_uri(), "-o", str(tmp_path / "out"), "--strength", "0", "--jobs", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(UrlStore, "local", late)
        patch.setattr(work, "look", lambda *_: Identity())  # the first fetch is that of the work
        patch.setattr(queue, "look", work.look)
        assert main(command) == 0
    assert main(command) == 1
    assert "another input" in capfd.readouterr().err


def test_a_full_temporary_folder_is_a_fault_of_one_photo(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Work files for outputs at a URL lie on the disk of the worker, which says nothing of other workers."""
    pytest.importorskip("fsspec")
    write_shoot(tmp_path / "in", 3)
    monkeypatch.setattr("rawkd.process.write_dng", refusing_disk(errno.ENOSPC, []))
    command = ["batch", str(tmp_path / "in"), "-o", (tmp_path / "out").as_uri(), "--model", str(family), "--jobs", "1"]
    assert main(command) == 1
    printed = capfd.readouterr().err
    assert "3 failed" in printed
    assert "left" not in printed


def test_a_photo_of_another_place_with_the_same_name_size_and_time_is_not_done(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two memory cards. An archive that was moved holds the same photos."""
    cards = [tmp_path / "card1", tmp_path / "card2"]
    photos = [write_photo(card / "IMG_1.dng", seed) for seed, card in enumerate(cards)]
    for photo in photos:
        os.utime(photo, ns=(0, 10**18))
    assert len({photo.stat().st_size for photo in photos}) == 1
    assert run(source=cards[0]) == 0
    before = outputs(tmp_path / "out")
    assert run(source=cards[1]) == 1
    assert "was made of another input" in capfd.readouterr().err
    assert outputs(tmp_path / "out") == before
    assert run(source=cards[0].rename(tmp_path / "moved")) == 0
    assert "1 done before" in capfd.readouterr().err
    assert run("--overwrite", source=cards[1]) == 0
    assert outputs(tmp_path / "out") != before


@pytest.mark.parametrize(
    ("words", "idle", "twin"),
    [
        ("", "--jpeg-quality 50 --exposure 1 --demosaic bilinear", "--strength 0.5"),
        ("--format png", "--jpeg-quality 50", "--exposure 1"),
        ("--linear", "--exposure 1", "--demosaic bilinear"),
        ("--strength 0", "--ensemble 2 --luma 0 --rows --device cpu", "--strength 0.1"),
        ("--luma 0 --chroma 0", "--strength 0.5 --defects map", "--luma 0.1"),
        ("--noise 1e-3,1e-6", "--noise-source iso --per-photo-noise", "--noise 2e-3,1e-6"),
    ],
)
def test_an_option_that_changes_nothing_makes_no_photo_new(
    words: str, idle: str, twin: str, run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_shoot(tmp_path / "in", 1)
    assert run(*words.split()) == 0
    assert run(*words.split(), *idle.split()) == 0
    assert "1 done before" in capfd.readouterr().err
    assert run(*words.split(), *twin.split()) == 1
    assert "other settings" in capfd.readouterr().err


def test_the_fingerprint_knows_what_pixels_depend_on(family: Path, tmp_path: Path) -> None:
    def of(**denoise: Any) -> str:
        return fingerprint(settings_of(BatchOptions(ProcessOptions(DenoiseOptions(**{"model": family, **denoise})))))

    assert of() == of(threads=3) == of(model=str(family)) == of(device="cpu") == of(device="cuda", precision="f32")
    other = make_model(tmp_path / "m" / "tiny", blur, subrange=[1e-5, 1e-1]).directory
    changed = [of(strength=0.5), of(ensemble=4), of(noise=(1e-3, 1e-6)), of(rows=True), of(model=other)]
    assert len({of(), *changed}) == len(changed) + 1
    alone = BatchOptions(ProcessOptions(DenoiseOptions(model=family)), per_photo_noise=True)
    assert fingerprint(settings_of(alone)) != of()
    assert fingerprint(settings_of(replace(alone, keep_existing=True))) == fingerprint(settings_of(alone))


def test_what_differs_is_named(family: Path) -> None:
    def of(ending: str = "-denoised.dng", **denoise: Any) -> dict[str, Any]:
        return settings_of(BatchOptions(ProcessOptions(DenoiseOptions(**{"model": family, **denoise})), ending))

    assert changes(of(), of()) == ()
    assert changes(of(), of(strength=0.5, rows=True)) == ("strength 1.0, now 0.5", "rows off, now on")
    assert changes({**of(), "version": "0.1"}, of()) == (f"rawkd 0.1, now {__version__}",)
    assert changes(of(), of(ending=".dng", noise=(1e-3, 1e-6))) == (
        "noise none, now [0.001, 1e-06]", "noise of series on, now off", "another ending",
    )  # fmt: skip
    assert changes({"options": "odd"}, of()) == ("unknown settings",)


def test_a_message_names_the_setting_and_the_version(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_shoot(tmp_path / "in", 1)
    assert run() == 0
    assert run("--device", "cpu") == 0
    assert "1 done before" in capfd.readouterr().err
    assert run("--strength", "0.5", "--rows") == 1
    assert "made with other settings or another version (strength 1.0, now 0.5; rows off, now on)" in (
        capfd.readouterr().err
    )
    (path,) = (tmp_path / "out" / ".rawkd" / "photos").iterdir()
    record = json.loads(path.read_text())
    for change, words in [
        ({"settings": record["settings"] | {"version": "0.1"}}, f"(rawkd 0.1, now {__version__})"),
        ({"version": 3}, "exists and its record is of another version of rawkd; give --overwrite"),
        ({"settings": None}, "exists and its record is damaged; give --overwrite"),
    ]:
        path.write_text(json.dumps(record | change))
        assert run() == 1
        assert words in capfd.readouterr().err


@pytest.mark.parametrize("reverse", [False, True])
def test_another_folder_of_the_same_outputs_knows_what_is_done(
    reverse: bool, run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """First one year of an archive, then all of it, or the other way round."""
    for index in range(2):
        write_photo(tmp_path / "in" / "2005" / "may" / f"{index}.dng", index)
    year: dict[str, Any] = {"source": tmp_path / "in" / "2005", "target": tmp_path / "out" / "2005"}
    whole: dict[str, Any] = {}
    first, second = (whole, year) if reverse else (year, whole)
    assert run("-r", **first) == 0
    before = outputs(tmp_path / "out")
    assert len(before) == 2
    assert run("-r", **second) == 0
    assert "2 done before" in capfd.readouterr().err
    assert run("-r", "--strength", "0.5", "--overwrite", **second) == 0  # the last record counts
    assert "2 denoised" in capfd.readouterr().err
    assert run("-r", **first) == 1
    assert "strength 0.5, now 1.0" in capfd.readouterr().err
    assert run("-r", "--overwrite", **first) == 0
    assert outputs(tmp_path / "out") == before
    assert run("-r", **second) == 0
    assert "2 done before" in capfd.readouterr().err


def test_what_exists_is_kept(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_shoot(tmp_path / "in", 2)
    assert run() == 0
    stranger = tmp_path / "out" / "02-denoised.dng"
    stranger.write_bytes(b"precious")
    write_photo(tmp_path / "in" / "02.dng", 3)
    write_photo(tmp_path / "in" / "03.dng", 4)
    before = outputs(tmp_path / "out")
    capfd.readouterr()
    assert run("--keep-existing", "--strength", "0.5", "--dry-run") == 0
    assert "1 to do, 0 denoised, 0 done before, 3 kept, 0 failed" in capfd.readouterr().err
    assert run("--keep-existing", "--strength", "0.5", "--report", str(tmp_path / "r.json")) == 0
    assert "1 denoised, 0 done before, 3 kept, 0 failed" in capfd.readouterr().err
    report = read_report(tmp_path / "r.json")
    assert statuses(report) == {"00.dng": "kept", "01.dng": "kept", "02.dng": "kept", "03.dng": "done"}
    assert report["counts"]["kept"] == 3
    after = outputs(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"03-denoised.dng"}
    assert run("--keep-existing", "--report", str(tmp_path / "r.json")) == 0  # what is done is not only kept
    assert statuses(read_report(tmp_path / "r.json"))["00.dng"] == "skipped"
    assert run("--keep-existing", "--overwrite") == 2
    assert "contradict each other" in capfd.readouterr().err


def test_what_appears_meanwhile_is_kept_too(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_shoot(tmp_path / "in", 1)

    def appearing(path: Path, *words: Any, **named: Any) -> Any:
        (tmp_path / "out" / "00-denoised.dng").write_bytes(b"precious")
        return process_file(path, *words, **named)

    monkeypatch.setattr(work, "process_file", appearing)
    assert run("--keep-existing") == 0
    assert "0 denoised, 0 done before, 1 kept" in capfd.readouterr().err
    assert outputs(tmp_path / "out") == {"00-denoised.dng": b"precious"}
    assert not left_over(tmp_path / "out")


def test_an_output_is_no_input(run: Run, family: Path, tmp_path: Path) -> None:
    write_shoot(tmp_path / "in", 2)
    command = ["batch", str(tmp_path / "in"), "-r", "--model", str(family), "-q"]
    for _ in range(2):
        assert main(command) == 0
        assert set(outputs(tmp_path / "in")) == {"00.dng", "01.dng", "00-denoised.dng", "01-denoised.dng"}
    shutil.rmtree(tmp_path / "in" / ".rawkd")  # now only the Software tag says so
    assert main(command) == 1
    assert set(outputs(tmp_path / "in")) == {"00.dng", "01.dng", "00-denoised.dng", "01-denoised.dng"}
    own = f"rawkd {__version__}\0".encode()
    for path in (tmp_path / "in").glob("*-denoised.dng"):  # and now only the history
        data = path.read_bytes()
        assert data.count(own) == 2  # of the file and of its preview
        path.write_bytes(data.replace(own, b"E" * (len(own) - 1) + b"\0"))
    assert main([*command, "--overwrite", "--report", str(tmp_path / "r.json")]) == 0
    assert read_report(tmp_path / "r.json")["counts"] == {"done": 2, "skipped": 0, "failed": 0, "own output": 2}


def test_one_name_for_two_photos(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_photo(tmp_path / "in" / "a.dng")
    shutil.copy(tmp_path / "in" / "a.dng", tmp_path / "in" / "a.nef")
    write_photo(tmp_path / "in" / "b.dng", 1)
    assert run("--overwrite") == 1
    assert set(outputs(tmp_path / "out")) == {"b-denoised.dng"}
    assert capfd.readouterr().err.count("would both be written to") == 2
    assert run("--exclude", "*.nef") == 0
    assert set(outputs(tmp_path / "out")) == {"a-denoised.dng", "b-denoised.dng"}


def test_what_lies_beside_a_photo_gives_way_to_it(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A shell makes these names of `shoot/*`."""
    monkeypatch.chdir(tmp_path)
    write_photo(tmp_path / "shoot" / "a.dng")
    for name in ("a.xmp", "a.jpg"):
        (tmp_path / "shoot" / name).write_text("no photo")
    names = [f"shoot/{name}" for name in ("a.dng", "a.jpg", "a.xmp")]
    command = ["batch", *names, "-o", "out", "--model", str(family), "--report", "r.json"]
    for status in ("done", "skipped"):
        assert main(command) == 1
        report = read_report(tmp_path / "r.json")
        assert statuses(report) == {"a.dng": status, "a.jpg": "failed", "a.xmp": "failed"}
        assert [photo["error"]["kind"] for photo in report["photos"][1:]] == ["InputError"] * 2
        what = "this is not a raw file by its name, and shoot/a.dng has the same output"
        assert f"shoot/a.jpg: {what}. Leave it out" in capfd.readouterr().err
    assert set(outputs(tmp_path / "out")) == {"a-denoised.dng"}
    assert main([*command, "--exclude", "*.xmp", "--exclude", "*.jpg"]) == 0
    write_photo(tmp_path / "shoot" / "b.dng", 5).rename("shoot/a.nef")  # two raws still collide
    shutil.rmtree("out")
    capfd.readouterr()
    assert main([*command, "shoot/a.nef"]) == 1
    printed = capfd.readouterr().err
    assert printed.count("would both be written to") == 2
    assert printed.count("not a raw file") == 2


def test_a_photo_is_never_written_over(run: Run, tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.dng")
    write_photo(tmp_path / "in" / "a-denoised.dng", 1, software="another program")
    before = outputs(tmp_path / "in")
    assert run("--overwrite", target=tmp_path / "in") == 1
    assert {name: data for name, data in outputs(tmp_path / "in").items() if name in before} == before


def test_globs(tmp_path: Path) -> None:
    for name in ("a.dng", "b.CR2", "c.txt", "x/a.dng", "x/y/d.nef"):
        write = tmp_path / name
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_bytes(b"")

    def found(**selection: Any) -> list[str]:
        return [task.name for task in find_tasks([str(tmp_path)], None, Selection(**selection), "-denoised.dng")]

    assert found() == ["a.dng", "b.CR2"]
    assert found(recursive=True) == ["a.dng", "b.CR2", "x/a.dng", "x/y/d.nef"]
    assert found(recursive=True, include=("a.*",)) == ["a.dng", "x/a.dng"]
    assert found(recursive=True, include=("x/*",), exclude=("*.nef",)) == ["x/a.dng"]
    assert found(include=("*.cr2",)) == found(include=("B.*",)) == ["b.CR2"]  # cameras write capitals
    assert found(exclude=("*.cr2",)) == ["a.dng"]
    twice = find_tasks([str(tmp_path), str(tmp_path / "a.dng"), "gone.dng"], "out", Selection(), "-denoised.png")
    assert sorted(task.output_shown for task in twice) == [
        "out/a-denoised.png", "out/b-denoised.png", "out/gone-denoised.png",
    ]  # fmt: skip
    named = [str(tmp_path / "a.dng"), str(tmp_path / "c.txt"), str(tmp_path / "x" / "a.dng")]
    chosen = find_tasks(named, None, Selection(include=("a.*", "c*"), exclude=("*.txt",)), "-denoised.dng")
    assert [task.input_shown for task in chosen] == [named[0], named[2]]


def test_globs_that_match_nothing_are_named(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_shoot(tmp_path / "in", 1)
    for words in (("--include", "zzz*"), ("--exclude", "*")):
        assert run(*words) == 3
        assert "--include and --exclude leave no raw photo; check the patterns" in capfd.readouterr().err
        assert run(*words, source=tmp_path / "in" / "00.dng") == 3
        assert "--include and --exclude leave no raw photo" in capfd.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["-q", "-v"],
        ["--dry-run", "--watch"],
        ["--dry-run", "--report", "r.json"],
        ["--report", "r.txt"],
        ["--jobs", "0"],
    ],
)
def test_usage_errors(words: list[str], run: Run) -> None:
    assert run(*words) == 2


def test_a_folder_without_raws(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    assert run() == 3
    assert "no raw photos" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["typo", "typo/", "typo.dng/", "typo.txt"])
def test_a_name_of_nothing_ends_the_batch_before_anything_is_created(
    name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_shoot(tmp_path / "in", 1)
    assert run(name) == 3
    assert f"{name}: there is no such folder or file" in capfd.readouterr().err
    assert set(tmp_path.iterdir()) == {tmp_path / "in"}
    assert run("gone.dng") == 1  # the twin: a raw that has gone costs only itself
    assert set(outputs(tmp_path / "out")) == {"00-denoised.dng"}


def test_two_spellings_of_a_folder_are_one(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photo(tmp_path / "s" / "a.dng")
    write_photo(tmp_path / "s" / "strange.dng").rename(tmp_path / "s" / "strange.raw1")
    (tmp_path / "link").symlink_to("s")
    shutil.copy(tmp_path / "s" / "a.dng", tmp_path / "s" / "odd.raw2")
    command = ["batch", "s/", "s/strange.raw1", "link/odd.raw2", "--model", str(family), "--report", "r.json"]
    assert main(command) == 0
    assert "another rawkd batch" not in capfd.readouterr().err
    written = {name for name in outputs(tmp_path / "s") if name.endswith("-denoised.dng")}
    assert written == {"a-denoised.dng", "strange-denoised.dng", "odd-denoised.dng"}
    (series,) = read_report(tmp_path / "r.json")["series"]
    assert series["measured"] == ["a.dng", "odd.raw2", "strange.raw1"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_never_opened(run: Run, family: Path, tmp_path: Path) -> None:
    """One among the photos, and one in the place of an output whose record is pending."""
    write_shoot(tmp_path / "in", 2)
    assert run() == 0
    for path in (tmp_path / "out" / ".rawkd" / "photos").iterdir():
        path.write_text(json.dumps({**json.loads(path.read_text()), "done": False}))
    (tmp_path / "out" / "00-denoised.dng").unlink()
    os.mkfifo(tmp_path / "out" / "00-denoised.dng")
    os.mkfifo(tmp_path / "in" / "ff.dng")
    words = ["batch", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", str(family)]
    words += ["--report", str(tmp_path / "r.json")]
    done = subprocess.run(
        [sys.executable, "-m", "rawkd", *words], capture_output=True, check=False, cwd=ROOT, timeout=30, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "ff.dng: this is not a regular file" in done.stderr
    assert statuses(read_report(tmp_path / "r.json")) == {"00.dng": "failed", "01.dng": "skipped", "ff.dng": "failed"}


def test_a_folder_that_cannot_be_read_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_shoot(tmp_path / "in", 1)
    write_photo(tmp_path / "in" / "locked" / "a.dng")
    scan = os.scandir

    def refusing(path: Any) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refusing)
        for words in ("--dry-run", "-q"):
            assert run("-r", words) == 1
            printed = capfd.readouterr().err
            assert printed.count(f"{tmp_path / 'in' / 'locked'}: the folder cannot be read (Permission denied)") == 1
        assert set(outputs(tmp_path / "out")) == {"00-denoised.dng"}
        locked = str(tmp_path / "in" / "locked")
        for name in ("r.json", "r.csv"):
            assert run("-r", "--json", "--report", str(tmp_path / name)) == 1
            told = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
            assert [(one["input"], one["exit_code"]) for one in told if one["status"] == "folder not read"] == [
                (locked, 3)
            ]
        report = read_report(tmp_path / "r.json")
        (folder,) = report["folders_not_read"]
        assert (folder["input"], folder["status"]) == (locked, "folder not read")
        assert "Permission denied" in folder["error"]["sentence"]
        assert [photo["status"] for photo in report["photos"]] == ["skipped"]
        rows = {row["input"]: row for row in rows_of(tmp_path / "r.csv")}
        assert rows[locked]["status"] == "folder not read"
        assert "Permission denied" in rows[locked]["error"]
        assert run() == 0  # nobody asked for folders below
    assert run("-r") == 0


def test_a_dry_run_writes_nothing(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_shoot(tmp_path / "in", 2)
    assert run("--dry-run") == 0
    printed = capfd.readouterr()
    assert printed.out.splitlines() == [str(tmp_path / "out" / f"0{i}-denoised.dng") for i in (0, 1)]
    assert "2 to do" in printed.err
    assert set(tmp_path.iterdir()) == {tmp_path / "in"}


def test_json_on_stdout(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_shoot(tmp_path / "in", 2)
    (tmp_path / "in" / "bad.dng").write_bytes(b"bad")
    assert run("--json", "-q") == 1
    records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert sorted(record["status"] for record in records) == ["done", "done", "failed"]


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_json_has_an_object_of_photos_that_need_nothing(
    more: list[str], run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_shoot(tmp_path / "in", 1)
    write_photo(tmp_path / "in" / "own.dng", software="rawkd 0.0.1")
    assert run() == 0
    capfd.readouterr()
    for words, status in ([], "skipped"), (["--keep-existing", "--strength", "0.5"], "kept"):
        assert run("--json", *words, *more) == 0
        records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
        found = {Path(one["input"]).name: one["status"] for one in records}
        assert found == {"00.dng": status, "own.dng": "own output"}
        assert all(one["error"] is None for one in records)
    assert run("--keep-existing", "--strength", "0.5", *more) == 0
    assert capfd.readouterr().out == ""


def test_an_output_folder_that_cannot_be(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_shoot(tmp_path / "in", 1)
    (tmp_path / "file").write_bytes(b"precious")
    assert run(target=tmp_path / "file" / "out") == 6
    assert "Traceback" not in capfd.readouterr().err
    assert (tmp_path / "file").read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["one.jpg", "one.DNG", "memory://clean/one.tif"])
def test_the_name_of_a_picture_is_no_folder(
    name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_shoot(tmp_path / "in", 1)
    monkeypatch.chdir(tmp_path)
    command = ["batch", "in", "--dry-run", "-o"]
    assert main([*command, name]) == 2
    assert f"{name}: this looks like one file. Give a folder" in capfd.readouterr().err
    if "://" not in name:
        assert main([*command, f"{name}/"]) == 0
        (tmp_path / name).mkdir()
        assert main([*command, name]) == 0


def test_a_report_that_cannot_be_is_refused_before_the_work(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_shoot(tmp_path / "in", 1)
    (tmp_path / "folder.json").mkdir()
    for place, words in (("none/r.json", "there is no folder"), ("folder.json", "a folder has this name")):
        assert run("--report", str(tmp_path / place)) == 6
        assert words in capfd.readouterr().err
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("works", [True, False])
def test_a_report_may_lie_beside_the_outputs_that_are_to_come(works: bool, run: Run, tmp_path: Path) -> None:
    write_shoot(tmp_path / "in", 1)
    if not works:  # no photo gets as far as the folder of the outputs
        shutil.copy(tmp_path / "in" / "00.dng", tmp_path / "in" / "00.nef")
    assert run("--report", str(tmp_path / "out" / "r.json")) == int(not works)
    assert read_report(tmp_path / "out" / "r.json")["counts"]["done"] == int(works)


def refusing_disk(number: int, calls: list[Path]) -> Callable[..., None]:
    """A `write_dng` to a disk on which every write ends with an error."""

    def write(path: Path, *_rest: Any, **_named: Any) -> None:
        calls.append(path)
        with atomic_output(path, overwrite=True) as temporary:
            temporary.write_bytes(b"half")
            raise OSError(number, os.strerror(number))

    return write


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "the disk is full. Free some space or choose another folder."),
        (errno.EDQUOT, "the disk quota is used up. Free some space or choose another folder."),
        (errno.EROFS, "the disk is read-only. Choose another folder."),
    ],
)
def test_a_full_disk_ends_the_batch_and_leaves_nothing(
    number: int,
    hint: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    write_shoot(tmp_path / "in", 9)
    words = ["--jobs", "1", "--report", str(tmp_path / "r.json")]
    calls: list[Path] = []
    with monkeypatch.context() as patch:
        patch.setattr("rawkd.process.write_dng", refusing_disk(number, calls))
        assert run(*words) == 6
        printed = capfd.readouterr().err
        counts = read_report(tmp_path / "r.json")["counts"]
        patch.setattr("rawkd.batch.report.atomic_output", lambda path, **_: refusing_disk(number, calls)(path))
        (tmp_path / "r.json").unlink()
        assert run(*words) == 6  # also where the report finds no room
        assert "9 photos are left" in capfd.readouterr().err
    assert printed.count("the file cannot be written") == 1
    assert f"error: {tmp_path / 'out'}: {hint} 9 photos are left. Run the command again to resume." in printed
    assert "0 denoised, 0 done before, 1 failed, 8 not begun" in printed
    assert counts == {"done": 0, "skipped": 0, "failed": 1, "own output": 0, "not begun": 8}
    assert len(calls) < 9  # the next photo may be begun until the failure is heard of
    assert ".rawkd/work" not in printed
    assert outputs(tmp_path / "out") == {}
    assert not left_over(tmp_path / "out")
    assert run() == 0


def test_an_output_that_cannot_be_written_costs_only_itself(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The twin of a full disk: a place that another photo need not share."""
    write_shoot(tmp_path / "in", 3)
    calls: list[Path] = []
    with monkeypatch.context() as patch:
        patch.setattr("rawkd.process.write_dng", refusing_disk(errno.EACCES, calls))
        assert run() == 1
    assert len(calls) == 3
    assert "3 failed" in capfd.readouterr().err


def test_a_decoder_that_crashes_or_hangs_costs_one_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    child = tmp_path / "child.py"
    child.write_text(
        "import importlib.util, os, sys, time\n"
        f"spec = importlib.util.spec_from_file_location('decode_child', {decode_child.__file__!r})\n"
        "child = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(child)\n"
        "opened = child._open\n"
        "def open_(raw, path):\n"
        "    if path.endswith('crash.dng'): os.kill(os.getpid(), 11)\n"
        "    if path.endswith('hang.dng'): time.sleep(600)\n"
        "    opened(raw, path)\n"
        "child._open = open_\n"
        "sys.exit(child.main())\n"
    )
    monkeypatch.setattr(decode, "CHILD", child)
    monkeypatch.setattr(work, "read_raw", partial(read_raw, timeout_s=2.0))
    write_shoot(tmp_path / "in", 3)
    write_photo(tmp_path / "in" / "crash.dng")
    write_photo(tmp_path / "in" / "hang.dng")
    assert run("--report", str(tmp_path / "r.json")) == 1
    assert len(outputs(tmp_path / "out")) == 3
    photos = read_report(tmp_path / "r.json")["photos"]
    failed = {Path(photo["input"]).stem: photo["error"]["sentence"] for photo in photos if photo["error"]}
    assert "crashes the raw decoder" in failed.pop("crash")
    assert "longer than 2 s" in failed.pop("hang")
    assert not failed
    capfd.readouterr()


def test_an_engine_is_loaded_once(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    begin = OpenVINOEngine.__init__

    def count(self: OpenVINOEngine, card: ModelCard, **options: Any) -> None:
        loaded.append(card.name)
        begin(self, card, **options)

    monkeypatch.setattr(OpenVINOEngine, "__init__", count)
    write_shoot(tmp_path / "in", 6)
    assert run("--per-photo-noise") == 0
    assert sorted(loaded) == ["tiny-high", "tiny-low"]


@pytest.mark.parametrize("device", ["gpu", "cuda", "mps"])
def test_a_missing_device_ends_the_batch_before_anything_is_created(
    device: str, run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two photos, but one sentence. On every machine: no way to a GPU has its library."""
    write_shoot(tmp_path / "in", 2)
    monkeypatch.setattr(Way, "is_installed", False)
    assert run("--device", device) == 5
    assert capfd.readouterr().err.count(f"{device} needs torch") == 1
    assert not (tmp_path / "out").exists()
    assert run("--device", device, "--dry-run") == 0
    assert run("--device", device, "--strength", "0") == 0


def test_photos_of_a_camera_follow_each_other(tmp_path: Path, family: Path) -> None:
    """Two cameras whose photos alternate by name; one worker takes the photos of each camera in one go, by name."""
    source, target = LocalStore(str(tmp_path / "in")), LocalStore(str(tmp_path / "out"))
    tasks = [Task(source, f"{index}.dng", target, f"{index}.dng") for index in range(6)]
    todo = {task: Identity(make="ab"[index % 2], model="m") for index, task in enumerate(tasks)}
    taken: list[str] = []

    class Recorder:
        def each(self, _function: Any, items: Any) -> Iterator[Any]:
            taken.extend(item.task.name for item in items)
            yield from ()

        def close(self) -> None:
            pass

    denoise = DenoiseOptions(model=family)
    list(Batch(BatchOptions(ProcessOptions(denoise), per_photo_noise=True), Recorder())._work(todo))
    assert taken == ["0.dng", "2.dng", "4.dng", "1.dng", "3.dng", "5.dng"]


def test_one_batch_at_a_time(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A run that is refused writes no report, nor over that of an earlier run."""
    own, report = tmp_path / "out" / ".rawkd", tmp_path / "r.json"
    own.mkdir(parents=True)
    for count in (1, 2):
        write_shoot(tmp_path / "in", count)
        before = report.read_text() if report.exists() else None
        capfd.readouterr()
        with lock.sole_use(own):
            assert run("--report", str(report)) == 6
        printed = capfd.readouterr().err
        assert "another rawkd batch" in printed
        assert "0 failed" not in printed
        assert (report.read_text() if report.exists() else None) == before
        assert run("--report", str(report)) == 0


def test_what_another_batch_did_before_the_lock_was_free_is_done(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shoot(tmp_path / "in", 3)
    session = LocalStore.session

    def late(store: LocalStore) -> Any:
        monkeypatch.setattr(LocalStore, "session", session)
        assert run("--exclude", "02.dng") == 0
        (tmp_path / "out" / "02-denoised.dng").write_bytes(b"precious")
        write_shoot(tmp_path / "in", 1)  # touched, with the same bytes
        return session(store)

    monkeypatch.setattr(LocalStore, "session", late)
    assert run("--report", str(tmp_path / "r.json")) == 1
    report = read_report(tmp_path / "r.json")
    assert statuses(report) == {"00.dng": "skipped", "01.dng": "skipped", "02.dng": "failed"}
    assert "no record says how it was made" in report["photos"][2]["error"]["sentence"]
    assert (tmp_path / "out" / "02-denoised.dng").read_bytes() == b"precious"


def test_a_disk_without_locks_serves_too(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_stream: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(lock, "_lock", refuse)
    write_shoot(tmp_path / "in", 1)
    assert run() == 0
    assert set(outputs(tmp_path / "out")) == {"00-denoised.dng"}


def test_an_output_that_cannot_be_read_costs_only_itself(run: Run, tmp_path: Path) -> None:
    write_shoot(tmp_path / "in", 2)
    assert run() == 0
    for path in (tmp_path / "out" / ".rawkd" / "photos").iterdir():
        content = json.loads(path.read_text())
        if content["output"].startswith("00"):
            path.write_text(json.dumps({**content, "done": False}))
    broken = tmp_path / "out" / "00-denoised.dng"
    broken.unlink()
    broken.mkdir()
    assert run("--report", str(tmp_path / "r.json")) == 1
    assert statuses(read_report(tmp_path / "r.json")) == {"00.dng": "failed", "01.dng": "skipped"}


def test_an_installed_calibration_comes_before_the_pool(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    write_shoot(tmp_path / "in", 2)
    assert run("--report", str(tmp_path / "r.json")) == 0
    assert len(read_report(tmp_path / "r.json")["series"]) == 1
    write_calibration(profile_folder() / "one.json", gain=2e-3)
    assert run("--overwrite", "--report", str(tmp_path / "r.json")) == 0
    photos = read_report(tmp_path / "r.json")["photos"]
    assert [photo["status"] for photo in photos] == ["skipped"] * 2
    shutil.rmtree(tmp_path / "out" / ".rawkd" / "photos")
    assert run("--overwrite", "--report", str(tmp_path / "r.json")) == 0
    report = read_report(tmp_path / "r.json")
    assert [photo["noise"]["source"] for photo in report["photos"]] == ["calibration"] * 2
    assert {photo["student"] for photo in report["photos"]} == {"tiny-high"}
    assert report["series"] == []


DIE = (
    "import os, sys\n"
    "from rawkd.batch import queue\n"
    "from rawkd.batch.noise import measuring\n"
    "from rawkd.batch.store import LocalStore\n"
    "calls = 0\n"
    "def dying(function):\n"
    "    def wrapped(*values):\n"
    "        global calls\n"
    "        calls += 1\n"
    "        if calls == {at} and not {after}: os._exit(9)\n"
    "        result = function(*values)\n"
    "        if calls == {at}: os._exit(9)\n"
    "        return result\n"
    "    return wrapped\n"
    "{patch}\n"
    "from rawkd.cli import main\n"
    "sys.exit(main({words!r}))\n"
)
PUBLISH = "LocalStore.publish = dying(LocalStore.publish)"
SAVE = "queue.save = dying(queue.save)"
SAVE_POOL = "measuring.save_pool = dying(measuring.save_pool)"


@pytest.mark.parametrize(
    ("patch", "at", "after", "overwrite"),
    [
        (PUBLISH, 2, False, False),
        (PUBLISH, 2, True, False),
        (SAVE, 4, False, False),
        (SAVE_POOL, 1, False, False),
        (PUBLISH, 2, False, True),
        (PUBLISH, 2, True, True),
    ],
)
def test_killed_at_the_worst_moments(
    patch: str, at: int, after: bool, overwrite: bool, run: Run, family: Path, tmp_path: Path
) -> None:
    """Before and after a result gets its name, and around each record: the next run ends as if nothing had been."""
    write_shoot(tmp_path / "in", 3)
    words = ["batch", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", str(family), "--jobs", "1"]
    if overwrite:
        (tmp_path / "out").mkdir()
        for index in range(3):
            (tmp_path / "out" / f"0{index}-denoised.dng").write_bytes(b"from before")
        words.append("--overwrite")
    script = DIE.format(at=at, after=after, patch=patch, words=words)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, cwd=ROOT, timeout=60)
    assert done.returncode == 9, done.stderr
    assert main(words) == 0
    assert run(target=tmp_path / "undisturbed") == 0
    assert outputs(tmp_path / "out") == outputs(tmp_path / "undisturbed")
    assert not left_over(tmp_path / "out")


HANG = (
    "import itertools, sys, time\n"
    "from pathlib import Path\n"
    "from rawkd.batch import work\n"
    "process_file, turns = work.process_file, itertools.count(1)\n"
    "def hanging(path, output, *words, **named):\n"
    "    def hang():\n"
    "        Path({sign!r}).write_text(output.name)\n"
    "        time.sleep(600)\n"
    "    turn = next(turns)\n"
    "    if turn > {turn} + 1: time.sleep(600)\n"
    "    if turn == {turn} and not {after}: hang()\n"
    "    report = process_file(path, output, *words, **named)\n"
    "    if turn == {turn}: hang()\n"
    "    return report\n"
    "work.process_file = hanging\n"
    "from rawkd.cli import main\n"
    "sys.exit(main({words!r}))\n"
)


def test_killed_while_a_photo_is_in_work(run: Run, family: Path, tmp_path: Path) -> None:
    """Four kills of one batch: a photo is certainly begun and not done, and the other thread may be anywhere in one."""
    write_shoot(tmp_path / "in", 8)
    assert run(target=tmp_path / "undisturbed") == 0
    words = ["batch", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", str(family), "--jobs", "2"]
    own = tmp_path / "out" / ".rawkd"
    rng = random.Random(1)
    done: set[str] = set()
    for turn, after in [(1, False), (1, True), (3, False), (3, True)]:
        sign = tmp_path / f"in-work-{turn}-{after}"
        script = HANG.format(sign=str(sign), turn=turn, after=after, words=words)
        child = subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            begun = appeared(sign, child)
            time.sleep(rng.uniform(0, 0.3))
        finally:
            child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        assert (own / "work" / begun).exists() == after
        records = {path.stem: json.loads(path.read_text()) for path in (own / "photos").glob("*.json")}
        assert begun[:24] not in records  # the work file of a photo is named by its key, as its record
        assert done <= {key for key, record in records.items() if record["done"]}
        done = {key for key, record in records.items() if record["done"]}
        assert len(done) < 8
    assert main(words) == 0
    assert outputs(tmp_path / "out") == outputs(tmp_path / "undisturbed")
    assert not left_over(tmp_path / "out")


def appeared(sign: Path, child: subprocess.Popen[bytes]) -> str:
    """What a child that still runs wrote into a file, awaited for a minute at most."""
    end = time.monotonic() + 60
    while not (sign.exists() and sign.read_text()):
        assert child.poll() is None, "it ended before its photo was begun"
        assert time.monotonic() < end
        time.sleep(0.01)
    assert child.poll() is None
    return sign.read_text()


def test_ctrl_c_leaves_the_report_of_what_was_done(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_shoot(tmp_path / "in", 5)
    save, calls = queue.save, []

    def interrupting(task: Task, record: Any) -> None:
        calls.append(task)
        if len(calls) == 3:
            raise KeyboardInterrupt
        save(task, record)

    with monkeypatch.context() as patch:
        patch.setattr(queue, "save", interrupting)
        assert run("--report", str(tmp_path / "r.json")) == 130
    report = read_report(tmp_path / "r.json")
    assert report["counts"] == {"done": 1, "skipped": 0, "failed": 0, "own output": 0, "not begun": 4}
    assert sorted(statuses(report).values()) == ["done", *["not begun"] * 4]
    assert "1 denoised, 0 done before, 0 failed, 4 not begun" in capfd.readouterr().err
    assert len(outputs(tmp_path / "out")) == 1
    assert not left_over(tmp_path / "out")
    assert run() == 0
    assert "4 denoised, 1 done before" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of its own")
def test_a_lost_terminal_leaves_the_report_too(family: Path, tmp_path: Path) -> None:
    """As when the ssh connection breaks, while the progress bar is shown."""
    import pty

    write_shoot(tmp_path / "in", 4)
    sign = tmp_path / "sign"
    words = ["batch", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", str(family), "--jobs", "1"]
    words += ["--noise", "1e-3,3e-6", "--report", str(tmp_path / "r.json")]
    script = HANG.format(sign=str(sign), turn=2, after=False, words=words).replace("sleep(600)", "sleep(1)")
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n{script}"],
        cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        appeared(sign, child)
        os.close(ours)
        assert child.wait(60) == 130
    finally:
        child.kill()
    report = read_report(tmp_path / "r.json")
    assert report["counts"]["not begun"] in (3, 4)  # the first may have its name and not yet its line
    assert sum(report["counts"].values()) == len(report["photos"]) == 4
    assert not left_over(tmp_path / "out")


def test_a_file_counts_as_there_when_it_stopped_growing(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    task = Task(store, "a.dng", store, "a-denoised.dng")
    arrivals = Arrivals(settle_s=2.0)

    def settled(now_s: float) -> list[Task]:
        return arrivals.settled({task: store.state(task.name)}, now_s)

    assert settled(0.0) == []
    (tmp_path / "a.dng").write_bytes(b"1")
    assert settled(1.0) == []
    (tmp_path / "a.dng").write_bytes(b"12")
    assert settled(4.0) == []
    assert settled(5.9) == []
    assert settled(6.0) == [task]
    assert settled(99.0) == []
    (tmp_path / "a.dng").write_bytes(b"123")
    assert settled(100.0) == []
    assert settled(102.0) == [task]


def test_watch_denoises_what_appears(family: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    heard: list[Outcome] = []
    names: set[str] = set()
    options = BatchOptions(ProcessOptions(DenoiseOptions(model=family)))

    def find() -> Mapping[Task, FileState | None]:
        if not heard:
            names.add("a.dng")
        else:
            names.add("b.dng")
        for name in names - {path.name for path in (tmp_path / "in").iterdir()}:
            write_photo(tmp_path / "in" / name)
        return find_tasks([str(tmp_path / "in")], str(tmp_path / "out"), Selection(), "-denoised.dng")

    workers = LocalWorkers(1)
    try:
        watch(find, Batch(options, workers), heard.append, arrivals=Arrivals(0.2), stopped=lambda: len(heard) >= 2)
    finally:
        workers.close()
    assert [str(outcome.status) for outcome in heard] == ["done", "done"]
    assert set(outputs(tmp_path / "out")) == {"a-denoised.dng", "b-denoised.dng"}


def test_a_watch_counts_the_last_outcome_of_a_photo(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first half of a photo rests for longer than a watch waits; later the rest comes."""
    (photo,) = write_shoot(tmp_path / "in", 1)
    whole = photo.read_bytes()

    def two_rounds(find: Any, batch: Batch, listen: Any, **_: Any) -> None:
        for data in (whole[: len(whole) // 2], whole):
            photo.write_bytes(data)
            batch.run(list(find()), listen)
        raise KeyboardInterrupt

    monkeypatch.setattr("rawkd.batch.watch.watch", two_rounds)
    assert run("--watch", "--report", str(tmp_path / "r.json")) == 0
    assert read_report(tmp_path / "r.json")["counts"] == {"done": 1, "skipped": 0, "failed": 0, "own output": 0}
    printed = capfd.readouterr().err
    assert "error: " in printed  # said when it happened
    assert "1 denoised, 0 done before, 0 failed" in printed
