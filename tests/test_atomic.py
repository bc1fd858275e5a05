from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from rawkd.errors import InputError, OutputError
from rawkd.files.write.atomic import atomic_output

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
        (errno.EROFS, "may only be read"),
        (errno.EACCES, "may not be written"),
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
        (tmp_path / "file" / "a.dng", "folder does not exist"),
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
        with pytest.raises(OutputError, match="may not be written"), atomic_output(tmp_path / "a.dng", overwrite=True):
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
def test_a_link_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target.dng", tmp_path / "link.dng"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with atomic_output(link, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
