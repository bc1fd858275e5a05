from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from small_photos import noisy_photo

from rawkd.batch.report import check_place, write_report
from rawkd.cli import main
from rawkd.errors import InputError, OutputError
from rawkd.files.naming import plan_outputs, refuse_to_overwrite
from rawkd.files.write.atomic import atomic_output
from rawkd.files.write.dng import write_dng
from rawkd.files.write.drawing import refuse_plot
from rawkd.files.write.rendered import write_image
from rawkd.photo import Capture

POSIX = pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.dng"
    with atomic_output(path, overwrite=False) as temporary:
        temporary.write_bytes(b"new")
        assert not path.exists()
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == {"out.dng"}


def test_an_existing_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.dng"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match=r"out\.dng.*--overwrite"), atomic_output(path, overwrite=False):
        pytest.fail("the block must not run")
    assert path.read_bytes() == b"old"
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.dng"

    def race() -> None:
        with atomic_output(path, overwrite=False) as temporary:
            temporary.write_bytes(b"new")
            path.write_bytes(b"of another")

    with pytest.raises(OutputError, match="exists already"):
        race()
    assert path.read_bytes() == b"of another"
    assert names(tmp_path) == {"out.dng"}


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit, InputError])
def test_any_failure_leaves_the_old_file_alone(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "out.dng"
    path.write_bytes(b"old")

    def fail() -> None:
        with atomic_output(path, overwrite=True) as temporary:
            temporary.write_bytes(b"half")
            raise failure

    with pytest.raises(failure):
        fail()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"out.dng"}


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "write-protected"),
        (errno.EIO, "rror"),
    ],
)
def test_what_the_system_refuses_is_one_sentence(tmp_path: Path, number: int, sentence: str) -> None:
    path = tmp_path / "out.dng"
    path.write_bytes(b"old")

    def fail() -> None:
        with atomic_output(path, overwrite=True) as temporary:
            temporary.write_bytes(b"half")
            raise OSError(number, os.strerror(number))

    with pytest.raises(OutputError, match=sentence) as caught:
        fail()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"out.dng"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_real_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "out.dng"
    with pytest.raises(OutputError, match="disk is full"), atomic_output(path, overwrite=False):
        Path("/dev/full").write_bytes(b"x")
    assert not names(tmp_path)


def test_missing_folder_file_as_folder_and_folder_as_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path, sentence in (
        (tmp_path / "none" / "a.dng", "folder does not exist"),
        (tmp_path / "file" / "a.dng", "a part of its path is a file, not a folder"),
        (tmp_path, "a folder has this name"),
        (tmp_path / ("n" * 300), "name is too long"),
    ):
        with pytest.raises(OutputError, match=sentence), atomic_output(path, overwrite=True) as temporary:
            temporary.write_bytes(b"x")
    assert names(tmp_path) == {"file"}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="write-protected"), atomic_output(tmp_path / "a.dng", overwrite=True):
            pytest.fail("the block must not run")
    finally:
        tmp_path.chmod(0o700)


@POSIX
def test_permissions_are_those_of_other_new_files_or_of_the_old_one(tmp_path: Path) -> None:
    plain, path = tmp_path / "plain", tmp_path / "out.dng"
    plain.write_bytes(b"")
    for mode in (plain.stat().st_mode, 0o100640):
        with atomic_output(path, overwrite=True) as temporary:
            temporary.write_bytes(b"x")
        assert path.stat().st_mode == mode
        path.chmod(0o640)


@POSIX
@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_is_replaced_and_the_file_behind_it_is_kept(tmp_path: Path, is_there: bool) -> None:
    (tmp_path / "raws").mkdir()
    target, link = tmp_path / "raws" / "target.dng", tmp_path / "link.dng"
    if is_there:
        target.write_bytes(b"a photo")
    link.symlink_to(target)
    with pytest.raises(OutputError, match="exists already"), atomic_output(link, overwrite=False):
        pytest.fail("the block must not run")
    with atomic_output(link, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
        assert link.is_symlink()
    assert not link.is_symlink()
    assert link.read_bytes() == b"new"
    assert (target.exists() and target.read_bytes()) == (is_there and b"a photo")
    assert names(tmp_path / "raws") == ({"target.dng"} if is_there else set())


@POSIX
@pytest.mark.parametrize("command", ["denoise", "compare"])
def test_no_command_writes_through_a_link_onto_another_photo(tmp_path: Path, command: str) -> None:
    photo, other = tmp_path / "a.dng", tmp_path / "b.dng"
    write_dng(photo, noisy_photo(60, 96), preview=None, software="test")
    other.write_bytes(b"another photo")
    link = tmp_path / ("out.dng" if command == "denoise" else "out.html")
    link.symlink_to("b.dng")
    assert main([command, str(photo), "-o", str(link), "--overwrite", "--strength", "0"]) == 0
    assert not link.is_symlink()
    assert other.read_bytes() == b"another photo"


REPORT = '{"photos": [], "series": [], "counts": {}, "rawkd": "0.0.9"}'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.json", '{"camera": "x", "gain": 1}'),
        ("r.json", REPORT.replace("series", "lenses")),
        ("r.json", f"[{REPORT}]"),
        ("r.json", REPORT[:-1]),
        ("r.json", ""),
        ("r.csv", "input,output,price\n"),
        ("r.csv", REPORT),
        ("r.CSV", "II*\0"),
    ],
)
def test_a_report_replaces_no_other_file(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    for write in (check_place, lambda path: write_report(path, [], {})):
        with pytest.raises(OutputError, match=r"the file exists and is no report of rawkd. Choose another name\."):
            write(tmp_path / name)
    assert (tmp_path / name).read_text() == content


@pytest.mark.parametrize(
    ("name", "content"), [("r.json", REPORT), ("r.csv", "input,output,status,error,series,iso\r\n")]
)
def test_a_report_replaces_a_report(tmp_path: Path, name: str, content: str) -> None:
    """Of this version, and of another one with fewer columns."""
    (tmp_path / name).write_text(content)
    for _ in range(2):
        check_place(tmp_path / name)
        write_report(tmp_path / name, [], {})
    assert (tmp_path / name).read_text() != content


@POSIX
def test_a_report_replaces_no_photo_behind_a_link(tmp_path: Path) -> None:
    photo, link = tmp_path / "a.dng", tmp_path / "r.json"
    photo.write_bytes(b"a photo")
    link.symlink_to(photo)
    with pytest.raises(OutputError, match="no report"):
        check_place(link)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(OutputError, match="no report"):  # without waiting for what comes
        check_place(tmp_path / "pipe.csv")
    photo.write_text(REPORT)
    write_report(link, [], {})
    assert not link.is_symlink()
    assert photo.read_text() == REPORT


@pytest.mark.parametrize("below", ["", "deep/er"])
def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], below: str) -> None:
    photo, file = tmp_path / "in.dng", tmp_path / "file.dng"
    write_dng(photo, noisy_photo(60, 96), preview=None, software="test")
    file.write_bytes(b"")
    place = file / below
    for command in (
        ["batch", str(photo), "-o", str(place), "--strength", "0"],
        ["batch", str(photo), "--report", str(place / "r.json")],
        ["denoise", str(photo), "-o", f"{place}/"],
        ["denoise", str(photo), "-o", str(place / "a.dng")],
        ["integrate", "darktable", "--folder", str(place)],
    ):
        assert main(command) == 6
        assert f"{file}: this is a file, not a folder. Choose another folder." in capsys.readouterr().err


@POSIX
@pytest.mark.parametrize("mode", [0o444, 0o400, 0o000])
def test_a_write_protected_file_is_kept(tmp_path: Path, mode: int) -> None:
    """Root may write it, too, but its owner has said that nobody shall."""
    path = tmp_path / "out.dng"
    path.write_bytes(b"old")
    path.chmod(mode)
    with pytest.raises(OutputError, match="write-protected"), atomic_output(path, overwrite=True):
        pytest.fail("the block must not run")
    with pytest.raises(OutputError, match="write-protected"):
        refuse_to_overwrite(path, overwrite=True)
    path.chmod(0o600)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"out.dng"}
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"


@POSIX
@pytest.mark.parametrize("suffix", [".dng", ".tif", ".png", ".jpg"])
def test_no_writer_replaces_a_write_protected_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_bytes(b"old")
    path.chmod(0o444)

    def write() -> None:
        if suffix == ".dng":
            write_dng(path, noisy_photo(60, 96), preview=None, software="test", overwrite=True)
        else:
            write_image(path, np.zeros((4, 4, 3), np.uint8), Capture(), software="test", overwrite=True)

    with pytest.raises(OutputError, match="write-protected"):
        write()
    assert path.read_bytes() == b"old"


@POSIX
@pytest.mark.parametrize("write", [check_place, lambda path: refuse_plot(path, overwrite=True)])
def test_reports_and_plots_are_refused_before_any_work(tmp_path: Path, write) -> None:
    path = tmp_path / ("report.json" if write is check_place else "plot.svg")
    path.write_text(REPORT)
    path.chmod(0o444)
    with pytest.raises(OutputError, match="write-protected"):
        write(path)
    with pytest.raises(OutputError, match="name is too long"):
        write(tmp_path / ("n" * 300 + path.suffix))


@POSIX
@pytest.mark.parametrize("name", ["é" * 140 + ".dng", "n" * 300 + "/a.dng"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_name_that_no_disk_takes_is_refused_before_any_work(tmp_path: Path, name: str, overwrite: bool) -> None:
    """140 characters of two bytes each: the limit counts bytes."""
    with pytest.raises(OutputError, match="name is too long"):
        refuse_to_overwrite(tmp_path / name, overwrite=overwrite)
    assert plan_outputs([tmp_path / "a.cr2"], str(tmp_path / name), None) == {tmp_path / "a.cr2": tmp_path / name}


@POSIX
def test_the_command_line_says_what_is_wrong_with_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, kept = tmp_path / "in.dng", tmp_path / "kept.dng"
    write_dng(photo, noisy_photo(60, 96), preview=None, software="test")
    assert main(["denoise", str(photo), "-o", str(tmp_path / ("n" * 300 + ".dng"))]) == 6
    said = capsys.readouterr().err
    assert "name is too long" in said
    assert "unexpected" not in said
    kept.write_bytes(b"old")
    kept.chmod(0o444)
    assert main(["denoise", str(photo), "-o", str(kept), "--overwrite"]) == 6
    assert "write-protected" in capsys.readouterr().err
    assert kept.read_bytes() == b"old"
